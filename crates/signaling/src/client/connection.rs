//! Registration and connection: hello and welcome, resume, heartbeat, renewal.

use std::time::{Duration, Instant};

use super::{ClientMachine, CommandError, Output, Phase, StoredCredential, Timer};
use crate::entropy::EntropySource;
use crate::error::ClientError;
use crate::event::ClientEvent;
use crate::message::{
    Bye, ByeAction, ClientMessage, Credential, Empty, Hello, IssuedCredential, LiveCall, Outcome, Register,
    ServerMessage, Welcome, WireError,
};
use crate::wire;

const GREETING: Duration = Duration::from_secs(10);
const ACKNOWLEDGE: Duration = Duration::from_secs(1);
/// Pings without any answer before the connection counts as dead.
const SILENT_HEARTBEATS: u32 = 2;
/// Between two questions for new credentials.
const SHORTEST_RENEWAL: Duration = Duration::from_secs(30);
/// A connection that does not answer so soon after the network changed is of the old one.
const NEW_NETWORK: Duration = Duration::from_secs(2);
pub(super) const USUAL_HEARTBEAT: Duration = Duration::from_secs(10);

impl<E: EntropySource> ClientMachine<E> {
    /// The connection that `Connect` asked for is open.
    pub fn handle_connected(&mut self, now: Instant) {
        if self.phase != Phase::Connecting {
            return;
        }
        let credential = match (&self.token, &self.credential) {
            (Some(register), _) => Credential::Token(register.token.clone()),
            (None, Some(stored)) => Credential::Device(stored.secret.clone()),
            (None, None) => {
                self.outputs.push_back(Output::Disconnect);
                return self.require_token();
            }
        };
        let hello = Hello {
            application_key: self.config.application.clone(),
            user: self.config.user.clone(),
            device_id: self.config.device.clone(),
            credential,
            resume: self.link.resume(),
            calls: self.answered_calls(),
        };
        self.phase = Phase::Greeting;
        self.timers.insert(Timer::Greeting, now + GREETING);
        let text = self.link.passing(ClientMessage::Hello(hello));
        self.outputs.push_back(Output::Send(text));
    }

    /// The connection is closed or could not be opened.
    pub fn handle_disconnected(&mut self, now: Instant) {
        if matches!(self.phase, Phase::Connecting | Phase::Greeting | Phase::Online | Phase::AwaitingSnapshot)
        {
            self.turned_away = None;
            self.lose_connection(now, Duration::ZERO);
        }
    }

    /// The network is another: the next connection is made at once, and one that is open has to show soon that it lives. Whom the server
    /// turned away for a while stays away.
    pub fn network_changed(&mut self, now: Instant) {
        if self.phase == Phase::Online {
            self.ping(now);
            let soon = now + NEW_NETWORK;
            self.timers.entry(Timer::Silence).and_modify(|at| *at = soon.min(*at)).or_insert(soon);
            return;
        }
        if matches!(self.phase, Phase::Connecting | Phase::Greeting | Phase::AwaitingSnapshot) {
            self.drop_connection(now);
        }
        let is_away = self.turned_away.as_ref().is_some_and(|(_, until)| now < *until);
        if self.phase == Phase::Waiting && !is_away {
            self.backoff.reset();
            self.timers.remove(&Timer::Reconnect);
            self.connect(now);
        }
    }

    /// A text frame came.
    pub fn handle_frame(&mut self, now: Instant, text: &str) {
        if matches!(self.phase, Phase::Stopped | Phase::WaitingForToken | Phase::Waiting | Phase::Connecting)
        {
            return;
        }
        // What this version does not understand is newer than it: the rest of the conversation goes on.
        let Ok(frame) = wire::parse::<ServerMessage>(text) else { return };
        self.latest = Some(now);
        self.timers.remove(&Timer::Silence);
        if !self.link.accept(frame.seq) {
            return;
        }
        if self.link.owes_acknowledgement() {
            self.timers.entry(Timer::Acknowledge).or_insert(now + ACKNOWLEDGE);
        }
        match frame.message {
            ServerMessage::Welcome(welcome) => self.handle_welcome(now, *welcome),
            ServerMessage::Snapshot(snapshot) => self.handle_snapshot(now, snapshot, frame.ack),
            ServerMessage::Registered(registered) => self.keep(now, registered.credential),
            ServerMessage::Outcome(outcome) => self.handle_outcome(now, &outcome),
            ServerMessage::Error(outcome) => self.handle_outcome(now, &outcome),
            ServerMessage::Bye(bye) => self.handle_bye(now, &bye),
            ServerMessage::Ack(_) | ServerMessage::Pong(_) => {}
            message => {
                if let Some(call) = frame.call_id {
                    self.handle_call_event(now, &call, message);
                }
            }
        }
    }

    pub(super) fn require_token(&mut self) {
        self.phase = Phase::WaitingForToken;
        self.renewing = false;
        // Running calls keep their limits.
        self.timers.retain(|timer, _| matches!(timer, Timer::CallSetup(_) | Timer::CallReveal(_)));
        self.emit(ClientEvent::CredentialsRequired);
    }

    pub(super) fn begin_connecting(&mut self, now: Instant) {
        self.backoff.reset();
        if !self.was_started {
            self.timers.insert(Timer::Start, now + self.config.start_timeout);
        }
        self.connect(now);
    }

    pub(super) fn connect(&mut self, _now: Instant) {
        self.phase = Phase::Connecting;
        self.outputs.push_back(Output::Connect);
    }

    pub(super) fn drop_connection(&mut self, now: Instant) {
        self.outputs.push_back(Output::Disconnect);
        self.lose_connection(now, Duration::ZERO);
    }

    pub(super) fn ping(&mut self, now: Instant) {
        if self.phase != Phase::Online {
            return;
        }
        let text = self.link.passing(ClientMessage::Ping(Empty {}));
        self.outputs.push_back(Output::Send(text));
        self.timers.remove(&Timer::Acknowledge);
        self.timers.insert(Timer::Heartbeat, now + self.heartbeat);
        self.timers.entry(Timer::Silence).or_insert(now + self.heartbeat * SILENT_HEARTBEATS);
    }

    pub(super) fn acknowledge(&mut self, _now: Instant) {
        if self.phase == Phase::Online && self.link.owes_acknowledgement() {
            let text = self.link.passing(ClientMessage::Ack(Empty {}));
            self.outputs.push_back(Output::Send(text));
        }
    }

    pub(super) fn ask_for_renewal(&mut self, now: Instant) {
        // Should the application never answer, it is asked again.
        self.postpone_renewal(now);
        self.renewing = true;
        self.emit(ClientEvent::CredentialsRequired);
    }

    /// The next question comes half-way to the end of the registration, but not in a storm.
    pub(super) fn postpone_renewal(&mut self, now: Instant) {
        let wait = (self.registration_left(now) / 2).max(SHORTEST_RENEWAL);
        self.timers.insert(Timer::Renewal, now + wait);
    }

    fn registration_left(&self, now: Instant) -> Duration {
        let expires = self.credential.as_ref().map_or(0, |credential| credential.expires.0);
        Duration::from_secs(expires.saturating_sub(self.wall_now(now).0))
    }

    pub(super) fn renew(&mut self, _now: Instant, token: String) {
        self.renewing = false;
        self.send_command(None, ClientMessage::Register(Register { token }));
    }

    fn lose_connection(&mut self, now: Instant, at_least: Duration) {
        if matches!(self.phase, Phase::Online | Phase::AwaitingSnapshot) {
            self.emit(ClientEvent::Reconnecting);
        }
        self.phase = Phase::Waiting;
        for timer in [Timer::Greeting, Timer::Heartbeat, Timer::Silence, Timer::Acknowledge] {
            self.timers.remove(&timer);
        }
        let delay = self.backoff.next(&mut self.entropy).max(at_least);
        self.timers.insert(Timer::Reconnect, now + delay);
    }

    fn handle_welcome(&mut self, now: Instant, welcome: Welcome) {
        if self.phase != Phase::Greeting {
            return;
        }
        self.token = None;
        self.wall = Some((now, welcome.server_time));
        self.ice_servers = welcome.ice_servers;
        self.heartbeat = Duration::from_millis(u64::from(welcome.heartbeat_ms))
            .clamp(Duration::from_secs(1), USUAL_HEARTBEAT * 6);
        self.link.opened(welcome.session, welcome.resume_token, welcome.epoch, welcome.resumed);
        if let Some(credential) = welcome.credential {
            self.keep(now, credential);
        } else {
            self.schedule_renewal(now);
        }
        if welcome.resumed {
            self.go_online(now);
        } else {
            self.phase = Phase::AwaitingSnapshot;
        }
    }

    pub(super) fn go_online(&mut self, now: Instant) {
        self.phase = Phase::Online;
        self.timers.remove(&Timer::Greeting);
        self.timers.remove(&Timer::Start);
        self.backoff.reset();
        self.timers.insert(Timer::Heartbeat, now + self.heartbeat);
        self.await_reveals(now);
        for text in self.link.repeat() {
            self.outputs.push_back(Output::Send(text));
        }
        if !std::mem::replace(&mut self.was_started, true) {
            self.emit(ClientEvent::Started);
        }
    }

    fn keep(&mut self, now: Instant, issued: IssuedCredential) {
        let stored = StoredCredential { secret: issued.secret, expires: issued.expires };
        self.credential = Some(stored.clone());
        self.outputs.push_back(Output::StoreCredential(stored));
        self.schedule_renewal(now);
    }

    fn schedule_renewal(&mut self, now: Instant) {
        let left = self.registration_left(now);
        // A registration shorter than the margin is renewed half-way.
        let wait = left.saturating_sub(self.config.renewal_margin).max(left / 2);
        self.timers.insert(Timer::Renewal, now + wait);
    }

    fn handle_outcome(&mut self, now: Instant, outcome: &Outcome) {
        let Some(frame) = outcome.of.as_ref().and_then(|id| self.link.settle(id)) else { return };
        let Some(error) = outcome.error else { return };
        match (frame.message, frame.call_id, error) {
            // The application's token was not good; asking at once would be answered with the same one.
            (ClientMessage::Register(_), ..) => self.postpone_renewal(now),
            (ClientMessage::CallStart(_), _, WireError::DuplicateCall) => {}
            (ClientMessage::CallStart(_), Some(call), _) | (_, Some(call), WireError::UnknownCall) => {
                self.call_refused(now, &call, error)
            }
            _ => {}
        }
    }

    fn handle_bye(&mut self, now: Instant, bye: &Bye) {
        let wait = Duration::from_millis(u64::from(bye.retry_after_ms));
        match (bye.action, bye.error) {
            (_, Some(WireError::CredentialRefused)) if self.token.is_none() => {
                self.credential = None;
                self.outputs.push_back(Output::ForgetCredential);
                self.outputs.push_back(Output::Disconnect);
                self.require_token();
            }
            (ByeAction::Stop, error) => {
                self.fail(now, ClientError::stopped_by_server(error));
            }
            (ByeAction::Resume | ByeAction::Reconnect, error) => {
                self.turned_away = error.map(|error| (error, now + wait));
                // Nothing can come of a start that would end before the server wants to hear of it again.
                if error.is_some() && self.timers.get(&Timer::Start).is_some_and(|end| now + wait >= *end) {
                    return self.give_up_start(now);
                }
                self.outputs.push_back(Output::Disconnect);
                self.lose_connection(now, wait);
            }
        }
    }

    /// The start has failed: with what the server said, when it said something.
    pub(super) fn give_up_start(&mut self, now: Instant) {
        let error = self.turned_away.take().map_or_else(ClientError::unreachable, |(error, until)| {
            ClientError::turned_away(error, until.saturating_duration_since(now))
        });
        self.fail(now, error);
    }

    fn answered_calls(&self) -> Vec<LiveCall> {
        let answered = self.live_calls().filter(|(_, call)| call.is_answered());
        answered
            .map(|(id, call)| LiveCall {
                call_id: id.clone(),
                outgoing: call.is_outgoing(),
                remote: call.remote().clone(),
                nonce: call.nonce.clone(),
            })
            .collect()
    }

    /// Sends a command now, or when the connection is back.
    pub(super) fn send_command(&mut self, call: Option<crate::id::CallId>, message: ClientMessage) {
        let text = self.link.command(call, message);
        if self.phase == Phase::Online {
            self.timers.remove(&Timer::Acknowledge);
            self.outputs.push_back(Output::Send(text));
        }
    }

    /// # Errors
    /// [`CommandError::NotStarted`].
    pub(super) fn check_started(&self) -> Result<(), CommandError> {
        if self.is_started() { Ok(()) } else { Err(CommandError::NotStarted) }
    }
}
