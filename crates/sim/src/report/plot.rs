//! The parts every plot is drawn from: a frame with axes, and shapes placed by data values.

use std::fmt::Write as _;
use std::time::Duration;

use super::html::{Escaped, coordinate};

const WIDTH: f64 = 1000.0;
const LEFT: f64 = 62.0;
const RIGHT: f64 = 14.0;
const TOP: f64 = 8.0;
const BOTTOM: f64 = 24.0;

/// An SVG drawing with time in seconds across and a value upwards.
pub(super) struct Plot {
    svg: String,
    height: f64,
    /// Where the time axis begins.
    from: f64,
    seconds: f64,
    low: f64,
    high: f64,
}

impl Plot {
    /// An empty plot of `duration`, values from `low` to `high`. `label` says to a screen reader what it shows.
    pub(super) fn new(label: &str, height: f64, duration: Duration, low: f64, high: f64) -> Self {
        Self::between(label, height, (Duration::ZERO, duration), low, high)
    }

    /// The same, with a time axis that begins later.
    pub(super) fn between(
        label: &str,
        height: f64,
        times: (Duration, Duration),
        low: f64,
        high: f64,
    ) -> Self {
        let svg = format!(
            "<div class=\"scroll\"><svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"{}\">",
            Escaped(label)
        );
        let high = if high > low { high } else { low + 1.0 };
        let seconds = times.1.saturating_sub(times.0).as_secs_f64().max(0.001);
        let mut plot = Self { svg, height, from: times.0.as_secs_f64(), seconds, low, high };
        plot.time_axis();
        plot
    }

    /// Finishes the drawing.
    pub(super) fn into_svg(mut self) -> String {
        self.svg.push_str("</svg></div>");
        self.svg
    }

    /// Horizontal place of a time, kept within the frame.
    pub(super) fn x(&self, at: Duration) -> f64 {
        LEFT + (WIDTH - LEFT - RIGHT) * ((at.as_secs_f64() - self.from) / self.seconds).clamp(0.0, 1.0)
    }

    /// Vertical place of a value, kept within the frame.
    pub(super) fn y(&self, value: f64) -> f64 {
        let share = ((value - self.low) / (self.high - self.low)).clamp(0.0, 1.0);
        self.height - BOTTOM - (self.height - TOP - BOTTOM) * share
    }

    /// Grid lines with labels at these values.
    pub(super) fn value_axis(&mut self, values: &[f64], unit: &str) {
        for value in values {
            let y = self.y(*value);
            self.line("grid", (LEFT, y), (WIDTH - RIGHT, y));
            self.text("", (LEFT - 8.0, y + 4.0), "end", &format!("{value:.0} {unit}"));
        }
    }

    /// A straight line.
    pub(super) fn line(&mut self, class: &str, from: (f64, f64), to: (f64, f64)) {
        let _ = write!(
            self.svg,
            "<line class=\"{class}\" x1=\"{}\" y1=\"{}\" x2=\"{}\" y2=\"{}\"/>",
            coordinate(from.0),
            coordinate(from.1),
            coordinate(to.0),
            coordinate(to.1)
        );
    }

    /// Text at a place; `anchor` is start, middle or end.
    pub(super) fn text(&mut self, class: &str, at: (f64, f64), anchor: &str, text: &str) {
        let _ = write!(
            self.svg,
            "<text class=\"{class}\" x=\"{}\" y=\"{}\" text-anchor=\"{anchor}\">{}</text>",
            coordinate(at.0),
            coordinate(at.1),
            Escaped(text)
        );
    }

    /// A filled circle with a text shown when pointed at.
    pub(super) fn dot(&mut self, class: &str, at: (f64, f64), radius: f64, hint: &str) {
        let _ = write!(
            self.svg,
            "<circle class=\"{class}\" cx=\"{}\" cy=\"{}\" r=\"{radius}\"><title>{}</title></circle>",
            coordinate(at.0),
            coordinate(at.1),
            Escaped(hint)
        );
    }

    /// A filled rectangle from a time to another over a part of the height, at least 2.5 units wide to be seen.
    pub(super) fn band(&mut self, class: &str, times: (Duration, Duration), heights: (f64, f64), hint: &str) {
        let (left, right) = (self.x(times.0), self.x(times.1));
        let _ = write!(
            self.svg,
            "<rect class=\"{class}\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\"><title>{}</title></rect>",
            coordinate(left),
            coordinate(heights.0),
            coordinate((right - left).max(2.5)),
            coordinate((heights.1 - heights.0).max(0.0)),
            Escaped(hint)
        );
    }

    /// A path through points; closed and filled when `class` asks for it.
    pub(super) fn path(&mut self, class: &str, points: impl Iterator<Item = (f64, f64)>, closed: bool) {
        let _ = write!(self.svg, "<path class=\"{class}\" d=\"");
        for (n, (x, y)) in points.enumerate() {
            let _ = write!(self.svg, "{}{} {}", if n == 0 { 'M' } else { 'L' }, coordinate(x), coordinate(y));
        }
        self.svg.push_str(if closed { "Z\"/>" } else { "\"/>" });
    }

    /// Short level strokes at places, as one path: thousands of dots that need no text.
    pub(super) fn specks(&mut self, class: &str, points: impl Iterator<Item = (f64, f64)>) {
        let _ = write!(self.svg, "<path class=\"specks {class}\" d=\"");
        for (x, y) in points {
            let _ = write!(self.svg, "M{} {}h0", coordinate(x), coordinate(y));
        }
        self.svg.push_str("\"/>");
    }

    /// Top and bottom of the frame.
    pub(super) fn frame(&self) -> (f64, f64) {
        (TOP, self.height - BOTTOM)
    }

    fn time_axis(&mut self) {
        let bottom = self.height - BOTTOM;
        for since in ticks(self.seconds, 12) {
            let at = self.from + since;
            let x = self.x(Duration::from_secs_f64(at));
            self.line("grid", (x, TOP), (x, bottom));
            let label = if self.from + self.seconds < 1.0 {
                format!("{} ms", shortest(at * 1e3))
            } else {
                format!("{} s", shortest(at))
            };
            self.text("", (x, bottom + 16.0), "middle", &label);
        }
        self.line("axis", (LEFT, bottom), (WIDTH - RIGHT, bottom));
    }
}

/// Round values from 0 to `largest`, at most `most` steps apart.
pub(super) fn ticks(largest: f64, most: usize) -> Vec<f64> {
    let rough = (largest / most as f64).max(1e-9);
    let power = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * power).into_iter().find(|step| *step >= rough);
    let step = step.unwrap_or(rough);
    (0..=most).map(|n| n as f64 * step).take_while(|value| *value <= largest * 1.000_001).collect()
}

fn shortest(value: f64) -> String {
    let text = format!("{value:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
