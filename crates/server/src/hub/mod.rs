//! One task per application owns its sessions and its calls: no locks, one order of events.
//!
//! The decisions are made by the `Switchboard` and `ServerSession` machines; this task gives them commands and time and
//! carries out what they want.

mod control;
mod hooks;
mod pushing;
mod records;
mod sessions;
mod sight;

use std::collections::{BTreeMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use offhook_signaling::call::{
    CallEndCause, CallTimers, DeviceAddress, Switchboard, SwitchboardOutput, Verdict,
};
use offhook_signaling::message::{
    Empty, IssuedCredential, Limits, LiveCall, Outcome, Registered, Resume, Welcome, WireError,
};
use offhook_signaling::wire::Frame;
use offhook_signaling::{ApplicationKey, CallId, ClientMessage, MessageId, ServerMessage, UserId, entropy};
use tokio::sync::{mpsc, oneshot};

pub(crate) use self::control::{Gone, Question, SeenDevice, SeenUser};
use self::records::{Held, Records};
use self::sessions::{Entry, Sessions};
use crate::applications::Applications;
use crate::close::CloseReason;
use crate::config::{Rate, ServerConfig};
use crate::environment::{self, OsEntropy};
use crate::limit::Pacer;
use crate::metrics::{Census, Metrics, SessionOpening};
use crate::outbox::Outbox;
use crate::push::PushNews;
use crate::store::Store;
use crate::toll::Tolls;
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
    call_starts: Pacer<UserId>,
    tolls: Arc<Tolls>,
    reports: Pacer<UserId>,
    connections: u64,
    /// Users that were blocked while this hub ran: one who proved themselves before may come through the door after.
    blocked: HashSet<UserId>,
    pushes: Option<mpsc::Sender<PushNews>>,
    applications: Arc<Applications>,
    notices: Option<mpsc::Sender<Notice>>,
    /// Where what back ends say about calls comes in.
    own: mpsc::WeakSender<Command>,
    records: Records,
    metrics: Arc<Metrics>,
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
        } = surroundings;
        Self {
            application,
            epoch: entropy::uuid(&mut OsEntropy),
            started: now,
            board: Switchboard::new(config.calls),
            sessions: Sessions::default(),
            call_starts: Pacer::new(config.limits.calls_per_user),
            tolls,
            // One of each side of a call, of which a user can be both.
            reports: Pacer::new(Rate {
                interval: config.limits.calls_per_user.interval / 2,
                burst: config.limits.calls_per_user.burst.saturating_mul(2),
            }),
            connections: 0,
            blocked: HashSet::new(),
            pushes,
            applications,
            notices,
            own,
            records: Records::new(store, metrics.clone()),
            metrics,
            config,
            issuer,
        }
    }

    async fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        loop {
            let due = [self.board.poll_timeout(), self.sessions.poll_timeout()].into_iter().flatten().min();
            tokio::select! {
                command = commands.recv() => match command {
                    None => return,
                    Some(Command::Shutdown) => return self.shut_down().await,
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
            Command::Revoked(address) => self.detach(now, &address, CloseReason::Revoked),
            Command::Ask(question) => self.answer(now, *question),
            Command::Verdict(call_id, verdict) => self.judge(now, &call_id, verdict),
            Command::HangUp(call_id) => self.end_answered(now, &call_id),
            Command::Blocked => self.detach_all(now),
            // Who asked may have given up.
            Command::Census(most, answer) => drop(answer.send(self.census(now, most))),
            Command::Shutdown => {}
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.board.handle_timeout(now);
        for address in self.sessions.expired(now) {
            self.detach(now, &address, CloseReason::Gone);
        }
    }

    /// Whoever still hangs up is told that the call is over, which needs its record.
    async fn shut_down(&mut self) {
        while self.records.are_pending() {
            let number = self.records.next_written().await;
            self.release(environment::now(), number);
            self.route();
        }
        for entry in self.sessions.iter_mut() {
            entry.disconnect(CloseReason::Shutdown);
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
        }
    }

    /// Gives a device its session: the old one when it names it, else a new one.
    fn open(&mut self, now: Instant, open: Open) {
        let known = self.sessions.get(&open.address).map(|entry| entry.session.id());
        let resumes = known.is_some() && known == open.resume.as_ref().map(|resume| &resume.session);
        if !resumes {
            // The application on the device was started anew: its old calls have nobody to talk.
            self.detach(now, &open.address, CloseReason::Replaced);
            if self.records.are_pending() {
                return self.open_or_hold(now, Box::new(open));
            }
        }
        if self.blocked.contains(&open.address.user) {
            // The connection may be gone already; then nobody needs to know.
            let _ = open.opened.send(Err(CloseReason::Refused(WireError::UserBlocked)));
            return;
        }
        if !resumes && let Err(reason) = self.make_room(now, &open.address) {
            // The connection may be gone already; then nobody needs to know.
            let _ = open.opened.send(Err(reason));
            return;
        }
        self.connections += 1;
        let line = Line { address: open.address.clone(), from: open.from, connection: self.connections };
        // A connection that is gone by now reports `Closed` with this very line, or never learns of it.
        if open.opened.send(Ok(line.clone())).is_err() {
            return;
        }
        if resumes {
            self.resume(now, &line, open.resume, open.credential, open.outbox);
        } else {
            let calls = if self.takes_over(now, open.resume.as_ref()) { open.calls } else { Vec::new() };
            self.begin(now, &line, &calls, open.credential, open.outbox);
        }
    }

    /// Whether the calls that a device remembers outlived an earlier server. Later, and when this very server had the
    /// session, a call that is not known here has ended.
    fn takes_over(&self, now: Instant, resume: Option<&Resume>) -> bool {
        let young = now.duration_since(self.started) < self.config.calls.resume + self.config.sessions.resume;
        young && resume.is_some_and(|resume| resume.epoch != self.epoch)
    }

    fn resume(
        &mut self,
        now: Instant,
        line: &Line,
        resume: Option<Resume>,
        credential: Option<IssuedCredential>,
        outbox: Outbox,
    ) {
        let snapshot = self.board.snapshot_for(&line.address);
        let Some(entry) = self.sessions.get_mut(&line.address) else { return };
        entry.disconnect(CloseReason::Gone);
        let missed = resume.and_then(|resume| entry.session.handle_resume(&resume));
        entry.connect(line.connection, outbox, now);
        let welcome = welcome(&self.config, &self.issuer, &self.epoch, entry, missed.is_some(), credential);
        entry.say(welcome);
        let is_replayed = missed.is_some();
        if let Some(missed) = missed {
            missed.into_iter().for_each(|text| entry.send(text));
        } else {
            entry.session.handle_ack(entry.session.last_seq());
            entry.say(ServerMessage::Snapshot(snapshot));
            self.board.handle_snapshot_sent(&line.address);
        }
        self.metrics.note_session(if is_replayed {
            SessionOpening::Resumed
        } else {
            SessionOpening::Snapshot
        });
        self.sessions.keep(&line.address);
        self.board.handle_connected(&line.address);
    }

    fn begin(
        &mut self,
        now: Instant,
        line: &Line,
        calls: &[LiveCall],
        credential: Option<IssuedCredential>,
        outbox: Outbox,
    ) {
        let entry = self.sessions.insert(line.address.clone(), &mut OsEntropy);
        entry.connect(line.connection, outbox, now);
        self.board.handle_attached(now, &line.address, calls);
        let snapshot = self.board.snapshot_for(&line.address);
        let Some(entry) = self.sessions.get_mut(&line.address) else { return };
        let welcome = welcome(&self.config, &self.issuer, &self.epoch, entry, false, credential);
        entry.say(welcome);
        entry.say(ServerMessage::Snapshot(snapshot));
        self.metrics.note_session(SessionOpening::New);
        tracing::debug!(user = %line.address.user, device = %line.address.device, "session opened");
    }

    /// Makes sure that one more device fits; a device that is not connected now gives way.
    fn make_room(&mut self, now: Instant, address: &DeviceAddress) -> Result<(), CloseReason> {
        let config = self.config.clone();
        let echo = config.echo.as_ref().map(|echo| &echo.user);
        if echo == Some(&address.user) {
            return Ok(());
        }
        if self.sessions.of_user(&address.user) >= self.config.limits.devices_per_user {
            let absent = self.sessions.longest_absent(&address.user).ok_or(CloseReason::Limited)?;
            self.detach(now, &absent, CloseReason::Gone);
        }
        // The echo user's device takes nobody's place.
        let own = echo.map_or(0, |echo| self.sessions.of_user(echo));
        if self.sessions.len() - own >= self.config.limits.devices_per_application {
            return Err(CloseReason::Limited);
        }
        Ok(())
    }

    fn handle_frame(&mut self, now: Instant, line: &Line, frame: Frame<ClientMessage>) {
        let Some(entry) = self.sessions.of_line(line) else { return };
        entry.session.handle_client_seq(frame.seq);
        entry.session.handle_ack(frame.ack);
        match frame.message {
            ClientMessage::Ping(_) => entry.say(ServerMessage::Pong(Empty {})),
            ClientMessage::Ack(_) => {}
            message => {
                if let Some(outcome) = entry.session.outcome_of(&frame.id).cloned() {
                    return entry.say(ServerMessage::Outcome(outcome));
                }
                if self.records.holds_outcome(&line.address, &frame.id) {
                    return;
                }
                let late = self.records.hold_end_of(frame.call_id.as_ref());
                let error = self.execute(now, line, frame.call_id, message).err();
                let outcome = Held::Outcome { line: line.clone(), of: frame.id, error };
                // Who learns that a call is unknown has been told that it ended.
                let outcome = if late { self.records.hold(outcome) } else { Some(outcome) };
                self.carry_out(outcome);
            }
        }
    }

    fn execute(
        &mut self,
        now: Instant,
        line: &Line,
        call_id: Option<CallId>,
        message: ClientMessage,
    ) -> Result<(), WireError> {
        let call_id = call_id.ok_or(WireError::OutOfOrder)?;
        let address = &*line.address;
        if let ClientMessage::CallReport(report) = message {
            return self.take_report(now, address, &call_id, report);
        }
        let starts = matches!(message, ClientMessage::CallStart(_));
        if starts
            && !(self.call_starts.allow(address.user.clone(), now)
                && self.tolls.may_call(&self.application, line.from, now))
        {
            return Err(WireError::RateLimited);
        }
        let (calls, answers) = match &message {
            ClientMessage::CallStart(start) => (Some(start.to.clone()), false),
            message => (None, matches!(message, ClientMessage::CallAnswer(_))),
        };
        if starts {
            self.screen_calls();
        }
        self.board.handle_message(now, address, &call_id, message)?;
        if let Some(callee) = calls {
            self.push_call(address, &call_id, callee);
        }
        if answers {
            self.push_over(address, &call_id, CallEndCause::OtherDeviceAnswered);
            self.tell_answered(now, &call_id);
        }
        if starts {
            self.metrics.note_call_started();
            tracing::info!(%call_id, application = %address.application, "call started");
        }
        Ok(())
    }

    /// Answers a command, and remembers the answer in case the client repeats it.
    fn settle(&mut self, line: &Line, of: MessageId, error: Option<WireError>) {
        let Some(entry) = self.sessions.of_line(line) else { return };
        let outcome = Outcome { of: Some(of.clone()), error, message: String::new() };
        if let Some(error) = error {
            self.metrics.note_refused(error);
        }
        entry.session.remember(of, outcome.clone());
        entry.say(ServerMessage::Outcome(outcome));
    }

    fn registered(&mut self, line: &Line, of: MessageId, result: Result<IssuedCredential, WireError>) {
        let error = result.as_ref().err().copied();
        if let Ok(credential) = result {
            self.say(line, ServerMessage::Registered(Registered { credential }));
        }
        self.settle(line, of, error);
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
        let in_call = self.board.is_in_call(&line.address);
        let wait = session_window(&self.config.calls, self.config.sessions.resume, in_call);
        self.sessions.expire_at(&line.address, now + wait);
        self.board.handle_disconnected(now, &line.address);
    }

    fn detach(&mut self, now: Instant, address: &DeviceAddress, reason: CloseReason) {
        if let Some(mut entry) = self.sessions.remove(address) {
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
        let (mut events, mut ended) = (Vec::new(), BTreeMap::new());
        while let Some(output) = self.board.poll_output() {
            match output {
                SwitchboardOutput::Send { to, call_id, mut message } => {
                    self.issuer.fill_in(environment::wall(), &to, &call_id, &mut message);
                    events.push((to, call_id, message));
                }
                SwitchboardOutput::Ended(record) => {
                    self.note_end(&record);
                    let callee = (record.application.clone(), record.callee.clone());
                    self.push_end(callee, record.call_id.clone(), record.cause);
                    self.issuer.call_over(&record.application, &record.call_id);
                    ended.insert(record.call_id.clone(), (record, Vec::new()));
                }
                SwitchboardOutput::Screen(view) => self.ask_about(&view),
                SwitchboardOutput::Released(view) => {
                    let call = view.so_far;
                    self.push_waiting(call.caller, &call.call_id, call.callee);
                }
            }
        }
        let mut outcome = outcome;
        if ended.is_empty()
            && let Some(Held::Outcome { line, of, error }) = outcome.take()
        {
            self.settle(&line, of, error);
        }
        for (to, call_id, message) in events {
            match ended.get_mut(&call_id) {
                Some((_, held)) => held.push(Held::Event { to, call_id, message }),
                None => self.event(&to, call_id, message),
            }
        }
        for (record, held) in ended.into_values() {
            let notice = self.over_notice(&record).map(|notice| Held::Notice(Box::new(notice)));
            let held = outcome.take().into_iter().chain(held).chain(notice).collect();
            self.records.write(record, held);
        }
    }

    fn event(&mut self, to: &DeviceAddress, call_id: CallId, message: ServerMessage) {
        if let Some(entry) = self.sessions.get_mut(to) {
            entry.event(call_id, message);
        }
    }
}

fn session_window(calls: &CallTimers, resume: Duration, in_call: bool) -> Duration {
    if in_call { resume.max(calls.resume) } else { resume }
}

fn welcome(
    config: &ServerConfig,
    issuer: &IceIssuer,
    epoch: &str,
    entry: &mut Entry,
    resumed: bool,
    credential: Option<IssuedCredential>,
) -> ServerMessage {
    let heartbeat = u32::try_from(config.sessions.heartbeat.as_millis()).unwrap_or(u32::MAX);
    ServerMessage::Welcome(Box::new(Welcome {
        session: entry.session.id().clone(),
        resume_token: entry.session.rotate_token(&mut OsEntropy),
        epoch: epoch.to_owned(),
        resumed,
        heartbeat_ms: heartbeat,
        limits: Limits::default(),
        server_time: environment::wall(),
        ice_servers: issuer.fixed().to_vec(),
        credential,
    }))
}

async fn until(due: Option<Instant>) {
    match due {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}
