//! What `call --json` and `answer --json` print when the call is over. What was not measured is null.

use std::time::{Duration, Instant};

use offhook_client::{CallDetails, CallDirection, CallReport};
use serde::Serialize;

/// The whole object.
#[derive(Debug, Serialize)]
pub(crate) struct PrintedReport {
    call_id: String,
    direction: &'static str,
    remote_user: String,
    end_cause: String,
    error: Option<String>,
    /// From the beginning to each state, milliseconds.
    reached_ms: Reached,
    /// How long they talked, seconds.
    talk_seconds: Option<f64>,
    codec: Option<String>,
    dtls: Option<String>,
    srtp: Option<String>,
    ice: Path,
    round_trip_ms: Option<f64>,
    /// The far end's mouth to this ear, without what the sound devices add.
    latency_ms: Option<f64>,
    playout_delay_ms: Option<f64>,
    packets_sent: u64,
    packets_received: u64,
    packets_lost: u64,
    concealed_percent: Option<f64>,
    clock_drift_ppm: Option<f64>,
    r_factor: Option<f64>,
    mos: Option<f64>,
}

#[derive(Debug, Serialize)]
struct Reached {
    progressing: Option<f64>,
    ringing: Option<f64>,
    answered: Option<f64>,
    established: Option<f64>,
    ended: Option<f64>,
}

#[derive(Debug, Default, Serialize)]
struct Path {
    local: Option<String>,
    remote: Option<String>,
}

impl From<CallReport> for PrintedReport {
    fn from(report: CallReport) -> Self {
        let (details, stats) = (report.details, report.stats);
        let (transport, receive) = (stats.transport, stats.stream.receive);
        let round_trip = transport.rtt.or(transport.ice_rtt);
        Self {
            call_id: report.call_id.to_string(),
            direction: match report.direction {
                CallDirection::Outbound => "outbound",
                CallDirection::Inbound => "inbound",
            },
            remote_user: report.remote_user_id.to_string(),
            end_cause: format!("{:?}", details.end_cause),
            error: details.error.map(|error| format!("{error:?}")),
            reached_ms: Reached::of(&details),
            talk_seconds: report.duration.map(|duration| duration.as_secs_f64()),
            codec: stats.codec.map(|codec| format!("{}/{}", codec.name, codec.clock_rate)),
            dtls: transport.dtls.map(|version| version.to_string()),
            srtp: transport.srtp.map(|profile| profile.to_string()),
            ice: transport.path.map_or_else(Path::default, |(local, remote)| Path {
                local: Some(local.address.to_string()),
                remote: Some(remote.address.to_string()),
            }),
            round_trip_ms: round_trip.map(ms),
            latency_ms: stats.latency.map(ms),
            playout_delay_ms: receive.mean_playout_delay.map(ms),
            packets_sent: stats.stream.send.packets,
            packets_received: receive.packets_received,
            packets_lost: receive.packets_lost,
            concealed_percent: receive.concealed_percent(),
            clock_drift_ppm: receive.drift.map(|drift| drift.0),
            r_factor: stats.quality.map(|quality| quality.r_factor),
            mos: stats.quality.map(|quality| quality.mos),
        }
    }
}

impl Reached {
    fn of(details: &CallDetails) -> Self {
        let after = |at: Option<Instant>| at.map(|at| ms(at.saturating_duration_since(details.started)));
        Self {
            progressing: after(details.progressed),
            ringing: after(details.rung),
            answered: after(details.answered),
            established: after(details.established),
            ended: after(details.ended),
        }
    }
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
