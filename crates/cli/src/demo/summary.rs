//! The demo's outcome as a person reads it on the terminal.

use std::fmt::Write as _;
use std::path::Path;

use super::contract::{DemoOutcome, Direction};

const MISSING: &str = "not measured";

/// The table on stdout.
pub(super) fn text(outcome: &DemoOutcome, folder: &Path) -> String {
    let verdict = match &outcome.failure {
        None => "Alice and Bob heard each other.".to_owned(),
        Some(failure) => format!("They did not both hear each other: {failure}."),
    };
    let mut text = format!("\n{verdict}\n\n{:<28}{:>14}{:>14}\n", "", "Alice to Bob", "Bob to Alice");
    for (name, unit, decimals, value) in rows() {
        let cell = |direction| number(value(direction), decimals, unit);
        let _ = writeln!(text, "{name:<28}{:>14}{:>14}", cell(&outcome.a_to_b), cell(&outcome.b_to_a));
    }
    let thread = &outcome.media_thread;
    let or_missing = |value: &Option<String>| value.clone().unwrap_or_else(|| MISSING.to_owned());
    let _ = write!(
        text,
        "\nCall to ringing {}, answer to established {}, answer to first sound {}.\n\
         Codec {}, {}, {}; path {} to {}.\n\
         Media threads: priority {}, {} ticks, {} late, {} allocations, tick p50 {}, p99 {}, longest {}.\n",
        number(outcome.setup_ms, 1, " ms"),
        number(outcome.established_ms, 1, " ms"),
        number(outcome.answer_to_first_sound_ms, 1, " ms"),
        or_missing(&outcome.codec),
        or_missing(&outcome.dtls),
        or_missing(&outcome.srtp),
        or_missing(&outcome.ice.local),
        or_missing(&outcome.ice.remote),
        or_missing(&thread.priority),
        number(thread.ticks.map(|count| count as f64), 0, ""),
        number(thread.deadline_misses.map(|count| count as f64), 0, ""),
        number(thread.allocations.map(|count| count as f64), 0, ""),
        number(thread.tick_us.p50, 0, " us"),
        number(thread.tick_us.p99, 0, " us"),
        number(thread.tick_us.max, 0, " us"),
    );
    let _ = write!(text, "\nThe report to look at: {}\n", folder.join("report.html").display());
    let _ = write!(text, "What each heard:       {}", folder.join("alice-heard.wav").display());
    text + &format!(", {}\n", folder.join("bob-heard.wav").display())
}

type Row = (&'static str, &'static str, usize, fn(&Direction) -> Option<f64>);

fn rows() -> [Row; 11] {
    [
        ("mouth to ear, median", " ms", 1, |direction| direction.mouth_to_ear_ms.p50),
        ("mouth to ear, 95 %", " ms", 1, |direction| direction.mouth_to_ear_ms.p95),
        ("of it playout delay", " ms", 1, |direction| direction.playout_delay_ms),
        ("likeness (1 is the same)", "", 3, |direction| direction.correlation),
        ("packets sent", "", 0, |direction| direction.packets_sent.map(|count| count as f64)),
        ("packets lost", "", 0, |direction| direction.packets_lost.map(|count| count as f64)),
        ("concealed", " %", 2, |direction| direction.concealed_percent),
        ("longest silence in speech", " ms", 0, |direction| direction.longest_silence_ms),
        ("clock drift", " ppm", 1, |direction| direction.clock_drift_ppm),
        ("R factor (0 to 148)", "", 1, |direction| direction.r_factor),
        ("MOS (1 to 4.5)", "", 2, |direction| direction.mos),
    ]
}

fn number(value: Option<f64>, decimals: usize, unit: &str) -> String {
    value.map_or_else(|| MISSING.to_owned(), |value| format!("{value:.decimals$}{unit}"))
}
