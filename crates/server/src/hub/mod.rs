//! One task per application owns its sessions and its calls: no locks, one order of events.
//!
//! The decisions are made by the `Switchboard` and `ServerSession` machines; this task gives them commands and time and
//! carries out what they want.

mod adopting;
mod attached;
mod blocking;
mod commands;
mod control;
mod draining;
mod far;
mod hooks;
mod listing;
mod locate;
mod opening;
mod owning;
mod parted;
mod passing;
mod peers;
mod pushing;
mod records;
mod revoking;
mod sessions;
mod sight;

use std::collections::{BTreeMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use offhook_signaling::call::{CallRecord, DeviceAddress, Switchboard, SwitchboardOutput, Verdict};
use offhook_signaling::message::{IssuedCredential, LiveCall, Outcome, Resume, WireError};
use offhook_signaling::wire::Frame;
use offhook_signaling::{ApplicationKey, CallId, ClientMessage, MessageId, ServerMessage, UserId, entropy};
use tokio::sync::{mpsc, oneshot};

pub(crate) use self::adopting::Found;
pub(crate) use self::blocking::Blocks;
pub(crate) use self::control::{Gone, Question};
use self::far::{Far, Owned};
pub(crate) use self::locate::Resolved;
pub(crate) use self::parted::Finding;
pub(crate) use self::passing::Passed;
use self::records::{Held, Records};
use self::revoking::{Looking, Session};
use self::sessions::Sessions;
use crate::applications::Applications;
use crate::close::CloseReason;
use crate::cluster::message::{Device, DeviceEvent, Eviction, Message};
use crate::cluster::node::NodeId;
use crate::cluster::{Answer, Cluster};
use crate::config::{Rate, ServerConfig};
use crate::environment::{self, OsEntropy};
use crate::limit::Pacer;
use crate::metrics::{Census, Metrics};
use crate::outbox::Outbox;
use crate::push::PushNews;
use crate::store::{Store, UnixMillis};
use crate::toll::Tolls;
use crate::traces::Traces;
use crate::turn::IceIssuer;
use crate::webhook::Notice;

const QUEUED_COMMANDS: usize = 1024;

/// One connection of one device; a later connection of the same device has another number.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    pub(crate) address: Arc<DeviceAddress>,
    /// The address it comes from, or the network of an IPv6 address.
    pub(crate) from: IpAddr,
    pub(crate) connection: u64,
}

/// What connections and the operator ask of a hub.
#[derive(Debug)]
pub(crate) enum Command {
    /// A device proved itself.
    Open(Box<Open>),
    /// A frame that was understood.
    Frame(Line, Box<Frame<ClientMessage>>),
    /// A frame that was not.
    Unreadable(Line, Outcome),
    /// A registration was renewed, or not.
    Registered(Line, MessageId, Result<IssuedCredential, WireError>),
    /// A command that needs no session was carried out, or not.
    Settled(Line, MessageId, Option<WireError>),
    /// The connection is gone.
    Closed(Line),
    /// The device's credentials were revoked.
    Revoked(Arc<DeviceAddress>),
    /// The application's back end wants to know or to do something.
    Ask(Box<Question>),
    /// What the application said about a call that waits for it; `None` when it said nothing.
    Verdict(CallId, Option<Verdict>),
    /// The application has this call ended, now that it is answered.
    HangUp(CallId),
    /// The application is served no more.
    Blocked,
    /// Tell what there is, with so many live calls at most.
    Census(usize, oneshot::Sender<Census>),
    /// Tell every client and end.
    Shutdown,
    /// Another node says something.
    Peer(Box<Message>),
    /// This device arrived a moment ago.
    Arrived(DeviceAddress),
    /// Another node is dead.
    NodeGone(NodeId),
    /// Other nodes can be reached again, or this one.
    BusBack(Option<NodeId>),
    /// Another node has written down something else about a call of this one.
    Overtaken(CallId),
    /// What became of a call of this one that was started then.
    Looked(CallId, UnixMillis, Finding),
    /// The people of a call that was taken over have had time to show themselves, after so many times that they were called.
    CallPeople(CallId, usize),
    /// A call of another node was looked for.
    Located(Box<Found>),
    /// What the owner of a call answered to what a device said.
    Forwarded(Line, Box<Frame<ClientMessage>>, Answer),
    /// What the node of the other side answered to what was passed on to it.
    Passed(Passed),
    /// What a device said and could not be passed on is tried again.
    Again(Device, Box<Frame<ClientMessage>>),
    /// What the store says of blocks.
    Blocks(Blocks),
    /// Devices with a session here of which the store has no registration.
    Unregistered(Vec<Session>),
}

/// A device that proved itself and wants its session.
#[derive(Debug)]
pub(crate) struct Open {
    pub(crate) address: Arc<DeviceAddress>,
    pub(crate) from: IpAddr,
    pub(crate) resume: Option<Resume>,
    pub(crate) calls: Vec<LiveCall>,
    pub(crate) credential: Option<IssuedCredential>,
    pub(crate) outbox: Outbox,
    pub(crate) opened: oneshot::Sender<Result<Line, CloseReason>>,
    /// What other nodes had of it, once they were asked.
    pub(crate) resolved: Option<Box<Resolved>>,
}

/// What a hub works with.
#[derive(Debug)]
pub(crate) struct Surroundings {
    /// Whose hub it is.
    pub(crate) application: ApplicationKey,
    pub(crate) applications: Arc<Applications>,
    pub(crate) config: Arc<ServerConfig>,
    pub(crate) pushes: Option<mpsc::Sender<PushNews>>,
    pub(crate) notices: Option<mpsc::Sender<Notice>>,
    pub(crate) issuer: Arc<IceIssuer>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) tolls: Arc<Tolls>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) traces: Traces,
    pub(crate) cluster: Option<Arc<Cluster>>,
}

/// Starts a hub; it ends with the last sender or by [`Command::Shutdown`].
pub(crate) fn spawn(surroundings: Surroundings) -> mpsc::Sender<Command> {
    let (sender, commands) = mpsc::channel(QUEUED_COMMANDS);
    tokio::spawn(Hub::new(surroundings, sender.downgrade(), environment::now()).run(commands));
    sender
}

#[derive(Debug)]
struct Hub {
    application: ApplicationKey,
    config: Arc<ServerConfig>,
    issuer: Arc<IceIssuer>,
    epoch: String,
    started: Instant,
    board: Switchboard,
    sessions: Sessions,
    /// For how long a client may repeat a command: until it notices that its connection is lost, and as long as its session waits then.
    repeated_for: Duration,
    call_starts: Pacer<UserId>,
    tolls: Arc<Tolls>,
    reports: Pacer<UserId>,
    connections: u64,
    /// Users that were blocked while this hub ran: one who proved themselves before may come through the door after.
    blocked: HashSet<UserId>,
    looking: Looking,
    pushes: Option<mpsc::Sender<PushNews>>,
    applications: Arc<Applications>,
    notices: Option<mpsc::Sender<Notice>>,
    /// Where what back ends say about calls comes in.
    own: mpsc::WeakSender<Command>,
    records: Records,
    metrics: Arc<Metrics>,
    /// Other nodes; none where this server is alone.
    far: Option<Far>,
}

/// What the switchboard wants.
#[derive(Debug, Default)]
struct Wanted {
    /// To be told.
    events: Vec<(DeviceAddress, CallId, ServerMessage)>,
    /// Calls that are over, what waits for their records, and what other nodes had to do with them.
    ended: BTreeMap<CallId, (CallRecord, Vec<Held>, Option<Owned>)>,
}

impl Hub {
    fn new(surroundings: Surroundings, own: mpsc::WeakSender<Command>, now: Instant) -> Self {
        let Surroundings {
            application,
            applications,
            config,
            pushes,
            notices,
            issuer,
            store,
            tolls,
            metrics,
            traces,
            cluster,
        } = surroundings;
        let mut board = Switchboard::new(config.calls);
        board.set_elsewhere(cluster.is_some());
        Self {
            application,
            // In a cluster it names the node, so that others know whom to ask for its sessions.
            epoch: cluster
                .as_ref()
                .map_or_else(|| entropy::uuid(&mut OsEntropy), |cluster| cluster.node().to_string()),
            started: now,
            board,
            sessions: Sessions::default(),
            repeated_for: config.sessions.heartbeat * 3 + config.sessions.resume.max(config.calls.resume),
            call_starts: Pacer::new(config.limits.calls_per_user),
            tolls,
            // One of each side of a call, of which a user can be both.
            reports: Pacer::new(Rate {
                interval: config.limits.calls_per_user.interval / 2,
                burst: config.limits.calls_per_user.burst.saturating_mul(2),
            }),
            connections: 0,
            blocked: HashSet::new(),
            looking: Looking::default(),
            pushes,
            applications,
            notices,
            own,
            records: Records::new(store, metrics.clone(), traces),
            metrics,
            config,
            issuer,
            far: cluster.map(Far::new),
        }
    }

    async fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        loop {
            let due = self.poll_timeout();
            tokio::select! {
                command = commands.recv() => match command {
                    None => return,
                    Some(Command::Shutdown) => return self.shut_down(commands).await,
                    Some(command) => self.handle(environment::now(), command),
                },
                number = self.records.next_written() => self.release(environment::now(), number),
                () = until(due) => self.handle_timeout(environment::now()),
            }
            self.route();
        }
    }

    fn handle(&mut self, now: Instant, command: Command) {
        match command {
            Command::Open(open) => self.open_or_hold(now, open),
            Command::Frame(line, frame) => self.handle_frame(now, &line, *frame),
            Command::Unreadable(line, outcome) => self.say(&line, ServerMessage::Error(outcome)),
            Command::Registered(line, of, result) => self.registered(&line, of, result),
            Command::Settled(line, of, error) => self.settle(&line, of, error),
            Command::Closed(line) => self.closed(now, &line),
            Command::Revoked(address) => {
                self.detach(now, &address, CloseReason::Revoked);
                self.evict_elsewhere(&address.user, Some(address.device.clone()), Eviction::Revoked);
            }
            Command::Ask(question) => self.answer(now, *question),
            Command::Verdict(call_id, verdict) => self.judge(now, &call_id, verdict),
            Command::HangUp(call_id) => self.end_answered(now, &call_id),
            Command::Blocked => self.detach_all(now),
            // Who asked may have given up.
            Command::Census(most, answer) => drop(answer.send(self.census(now, most))),
            Command::Shutdown => {}
            Command::Peer(message) => self.handle_peer(now, *message),
            Command::Arrived(address) => self.say_arrived(&address),
            Command::NodeGone(node) => self.node_gone(now, &node),
            Command::BusBack(node) => self.bus_back(node.as_ref()),
            Command::Overtaken(call_id) => self.overtaken(&call_id),
            Command::Looked(call_id, started, finding) => self.looked(&call_id, started, finding),
            Command::CallPeople(call_id, called) => self.call_people(&call_id, called),
            Command::Located(found) => self.located(now, *found),
            Command::Forwarded(line, frame, answer) => self.forwarded(now, line, *frame, answer),
            Command::Passed(passed) => self.passed(now, passed),
            Command::Again(device, frame) => self.again(now, device, *frame),
            Command::Unregistered(gone) => self.take_unregistered(now, gone),
            Command::Blocks(blocks) => self.take_blocks(now, blocks),
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let far = self.far.as_ref().and_then(Far::poll_timeout);
        [self.board.poll_timeout(), self.sessions.poll_timeout(), far].into_iter().flatten().min()
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.check_on_owners(now);
        let unfound = self.far.as_mut().map_or_else(Vec::new, |far| far.due(now));
        for call_id in unfound {
            self.seek(&call_id);
        }
        self.board.handle_timeout(now);
        let expired = self.sessions.expired(now);
        if !expired.is_empty() {
            self.call_starts.rest(now);
            self.reports.rest(now);
            self.tolls.rest(now);
        }
        for address in expired {
            self.detach(now, &address, CloseReason::Gone);
        }
    }

    fn open_or_hold(&mut self, now: Instant, open: Box<Open>) {
        if let Some(Held::Open(open)) = self.records.hold(Held::Open(open)) {
            self.open(now, *open);
        }
    }

    /// Tells what waited for a record.
    fn release(&mut self, now: Instant, number: u64) {
        for held in self.records.release(number) {
            match held {
                Held::Open(open) => self.open_or_hold(now, open),
                held => self.tell(held),
            }
        }
    }

    fn tell(&mut self, held: Held) {
        match held {
            Held::Event { to, call_id, message } => self.event(&to, call_id, message),
            Held::Outcome { line, of, error } => self.settle(&line, of, error),
            Held::Reply(reply) => reply.send(),
            Held::Notice(notice) => drop(self.send_notice(*notice)),
            Held::Open(open) => self.open(environment::now(), *open),
            Held::Far(message, node) => self.send_far(*message, &node),
            Held::Unseen(user, over) => self.tell_unseen(&user, *over),
            Held::Peer(message) => self.handle_peer(environment::now(), *message),
        }
    }

    fn say(&mut self, line: &Line, message: ServerMessage) {
        if let Some(entry) = self.sessions.of_line(line) {
            entry.say(message);
        }
    }

    /// The connection is gone; the session waits for its client, longer when it is in a call.
    fn closed(&mut self, now: Instant, line: &Line) {
        let Some(entry) = self.sessions.of_line(line) else { return };
        entry.forget_connection();
        self.absent(now, &line.address);
        self.tell_owners(&line.address, DeviceEvent::Disconnected);
    }

    fn detach(&mut self, now: Instant, address: &DeviceAddress, reason: CloseReason) {
        if let Some(mut entry) = self.sessions.remove(address) {
            self.tell_owners(address, DeviceEvent::Detached);
            self.leave_all(&Device::of(address));
            self.withdraw(&address.user);
            self.board.handle_detached(now, address);
            // What the end of its calls means for this device is said before its connection goes.
            self.route();
            entry.disconnect(reason);
        }
    }

    fn detach_all(&mut self, now: Instant) {
        let config = self.config.clone();
        let echo = config.echo.as_ref().map(|echo| &echo.user);
        let all: Vec<_> = self.sessions.addresses().filter(|address| Some(&address.user) != echo).collect();
        for address in all {
            self.detach(now, &address, CloseReason::Revoked);
        }
    }

    /// Carries out what the switchboard wants.
    fn route(&mut self) {
        self.carry_out(None);
    }

    /// Carries out what the switchboard wants, after the outcome of the command it comes from. What tells that a call is over
    /// waits for the call's record.
    fn carry_out(&mut self, outcome: Option<Held>) {
        let wanted = self.wanted();
        self.carry_out_these(wanted, outcome);
    }

    /// What the switchboard wants to be told, and which calls are over.
    fn wanted(&mut self) -> Wanted {
        let Wanted { mut events, mut ended } = Wanted::default();
        while let Some(output) = self.board.poll_output() {
            match output {
                SwitchboardOutput::Send { to, call_id, message } => {
                    self.note_progress(&call_id, &message);
                    events.push((to, call_id, message));
                }
                SwitchboardOutput::Ended(record) => {
                    self.note_end(&record);
                    let callee = (record.application.clone(), record.callee.clone());
                    self.push_end(callee, record.call_id.clone(), record.cause);
                    self.issuer.call_over(&record.application, &record.call_id);
                    let homes = self.disown(&record.call_id);
                    ended.insert(record.call_id.clone(), (record, Vec::new(), homes));
                }
                SwitchboardOutput::Screen(view) => self.ask_about(&view),
                SwitchboardOutput::Released(view) => {
                    let call = view.so_far;
                    self.push_waiting(call.caller, &call.call_id, call.callee);
                    self.seek(&call.call_id);
                }
            }
        }
        Wanted { events, ended }
    }

    fn carry_out_these(&mut self, wanted: Wanted, mut outcome: Option<Held>) {
        let Wanted { events, mut ended } = wanted;
        if ended.is_empty()
            && let Some(outcome) = outcome.take()
        {
            self.tell(outcome);
        }
        for (to, call_id, message) in events {
            match ended.get_mut(&call_id) {
                Some((_, held, homes)) => held.push(self.held_event(to, call_id, message, homes)),
                None => self.event(&to, call_id, message),
            }
        }
        self.journal();
        for (record, held, owned) in ended.into_values() {
            let notice = self.over_notice(&record).map(|notice| Held::Notice(Box::new(notice)));
            let held = outcome.take().into_iter().chain(held).chain(notice).collect();
            self.records.write(record, owned.and_then(|owned| owned.started), held);
        }
    }

    /// Tells a device, wherever it is.
    fn event(&mut self, to: &DeviceAddress, call_id: CallId, mut message: ServerMessage) {
        match self.sessions.get_mut(to) {
            Some(entry) => {
                self.issuer.fill_in(environment::wall(), to, &call_id, &mut message);
                entry.event(call_id, message);
            }
            None => self.event_elsewhere(to, call_id, message),
        }
    }
}

async fn until(due: Option<Instant>) {
    match due {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}
