//! Takes out or puts in whole pitch periods, where it is not heard.

/// Pitch periods looked for: 2.5 ms to 15 ms.
const SHORTEST: usize = 120;
const LONGEST: usize = 720;
/// Samples a stretch looks at: two of the longest periods. It makes do with less, and then finds only shorter ones.
pub const WINDOW: usize = 2 * LONGEST;
/// Least samples a stretch can do with.
pub const LEAST_WINDOW: usize = 4 * SHORTEST;
/// The search runs on every eighth sample.
const STEP: usize = 8;
/// Mean square below which anything may be cut.
const QUIET: f32 = 1e-6;
/// Likeness of two periods from which on a cut is not heard.
pub const ALIKE: f32 = 0.85;

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stretched {
    /// So many samples are fewer.
    Shortened(usize),
    /// So many samples are more.
    Lengthened(usize),
    /// The sound does not allow it now (an onset, unvoiced speech).
    Refused,
}

/// The operation; holds only scratch space.
#[derive(Debug, Clone)]
pub struct TimeStretch {
    scratch: Box<[f32; WINDOW]>,
}

impl Default for TimeStretch {
    /// # Real-time
    /// Allocates: not for the real-time thread.
    #[expect(clippy::disallowed_methods, reason = "constructor")]
    fn default() -> Self {
        Self { scratch: Box::new([0.0; WINDOW]) }
    }
}

impl TimeStretch {
    /// Shortens the first [`WINDOW`] samples of `samples[..len]` by one period and returns what was done; the sound that follows moves up.
    /// The caller's length shrinks by the returned count. Periods less `alike` ([`ALIKE`] for speech) or longer than `longest` are
    /// refused.
    pub fn shorten(&mut self, samples: &mut [f32], len: usize, alike: f32, longest: usize) -> Stretched {
        let Some(period) = period(&samples[..len], alike, longest) else { return Stretched::Refused };
        for n in 0..period {
            let fade = (n as f32 + 0.5) / period as f32;
            samples[n] = samples[n] * (1.0 - fade) + samples[n + period] * fade;
        }
        samples.copy_within(2 * period..len, period);
        Stretched::Shortened(period)
    }

    /// Lengthens `samples[..len]` by one period after the first; `samples` has room for it.
    pub fn lengthen(&mut self, samples: &mut [f32], len: usize, alike: f32, longest: usize) -> Stretched {
        let Some(period) = period(&samples[..len], alike, longest) else { return Stretched::Refused };
        if len + period > samples.len() {
            return Stretched::Refused;
        }
        self.scratch[..period].copy_from_slice(&samples[..period]);
        self.scratch[period..2 * period].copy_from_slice(&samples[period..2 * period]);
        samples.copy_within(period..len, 2 * period);
        for n in 0..period {
            let fade = (n as f32 + 0.5) / period as f32;
            samples[period + n] = self.scratch[period + n] * (1.0 - fade) + self.scratch[n] * fade;
        }
        Stretched::Lengthened(period)
    }
}

/// The length whose repetition is not heard, if there is one. In silence, the longest.
fn period(samples: &[f32], alike: f32, longest: usize) -> Option<usize> {
    let window = &samples[..samples.len().min(WINDOW)];
    let longest = longest.min(window.len() / 2);
    if window.len() < LEAST_WINDOW || longest < SHORTEST {
        return None;
    }
    if mean_square(window) < QUIET {
        return Some(longest);
    }
    let coarse = best_lag(window, (SHORTEST..=longest).step_by(STEP), STEP)?;
    let fine = coarse.saturating_sub(STEP).max(SHORTEST)..=(coarse + STEP).min(longest);
    let period = best_lag(window, fine, 2)?;
    (likeness(window, period, 1) >= alike).then_some(period)
}

fn best_lag(window: &[f32], lags: impl Iterator<Item = usize>, step: usize) -> Option<usize> {
    let scored = lags.map(|lag| (lag, likeness(window, lag, step)));
    scored.max_by(|one, other| one.1.total_cmp(&other.1)).map(|(lag, _)| lag)
}

/// Normalised correlation of the first `lag` samples with the `lag` that follow.
fn likeness(window: &[f32], lag: usize, step: usize) -> f32 {
    let (mut cross, mut first, mut second) = (0.0, 1e-9, 1e-9);
    for n in (0..lag).step_by(step) {
        let (one, other) = (window[n], window[n + lag]);
        cross += one * other;
        first += one * one;
        second += other * other;
    }
    cross / (first * second).sqrt()
}

fn mean_square(samples: &[f32]) -> f32 {
    samples.iter().map(|sample| sample * sample).sum::<f32>() / samples.len() as f32
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests may allocate")]
mod tests {
    use super::*;

    fn voiced(samples: usize, period: usize) -> Vec<f32> {
        let phase = |n: usize| n as f32 / period as f32 * std::f32::consts::TAU;
        (0..samples)
            .map(|n| 0.2 * phase(n).sin() + 0.1 * (2.0 * phase(n)).cos() + 0.05 * (5.0 * phase(n)).sin())
            .collect()
    }

    fn steepest(samples: &[f32]) -> f32 {
        samples.windows(2).map(|pair| (pair[1] - pair[0]).abs()).fold(0.0, f32::max)
    }

    #[test]
    fn whole_periods_are_taken_out_and_put_in_without_a_step() {
        for period in [150, 333, 500, 700] {
            let sound = voiced(2400, period);
            let mut shorter = sound.clone();
            let Stretched::Shortened(taken) =
                TimeStretch::default().shorten(&mut shorter, 2400, ALIKE, LONGEST)
            else {
                panic!("{period}")
            };
            assert_eq!(taken % period, 0, "{taken} of {period}");
            assert!(steepest(&shorter[..2400 - taken]) <= 1.05 * steepest(&sound));
            let mut longer = sound.clone();
            longer.resize(2400 + LONGEST, 0.0);
            let Stretched::Lengthened(put) =
                TimeStretch::default().lengthen(&mut longer, 2400, ALIKE, LONGEST)
            else {
                panic!("{period}")
            };
            assert!(steepest(&longer[..2400 + put]) <= 1.05 * steepest(&sound));
            assert_eq!(longer[2400 + put - 1], sound[2399]);
        }
    }

    #[test]
    fn noise_is_left_alone_and_silence_is_not() {
        let mut seed = 1_u32;
        let mut noise: Vec<f32> = (0..2400)
            .map(|_| {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (seed >> 8) as f32 / (1 << 24) as f32 - 0.5
            })
            .collect();
        let mut stretch = TimeStretch::default();
        assert_eq!(stretch.shorten(&mut noise, 2400, ALIKE, LONGEST), Stretched::Refused);
        assert!(matches!(stretch.shorten(&mut noise, 2400, 0.0, LONGEST), Stretched::Shortened(_)));
        assert_eq!(stretch.shorten(&mut [0.0; 2400], 2400, ALIKE, LONGEST), Stretched::Shortened(LONGEST));
        assert_eq!(stretch.shorten(&mut [0.0; 2400], 2400, ALIKE, 200), Stretched::Shortened(200));
        assert_eq!(stretch.shorten(&mut [0.0; 480], 480, ALIKE, LONGEST), Stretched::Shortened(240));
        assert_eq!(stretch.shorten(&mut [0.0; 2400], 2400, ALIKE, 100), Stretched::Refused);
        assert_eq!(stretch.shorten(&mut [0.0; 100], 100, ALIKE, LONGEST), Stretched::Refused);
    }
}
