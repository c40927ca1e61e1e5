//! A caller cannot tell a user that is offline from one that never existed, or from one that is blocked.

use std::time::{Duration, Instant};

use offhook_signaling::call::CallTimers;

use crate::rest::{ask, own};
use crate::support::{Phone, SOON, config, serve};

#[tokio::test]
async fn an_offline_an_unknown_and_a_blocked_callee_look_the_same() {
    let server = serve(config().call_timers(CallTimers { progress: SOON, ..CallTimers::default() })).await;
    let mut gone = Phone::register(&server, "bob", "b1").await;
    gone.message(tokio_tungstenite::tungstenite::Message::Close(None)).await;
    gone.end().await;
    let mut blocked = Phone::register(&server, "eve", "e1").await;
    assert_eq!(ask(&server, "PUT /v1/users/eve/block", &own()).await.0, 204);
    blocked.end().await;
    let mut alice = Phone::register(&server, "alice", "a1").await;
    let (mut seen, mut lasted) = (Vec::new(), Vec::new());
    // In turns, so that what slows the machine slows all of them.
    for round in 0..5 {
        for callee in ["bob", "nobody", "eve"] {
            let call = format!("to-{callee}-{round}");
            let begun = Instant::now();
            alice.call(&call, callee).await;
            seen.push(alice.until_end().await);
            lasted.push(begun.elapsed());
        }
    }
    assert!(seen.iter().all(|events| events[..] == ["progressing", "ended Timeout"]), "{seen:?}");
    let shortest = |of: usize| lasted.iter().skip(of).step_by(3).min().copied().unwrap();
    let times = [0, 1, 2].map(shortest);
    let (least, most) = (times.iter().min().unwrap(), times.iter().max().unwrap());
    assert!(*least >= SOON && *most - *least < Duration::from_millis(10), "{times:?}");
}
