//! The calls of one device: what the person may do, what the other side did.

use std::time::Instant;

use super::{ClientMachine, CommandError, Output, Phase, Timer};
use crate::call::{CallDetails, CallEndCause, CallState};
use crate::entropy::EntropySource;
use crate::event::{CallEvent, ClientEvent};
use crate::id::{CallId, UserId};
use crate::message::{
    Answered, CallReport, CallSnapshot, CallStart, Candidate, ClientMessage, Description, Empty, Ended,
    Hangup, Headers, IceServer, Incoming, Limits, ServerMessage, Snapshot, Update, WireError,
};
use crate::wire;

/// Calls that are over and can still be looked at.
const MOST_OVER: usize = 64;
/// Own candidates kept back until the person accepts.
const MOST_HELD: usize = 64;
/// Candidates of the other side between two descriptions; the server passes on half as many.
const MOST_REMOTE: usize = 128;
/// The server ends a call in time; this much later the client does it alone.
const SERVER_LATE: std::time::Duration = std::time::Duration::from_secs(5);

/// One call of this device.
#[derive(Debug)]
pub struct ClientCall {
    outgoing: bool,
    remote: UserId,
    headers: Headers,
    state: CallState,
    details: CallDetails,
    offer: Option<String>,
    media_connected: bool,
    held: Vec<Candidate>,
    remote_candidates: Vec<Candidate>,
    ice_servers: Vec<IceServer>,
}

impl ClientCall {
    fn new(now: Instant, wall: crate::UnixSeconds, outgoing: bool, remote: UserId, headers: Headers) -> Self {
        Self {
            outgoing,
            remote,
            headers,
            state: CallState::Init,
            details: CallDetails::new(now, Some(wall)),
            offer: None,
            media_connected: false,
            held: Vec::new(),
            remote_candidates: Vec::new(),
            ice_servers: Vec::new(),
        }
    }

    /// Whether this side called.
    #[must_use]
    pub const fn is_outgoing(&self) -> bool {
        self.outgoing
    }

    /// The other person.
    #[must_use]
    pub const fn remote(&self) -> &UserId {
        &self.remote
    }

    /// The caller's headers.
    #[must_use]
    pub const fn headers(&self) -> &Headers {
        &self.headers
    }

    /// How far it is.
    #[must_use]
    pub const fn state(&self) -> CallState {
        self.state
    }

    /// Its times and end cause.
    #[must_use]
    pub const fn details(&self) -> &CallDetails {
        &self.details
    }

    /// The caller's offer, on the callee's side.
    #[must_use]
    pub fn offer(&self) -> Option<&str> {
        self.offer.as_deref()
    }

    /// STUN and TURN servers for this call, the latest that the server named; empty when it named none.
    #[must_use]
    pub fn ice_servers(&self) -> &[IceServer] {
        &self.ice_servers
    }

    /// Whether it was accepted and is not over.
    #[must_use]
    pub fn is_answered(&self) -> bool {
        matches!(self.state, CallState::Answered | CallState::Established)
    }

    /// Whether it has ended.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.state == CallState::Ended
    }

    fn enter(&mut self, now: Instant, state: CallState) -> bool {
        let allowed = self.state.may_become(state, self.outgoing);
        if allowed {
            self.state = state;
            self.details.reached(state, now);
        }
        allowed
    }
}

impl<E: EntropySource> ClientMachine<E> {
    /// Calls a user. The offer must be ready: the callee's devices get it with the ring.
    ///
    /// # Errors
    /// [`CommandError::NotStarted`], [`CommandError::HeadersTooLarge`], [`CommandError::DescriptionTooLarge`].
    pub fn call_user(
        &mut self,
        now: Instant,
        to: UserId,
        headers: Headers,
        offer: String,
    ) -> Result<CallId, CommandError> {
        self.check_started()?;
        if wire::header_bytes(&headers) > Limits::default().header_bytes as usize {
            return Err(CommandError::HeadersTooLarge);
        }
        check_description(&offer)?;
        let id = CallId::random(&mut self.entropy);
        let call = ClientCall::new(now, self.wall_now(now), true, to.clone(), headers.clone());
        self.calls.insert(id.clone(), call);
        self.timers.insert(Timer::CallSetup(id.clone()), now + self.config.timers.setup + SERVER_LATE);
        self.send_command(Some(id.clone()), ClientMessage::CallStart(CallStart { to, headers, sdp: offer }));
        Ok(id)
    }

    /// The local person accepts an incoming call. Only from here on does anything of this side's media leave.
    ///
    /// # Errors
    /// [`CommandError::UnknownCall`], [`CommandError::WrongState`] unless it is incoming and unanswered, [`CommandError::DescriptionTooLarge`].
    pub fn answer(&mut self, now: Instant, id: &CallId, answer: String) -> Result<(), CommandError> {
        check_description(&answer)?;
        let call = self.calls.get_mut(id).ok_or(CommandError::UnknownCall)?;
        if call.outgoing || !call.enter(now, CallState::Answered) {
            return Err(CommandError::WrongState);
        }
        let held = std::mem::take(&mut call.held);
        self.timers.remove(&Timer::CallSetup(id.clone()));
        self.send_command(Some(id.clone()), ClientMessage::CallAnswer(Description { sdp: answer }));
        for candidate in held {
            self.send_command(Some(id.clone()), ClientMessage::CallCandidate(candidate));
        }
        self.emit(ClientEvent::Call(id.clone(), CallEvent::Answered));
        self.establish_if_ready(now, id);
        Ok(())
    }

    /// Ends a call from this side: cancels, denies or hangs up, by its state.
    ///
    /// # Errors
    /// [`CommandError::UnknownCall`] when there is none, or it is over.
    pub fn hang_up(&mut self, now: Instant, id: &CallId) -> Result<(), CommandError> {
        let call = self.calls.get(id).filter(|call| !call.is_over()).ok_or(CommandError::UnknownCall)?;
        let cause = match (call.is_answered(), call.outgoing) {
            (true, _) => CallEndCause::HungUp,
            (false, true) => CallEndCause::Canceled,
            (false, false) => CallEndCause::Denied,
        };
        self.end_here(now, id, cause, None);
        Ok(())
    }

    /// Refuses an incoming call because this device is busy; other devices go on ringing.
    ///
    /// # Errors
    /// [`CommandError::UnknownCall`], [`CommandError::WrongState`] unless it is incoming and unanswered.
    pub fn refuse_busy(&mut self, now: Instant, id: &CallId) -> Result<(), CommandError> {
        let call = self.calls.get(id).filter(|call| !call.is_over()).ok_or(CommandError::UnknownCall)?;
        if call.outgoing || call.is_answered() {
            return Err(CommandError::WrongState);
        }
        self.end_here(now, id, CallEndCause::Denied, Some(WireError::Busy));
        Ok(())
    }

    /// A candidate of this side: sent, or kept back until the person accepts.
    ///
    /// # Errors
    /// [`CommandError::UnknownCall`] when there is none, or it is over.
    pub fn local_candidate(&mut self, id: &CallId, candidate: Candidate) -> Result<(), CommandError> {
        let call = self.calls.get_mut(id).filter(|call| !call.is_over()).ok_or(CommandError::UnknownCall)?;
        if call.outgoing || call.is_answered() {
            self.send_command(Some(id.clone()), ClientMessage::CallCandidate(candidate));
        } else if call.held.len() < MOST_HELD {
            call.held.push(candidate);
        }
        Ok(())
    }

    /// A later description of this side: ICE restart, hold.
    ///
    /// # Errors
    /// [`CommandError::UnknownCall`], [`CommandError::WrongState`] before the answer, [`CommandError::DescriptionTooLarge`].
    pub fn update(&mut self, id: &CallId, update: Update) -> Result<(), CommandError> {
        check_description(&update.sdp)?;
        let call = self.calls.get(id).ok_or(CommandError::UnknownCall)?;
        if !call.is_answered() {
            return Err(CommandError::WrongState);
        }
        self.send_command(Some(id.clone()), ClientMessage::CallUpdate(update));
        Ok(())
    }

    /// Asks for STUN and TURN servers with credentials that have not ended: before an ICE restart late in a call.
    /// [`CallEvent::IceServers`] brings them.
    ///
    /// # Errors
    /// [`CommandError::UnknownCall`] when there is none, or it is over.
    pub fn renew_ice_servers(&mut self, id: &CallId) -> Result<(), CommandError> {
        self.calls.get(id).filter(|call| !call.is_over()).ok_or(CommandError::UnknownCall)?;
        self.send_command(Some(id.clone()), ClientMessage::CallIceServers(Empty {}));
        Ok(())
    }

    /// Tells how a call was at this end, once it is over.
    ///
    /// # Errors
    /// [`CommandError::NotStarted`], [`CommandError::UnknownCall`], [`CommandError::WrongState`] before its end.
    pub fn report(&mut self, id: &CallId, report: CallReport) -> Result<(), CommandError> {
        self.check_started()?;
        if !self.calls.get(id).ok_or(CommandError::UnknownCall)?.is_over() {
            return Err(CommandError::WrongState);
        }
        self.send_command(Some(id.clone()), ClientMessage::CallReport(report));
        Ok(())
    }

    /// Media of this call is connected at this end.
    pub fn media_connected(&mut self, now: Instant, id: &CallId) {
        let Some(call) = self.calls.get_mut(id) else { return };
        call.media_connected = true;
        self.establish_if_ready(now, id);
    }

    /// Media of this call could not connect (`Failure`) or the other side went away (`Inactive`).
    pub fn media_failed(&mut self, now: Instant, id: &CallId, cause: CallEndCause) {
        if self.calls.get(id).is_some_and(|call| !call.is_over()) {
            let error = (cause == CallEndCause::Failure).then_some(WireError::MediaFailed);
            self.end_here(now, id, cause, error);
        }
    }

    /// Ends every call without telling the server: the client stops for good.
    pub(super) fn end_all(&mut self, now: Instant, cause: CallEndCause) {
        let live: Vec<CallId> = self.live_calls().map(|(id, _)| id.clone()).collect();
        for id in live {
            self.end(now, &id, Ended { cause, error: None });
        }
    }

    pub(super) fn hang_up_all(&mut self, now: Instant) {
        let live: Vec<CallId> = self.live_calls().map(|(id, _)| id.clone()).collect();
        for id in live {
            // It is live, so that hanging up cannot be refused.
            let _ = self.hang_up(now, &id);
        }
    }

    pub(super) fn handle_call_event(&mut self, now: Instant, id: &CallId, message: ServerMessage) {
        match message {
            ServerMessage::CallIncoming(incoming) => self.handle_incoming(now, id, incoming),
            ServerMessage::CallProgressing(progressing) => {
                self.take_ice_servers(id, progressing.ice_servers);
                self.advance(now, id, CallState::Progressing, CallEvent::Progressing)
            }
            ServerMessage::CallRinging(_) => self.advance(now, id, CallState::Ringing, CallEvent::Ringing),
            ServerMessage::CallAnswered(answered) => self.handle_answered(now, id, answered),
            ServerMessage::CallCandidate(candidate) => self.handle_candidate(id, candidate),
            ServerMessage::CallUpdate(update) => self.handle_update(id, update),
            ServerMessage::CallIceServers(servers) => self.take_ice_servers(id, servers.ice_servers),
            ServerMessage::CallEnded(ended) => self.end(now, id, ended),
            _ => {}
        }
    }

    /// Takes over the server's table; the server has handled our frames up to `ack`.
    pub(super) fn handle_snapshot(&mut self, now: Instant, snapshot: Snapshot, ack: u64) {
        if self.phase != Phase::AwaitingSnapshot {
            return;
        }
        self.link.snapshot_came();
        let gone: Vec<CallId> = self
            .live_calls()
            .map(|(id, _)| id)
            .filter(|id| {
                !snapshot.calls.iter().any(|call| call.call_id == **id) && !self.link.is_starting(id, ack)
            })
            .cloned()
            .collect();
        for id in gone {
            self.end(now, &id, Ended { cause: CallEndCause::Failure, error: None });
        }
        self.go_online(now);
        for call in snapshot.calls {
            self.adopt(now, call);
        }
    }

    /// The server refused a start, or knows nothing of a call: it is over.
    pub(super) fn call_refused(&mut self, now: Instant, id: &CallId, error: WireError) {
        self.end(now, id, Ended { cause: CallEndCause::Failure, error: Some(error) });
    }

    pub(super) fn call_set_up_expired(&mut self, now: Instant, id: &CallId) {
        if self.calls.get(id).is_some_and(|call| !call.is_answered() && !call.is_over()) {
            self.end_here(now, id, CallEndCause::Timeout, None);
        }
    }

    fn adopt(&mut self, now: Instant, snapshot: CallSnapshot) {
        let id = snapshot.call_id;
        if self.calls.contains_key(&id) {
            match (snapshot.outgoing, snapshot.state, snapshot.sdp) {
                (true, CallState::Ringing, _) => {
                    self.advance(now, &id, CallState::Ringing, CallEvent::Ringing)
                }
                (true, CallState::Answered, Some(sdp)) => {
                    self.handle_answered(now, &id, Answered { sdp, by: Some(snapshot.remote) });
                }
                _ => {}
            }
            return;
        }
        match (snapshot.outgoing, snapshot.state, snapshot.sdp) {
            (false, CallState::Init, Some(sdp)) => {
                self.handle_incoming(
                    now,
                    &id,
                    Incoming {
                        from: snapshot.remote,
                        headers: snapshot.headers,
                        sdp,
                        // They come with the event that follows a snapshot.
                        ice_servers: Vec::new(),
                    },
                );
            }
            // Its event follows: it did not fit into the snapshot.
            (false, CallState::Init, None) => {}
            // A call of this device's past life: nobody here can talk in it any more.
            _ => {
                let hangup = Hangup { cause: CallEndCause::Inactive, error: None };
                self.send_command(Some(id), ClientMessage::CallHangup(hangup));
            }
        }
    }

    fn handle_incoming(&mut self, now: Instant, id: &CallId, incoming: Incoming) {
        if self.calls.contains_key(id) {
            return self.take_ice_servers(id, incoming.ice_servers);
        }
        let Incoming { from, headers, sdp, ice_servers } = incoming;
        let mut call = ClientCall::new(now, self.wall_now(now), false, from.clone(), headers.clone());
        call.offer = Some(sdp);
        call.ice_servers = ice_servers;
        self.calls.insert(id.clone(), call);
        self.timers.insert(Timer::CallSetup(id.clone()), now + self.config.timers.setup + SERVER_LATE);
        self.send_command(Some(id.clone()), ClientMessage::CallRinging(Empty {}));
        self.emit(ClientEvent::IncomingCall { call: id.clone(), from, headers });
    }

    fn handle_answered(&mut self, now: Instant, id: &CallId, answered: Answered) {
        let Some(call) = self.calls.get_mut(id) else { return };
        // To the callee this only says that its answer was the first.
        if !call.outgoing || !call.enter(now, CallState::Answered) {
            return;
        }
        if let Some(by) = answered.by {
            call.remote = by;
        }
        self.timers.remove(&Timer::CallSetup(id.clone()));
        self.emit(ClientEvent::Call(id.clone(), CallEvent::Answered));
        self.tell(id, CallEvent::RemoteDescription(answered.sdp));
        self.establish_if_ready(now, id);
    }

    fn handle_candidate(&mut self, id: &CallId, candidate: Candidate) {
        let Some(call) = self.calls.get_mut(id) else { return };
        // After a snapshot the server says all of them again.
        if call.remote_candidates.contains(&candidate) || call.remote_candidates.len() >= MOST_REMOTE {
            return;
        }
        call.remote_candidates.push(candidate.clone());
        self.tell(id, CallEvent::RemoteCandidate(candidate));
    }

    fn handle_update(&mut self, id: &CallId, update: Update) {
        let Some(call) = self.calls.get_mut(id).filter(|call| call.is_answered()) else { return };
        call.remote_candidates.clear();
        self.tell(id, CallEvent::RemoteUpdate(update));
    }

    fn take_ice_servers(&mut self, id: &CallId, servers: Vec<IceServer>) {
        let Some(call) = self.calls.get_mut(id).filter(|call| !call.is_over() && !servers.is_empty()) else {
            return;
        };
        call.ice_servers.clone_from(&servers);
        self.emit(ClientEvent::Call(id.clone(), CallEvent::IceServers(servers)));
    }

    fn establish_if_ready(&mut self, now: Instant, id: &CallId) {
        let Some(call) = self.calls.get_mut(id) else { return };
        if call.media_connected && call.enter(now, CallState::Established) {
            self.send_command(Some(id.clone()), ClientMessage::CallEstablished(Empty {}));
            self.emit(ClientEvent::Call(id.clone(), CallEvent::Established));
        }
    }

    fn advance(&mut self, now: Instant, id: &CallId, state: CallState, event: CallEvent) {
        if self.calls.get_mut(id).is_some_and(|call| call.enter(now, state)) {
            self.emit(ClientEvent::Call(id.clone(), event));
        }
    }

    fn tell(&mut self, id: &CallId, event: CallEvent) {
        if self.calls.get(id).is_some_and(|call| !call.is_over()) {
            self.emit(ClientEvent::Call(id.clone(), event));
        }
    }

    fn end_here(&mut self, now: Instant, id: &CallId, cause: CallEndCause, error: Option<WireError>) {
        self.send_command(Some(id.clone()), ClientMessage::CallHangup(Hangup { cause, error }));
        self.end(now, id, Ended { cause, error });
    }

    fn end(&mut self, now: Instant, id: &CallId, ended: Ended) {
        let Some(call) = self.calls.get_mut(id) else { return };
        if !call.enter(now, CallState::Ended) {
            return;
        }
        call.details.end_cause = ended.cause;
        call.details.error = ended.error;
        self.link.forget_call(id);
        self.timers.remove(&Timer::CallSetup(id.clone()));
        let event = CallEvent::Ended { cause: ended.cause, error: ended.error };
        self.outputs.push_back(Output::Event(ClientEvent::Call(id.clone(), event)));
        self.forget_oldest_over();
    }

    fn forget_oldest_over(&mut self) {
        let over = self.calls.iter().filter(|(_, call)| call.is_over());
        if over.clone().count() > MOST_OVER
            && let Some((oldest, _)) = over.min_by_key(|(_, call)| call.details.ended)
        {
            let oldest = oldest.clone();
            self.calls.remove(&oldest);
        }
    }
}

fn check_description(sdp: &str) -> Result<(), CommandError> {
    if sdp.len() > Limits::default().sdp_bytes as usize {
        Err(CommandError::DescriptionTooLarge)
    } else {
        Ok(())
    }
}
