//! In which order events are told, and when again. Without clock or I/O.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::time::Duration;

/// Pauses before each further round of a question about a call that waits.
const QUESTION_PAUSES: [Duration; 1] = [Duration::from_millis(250)];
/// Pauses before each further round of other news.
const NEWS_PAUSES: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(5), Duration::from_secs(25)];

/// Events of many calls: one of each call at once, in their order, and a bounded number in all.
#[derive(Debug)]
pub(super) struct Lineup<K, T> {
    /// By call: those that wait for the one that is under way.
    calls: HashMap<K, VecDeque<T>>,
    count: usize,
    most: usize,
}

impl<K: Eq + Hash, T> Lineup<K, T> {
    pub(super) fn new(most: usize) -> Self {
        Self { calls: HashMap::new(), count: 0, most }
    }

    /// How many wait or are under way.
    pub(super) const fn len(&self) -> usize {
        self.count
    }

    /// Whether nothing waits or is under way.
    pub(super) fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    /// Adds an event; gives it back when it is to be told now.
    ///
    /// # Errors
    /// The event, when there are too many.
    pub(super) fn push(&mut self, call: K, event: T) -> Result<Option<T>, T> {
        if self.count >= self.most {
            return Err(event);
        }
        self.count += 1;
        match self.calls.entry(call) {
            std::collections::hash_map::Entry::Occupied(mut waiting) => {
                waiting.get_mut().push_back(event);
                Ok(None)
            }
            std::collections::hash_map::Entry::Vacant(place) => {
                place.insert(VecDeque::new());
                Ok(Some(event))
            }
        }
    }

    /// The event of this call that was under way is told, or given up; the next one is to be told now.
    pub(super) fn done(&mut self, call: &K) -> Option<T> {
        let waiting = self.calls.get_mut(call)?;
        self.count -= 1;
        let next = waiting.pop_front();
        if next.is_none() {
            self.calls.remove(call);
        }
        next
    }
}

/// What came of one try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tried {
    /// It may go well another time.
    Failed,
    /// It would be refused again.
    Refused,
}

/// What is done next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Wait, then ask the address of this number.
    Ask { pause: Duration, address: usize },
    /// Nothing: it has been tried often enough.
    GiveUp,
}

/// The tries of one event: every address in each round, those that refuse only once.
#[derive(Debug)]
pub(super) struct Tries {
    pauses: &'static [Duration],
    open: Vec<usize>,
    refused: Vec<usize>,
    round: usize,
    next: usize,
}

impl Tries {
    /// Of an event that is told at `addresses` addresses.
    pub(super) fn new(addresses: usize, is_question: bool) -> Self {
        let pauses: &[Duration] = if is_question { &QUESTION_PAUSES } else { &NEWS_PAUSES };
        Self { pauses, open: (0..addresses).collect(), refused: Vec::new(), round: 0, next: 0 }
    }

    /// The next try, given what came of the last one.
    pub(super) fn next(&mut self, last: Option<Tried>) -> Step {
        if last == Some(Tried::Refused)
            && let Some(address) = self.next.checked_sub(1).and_then(|last| self.open.get(last))
        {
            self.refused.push(*address);
        }
        if let Some(address) = self.open.get(self.next) {
            self.next += 1;
            return Step::Ask { pause: Duration::ZERO, address: *address };
        }
        self.open.retain(|address| !self.refused.contains(address));
        let pause = self.pauses.get(self.round);
        let (Some(pause), Some(address)) = (pause, self.open.first()) else { return Step::GiveUp };
        self.round += 1;
        self.next = 1;
        Step::Ask { pause: *pause, address: *address }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_of_one_call_wait_for_each_other_and_those_of_another_do_not() {
        let mut lineup = Lineup::new(4);
        assert_eq!(lineup.push("a", 1), Ok(Some(1)));
        assert_eq!(lineup.push("a", 2), Ok(None));
        assert_eq!(lineup.push("b", 3), Ok(Some(3)));
        assert_eq!(lineup.push("a", 4), Ok(None));
        assert_eq!(lineup.push("c", 5), Err(5), "full");
        assert_eq!((lineup.done(&"a"), lineup.done(&"a"), lineup.done(&"a")), (Some(2), Some(4), None));
        assert_eq!(lineup.push("c", 5), Ok(Some(5)));
        assert_eq!((lineup.done(&"b"), lineup.done(&"c"), lineup.done(&"c")), (None, None, None));
        assert!(lineup.is_empty());
    }

    fn plan(addresses: usize, is_question: bool, outcomes: impl Fn(usize) -> Tried) -> Vec<(u128, usize)> {
        let mut tries = Tries::new(addresses, is_question);
        let (mut plan, mut last) = (Vec::new(), None);
        while let Step::Ask { pause, address } = tries.next(last) {
            plan.push((pause.as_millis(), address));
            last = Some(outcomes(address));
        }
        plan
    }

    #[test]
    fn each_round_asks_the_fallback_after_the_first_address() {
        let fails = |_| Tried::Failed;
        assert_eq!(plan(2, true, fails), [(0, 0), (0, 1), (250, 0), (0, 1)]);
        assert_eq!(plan(1, false, fails), [(0, 0), (1000, 0), (5000, 0), (25_000, 0)]);
    }

    #[test]
    fn an_address_that_refuses_is_not_asked_again() {
        let first_refuses = |address| if address == 0 { Tried::Refused } else { Tried::Failed };
        assert_eq!(plan(2, false, first_refuses), [(0, 0), (0, 1), (1000, 1), (5000, 1), (25_000, 1)]);
        assert_eq!(plan(2, false, |_| Tried::Refused), [(0, 0), (0, 1)]);
    }
}
