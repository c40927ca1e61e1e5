//! Metrics as text (OpenMetrics), and the numbers of them that `top` shows.

use std::collections::BTreeMap;

use serde::Serialize;

/// All samples of one answer, by name with labels as they are written. What cannot be read is left out.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Sample(BTreeMap<String, f64>);

impl Sample {
    /// Reads an answer.
    pub(super) fn parse(text: &str) -> Self {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        // A label may hold blanks: the value comes behind the last one.
        let read = |line: &str| {
            let (name, value) = line.trim_end().rsplit_once(' ')?;
            let value: f64 = value.parse().ok()?;
            value.is_finite().then(|| (name.to_owned(), value))
        };
        Self(lines.filter_map(read).collect())
    }

    /// What several servers say, added up.
    pub(super) fn together<'a>(samples: impl IntoIterator<Item = &'a Self>) -> Self {
        let mut sum: BTreeMap<String, f64> = BTreeMap::new();
        for (name, value) in samples.into_iter().flat_map(|sample| &sample.0) {
            *sum.entry(name.clone()).or_default() += value;
        }
        Self(sum)
    }

    /// One sample; 0 when it is not there.
    pub(super) fn value(&self, name: &str) -> f64 {
        self.0.get(name).copied().unwrap_or_default()
    }

    /// Whether a sample is there.
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// All samples of a family with one label, by the label's value.
    pub(super) fn family<'a>(&'a self, name: &'a str, label: &str) -> impl Iterator<Item = (&'a str, f64)> {
        let begin = format!("{name}{{{label}=\"");
        let of = move |(key, value): (&'a String, &'a f64)| {
            let rest = key.strip_prefix(begin.as_str())?;
            Some((rest.strip_suffix("\"}")?, *value))
        };
        self.0.iter().filter_map(of)
    }

    /// The sum of a family.
    pub(super) fn sum(&self, name: &str, label: &str) -> f64 {
        self.family(name, label).map(|(_, value)| value).sum()
    }

    /// The release of the server.
    pub(super) fn version(&self) -> &str {
        self.family("offhook_build_info", "version").next().map_or("?", |(version, _)| version)
    }

    /// The value below which this part of what a histogram saw since `before` lies, interpolated within its bucket; `None` when it saw
    /// nothing.
    pub(super) fn quantile(&self, before: &Self, name: &str, quantile: f64) -> Option<f64> {
        let bucket = format!("{name}_bucket");
        let mut buckets: Vec<(f64, f64)> = self
            .family(&bucket, "le")
            .filter_map(|(bound, count)| {
                let earlier = before.value(&format!("{bucket}{{le=\"{bound}\"}}"));
                Some((bound.parse().ok()?, count - earlier))
            })
            .collect();
        buckets.sort_by(|one, other| one.0.total_cmp(&other.0));
        let (_, all) = *buckets.last()?;
        if all <= 0.0 {
            return None;
        }
        let rank = quantile * all;
        let (mut low, mut below) = (0.0, 0.0);
        for (bound, count) in buckets {
            if count >= rank {
                let share = if count > below { (rank - below) / (count - below) } else { 1.0 };
                // Beyond the last bound nothing more is known.
                let value = if bound.is_finite() { low * (1.0 - share) + bound * share } else { low };
                // Of numbers that no histogram has.
                return value.is_finite().then_some(value);
            }
            (low, below) = (bound, count);
        }
        None
    }

    /// What `--json` prints.
    pub(super) fn snapshot(&self, unreachable_servers: Vec<String>) -> Snapshot {
        let family = |name: &str, label: &str| -> BTreeMap<String, u64> {
            self.family(name, label).map(|(key, value)| (key.to_owned(), value as u64)).collect()
        };
        let whole = |name: &str| self.value(name) as u64;
        let measured = |name: &str| self.has(name).then(|| self.value(name));
        let ever = |name: &str| {
            let of = |quantile| self.quantile(&Self::default(), name, quantile);
            Percentiles { p50: of(0.5), p99: of(0.99) }
        };
        Snapshot {
            version: self.version().to_owned(),
            unreachable_servers,
            connections: whole("offhook_connections"),
            sessions: family("offhook_sessions", "state"),
            calls: family("offhook_calls", "state"),
            calls_started: whole("offhook_calls_started_total"),
            calls_ended: family("offhook_calls_ended_total", "cause"),
            ringing_seconds: ever("offhook_call_ringing_seconds"),
            media_seconds: ever("offhook_call_media_seconds"),
            queues: family("offhook_queue_depth", "queue"),
            turn_allocations: measured("offhook_turn_allocations"),
            cpu_seconds: measured("process_cpu_seconds_total"),
            resident_bytes: measured("process_resident_memory_bytes"),
            open_files: measured("process_open_fds"),
        }
    }
}

/// One look at a server. What it does not measure is null.
#[derive(Debug, Serialize)]
pub(super) struct Snapshot {
    version: String,
    /// Those of several that did not answer: what they count is missing.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unreachable_servers: Vec<String>,
    connections: u64,
    sessions: BTreeMap<String, u64>,
    calls: BTreeMap<String, u64>,
    /// Since the server started, as all that follows of calls.
    calls_started: u64,
    calls_ended: BTreeMap<String, u64>,
    ringing_seconds: Percentiles,
    media_seconds: Percentiles,
    queues: BTreeMap<String, u64>,
    turn_allocations: Option<f64>,
    cpu_seconds: Option<f64>,
    resident_bytes: Option<f64>,
    open_files: Option<f64>,
}

#[derive(Debug, Serialize)]
struct Percentiles {
    p50: Option<f64>,
    p99: Option<f64>,
}

#[cfg(test)]
pub(super) const TEXT: &str = r#"# TYPE offhook_calls gauge
offhook_build_info{version="0.1.0"} 1
offhook_connections 12
offhook_sessions{state="connected"} 10
offhook_sessions{state="waiting"} 2
offhook_calls{state="ringing"} 1
offhook_calls{state="established"} 3
offhook_calls_started_total 40
offhook_calls_ended_total{cause="hung_up"} 30
offhook_calls_ended_total{cause="failure"} 6
offhook_call_ringing_seconds_bucket{le="0.001"} 10
offhook_call_ringing_seconds_bucket{le="0.002"} 30
offhook_call_ringing_seconds_bucket{le="+Inf"} 40
offhook_queue_depth{queue="store"} 5
process_cpu_seconds_total 2.5
process_resident_memory_bytes 104857600
# EOF
"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_labels_and_values_are_read() {
        let sample = Sample::parse(TEXT);
        assert_eq!((sample.version(), sample.value("offhook_connections")), ("0.1.0", 12.0));
        assert_eq!(sample.sum("offhook_calls_ended_total", "cause"), 36.0);
        assert!(!sample.has("offhook_turn_allocations"));
    }

    #[test]
    fn quantiles_are_of_what_came_since_and_lie_within_their_bucket() {
        let (none, sample) = (Sample::default(), Sample::parse(TEXT));
        let of =
            |before: &Sample, quantile| sample.quantile(before, "offhook_call_ringing_seconds", quantile);
        let near =
            |found: Option<f64>, expected: f64| found.is_some_and(|found| (found - expected).abs() < 1e-9);
        assert!(near(of(&none, 0.5), 0.0015), "{:?}", of(&none, 0.5));
        assert!(near(of(&none, 0.99), 0.002), "nothing is known beyond the last bound");
        assert_eq!(of(&sample, 0.5), None, "nothing came since");
        let earlier = "offhook_call_ringing_seconds_bucket{le=\"0.001\"} 10\n\
                       offhook_call_ringing_seconds_bucket{le=\"0.002\"} 10\n\
                       offhook_call_ringing_seconds_bucket{le=\"+Inf\"} 10\n";
        assert!(near(of(&Sample::parse(earlier), 0.5), 0.00175), "20 of 30 came in the second bucket");
    }

    #[test]
    fn servers_are_added_up() {
        let (one, other) = (Sample::parse(TEXT), Sample::parse("offhook_connections 3\nonly_here 1\n"));
        let sum = Sample::together([&one, &other]);
        assert_eq!((sum.value("offhook_connections"), sum.value("only_here")), (15.0, 1.0));
        assert_eq!((sum.version(), sum.value("offhook_calls_started_total")), ("0.1.0", 40.0));
        assert_eq!(Sample::together([&one]), one);
    }

    #[test]
    fn seeds() {
        offhook_sim::corpus::replay("metrics_text", crate::top::fuzzing::metrics_text);
    }

    #[test]
    fn whatever_a_server_says_is_borne() {
        for text in
            ["", " ", "a", "a b", "a{ 1", "\u{e9} 1", "x NaN", "x inf", "x{le=\"} 1", "# x 1", "x 1e999"]
        {
            let sample = Sample::parse(text);
            assert!(serde_json::to_string(&sample.snapshot(Vec::new())).is_ok(), "{text:?}");
            let _ = sample.quantile(&sample, "x", 0.5);
        }
    }
}
