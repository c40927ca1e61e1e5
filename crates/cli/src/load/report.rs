//! What a run prints.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use hdrhistogram::Histogram;
use serde::Serialize;

use super::bare::Bare;
use super::ledger::Ledger;
use super::process::ServerCost;

/// The whole of it.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    clients: usize,
    registered: u64,
    register_ms: Register,
    calls: Calls,
    setup_ms: Setup,
    lost_events: u64,
    repeated_events: u64,
    /// Only when connections were lost.
    #[serde(skip_serializing_if = "Option::is_none")]
    reconnect: Option<Reconnect>,
    errors: BTreeMap<String, u64>,
    /// Only with `--server-pid`.
    #[serde(skip_serializing_if = "Option::is_none")]
    server: Option<ServerCost>,
    /// Only with `--beside-bare`.
    #[serde(skip_serializing_if = "Option::is_none")]
    bare: Option<Bare>,
}

#[derive(Debug, Serialize)]
struct Register {
    p50: Option<f64>,
    p99: Option<f64>,
}

#[derive(Debug, Serialize)]
struct Calls {
    attempted: u64,
    established: u64,
    ended: u64,
    failed: u64,
}

#[derive(Debug, Serialize)]
struct Setup {
    p50: Option<f64>,
    p95: Option<f64>,
    p99: Option<f64>,
}

/// Connections that were lost, and how soon their clients were served again.
#[derive(Debug, Serialize)]
struct Reconnect {
    lost: u64,
    back: u64,
    back_ms: Back,
}

#[derive(Debug, Serialize)]
struct Back {
    p50: Option<f64>,
    p99: Option<f64>,
    max: Option<f64>,
}

impl Reconnect {
    fn new(ledger: &Ledger) -> Option<Self> {
        let back = &ledger.back;
        let back_ms = Back { p50: millis(back, 0.5), p99: millis(back, 0.99), max: millis(back, 1.0) };
        (ledger.away > 0).then(|| Self { lost: ledger.away, back: back.len(), back_ms })
    }
}

/// What was counted outside of the ledger.
#[derive(Debug, Clone, Copy)]
pub(super) struct Delivered {
    /// Gaps in the numbers of events.
    pub(super) missed: u64,
    /// Numbers that came twice.
    pub(super) repeated: u64,
}

impl Report {
    pub(super) fn new(
        clients: usize,
        ledger: Ledger,
        delivered: Delivered,
        server: Option<ServerCost>,
    ) -> Self {
        let (register, setup) = (&ledger.register, &ledger.setup);
        Self {
            clients,
            registered: ledger.registered,
            register_ms: Register { p50: millis(register, 0.5), p99: millis(register, 0.99) },
            calls: Calls {
                attempted: ledger.attempted,
                established: ledger.established,
                ended: ledger.ended,
                failed: ledger.failed,
            },
            setup_ms: Setup { p50: millis(setup, 0.5), p95: millis(setup, 0.95), p99: millis(setup, 0.99) },
            lost_events: ledger.lost + delivered.missed,
            repeated_events: delivered.repeated,
            reconnect: Reconnect::new(&ledger),
            errors: ledger.errors,
            server,
            bare: None,
        }
    }

    /// With what a bare server costs.
    pub(super) fn beside(self, bare: Option<Bare>) -> Self {
        Self { bare, ..self }
    }

    /// Whether everything that was tried came about, once.
    pub(super) fn is_clean(&self) -> bool {
        self.registered == self.clients as u64
            && self.calls.ended == self.calls.attempted
            && (self.lost_events, self.repeated_events) == (0, 0)
    }

    /// Whether nobody was let in.
    pub(super) const fn is_nobody_in(&self) -> bool {
        self.registered == 0
    }

    /// The error that came most often.
    pub(super) fn worst_error(&self) -> Option<&str> {
        self.errors.iter().max_by_key(|(_, count)| **count).map(|(what, _)| what.as_str())
    }

    /// For a person.
    pub(super) fn text(&self) -> String {
        let ms = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), |value| format!("{value:.1}"));
        let Calls { attempted, established, ended, failed } = self.calls;
        let mut text = format!(
            "registered   {} of {}   p50 {} ms   p99 {} ms\n\
             calls        {attempted} attempted   {established} established   {ended} ended   {failed} failed\n\
             set-up       p50 {} ms   p95 {} ms   p99 {} ms\n\
             events       {} lost   {} repeated",
            self.registered,
            self.clients,
            ms(self.register_ms.p50),
            ms(self.register_ms.p99),
            ms(self.setup_ms.p50),
            ms(self.setup_ms.p95),
            ms(self.setup_ms.p99),
            self.lost_events,
            self.repeated_events,
        );
        if let Some(Reconnect { lost, back, back_ms }) = &self.reconnect {
            // Writing to a string cannot fail.
            let _ = write!(
                text,
                "\nconnections  {lost} lost   {back} back   p50 {} ms   p99 {} ms   most {} ms",
                ms(back_ms.p50),
                ms(back_ms.p99),
                ms(back_ms.max)
            );
        }
        if let Some(server) = &self.server {
            // Writing to a string cannot fail.
            let _ = write!(text, "\n{}", server.text());
        }
        if let Some(bare) = &self.bare {
            let _ = write!(text, "\n{}", bare.text());
        }
        for (what, count) in &self.errors {
            let _ = write!(text, "\n{count:>8} x   {what}");
        }
        text
    }
}

/// Milliseconds with a resolution of a microsecond; `None` when nothing was measured.
fn millis(histogram: &Histogram<u64>, quantile: f64) -> Option<f64> {
    (!histogram.is_empty()).then(|| histogram.value_at_quantile(quantile) as f64 / 1000.0)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::load::ledger::Part;

    #[test]
    fn the_json_has_the_documented_members_and_says_null_for_what_was_not_measured() {
        let mut ledger = Ledger::new();
        ledger.note_registered(Duration::from_millis(3));
        let report = Report::new(1, ledger, Delivered { missed: 0, repeated: 0 }, None);
        assert!(report.is_clean());
        let json = serde_json::to_value(&report).unwrap();
        let expected = serde_json::json!({
            "clients": 1, "registered": 1, "register_ms": { "p50": json["register_ms"]["p50"], "p99": json["register_ms"]["p99"] },
            "calls": { "attempted": 0, "established": 0, "ended": 0, "failed": 0 },
            "setup_ms": { "p50": null, "p95": null, "p99": null },
            "lost_events": 0, "repeated_events": 0, "errors": {},
        });
        assert_eq!(json, expected);
        let p50 = json["register_ms"]["p50"].as_f64().unwrap();
        assert!((2.99..3.01).contains(&p50), "{p50}");
    }

    #[test]
    fn anything_lost_or_failed_is_not_clean() {
        let delivered = Delivered { missed: 0, repeated: 0 };
        let run = |ledger, delivered| Report::new(0, ledger, delivered, None).is_clean();
        assert!(run(Ledger::new(), delivered));
        assert!(!run(Ledger::new(), Delivered { missed: 1, ..delivered }));
        assert!(!run(Ledger::new(), Delivered { repeated: 1, ..delivered }));
        let mut ledger = Ledger::new();
        ledger.begin(0, 0, 1);
        let refused = Part { is_caller: true, error: Some("call: busy".to_owned()), ..Part::default() };
        ledger.note_part(Instant::now(), refused);
        let report = Report::new(0, ledger, delivered, None);
        assert!(!report.is_clean());
        assert_eq!(report.worst_error(), Some("call: busy"));
        assert!(report.text().contains("1 x   call: busy"), "{}", report.text());
    }
}
