//! What became of the calls, as lines of the table.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use offhook_server::{RecordQuery, SqliteStore, Store as _, StoreKeySource};
use offhook_signaling::ApplicationKey;

use crate::support::KEY;

const PROMISED_RESUME: Duration = Duration::from_secs(5);
const PROMISED_CONTROL: Duration = Duration::from_secs(10);

/// What became of one call.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) call: String,
    /// The line of the table it belongs to.
    pub(super) kind: &'static str,
    /// From the fault, or from the loss of the connection, to being back, for sides that lost it.
    pub(super) resumed: Vec<Duration>,
    pub(super) renegotiated: Option<Duration>,
    pub(super) ended: Option<Duration>,
    pub(super) gaps: u64,
    pub(super) repeated: u64,
    pub(super) dropped: bool,
    /// Whether commands that could not be carried out were refused, and said why.
    pub(super) refused_clearly: bool,
}

/// How many records each call has.
pub(super) async fn records(folder: &Path) -> BTreeMap<String, usize> {
    let store = SqliteStore::open(folder.join("data"), &StoreKeySource::DataFolder).unwrap();
    let mut counts = BTreeMap::new();
    let mut after = None;
    loop {
        let application = ApplicationKey::new(KEY).unwrap();
        let query = RecordQuery { application, from: None, to: None, user: None, after, limit: 1000 };
        let page = store.records(&query).await.unwrap();
        for record in page.records {
            *counts.entry(record.call_id.to_string()).or_default() += 1;
        }
        match page.next {
            Some(next) => after = Some(next),
            None => return counts,
        }
    }
}

fn times(mut times: Vec<Duration>) -> String {
    if times.is_empty() {
        return "–".to_owned();
    }
    times.sort_unstable();
    let at = |per_mille: usize| {
        let index = (times.len() * per_mille / 1000).min(times.len() - 1);
        format!("{:.2}", times[index].as_secs_f64())
    };
    format!("{}, {}, {}", at(500), at(990), at(1000))
}

/// One line for each kind of call.
pub(super) fn lines(outcomes: &[Outcome], records: &BTreeMap<String, usize>) -> Vec<String> {
    let mut kinds: BTreeMap<&str, Vec<&Outcome>> = BTreeMap::new();
    for outcome in outcomes {
        kinds.entry(outcome.kind).or_default().push(outcome);
    }
    kinds.into_iter().map(|(kind, outcomes)| line(kind, &outcomes, records)).collect()
}

fn line(kind: &str, outcomes: &[&Outcome], records: &BTreeMap<String, usize>) -> String {
    let resumed: Vec<Duration> = outcomes.iter().flat_map(|outcome| outcome.resumed.clone()).collect();
    let renegotiated: Vec<Duration> = outcomes.iter().filter_map(|outcome| outcome.renegotiated).collect();
    let ended: Vec<Duration> = outcomes.iter().filter_map(|outcome| outcome.ended).collect();
    let late = resumed.iter().filter(|time| **time > PROMISED_RESUME).count();
    let in_time = |times: &[Duration]| times.iter().filter(|time| **time <= PROMISED_CONTROL).count();
    let exactly_one = outcomes.iter().filter(|outcome| records.get(&outcome.call) == Some(&1)).count();
    format!(
        "| {kind} | {} | {} | {} | {}; {late}; {} | {}; {} | {}; {} | {}, {} | {exactly_one} |",
        outcomes.len(),
        outcomes.iter().filter(|outcome| outcome.dropped).count(),
        outcomes.iter().filter(|outcome| outcome.refused_clearly).count(),
        resumed.len(),
        times(resumed),
        in_time(&renegotiated),
        times(renegotiated),
        in_time(&ended),
        times(ended),
        outcomes.iter().map(|outcome| outcome.gaps).sum::<u64>(),
        outcomes.iter().map(|outcome| outcome.repeated).sum::<u64>(),
    )
}

/// The calls that did not keep a promise, for whoever looks for the reason.
pub(super) fn strange<'a>(outcomes: &'a [Outcome], records: &BTreeMap<String, usize>) -> Vec<&'a Outcome> {
    let is_strange = |outcome: &&Outcome| {
        outcome.dropped
            || outcome.gaps + outcome.repeated > 0
            || outcome.ended.is_none_or(|time| time > PROMISED_CONTROL)
            || outcome.renegotiated.is_some_and(|time| time > PROMISED_CONTROL)
            || outcome.resumed.iter().any(|time| *time > PROMISED_RESUME)
            || records.get(&outcome.call) != Some(&1)
    };
    outcomes.iter().filter(is_strange).collect()
}
