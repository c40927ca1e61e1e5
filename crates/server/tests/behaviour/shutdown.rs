//! A server that goes away says so.

use offhook_server::SessionTimers;
use offhook_signaling::message::ByeAction;

use crate::support::{Phone, SOON, config, serve};

#[tokio::test]
async fn clients_are_told_to_come_back() {
    let server = serve(config()).await;
    let url = server.signal_url();
    let mut phones = vec![
        Phone::register(&server, "alice", "a1").await,
        Phone::register(&server, "bob", "b1").await,
        Phone::connect(&server).await,
    ];
    let stopping = tokio::spawn(server.shutdown());
    for phone in &mut phones {
        let (bye, code) = phone.end().await;
        let bye = bye.unwrap();
        assert_eq!((bye.action, bye.error, code), (ByeAction::Resume, None, Some(4000)));
        assert!(bye.retry_after_ms >= 500);
    }
    stopping.await.unwrap();
    assert!(Phone::try_connect(&url, None).await.is_err());
}

#[tokio::test]
async fn a_client_that_does_not_listen_cannot_hold_it_up() {
    let timers = SessionTimers { shutdown: SOON, ..SessionTimers::default() };
    let server = serve(config().session_timers(timers)).await;
    let _deaf = Phone::register(&server, "alice", "a1").await;
    server.shutdown().await;
}
