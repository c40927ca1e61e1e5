//! What became of the calls, as lines of the table.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tokio::time::sleep;
use tokio_postgres::{Client, Row};

use crate::database::Database;

const PROMISED_RESUME: Duration = Duration::from_secs(5);
const PROMISED_CONTROL: Duration = Duration::from_secs(10);
/// From the end of a call until its record is in the database.
const PROMISED_RECORD: Duration = Duration::from_secs(10);

/// What became of one call.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) call: String,
    /// The line of the table it belongs to.
    pub(super) kind: &'static str,
    /// From the fault, or from the loss of the connection, to being back, for sides that lost it.
    pub(super) resumed: Vec<Duration>,
    /// Whether its people negotiate anew.
    pub(super) negotiates: bool,
    pub(super) renegotiated: Option<Duration>,
    pub(super) ended: Option<Duration>,
    pub(super) gaps: u64,
    pub(super) repeated: u64,
    pub(super) dropped: bool,
    /// Whether commands that could not be carried out were refused, and said why.
    pub(super) refused_clearly: bool,
}

/// How many records each call has, when those of so many calls have come from the nodes, or do not come.
pub(super) async fn records(database: &Database, calls: usize) -> BTreeMap<String, usize> {
    let client = database.client("offhook").await.unwrap();
    let until = Instant::now() + PROMISED_RECORD;
    while Instant::now() < until && counts(&client).await.len() < calls {
        sleep(Duration::from_millis(100)).await;
    }
    // A second record of a call would come from another node.
    sleep(Duration::from_secs(1)).await;
    counts(&client).await
}

async fn counts(client: &Client) -> BTreeMap<String, usize> {
    let rows =
        client.query("SELECT call_id, count(*) FROM call_records GROUP BY call_id", &[]).await.unwrap();
    let count = |row: &Row| usize::try_from(row.get::<_, i64>(1)).unwrap();
    rows.iter().map(|row| (row.get(0), count(row))).collect()
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
            || outcome.negotiates && outcome.renegotiated.is_none_or(|time| time > PROMISED_CONTROL)
            || outcome.resumed.iter().any(|time| *time > PROMISED_RESUME)
            || records.get(&outcome.call) != Some(&1)
    };
    outcomes.iter().filter(is_strange).collect()
}
