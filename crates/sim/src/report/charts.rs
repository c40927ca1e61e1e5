//! The plots of the page.

use std::time::Duration;

use super::data::{
    DelaySample, Direction, Envelope, LatencyPart, LevelSample, Mark, MarkKind, Side, TimelineEvent,
};
use super::plot::{Plot, ticks};

/// Levels are drawn from here to 0 dBFS.
const QUIETEST_DBFS: f64 = -70.0;
/// A delay plot reaches at least this far up.
const LEAST_DELAY_AXIS: Duration = Duration::from_millis(60);
/// No line is drawn between delay points further apart: nobody spoke in between.
const LONGEST_DELAY_LINE: Duration = Duration::from_millis(1000);

/// Spoken above heard on one time axis, with marks over what was heard.
pub(super) fn waveforms(direction: &Direction, duration: Duration) -> String {
    let mut plot = Plot::new("Waveforms spoken and heard", 250.0, duration, -3.0, 1.0);
    let loudest = peak(&direction.spoken).max(peak(&direction.heard)).max(1e-4);
    wave(&mut plot, "spoken", &direction.spoken, 0.0, loudest);
    wave(&mut plot, "heard", &direction.heard, -2.0, loudest);
    let heights = (plot.y(-1.0), plot.y(-3.0));
    for mark in &direction.marks {
        let hint = format!(
            "{} at {:.2} s, {} ms",
            name_of(mark.kind),
            mark.at.as_secs_f64(),
            mark.length.as_millis()
        );
        plot.band(
            &format!("mark {}", class_of(mark.kind)),
            (mark.at, mark.at.saturating_add(mark.length)),
            heights,
            &hint,
        );
    }
    for (text, value) in [("spoken", 0.0), ("heard", -2.0)] {
        let y = plot.y(value) + 4.0;
        plot.text("name", (54.0, y), "end", text);
    }
    plot.into_svg()
}

/// Draws an envelope from the beginning of the time axis on.
fn wave(plot: &mut Plot, class: &str, envelope: &Envelope, centre: f64, loudest: f64) {
    wave_from(plot, class, (envelope, Duration::ZERO), centre, loudest);
}

/// Draws an envelope that begins at a time.
pub(super) fn wave_from(
    plot: &mut Plot,
    class: &str,
    (envelope, from): (&Envelope, Duration),
    centre: f64,
    loudest: f64,
) {
    let count = envelope.columns.len();
    if count == 0 {
        return;
    }
    let column_at = |n: usize| from + envelope.duration.mul_f64((n as f64 + 0.5) / count as f64);
    let place =
        |(n, value): (usize, f32)| (plot.x(column_at(n)), plot.y(centre + 0.94 * f64::from(value) / loudest));
    let upper = envelope.columns.iter().map(|column| column[1]).enumerate().map(place);
    let lower = envelope.columns.iter().map(|column| column[0]).enumerate().rev().map(place);
    let outline: Vec<(f64, f64)> = upper.chain(lower).collect();
    plot.path(&format!("wave {class}"), outline.into_iter(), true);
}

pub(super) fn peak(envelope: &Envelope) -> f64 {
    envelope.columns.iter().flatten().fold(0.0, |peak, value| peak.max(f64::from(value.abs())))
}

/// Delay over time.
pub(super) fn delays(samples: &[DelaySample], duration: Duration) -> String {
    let longest = samples.iter().map(|sample| sample.delay).max().unwrap_or_default().max(LEAST_DELAY_AXIS);
    let highest = longest.as_secs_f64() * 1e3 * 1.1;
    let mut plot = Plot::new("Delay over time", 170.0, duration, 0.0, highest);
    plot.value_axis(&ticks(highest, 4), "ms");
    let place =
        |plot: &Plot, sample: &DelaySample| (plot.x(sample.at), plot.y(sample.delay.as_secs_f64() * 1e3));
    for run in samples.chunk_by(|a, b| b.at.saturating_sub(a.at) < LONGEST_DELAY_LINE) {
        let line: Vec<(f64, f64)> = run.iter().map(|sample| place(&plot, sample)).collect();
        plot.path("line delay", line.into_iter(), false);
    }
    for sample in samples {
        let hint = format!("{:.1} ms at {:.2} s", sample.delay.as_secs_f64() * 1e3, sample.at.as_secs_f64());
        let at = place(&plot, sample);
        plot.dot("delay", at, 2.5, &hint);
    }
    plot.into_svg()
}

/// Levels spoken and heard over time.
pub(super) fn levels(spoken: &[LevelSample], heard: &[LevelSample], duration: Duration) -> String {
    let mut plot = Plot::new("Level over time", 150.0, duration, QUIETEST_DBFS, 0.0);
    plot.value_axis(&[-60.0, -40.0, -20.0, 0.0], "dB");
    for (class, samples) in [("line spoken", spoken), ("line heard", heard)] {
        let line: Vec<(f64, f64)> =
            samples.iter().map(|sample| (plot.x(sample.at), plot.y(f64::from(sample.dbfs)))).collect();
        plot.path(class, line.into_iter(), false);
    }
    plot.into_svg()
}

/// Events of all sides on one time axis, one lane per side. Labels that would overlap move to further rows.
pub(super) fn timeline(events: &[TimelineEvent], duration: Duration) -> String {
    const ROWS: usize = 3;
    const LANE: f64 = 74.0;
    let sides: Vec<(Side, &str)> =
        [(Side::Caller, "caller"), (Side::Server, "server"), (Side::Callee, "callee")]
            .into_iter()
            .filter(|(side, _)| events.iter().any(|event| event.side == *side))
            .collect();
    let height = 40.0 + LANE * sides.len() as f64;
    let mut plot = Plot::new("Call events over time", height, duration, 0.0, 1.0);
    for (lane, (side, name)) in sides.iter().enumerate() {
        let y = 22.0 + LANE * lane as f64;
        let (left, right) = (plot.x(Duration::ZERO), plot.x(duration));
        plot.line("lane", (left, y), (right, y));
        plot.text("name", (left - 8.0, y + 4.0), "end", name);
        let mut row_ends = [f64::MIN; ROWS];
        for event in events.iter().filter(|event| event.side == *side) {
            let x = plot.x(event.at);
            let hint = format!("{} at {:.3} s {}", event.name, event.at.as_secs_f64(), event.detail);
            plot.dot("dot", (x, y), 4.5, &hint);
            // About 7 units per character; towards the right edge labels end at their dot instead.
            let width = 7.0 * event.name.chars().count() as f64;
            let (anchor, begin) = if x + width > right { ("end", x - width) } else { ("start", x) };
            if let Some(row) = row_ends.iter().position(|end| *end < begin) {
                row_ends[row] = begin + width + 8.0;
                plot.text("event", (x, y + 19.0 + 15.0 * row as f64), anchor, &event.name);
            }
        }
    }
    plot.into_svg()
}

/// Where the delay comes from, as one bar.
pub(super) fn latency(parts: &[LatencyPart]) -> String {
    let total: Duration = parts.iter().fold(Duration::ZERO, |total, part| total.saturating_add(part.share));
    let mut plot = Plot::new("Where the delay comes from, in seconds", 62.0, total, 0.0, 1.0);
    let heights = plot.frame();
    let mut from = Duration::ZERO;
    for (n, part) in parts.iter().enumerate() {
        let to = from.saturating_add(part.share);
        let text = format!("{:.1} ms", part.share.as_secs_f64() * 1e3);
        plot.band(&part_class(n), (from, to), heights, &format!("{}: {text}", part.name));
        from = to;
    }
    plot.into_svg()
}

/// CSS class of the n-th latency part.
pub(super) fn part_class(n: usize) -> String {
    format!("part{}", n % 6)
}

/// The kinds among `marks`, each once, in a fixed order.
pub(super) fn kinds(marks: &[Mark]) -> Vec<MarkKind> {
    use MarkKind::{Concealed, Gap, Late, Lost, Recovered, Stretched};
    let order = [Lost, Late, Recovered, Concealed, Gap, Stretched];
    order.into_iter().filter(|kind| marks.iter().any(|mark| mark.kind == *kind)).collect()
}

/// CSS class of a kind of mark.
pub(super) fn class_of(kind: MarkKind) -> &'static str {
    match kind {
        MarkKind::Lost => "lost",
        MarkKind::Late => "late",
        MarkKind::Recovered => "recovered",
        MarkKind::Concealed => "concealed",
        MarkKind::Gap => "gap",
        MarkKind::Stretched => "stretched",
    }
}

/// A kind of mark in words.
pub(super) fn name_of(kind: MarkKind) -> &'static str {
    match kind {
        MarkKind::Lost => "packet lost",
        MarkKind::Late => "packet too late",
        MarkKind::Recovered => "restored from redundancy",
        MarkKind::Concealed => "made up (concealed)",
        MarkKind::Gap => "silence instead of speech",
        MarkKind::Stretched => "stretched or shortened",
    }
}
