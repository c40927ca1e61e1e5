//! The outcome as a person reads it on the terminal.

use std::fmt::Write as _;
use std::path::Path;

use offhook_sim::stand::{Delay, Outcome};

const MISSING: &str = "not measured";

/// The table on stdout.
pub(super) fn text(outcome: &Outcome, heard: Option<&Path>) -> String {
    let delay = |part: fn(&Delay) -> f64| outcome.delay_ms.as_ref().map(part);
    let time = &outcome.time_ms;
    let rows: [(&str, Option<f64>, usize, &str); 23] = [
        ("spoken to heard, mean", delay(|delay| delay.mean), 1, " ms"),
        ("spoken to heard, median", delay(|delay| delay.p50), 1, " ms"),
        ("spoken to heard, 95 %", delay(|delay| delay.p95), 1, " ms"),
        ("  of it packet", outcome.packet_ms, 1, " ms"),
        ("  of it codec", outcome.lookahead_ms, 1, " ms"),
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
        ("  of it copies (RED)", outcome.spent_bps.map(|spent| spent.red / 1e3), 1, " kb/s"),
        ("  of it deep redundancy", outcome.spent_bps.map(|spent| spent.dred / 1e3), 1, " kb/s"),
        ("on the wire, with headers", Some(outcome.wire_bps / 1e3), 1, " kb/s"),
        ("R factor (0 to 148)", outcome.r_factor, 1, ""),
        ("processor time", outcome.cpu_s, 2, " s"),
    ];
    let mut text = match outcome.spoken_s {
        Some(spoken) => format!("{spoken:.1} s spoken, {:.1} s heard\n\n", outcome.heard_s),
        None => format!("{:.1} s heard; delays are over that of the fastest packet\n\n", outcome.heard_s),
    };
    for (name, value, decimals, unit) in rows {
        let value = value.map_or_else(|| MISSING.to_owned(), |value| format!("{value:.decimals$}{unit}"));
        let _ = writeln!(text, "{name:<28}{value:>16}");
    }
    if let Some(heard) = heard {
        let _ = write!(text, "\nWhat was heard: {}", heard.display());
    }
    text
}
