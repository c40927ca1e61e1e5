//! The server's half of one session: numbering, replay, resume token, repeated commands.

use std::collections::VecDeque;
use std::time::Instant;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use subtle::{Choice, ConstantTimeEq as _};

use crate::entropy::{self, EntropySource};
use crate::id::{CallId, MessageId, SessionId};
use crate::message::{Outcome, Resume, ServerMessage, WireError};
use crate::wire::{self, Frame};

const RING_EVENTS: usize = 256;
const RING_BYTES: usize = 65_536;
const REMEMBERED: usize = 512;

/// A session on its way to another server of the same cluster: all but its resume tokens, of which the other makes its own.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionState {
    id: SessionId,
    next_seq: u64,
    client_seq: u64,
    lost_through: u64,
    ring: VecDeque<(u64, String)>,
    outcomes: VecDeque<(MessageId, Outcome)>,
}

impl std::fmt::Debug for SessionState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SessionState")
            .field("id", &self.id)
            .field("next_seq", &self.next_seq)
            .finish_non_exhaustive()
    }
}

/// One session of one device; it outlives its connections.
#[derive(Debug)]
pub struct ServerSession {
    id: SessionId,
    resume_hash: [u8; 32],
    // The token of the last resume, until its client shows that it has the next one: a `welcome` can be lost.
    previous_hash: Option<[u8; 32]>,
    next_seq: u64,
    client_seq: u64,
    ring: VecDeque<(u64, String)>,
    ring_bytes: usize,
    // Events up to this number were dropped unacknowledged: a resume below it needs a snapshot.
    lost_through: u64,
    // Much of what a crowd of idle sessions holds: no more of an outcome than it takes to say it again.
    outcomes: VecDeque<(Instant, MessageId, Option<WireError>)>,
}

impl ServerSession {
    /// A fresh session; call [`Self::rotate_token`] for its first resume token.
    pub fn new(source: &mut dyn EntropySource) -> Self {
        Self {
            id: SessionId::random(source),
            resume_hash: [0; 32],
            previous_hash: None,
            next_seq: 1,
            client_seq: 0,
            ring: VecDeque::new(),
            ring_bytes: 0,
            lost_through: 0,
            outcomes: VecDeque::new(),
        }
    }

    /// Gives the session to another server: nothing may be said in it here any more.
    #[must_use]
    pub fn hand_over(self) -> SessionState {
        let Self { id, next_seq, client_seq, lost_through, ring, outcomes, .. } = self;
        let outcomes = outcomes.into_iter().map(|(_, of, error)| (of.clone(), outcome(of, error))).collect();
        SessionState { id, next_seq, client_seq, lost_through, ring, outcomes }
    }

    /// Goes on at `now` with a session of another server; call [`Self::rotate_token`] next. What is beyond the limits of a session is
    /// dropped as if it had been too much there.
    #[must_use]
    pub fn take_over(now: Instant, state: SessionState) -> Self {
        let SessionState { id, next_seq, client_seq, lost_through, ring, outcomes } = state;
        // One event after the other, none from the future: what is not so would be told in the wrong order.
        let next_seq = next_seq.clamp(1, u64::MAX / 2);
        let is_whole =
            ring.iter().zip(ring.iter().skip(1)).all(|((a, _), (b, _))| a.checked_add(1) == Some(*b))
                && ring.back().is_none_or(|(last, _)| *last == next_seq - 1);
        let (ring, lost_through) =
            if is_whole { (ring, lost_through) } else { (VecDeque::new(), next_seq - 1) };
        let too_many = outcomes.len().saturating_sub(REMEMBERED);
        let outcomes =
            outcomes.into_iter().skip(too_many).map(|(of, outcome)| (now, of, outcome.error)).collect();
        let mut session = Self {
            id,
            resume_hash: [0; 32],
            previous_hash: None,
            next_seq,
            client_seq,
            ring_bytes: ring.iter().map(|(_, text)| text.len()).sum(),
            ring,
            lost_through,
            outcomes,
        };
        while session.ring.len() > RING_EVENTS || session.ring_bytes > RING_BYTES {
            session.drop_oldest(true);
        }
        session
    }

    /// The session's name.
    #[must_use]
    pub const fn id(&self) -> &SessionId {
        &self.id
    }

    /// Makes the resume token for the next `welcome`; earlier ones stop working. Only its hash is kept.
    pub fn rotate_token(&mut self, source: &mut dyn EntropySource) -> String {
        let token = entropy::secret(source);
        self.resume_hash = Sha256::digest(&token).into();
        token
    }

    /// Whether `token` is the current resume token, in constant time.
    #[must_use]
    pub fn token_matches(&self, token: &str) -> bool {
        Sha256::digest(token).as_slice().ct_eq(&self.resume_hash).into()
    }

    /// Whether whoever presents this is the session's client, by a token as [`Self::handle_resume`] takes it.
    #[must_use]
    pub fn proves(&self, resume: &Resume) -> bool {
        let presented: [u8; 32] = Sha256::digest(&resume.token).into();
        let current = presented.ct_eq(&self.resume_hash);
        let previous =
            self.previous_hash.map_or_else(|| Choice::from(0), |previous| presented.ct_eq(&previous));
        resume.session == self.id && bool::from(current | previous)
    }

    /// The client comes back: gives the frames it missed, or `None` when it needs a snapshot. Then call
    /// [`Self::rotate_token`].
    pub fn handle_resume(&mut self, resume: &Resume) -> Option<Vec<String>> {
        let presented: [u8; 32] = Sha256::digest(&resume.token).into();
        let current = presented.ct_eq(&self.resume_hash);
        let previous =
            self.previous_hash.map_or_else(|| Choice::from(0), |previous| presented.ct_eq(&previous));
        let matches = bool::from(current | previous);
        self.previous_hash = matches.then_some(presented);
        // Replay comes first: an invented `last_seq` must not drop what was never seen.
        let missed = self.replay(resume.last_seq).filter(|_| matches)?;
        self.handle_ack(resume.last_seq);
        Some(missed)
    }

    /// Numbers a call event, keeps it for a resume and returns its frame.
    pub fn event(&mut self, call_id: Option<CallId>, message: ServerMessage) -> String {
        let seq = self.next_seq;
        self.next_seq += 1;
        let text = self.frame(seq, call_id, message);
        self.ring_bytes += text.len();
        self.ring.push_back((seq, text.clone()));
        while self.ring.len() > RING_EVENTS || self.ring_bytes > RING_BYTES {
            self.drop_oldest(true);
        }
        text
    }

    /// The frame of a message that is not numbered (`welcome`, `outcome`, `pong`, `error`, `bye`).
    #[must_use]
    pub fn unnumbered(&self, message: ServerMessage) -> String {
        self.frame(0, None, message)
    }

    /// The client has handled every event up to `ack`.
    pub fn handle_ack(&mut self, ack: u64) {
        while self.ring.front().is_some_and(|(seq, _)| *seq <= ack) {
            self.drop_oldest(false);
        }
    }

    /// The events after `last_seq`, or `None` when some are gone and a snapshot is needed.
    #[must_use]
    pub fn replay(&self, last_seq: u64) -> Option<Vec<String>> {
        if last_seq < self.lost_through || last_seq >= self.next_seq {
            return None;
        }
        Some(self.ring.iter().filter(|(seq, _)| *seq > last_seq).map(|(_, text)| text.clone()).collect())
    }

    /// The number of the last event: a snapshot stands for everything up to it.
    #[must_use]
    pub const fn last_seq(&self) -> u64 {
        self.next_seq - 1
    }

    /// Notes the number of a client frame, for the `ack` of our own frames. It shows that the client has its welcome.
    pub fn handle_client_seq(&mut self, seq: u64) {
        self.previous_hash = None;
        self.client_seq = self.client_seq.max(seq);
    }

    /// What was answered to this command before; send it again instead of acting again.
    #[must_use]
    pub fn outcome_of(&self, id: &MessageId) -> Option<Outcome> {
        let (_, of, error) = self.outcomes.iter().rev().find(|(_, known, _)| known == id)?;
        Some(outcome(of.clone(), *error))
    }

    /// Remembers what was answered to a command, among the last 512. Call [`Self::forget_outcomes`] now and then.
    pub fn remember(&mut self, now: Instant, id: MessageId, error: Option<WireError>) {
        if self.outcomes.len() == REMEMBERED {
            self.outcomes.pop_front();
        }
        self.outcomes.push_back((now, id, error));
    }

    /// Forgets what was answered before `since`: clients that might repeat a command that old have lost their session.
    pub fn forget_outcomes(&mut self, since: Instant) {
        while self.outcomes.front().is_some_and(|(at, ..)| *at < since) {
            self.outcomes.pop_front();
        }
        if self.outcomes.is_empty() || self.outcomes.len() < self.outcomes.capacity() / 4 {
            self.outcomes.shrink_to_fit();
        }
    }

    fn frame(&self, seq: u64, call_id: Option<CallId>, message: ServerMessage) -> String {
        #[expect(clippy::unwrap_used, reason = "`s` and digits are a well-formed identifier")]
        let id = MessageId::new(format!("s{seq}")).unwrap();
        wire::write(&Frame { id, seq, ack: self.client_seq, call_id, message })
    }

    fn drop_oldest(&mut self, unacknowledged: bool) {
        if let Some((seq, text)) = self.ring.pop_front() {
            self.ring_bytes -= text.len();
            if self.ring.is_empty() {
                // Most sessions are idle most of the time.
                self.ring = VecDeque::new();
            }
            if unacknowledged || seq > self.lost_through {
                self.lost_through = seq;
            }
        }
    }
}

fn outcome(of: MessageId, error: Option<WireError>) -> Outcome {
    Outcome { of: Some(of), error, message: String::new() }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "virtual time has to begin somewhere")]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::message::Empty;

    struct Counter(u8);
    impl EntropySource for Counter {
        fn fill(&mut self, bytes: &mut [u8]) {
            for b in bytes {
                self.0 = self.0.wrapping_add(1);
                *b = self.0;
            }
        }
    }

    fn ring(session: &mut ServerSession) -> String {
        session.event(CallId::new("c").ok(), ServerMessage::CallRinging(Empty {}))
    }

    #[test]
    fn a_resume_replays_what_was_not_seen_or_asks_for_a_snapshot() {
        let mut session = ServerSession::new(&mut Counter(0));
        let frames: Vec<_> = (0..3).map(|_| ring(&mut session)).collect();
        assert_eq!(session.replay(1).unwrap(), frames[1..]);
        session.handle_ack(2);
        assert_eq!(session.replay(2).unwrap(), frames[2..]);
        assert_eq!(session.replay(1), None);
        assert_eq!(session.replay(4), None);
        for _ in 0..300 {
            ring(&mut session);
        }
        assert_eq!(session.replay(3), None);
    }

    #[test]
    fn a_session_goes_on_at_another_server_where_it_was() {
        let mut source = Counter(0);
        let mut session = ServerSession::new(&mut source);
        let frames: Vec<_> = (0..3).map(|_| ring(&mut session)).collect();
        session.handle_ack(1);
        let (id, command) = (session.id().clone(), MessageId::new("m1").unwrap());
        session.remember(Instant::now(), command.clone(), Some(WireError::Busy));
        let mut moved = ServerSession::take_over(Instant::now(), session.hand_over());
        assert_eq!(*moved.id(), id);
        assert_eq!(moved.outcome_of(&command).unwrap(), outcome(command, Some(WireError::Busy)));
        assert_eq!(moved.replay(1).unwrap(), frames[1..]);
        assert!(ring(&mut moved).contains(r#""seq":4"#));
    }

    #[test]
    fn a_session_with_a_gap_is_taken_over_without_its_events() {
        let mut session = ServerSession::new(&mut Counter(0));
        (0..3).for_each(|_| drop(ring(&mut session)));
        let mut state = session.hand_over();
        state.ring.remove(1);
        let mut moved = ServerSession::take_over(Instant::now(), state);
        assert_eq!(moved.replay(1), None);
        assert!(ring(&mut moved).contains(r#""seq":4"#));
    }

    #[test]
    fn an_outcome_is_known_for_its_time_and_leaves_no_room_behind() {
        let (mut session, begun) = (ServerSession::new(&mut Counter(0)), Instant::now());
        let at = |second: u64| begun + Duration::from_secs(second);
        let id = |number: u64| MessageId::new(format!("m{number}")).unwrap();
        for number in 0..600 {
            session.remember(at(number), id(number), (number % 2 == 0).then_some(WireError::Busy));
        }
        assert_eq!(session.outcome_of(&id(87)), None, "512 at most");
        assert_eq!(session.outcome_of(&id(88)), Some(outcome(id(88), Some(WireError::Busy))));
        session.forget_outcomes(at(598));
        assert_eq!(session.outcome_of(&id(597)), None);
        assert_eq!(session.outcome_of(&id(599)).unwrap().error, None);
        assert!(session.outcomes.capacity() < 16, "{}", session.outcomes.capacity());
        session.forget_outcomes(at(1000));
        assert_eq!(session.outcomes.capacity(), 0);
    }

    #[test]
    fn a_lost_welcome_does_not_spend_the_resume_token() {
        let mut source = Counter(0);
        let mut session = ServerSession::new(&mut source);
        let token = session.rotate_token(&mut source);
        let resume = Resume { session: session.id().clone(), token, last_seq: 0, epoch: String::new() };
        let frame = ring(&mut session);
        for _ in 0..3 {
            assert_eq!(session.handle_resume(&resume).unwrap(), std::slice::from_ref(&frame));
            session.rotate_token(&mut source);
        }
        session.handle_client_seq(7);
        assert_eq!(session.handle_resume(&resume), None, "the client has had a newer one");
    }

    #[test]
    fn a_resume_token_works_until_the_next_one() {
        let mut source = Counter(0);
        let mut session = ServerSession::new(&mut source);
        let first = session.rotate_token(&mut source);
        assert!(session.token_matches(&first));
        let second = session.rotate_token(&mut source);
        assert!(!session.token_matches(&first) && session.token_matches(&second));
    }
}
