//! A server whose database is PostgreSQL: what is refused and how it is said, and what happens while the database is away.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use offhook_server::{
    PostgresOptions, PostgresStore, PostgresUrl, SqliteStore, Store as _, StoreError, StoreKey,
    StoreKeyError, StoreKeySource,
};
use offhook_signaling::call::CallEndCause;
use offhook_signaling::message::{Credential, WireError};
use offhook_signaling::token::NonceUse;
use offhook_signaling::{ApplicationKey, CallId, DeviceId, ServerMessage, UnixSeconds};
use tokio::time::sleep;

use crate::database::{Database, PASSWORD};
use crate::support::{KEY, Phone, config, hello, serve, token};

fn options(url: PostgresUrl, folder: &Path) -> PostgresOptions {
    PostgresOptions { url, key: StoreKeySource::DataFolder, folder: Some(folder.to_owned()), outbox: true }
}

async fn refusal(options: PostgresOptions) -> StoreError {
    let error = PostgresStore::connect(options).await.unwrap_err();
    assert!(!format!("{error} {error:?}").contains("correct"), "no password is told: {error:?}");
    error
}

#[tokio::test]
async fn what_cannot_be_used_says_why_and_tells_no_password() {
    let Some(mut database) = Database::start(&[]).await else { return };
    let folder = tempfile::tempdir().unwrap();
    let at = |text: String| options(text.parse().unwrap(), folder.path());
    for url in [
        database.url_of("offhook", "correct house", "offhook"),
        database.url_of("nobody", PASSWORD, "offhook"),
        database.url_of("offhook", PASSWORD, "nothing"),
        // Not the password's fault: no TLS on a Unix socket, and none in this server.
        database.url_of("offhook", PASSWORD, "offhook?sslmode=require"),
    ] {
        let error = refusal(at(url)).await;
        assert!(matches!(error, StoreError::Refused { .. } | StoreError::Unreachable { .. }), "{error:?}");
    }
    let wrong = refusal(at(database.url_of("offhook", "correct house", "offhook"))).await;
    assert!(matches!(&wrong, StoreError::Refused { reason, .. } if reason.contains("password")), "{wrong:?}");

    let client = database.client("offhook").await.unwrap();
    let role =
        "CREATE ROLE reader LOGIN PASSWORD 'correct horse'; REVOKE CREATE ON SCHEMA public FROM PUBLIC";
    client.batch_execute(role).await.unwrap();
    let powerless = refusal(at(database.url_of("reader", PASSWORD, "offhook"))).await;
    assert!(
        matches!(&powerless, StoreError::Refused { reason, .. } if reason.contains("42501")),
        "{powerless:?}"
    );

    // Nothing of the attempts above is left behind.
    let url = database.url("offhook");
    drop(PostgresStore::connect(options(url.clone(), folder.path())).await.unwrap());
    let other = StoreKey::from_base64("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=").unwrap();
    let with_key = |key| PostgresOptions { key, ..options(url.clone(), folder.path()) };
    let error = refusal(with_key(StoreKeySource::Given(other))).await;
    assert!(matches!(error, StoreError::WrongKey { .. }), "{error:?}");
    let error = refusal(PostgresOptions { folder: None, ..options(url.clone(), folder.path()) }).await;
    assert!(matches!(error, StoreError::Key(StoreKeyError::Missing)), "{error:?}");
    let elsewhere = tempfile::tempdir().unwrap();
    let error = refusal(options(url.clone(), elsewhere.path())).await;
    assert!(
        matches!(error, StoreError::Key(StoreKeyError::File { .. })),
        "a new key opens nothing: {error:?}"
    );

    client.batch_execute("INSERT INTO migrations (version) VALUES (99)").await.unwrap();
    let error = refusal(options(url.clone(), folder.path())).await;
    assert!(matches!(error, StoreError::TooNew { found: 99, .. }), "{error:?}");
    drop(client);
    database.crash().await;
    let error = refusal(options(url, folder.path())).await;
    assert!(matches!(error, StoreError::Unreachable { .. }), "{error:?}");
}

#[tokio::test]
async fn a_connection_beyond_this_machine_checks_the_certificate() {
    let files = tempfile::tempdir().unwrap();
    let (certificate, key) = crate::tls::files(files.path());
    crate::database::give_away(files.path(), &[&certificate, &key]);
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let settings = [
        "listen_addresses=localhost".to_owned(),
        format!("port={port}"),
        "ssl=on".to_owned(),
        format!("ssl_cert_file={}", certificate.display()),
        format!("ssl_key_file={}", key.display()),
    ];
    let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
    let Some(database) = Database::start(&settings).await else { return };
    let folder = tempfile::tempdir().unwrap();
    let at = |parameters: &str| {
        let url = format!("postgres://offhook:correct%20horse@localhost:{port}/offhook?{parameters}");
        options(url.parse().unwrap(), folder.path())
    };
    let root = certificate.display().to_string().replace('/', "%2F");
    let store = PostgresStore::connect(at(&format!("sslmode=verify-full&sslrootcert={root}"))).await.unwrap();
    store.check().await.unwrap();
    let client = database.client("offhook").await.unwrap();
    let encrypted = "SELECT count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)
                     WHERE ssl AND application_name = 'offhook'";
    let row = client.query_typed_one(encrypted, &[]).await.unwrap();
    assert_eq!(row.get::<_, i64>(0), 2);
    let error = refusal(at("sslmode=require")).await;
    assert!(
        matches!(&error, StoreError::Refused { reason, .. } if reason.contains("ertificate")),
        "{error:?}"
    );
}

#[tokio::test]
async fn servers_that_share_a_database_share_what_it_keeps() {
    let Some(database) = Database::start(&[]).await else { return };
    let folder = tempfile::tempdir().unwrap();
    let key = StoreKey::from_base64("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=").unwrap();
    let open = async || {
        let key = StoreKeySource::Given(key.clone());
        let options =
            PostgresOptions { key, outbox: false, ..options(database.url("offhook"), folder.path()) };
        PostgresStore::connect(options).await.unwrap()
    };
    // At the same time, on an empty database.
    let (first, second) = tokio::join!(open(), open());
    let (a, b) = (DeviceId::new("a").unwrap(), DeviceId::new("b").unwrap());
    let later = UnixSeconds(2_000_000_000);
    for round in 0..50 {
        let nonce = format!("once{round}");
        let now = UnixSeconds(1_900_000_000);
        let (one, two) = tokio::join!(
            first.bind_nonce("shop/ada", &nonce, &a, later, now),
            second.bind_nonce("shop/ada", &nonce, &b, later, now)
        );
        let uses = [one.unwrap(), two.unwrap()];
        assert!(uses.contains(&NonceUse::First) && uses.contains(&NonceUse::OtherDevice), "{uses:?}");
    }
}

#[tokio::test]
async fn the_schema_is_that_of_sqlite() {
    let Some(database) = Database::start(&[]).await else { return };
    let folder = tempfile::tempdir().unwrap();
    drop(PostgresStore::connect(options(database.url("offhook"), folder.path())).await.unwrap());
    drop(SqliteStore::open(folder.path(), &StoreKeySource::DataFolder).unwrap());
    let mut here: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let client = database.client("offhook").await.unwrap();
    let columns = "SELECT table_name::text, column_name::text FROM information_schema.columns WHERE table_schema = 'public'";
    for row in client.query_typed(columns, &[]).await.unwrap() {
        here.entry(row.get(0)).or_default().push(row.get(1));
    }
    let mut there: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let file = rusqlite::Connection::open(folder.path().join("offhook.sqlite3")).unwrap();
    let columns = "SELECT t.name, c.name FROM sqlite_schema AS t, pragma_table_info(t.name) AS c
                   WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite_%'";
    let mut statement = file.prepare(columns).unwrap();
    for row in statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap() {
        let (table, column): (String, String) = row.unwrap();
        there.entry(table).or_default().push(column);
    }
    for columns in here.values_mut().chain(there.values_mut()) {
        columns.sort();
    }
    assert_eq!(here, there);
}

#[tokio::test]
async fn while_the_database_is_away_calls_go_on_and_their_records_wait() {
    let Some(mut database) = Database::start(&[]).await else { return };
    let folder = tempfile::tempdir().unwrap();
    let server = serve(config().data(folder.path()).store(database.url("offhook"))).await;
    let mut alice = Phone::register(&server, "alice", "a1").await;
    let mut bob = Phone::register(&server, "bob", "b1").await;
    alice.call("one", "bob").await;
    bob.event().await;
    database.crash().await;

    bob.answer("one").await;
    alice.hang_up("one", CallEndCause::HungUp, None).await;
    until_ended(&mut bob).await;
    until_ended(&mut alice).await;
    let begun = Instant::now();
    alice.call("two", "bob").await;
    alice.hang_up("two", CallEndCause::Canceled, None).await;
    until_ended(&mut alice).await;
    assert!(begun.elapsed() < Duration::from_secs(3), "nobody waits for a database that is away");
    let carol = hello("carol", "c1", Credential::Token(token("carol", "away")));
    let (error, code) = Phone::refusal(&server, carol).await;
    assert_eq!((error, code), (Some(WireError::Internal), Some(4009)), "come back later");

    database.start_again().await;
    let client = database.client("offhook").await.unwrap();
    let records = async || -> i64 {
        client.query_typed_one("SELECT count(*) FROM call_records", &[]).await.unwrap().get(0)
    };
    while records().await < 2 {
        sleep(Duration::from_millis(20)).await;
    }
    // The same token: the first try did not spend it.
    let again = || hello("carol", "c1", Credential::Token(token("carol", "away")));
    while Phone::refusal_or_welcome(&server, again()).await.is_some() {
        sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(records().await, 2, "each once");
    server.shutdown().await;
}

async fn until_ended(phone: &mut Phone) {
    while !matches!(phone.next().await.message, ServerMessage::CallEnded(_)) {}
}

#[tokio::test]
async fn an_outbox_belongs_to_one_server() {
    let Some(database) = Database::start(&[]).await else { return };
    let folder = tempfile::tempdir().unwrap();
    let first = PostgresStore::connect(options(database.url("offhook"), folder.path())).await.unwrap();
    let second = refusal(options(database.url("offhook"), folder.path())).await;
    assert!(matches!(second, StoreError::InUse { .. }), "{second:?}");
    drop(first);
    drop(PostgresStore::connect(options(database.url("offhook"), folder.path())).await.unwrap());
}

#[tokio::test]
async fn an_outbox_outlives_its_server() {
    let Some(mut database) = Database::start(&[]).await else { return };
    let folder = tempfile::tempdir().unwrap();
    let server = serve(config().data(folder.path()).store(database.url("offhook"))).await;
    let mut alice = Phone::register(&server, "alice", "a1").await;
    database.crash().await;
    alice.call("lonely", "bob").await;
    alice.hang_up("lonely", CallEndCause::Canceled, None).await;
    until_ended(&mut alice).await;
    server.shutdown().await;
    database.start_again().await;

    let store = PostgresStore::connect(options(database.url("offhook"), folder.path())).await.unwrap();
    let of_call = async || {
        let (application, call) = (ApplicationKey::new(KEY).unwrap(), CallId::new("lonely").unwrap());
        store.record(&application, &call).await.unwrap()
    };
    assert_eq!(of_call().await.unwrap().cause, CallEndCause::Canceled, "wherever it is");
    while store.waiting_records() > 0 {
        sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(of_call().await.unwrap().cause, CallEndCause::Canceled);
}
