//! The storm: clients, the network, and nodes with so many processors, in virtual time.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use offhook_signaling::client::{ClientConfig, ClientMachine, Output, StoredCredential};
use offhook_signaling::message::{Limits as MessageLimits, Snapshot, Welcome};
use offhook_signaling::session::ServerSession;
use offhook_signaling::{
    ApplicationKey, DeviceCredential, DeviceId, EntropySource, ServerMessage, UnixSeconds, UserId,
};

use crate::config::Limits;
use crate::limit::{Connections, Permit};
use crate::lobby::{Lobby, LobbyOutput};

/// As the client has it: TCP, TLS and upgrade together.
const CONNECTING: Duration = Duration::from_secs(10);
/// What the kernel keeps of connections that nobody has accepted (`net.core.somaxconn`).
const BACKLOG: usize = 4096;
/// When a client's kernel tries again to connect where there was no place (RFC 6298).
const FIRST_RETRANSMISSION: Duration = Duration::from_secs(1);
const WALL: UnixSeconds = UnixSeconds(1_790_000_000);

/// A storm.
#[derive(Debug, Clone, Copy)]
pub(super) struct Storm {
    pub(super) clients: u32,
    /// Those that live.
    pub(super) nodes: usize,
    pub(super) processors: usize,
    /// Processor time of a TLS handshake at the server.
    pub(super) tls: Duration,
    /// Processor time of everything else: accept, upgrade, hello, session.
    pub(super) session: Duration,
    /// The part of it that the one task of the application does.
    pub(super) hub: Duration,
    /// To accept a connection.
    pub(super) accept: Duration,
    pub(super) round_trip: Duration,
    /// None for a server that greets everybody at once.
    pub(super) limits: Limits,
}

/// What came of it.
#[derive(Debug, Default)]
pub(super) struct Aftermath {
    /// From the loss of the connection to the welcome; sorted.
    pub(super) back: Vec<Duration>,
    /// Clients that were not back when the simulation was stopped.
    pub(super) missing: usize,
    pub(super) most_waiting: usize,
    pub(super) refused: u64,
    /// Connections that clients gave up after work had been done for them.
    pub(super) wasted: u64,
    /// Tries of the client that needed most.
    pub(super) most_tries: u32,
}

impl Aftermath {
    pub(super) fn at(&self, per_mille: usize) -> Duration {
        let index = (self.back.len() * per_mille / 1000).min(self.back.len().saturating_sub(1));
        self.back.get(index).copied().unwrap_or_default()
    }
}

/// A connection: whose, and which of theirs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Visit {
    client: u32,
    attempt: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Tls,
    Upgrade,
    Hello,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Event {
    /// A client's timer.
    Timer(u32),
    /// The kernel of a node sees a connection, for the so-manieth time.
    Syn(Visit, u32),
    /// A node has accepted one.
    Accepted(usize, Visit),
    /// Something comes from a client, that a processor of its node has to work on.
    Work(Visit, Stage),
    Worked(usize, Visit, Stage),
    /// The hub of a node has opened a session.
    Opened(usize, Visit),
    LobbyTimer(usize),
    Connected(Visit),
    Closed(Visit),
    Welcomed(Visit),
}

/// A reproducible stream of bytes (SplitMix64).
#[derive(Debug, Clone)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

impl EntropySource for Random {
    fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.next().to_ne_bytes()[..chunk.len()]);
        }
    }
}

struct Client {
    machine: ClientMachine<Random>,
    attempt: u32,
    node: usize,
    is_connected: bool,
    back: Option<Duration>,
}

struct Node {
    lobby: Lobby<Visit>,
    connections: Arc<Connections>,
    permits: HashMap<Visit, Permit>,
    turns: HashMap<Visit, u64>,
    backlog: usize,
    accept_free: Instant,
    idle: usize,
    queue: VecDeque<(Visit, Stage)>,
    hub_free: Instant,
    timer: Option<Instant>,
}

pub(super) struct Simulation {
    storm: Storm,
    start: Instant,
    events: BinaryHeap<Reverse<(Instant, u64)>>,
    what: HashMap<u64, Event>,
    last: u64,
    clients: Vec<Client>,
    nodes: Vec<Node>,
    random: Random,
    welcome: (String, String),
    aftermath: Aftermath,
}

/// Runs it for `most` of virtual time at most, or until everybody is back.
pub(super) fn run(storm: Storm, most: Duration) -> Aftermath {
    let mut simulation = Simulation::new(storm);
    simulation.begin();
    let end = simulation.start + most;
    while let Some(Reverse((at, number))) = simulation.events.pop() {
        if at > end || simulation.aftermath.back.len() == simulation.clients.len() {
            break;
        }
        if let Some(event) = simulation.what.remove(&number) {
            simulation.handle(at, event);
        }
    }
    let mut aftermath = simulation.aftermath;
    aftermath.back.sort_unstable();
    aftermath.missing = simulation.clients.len() - aftermath.back.len();
    aftermath.most_tries = simulation.clients.iter().map(|client| client.attempt).max().unwrap_or(0);
    aftermath
}

impl Simulation {
    fn new(storm: Storm) -> Self {
        let (mut random, start) = (Random(7), Instant::now());
        let mut session = ServerSession::new(&mut random);
        let welcome = Welcome {
            session: session.id().clone(),
            resume_token: session.rotate_token(&mut random),
            epoch: "n1".to_owned(),
            resumed: false,
            heartbeat_ms: 25_000,
            limits: MessageLimits::default(),
            server_time: WALL,
            ice_servers: Vec::new(),
            credential: None,
        };
        let welcome = session.unnumbered(ServerMessage::Welcome(Box::new(welcome)));
        let snapshot = session.unnumbered(ServerMessage::Snapshot(Snapshot { calls: Vec::new() }));
        let client = |index: u32| Client {
            machine: machine(index, start),
            attempt: 0,
            node: 0,
            is_connected: false,
            back: None,
        };
        let limits = storm.limits;
        let node = |_| Node {
            lobby: Lobby::new(limits.greetings, limits.waiting),
            connections: Arc::new(Connections::new(
                limits.connections,
                limits.connections_per_address,
                limits.attempts_per_address,
            )),
            permits: HashMap::new(),
            turns: HashMap::new(),
            backlog: 0,
            accept_free: start,
            idle: storm.processors,
            queue: VecDeque::new(),
            hub_free: start,
            timer: None,
        };
        Self {
            storm,
            start,
            events: BinaryHeap::new(),
            what: HashMap::new(),
            last: 0,
            clients: (0..storm.clients).map(client).collect(),
            nodes: (0..storm.nodes).map(node).collect(),
            random,
            welcome: (welcome, snapshot),
            aftermath: Aftermath::default(),
        }
    }

    /// Everybody is connected to a node that is then gone: their kernels say so at once.
    fn begin(&mut self) {
        for index in 0..self.storm.clients {
            let start = self.start;
            let client = &mut self.clients[index as usize];
            client.machine.handle_connected(start);
            client.machine.handle_frame(start, &self.welcome.0);
            client.machine.handle_frame(start, &self.welcome.1);
            assert!(client.machine.is_online(), "a client that was welcomed is online");
            // What it did until then is not part of the storm.
            while client.machine.poll_output().is_some_and(|output| !matches!(output, Output::Timeout(..))) {}
            client.machine.handle_disconnected(start);
            self.drain(start, index);
        }
    }

    fn at(&mut self, at: Instant, event: Event) {
        self.last += 1;
        self.events.push(Reverse((at, self.last)));
        self.what.insert(self.last, event);
    }

    fn handle(&mut self, now: Instant, event: Event) {
        match event {
            Event::Timer(index) => {
                self.clients[index as usize].machine.handle_timeout(now);
                self.drain(now, index);
            }
            Event::Syn(visit, tries) => self.handle_syn(now, visit, tries),
            Event::Accepted(node, visit) => self.handle_accepted(now, node, visit),
            Event::Work(visit, stage) => {
                let node = self.clients[visit.client as usize].node;
                if self.is_there(visit) {
                    self.nodes[node].queue.push_back((visit, stage));
                    self.work(now, node);
                }
            }
            Event::Worked(node, visit, stage) => self.handle_worked(now, node, visit, stage),
            Event::Opened(node, visit) => {
                self.done(now, node, visit);
                self.at(now + self.storm.round_trip / 2, Event::Welcomed(visit));
            }
            Event::LobbyTimer(node) => {
                self.nodes[node].timer = None;
                self.nodes[node].lobby.handle_timeout(now);
                self.greet(now, node);
            }
            Event::Connected(visit) if self.is_there(visit) => {
                let client = &mut self.clients[visit.client as usize];
                client.is_connected = true;
                client.machine.handle_connected(now);
                self.drain(now, visit.client);
            }
            Event::Closed(visit) if self.is_there(visit) => {
                let client = &mut self.clients[visit.client as usize];
                if client.back.is_none() {
                    client.machine.handle_disconnected(now);
                    self.drain(now, visit.client);
                }
            }
            Event::Welcomed(visit) if self.is_there(visit) => {
                let client = &mut self.clients[visit.client as usize];
                client.machine.handle_frame(now, &self.welcome.0);
                client.machine.handle_frame(now, &self.welcome.1);
                let took = now - self.start;
                client.back = Some(took);
                self.aftermath.back.push(took);
            }
            Event::Connected(_) | Event::Closed(_) | Event::Welcomed(_) => {}
        }
    }

    /// Whether the client has not given this connection up.
    fn is_there(&self, visit: Visit) -> bool {
        self.clients[visit.client as usize].attempt == visit.attempt
    }

    /// Carries out what a client wants.
    fn drain(&mut self, now: Instant, index: u32) {
        loop {
            let client = &mut self.clients[index as usize];
            match client.machine.poll_output() {
                Some(Output::Connect) => {
                    client.attempt += 1;
                    client.is_connected = false;
                    let attempt = client.attempt;
                    let node = (self.random.next() % self.nodes.len() as u64) as usize;
                    self.clients[index as usize].node = node;
                    let visit = Visit { client: index, attempt };
                    self.at(now + self.storm.round_trip / 2, Event::Syn(visit, 0));
                    self.at(now + CONNECTING, Event::Closed(visit));
                }
                Some(Output::Send(text)) if text.contains(r#""type":"hello""#) => {
                    let visit = Visit { client: index, attempt: client.attempt };
                    self.at(now + self.storm.round_trip / 2, Event::Work(visit, Stage::Hello));
                }
                Some(Output::Disconnect) => client.attempt += 1,
                Some(Output::Timeout(at, _)) => {
                    // Those that come too early find nothing to do.
                    return self.at(at, Event::Timer(index));
                }
                Some(_) => {}
                None => return,
            }
        }
    }

    fn handle_syn(&mut self, now: Instant, visit: Visit, tries: u32) {
        if !self.is_there(visit) {
            return;
        }
        let index = self.clients[visit.client as usize].node;
        let accept = self.storm.accept;
        let node = &mut self.nodes[index];
        if node.backlog >= BACKLOG {
            return self.at(now + FIRST_RETRANSMISSION * (1 << tries), Event::Syn(visit, tries + 1));
        }
        node.backlog += 1;
        node.accept_free = node.accept_free.max(now) + accept;
        let accepted = node.accept_free;
        self.at(accepted, Event::Accepted(index, visit));
    }

    fn handle_accepted(&mut self, now: Instant, index: usize, visit: Visit) {
        let node = &mut self.nodes[index];
        node.backlog -= 1;
        // Each comes from an address of its own.
        let address = IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + visit.client));
        match node.connections.admit(address, now) {
            Some(permit) => {
                node.permits.insert(visit, permit);
                node.lobby.handle_arrival(now, visit);
                self.greet(now, index);
            }
            None => self.refuse(now, visit),
        }
    }

    fn greet(&mut self, now: Instant, index: usize) {
        let half = self.storm.round_trip / 2;
        while let Some(output) = self.nodes[index].lobby.poll_output() {
            match output {
                LobbyOutput::Greet(turn, visit) => {
                    self.nodes[index].turns.insert(visit, turn);
                    // The client's first words are on their way since it was connected.
                    self.at(now + half, Event::Work(visit, Stage::Tls));
                    if !self.is_there(visit) {
                        self.done(now, index, visit);
                    }
                }
                LobbyOutput::Refuse(visit) => {
                    self.nodes[index].permits.remove(&visit);
                    self.refuse(now, visit);
                }
            }
        }
        let node = &mut self.nodes[index];
        self.aftermath.most_waiting = self.aftermath.most_waiting.max(node.lobby.waiting());
        if let Some(due) = node.lobby.poll_timeout()
            && node.timer.is_none_or(|timer| due < timer)
        {
            node.timer = Some(due);
            self.at(due, Event::LobbyTimer(index));
        }
    }

    fn refuse(&mut self, now: Instant, visit: Visit) {
        self.aftermath.refused += 1;
        self.at(now + self.storm.round_trip / 2, Event::Closed(visit));
    }

    /// Gives the processors of a node something to do.
    fn work(&mut self, now: Instant, index: usize) {
        let Storm { tls, session, .. } = self.storm;
        while self.nodes[index].idle > 0
            && let Some((visit, stage)) = self.nodes[index].queue.pop_front()
        {
            let cost = match stage {
                Stage::Tls => tls,
                Stage::Upgrade | Stage::Hello => session / 2,
            };
            self.nodes[index].idle -= 1;
            self.at(now + cost, Event::Worked(index, visit, stage));
        }
    }

    fn handle_worked(&mut self, now: Instant, index: usize, visit: Visit, stage: Stage) {
        let Storm { round_trip, hub, .. } = self.storm;
        self.nodes[index].idle += 1;
        if self.is_there(visit) {
            match stage {
                Stage::Tls => self.at(now + round_trip, Event::Work(visit, Stage::Upgrade)),
                Stage::Upgrade => self.at(now + round_trip / 2, Event::Connected(visit)),
                Stage::Hello => {
                    let node = &mut self.nodes[index];
                    node.hub_free = node.hub_free.max(now) + hub;
                    let opened = node.hub_free;
                    self.at(opened, Event::Opened(index, visit));
                }
            }
        } else {
            self.aftermath.wasted += 1;
            self.nodes[index].permits.remove(&visit);
            self.done(now, index, visit);
        }
        self.work(now, index);
    }

    /// A turn is over.
    fn done(&mut self, now: Instant, index: usize, visit: Visit) {
        if let Some(turn) = self.nodes[index].turns.remove(&visit) {
            self.nodes[index].lobby.handle_done(now, turn);
            self.greet(now, index);
        }
    }
}

fn machine(index: u32, start: Instant) -> ClientMachine<Random> {
    let application = ApplicationKey::new("a32e5a8d-f7d8-411c-9645-9038e8dd051d").unwrap();
    let mut random = Random(u64::from(index) << 20);
    let device = DeviceId::random(&mut random);
    let user = UserId::new(format!("u{index}")).unwrap();
    let mut machine = ClientMachine::new(ClientConfig::new(application, user, device), random);
    let credential = DeviceCredential::new(format!("credential-{index}"));
    let stored = StoredCredential { secret: credential, expires: UnixSeconds(WALL.0 + 86_400) };
    machine.start(start, WALL, Some(stored)).unwrap();
    machine
}
