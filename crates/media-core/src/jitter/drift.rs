//! The sender's clock against ours: how far it runs off, and sound at the right speed for it.

use crate::units::{MediaTime, Ppm};

/// Fastest packets of one second each, over which a line is laid.
const SECONDS: usize = 60;
/// A drift is told after this many, once it is known this well.
const LEAST_SECONDS: usize = 5;
const MOST_UNCERTAINTY: f64 = 15e-6;
/// Crystals do not differ by more; what looks like more is the network.
const MOST_PPM: f64 = 1000.0;
/// A jump of the fastest packet from one second to the next by more than this is a new route, not drift, in microseconds.
const ROUTE_JUMP: i64 = 3000;

/// Lays a line through the fastest packet of each second.
#[derive(Debug, Clone)]
pub struct DriftEstimator {
    fastest: [(f64, f64); SECONDS],
    count: usize,
    current: Option<(MediaTime, i64)>,
    second_began: Option<MediaTime>,
    drift: Option<Ppm>,
}

impl Default for DriftEstimator {
    fn default() -> Self {
        Self { fastest: [(0.0, 0.0); SECONDS], count: 0, current: None, second_began: None, drift: None }
    }
}

impl DriftEstimator {
    /// A packet with this offset (arrival minus media time, microseconds) came.
    pub fn arrived(&mut self, now: MediaTime, offset: i64) {
        let began = *self.second_began.get_or_insert(now);
        if now.micros_since(began) >= 1_000_000 {
            self.second_began = Some(now);
            if let Some((at, offset)) = self.current.take() {
                self.close_second(at, offset);
            }
        }
        if self.current.is_none_or(|(_, fastest)| offset < fastest) {
            self.current = Some((now, offset));
        }
    }

    /// How much faster the sender's clock runs than ours; `None` until it is established.
    pub const fn drift(&self) -> Option<Ppm> {
        self.drift
    }

    fn close_second(&mut self, at: MediaTime, offset: i64) {
        if self.count > 0 {
            let last = self.fastest[(self.count - 1) % SECONDS].1;
            if (offset as f64 - last).abs() > ROUTE_JUMP as f64 {
                // What was learned of the clock stays true on the new route.
                self.count = 0;
            }
        }
        self.fastest[self.count % SECONDS] = (at.as_micros() as f64, offset as f64);
        self.count += 1;
        if self.count >= LEAST_SECONDS {
            self.drift = self.slope().filter(|ppm| ppm.0.abs() <= MOST_PPM).or(self.drift);
        }
    }

    /// Least squares; offsets of a fast sender shrink.
    fn slope(&self) -> Option<Ppm> {
        let points = &self.fastest[..self.count.min(SECONDS)];
        let n = points.len() as f64;
        let mean = points.iter().fold((0.0, 0.0), |sum, point| (sum.0 + point.0 / n, sum.1 + point.1 / n));
        let (mut above, mut below, mut error) = (0.0, 0.0, 0.0);
        for (time, offset) in points {
            above += (time - mean.0) * (offset - mean.1);
            below += (time - mean.0) * (time - mean.0);
        }
        let slope = above / below;
        for (time, offset) in points {
            let distance = offset - mean.1 - slope * (time - mean.0);
            error += distance * distance;
        }
        // A slope within twice its own uncertainty is no drift.
        let uncertainty = (error / (n - 2.0) / below).sqrt();
        let known = below > 0.0 && uncertainty <= MOST_UNCERTAINTY;
        known.then(|| Ppm(if slope.abs() < 2.0 * uncertainty { 0.0 } else { -slope * 1e6 }))
    }
}

const TAPS: usize = 32;
/// The tap of an output that falls on an input.
const MIDDLE: usize = TAPS / 2 - 1;
const PHASES: usize = 256;
/// Outputs in a row of one filter, which the machine makes side by side: clocks run apart so slowly that it would hardly be another for the next.
const RUN: usize = 16;
/// Where clocks run apart faster, so many.
const FEW: usize = 4;
/// Between the first and the last output of a run the place between two inputs moves by no more: what is wrong with a tone of 3 kHz is then
/// at least 66 dB below it, of one of 9 kHz 57 dB.
const HELD: f64 = 0.004;
/// Inputs that lie in a row.
const LINE: usize = 1024;

/// Where speed 1 is wanted, sound comes to rest on a whole input slower by this, in a second at most: less than anybody hears.
const TO_REST: f64 = 20e-6;

/// Plays sound a little faster or slower by interpolation; at speed 1 it passes sound untouched, later by half the filter: a third of a
/// millisecond.
#[derive(Debug, Clone)]
pub struct DriftResampler {
    /// `PHASES + 1` rows of a windowed sinc, `TAPS` each.
    table: Box<[[f32; TAPS]]>,
    /// The last inputs, at least `TAPS`, up to `end`; beyond it there is room for a run to read what it does not use.
    line: Box<[f32]>,
    end: usize,
    /// Position of the next output between two inputs, 0..1.
    fraction: f64,
    /// Inputs per output, minus 1.
    speed: f64,
}

impl Default for DriftResampler {
    /// # Real-time
    /// Allocates: not for the real-time thread.
    #[expect(clippy::disallowed_methods, reason = "constructor")]
    fn default() -> Self {
        let table = (0..=PHASES).map(|phase| sinc_row(phase as f64 / PHASES as f64)).collect();
        let line = std::iter::repeat_n(0.0, LINE + RUN).collect();
        Self { table, line, end: TAPS, fraction: 0.0, speed: 0.0 }
    }
}

impl DriftResampler {
    /// By so many samples sound is later.
    pub const DELAY: i64 = TAPS as i64 / 2;

    /// Speed above 1: `Ppm(100.0)` consumes 100 samples more per million.
    pub fn set_speed(&mut self, speed: Ppm) {
        self.speed = speed.0.clamp(-2.0 * MOST_PPM, 2.0 * MOST_PPM) * 1e-6;
    }

    /// Takes all of `input` and fills the beginning of `out`, which has room for two samples more than that; returns how many were made. For
    /// whoever has sound and does not choose how much; a resampler is used either this way or by [`Self::process`].
    pub fn push(&mut self, mut input: &[f32], out: &mut [f32]) -> usize {
        let mut made = 0;
        while !input.is_empty() && made < out.len() {
            if self.is_at_rest() {
                let passed = input.len().min(out.len() - made);
                self.pass(&input[..passed], &mut out[made..made + passed]);
                return made + passed;
            }
            if self.fraction >= 1.0 {
                self.fraction -= 1.0;
                self.take(&mut input, 1);
                continue;
            }
            let count = self.run_from(self.fraction).min(input.len()).min(out.len() - made);
            self.take(&mut input, count);
            self.make(count, self.fraction, &mut out[made..made + count]);
            made += count;
            self.move_by(count);
            if self.fraction < 0.0 && made < out.len() {
                // The next output lies before the next input.
                self.fraction += 1.0;
                self.make(1, self.fraction, &mut out[made..=made]);
                made += 1;
                self.move_by(1);
            }
        }
        made
    }

    /// How many inputs [`Self::process`] takes for `outputs`.
    pub fn inputs_for(&self, outputs: usize) -> usize {
        if self.speed == 0.0 {
            outputs
        } else {
            (self.fraction + outputs as f64 * (1.0 + self.speed)) as usize
        }
    }

    /// Fills `out` from exactly [`Self::inputs_for`] inputs.
    pub fn process(&mut self, mut input: &[f32], mut out: &mut [f32]) {
        while !out.is_empty() {
            if self.is_at_rest() && input.len() == out.len() {
                return self.pass(input, out);
            }
            self.move_by(1);
            let place = self.fraction + 1.0;
            let whole = (place as usize).min(input.len());
            self.take(&mut input, whole);
            self.fraction = place - whole as f64;
            // All but the first take one input each.
            let count = self.run_from(self.fraction).min(out.len()).min(input.len() + 1);
            self.take(&mut input, count - 1);
            let (now, later) = out.split_at_mut(count);
            self.make(count, self.fraction, now);
            self.move_by(count - 1);
            out = later;
        }
        let left = input.len();
        self.fraction = (self.fraction - left as f64).clamp(0.0, 0.999_999);
        self.take(&mut input, left);
    }

    const fn is_at_rest(&self) -> bool {
        self.speed == 0.0 && self.fraction == 0.0
    }

    /// How much farther between two inputs the next output lies.
    fn step(&self) -> f64 {
        if self.speed == 0.0 { -TO_REST } else { self.speed }
    }

    /// So many outputs farther; a whole input is where sound comes to rest.
    fn move_by(&mut self, outputs: usize) {
        self.fraction += outputs as f64 * self.step();
        if self.speed == 0.0 {
            self.fraction = self.fraction.max(0.0);
        }
    }

    /// How many outputs, the first of them at `fraction`, one filter makes: at least 1, all between the same two neighbours.
    fn run_from(&self, fraction: f64) -> usize {
        let step = self.step();
        let until = if step > 0.0 { 1.0 - fraction } else { fraction };
        let most = until.clamp(0.0, HELD) / step.abs();
        // One at the very border is left to a run of its own.
        (most as usize).clamp(1, RUN)
    }

    /// The next `count` inputs are the newest in the line.
    fn take(&mut self, input: &mut &[f32], count: usize) {
        let (now, later) = input.split_at(count);
        *input = later;
        for some in now.chunks(LINE - TAPS) {
            if self.end + some.len() > LINE {
                self.line.copy_within(self.end - TAPS..self.end, 0);
                self.end = TAPS;
            }
            self.line[self.end..self.end + some.len()].copy_from_slice(some);
            self.end += some.len();
        }
    }

    /// What comes in goes out, later by [`Self::DELAY`].
    fn pass(&mut self, input: &[f32], out: &mut [f32]) {
        for (mut some, out) in input.chunks(LINE - TAPS).zip(out.chunks_mut(LINE - TAPS)) {
            let count = some.len();
            self.take(&mut some, count);
            let first = self.end - count - (TAPS - 1 - MIDDLE);
            out.copy_from_slice(&self.line[first..first + count]);
        }
    }

    /// A run of `count` outputs, the first at `fraction`, the last of the newest inputs; each uses one input more than the one before.
    fn make(&self, count: usize, fraction: f64, out: &mut [f32]) {
        let first = self.end - (count - 1) - TAPS;
        if fraction == 0.0 && count == 1 {
            out[0] = self.line[first + MIDDLE];
            return;
        }
        let middle = fraction + (count - 1) as f64 / 2.0 * self.step();
        if count <= FEW {
            self.filter::<FEW>(first, middle, out);
        } else {
            self.filter::<RUN>(first, middle, out);
        }
    }

    /// Makes at most `LANES` outputs of the inputs from `first` on, with the filter for `place` between two of them.
    fn filter<const LANES: usize>(&self, first: usize, place: f64, out: &mut [f32]) {
        let position = place * PHASES as f64;
        let row = (position as usize).min(PHASES - 1);
        let between = (position - row as f64) as f32;
        let mut sums = [0.0; LANES];
        for (tap, (low, high)) in self.table[row].iter().zip(&self.table[row + 1]).enumerate() {
            let weight = low + (high - low) * between;
            let inputs = &self.line[first + tap..first + tap + LANES];
            for (sum, input) in sums.iter_mut().zip(inputs) {
                *sum += weight * input;
            }
        }
        out.copy_from_slice(&sums[..out.len()]);
    }
}

/// The filter for an output that lies `fraction` after the sample in the middle.
fn sinc_row(fraction: f64) -> [f32; TAPS] {
    let mut row = [0.0; TAPS];
    let mut sum = 0.0;
    for (tap, value) in row.iter_mut().enumerate() {
        let distance = tap as f64 - MIDDLE as f64 - fraction;
        let sinc = if distance == 0.0 {
            1.0
        } else {
            (std::f64::consts::PI * distance).sin() / (std::f64::consts::PI * distance)
        };
        let place = (distance / (TAPS as f64 / 2.0)).clamp(-1.0, 1.0);
        let window = 0.42
            + 0.5 * (std::f64::consts::PI * place).cos()
            + 0.08 * (2.0 * std::f64::consts::PI * place).cos();
        *value = (sinc * window) as f32;
        sum += sinc * window;
    }
    row.map(|value| (f64::from(value) / sum) as f32)
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, clippy::disallowed_macros, reason = "tests may allocate")]
mod tests {
    use super::*;

    #[test]
    fn the_drift_of_a_clock_is_found_through_jitter() {
        for ppm in [-200_i64, 0, 200] {
            let mut estimator = DriftEstimator::default();
            for packet in 0..2500_i64 {
                let jitter = (packet.wrapping_mul(2_654_435_761) >> 5).rem_euclid(10_000);
                let offset = -(packet * 20_000 * ppm / 1_000_000) + jitter;
                estimator.arrived(MediaTime::from_micros(packet * 20_000 + jitter), offset);
            }
            let found = estimator.drift().unwrap().0;
            assert!((found - ppm as f64).abs() < 20.0, "{ppm}: {found}");
        }
    }

    #[test]
    fn speed_one_passes_sound_untouched_and_a_change_of_speed_makes_no_step() {
        let mut resampler = DriftResampler::default();
        let input: Vec<f32> = (0..480).map(|n| n as f32).collect();
        let mut out = vec![0.0; 480];
        assert_eq!(resampler.inputs_for(480), 480);
        resampler.process(&input, &mut out);
        assert_eq!(input[..480 - TAPS / 2], out[TAPS / 2..]);
        resampler.set_speed(Ppm(200.0));
        let input: Vec<f32> = (480..480 + resampler.inputs_for(240)).map(|n| n as f32).collect();
        let last = out[479];
        resampler.process(&input, &mut out[..240]);
        assert!((out[0] - last - 1.0).abs() < 0.01, "{last} then {}", out[0]);
        assert!(out[..240].windows(2).all(|pair| (pair[1] - pair[0] - 1.0).abs() < 0.01));
    }

    #[test]
    fn what_is_pushed_comes_out_at_the_speed_that_is_set_and_at_rest_untouched() {
        let tone = |n: usize| (n as f32 * 0.05).sin();
        let mut resampler = DriftResampler::default();
        let mut made = Vec::new();
        let mut next = 0;
        let mut push = |resampler: &mut DriftResampler, samples: usize| {
            let input: Vec<f32> = (next..next + samples).map(tone).collect();
            next += samples;
            let mut out = vec![0.0; samples + 2];
            let count = resampler.push(&input, &mut out);
            made.extend_from_slice(&out[..count]);
            count
        };
        assert_eq!((push(&mut resampler, 480), push(&mut resampler, 7)), (480, 7));
        for speed in [300.0, -300.0] {
            resampler.set_speed(Ppm(speed));
            let count: usize = (0..200).map(|_| push(&mut resampler, 480)).sum();
            assert!((count as f64 - 96_000.0 * (1.0 - speed * 1e-6)).abs() <= 2.0, "{speed}: {count}");
        }
        resampler.set_speed(Ppm(0.0));
        (0..120).for_each(|_| assert!(push(&mut resampler, 480).abs_diff(480) <= 1));
        // Nowhere a step: neither when the speed changes nor when it comes to rest.
        assert!(made[40..].windows(2).all(|pair| (pair[1] - pair[0]).abs() < 0.051));
        let said: Vec<f32> = (next - 600..next).map(tone).collect();
        assert!(said.windows(480).any(|said| said == &made[made.len() - 480..]));
    }

    #[test]
    fn back_at_speed_one_sound_soon_passes_untouched_again() {
        let mut resampler = DriftResampler::default();
        let mut next = 0;
        let mut played = |resampler: &mut DriftResampler, outputs: usize| {
            let mut out = vec![0.0; outputs];
            let needed = resampler.inputs_for(outputs);
            let input: Vec<f32> = (next..next + needed).map(|n| (n % 1000) as f32).collect();
            next += needed;
            resampler.process(&input, &mut out);
            (out, needed)
        };
        for speed in [130.0, -130.0] {
            resampler.set_speed(Ppm(speed));
            played(&mut resampler, 4321);
            let mut taken = 0;
            for _ in 0..450 {
                resampler.set_speed(Ppm(0.0));
                taken += played(&mut resampler, 120).1;
            }
            assert_eq!(taken, 450 * 120);
            let (out, needed) = played(&mut resampler, 480);
            assert!(needed == 480 && out.iter().all(|sample| sample.fract() == 0.0), "{speed}: {out:?}");
        }
    }

    #[test]
    fn a_resampled_tone_stays_clean_and_takes_the_inputs_it_says() {
        // Sixteen outputs of one filter, some, and one.
        let speeds = [20.0, -200.0, 200.0, 400.0, 800.0, 1500.0, 2000.0];
        for (speed, cycles, most) in
            speeds.iter().flat_map(|&speed| [(speed, 15_003.0, -66.0), (speed, 45_003.0, -57.0)])
        {
            let mut resampler = DriftResampler::default();
            resampler.set_speed(Ppm(speed));
            let faster = 1.0 + speed * 1e-6;
            let (hertz, mut consumed, mut output) = (cycles / 5.0 / faster, 0_usize, Vec::new());
            let tone = |n: usize| (n as f64 * hertz / 48_000.0 * std::f64::consts::TAU).sin() as f32;
            for _ in 0..2000 {
                let needed = resampler.inputs_for(240);
                let input: Vec<f32> = (consumed..consumed + needed).map(tone).collect();
                let mut out = [0.0; 240];
                resampler.process(&input, &mut out);
                consumed += needed;
                output.extend_from_slice(&out);
            }
            assert!((consumed as f64 - 480_000.0 * faster).abs() < 3.0, "{speed}: {consumed}");
            let (mut sine, mut cosine, mut total) = (0.0_f64, 0.0_f64, 0.0_f64);
            let rate = hertz * faster / 48_000.0 * std::f64::consts::TAU;
            // A whole number of its periods.
            let samples = &output[48_000..288_000];
            for (n, sample) in samples.iter().enumerate() {
                let sample = f64::from(*sample);
                sine += sample * (n as f64 * rate).sin();
                cosine += sample * (n as f64 * rate).cos();
                total += sample * sample;
            }
            let in_tone = 2.0 * (sine * sine + cosine * cosine) / samples.len() as f64;
            let noise = 10.0 * ((total - in_tone).abs() / in_tone).log10();
            assert!(noise < most, "{speed}, {hertz} Hz: {noise}");
        }
    }
}
