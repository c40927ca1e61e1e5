//! What every device was told of every call, and whether it can be true of one call.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use offhook_server::CallDetailRecord;
use offhook_signaling::CallId;
use offhook_signaling::call::CallEndCause;
use offhook_signaling::client::Delivery;
use offhook_signaling::message::Hangup;

/// A device, by its place in the round.
pub(super) type Who = usize;

/// How an application saw the end of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct End {
    pub(super) cause: CallEndCause,
    /// This side ended it, before it heard of an end.
    pub(super) is_own: bool,
}

#[derive(Debug, Default)]
struct Call {
    caller: Option<Who>,
    /// Devices that the server told that their answer was the first.
    winners: BTreeSet<Who>,
    /// What the server told each device of the call's end.
    told: BTreeMap<Who, HashSet<CallEndCause>>,
    ends: BTreeMap<Who, End>,
    /// The server confirmed a command that ends the call for all.
    confirmed: bool,
    /// A side lost its session, its application or its place while the call was live: it can learn of the end only that there was one.
    disturbed: bool,
}

/// One for all devices of a round.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    calls: BTreeMap<CallId, Call>,
    missed: u64,
    repeated: u64,
    pub(super) events: u64,
    pub(super) sessions_lost: u64,
}

impl Ledger {
    pub(super) fn note_start(&mut self, call: &CallId, caller: Who) {
        self.call(call).caller = Some(caller);
    }

    pub(super) fn note_winner(&mut self, call: &CallId, who: Who) {
        self.call(call).winners.insert(who);
    }

    pub(super) fn note_told(&mut self, call: &CallId, who: Who, cause: CallEndCause) {
        self.call(call).told.entry(who).or_default().insert(cause);
    }

    pub(super) fn note_end(&mut self, call: &CallId, who: Who, end: End) {
        self.call(call).ends.insert(who, end);
    }

    /// The server has carried out a hang-up.
    pub(super) fn note_confirmed(&mut self, call: &CallId, who: Who, hangup: Hangup) {
        let call = self.call(call);
        // Whatever else a callee says before its answer was taken is of its device alone.
        let denies = hangup.cause == CallEndCause::Denied && hangup.error.is_none();
        call.confirmed |= denies || call.caller == Some(who) || call.winners.contains(&who);
    }

    pub(super) fn note_disturbed<'a>(&mut self, calls: impl Iterator<Item = &'a CallId>) {
        self.sessions_lost += 1;
        calls.for_each(|call| self.call(call).disturbed = true);
    }

    pub(super) fn note_delivery(&mut self, before: Delivery, now: Delivery) {
        self.events += now.events - before.events;
        self.missed += now.missed - before.missed;
        self.repeated += now.repeated - before.repeated;
    }

    pub(super) fn started(&self) -> usize {
        self.calls.values().filter(|call| call.caller.is_some()).count()
    }

    pub(super) fn answered(&self) -> usize {
        self.calls.values().filter(|call| !call.winners.is_empty()).count()
    }

    /// Ends that both sides had without a disturbance.
    pub(super) fn compared(&self) -> usize {
        self.calls.values().filter(|call| call.both_ends().is_some()).count()
    }

    /// What must hold of any round.
    pub(super) fn check(&self, records: &[CallDetailRecord]) {
        assert_eq!((self.missed, self.repeated), (0, 0), "events lost, events repeated");
        let mut by_call = BTreeMap::new();
        for record in records {
            if let Some(other) = by_call.insert(&record.call_id, record) {
                panic!("two records of one call:\n{other:?}\n{record:?}");
            }
        }
        for (id, call) in &self.calls {
            call.check(id, by_call.get(id).copied());
        }
    }

    fn call(&mut self, call: &CallId) -> &mut Call {
        self.calls.entry(call.clone()).or_default()
    }
}

impl Call {
    fn check(&self, id: &CallId, record: Option<&CallDetailRecord>) {
        assert!(self.winners.len() <= 1, "{id} was won by {:?}", self.winners);
        for (who, causes) in &self.told {
            assert_eq!(causes.len(), 1, "{id}: {who} was told {causes:?}");
        }
        let told_caller = self.caller.and_then(|who| self.told_to(who));
        let told_winner = self.winners.first().and_then(|who| self.told_to(*who));
        if let (Some(caller), Some(winner)) = (told_caller, told_winner) {
            assert_eq!(caller, winner, "{id}: the two ends were told different causes");
        }
        if let Some((caller, winner)) = self.both_ends() {
            assert!(agree(caller, winner), "{id} ended {caller:?} at the caller, {winner:?} at the callee");
        }
        if self.confirmed || told_caller.is_some() || told_winner.is_some() {
            let record = record.unwrap_or_else(|| panic!("{id} ended, and there is no record: {self:?}"));
            if let Some(told) = told_caller {
                assert_eq!(record.cause, told, "{id}: the record says what the caller was told");
            }
        }
    }

    fn told_to(&self, who: Who) -> Option<CallEndCause> {
        self.told.get(&who)?.iter().next().copied()
    }

    /// How it ended at the caller and at the winner, where nothing was in the way of their knowing.
    fn both_ends(&self) -> Option<(End, End)> {
        let caller = self.ends.get(&self.caller?).filter(|_| !self.disturbed)?;
        Some((*caller, *self.ends.get(self.winners.first()?)?))
    }
}

/// Whether two people can have seen the same end. When both end a call at once, each has its own cause.
fn agree(caller: End, winner: End) -> bool {
    match (caller.is_own, winner.is_own) {
        (true, true) => true,
        // Given up while the answer was on its way: for the callee it was a call that was hung up.
        (true, false) if caller.cause == CallEndCause::Canceled => winner.cause == CallEndCause::HungUp,
        _ => class(caller.cause) == class(winner.cause),
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Class {
    HungUp,
    Broken,
    Unanswered,
}

fn class(cause: CallEndCause) -> Class {
    match cause {
        CallEndCause::HungUp => Class::HungUp,
        CallEndCause::Failure | CallEndCause::Inactive => Class::Broken,
        _ => Class::Unanswered,
    }
}
