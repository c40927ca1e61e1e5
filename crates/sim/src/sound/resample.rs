//! Offline sample rate conversion by windowed sinc.

use std::f64::consts::PI;

/// Zero crossings of the sinc on each side.
const ZERO_CROSSINGS: f64 = 32.0;
/// Passband edge as a share of the narrower band, leaving room for the window's transition.
const PASSBAND: f64 = 0.94;
/// Most phases for which the filter is computed; with more, an output lies between two of them, and the straight line
/// between the two is off by less than -100 dB.
const MOST_KEPT_PHASES: u64 = 512;

/// Converts `samples` from one rate to another, band-limited to the narrower of the two.
///
/// Sample 0 of the result is the instant of sample 0 of the input: no delay is added. The result has
/// `ceil(samples.len() * to / from)` samples; it is empty when either rate is 0. Stopband about -75 dB.
pub fn resample(samples: &[f32], from: u32, to: u32) -> Vec<f32> {
    if from == 0 || to == 0 {
        return Vec::new();
    }
    if from == to {
        return samples.to_vec();
    }
    let divisor = greatest_common_divisor(from, to);
    let filter = PolyphaseFilter::new(from / divisor, to / divisor);
    let count = (samples.len() as u64 * u64::from(to)).div_ceil(u64::from(from));
    (0..count).map(|n| filter.output(samples, n)).collect()
}

/// One filter per position of an output sample between two input samples.
struct PolyphaseFilter {
    /// Input samples per `phases` output samples.
    step: u64,
    phases: u64,
    /// Share of the input band that is kept.
    cutoff: f64,
    /// Taps on each side.
    half: i64,
    /// Filters at equal distances from phase 0 to the next input sample, both ends included.
    kept: Vec<Vec<f32>>,
}

impl PolyphaseFilter {
    fn new(step: u32, phases: u32) -> Self {
        let cutoff = PASSBAND * (f64::from(phases) / f64::from(step)).min(1.0);
        let half = (ZERO_CROSSINGS / cutoff).ceil() as i64;
        let mut filter =
            Self { step: u64::from(step), phases: u64::from(phases), cutoff, half, kept: Vec::new() };
        let intervals = filter.phases.min(MOST_KEPT_PHASES);
        filter.kept = (0..=intervals).map(|n| filter.taps(n as f64 / intervals as f64)).collect();
        filter
    }

    fn output(&self, samples: &[f32], n: u64) -> f32 {
        let position = n * self.step;
        let (centre, phase) = ((position / self.phases) as i64, position % self.phases);
        let scaled = phase * (self.kept.len() as u64 - 1);
        let (below, rest) = ((scaled / self.phases) as usize, scaled % self.phases);
        let at_below = self.convolve(samples, centre, &self.kept[below]);
        if rest == 0 {
            return at_below;
        }
        let at_above = self.convolve(samples, centre, &self.kept[below + 1]);
        at_below + (at_above - at_below) * (rest as f32 / self.phases as f32)
    }

    fn convolve(&self, samples: &[f32], centre: i64, taps: &[f32]) -> f32 {
        let first = centre - self.half + 1;
        let skipped = (-first).max(0) as usize;
        let start = first.max(0) as usize;
        let taps = taps.get(skipped..).unwrap_or_default();
        let samples = samples.get(start..).unwrap_or_default();
        samples.iter().zip(taps).map(|(sample, tap)| sample * tap).sum()
    }

    /// Taps for inputs `centre - half + 1 ..= centre + half`, for an output `offset` (0..=1) after `centre`.
    fn taps(&self, offset: f64) -> Vec<f32> {
        let tap = |k: i64| {
            let distance = k as f64 - offset;
            self.cutoff * sinc(self.cutoff * distance) * blackman(distance / self.half as f64)
        };
        let taps: Vec<f64> = (1 - self.half..=self.half).map(tap).collect();
        let sum: f64 = taps.iter().sum();
        taps.iter().map(|tap| (tap / sum) as f32).collect()
    }
}

fn sinc(x: f64) -> f64 {
    if x.abs() < 1e-9 { 1.0 } else { (PI * x).sin() / (PI * x) }
}

/// Blackman window over -1..=1.
fn blackman(x: f64) -> f64 {
    if x.abs() >= 1.0 { 0.0 } else { 0.42 + 0.5 * (PI * x).cos() + 0.08 * (2.0 * PI * x).cos() }
}

fn greatest_common_divisor(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sine(frequency: f64, rate: u32, count: usize) -> Vec<f32> {
        (0..count).map(|n| (2.0 * PI * frequency * n as f64 / f64::from(rate)).sin() as f32).collect()
    }

    #[test]
    fn keeps_time_and_shape_of_what_both_rates_can_hold() {
        for (from, to) in
            [(8000, 48_000), (44_100, 48_000), (48_000, 16_000), (96_000, 48_000), (22_051, 48_000)]
        {
            let converted = resample(&sine(1000.0, from, from as usize / 5), from, to);
            let expected = sine(1000.0, to, to as usize / 5);
            let middle = to as usize / 20..to as usize / 20 * 3;
            let worst = middle.map(|n| (converted[n] - expected[n]).abs()).fold(0.0, f32::max);
            assert!(worst < 0.002, "{from} to {to}: {worst}");
        }
    }

    #[test]
    fn removes_what_the_lower_rate_cannot_hold() {
        let converted = resample(&sine(10_000.0, 48_000, 9600), 48_000, 16_000);
        let loudest = converted[400..2800].iter().fold(0.0f32, |loudest, sample| loudest.max(sample.abs()));
        assert!(loudest < 0.001, "{loudest}");
    }

    #[test]
    fn degenerate_input_gives_empty_output() {
        assert!(resample(&[], 8000, 48_000).is_empty());
        assert!(resample(&[1.0], 0, 48_000).is_empty());
        assert_eq!(resample(&[1.0], 48_000, 8000).len(), 1);
    }
}
