//! A caller cannot tell a user that is offline from one that never existed.

use offhook_signaling::call::CallTimers;

use crate::support::{Phone, SOON, config, serve};

#[tokio::test]
async fn an_offline_and_an_unknown_callee_look_the_same() {
    let server = serve(config().call_timers(CallTimers { progress: SOON, ..CallTimers::default() })).await;
    let mut gone = Phone::register(&server, "bob", "b1").await;
    gone.message(tokio_tungstenite::tungstenite::Message::Close(None)).await;
    gone.end().await;
    let mut alice = Phone::register(&server, "alice", "a1").await;
    let mut seen = Vec::new();
    for callee in ["bob", "nobody"] {
        let call = format!("to-{callee}");
        alice.call(&call, callee).await;
        seen.push(alice.until_end().await);
    }
    assert_eq!(seen[0], ["progressing", "ended Timeout"]);
    assert_eq!(seen[0], seen[1]);
}
