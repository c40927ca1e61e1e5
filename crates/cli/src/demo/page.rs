//! The demo's `report.html`: the outcome as a page that a person understands at a glance.

use std::time::Duration;

use offhook_client::CallStats;
use offhook_sim::measure::duration_of;
use offhook_sim::report::{CallReport, Direction, Figure, LatencyPart, Side, TimelineEvent, Verdict};

use super::contract::{self, DemoOutcome};
use super::conversation::Conversation;
use super::measure::Sound;

/// What libopus looks ahead in its voice mode.
const CODEC_LOOK_AHEAD: Duration = Duration::from_micros(6500);

/// Builds the page's data; a direction without sound is left out.
pub(super) fn call_report(
    outcome: &DemoOutcome,
    conversation: &Conversation,
    (a_to_b, b_to_a): (Option<&Sound>, Option<&Sound>),
    settings: String,
) -> CallReport {
    let length = [a_to_b, b_to_a].into_iter().flatten().map(|sound| duration_of(&sound.heard)).max();
    let directions = [
        a_to_b.map(|sound| direction(("alice", "bob"), sound, &outcome.a_to_b)),
        b_to_a.map(|sound| direction(("bob", "alice"), sound, &outcome.b_to_a)),
    ];
    CallReport {
        title: "Offhook demo call".to_owned(),
        subtitle: settings,
        verdict: verdict(outcome),
        summary: summary(outcome),
        duration: length.unwrap_or_default(),
        figures: key_figures(outcome),
        directions: directions.into_iter().flatten().collect(),
        events: timeline(conversation),
        latency: latency(outcome, conversation),
        notes: notes(),
    }
}

/// The events of both sides in order of time.
fn timeline(conversation: &Conversation) -> Vec<TimelineEvent> {
    let mut events = Vec::new();
    for (side, of) in [(Side::Caller, &conversation.caller), (Side::Callee, &conversation.callee)] {
        for event in of.iter().flat_map(|of| of.events.all()) {
            let at = event.at.saturating_duration_since(conversation.began);
            events.push(TimelineEvent { at, side, name: event.name, detail: event.detail });
        }
    }
    events.sort_by_key(|event| event.at);
    events
}

/// Where the delay from alice to bob comes from; empty when it was not measured.
fn latency(outcome: &DemoOutcome, conversation: &Conversation) -> Vec<LatencyPart> {
    let measured = || -> Option<Vec<LatencyPart>> {
        let whole = Duration::try_from_secs_f64(outcome.a_to_b.mouth_to_ear_ms.p50? / 1e3).ok()?;
        let playout = Duration::try_from_secs_f64(outcome.a_to_b.playout_delay_ms? / 1e3).ok()?;
        let stats: &CallStats = &conversation.callee.as_ref()?.stats;
        let packet = stats.codec?.packet_time;
        let network = stats.transport.rtt.or(stats.transport.ice_rtt)? / 2;
        let rest = whole.checked_sub(packet + CODEC_LOOK_AHEAD + network + playout)?;
        let part = |name: &str, share, hint: &str| LatencyPart {
            name: name.to_owned(),
            share,
            hint: hint.to_owned(),
        };
        Some(vec![
            part("Packet", packet, "a packet is complete when its last sample is"),
            part("Codec", CODEC_LOOK_AHEAD, "the encoder sees a little of what follows"),
            part("Network", network, "half of the round trip"),
            part(
                "Playout delay",
                playout,
                "from arrival to leaving the jitter buffer, which rides out irregular arrival",
            ),
            part(
                "The rest",
                rest,
                "periods of the sound devices, ticks of the media threads, rings between them",
            ),
        ])
    };
    measured().unwrap_or_default()
}

fn verdict(outcome: &DemoOutcome) -> Verdict {
    let worst = worst_correlation(outcome);
    match (&outcome.failure, worst) {
        (None, Some(worst)) if worst >= 0.9 => Verdict::Good,
        (None, _) => Verdict::Fair,
        (Some(_), _) => Verdict::Bad,
    }
}

fn summary(outcome: &DemoOutcome) -> String {
    match &outcome.failure {
        Some(failure) => failure.clone(),
        None => "Alice and Bob heard each other.".to_owned(),
    }
}

fn worst_correlation(outcome: &DemoOutcome) -> Option<f64> {
    let (one, other) = (outcome.a_to_b.correlation?, outcome.b_to_a.correlation?);
    Some(one.min(other))
}

fn key_figures(outcome: &DemoOutcome) -> Vec<Figure> {
    let later = |one: Option<f64>, other: Option<f64>| Some(one?.max(other?));
    let mouth_to_ear = later(outcome.a_to_b.mouth_to_ear_ms.p50, outcome.b_to_a.mouth_to_ear_ms.p50);
    let concealed = later(outcome.a_to_b.concealed_percent, outcome.b_to_a.concealed_percent);
    let mos = match (outcome.a_to_b.mos, outcome.b_to_a.mos) {
        (Some(one), Some(other)) => Some(one.min(other)),
        _ => None,
    };
    vec![
        figure(
            "Call to ringing",
            outcome.setup_ms,
            1,
            "ms",
            "until the caller knew that the other side rings",
        ),
        figure(
            "Answer to established",
            outcome.established_ms,
            1,
            "ms",
            "until encrypted voice was connected both ways",
        ),
        figure(
            "Mouth to ear",
            mouth_to_ear,
            1,
            "ms",
            "median of the slower direction, measured on the sound",
        ),
        figure(
            "Likeness",
            worst_correlation(outcome),
            3,
            "",
            "correlation of heard with spoken, 1 is identical",
        ),
        figure("Concealed", concealed, 2, "%", "share of the sound that had to be made up"),
        figure("MOS", mos, 2, "", "estimated opinion score of the worse direction, 1 to 4.5"),
    ]
}

fn direction((speaker, listener): (&str, &str), sound: &Sound, figures: &contract::Direction) -> Direction {
    let count = |value: Option<u64>| value.map(|value| value as f64);
    let mut direction =
        Direction::measured(speaker, listener, (&sound.spoken, &sound.heard), &sound.comparison);
    direction.figures = vec![
        figure("Mouth to ear, median", figures.mouth_to_ear_ms.p50, 1, "ms", ""),
        figure("Mouth to ear, 95th percentile", figures.mouth_to_ear_ms.p95, 1, "ms", ""),
        figure("Playout delay", figures.playout_delay_ms, 1, "ms", "arrival to leaving the jitter buffer"),
        figure("Correlation", figures.correlation, 3, "", "1 is the same"),
        figure("Packets sent", count(figures.packets_sent), 0, "", ""),
        figure("Packets lost", count(figures.packets_lost), 0, "", ""),
        figure("Concealed", figures.concealed_percent, 2, "%", ""),
        figure("Longest silence in speech", figures.longest_silence_ms, 0, "ms", ""),
        figure("Clock drift", figures.clock_drift_ppm, 1, "ppm", ""),
        figure("R factor", figures.r_factor, 1, "", "0 to 148"),
        figure("MOS", figures.mos, 2, "", "1 to 4.5"),
    ];
    direction
}

fn figure(label: &str, value: Option<f64>, decimals: usize, unit: &str, hint: &str) -> Figure {
    Figure::new(label, value.map(|value| format!("{value:.decimals$}")), unit, hint)
}

fn notes() -> Vec<String> {
    vec![
        "Mouth to ear and likeness are measured on the sound itself: what entered the capture side of one person \
         against what left the render side of the other. No sound card is in these figures."
            .to_owned(),
        "Correlation compares heard with spoken between 300 Hz and 4 kHz, window by window after alignment, weighted by \
         energy."
            .to_owned(),
        "R factor and MOS are estimates by the E-model from measured delay and concealment, not listening tests.".to_owned(),
    ]
}
