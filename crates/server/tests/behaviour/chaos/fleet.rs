//! The servers under test. There is one; whoever adds more changes this file alone.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use offhook_server::{
    CallDetailRecord, Limits, Rate, RecordQuery, RunningServer, ServerConfig, SessionTimers,
};
use offhook_server::{SqliteStore, Store as _, StoreKeySource, UnixMillis};
use offhook_signaling::ApplicationKey;
use offhook_signaling::call::CallTimers;

use super::Dice;
use crate::metrics::{counting, scrape, value};
use crate::rest::{ask, own};
use crate::support::{KEY, config};

const NODES: usize = 1;
/// Within this the server has forgotten everybody who left.
const FORGOTTEN: Duration = Duration::from_secs(20);
/// A connection that is not answered is cut after two and a half of these. A side that hangs may keep its call for so long and the time to
/// come back, which is less than a callee waits for the caller's nonce (twice that time), as it is with the defaults.
const HEARTBEAT: Duration = Duration::from_millis(1500);

/// Where the nodes are now.
pub(super) type Directory = Arc<Mutex<Vec<String>>>;

/// The limits of calls, short enough that all of them pass in a test.
pub(super) const TIMERS: CallTimers = CallTimers {
    setup: Duration::from_secs(3),
    progress: Duration::from_millis(1500),
    acknowledge: Duration::from_secs(1),
    caller_gone: Duration::from_millis(1500),
    resume: Duration::from_secs(6),
};

#[derive(Debug)]
pub(super) struct Fleet {
    folder: PathBuf,
    nodes: Vec<Option<RunningServer>>,
    directory: Directory,
}

impl Fleet {
    pub(super) async fn start(folder: &Path) -> Self {
        let directory = Directory::default();
        let mut fleet = Self { folder: folder.to_owned(), nodes: Vec::new(), directory };
        for _ in 0..NODES {
            let server = fleet.serve().await;
            fleet.directory.lock().unwrap().push(server.signal_url());
            fleet.nodes.push(Some(server));
        }
        fleet
    }

    pub(super) fn directory(&self) -> Directory {
        self.directory.clone()
    }

    /// A node ends, in order or at once, and another takes its place, with the same database.
    pub(super) async fn restart(&mut self, dice: &mut Dice) {
        let node = dice.below(self.nodes.len());
        let old = self.nodes[node].take().unwrap();
        if dice.below(3) == 0 {
            old.shutdown().await;
        } else {
            drop(old);
        }
        let server = self.serve().await;
        self.directory.lock().unwrap()[node] = server.signal_url();
        self.nodes[node] = Some(server);
    }

    /// Keeps a user out, or lets it in again.
    pub(super) async fn block(&self, user: &str, is_blocked: bool) {
        let method = if is_blocked { "PUT" } else { "DELETE" };
        let node = self.nodes[0].as_ref().unwrap();
        let (status, body) = ask(node, &format!("{method} /v1/users/{user}/block"), &own()).await;
        assert_eq!(status, 204, "{method} block of {user}: {body}");
    }

    /// Nobody is left, and no call.
    pub(super) async fn check_empty(&self) {
        for node in self.nodes.iter().flatten() {
            let end = Instant::now() + FORGOTTEN;
            loop {
                let page = scrape(node).await;
                let left = [
                    r#"offhook_calls{state="ringing"}"#,
                    r#"offhook_calls{state="answered"}"#,
                    r#"offhook_calls{state="established"}"#,
                    r#"offhook_sessions{state="connected"}"#,
                    r#"offhook_sessions{state="waiting"}"#,
                ]
                .map(|sample| value(&page, sample));
                if left == [0.0; 5] {
                    break;
                }
                assert!(Instant::now() < end, "ringing, answered, established, connected, waiting: {left:?}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }

    /// Every record of calls that ended since then, read as another program would. Those of earlier rounds have been judged, and would make
    /// this process larger with each round.
    pub(super) async fn records(&self, since: UnixMillis) -> Vec<CallDetailRecord> {
        let store = SqliteStore::open(&self.folder, &StoreKeySource::DataFolder).unwrap();
        let (mut all, mut after) = (Vec::new(), None);
        loop {
            let application = ApplicationKey::new(KEY).unwrap();
            let query =
                RecordQuery { application, from: Some(since), to: None, user: None, after, limit: 500 };
            let page = store.records(&query).await.unwrap();
            all.extend(page.records);
            match page.next {
                Some(next) => after = Some(next),
                None => return all,
            }
        }
    }

    pub(super) async fn stop(&mut self) {
        for node in self.nodes.iter_mut().filter_map(Option::take) {
            node.shutdown().await;
        }
    }

    async fn serve(&self) -> RunningServer {
        counting(quick(config()).data(&self.folder)).await
    }
}

/// No limit is in the way but those of time.
fn quick(config: ServerConfig) -> ServerConfig {
    let often = Rate { interval: Duration::from_micros(10), burst: 1_000_000 };
    config
        .echo_user(None)
        .without_turn()
        .call_timers(TIMERS)
        .session_timers(SessionTimers {
            heartbeat: HEARTBEAT,
            resume: Duration::from_secs(2),
            shutdown: Duration::from_secs(1),
            ..SessionTimers::default()
        })
        .limits(Limits {
            attempts_per_address: often,
            registrations_per_user: often,
            calls_per_user: often,
            messages_per_connection: often,
            ..Limits::default()
        })
}
