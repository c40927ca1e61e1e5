//! The outcome as a person reads it on the terminal.

use std::fmt::Write as _;

use offhook_sim::stand::{Outcome, SoundByKind};

use crate::args::SimulateArguments;

const MISSING: &str = "not measured";

/// The table on stdout.
pub(super) fn text(outcome: &Outcome, arguments: &SimulateArguments) -> String {
    let delay = |part: fn(&offhook_sim::stand::Delay) -> f64| outcome.delay_ms.as_ref().map(part);
    let time = &outcome.time_ms;
    let rows: [(&str, Option<f64>, usize, &str); 23] = [
        ("spoken to heard, mean", delay(|delay| delay.mean), 1, " ms"),
        ("spoken to heard, median", delay(|delay| delay.p50), 1, " ms"),
        ("spoken to heard, 95 %", delay(|delay| delay.p95), 1, " ms"),
        ("  of it packet", outcome.packet_ms, 1, " ms"),
        ("  of it codec", Some(outcome.lookahead_ms), 1, " ms"),
        ("  of it network", outcome.network_ms, 1, " ms"),
        ("  of it buffer", outcome.buffer_ms, 1, " ms"),
        ("exact copies (RED)", Some(time.red), 0, " ms"),
        ("coarse copies (FEC)", Some(time.fec), 0, " ms"),
        ("deep redundancy (DRED)", Some(time.dred), 0, " ms"),
        ("made up", Some(time.concealed), 0, " ms"),
        ("silence in pauses", Some(time.comfort_noise), 0, " ms"),
        ("taken out", Some(time.accelerated), 0, " ms"),
        ("put in", Some(time.expanded), 0, " ms"),
        ("skipped", Some(time.skipped), 0, " ms"),
        ("packets lost", Some(outcome.packets_lost as f64), 0, ""),
        ("packets too late", Some(outcome.packets_late as f64), 0, ""),
        ("payload", Some(outcome.payload_bps / 1e3), 1, " kb/s"),
        ("  of it copies (RED)", Some(outcome.spent_bps.red / 1e3), 1, " kb/s"),
        ("  of it deep redundancy", Some(outcome.spent_bps.dred / 1e3), 1, " kb/s"),
        ("on the wire, with headers", Some(outcome.wire_bps / 1e3), 1, " kb/s"),
        ("R factor (0 to 148)", outcome.r_factor, 1, ""),
        ("processor time", outcome.cpu_s, 2, " s"),
    ];
    let mut text = format!("{:.1} s spoken, {:.1} s decoded\n\n", outcome.spoken_s, decoded_s(time));
    for (name, value, decimals, unit) in rows {
        let value = value.map_or_else(|| MISSING.to_owned(), |value| format!("{value:.decimals$}{unit}"));
        let _ = writeln!(text, "{name:<28}{value:>16}");
    }
    text + &format!("\nWhat was heard: {}", arguments.output.display())
}

fn decoded_s(time: &SoundByKind) -> f64 {
    time.decoded / 1e3
}
