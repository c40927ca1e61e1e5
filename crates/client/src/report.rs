//! A call's report as one flat object, for logs and scripts.

use std::time::{Duration, Instant};

use offhook_media_core::quality::Heard;
use offhook_media_core::recv::ReceiveStats;
use offhook_signaling::call::CallDetails;
use offhook_signaling::message::CallReport as MeasuredCall;
use offhook_signaling::verification::Verification;
use offhook_transport::{CandidateKind, PathEnd};
use serde::{Serialize, Serializer};

use crate::event::CallDirection;
use crate::snapshot::TimeByKind;
use crate::stats::{CallReport, CallStats};

impl Serialize for CallReport {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Flat::of(self).serialize(serializer)
    }
}

/// What the server is told of a call for its statistics; `None` of one without media.
pub(crate) fn for_server(stats: &CallStats) -> Option<MeasuredCall> {
    stats.connected?;
    let (transport, receive) = (&stats.transport, &stats.stream.receive);
    let whole = |time: Duration| u32::try_from(time.as_millis()).unwrap_or(u32::MAX);
    let sent = receive.packets_received + receive.packets_lost;
    let lost = (receive.packets_lost * 1000).checked_div(sent);
    let is_relayed = |end: &PathEnd| end.relay.is_some() || end.kind == Some(CandidateKind::Relayed);
    Some(MeasuredCall {
        // A score is between 1 and 4.5.
        mos_hundredths: stats.quality.map(|quality| (quality.mos * 100.0).round() as u32),
        lost_per_mille: lost.and_then(|lost| u32::try_from(lost).ok()),
        round_trip_ms: transport.rtt.or(transport.ice_rtt).map(whole),
        jitter_ms: transport.jitter.map(whole),
        relayed: transport.path.as_ref().map(|(local, remote)| is_relayed(local) || is_relayed(remote)),
    })
}

#[derive(Debug, Serialize)]
struct Flat {
    call_id: String,
    direction: &'static str,
    remote_user: String,
    end_cause: String,
    error: Option<String>,
    #[serde(flatten)]
    authentication: Authentication,
    /// Seconds since 1970.
    started_unix: Option<u64>,
    /// From the beginning to each state.
    reached_ms: Reached,
    talk_seconds: Option<f64>,
    codec: Option<String>,
    dtls: Option<String>,
    srtp: Option<String>,
    ice: Path,
    /// From the far end's description to media that flows.
    setup_ms: Option<f64>,
    round_trip_ms: Option<f64>,
    jitter_ms: Option<f64>,
    /// The far end's mouth to this ear, without what the sound devices add.
    latency_ms: Option<f64>,
    latency_percentiles_ms: Option<Percentiles>,
    playout_delay_ms: Option<f64>,
    packets_sent: u64,
    packets_received: u64,
    packets_lost: u64,
    packets_late: u64,
    /// Of this end's, as the far end says.
    remote_packets_lost: Option<i64>,
    sent_bytes: u64,
    /// Of these, copies of earlier packets, and deep redundancy.
    sent_red_bytes: u64,
    sent_dred_bytes: u64,
    received_bytes: u64,
    /// What was heard, by how it came about.
    heard_ms: Heards,
    concealed_percent: Option<f64>,
    /// Gaps of 150 ms and more.
    interruptions: u64,
    clock_drift_ppm: Option<f64>,
    r_factor: Option<f64>,
    mos: Option<f64>,
}

#[derive(Debug, Serialize)]
struct Authentication {
    /// Pending, Unavailable, Ready or Failed.
    verification: &'static str,
    verification_error: Option<String>,
    authentication_string: Option<String>,
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
    /// host, srflx, prflx or relay.
    local_kind: Option<String>,
    remote_kind: Option<String>,
    /// How the TURN server is spoken to, where the local address is one of its: udp, tcp or tls.
    relay: Option<String>,
}

#[derive(Debug, Serialize)]
struct Percentiles {
    p50: f64,
    p95: f64,
    p99: f64,
    most: f64,
}

#[derive(Debug, Serialize)]
struct Heards {
    decoded: f64,
    red: f64,
    fec: f64,
    dred: f64,
    concealed: f64,
    silence: f64,
    accelerated: f64,
    expanded: f64,
    skipped: f64,
}

impl Flat {
    fn of(report: &CallReport) -> Self {
        let (details, stats) = (&report.details, &report.stats);
        let (transport, receive, send) = (&stats.transport, &stats.stream.receive, &stats.stream.send);
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
            authentication: Authentication::of(report.verification),
            started_unix: details.started_wall.map(|seconds| seconds.0),
            reached_ms: Reached::of(details),
            talk_seconds: report.duration.map(|duration| duration.as_secs_f64()),
            codec: stats.codec.map(|codec| format!("{}/{}", codec.name, codec.clock_rate)),
            dtls: transport.dtls.map(|version| version.to_string()),
            srtp: transport.srtp.map(|profile| profile.to_string()),
            ice: transport.path.as_ref().map_or_else(Path::default, |(local, remote)| Path {
                local: Some(local.address.to_string()),
                remote: Some(remote.address.to_string()),
                local_kind: local.kind.map(|kind| kind.to_string()),
                remote_kind: remote.kind.map(|kind| kind.to_string()),
                relay: local.relay.map(|protocol| protocol.to_string()),
            }),
            setup_ms: transport.setup.map(ms),
            round_trip_ms: round_trip.map(ms),
            jitter_ms: transport.jitter.map(ms),
            latency_ms: stats.latency.map(ms),
            latency_percentiles_ms: stats.latency_percentiles.map(|found| Percentiles {
                p50: ms(found.p50),
                p95: ms(found.p95),
                p99: ms(found.p99),
                most: ms(found.most),
            }),
            playout_delay_ms: receive.mean_playout_delay.map(ms),
            packets_sent: send.packets,
            packets_received: receive.packets_received,
            packets_lost: receive.packets_lost,
            packets_late: receive.packets_late,
            remote_packets_lost: transport.remote_lost,
            sent_bytes: send.payload_bytes,
            sent_red_bytes: send.red_bytes,
            sent_dred_bytes: send.dred_bytes,
            received_bytes: transport.received.payload_bytes,
            heard_ms: Heards::of(receive),
            concealed_percent: receive.concealed_percent(),
            interruptions: receive.interruptions,
            clock_drift_ppm: receive.drift.map(|drift| drift.0),
            r_factor: stats.quality.map(|quality| quality.r_factor),
            mos: stats.quality.map(|quality| quality.mos),
        }
    }
}

impl Heards {
    fn of(receive: &ReceiveStats) -> Self {
        let time = TimeByKind::between(&Heard { before: &ReceiveStats::default(), after: receive });
        Self {
            decoded: ms(time.decoded),
            red: ms(time.red),
            fec: ms(time.fec),
            dred: ms(time.dred),
            concealed: ms(time.concealed),
            silence: ms(time.silence),
            accelerated: ms(time.accelerated),
            expanded: ms(time.expanded),
            skipped: ms(time.skipped),
        }
    }
}

impl Authentication {
    fn of(verification: Verification) -> Self {
        let (name, error, string) = match verification {
            Verification::Pending => ("Pending", None, None),
            Verification::Unavailable => ("Unavailable", None, None),
            Verification::Ready(string) => ("Ready", None, Some(string.to_string())),
            Verification::Failed(error) => ("Failed", Some(error.to_string()), None),
        };
        Self { verification: name, verification_error: error, authentication_string: string }
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
