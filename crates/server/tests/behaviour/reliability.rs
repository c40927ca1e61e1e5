//! `make reliability`: three nodes and three NATS servers as processes, calls running, one fault, and what became of every call. Not a
//! test of `make test`: it takes minutes and needs the built command.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use offhook_server::{RecordQuery, SqliteStore, Store as _, StoreKeySource};
use offhook_signaling::call::CallEndCause;
use offhook_signaling::message::{
    Answer, CallStart, Candidate, Credential, Empty, Hangup, Headers, Hello, Resume, SdpKind, Update, Welcome,
};
use offhook_signaling::{ApplicationKey, ClientMessage, DeviceCredential, ServerMessage, UserId};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::nodes::Nats;
use crate::support::{ANSWER, KEY, OFFER, Phone, SECRET, hello, live, token};

const NODES: usize = 3;
/// What a call may take after the fault before it counts as failed.
const PATIENCE: Duration = Duration::from_secs(60);
const PROMISED_RESUME: Duration = Duration::from_secs(5);
const PROMISED_CONTROL: Duration = Duration::from_secs(10);

/// What is done to the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    KillNode,
    KillLeader,
    RollingRestart,
}

impl Fault {
    const ALL: [Self; 3] = [Self::KillNode, Self::KillLeader, Self::RollingRestart];

    const fn words(self) -> &'static str {
        match self {
            Self::KillNode => "kill -9 of a node",
            Self::KillLeader => "kill -9 of the JetStream leader",
            Self::RollingRestart => "rolling restart of all nodes",
        }
    }
}

/// What the people of the calls do.
#[derive(Debug, Clone, Copy)]
enum Phase {
    /// They talk.
    Before,
    /// They go where they are sent.
    During,
    /// They negotiate anew and hang up; times count from here.
    After(Instant),
}

struct Node {
    child: Option<Child>,
    name: String,
    url: String,
    listen: String,
}

/// One cluster in processes.
struct Stand {
    program: PathBuf,
    folder: tempfile::TempDir,
    nats: Nats,
    nodes: Vec<Node>,
}

impl Stand {
    async fn start(program: &Path) -> Self {
        let nats = Nats::start(3).await.expect("nats-server is installed");
        let folder = tempfile::tempdir().unwrap();
        let limits = "[limits]\nconnections_per_address = 100000\nattempts_per_address = { interval_seconds = 0.0001, burst = 100000 }\n";
        std::fs::write(folder.path().join("offhook.toml"), limits).unwrap();
        let mut stand = Self { program: program.to_owned(), folder, nats, nodes: Vec::new() };
        for index in 0..NODES {
            let node = stand.start_node(&format!("n{index}"), "127.0.0.1:0").await;
            stand.nodes.push(node);
        }
        stand
    }

    async fn start_node(&self, name: &str, listen: &str) -> Node {
        let mut child = Command::new(&self.program)
            .args(["serve", "--json", "--log", "error", "--listen", listen, "--node-name", name])
            .args(["--application", &format!("{KEY}:{SECRET}"), "--cluster", &self.nats.urls().join(",")])
            .arg("--data")
            .arg(self.folder.path().join("data"))
            .arg("--config")
            .arg(self.folder.path().join("offhook.toml"))
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = lines.next_line().await.unwrap().expect("the node says where it listens");
        let said: Value = serde_json::from_str(&line).unwrap();
        let url = format!("{}{}", said["url"].as_str().unwrap(), offhook_signaling::PATH);
        let listen = said["listen"].as_str().unwrap().to_owned();
        Node { child: Some(child), name: name.to_owned(), url, listen }
    }

    fn urls(&self) -> Vec<String> {
        self.nodes.iter().map(|node| node.url.clone()).collect()
    }

    async fn inflict(&mut self, fault: Fault) {
        match fault {
            Fault::KillNode => {
                let mut child = self.nodes[0].child.take().unwrap();
                child.kill().await.unwrap();
            }
            Fault::KillLeader => {
                let leader = leader(&self.nats.urls()).await;
                self.nats.kill_one(leader);
            }
            Fault::RollingRestart => {
                for index in 0..NODES {
                    let mut child = self.nodes[index].child.take().unwrap();
                    let pid = child.id().unwrap().to_string();
                    assert!(Command::new("kill").args(["-TERM", &pid]).status().await.unwrap().success());
                    child.wait().await.unwrap();
                    let (name, listen) = (self.nodes[index].name.clone(), self.nodes[index].listen.clone());
                    self.nodes[index] = self.start_node(&name, &listen).await;
                }
            }
        }
    }
}

/// The number of the NATS server that leads the bucket of calls.
async fn leader(urls: &[String]) -> usize {
    let client = async_nats::connect(urls.to_vec()).await.unwrap();
    let jetstream = async_nats::jetstream::new(client);
    let stream = jetstream.get_stream("KV_offhook_calls").await.unwrap();
    let info = stream.get_info().await.unwrap();
    let name = info.cluster.and_then(|cluster| cluster.leader).expect("it has a leader");
    name.trim_start_matches('n').parse().unwrap()
}

/// What became of one call.
#[derive(Debug, Default)]
struct Outcome {
    /// From the fault, or from the loss of the connection, to being back, for sides that lost it.
    resumed: Vec<Duration>,
    renegotiated: Option<Duration>,
    ended: Option<Duration>,
    gaps: u64,
    repeated: u64,
    dropped: bool,
}

/// One end of a call.
struct Side {
    urls: Arc<Vec<String>>,
    at: usize,
    user: String,
    call: String,
    remote: String,
    outgoing: bool,
    phone: Option<Phone>,
    welcome: Option<Welcome>,
    credential: Option<DeviceCredential>,
    last_seq: u64,
    sent: u64,
    resumed: Vec<Duration>,
    gaps: u64,
    repeated: u64,
    dropped: bool,
    talks: bool,
}

impl Side {
    fn hello(&self) -> Hello {
        let credential = match &self.credential {
            Some(secret) => Credential::Device(secret.clone()),
            None => Credential::Token(token(&self.user, &self.user)),
        };
        let mut hello = hello(&self.user, "d1", credential);
        hello.resume = self.welcome.as_ref().map(|welcome| Resume {
            session: welcome.session.clone(),
            token: welcome.resume_token.clone(),
            last_seq: self.last_seq,
            epoch: welcome.epoch.clone(),
        });
        if self.talks {
            hello.calls = vec![live(&self.call, self.outgoing, &self.remote)];
        }
        hello
    }

    /// Connects, at the next node when it does not work at this one.
    async fn connect(&mut self) {
        let since = Instant::now();
        let is_back = self.welcome.is_some();
        loop {
            if self.try_connect().await.is_some() {
                break;
            }
            self.at += 1;
            sleep(Duration::from_millis(100)).await;
            if since.elapsed() > PATIENCE {
                self.dropped = true;
                return;
            }
        }
        if is_back {
            self.resumed.push(since.elapsed());
        }
    }

    async fn try_connect(&mut self) -> Option<()> {
        let url = self.urls[self.at % self.urls.len()].clone();
        let mut phone = timeout(Duration::from_secs(3), Phone::try_connect(&url, None)).await.ok()?.ok()?;
        phone.say(ClientMessage::Hello(self.hello())).await;
        let welcome = loop {
            match phone.next_if_there().await?.message {
                ServerMessage::Welcome(welcome) => break welcome,
                ServerMessage::Bye(_) => return None,
                _ => {}
            }
        };
        if !welcome.resumed {
            self.last_seq = 0;
            let ServerMessage::Snapshot(snapshot) = phone.next_if_there().await?.message else { return None };
            if self.talks && !snapshot.calls.iter().any(|call| call.call_id.as_str() == self.call) {
                self.dropped = true;
            }
        }
        if let Some(credential) = &welcome.credential {
            self.credential = Some(credential.secret.clone());
        }
        self.welcome = Some(*welcome);
        phone.count_from(self.sent);
        self.phone = Some(phone);
        Some(())
    }

    async fn send(&mut self, message: ClientMessage) {
        if self.phone.is_none() {
            self.connect().await;
        }
        let call = self.call.clone();
        if let Some(phone) = &mut self.phone {
            phone.last_seq = self.last_seq;
            phone.send(Some(&call), message).await;
            self.sent += 1;
        }
    }

    /// Reads until this comes, or the time is over.
    async fn read(&mut self, time: Duration, wanted: impl Fn(&ServerMessage) -> bool) -> bool {
        let until = Instant::now() + time;
        while !self.dropped {
            if self.phone.is_none() {
                self.connect().await;
            }
            let Some(phone) = &mut self.phone else { return false };
            let left = until.saturating_duration_since(Instant::now());
            match timeout(left, phone.next_if_there()).await {
                Err(_) => return false,
                Ok(None) => {
                    self.phone = None;
                    self.at += 1;
                }
                Ok(Some(frame)) => {
                    self.count(frame.seq);
                    if let ServerMessage::CallEnded(ended) = &frame.message {
                        self.talks = false;
                        self.dropped |= ended.cause != CallEndCause::HungUp;
                    }
                    if wanted(&frame.message) {
                        return true;
                    }
                }
            }
        }
        false
    }

    fn count(&mut self, seq: u64) {
        if seq == 0 {
            return;
        }
        if seq <= self.last_seq {
            self.repeated += 1;
        } else {
            self.gaps += seq - self.last_seq - 1;
            self.last_seq = seq;
        }
    }
}

fn side(
    urls: &Arc<Vec<String>>,
    at: usize,
    (user, remote): (&str, &str),
    call: &str,
    outgoing: bool,
) -> Side {
    Side {
        urls: urls.clone(),
        at,
        user: user.to_owned(),
        call: call.to_owned(),
        remote: remote.to_owned(),
        outgoing,
        phone: None,
        welcome: None,
        credential: None,
        last_seq: 0,
        // The hello of a connection is the frame before.
        sent: 1,
        resumed: Vec::new(),
        gaps: 0,
        repeated: 0,
        dropped: false,
        talks: false,
    }
}

/// For what happens before the fault.
const LONG: Duration = Duration::from_secs(30);

/// How long each side listens before what did not work is tried again.
const MOMENT: Duration = Duration::from_millis(500);

/// A call before, through and after the fault.
async fn one(
    index: usize,
    urls: Arc<Vec<String>>,
    up: mpsc::Sender<()>,
    mut phase: watch::Receiver<Phase>,
) -> Outcome {
    let (mut caller, mut callee) = talk(index, &urls).await;
    up.send(()).await.unwrap();
    let since = loop {
        let now = *phase.borrow_and_update();
        match now {
            Phase::After(since) => break since,
            Phase::Before => phase.changed().await.unwrap(),
            // Clients go where they are sent, and wait.
            Phase::During => {
                tokio::join!(caller.read(MOMENT, |_| false), callee.read(MOMENT, |_| false));
            }
        }
    };
    let renegotiated = renegotiate(&mut caller, &mut callee, since).await;
    let ended = hang_up(&mut caller, &mut callee, since).await;
    let mut outcome = Outcome { renegotiated, ended, ..Outcome::default() };
    for side in [caller, callee] {
        outcome.resumed.extend(side.resumed);
        outcome.gaps += side.gaps;
        outcome.repeated += side.repeated;
        outcome.dropped |= side.dropped;
    }
    outcome
}

/// Two people who talk: every third pair within one node, the others across two.
async fn talk(index: usize, urls: &Arc<Vec<String>>) -> (Side, Side) {
    let (a, b, call) = (format!("a{index}"), format!("b{index}"), format!("call-{index}"));
    let at = index / 3;
    let there = if index.is_multiple_of(3) { at } else { at + 1 };
    let mut caller = side(urls, at, (&a, &b), &call, true);
    let mut callee = side(urls, there, (&b, &a), &call, false);
    caller.connect().await;
    callee.connect().await;
    let start = CallStart {
        to: UserId::new(&b).unwrap(),
        headers: Headers::new(),
        sdp: OFFER.to_owned(),
        commitment: None,
        display_name: None,
    };
    caller.send(ClientMessage::CallStart(start)).await;
    let rings = callee.read(LONG, |message| matches!(message, ServerMessage::CallIncoming(_))).await;
    callee.send(ClientMessage::CallAnswer(Answer { sdp: ANSWER.to_owned(), nonce: None })).await;
    let is_answer = |message: &ServerMessage| matches!(message, ServerMessage::CallAnswered(_));
    let is_up = rings && caller.read(LONG, is_answer).await && callee.read(LONG, is_answer).await;
    assert!(is_up, "{call} could not be set up");
    (caller.talks, callee.talks) = (true, true);
    callee.send(ClientMessage::CallEstablished(Empty {})).await;
    caller.read(LONG, |message| matches!(message, ServerMessage::CallEstablished(_))).await;
    caller.send(ClientMessage::CallCandidate(Candidate::default())).await;
    callee.read(LONG, |message| matches!(message, ServerMessage::CallCandidate(_))).await;
    (caller, callee)
}

async fn renegotiate(caller: &mut Side, callee: &mut Side, since: Instant) -> Option<Duration> {
    while since.elapsed() < PATIENCE && !caller.dropped && !callee.dropped {
        let offer = Update { kind: SdpKind::Offer, sdp: "v=0 again".to_owned() };
        caller.send(ClientMessage::CallUpdate(offer)).await;
        let (heard, _) = tokio::join!(
            callee.read(MOMENT, |message| matches!(message, ServerMessage::CallUpdate(_))),
            caller.read(MOMENT, |message| matches!(message, ServerMessage::Outcome(_))),
        );
        if heard {
            return Some(since.elapsed());
        }
    }
    None
}

async fn hang_up(caller: &mut Side, callee: &mut Side, since: Instant) -> Option<Duration> {
    let (mut caller_told, mut callee_told) = (false, false);
    while since.elapsed() < PATIENCE * 2 && !caller.dropped && !callee.dropped {
        if !callee_told {
            let hang_up = Hangup { cause: CallEndCause::HungUp, error: None };
            callee.send(ClientMessage::CallHangup(hang_up)).await;
        }
        let is_end = |message: &ServerMessage| matches!(message, ServerMessage::CallEnded(_));
        (callee_told, caller_told) =
            tokio::join!(async { callee_told || callee.read(MOMENT, is_end).await }, async {
                caller_told || caller.read(MOMENT, is_end).await
            },);
        if caller_told && callee_told {
            return Some(since.elapsed());
        }
    }
    None
}

async fn records(folder: &Path) -> BTreeMap<String, usize> {
    let store = SqliteStore::open(folder.join("data"), &StoreKeySource::DataFolder).unwrap();
    let mut counts = BTreeMap::new();
    let mut after = None;
    loop {
        let application = ApplicationKey::new(KEY).unwrap();
        let query = RecordQuery { application, from: None, to: None, user: None, after, limit: 1000 };
        let page = store.records(&query).await.unwrap();
        for record in page.records {
            *counts.entry(record.call_id.to_string()).or_default() += 1;
        }
        match page.next {
            Some(next) => after = Some(next),
            None => return counts,
        }
    }
}

fn at(sorted: &[Duration], per_mille: usize) -> String {
    if sorted.is_empty() {
        return "–".to_owned();
    }
    let index = (sorted.len() * per_mille / 1000).min(sorted.len() - 1);
    format!("{:.2}", sorted[index].as_secs_f64())
}

fn line(fault: Fault, outcomes: &[Outcome], records: &BTreeMap<String, usize>) -> String {
    let mut resumed: Vec<Duration> = outcomes.iter().flat_map(|outcome| outcome.resumed.clone()).collect();
    resumed.sort_unstable();
    let mut renegotiated: Vec<Duration> =
        outcomes.iter().filter_map(|outcome| outcome.renegotiated).collect();
    renegotiated.sort_unstable();
    let mut ended: Vec<Duration> = outcomes.iter().filter_map(|outcome| outcome.ended).collect();
    ended.sort_unstable();
    let calls = outcomes.len();
    let dropped = outcomes.iter().filter(|outcome| outcome.dropped).count();
    let late = resumed.iter().filter(|time| **time > PROMISED_RESUME).count();
    let in_time = |times: &[Duration]| times.iter().filter(|time| **time <= PROMISED_CONTROL).count();
    let events = outcomes.iter().fold((0, 0), |sum, one| (sum.0 + one.gaps, sum.1 + one.repeated));
    let exactly_one = records.values().filter(|count| **count == 1).count();
    format!(
        "| {} | {calls} | {dropped} | {} | {late} | {}, {}, {} | {} | {}, {} | {} | {}, {} | {}, {} | {exactly_one} |",
        fault.words(),
        resumed.len(),
        at(&resumed, 500),
        at(&resumed, 990),
        at(&resumed, 1000),
        in_time(&renegotiated),
        at(&renegotiated, 990),
        at(&renegotiated, 1000),
        in_time(&ended),
        at(&ended, 990),
        at(&ended, 1000),
        events.0,
        events.1,
    )
}

async fn count(program: &Path, fault: Fault, calls: usize) -> String {
    let mut stand = Stand::start(program).await;
    let urls = Arc::new(stand.urls());
    let (phase, seen) = watch::channel(Phase::Before);
    let (up, mut ups) = mpsc::channel(calls);
    let mut tasks = JoinSet::new();
    for index in 0..calls {
        tasks.spawn(one(index, urls.clone(), up.clone(), seen.clone()));
        // Registrations spread over some seconds.
        sleep(Duration::from_millis(5)).await;
    }
    for _ in 0..calls {
        ups.recv().await.unwrap();
    }
    // What is written in the background is written.
    sleep(Duration::from_secs(2)).await;
    if fault == Fault::RollingRestart {
        phase.send_replace(Phase::During);
        stand.inflict(fault).await;
        phase.send_replace(Phase::After(Instant::now()));
    } else {
        phase.send_replace(Phase::After(Instant::now()));
        stand.inflict(fault).await;
    }
    let mut outcomes = Vec::new();
    while let Some(outcome) = tasks.join_next().await {
        outcomes.push(outcome.unwrap());
    }
    let records = records(stand.folder.path()).await;
    line(fault, &outcomes, &records)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "run by `make reliability`"]
async fn table() {
    let program = PathBuf::from(std::env::var_os("OFFHOOK_PROGRAM").expect("the built command"));
    let calls =
        std::env::var("OFFHOOK_RELIABILITY_CALLS").ok().and_then(|calls| calls.parse().ok()).unwrap_or(1000);
    for fault in Fault::ALL {
        println!("RELIABILITY {}", count(&program, fault, calls).await);
    }
}
