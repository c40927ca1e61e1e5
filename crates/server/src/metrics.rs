//! What is counted, for Prometheus. `docs/METRICS.md` says what each name means; a test holds the two together.
//!
//! What happens is counted where it happens, in atomics. What there is now (connections, calls, queues) is looked up when somebody asks.

mod process;
mod recent;
mod route;
mod scrape;

use std::time::Duration;

use offhook_signaling::call::{CallEndCause, CallRecord, DeviceAddress};
use offhook_signaling::message::{CallReport, WireError};
use offhook_signaling::{CallId, ClientMessage};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use serde::Serialize;

use self::recent::Recent;
pub(crate) use self::recent::RecentCall;
pub(crate) use self::route::{listener_routes, metrics};
pub(crate) use self::scrape::{Census, Overview};
use crate::close::CloseReason;
use crate::environment;

/// A label whose values are known here.
type Known = [(&'static str, &'static str); 1];
/// A label whose values are names of the protocol.
type Named = [(&'static str, String); 1];

/// How calls end.
const CAUSES: [CallEndCause; 8] = [
    CallEndCause::Timeout,
    CallEndCause::Denied,
    CallEndCause::NoAnswer,
    CallEndCause::Failure,
    CallEndCause::HungUp,
    CallEndCause::Canceled,
    CallEndCause::OtherDeviceAnswered,
    CallEndCause::Inactive,
];

/// How a device came by its session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SessionOpening {
    New,
    /// The old one, with all it missed.
    Resumed,
    /// The old one, by a snapshot: what it missed was no longer kept.
    Snapshot,
}

/// All counters of one server.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    accepted: Counter,
    limited: Counter,
    waiting: Gauge,
    certificates: Family<Known, Counter>,
    closed: Family<Known, Counter>,
    registrations: Family<[(&'static str, String); 2], Counter>,
    sessions_opened: Family<Known, Counter>,
    received: Family<Known, Counter>,
    unreadable: Counter,
    sent: Counter,
    refused: Family<Named, Counter>,
    calls_started: Counter,
    calls_ended: Family<Named, Counter>,
    ringing: Histogram,
    answer: Histogram,
    setup: Histogram,
    media: Histogram,
    talk: Histogram,
    records_lost: Counter,
    pushes: Family<Known, Counter>,
    callbacks: Family<[(&'static str, &'static str); 2], Counter>,
    callback: Histogram,
    reports: Counter,
    mos: Histogram,
    lost: Histogram,
    round_trip: Histogram,
    relayed: Family<Known, Counter>,
    recent: Recent,
}

/// 1 ms to 65 s, each twice the one before: machines.
fn machine_seconds() -> Histogram {
    Histogram::new(exponential_buckets(0.001, 2.0, 17))
}

/// Half a second to 68 minutes, each twice the one before: people.
fn human_seconds() -> Histogram {
    Histogram::new(exponential_buckets(0.5, 2.0, 14))
}

impl Metrics {
    /// Everything at zero.
    pub(crate) fn new() -> Self {
        let mut metrics = Self {
            registry: Registry::default(),
            accepted: Counter::default(),
            limited: Counter::default(),
            waiting: Gauge::default(),
            certificates: Family::default(),
            closed: Family::default(),
            registrations: Family::default(),
            sessions_opened: Family::default(),
            received: Family::default(),
            unreadable: Counter::default(),
            sent: Counter::default(),
            refused: Family::default(),
            calls_started: Counter::default(),
            calls_ended: Family::default(),
            ringing: machine_seconds(),
            answer: human_seconds(),
            setup: human_seconds(),
            media: machine_seconds(),
            talk: human_seconds(),
            records_lost: Counter::default(),
            pushes: Family::default(),
            callbacks: Family::default(),
            callback: machine_seconds(),
            reports: Counter::default(),
            mos: Histogram::new([1.5, 2.0, 2.5, 3.0, 3.5, 3.8, 4.0, 4.2, 4.4]),
            lost: Histogram::new([0.001, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.5]),
            round_trip: machine_seconds(),
            relayed: Family::default(),
            recent: Recent::default(),
        };
        metrics.begin();
        metrics.register_connections();
        metrics.register_calls();
        metrics
    }

    /// What has not happened yet is 0, not absent: rates begin with the first of it.
    fn begin(&self) {
        let reasons =
            ["gone", "silent", "slow_consumer", "refused", "limited", "replaced", "shutdown", "internal"];
        reasons.iter().for_each(|reason| drop(self.closed.get_or_create(&[("reason", *reason)])));
        for by in ["token", "device", "renewal"] {
            drop(
                self.registrations
                    .get_or_create(&[("by", by.to_owned()), ("outcome", "accepted".to_owned())]),
            );
        }
        for how in ["new", "resumed", "snapshot"] {
            drop(self.sessions_opened.get_or_create(&[("how", how)]));
        }
        for kind in ClientMessage::TYPES {
            drop(self.received.get_or_create(&[("type", kind)]));
        }
        for cause in CAUSES {
            drop(self.calls_ended.get_or_create(&[("cause", name(&cause))]));
        }
        drop(self.refused.get_or_create(&[("error", name(&WireError::RateLimited))]));
        for path in ["direct", "relayed"] {
            drop(self.relayed.get_or_create(&[("path", path)]));
        }
        for event in ["incoming", "answered", "disconnected"] {
            for outcome in ["answered", "misunderstood", "unanswered", "dropped"] {
                drop(self.callbacks.get_or_create(&[("event", event), ("outcome", outcome)]));
            }
        }
        for outcome in ["used", "refused"] {
            drop(self.certificates.get_or_create(&[("outcome", outcome)]));
        }
        for outcome in ["delivered", "gone", "failed"] {
            drop(self.pushes.get_or_create(&[("outcome", outcome)]));
        }
    }

    fn register_connections(&mut self) {
        let registry = &mut self.registry;
        registry.register("offhook_connections_accepted", "Connections taken", self.accepted.clone());
        registry.register(
            "offhook_connections_limited",
            "Connections refused by a limit",
            self.limited.clone(),
        );
        registry.register(
            "offhook_connections_waiting",
            "Connections that wait to be greeted",
            self.waiting.clone(),
        );
        registry.register(
            "offhook_certificate_reads",
            "Times the certificate was read again",
            self.certificates.clone(),
        );
        registry.register(
            "offhook_connections_closed",
            "Signaling connections that ended",
            self.closed.clone(),
        );
        registry.register(
            "offhook_registrations",
            "Devices that proved themselves",
            self.registrations.clone(),
        );
        registry.register(
            "offhook_sessions_opened",
            "Sessions begun or taken up",
            self.sessions_opened.clone(),
        );
        registry.register("offhook_messages_received", "Frames understood", self.received.clone());
        registry.register("offhook_messages_unreadable", "Frames not understood", self.unreadable.clone());
        registry.register("offhook_messages_sent", "Frames sent", self.sent.clone());
        registry.register("offhook_commands_refused", "Commands not carried out", self.refused.clone());
        registry.register("offhook_pushes", "Web Push messages", self.pushes.clone());
        registry.register("offhook_callbacks", "Events told to back ends", self.callbacks.clone());
        registry.register("offhook_callback_seconds", "Until a back end answered", self.callback.clone());
    }

    fn register_calls(&mut self) {
        let registry = &mut self.registry;
        registry.register("offhook_calls_started", "Calls started", self.calls_started.clone());
        registry.register("offhook_calls_ended", "Calls that ended", self.calls_ended.clone());
        registry.register("offhook_call_ringing_seconds", "From start to ringing", self.ringing.clone());
        registry.register("offhook_call_answer_seconds", "From start to answer", self.answer.clone());
        registry.register("offhook_call_setup_seconds", "From start to media", self.setup.clone());
        registry.register("offhook_call_media_seconds", "From answer to media", self.media.clone());
        registry.register("offhook_call_talk_seconds", "From answer to end", self.talk.clone());
        registry.register("offhook_call_reports", "Reports of clients", self.reports.clone());
        registry.register("offhook_call_mos", "Estimated opinion", self.mos.clone());
        registry.register("offhook_call_loss_ratio", "Packets lost", self.lost.clone());
        registry.register("offhook_call_round_trip_seconds", "Round trip", self.round_trip.clone());
        registry.register("offhook_call_paths", "Paths of calls", self.relayed.clone());
        registry.register("offhook_call_records_lost", "Records given up", self.records_lost.clone());
    }

    pub(crate) fn note_connection(&self, is_admitted: bool) {
        if is_admitted { &self.accepted } else { &self.limited }.inc();
    }

    /// So many waited at a listener, and now so many do.
    pub(crate) fn note_waiting(&self, before: usize, now: usize) {
        let count = |of: usize| i64::try_from(of).unwrap_or(i64::MAX);
        self.waiting.inc_by(count(now) - count(before));
    }

    /// The certificate was read again, and is in use or not.
    pub(crate) fn note_certificate(&self, is_used: bool) {
        let outcome = if is_used { "used" } else { "refused" };
        self.certificates.get_or_create(&[("outcome", outcome)]).inc();
    }

    pub(crate) fn note_closed(&self, reason: CloseReason) {
        self.closed.get_or_create(&[("reason", closing(reason))]).inc();
    }

    /// `by` is `token`, `device` or `renewal`.
    pub(crate) fn note_registration(&self, by: &'static str, result: Result<(), WireError>) {
        let outcome = result.map_or_else(|error| name(&error), |()| "accepted".to_owned());
        self.registrations.get_or_create(&[("by", by.to_owned()), ("outcome", outcome)]).inc();
    }

    pub(crate) fn note_session(&self, opening: SessionOpening) {
        let how = match opening {
            SessionOpening::New => "new",
            SessionOpening::Resumed => "resumed",
            SessionOpening::Snapshot => "snapshot",
        };
        self.sessions_opened.get_or_create(&[("how", how)]).inc();
    }

    pub(crate) fn note_received(&self, message: &ClientMessage) {
        self.received.get_or_create(&[("type", message.kind())]).inc();
    }

    pub(crate) fn note_unreadable(&self) {
        self.unreadable.inc();
    }

    pub(crate) fn note_sent(&self) {
        self.sent.inc();
    }

    pub(crate) fn note_refused(&self, error: WireError) {
        self.refused.get_or_create(&[("error", name(&error))]).inc();
    }

    pub(crate) fn note_call_started(&self) {
        self.calls_started.inc();
    }

    pub(crate) fn note_call_ended(&self, record: &CallRecord) {
        self.calls_ended.get_or_create(&[("cause", name(&record.cause))]).inc();
        self.recent.note(record.clone(), environment::wall_millis());
        if record.taken_over {
            // Its times count from when this server took it over.
            return;
        }
        let CallRecord { rang_after, answered_after, established_after, talked, .. } = record;
        let media =
            established_after.zip(*answered_after).map(|(media, answer)| media.saturating_sub(answer));
        for (histogram, time) in [
            (&self.ringing, rang_after),
            (&self.answer, answered_after),
            (&self.setup, established_after),
            (&self.media, &media),
            (&self.talk, talked),
        ] {
            if let Some(time) = time {
                histogram.observe(time.as_secs_f64());
            }
        }
    }

    /// How a call was at one end.
    pub(crate) fn note_report(&self, from: &DeviceAddress, call_id: &CallId, report: CallReport) {
        self.reports.inc();
        let CallReport { mos_hundredths, lost_per_mille, round_trip_ms, relayed, .. } = report;
        for (histogram, value, scale) in [
            (&self.mos, mos_hundredths, 100.0),
            (&self.lost, lost_per_mille, 1000.0),
            (&self.round_trip, round_trip_ms, 1000.0),
        ] {
            if let Some(value) = value {
                histogram.observe(f64::from(value) / scale);
            }
        }
        if let Some(relayed) = relayed {
            self.relayed.get_or_create(&[("path", if relayed { "relayed" } else { "direct" })]).inc();
        }
        self.recent.note_report(from, call_id, report);
    }

    /// The last calls that ended, the newest first.
    pub(crate) fn recent(&self) -> Vec<RecentCall> {
        self.recent.all()
    }

    pub(crate) fn note_record_lost(&self) {
        self.records_lost.inc();
    }

    /// `outcome` is `answered`, `misunderstood`, `unanswered` or `dropped`.
    pub(crate) fn note_callback(&self, event: &'static str, outcome: &'static str) {
        self.callbacks.get_or_create(&[("event", event), ("outcome", outcome)]).inc();
    }

    /// From an event's turn to an answer, all tries together.
    pub(crate) fn note_callback_time(&self, time: Duration) {
        self.callback.observe(time.as_secs_f64());
    }

    /// `outcome` is `delivered`, `gone` or `failed`.
    pub(crate) fn note_push(&self, outcome: &'static str) {
        self.pushes.get_or_create(&[("outcome", outcome)]).inc();
    }
}

const fn closing(reason: CloseReason) -> &'static str {
    match reason {
        CloseReason::Gone => "gone",
        CloseReason::Binary => "binary",
        CloseReason::TooLarge => "too_large",
        CloseReason::Shutdown => "shutdown",
        CloseReason::HelloTimeout => "hello_timeout",
        CloseReason::Protocol(_) => "protocol",
        CloseReason::Refused(_) => "refused",
        CloseReason::Replaced => "replaced",
        CloseReason::Silent => "silent",
        CloseReason::SlowConsumer => "slow_consumer",
        CloseReason::Limited => "limited",
        CloseReason::Revoked => "revoked",
        CloseReason::Internal => "internal",
        CloseReason::Blocked => "blocked",
    }
}

/// The name on the wire.
fn name(value: &impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(name)) => name,
        _ => "unknown".to_owned(),
    }
}
