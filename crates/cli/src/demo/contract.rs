//! What `offhook demo --json` prints. Other programs read it: fields are added, never renamed. A figure that was not measured is null.

use serde::Serialize;

/// The whole object.
#[derive(Debug, Serialize)]
pub(super) struct DemoOutcome {
    /// From `call_user` to the caller's Ringing, milliseconds.
    pub(super) setup_ms: Option<f64>,
    /// From the callee's answer to Established on both sides, milliseconds.
    pub(super) established_ms: Option<f64>,
    /// From the callee's answer to the first sound that left a render side, the later of both directions, milliseconds.
    pub(super) answer_to_first_sound_ms: Option<f64>,
    pub(super) events: Events,
    pub(super) end_cause: Option<String>,
    pub(super) codec: Option<String>,
    pub(super) dtls: Option<String>,
    pub(super) srtp: Option<String>,
    pub(super) ice: IcePair,
    pub(super) a_to_b: Direction,
    pub(super) b_to_a: Direction,
    pub(super) media_thread: MediaThread,
    pub(super) files: Vec<String>,
    /// Why the exit status is not 0; absent when both heard each other.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) failure: Option<String>,
}

/// Names of the call's events in the order they came.
#[derive(Debug, Default, Serialize)]
pub(super) struct Events {
    pub(super) caller: Vec<String>,
    pub(super) callee: Vec<String>,
}

/// The selected pair, seen from the caller.
#[derive(Debug, Default, Serialize)]
pub(super) struct IcePair {
    pub(super) local: Option<String>,
    pub(super) remote: Option<String>,
}

/// One direction of the voice.
#[derive(Debug, Default, Serialize)]
pub(super) struct Direction {
    pub(super) packets_sent: Option<u64>,
    pub(super) packets_received: Option<u64>,
    pub(super) packets_lost: Option<u64>,
    pub(super) mouth_to_ear_ms: Percentiles,
    pub(super) playout_delay_ms: Option<f64>,
    pub(super) concealed_percent: Option<f64>,
    pub(super) clock_drift_ppm: Option<f64>,
    pub(super) correlation: Option<f64>,
    /// Longest stretch of speech that became silence.
    pub(super) longest_silence_ms: Option<f64>,
    pub(super) r_factor: Option<f64>,
    pub(super) mos: Option<f64>,
}

/// Median and 95th percentile.
#[derive(Debug, Default, Serialize)]
pub(super) struct Percentiles {
    pub(super) p50: Option<f64>,
    pub(super) p95: Option<f64>,
}

/// The real-time threads of both people: counts added, times of the slower one.
#[derive(Debug, Default, Serialize)]
pub(super) struct MediaThread {
    pub(super) priority: Option<String>,
    pub(super) ticks: Option<u64>,
    /// After start-up.
    pub(super) deadline_misses: Option<u64>,
    pub(super) tick_us: TickTime,
    /// How often the media threads and device callbacks allocated or freed memory.
    pub(super) allocations: Option<u64>,
}

/// Time one tick takes.
#[derive(Debug, Default, Serialize)]
pub(super) struct TickTime {
    pub(super) p50: Option<f64>,
    pub(super) p99: Option<f64>,
    pub(super) max: Option<f64>,
}
