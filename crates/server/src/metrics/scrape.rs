//! What there is now, looked up when somebody asks.

use std::time::Duration;

use offhook_signaling::call::{CallCounts, CallView};
use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::process::Usage;
use crate::hub::Command;
use crate::server::Shared;
use crate::turn::TurnCounters;

/// A hub that does not answer in this time is left out: whoever watches a server must not wait for it.
const PATIENCE: Duration = Duration::from_secs(2);

type Gauges = Family<[(&'static str, &'static str); 1], Gauge>;
type Counters = Family<[(&'static str, &'static str); 1], Counter>;

/// What there is in one hub.
#[derive(Debug, Clone, Default)]
pub(crate) struct Census {
    pub(crate) connected: usize,
    /// Sessions whose client is away and may come back.
    pub(crate) waiting: usize,
    pub(crate) calls: CallCounts,
    /// Call records on their way to the store.
    pub(crate) records: usize,
    /// Frames that connections have not taken.
    pub(crate) outboxes: usize,
    pub(crate) live: Vec<CallView>,
}

impl Census {
    fn add(&mut self, other: Self) {
        self.connected += other.connected;
        self.waiting += other.waiting;
        self.records += other.records;
        self.outboxes += other.outboxes;
        self.live.extend(other.live);
        self.calls.ringing += other.calls.ringing;
        self.calls.answered += other.calls.answered;
        self.calls.established += other.calls.established;
    }
}

/// The text of a scrape (OpenMetrics 1.0).
pub(super) async fn scrape(shared: &Shared) -> String {
    let mut now = Registry::default();
    register_now(&mut now, shared).await;
    if let Some(turn) = &shared.turn {
        register_turn(&mut now, &turn.counters());
    }
    if let Some(ends) = shared.tls.as_ref().and_then(|door| door.current().ends) {
        now.register("offhook_certificate_end_timestamp_seconds", "When the certificate ends", gauge(ends.0));
    }
    if let Some(usage) = Usage::read() {
        register_process(&mut now, usage);
    }
    if let Some(bytes) = shared.config.allocated.and_then(|ask| ask()) {
        now.register("process_allocated_bytes", "Memory allocated and not freed", gauge(bytes));
    }
    let mut text = String::new();
    let written = encode_registry(&mut text, &shared.metrics.registry)
        .and_then(|()| encode_registry(&mut text, &now))
        .and_then(|()| encode_eof(&mut text));
    // Writing to a string cannot fail.
    written.expect("a string takes any text");
    text
}

async fn register_now(registry: &mut Registry, shared: &Shared) {
    let gauges = |label: &'static str, values: &[(&'static str, usize)]| {
        let gauges = Gauges::default();
        for (name, value) in values {
            gauges.get_or_create(&[(label, *name)]).set(i64::try_from(*value).unwrap_or(i64::MAX));
        }
        gauges
    };
    let build = Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]);
    registry.register("offhook_build", "The release that runs", build);
    registry.register("offhook_connections", "Open connections", gauge(shared.connections.count() as u64));
    let (census, waiting) = census(shared, 0).await;
    let sessions = gauges("state", &[("connected", census.connected), ("waiting", census.waiting)]);
    registry.register("offhook_sessions", "Sessions of devices", sessions);
    let CallCounts { ringing, answered, established } = census.calls;
    let calls =
        gauges("state", &[("ringing", ringing), ("answered", answered), ("established", established)]);
    registry.register("offhook_calls", "Calls that are not over", calls);
    let callbacks = shared.webhooks.as_ref().map_or(0, crate::webhook::Webhooks::queued);
    let pushes = shared.push.as_ref().map_or(0, crate::push::Push::queued);
    let queues = gauges(
        "queue",
        &[
            ("commands", waiting),
            ("records", census.records),
            ("store", shared.store.queued()),
            ("outbox", shared.store.waiting_records()),
            ("pushes", pushes),
            ("callbacks", callbacks),
            ("outboxes", census.outboxes),
        ],
    );
    registry.register("offhook_queue_depth", "What waits inside the server", queues);
}

/// Of all hubs; with the commands that wait for them.
async fn census(shared: &Shared, most: usize) -> (Census, usize) {
    let (mut sum, mut waiting) = (Census::default(), 0);
    for hub in shared.all_hubs() {
        waiting += hub.max_capacity() - hub.capacity();
        let (answer, census) = oneshot::channel();
        let ask = async {
            hub.send(Command::Census(most, answer)).await.ok()?;
            census.await.ok()
        };
        if let Ok(Some(census)) = timeout(PATIENCE, ask).await {
            sum.add(census);
        }
    }
    (sum, waiting)
}

/// The figures of the operator's page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Overview {
    connections: usize,
    sessions: Sessions,
    calls: Calls,
    calls_started: u64,
    queues: Queues,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    process: Option<ProcessFigures>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Sessions {
    connected: usize,
    waiting: usize,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Calls {
    ringing: usize,
    answered: usize,
    established: usize,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Queues {
    commands: usize,
    records: usize,
    store: usize,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct ProcessFigures {
    resident_bytes: u64,
    open_files: u64,
}

impl Overview {
    /// Now, with so many live calls at most.
    pub(crate) async fn of(shared: &Shared, most: usize) -> (Self, Vec<CallView>) {
        let (Census { connected, waiting, calls, records, mut live, .. }, commands) =
            census(shared, most).await;
        live.truncate(most);
        let CallCounts { ringing, answered, established } = calls;
        let overview = Self {
            connections: shared.connections.count(),
            sessions: Sessions { connected, waiting },
            calls: Calls { ringing, answered, established },
            calls_started: shared.metrics.calls_started.get(),
            queues: Queues { commands, records, store: shared.store.queued() },
            process: Usage::read().map(|Usage { resident_bytes, open_files, .. }| ProcessFigures {
                resident_bytes,
                open_files,
            }),
        };
        (overview, live)
    }

    /// Another server's figures with these.
    pub(crate) const fn add(&mut self, other: Self) {
        let Self { connections, sessions, calls, calls_started, queues, process } = other;
        self.connections = self.connections.saturating_add(connections);
        self.sessions.connected = self.sessions.connected.saturating_add(sessions.connected);
        self.sessions.waiting = self.sessions.waiting.saturating_add(sessions.waiting);
        self.calls.ringing = self.calls.ringing.saturating_add(calls.ringing);
        self.calls.answered = self.calls.answered.saturating_add(calls.answered);
        self.calls.established = self.calls.established.saturating_add(calls.established);
        self.calls_started = self.calls_started.saturating_add(calls_started);
        self.queues.commands = self.queues.commands.saturating_add(queues.commands);
        self.queues.records = self.queues.records.saturating_add(queues.records);
        self.queues.store = self.queues.store.saturating_add(queues.store);
        if let (Some(own), Some(process)) = (&mut self.process, process) {
            own.resident_bytes = own.resident_bytes.saturating_add(process.resident_bytes);
            own.open_files = own.open_files.saturating_add(process.open_files);
        }
    }
}

fn gauge(value: u64) -> Gauge {
    let gauge: Gauge = Gauge::default();
    gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
    gauge
}

fn counter(value: u64) -> Counter {
    let counter: Counter = Counter::default();
    counter.inc_by(value);
    counter
}

fn register_turn(registry: &mut Registry, turn: &TurnCounters) {
    let refused = Counters::default();
    for (reason, count) in [
        ("credentials", turn.refused_credentials),
        ("peer", turn.refused_peers),
        ("quota", turn.refused_quota),
    ] {
        refused.get_or_create(&[("reason", reason)]).inc_by(count);
    }
    registry.register("offhook_turn_allocations", "Allocations that exist", gauge(turn.allocations));
    registry.register("offhook_turn_connections", "TCP and TLS connections", gauge(turn.connections));
    registry.register("offhook_turn_allocated", "Allocations made", counter(turn.allocated));
    registry.register("offhook_turn_refused", "Requests refused", refused);
    registry.register("offhook_turn_relayed_bytes", "Bytes relayed", counter(turn.relayed_bytes));
    registry.register("offhook_turn_dropped", "Datagrams dropped", counter(turn.dropped_datagrams));
}

fn register_process(registry: &mut Registry, usage: Usage) {
    let cpu: Counter<f64, std::sync::atomic::AtomicU64> = Counter::default();
    cpu.inc_by(usage.cpu_seconds);
    registry.register("process_cpu_seconds", "Processor time", cpu);
    registry.register("process_resident_memory_bytes", "Memory in use", gauge(usage.resident_bytes));
    registry.register("process_open_fds", "Open files and sockets", gauge(usage.open_files));
}
