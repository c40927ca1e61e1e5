//! What came of registrations and calls. Pure: time is an argument.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use offhook_signaling::call::CallEndCause;

/// How long after one side is done with a call the other may take. Later it counts as never told.
const OTHER_SIDE: Duration = Duration::from_secs(15);

/// What takes longer counts as this.
const LONGEST_MICROS: u64 = 3_600_000_000;

/// What one side of a call went through.
#[derive(Debug, Clone, Default)]
pub(super) struct Part {
    pub(super) number: u64,
    pub(super) is_caller: bool,
    /// From when the call should have started until media would flow; the caller's.
    pub(super) setup: Option<Duration>,
    /// How it ended; `None` when this side had to give up waiting for it.
    pub(super) cause: Option<CallEndCause>,
    /// Events that this side knows it should have got and did not.
    pub(super) missing: u64,
    /// What went wrong, in the server's word or ours.
    pub(super) error: Option<String>,
}

/// A call whose two sides have not both reported.
#[derive(Debug)]
struct Pair {
    people: [usize; 2],
    parts: [Option<Part>; 2],
    give_up: Option<Instant>,
}

/// All that is counted.
#[derive(Debug)]
pub(super) struct Ledger {
    pub(super) registered: u64,
    pub(super) register: Histogram<u64>,
    pub(super) attempted: u64,
    pub(super) established: u64,
    pub(super) ended: u64,
    pub(super) failed: u64,
    pub(super) setup: Histogram<u64>,
    /// Events that sides of calls did not get.
    pub(super) lost: u64,
    /// Connections that were lost.
    pub(super) away: u64,
    /// From the loss of a connection until its client was served again.
    pub(super) back: Histogram<u64>,
    pub(super) errors: BTreeMap<String, u64>,
    pairs: HashMap<u64, Pair>,
}

impl Ledger {
    pub(super) fn new() -> Self {
        // Three digits, from a microsecond to an hour.
        let histogram = || Histogram::new_with_bounds(1, LONGEST_MICROS, 3).expect("the bounds are in order");
        Self {
            registered: 0,
            register: histogram(),
            attempted: 0,
            established: 0,
            ended: 0,
            failed: 0,
            setup: histogram(),
            lost: 0,
            away: 0,
            back: histogram(),
            errors: BTreeMap::new(),
            pairs: HashMap::new(),
        }
    }

    pub(super) fn note_registered(&mut self, took: Duration) {
        self.registered += 1;
        self.register.saturating_record(micros(took));
    }

    pub(super) fn note_error(&mut self, what: impl Into<String>) {
        *self.errors.entry(what.into()).or_default() += 1;
    }

    pub(super) fn note_away(&mut self) {
        self.away += 1;
        self.note_error("connection lost");
    }

    pub(super) fn note_back(&mut self, took: Duration) {
        self.back.saturating_record(micros(took));
    }

    /// Call `number` starts between these two.
    pub(super) fn begin(&mut self, number: u64, caller: usize, callee: usize) {
        self.attempted += 1;
        self.pairs.insert(number, Pair { people: [caller, callee], parts: [None, None], give_up: None });
    }

    /// A call that was due and for which nobody was free until the end.
    pub(super) fn note_not_started(&mut self) {
        self.attempted += 1;
        self.failed += 1;
        self.note_error("call: no client was free");
    }

    /// Calls that are not over on both sides.
    pub(super) fn open(&self) -> usize {
        self.pairs.len()
    }

    /// One side is done. Gives who is free now.
    pub(super) fn note_part(&mut self, now: Instant, part: Part) -> Vec<usize> {
        let Some(pair) = self.pairs.get_mut(&part.number) else { return Vec::new() };
        let (number, side) = (part.number, usize::from(!part.is_caller));
        // The callee of a call that the server refused never hears of it.
        let alone = part.is_caller && part.error.is_some() && part.setup.is_none();
        let mut free = vec![pair.people[side]];
        pair.parts[side] = Some(part);
        pair.give_up = Some(now + OTHER_SIDE);
        if pair.parts.iter().all(Option::is_some) {
            self.finish(number);
        } else if alone {
            free.push(pair.people[1]);
            self.finish(number);
        }
        free
    }

    /// Gives up on sides that were never told. Gives who is free now.
    pub(super) fn handle_timeout(&mut self, now: Instant) -> Vec<usize> {
        let due = |pair: &Pair| pair.give_up.is_some_and(|at| at <= now);
        let late: Vec<u64> =
            self.pairs.iter().filter(|(_, pair)| due(pair)).map(|(number, _)| *number).collect();
        let mut free = Vec::new();
        for number in late {
            let Some(pair) = self.pairs.get(&number) else { continue };
            let silent = (0..2).filter(|side| pair.parts[*side].is_none()).map(|side| pair.people[side]);
            free.extend(silent);
            self.lost += 1;
            self.note_error("call: one side was never told of it");
            self.finish(number);
        }
        free
    }

    /// What has not ended by now has failed.
    pub(super) fn close(&mut self) {
        let open: Vec<u64> = self.pairs.keys().copied().collect();
        for number in open {
            self.note_error("call: not over when the run was");
            self.finish(number);
        }
    }

    fn finish(&mut self, number: u64) {
        let Some(Pair { parts, .. }) = self.pairs.remove(&number) else { return };
        let setup = parts[0].as_ref().and_then(|part| part.setup);
        if let Some(setup) = setup {
            self.established += 1;
            self.setup.saturating_record(micros(setup));
        }
        let hung_up =
            |part: &Option<Part>| part.as_ref().is_some_and(|part| part.cause == Some(CallEndCause::HungUp));
        if setup.is_some() && parts.iter().all(hung_up) {
            self.ended += 1;
        } else {
            self.failed += 1;
        }
        for part in parts.into_iter().flatten() {
            self.lost += part.missing;
            if let Some(error) = part.error {
                self.note_error(error);
            }
        }
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(number: u64, is_caller: bool) -> Part {
        let setup = is_caller.then_some(Duration::from_millis(7));
        Part { number, is_caller, setup, cause: Some(CallEndCause::HungUp), ..Part::default() }
    }

    #[test]
    fn a_call_is_over_when_both_sides_say_so() {
        let (mut ledger, now) = (Ledger::new(), Instant::now());
        ledger.begin(1, 10, 11);
        assert_eq!(ledger.note_part(now, part(1, false)), [11]);
        assert_eq!((ledger.open(), ledger.ended), (1, 0));
        assert_eq!(ledger.note_part(now, part(1, true)), [10]);
        assert_eq!((ledger.open(), ledger.established, ledger.ended, ledger.failed), (0, 1, 1, 0));
        assert_eq!(ledger.setup.value_at_quantile(0.5) / 100, 70);
        assert!(ledger.note_part(now, part(1, true)).is_empty(), "it is known no more");
    }

    #[test]
    fn a_refused_call_frees_both_and_is_named() {
        let (mut ledger, now) = (Ledger::new(), Instant::now());
        ledger.begin(1, 10, 11);
        let refused =
            Part { setup: None, cause: None, error: Some("call: rate_limited".into()), ..part(1, true) };
        assert_eq!(ledger.note_part(now, refused), [10, 11]);
        assert_eq!((ledger.failed, ledger.established, ledger.lost), (1, 0, 0));
        assert_eq!(ledger.errors["call: rate_limited"], 1);
    }

    #[test]
    fn who_is_never_told_costs_a_lost_event() {
        let (mut ledger, now) = (Ledger::new(), Instant::now());
        ledger.begin(1, 10, 11);
        ledger.note_part(now, part(1, true));
        assert!(ledger.handle_timeout(now + OTHER_SIDE / 2).is_empty());
        assert_eq!(ledger.handle_timeout(now + OTHER_SIDE), [11]);
        assert_eq!((ledger.failed, ledger.established, ledger.ended, ledger.lost), (1, 1, 0, 1));
    }

    #[test]
    fn attempts_are_what_ended_and_what_failed() {
        let (mut ledger, now) = (Ledger::new(), Instant::now());
        for number in 0..3 {
            ledger.begin(number, 0, 1);
        }
        ledger.note_part(now, part(0, true));
        ledger.note_part(now, Part { missing: 2, ..part(0, false) });
        ledger.note_not_started();
        ledger.close();
        assert_eq!((ledger.attempted, ledger.ended, ledger.failed, ledger.lost), (4, 1, 3, 2));
    }
}
