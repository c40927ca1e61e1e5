//! The calls of one device: what the person may do, what the other side did.

use std::time::Instant;

use super::{ClientMachine, CommandError, Output, Timer};
use crate::call::{CallDetails, CallEndCause, CallState};
use crate::entropy::EntropySource;
use crate::event::{CallEvent, ClientEvent};
use crate::id::{CallId, UserId};
use crate::message::{
    Answer, Answered, CallReport, CallStart, Candidate, ClientMessage, Empty, Ended, Hangup, Headers,
    IceServer, Incoming, Limits, ServerMessage, Update, WireError,
};
use crate::verification::{Stage, Verification};
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
    display_name: Option<String>,
    headers: Headers,
    state: CallState,
    details: CallDetails,
    offer: Option<String>,
    media_connected: bool,
    held: Vec<Candidate>,
    remote_candidates: Vec<Candidate>,
    ice_servers: Vec<IceServer>,
    pub(super) verification: Stage,
    /// What came with the answer, this side's or the other's.
    pub(super) nonce: Option<String>,
}

impl ClientCall {
    fn new(
        now: Instant,
        wall: crate::UnixSeconds,
        outgoing: bool,
        remote: UserId,
        headers: Headers,
        verification: Stage,
    ) -> Self {
        Self {
            outgoing,
            remote,
            display_name: None,
            headers,
            state: CallState::Init,
            details: CallDetails::new(now, Some(wall)),
            offer: None,
            media_connected: false,
            held: Vec::new(),
            remote_candidates: Vec::new(),
            ice_servers: Vec::new(),
            verification,
            nonce: None,
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

    /// What a caller calls themselves, on the callee's side. Nobody vouches for it.
    #[must_use]
    pub fn display_name(&self) -> Option<&str> {
        self.display_name.as_deref()
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

    /// Whether the two people can know that nobody sits between them.
    #[must_use]
    pub const fn verification(&self) -> Verification {
        self.verification.view()
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

/// Whether a name can be shown as it is, also where controls mean something.
fn is_showable(name: &str) -> bool {
    !name.trim().is_empty() && !name.chars().any(char::is_control)
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
        let (verification, commitment) = Stage::calling(&id, &offer, &mut self.entropy);
        let call = ClientCall::new(now, self.wall_now(now), true, to.clone(), headers.clone(), verification);
        self.calls.insert(id.clone(), call);
        self.timers.insert(Timer::CallSetup(id.clone()), now + self.config.timers.setup + SERVER_LATE);
        let commitment = commitment.map(|commitment| commitment.to_string());
        let display_name = self.config.display_name.clone();
        let start = CallStart { to, headers, sdp: offer, commitment, display_name };
        self.send_command(Some(id.clone()), ClientMessage::CallStart(start));
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
        let nonce = call.verification.answer(&answer, &mut self.entropy).map(|nonce| nonce.to_string());
        call.nonce.clone_from(&nonce);
        self.timers.remove(&Timer::CallSetup(id.clone()));
        self.await_reveal(now, id);
        self.send_command(Some(id.clone()), ClientMessage::CallAnswer(Answer { sdp: answer, nonce }));
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
            ServerMessage::CallReveal(reveal) => self.handle_reveal(id, &reveal),
            ServerMessage::CallCandidate(candidate) => self.handle_candidate(id, candidate),
            ServerMessage::CallUpdate(update) => self.handle_update(id, update),
            ServerMessage::CallIceServers(servers) => self.take_ice_servers(id, servers.ice_servers),
            ServerMessage::CallEnded(ended) => self.end(now, id, ended),
            _ => {}
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

    pub(super) fn handle_incoming(&mut self, now: Instant, id: &CallId, incoming: Incoming) {
        if self.calls.contains_key(id) {
            return self.take_ice_servers(id, incoming.ice_servers);
        }
        let Incoming { from, headers, sdp, commitment, display_name, ice_servers } = incoming;
        let verification = Stage::ringing(id, commitment.as_deref(), &sdp);
        let wall = self.wall_now(now);
        let mut call = ClientCall::new(now, wall, false, from.clone(), headers.clone(), verification);
        call.offer = Some(sdp);
        call.display_name = display_name.filter(|name| is_showable(name));
        call.ice_servers = ice_servers;
        self.calls.insert(id.clone(), call);
        self.timers.insert(Timer::CallSetup(id.clone()), now + self.config.timers.setup + SERVER_LATE);
        self.send_command(Some(id.clone()), ClientMessage::CallRinging(Empty {}));
        self.emit(ClientEvent::IncomingCall { call: id.clone(), from, headers });
        self.tell_verification(id);
    }

    pub(super) fn handle_answered(&mut self, now: Instant, id: &CallId, answered: Answered) {
        let Some(call) = self.calls.get_mut(id) else { return };
        // To the callee this only says that its answer was the first.
        if !call.outgoing || !call.enter(now, CallState::Answered) {
            return;
        }
        if let Some(by) = answered.by {
            call.remote = by;
        }
        call.nonce.clone_from(&answered.nonce);
        self.timers.remove(&Timer::CallSetup(id.clone()));
        self.emit(ClientEvent::Call(id.clone(), CallEvent::Answered));
        let verification = self.calls.get_mut(id).map(|call| &mut call.verification);
        let own = verification.and_then(|own| own.answered(answered.nonce.as_deref(), &answered.sdp));
        self.tell(id, CallEvent::RemoteDescription(answered.sdp));
        if let Some(nonce) = own {
            self.reveal(id, nonce);
        }
        self.tell_verification(id);
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
        if !call.verification.allows(&update.sdp) {
            return self.tell_verification(id);
        }
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

    pub(super) fn advance(&mut self, now: Instant, id: &CallId, state: CallState, event: CallEvent) {
        if self.calls.get_mut(id).is_some_and(|call| call.enter(now, state)) {
            self.emit(ClientEvent::Call(id.clone(), event));
        }
    }

    pub(super) fn tell(&mut self, id: &CallId, event: CallEvent) {
        if self.calls.get(id).is_some_and(|call| !call.is_over()) {
            self.emit(ClientEvent::Call(id.clone(), event));
        }
    }

    fn end_here(&mut self, now: Instant, id: &CallId, cause: CallEndCause, error: Option<WireError>) {
        self.send_command(Some(id.clone()), ClientMessage::CallHangup(Hangup { cause, error }));
        self.end(now, id, Ended { cause, error });
    }

    pub(super) fn end(&mut self, now: Instant, id: &CallId, ended: Ended) {
        let Some(call) = self.calls.get_mut(id) else { return };
        if !call.enter(now, CallState::Ended) {
            return;
        }
        call.details.end_cause = ended.cause;
        call.details.error = ended.error;
        self.link.forget_call(id);
        self.timers.remove(&Timer::CallSetup(id.clone()));
        self.timers.remove(&Timer::CallReveal(id.clone()));
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
