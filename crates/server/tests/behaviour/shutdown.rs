//! A server that goes away says so.

use std::sync::Arc;

use offhook_server::{Server, SessionTimers, SqliteStore, Store as _, StoreKeySource};
use offhook_signaling::call::CallEndCause;
use offhook_signaling::message::ByeAction;
use offhook_signaling::{ApplicationKey, CallId};

use crate::support::{KEY, Phone, SOON, config, serve, talking};

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
async fn calls_that_ring_are_over_and_have_a_record() {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(SqliteStore::open(folder.path(), &StoreKeySource::DataFolder).unwrap());
    let server = Server::bind_with_store(config(), store.clone()).await.unwrap();
    let (mut alice, mut bob) = talking(&server, "answered").await;
    alice.call("rings", "bob").await;
    bob.expect("incoming from alice").await;
    let stopping = tokio::spawn(server.shutdown());
    bob.expect("ended Failure").await;
    assert_eq!(bob.end().await.1, Some(4000));
    let heard = alice.until_end().await;
    assert_eq!(heard.last().unwrap(), "ended Failure", "{heard:?}");
    stopping.await.unwrap();
    let record = async |call: &str| {
        let key = ApplicationKey::new(KEY).unwrap();
        store.record(&key, &CallId::new(call).unwrap()).await.unwrap()
    };
    let rang = record("rings").await.unwrap();
    assert_eq!((rang.cause, rang.result(), rang.reason()), (CallEndCause::Failure, "FAILED", "GENERALERROR"));
    assert_eq!(record("answered").await, None, "the next server takes it over");
}

#[tokio::test]
async fn a_client_that_does_not_listen_cannot_hold_it_up() {
    let timers = SessionTimers { shutdown: SOON, ..SessionTimers::default() };
    let server = serve(config().session_timers(timers)).await;
    let _deaf = Phone::register(&server, "alice", "a1").await;
    server.shutdown().await;
}
