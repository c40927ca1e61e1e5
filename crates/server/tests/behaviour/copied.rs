//! A store that moves from a file to a database: everything arrives, secrets stay sealed, and nothing is half done.

use std::path::Path;

use offhook_server::{
    CallDetailRecord, Callbacks, CopiedTable, CopyError, CredentialHash, DeviceRecord, PostgresOptions,
    PostgresStore, PushKey, PushRecord, RecordQuery, SqliteStore, Store, StoreError, StoreKey,
    StoreKeySource, StoredApplication, UnixMillis, copy_store,
};
use offhook_signaling::call::{CallEndCause, EndedBy};
use offhook_signaling::message::PushSubscription;
use offhook_signaling::token::NonceUse;
use offhook_signaling::{ApplicationKey, CallId, DeviceCredential, DeviceId, UnixSeconds, UserId};

use crate::database::Database;
use crate::support::{KEY, address};

const NOW: UnixSeconds = UnixSeconds(1_700_000_000);
const LATER: UnixSeconds = UnixSeconds(1_700_000_600);
/// More than go together.
const RECORDS: u64 = 2_300;

fn application() -> ApplicationKey {
    ApplicationKey::new(KEY).unwrap()
}

fn user(name: &str) -> UserId {
    UserId::new(name).unwrap()
}

fn record(number: u64) -> CallDetailRecord {
    CallDetailRecord {
        call_id: CallId::new(format!("call-{number}")).unwrap(),
        application: application(),
        caller: user("alice"),
        callee: user("bob"),
        caller_device: DeviceId::new("a1").ok(),
        callee_device: DeviceId::new("b1").ok().filter(|_| number.is_multiple_of(2)),
        started: UnixMillis(number),
        rang: None,
        answered: Some(UnixMillis(number + 1)).filter(|_| number.is_multiple_of(2)),
        established: None,
        ended: UnixMillis(number + 2),
        talked_ms: Some(1).filter(|_| number.is_multiple_of(2)),
        cause: CallEndCause::HungUp,
        error: None,
        ended_by: EndedBy::Callee,
        taken_over: number.is_multiple_of(3),
        headers: [("topic".to_owned(), "caf\u{e9}, \0".to_owned())].into(),
    }
}

fn device(user: &str, number: u8) -> DeviceRecord {
    DeviceRecord { address: address(user, "d1"), hash: hash(number), issued: NOW, expires: LATER }
}

fn hash(number: u8) -> CredentialHash {
    CredentialHash::of(&DeviceCredential::new(number.to_string().repeat(43)))
}

fn push() -> PushRecord {
    let subscription = PushSubscription {
        endpoint: "https://push.example.org/1".to_owned(),
        p256dh: "key".to_owned(),
        auth: "auth".to_owned(),
    };
    PushRecord { address: address("alice", "d1"), subscription }
}

/// One of everything, and many records.
async fn fill(store: &dyn Store) {
    let mut shop = StoredApplication::create("shop", NOW);
    shop.rotate(NOW, std::time::Duration::from_secs(3600));
    shop.blocked = Some(NOW);
    shop.callbacks = Some(Callbacks::new("https://example.org/offhook"));
    for application in [&shop, &StoredApplication::create("", NOW.plus(1))] {
        store.put_application(application).await.unwrap();
    }
    store.put_device(&device("alice", 1)).await.unwrap();
    store.put_device(&device("alice", 2)).await.unwrap();
    store.put_device(&device("bob", 3)).await.unwrap();
    assert!(store.revoke_device(&device("bob", 3).address).await.unwrap());
    let owner = DeviceId::new("d1").unwrap();
    store.bind_nonce("scope", "nonce", &owner, LATER, NOW).await.unwrap();
    store.push_key(PushKey([7; 32])).await.unwrap();
    store.put_push(&push()).await.unwrap();
    store.block_user(&application(), &user("eve"), Some(NOW)).await.unwrap();
    for number in 0..RECORDS {
        store.put_record(&record(number)).await.unwrap();
    }
}

/// What both must answer alike, with the numbers that pages go on from.
async fn everything(store: &dyn Store) -> String {
    let mut text = format!("{:?}\n", store.applications().await.unwrap());
    for application in store.applications().await.unwrap() {
        for secret in application.secrets {
            text += &format!("{}\n", secret.secret.to_base64());
        }
    }
    text += &format!("{:?}\n", store.devices(&application(), None, NOW, None, 100).await.unwrap());
    for number in 1..=3 {
        text += &format!("{:?}\n", store.device(hash(number)).await.unwrap());
    }
    text += &format!("{:?}\n", store.push_key(PushKey([8; 32])).await.unwrap().0);
    text += &format!("{:?}\n", store.pushes_of(&application(), &user("alice"), NOW).await.unwrap());
    text += &format!("{:?}\n", store.blocked_users(&application(), None, 10).await.unwrap());
    let mut after = None;
    loop {
        let query =
            RecordQuery { application: application(), from: None, to: None, user: None, after, limit: 1000 };
        let page = store.records(&query).await.unwrap();
        text += &format!("{page:?}\n");
        after = page.next;
        if after.is_none() {
            return text;
        }
    }
}

async fn connect(database: &Database, key: &StoreKeySource) -> Result<PostgresStore, StoreError> {
    let options =
        PostgresOptions { url: database.url("offhook"), key: key.clone(), folder: None, outbox: false };
    PostgresStore::connect(options).await
}

async fn copy(
    folder: &Path,
    database: &Database,
    key: &StoreKeySource,
) -> Result<Vec<CopiedTable>, CopyError> {
    copy_store(folder, &StoreKeySource::DataFolder, (&database.url("offhook"), key.clone()), |_| {}).await
}

#[tokio::test]
async fn everything_arrives_sealed_with_the_new_key_and_the_database_goes_on_from_there() {
    let Some(database) = Database::start(&[]).await else { return };
    let folder = tempfile::tempdir().unwrap();
    let sqlite = SqliteStore::open(folder.path(), &StoreKeySource::DataFolder).unwrap();
    fill(&sqlite).await;
    let expected = everything(&sqlite).await;
    drop(sqlite);
    let key =
        StoreKeySource::Given(StoreKey::from_base64("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=").unwrap());
    let copied = copy(folder.path(), &database, &key).await.unwrap();
    let rows = |name: &str| copied.iter().find(|table| table.table == name).unwrap().rows;
    assert_eq!((rows("applications"), rows("application_secrets")), (2, 3));
    assert_eq!((rows("call_records"), rows("blocked_users"), rows("nonces")), (RECORDS, 1, 1));

    let store = connect(&database, &key).await.unwrap();
    assert!(everything(&store).await == expected, "the copy answers as the original");
    let other = DeviceId::new("d2").unwrap();
    assert_eq!(store.bind_nonce("scope", "nonce", &other, LATER, NOW).await.unwrap(), NonceUse::OtherDevice);
    // What is new comes behind what was copied.
    store.put_record(&record(RECORDS)).await.unwrap();
    store.put_device(&device("carol", 4)).await.unwrap();
    assert_eq!(store.record(&application(), &record(RECORDS).call_id).await.unwrap(), Some(record(RECORDS)));
    assert!(matches!(connect(&database, &StoreKeySource::DataFolder).await, Err(StoreError::Key(_))));

    let again = copy(folder.path(), &database, &key).await.unwrap_err();
    assert!(matches!(again, CopyError::NotEmpty { table: "applications", .. }), "{again}");
    assert_eq!(store.applications().await.unwrap().len(), 2);
}

#[tokio::test]
async fn without_another_key_the_database_gets_that_of_the_folder() {
    let Some(database) = Database::start(&[]).await else { return };
    let folder = tempfile::tempdir().unwrap();
    let sqlite = SqliteStore::open(folder.path(), &StoreKeySource::DataFolder).unwrap();
    let shop = StoredApplication::create("shop", NOW);
    sqlite.put_application(&shop).await.unwrap();
    drop(sqlite);
    copy(folder.path(), &database, &StoreKeySource::DataFolder).await.unwrap();
    let key = StoreKeySource::File(folder.path().join("offhook.key"));
    assert_eq!(connect(&database, &key).await.unwrap().applications().await.unwrap(), [shop]);
}

#[tokio::test]
async fn what_cannot_be_copied_changes_nothing_and_says_why() {
    let Some(database) = Database::start(&[]).await else { return };
    let folder = tempfile::tempdir().unwrap();
    let key = StoreKeySource::DataFolder;
    let missing = copy(&folder.path().join("none"), &database, &key).await.unwrap_err();
    assert!(matches!(missing, CopyError::NoSource(_)) && !folder.path().join("none").exists(), "{missing}");
    drop(SqliteStore::open(folder.path(), &key).unwrap());

    // A row that PostgreSQL does not take, behind others that it does.
    let file = rusqlite_of(folder.path());
    for (name, text) in [("good", "a"), ("bad", "a\0b")] {
        let sql = "INSERT INTO applications (key, name, origin, created) VALUES (?1, ?2, 'created', 1)";
        file.execute(sql, [name, text]).unwrap();
    }
    drop(file);
    let refused = copy(folder.path(), &database, &key).await.unwrap_err();
    assert!(matches!(refused, CopyError::Target(StoreError::Failed(_))), "{refused}");
    let key = StoreKeySource::File(folder.path().join("offhook.key"));
    assert_eq!(connect(&database, &key).await.unwrap().applications().await.unwrap(), []);
    let wrong =
        StoreKeySource::Given(StoreKey::from_base64("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=").unwrap());
    let refused = copy(folder.path(), &database, &wrong).await.unwrap_err();
    assert!(matches!(refused, CopyError::Target(StoreError::WrongKey { .. })), "{refused}");
}

fn rusqlite_of(folder: &Path) -> rusqlite::Connection {
    rusqlite::Connection::open(folder.join("offhook.sqlite3")).unwrap()
}
