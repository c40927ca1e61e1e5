//! Whose turn it is to be greeted. Pure: time is an argument.
//!
//! When a node dies, all its clients come to the others at once. TLS and a session cost a fraction of a millisecond of processor each, so
//! that a server that began with all of them would finish with none before their patience is over. So only some are greeted at once; the
//! others wait in order, at little cost, and those who would wait for too long, or too many, are sent away before any work was done for
//! them: they come back, later each time. A turn is for work, not for waiting: who is slow keeps nobody out for long.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

/// Less than the patience of a client, which is ten seconds for TCP, TLS and upgrade together.
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// Who takes longer to greet goes on, but counts no more. All who are greeted at once share the processors: each has to have enough
/// time for that.
const LONGEST_TURN: Duration = Duration::from_secs(4);

/// What to do with somebody who arrived.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum LobbyOutput<T> {
    /// It is their turn, which has this number.
    Greet(u64, T),
    /// They are sent away.
    Refuse(T),
}

/// Those who are being greeted and those who wait.
#[derive(Debug)]
pub(crate) struct Lobby<T> {
    most_greeted: usize,
    most_waiting: usize,
    greeted: BTreeMap<u64, Instant>,
    waiting: VecDeque<(Instant, T)>,
    last: u64,
    outputs: VecDeque<LobbyOutput<T>>,
}

impl<T> Lobby<T> {
    /// At most so many are greeted at once, and wait.
    pub(crate) const fn new(most_greeted: usize, most_waiting: usize) -> Self {
        Self {
            most_greeted,
            most_waiting,
            greeted: BTreeMap::new(),
            waiting: VecDeque::new(),
            last: 0,
            outputs: VecDeque::new(),
        }
    }

    /// Somebody is at the door.
    pub(crate) fn handle_arrival(&mut self, now: Instant, guest: T) {
        self.handle_timeout(now);
        if self.waiting.len() < self.most_waiting || self.greeted.len() < self.most_greeted {
            self.waiting.push_back((now, guest));
            self.call_next(now);
        } else {
            self.outputs.push_back(LobbyOutput::Refuse(guest));
        }
    }

    /// A turn is over.
    pub(crate) fn handle_done(&mut self, now: Instant, turn: u64) {
        self.greeted.remove(&turn);
        self.handle_timeout(now);
    }

    /// Ends turns that took too long and waits that did.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        while let Some(turn) = self.greeted.first_entry().filter(|turn| *turn.get() + LONGEST_TURN <= now) {
            turn.remove();
        }
        while self.waiting.front().is_some_and(|(since, _)| *since + LONGEST_WAIT <= now) {
            self.outputs.extend(self.waiting.pop_front().map(|(_, guest)| LobbyOutput::Refuse(guest)));
        }
        self.call_next(now);
    }

    /// When to call [`Self::handle_timeout`]; never while nobody waits.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let (since, _) = self.waiting.front()?;
        // Turns have numbers in the order in which they began.
        let turn = self.greeted.first_key_value().map(|(_, begun)| *begun + LONGEST_TURN);
        turn.into_iter().chain([*since + LONGEST_WAIT]).min()
    }

    /// What to do next, until there is nothing.
    pub(crate) fn poll_output(&mut self) -> Option<LobbyOutput<T>> {
        self.outputs.pop_front()
    }

    /// How many wait.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    fn call_next(&mut self, now: Instant) {
        while self.greeted.len() < self.most_greeted
            && let Some((_, guest)) = self.waiting.pop_front()
        {
            self.last += 1;
            self.greeted.insert(self.last, now);
            self.outputs.push_back(LobbyOutput::Greet(self.last, guest));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outputs(lobby: &mut Lobby<&'static str>) -> Vec<LobbyOutput<&'static str>> {
        std::iter::from_fn(|| lobby.poll_output()).collect()
    }

    #[test]
    fn some_are_greeted_some_wait_in_order_and_the_rest_is_sent_away() {
        let (mut lobby, now) = (Lobby::new(2, 2), Instant::now());
        for guest in ["a", "b", "c", "d", "e"] {
            lobby.handle_arrival(now, guest);
        }
        let greeted = [LobbyOutput::Greet(1, "a"), LobbyOutput::Greet(2, "b"), LobbyOutput::Refuse("e")];
        assert_eq!(outputs(&mut lobby), greeted);
        lobby.handle_done(now, 2);
        lobby.handle_done(now, 2);
        assert_eq!(outputs(&mut lobby), [LobbyOutput::Greet(3, "c")], "a turn ends once");
        lobby.handle_arrival(now, "f");
        lobby.handle_done(now, 1);
        assert_eq!(outputs(&mut lobby), [LobbyOutput::Greet(4, "d")], "first come, first served");
        assert_eq!(lobby.waiting(), 1);
    }

    #[test]
    fn who_stalls_keeps_nobody_out_for_long() {
        let (mut lobby, now) = (Lobby::new(1, 10), Instant::now());
        lobby.handle_arrival(now, "stalls");
        lobby.handle_arrival(now, "waits");
        outputs(&mut lobby);
        assert_eq!(lobby.poll_timeout(), Some(now + LONGEST_TURN));
        lobby.handle_timeout(now + LONGEST_TURN);
        assert_eq!(outputs(&mut lobby), [LobbyOutput::Greet(2, "waits")]);
        assert_eq!(lobby.poll_timeout(), None);
    }

    #[test]
    fn nobody_waits_until_its_patience_is_over() {
        let (mut lobby, now) = (Lobby::new(1, 10), Instant::now());
        lobby.handle_arrival(now, "first");
        let mut at = now;
        for guest in ["b", "c", "d", "e", "f", "g"] {
            lobby.handle_arrival(now, guest);
        }
        outputs(&mut lobby);
        let mut refused = 0;
        while let Some(due) = lobby.poll_timeout() {
            at = due;
            lobby.handle_timeout(due);
            refused += outputs(&mut lobby).iter().filter(|out| matches!(out, LobbyOutput::Refuse(_))).count();
        }
        assert_eq!((at - now, refused), (LONGEST_WAIT, 5), "one had its turn");
    }
}
