//! What every store keeps, in the same way: in memory, in SQLite, in PostgreSQL.

use std::time::Duration;

use offhook_server::{
    CallDetailRecord, Callbacks, CredentialHash, DeviceRecord, MemoryStore, PUSHES_PER_USER, PostgresOptions,
    PostgresStore, PushKey, PushRecord, RecordQuery, SqliteStore, Store, StoreKeySource, StoredApplication,
    UnixMillis,
};
use offhook_signaling::call::{CallEndCause, EndedBy};
use offhook_signaling::message::{PushSubscription, WireError};
use offhook_signaling::token::NonceUse;
use offhook_signaling::{ApplicationKey, CallId, DeviceCredential, DeviceId, UnixSeconds, UserId};

use crate::database::Database;
use crate::support::{KEY, address};

const NOW: UnixSeconds = UnixSeconds(1_700_000_000);

#[tokio::test]
async fn in_memory() {
    holds(&MemoryStore::default()).await;
}

#[tokio::test]
async fn in_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path(), &StoreKeySource::DataFolder).unwrap();
    holds(&store).await;
    a_refused_change_leaves_those_around_it(&store).await;
}

#[tokio::test]
async fn in_postgresql() {
    let Some(database) = Database::start(&[]).await else { return };
    let folder = tempfile::tempdir().unwrap();
    let options = PostgresOptions {
        url: database.url("offhook"),
        key: StoreKeySource::DataFolder,
        folder: Some(folder.path().to_owned()),
        outbox: true,
    };
    let store = PostgresStore::connect(options).await.unwrap();
    holds(&store).await;
    a_refused_change_leaves_those_around_it(&store).await;
}

async fn holds(store: &dyn Store) {
    store.check().await.unwrap();
    applications(store).await;
    nonces(store).await;
    credentials(store).await;
    pushes(store).await;
    blocked_users(store).await;
    records(store).await;
    pages_of_records(store).await;
    what_has_ended_is_forgotten(store).await;
}

fn key() -> ApplicationKey {
    ApplicationKey::new(KEY).unwrap()
}

fn user(name: &str) -> UserId {
    UserId::new(name).unwrap()
}

async fn applications(store: &dyn Store) {
    assert_eq!(store.applications().await.unwrap(), []);
    let mut shop = StoredApplication::create("shop", NOW);
    shop.callbacks = Some(Callbacks::new("https://example.org/offhook"));
    let mut desk = StoredApplication::create("", NOW.plus(1));
    for application in [&shop, &desk] {
        store.put_application(application).await.unwrap();
    }
    let mut all = store.applications().await.unwrap();
    all.sort_by_key(|application| application.created);
    assert_eq!(all, [shop.clone(), desk.clone()]);
    shop.rotate(NOW.plus(2), Duration::from_secs(60));
    shop.blocked = Some(NOW.plus(3));
    shop.callbacks = None;
    desk.rotate(NOW.plus(2), Duration::from_secs(60));
    let newest_only = StoredApplication { secrets: desk.secrets[..1].to_vec(), ..desk.clone() };
    for application in [&shop, &desk, &newest_only] {
        store.put_application(application).await.unwrap();
    }
    let mut all = store.applications().await.unwrap();
    all.sort_by_key(|application| application.created);
    assert_eq!(all, [shop, newest_only]);
}

async fn nonces(store: &dyn Store) {
    let (a, b) = (DeviceId::new("a").unwrap(), DeviceId::new("b").unwrap());
    let bind = async |scope, device, expires, now| {
        store.bind_nonce(scope, "once", device, NOW.plus(expires), NOW.plus(now)).await.unwrap()
    };
    assert_eq!(bind("shop/ada", &a, 10, 0).await, NonceUse::First);
    assert_eq!(bind("shop/ada", &a, 10, 10).await, NonceUse::Repeated);
    assert_eq!(bind("shop/ada", &b, 10, 10).await, NonceUse::OtherDevice);
    assert_eq!(bind("shop/bob", &b, 10, 10).await, NonceUse::First, "another user's");
    assert_eq!(bind("shop/ada", &b, 30, 11).await, NonceUse::First, "the first use has ended");
    assert_eq!(bind("shop/ada", &a, 30, 11).await, NonceUse::OtherDevice);
    let devices: Vec<_> = (0..8).map(|device| DeviceId::new(format!("d{device}")).unwrap()).collect();
    let all = devices.iter().map(|device| store.bind_nonce("race", "once", device, NOW.plus(10), NOW));
    let uses = futures_util::future::join_all(all).await;
    assert_eq!(uses.iter().filter(|used| matches!(used, Ok(NonceUse::First))).count(), 1);
    assert_eq!(uses.iter().filter(|used| matches!(used, Ok(NonceUse::OtherDevice))).count(), 7);
}

fn credential(user: &str, device: &str, number: u8, expires: u64) -> DeviceRecord {
    DeviceRecord {
        address: address(user, device),
        hash: CredentialHash([number; 32]),
        issued: NOW.plus(u64::from(number)),
        expires: NOW.plus(expires),
    }
}

async fn credentials(store: &dyn Store) {
    assert_eq!(store.device(CredentialHash([1; 32])).await.unwrap(), None);
    let of_phone: Vec<_> = (1..=4).map(|number| credential("ada", "phone", number, 100)).collect();
    let tablet = credential("ada", "tablet", 5, 50);
    let bobs = credential("bob", "phone", 6, 100);
    for record in of_phone.iter().chain([&tablet, &bobs]) {
        store.put_device(record).await.unwrap();
    }
    assert_eq!(store.device(of_phone[0].hash).await.unwrap(), None, "three are kept");
    for record in of_phone[1..].iter().chain([&tablet, &bobs]) {
        assert_eq!(store.device(record.hash).await.unwrap().as_ref(), Some(record));
    }
    let newest = of_phone[3].clone();
    let of = async |who: Option<&str>, now| {
        store.devices(&key(), who.map(user).as_ref(), NOW.plus(now), None, 100).await.unwrap()
    };
    let page = async |after: Option<&DeviceRecord>| {
        let after = after.map(|record| (record.address.user.clone(), record.address.device.clone()));
        store.devices(&key(), None, NOW, after.as_ref(), 1).await.unwrap()
    };
    assert_eq!(page(None).await, std::slice::from_ref(&newest));
    assert_eq!(page(Some(&newest)).await, std::slice::from_ref(&tablet));
    assert_eq!(page(Some(&tablet)).await, std::slice::from_ref(&bobs));
    assert_eq!(page(Some(&bobs)).await, []);
    assert_eq!(of(None, 0).await, [newest.clone(), tablet.clone(), bobs.clone()]);
    assert_eq!(of(Some("ada"), 49).await, [newest.clone(), tablet.clone()]);
    assert_eq!(of(Some("ada"), 50).await, [newest], "the tablet's has ended");
    let other = ApplicationKey::new("b32e5a8d-f7d8-411c-9645-9038e8dd051d").unwrap();
    assert_eq!(store.devices(&other, None, NOW, None, 100).await.unwrap(), []);
    assert!(store.revoke_device(&address("ada", "phone")).await.unwrap());
    assert!(!store.revoke_device(&address("ada", "phone")).await.unwrap());
    assert_eq!(store.device(of_phone[3].hash).await.unwrap(), None);
    assert_eq!(of(None, 0).await, [tablet, bobs]);
}

fn push(user: &str, device: &str, endpoint: &str) -> PushRecord {
    let subscription = PushSubscription {
        endpoint: endpoint.to_owned(),
        p256dh: format!("key of {device}"),
        auth: "auth".to_owned(),
    };
    PushRecord { address: address(user, device), subscription }
}

async fn pushes(store: &dyn Store) {
    let first = store.push_key(PushKey([1; 32])).await.unwrap();
    assert_eq!(
        (first, store.push_key(PushKey([2; 32])).await.unwrap()),
        (PushKey([1; 32]), PushKey([1; 32]))
    );
    let of = async |who: &str| store.pushes_of(&key(), &user(who), NOW).await.unwrap();
    store.put_push(&push("ada", "tablet", "https://push/1")).await.unwrap();
    store.put_push(&push("ada", "lost", "https://push/2")).await.unwrap();
    assert_eq!(of("ada").await, [push("ada", "tablet", "https://push/1")], "the other has no credential");
    store.put_push(&push("ada", "tablet", "https://push/3")).await.unwrap();
    assert_eq!(of("ada").await, [push("ada", "tablet", "https://push/3")]);
    store.put_push(&push("bob", "phone", "https://push/3")).await.unwrap();
    assert_eq!(of("ada").await, [], "the browser is bob's now");
    assert_eq!(of("bob").await, [push("bob", "phone", "https://push/3")]);
    let phone = address("bob", "phone");
    assert!(!store.delete_push(&phone, Some("https://push/1")).await.unwrap());
    assert!(store.delete_push(&phone, Some("https://push/3")).await.unwrap());
    assert!(!store.delete_push(&phone, None).await.unwrap());
    store.put_push(&push("bob", "phone", "https://push/4")).await.unwrap();
    store.revoke_device(&phone).await.unwrap();
    store.put_device(&credential("bob", "phone", 7, 100)).await.unwrap();
    assert_eq!(of("bob").await, [], "what wakes a device goes with its registration");
    for device in 0..=PUSHES_PER_USER {
        let device = format!("d{device:02}");
        store
            .put_device(&credential("eve", &device, 100 + device[1..].parse::<u8>().unwrap(), 100))
            .await
            .unwrap();
        store.put_push(&push("eve", &device, &format!("https://push/{device}"))).await.unwrap();
    }
    assert_eq!(of("eve").await.len(), PUSHES_PER_USER);
}

async fn blocked_users(store: &dyn Store) {
    let block = async |who: &str, since| store.block_user(&key(), &user(who), since).await.unwrap();
    for who in ["Zoe", "ada", "bob", "_x"] {
        block(who, Some(NOW)).await;
    }
    block("ada", Some(NOW.plus(5))).await;
    block("bob", None).await;
    let since = async |who: &str| store.blocked_since(&key(), &user(who)).await.unwrap();
    assert_eq!((since("ada").await, since("bob").await), (Some(NOW), None), "the first block counts");
    let page = async |after: Option<&str>, limit| {
        let users = store.blocked_users(&key(), after.map(user).as_ref(), limit).await.unwrap();
        users.into_iter().map(|(user, _)| user.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(page(None, 10).await, ["Zoe", "_x", "ada"], "by byte, whatever the language of the machine");
    assert_eq!(page(Some("Zoe"), 1).await, ["_x"]);
    assert_eq!(page(Some("ada"), 10).await, [""; 0]);
}

fn record(call: &str, started: u64) -> CallDetailRecord {
    CallDetailRecord {
        call_id: CallId::new(call).unwrap(),
        application: key(),
        caller: user("ada"),
        callee: user("bob"),
        caller_device: DeviceId::new("phone").ok(),
        callee_device: None,
        started: UnixMillis(started),
        rang: Some(UnixMillis(started + 20)),
        answered: None,
        established: None,
        ended: UnixMillis(started + 1000),
        talked_ms: None,
        cause: CallEndCause::NoAnswer,
        error: Some(WireError::Busy),
        ended_by: EndedBy::Callee,
        taken_over: false,
        headers: [("subject".to_owned(), "a \"quoted\" word, \u{fc}, \0".to_owned())].into(),
    }
}

async fn records(store: &dyn Store) {
    let of = async |call: &str| store.record(&key(), &CallId::new(call).unwrap()).await.unwrap();
    assert_eq!(of("one").await, None);
    let plain = record("one", 1_000);
    let full = CallDetailRecord {
        callee_device: DeviceId::new("desk").ok(),
        answered: Some(UnixMillis(2_100)),
        established: Some(UnixMillis(2_200)),
        talked_ms: Some(900),
        cause: CallEndCause::HungUp,
        error: None,
        ended_by: EndedBy::Caller,
        taken_over: true,
        ..record("one", 2_000)
    };
    for record in [&plain, &plain, &full, &full] {
        store.put_record(record).await.unwrap();
    }
    assert_eq!(of("one").await.as_ref(), Some(&full), "the newest of a call");
    let query = RecordQuery { application: key(), from: None, to: None, user: None, after: None, limit: 10 };
    assert_eq!(store.records(&query).await.unwrap().records, [plain, full], "each once");
}

async fn pages_of_records(store: &dyn Store) {
    let from = UnixMillis(1_000_000);
    let of = |caller: &str, call: &str, started| CallDetailRecord {
        caller: user(caller),
        ..record(call, started)
    };
    let all = [
        of("ada", "p1", 1_000_000),
        of("eve", "p2", 1_000_001),
        of("ada", "p3", 1_000_002),
        of("ada", "p4", 1_000_003),
    ];
    for record in &all {
        store.put_record(record).await.unwrap();
    }
    let mut query = RecordQuery {
        application: key(),
        from: Some(from),
        to: Some(UnixMillis(1_001_003)),
        user: Some(user("ada")),
        after: None,
        limit: 1,
    };
    let first = store.records(&query).await.unwrap();
    assert_eq!(first.records, [all[0].clone()]);
    query.after = first.next;
    let second = store.records(&query).await.unwrap();
    assert_eq!(
        (second.records, second.next),
        (vec![all[2].clone()], None),
        "p4 ended at the end of the range"
    );
    query = RecordQuery { user: Some(user("bob")), after: None, to: None, limit: 4, ..query };
    let called = store.records(&query).await.unwrap();
    assert_eq!((called.records.len(), called.next), (4, None), "whom they called is found, too");
}

async fn what_has_ended_is_forgotten(store: &dyn Store) {
    let device = DeviceId::new("a").unwrap();
    let hash = CredentialHash::of(&DeviceCredential::new("x".repeat(43)));
    let short = DeviceRecord { hash, ..credential("tim", "phone", 0, 5) };
    store.put_device(&short).await.unwrap();
    store.put_push(&push("tim", "phone", "https://push/tim")).await.unwrap();
    store.bind_nonce("shop/tim", "n", &device, NOW.plus(5), NOW).await.unwrap();
    store.prune(NOW.plus(5)).await.unwrap();
    assert_eq!(store.device(hash).await.unwrap(), Some(short), "not before its time");
    store.prune(NOW.plus(6)).await.unwrap();
    assert_eq!(store.device(hash).await.unwrap(), None);
    assert!(!store.delete_push(&address("tim", "phone"), None).await.unwrap(), "gone with the credential");
}

/// Changes that wait together share a transaction.
async fn a_refused_change_leaves_those_around_it(store: &dyn Store) {
    let all: Vec<_> =
        [200, 201, 201, 202].map(|number| credential("max", &format!("m{number}"), number, 100)).into();
    let twice = credential("max", "other", 201, 100);
    let changes = all.iter().take(2).chain([&twice]).chain(&all[3..]).map(|record| store.put_device(record));
    let outcomes = futures_util::future::join_all(changes).await;
    let accepted: Vec<bool> = outcomes.iter().map(Result::is_ok).collect();
    assert_eq!(accepted, [true, true, false, true], "a hash is there once");
    assert_eq!(store.devices(&key(), Some(&user("max")), NOW, None, 100).await.unwrap().len(), 3);
}
