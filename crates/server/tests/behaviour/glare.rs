//! Two people who call each other at once get one call.

use offhook_signaling::call::CallEndCause;

use crate::support::{Phone, config, serve};

#[tokio::test]
async fn the_second_call_ends_before_anybody_hears_of_it() {
    let server = serve(config()).await;
    let mut alice = Phone::register(&server, "alice", "a1").await;
    let mut bob = Phone::register(&server, "bob", "b1").await;
    alice.call("from-alice", "bob").await;
    alice.expect("progressing").await;
    bob.call("from-bob", "alice").await;
    assert_eq!(bob.event().await.0, "from-alice");
    assert_eq!(bob.until_end().await, ["ended Canceled Glare"]);
    alice.expect_silence().await;
    bob.answer("from-alice").await;
    alice.expect("answered").await;
    bob.expect("answered").await;
    alice.hang_up("from-alice", CallEndCause::HungUp, None).await;
    bob.expect("ended HungUp").await;
}
