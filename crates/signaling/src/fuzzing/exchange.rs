//! The server of the random runs: a switchboard with its sessions, wired as the real server wires them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::world::Dice;
use crate::call::{CallTimers, DeviceAddress, EndedBy, Switchboard, SwitchboardOutput};
use crate::id::{CallId, DeviceCredential, MessageId, UserId};
use crate::message::{ClientMessage, Empty, Hello, IssuedCredential, Limits, Outcome, Welcome, WireError};
use crate::session::ServerSession;
use crate::wire::{self, Frame};
use crate::{ServerMessage, UnixSeconds, entropy};

const HEARTBEAT_MS: u32 = 15_000;
const IDLE_WINDOW: Duration = Duration::from_secs(60);
const YOUTH: Duration = Duration::from_secs(180);

/// Frames to be sent, by connection.
pub(super) type Sent = Vec<(u64, String)>;

struct Session {
    session: ServerSession,
    connection: Option<u64>,
    expires: Option<Instant>,
}

pub(super) struct Exchange {
    pub(super) board: Switchboard,
    sessions: BTreeMap<DeviceAddress, Session>,
    started: Instant,
    epoch: String,
    /// Calls that lost against the other's call: nobody may hear of them.
    pub(super) glared: BTreeSet<CallId>,
    /// How many devices of the callee were told that they won, by call.
    pub(super) winners: BTreeMap<CallId, usize>,
}

impl Exchange {
    pub(super) fn new(now: Instant, dice: &mut Dice) -> Self {
        Self {
            board: Switchboard::new(CallTimers::default()),
            sessions: BTreeMap::new(),
            started: now,
            epoch: entropy::uuid(dice),
            glared: BTreeSet::new(),
            winners: BTreeMap::new(),
        }
    }

    pub(super) fn receive(
        &mut self,
        now: Instant,
        connection: u64,
        from: &DeviceAddress,
        text: &str,
        dice: &mut Dice,
    ) -> Sent {
        let mut sent = Vec::new();
        let Ok(frame) = wire::parse::<ClientMessage>(text) else { panic!("a client wrote {text}") };
        let is_open = self.session_of(connection, from).is_some();
        match frame.message {
            ClientMessage::Hello(hello) if !is_open => {
                self.open(now, connection, from, hello, dice, &mut sent)
            }
            _ => self.handle(now, connection, from, frame, &mut sent),
        }
        self.route(&mut sent);
        sent
    }

    pub(super) fn closed(&mut self, now: Instant, connection: u64, address: &DeviceAddress) -> Sent {
        let in_call = self.board.is_in_call(address);
        let Some(session) = self.session_of(connection, address) else { return Vec::new() };
        session.connection = None;
        let window = if in_call { CallTimers::default().resume } else { IDLE_WINDOW };
        session.expires = Some(now + window);
        self.board.handle_disconnected(now, address);
        let mut sent = Vec::new();
        self.route(&mut sent);
        sent
    }

    /// What the machine refuses in the call's state changes nothing: that is what is tried here.
    pub(super) fn hang_up(&mut self, now: Instant, of: &DeviceAddress, call: &CallId) -> Sent {
        let _ = self.board.handle_hang_up(now, &of.application, call, EndedBy::Control);
        let mut sent = Vec::new();
        self.route(&mut sent);
        sent
    }

    pub(super) fn redirect(&mut self, now: Instant, of: &DeviceAddress, call: &CallId, to: UserId) -> Sent {
        let _ = self.board.handle_redirect(now, &of.application, call, to, None);
        let mut sent = Vec::new();
        self.route(&mut sent);
        sent
    }

    /// The session is lost, as after a shortage of memory; its connection with it.
    pub(super) fn forget(&mut self, now: Instant, address: &DeviceAddress) -> (Option<u64>, Sent) {
        let mut sent = Vec::new();
        let connection = self.detach(now, address, &mut sent);
        (connection, sent)
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) -> Sent {
        self.board.handle_timeout(now);
        let mut sent = Vec::new();
        self.route(&mut sent);
        let expired: Vec<DeviceAddress> = self
            .sessions
            .iter()
            .filter(|(_, session)| session.expires.is_some_and(|at| at <= now))
            .map(|(address, _)| address.clone())
            .collect();
        for address in expired {
            self.detach(now, &address, &mut sent);
        }
        sent
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let expiry = self.sessions.values().filter_map(|session| session.expires).min();
        [self.board.poll_timeout(), expiry].into_iter().flatten().min()
    }

    fn session_of(&mut self, connection: u64, address: &DeviceAddress) -> Option<&mut Session> {
        self.sessions.get_mut(address).filter(|session| session.connection == Some(connection))
    }

    fn open(
        &mut self,
        now: Instant,
        connection: u64,
        address: &DeviceAddress,
        hello: Hello,
        dice: &mut Dice,
        sent: &mut Sent,
    ) {
        let epoch = hello.resume.as_ref().map(|resume| resume.epoch.clone());
        let resume = hello.resume.filter(|resume| {
            self.sessions.get(address).is_some_and(|session| *session.session.id() == resume.session)
        });
        if resume.is_none() {
            let young = now.duration_since(self.started) < YOUTH;
            let restarted = epoch.is_some_and(|epoch| epoch != self.epoch);
            let live = if young && restarted { &hello.calls[..] } else { &[] };
            if self.sessions.remove(address).is_some() {
                // As the server does: what the device still talks in goes on.
                for call in self.board.calls_with(address) {
                    if !live.iter().any(|live| live.call_id == call) {
                        self.board.handle_left(now, address, &call);
                    }
                }
                self.board.handle_moved(address);
                self.board.handle_disconnected(now, address);
                self.route(sent);
            }
            let session = Session { session: ServerSession::new(dice), connection: None, expires: None };
            self.sessions.insert(address.clone(), session);
            self.board.handle_attached(now, address, live);
        }
        let snapshot = self.board.snapshot_for(address);
        let Some(session) = self.sessions.get_mut(address) else { return };
        session.connection = Some(connection);
        session.expires = None;
        let missed = resume.as_ref().and_then(|resume| session.session.handle_resume(resume));
        let resumed = missed.is_some();
        let welcome = welcome(&mut session.session, &self.epoch, resumed, dice);
        sent.push((connection, session.session.unnumbered(welcome)));
        if let Some(missed) = missed {
            sent.extend(missed.into_iter().map(|text| (connection, text)));
        } else {
            if resume.is_some() {
                session.session.handle_ack(session.session.last_seq());
            }
            sent.push((connection, session.session.unnumbered(ServerMessage::Snapshot(snapshot))));
        }
        if resume.is_some() {
            self.board.handle_connected(address);
            if !resumed {
                self.board.handle_snapshot_sent(address);
            }
        }
    }

    fn handle(
        &mut self,
        now: Instant,
        connection: u64,
        from: &DeviceAddress,
        frame: Frame<ClientMessage>,
        sent: &mut Sent,
    ) {
        let Some(session) = self.session_of(connection, from) else { return };
        session.session.handle_client_seq(frame.seq);
        session.session.handle_ack(frame.ack);
        let answer = match frame.message {
            ClientMessage::Ack(_) => return,
            ClientMessage::Ping(_) => {
                // As the server does it.
                let repeated_for =
                    Duration::from_millis(3 * u64::from(HEARTBEAT_MS)) + CallTimers::default().resume;
                if let Some(since) = now.checked_sub(repeated_for) {
                    session.session.forget_outcomes(since);
                }
                session.session.unnumbered(ServerMessage::Pong(Empty {}))
            }
            message => {
                let known = session.session.outcome_of(&frame.id);
                let outcome = known.unwrap_or_else(|| {
                    let error = self.execute(now, from, frame.call_id, message).err();
                    self.remember(now, from, frame.id, error)
                });
                let Some(session) = self.session_of(connection, from) else { return };
                session.session.unnumbered(ServerMessage::Outcome(outcome))
            }
        };
        sent.push((connection, answer));
    }

    fn remember(
        &mut self,
        now: Instant,
        from: &DeviceAddress,
        of: MessageId,
        error: Option<WireError>,
    ) -> Outcome {
        if let Some(session) = self.sessions.get_mut(from) {
            session.session.remember(now, of.clone(), error);
        }
        Outcome { of: Some(of), error, message: String::new() }
    }

    fn execute(
        &mut self,
        now: Instant,
        from: &DeviceAddress,
        call: Option<CallId>,
        message: ClientMessage,
    ) -> Result<(), WireError> {
        let call = call.ok_or(WireError::OutOfOrder)?;
        if let ClientMessage::CallStart(start) = &message
            && self.board.rings(&from.application, &start.to, &from.user)
        {
            self.glared.insert(call.clone());
        }
        self.board.handle_message(now, from, &call, message)
    }

    fn detach(&mut self, now: Instant, address: &DeviceAddress, sent: &mut Sent) -> Option<u64> {
        let session = self.sessions.remove(address)?;
        self.board.handle_detached(now, address);
        self.route(sent);
        session.connection
    }

    fn route(&mut self, sent: &mut Sent) {
        while let Some(output) = self.board.poll_output() {
            let SwitchboardOutput::Send { to, call_id, message } = output else { continue };
            // To the winner the answer is empty; the caller's holds it and may be said again.
            if matches!(&message, ServerMessage::CallAnswered(answered) if answered.sdp.is_empty()) {
                *self.winners.entry(call_id.clone()).or_default() += 1;
            }
            if let Some(session) = self.sessions.get_mut(&to) {
                let text = session.session.event(Some(call_id), message);
                sent.extend(session.connection.map(|connection| (connection, text)));
            }
        }
    }
}

fn welcome(session: &mut ServerSession, epoch: &str, resumed: bool, dice: &mut Dice) -> ServerMessage {
    ServerMessage::Welcome(Box::new(Welcome {
        session: session.id().clone(),
        resume_token: session.rotate_token(dice),
        epoch: epoch.to_owned(),
        resumed,
        heartbeat_ms: HEARTBEAT_MS,
        limits: Limits::default(),
        server_time: UnixSeconds(1_000_000),
        ice_servers: Vec::new(),
        credential: Some(IssuedCredential {
            secret: DeviceCredential::random(dice),
            expires: UnixSeconds(2_000_000_000),
        }),
    }))
}
