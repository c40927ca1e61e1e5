//! A server that is killed at any instant has a record of every call whose end somebody was told, once and whole.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use offhook_server::{
    CallDetailRecord, PostgresOptions, PostgresStore, RecordQuery, SqliteStore, Store, StoreKeySource,
};
use offhook_signaling::call::{CallEndCause, EndedBy};
use offhook_signaling::message::Credential;
use offhook_signaling::{ApplicationKey, ServerMessage};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::{Notify, mpsc};
use tokio::time::sleep;

use crate::database::{Database, PASSWORD};
use crate::support::{KEY, Phone, config, hello, serve, token};

const FOLDER: &str = "OFFHOOK_TEST_KILLED_FOLDER";
const DATABASE: &str = "OFFHOOK_TEST_KILLED_DATABASE";
const PAIRS: usize = 6;
/// After how many ends the server is killed, round by round: others are on their way then.
const KILLED_AFTER: [usize; 8] = [1, 2, 5, 9, 17, 33, 64, 100];

/// What somebody was told.
#[derive(Debug, PartialEq, Eq)]
struct Told {
    caller: String,
    callee: String,
    cause: CallEndCause,
}

#[tokio::test]
#[ignore = "not a test: the server that the next one runs as a process and kills"]
async fn server_that_is_killed() {
    let folder = std::env::var_os(FOLDER).expect("run by the test below");
    let config = config().data(folder);
    let config = match std::env::var(DATABASE) {
        Ok(url) => config.store(url.parse().unwrap()),
        Err(_) => config,
    };
    let server = serve(config).await;
    println!("listening {}", server.signal_url());
    std::future::pending::<()>().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_end_that_was_told_is_without_its_record() {
    rounds(None).await;
}

/// In every third round the database crashes first, in the midst of calls.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nor_with_postgresql_that_crashes_now_and_then() {
    if let Some(database) = Database::start(&[]).await {
        rounds(Some(database)).await;
    }
}

async fn rounds(mut database: Option<Database>) {
    let folder = tempfile::tempdir().unwrap();
    let mut told = BTreeMap::new();
    let mut waited = 0;
    for (round, kill_after) in KILLED_AFTER.into_iter().enumerate() {
        let (mut server, url) = start(folder.path(), database.as_ref()).await;
        let (ends, mut heard) = mpsc::unbounded_channel();
        let (count, enough) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
        let mut pairs = tokio::task::JoinSet::new();
        for pair in 0..PAIRS {
            let (ends, count, enough) = (ends.clone(), count.clone(), enough.clone());
            let call = talk(url.clone(), round, pair, move |call, told| {
                ends.send((call, told)).unwrap();
                if count.fetch_add(1, Ordering::SeqCst) + 1 == kill_after {
                    enough.notify_one();
                }
            });
            pairs.spawn(call);
        }
        drop(ends);
        if let Some(database) = database.as_mut().filter(|_| round % 3 == 2) {
            while count.load(Ordering::SeqCst) < kill_after / 2 {
                sleep(Duration::from_millis(1)).await;
            }
            database.crash().await;
        }
        enough.notified().await;
        // SIGKILL, to this child alone.
        server.kill().await.unwrap();
        while pairs.join_next().await.is_some() {}
        while let Some((call, end)) = heard.recv().await {
            assert_eq!(told.entry(call).or_insert_with(|| end.copy()), &end, "both were told the same");
        }
        let store: Box<dyn Store> = match &mut database {
            None => Box::new(SqliteStore::open(folder.path(), &StoreKeySource::DataFolder).unwrap()),
            Some(database) if round % 3 == 2 => {
                database.start_again().await;
                let store = open(folder.path(), database).await;
                waited += store.waiting_records();
                Box::new(store)
            }
            Some(database) => Box::new(open(folder.path(), database).await),
        };
        while store.waiting_records() > 0 {
            sleep(Duration::from_millis(5)).await;
        }
        compare(&told, &records(&*store).await);
    }
    assert_eq!(waited > 0, database.is_some(), "records waited while the database was away: {waited}");
    assert!(told.len() > KILLED_AFTER.iter().sum::<usize>() / 2, "each end is told to two");
}

/// Calls and hangs up, in turns, until the server is gone.
async fn talk(url: String, round: usize, pair: usize, tell: impl Fn(String, Told) + Send) -> Option<()> {
    let (a, b) = (format!("caller{pair}"), format!("callee{pair}"));
    let mut caller = log_in(&url, &a, round).await?;
    let mut callee = log_in(&url, &b, round).await?;
    for turn in 0.. {
        let call = format!("call-{round}-{pair}-{turn}");
        caller.call(&call, &b).await;
        wait(&mut callee, |message| matches!(message, ServerMessage::CallIncoming(_))).await?;
        callee.answer(&call).await;
        wait(&mut caller, |message| matches!(message, ServerMessage::CallAnswered(_))).await?;
        let ender = if turn % 2 == 0 { &mut caller } else { &mut callee };
        ender.hang_up(&call, CallEndCause::HungUp, None).await;
        for phone in [&mut caller, &mut callee] {
            let ended = wait(phone, |message| matches!(message, ServerMessage::CallEnded(_))).await?;
            let ServerMessage::CallEnded(ended) = ended else { return None };
            tell(call.clone(), Told { caller: a.clone(), callee: b.clone(), cause: ended.cause });
        }
    }
    None
}

async fn log_in(url: &str, user: &str, round: usize) -> Option<Phone> {
    let mut phone = Phone::try_connect(url, None).await.ok()?;
    let token = token(user, &format!("{user}-{round}"));
    phone.say(offhook_signaling::ClientMessage::Hello(hello(user, "d1", Credential::Token(token)))).await;
    wait(&mut phone, |message| matches!(message, ServerMessage::Snapshot(_))).await?;
    Some(phone)
}

/// The next message that is wanted; `None` when the server is gone.
async fn wait(phone: &mut Phone, wanted: impl Fn(&ServerMessage) -> bool) -> Option<ServerMessage> {
    loop {
        let message = phone.next_if_there().await?.message;
        if wanted(&message) {
            return Some(message);
        }
    }
}

async fn open(folder: &Path, database: &Database) -> PostgresStore {
    let (url, folder) = (database.url("offhook"), Some(folder.to_owned()));
    let options = PostgresOptions { url, key: StoreKeySource::DataFolder, folder, outbox: true };
    PostgresStore::connect(options).await.unwrap()
}

async fn start(folder: &Path, database: Option<&Database>) -> (Child, String) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    if let Some(database) = database {
        command.env(DATABASE, database.url_of("offhook", PASSWORD, "offhook"));
    }
    let mut child = command
        .args(["--ignored", "--exact", "--nocapture", "killed::server_that_is_killed"])
        .env(FOLDER, folder)
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    loop {
        let line = lines.next_line().await.unwrap().expect("the server says where it listens");
        if let Some((_, url)) = line.split_once("listening ") {
            let url = url.to_owned();
            // What the harness prints later must have somewhere to go.
            tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
            return (child, url);
        }
    }
}

async fn records(store: &dyn Store) -> Vec<CallDetailRecord> {
    let application = ApplicationKey::new(KEY).unwrap();
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let application = application.clone();
        let query = RecordQuery { application, from: None, to: None, user: None, after, limit: 7 };
        let page = store.records(&query).await.unwrap();
        all.extend(page.records);
        match page.next {
            Some(next) => after = Some(next),
            None => return all,
        }
    }
}

fn compare(told: &BTreeMap<String, Told>, records: &[CallDetailRecord]) {
    let mut by_call = BTreeMap::new();
    for record in records {
        assert!(by_call.insert(record.call_id.to_string(), record).is_none(), "{} twice", record.call_id);
        assert_eq!(record.cause, CallEndCause::HungUp);
        assert!(matches!(record.ended_by, EndedBy::Caller | EndedBy::Callee));
        assert!(record.talked_ms.is_some() && record.answered.is_some() && record.callee_device.is_some());
        assert!(record.started <= record.ended);
    }
    for (call, told) in told {
        let record = by_call.get(call).unwrap_or_else(|| panic!("{call} ended, and there is no record"));
        let written = Told {
            caller: record.caller.to_string(),
            callee: record.callee.to_string(),
            cause: record.cause,
        };
        assert_eq!(written, *told, "{call}");
    }
}

impl Told {
    fn copy(&self) -> Self {
        Self { caller: self.caller.clone(), callee: self.callee.clone(), cause: self.cause }
    }
}
