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

/// Where speed 1 is wanted, sound comes to rest on a whole input slower by this, in a second at most: less than anybody hears.
const TO_REST: f64 = 20e-6;

/// Plays sound a little faster or slower by interpolation; at speed 1 it passes sound untouched, later by half the filter: a third of a
/// millisecond.
#[derive(Debug, Clone)]
pub struct DriftResampler {
    /// `PHASES + 1` rows of a windowed sinc, `TAPS` each.
    table: Box<[[f32; TAPS]]>,
    /// The last `TAPS` inputs, each twice, so that they always lie in a row somewhere; the oldest is at `oldest`.
    history: [f32; 2 * TAPS],
    oldest: usize,
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
        Self { table, history: [0.0; 2 * TAPS], oldest: 0, fraction: 0.0, speed: 0.0 }
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
    pub fn push(&mut self, input: &[f32], out: &mut [f32]) -> usize {
        if self.is_at_rest() && out.len() >= input.len() {
            self.pass(input, &mut out[..input.len()]);
            return input.len();
        }
        let mut made = 0;
        for sample in input {
            self.shift_in(*sample);
            self.fraction -= 1.0;
            while self.fraction < 0.0 {
                self.fraction += 1.0;
                if let Some(out) = out.get_mut(made) {
                    *out = self.interpolate();
                    made += 1;
                }
                self.fraction = if self.speed == 0.0 {
                    (self.fraction - TO_REST).max(0.0)
                } else {
                    self.fraction + self.speed
                };
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
    pub fn process(&mut self, input: &[f32], out: &mut [f32]) {
        if self.speed == 0.0 {
            return self.process_to_rest(input, out);
        }
        let mut input = input.iter();
        for out in out {
            self.fraction += 1.0 + self.speed;
            while self.fraction >= 1.0 {
                let Some(sample) = input.next() else { break };
                self.fraction -= 1.0;
                self.shift_in(*sample);
            }
            *out = self.interpolate();
        }
        for sample in input {
            self.fraction -= 1.0;
            self.shift_in(*sample);
        }
        self.fraction = self.fraction.clamp(0.0, 0.999_999);
    }

    /// On the way to a whole input, from where on sound passes untouched.
    fn process_to_rest(&mut self, input: &[f32], out: &mut [f32]) {
        if self.is_at_rest() && input.len() == out.len() {
            return self.pass(input, out);
        }
        for (sample, out) in input.iter().zip(out) {
            self.shift_in(*sample);
            self.fraction = (self.fraction - TO_REST).max(0.0);
            *out = self.interpolate();
        }
    }

    fn is_at_rest(&self) -> bool {
        self.speed == 0.0 && self.fraction == 0.0
    }

    /// What comes in goes out, later by [`Self::DELAY`].
    fn pass(&mut self, input: &[f32], out: &mut [f32]) {
        const LATER: usize = TAPS - 1 - MIDDLE;
        if input.len() < TAPS {
            for (sample, out) in input.iter().zip(out) {
                self.shift_in(*sample);
                *out = self.history[self.oldest + MIDDLE];
            }
            return;
        }
        let (before, after) = out.split_at_mut(LATER);
        before.copy_from_slice(&self.history[self.oldest + TAPS - LATER..self.oldest + TAPS]);
        after.copy_from_slice(&input[..input.len() - LATER]);
        let newest = &input[input.len() - TAPS..];
        let (one, other) = self.history.split_at_mut(TAPS);
        one.copy_from_slice(newest);
        other.copy_from_slice(newest);
        self.oldest = 0;
    }

    fn shift_in(&mut self, sample: f32) {
        self.history[self.oldest] = sample;
        self.history[self.oldest + TAPS] = sample;
        self.oldest = (self.oldest + 1) % TAPS;
    }

    fn interpolate(&self) -> f32 {
        let position = self.fraction * PHASES as f64;
        let row = (position as usize).min(PHASES - 1);
        let between = (position - row as f64) as f32;
        let history = &self.history[self.oldest..self.oldest + TAPS];
        if self.fraction == 0.0 {
            return history[MIDDLE];
        }
        // Eight sums side by side, which the machine adds at once.
        let mut sums = [0.0; 8];
        for tap in (0..TAPS).step_by(8) {
            let (low, high) = (&self.table[row][tap..tap + 8], &self.table[row + 1][tap..tap + 8]);
            for (n, sum) in sums.iter_mut().enumerate() {
                *sum += (low[n] + (high[n] - low[n]) * between) * history[tap + n];
            }
        }
        sums.iter().sum()
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
        let mut resampler = DriftResampler::default();
        resampler.set_speed(Ppm(200.0));
        let (hertz, mut consumed, mut output) = (3000.0, 0_usize, Vec::new());
        let tone = |n: usize| (n as f64 * hertz / 48_000.0 * std::f64::consts::TAU).sin() as f32;
        for _ in 0..2000 {
            let needed = resampler.inputs_for(240);
            let input: Vec<f32> = (consumed..consumed + needed).map(tone).collect();
            let mut out = [0.0; 240];
            resampler.process(&input, &mut out);
            consumed += needed;
            output.extend_from_slice(&out);
        }
        assert!((consumed as f64 - 480_000.0 * 1.0002).abs() < 3.0, "{consumed}");
        let (mut sine, mut cosine, mut total) = (0.0_f64, 0.0_f64, 0.0_f64);
        let rate = hertz * 1.0002 / 48_000.0 * std::f64::consts::TAU;
        // A whole number of its periods: 15,003.
        let samples = &output[48_000..288_000];
        for (n, sample) in samples.iter().enumerate() {
            let sample = f64::from(*sample);
            sine += sample * (n as f64 * rate).sin();
            cosine += sample * (n as f64 * rate).cos();
            total += sample * sample;
        }
        let in_tone = 2.0 * (sine * sine + cosine * cosine) / samples.len() as f64;
        let noise = 10.0 * ((total - in_tone).abs() / in_tone).log10();
        assert!(noise < -60.0, "{noise}");
    }
}
