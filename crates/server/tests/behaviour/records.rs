//! What is written of a call, and when.

use offhook_server::{CallDetailRecord, RecordQuery, Server, SqliteStore, Store, StoreKeySource, UnixMillis};
use offhook_signaling::call::{CallEndCause, EndedBy};
use offhook_signaling::message::{Credential, Empty, Hello, WireError};
use offhook_signaling::{ApplicationKey, CallId, ClientMessage, UserId};
use std::sync::Arc;

use crate::support::{KEY, Phone, SOON, config, hello, live, serve, talking};

fn key() -> ApplicationKey {
    ApplicationKey::new(KEY).unwrap()
}

async fn record(store: &dyn Store, call: &str) -> Option<CallDetailRecord> {
    store.record(&key(), &CallId::new(call).unwrap()).await.unwrap()
}

#[tokio::test]
async fn who_has_seen_the_end_finds_the_record() {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(SqliteStore::open(folder.path(), &StoreKeySource::DataFolder).unwrap());
    let server = Server::bind_with_store(config(), store.clone()).await.unwrap();
    let (mut alice, mut bob) = talking(&server, "c").await;
    assert_eq!(record(&*store, "c").await, None);
    assert_eq!(alice.ask("c", ClientMessage::CallEstablished(Empty {})).await, None);
    bob.hang_up("c", CallEndCause::HungUp, None).await;
    alice.expect("ended HungUp").await;
    let record = record(&*store, "c").await.unwrap();
    assert_eq!((record.caller.as_str(), record.callee.as_str()), ("alice", "bob"));
    assert_eq!(record.caller_device.as_ref().unwrap().as_str(), "a1");
    assert_eq!(record.callee_device.as_ref().unwrap().as_str(), "b1");
    assert_eq!((record.cause, record.ended_by), (CallEndCause::HungUp, EndedBy::Callee));
    assert_eq!((record.result(), record.reason()), ("ANSWERED", "CALLEEHANGUP"));
    let steps = [Some(record.started), record.rang, record.answered, record.established, Some(record.ended)];
    assert!(steps.iter().all(Option::is_some) && steps.is_sorted(), "{steps:?}");
}

#[tokio::test]
async fn a_call_that_nobody_answered_has_a_record_too() {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(SqliteStore::open(folder.path(), &StoreKeySource::DataFolder).unwrap());
    let server = Server::bind_with_store(config(), store.clone()).await.unwrap();
    let mut alice = Phone::register(&server, "alice", "a1").await;
    let mut bob = Phone::register(&server, "bob", "b1").await;
    alice.call("busy", "bob").await;
    bob.expect("incoming from alice").await;
    bob.hang_up("busy", CallEndCause::Denied, Some(WireError::Busy)).await;
    alice.until_end().await;
    let busy = record(&*store, "busy").await.unwrap();
    assert_eq!((busy.result(), busy.reason(), busy.talked_ms), ("BUSY", "BUSY", None));
    alice.call("gone", "nobody").await;
    alice.hang_up("gone", CallEndCause::Canceled, None).await;
    alice.until_end().await;
    let gone = record(&*store, "gone").await.unwrap();
    assert_eq!((gone.result(), gone.reason(), gone.ended_by), ("NOANSWER", "CANCEL", EndedBy::Caller));
}

#[tokio::test]
async fn a_call_that_ends_at_once_is_not_made_again_by_a_device_that_did_not_hear_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let server = serve(config().data(folder.path())).await;
    let mut alice = Phone::register(&server, "alice", "a1").await;
    // Nothing can be written now, so that nothing is told.
    let other = rusqlite::Connection::open(folder.path().join("offhook.sqlite3")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    alice.call("c", "alice").await;
    let old = alice.hang_the_line();
    let hello = hello("alice", "a1", Credential::Device(old.credential()));
    let mut alice = Phone::connect(&server).await;
    alice.remember(&old);
    let resume = Some(old.resume());
    let written = async {
        tokio::time::sleep(SOON).await;
        other.execute_batch("COMMIT").unwrap();
    };
    tokio::join!(alice.greet(Hello { resume, ..hello }), written);
    assert!(alice.welcome.as_ref().unwrap().resumed);
    // As a device does that has no outcome.
    alice.count_from(old.sent() - 1);
    alice.call("c", "alice").await;
    let told = alice.words_so_far().await;
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].starts_with("ended"), "{told:?}");
    let application = key();
    let query = RecordQuery { application, from: None, to: None, user: None, after: None, limit: 10 };
    let store = SqliteStore::open(folder.path(), &StoreKeySource::DataFolder).unwrap();
    assert_eq!(store.records(&query).await.unwrap().records.len(), 1);
}

#[tokio::test]
async fn a_call_that_has_its_record_is_not_taken_over_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let server = serve(config().data(folder.path())).await;
    let (mut alice, bob) = talking(&server, "c").await;
    alice.hang_up("c", CallEndCause::HungUp, None).await;
    alice.until_end().await;
    server.shutdown().await;
    // Bob's device did not hear of it.
    let server = serve(config().data(folder.path())).await;
    let mut hello = hello("bob", "b1", Credential::Device(bob.credential()));
    hello.resume = Some(bob.resume());
    hello.calls = vec![live("c", false, "alice")];
    assert!(Phone::log_in(&server, hello).await.snapshot.unwrap().calls.is_empty());
}

#[tokio::test]
async fn pages_follow_each_other_and_ranges_hold_at_their_borders() {
    let folder = tempfile::tempdir().unwrap();
    for store in [
        Arc::new(SqliteStore::open(folder.path(), &StoreKeySource::DataFolder).unwrap()) as Arc<dyn Store>,
        Arc::new(offhook_server::MemoryStore::default()),
    ] {
        for second in 0..10_u64 {
            let record = at(second);
            store.put_record(&record).await.unwrap();
            store.put_record(&record).await.unwrap();
        }
        let all = RecordQuery { application: key(), from: None, to: None, user: None, after: None, limit: 4 };
        let first = store.records(&all).await.unwrap();
        let second = store.records(&RecordQuery { after: first.next, ..all.clone() }).await.unwrap();
        let third = store.records(&RecordQuery { after: second.next, ..all.clone() }).await.unwrap();
        assert_eq!([first.records.len(), second.records.len(), third.records.len()], [4, 4, 2]);
        assert_eq!(third.next, None);
        assert_eq!(second.records[0], at(4));
        let (from, to) = (Some(UnixMillis(3_000)), Some(UnixMillis(5_000)));
        let some = store.records(&RecordQuery { from, to, ..all.clone() }).await.unwrap();
        assert_eq!(some.records, [at(3), at(4)]);
        let user = Some(UserId::new("user7").unwrap());
        let own = store.records(&RecordQuery { user, ..all.clone() }).await.unwrap();
        assert_eq!((own.records, own.next), (vec![at(7)], None));
        let exactly = store.records(&RecordQuery { limit: 10, ..all }).await.unwrap();
        assert_eq!((exactly.records.len(), exactly.next), (10, None));
    }
}

/// A record that ended in this second.
fn at(second: u64) -> CallDetailRecord {
    CallDetailRecord {
        call_id: CallId::new(format!("c{second}")).unwrap(),
        application: key(),
        caller: UserId::new(format!("user{second}")).unwrap(),
        callee: UserId::new("bob").unwrap(),
        caller_device: None,
        callee_device: None,
        started: UnixMillis(second * 1000 - second.min(1) * 500),
        rang: None,
        answered: None,
        established: None,
        ended: UnixMillis(second * 1000),
        talked_ms: None,
        cause: CallEndCause::Failure,
        error: Some(WireError::MediaFailed),
        ended_by: EndedBy::Server,
        taken_over: false,
        headers: [("a".to_owned(), "b;\"\n".to_owned())].into(),
    }
}
