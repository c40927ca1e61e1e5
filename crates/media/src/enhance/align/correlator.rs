//! How well what the microphone heard of late fits what the loudspeaker played, for each lag between the two.

use std::f32::consts::PI;
use std::sync::Arc;

use realfft::num_complex::Complex;
use realfft::{ComplexToReal, RealFftPlanner, RealToComplex};

use crate::enhance::stage::BLOCK;

/// One sample in so many is enough: most of a voice is below 4 kHz.
pub(super) const THINNED: usize = 6;
/// Thinned samples of a block.
const STEP: usize = BLOCK / THINNED;
/// The microphone's last 256 ms are looked for, in what was played up to 512 ms before.
const HEARD: usize = 2048;
const LAGS: usize = 4096;
const PLAYED: usize = HEARD + LAGS;
/// Mean squares below which there is nothing to compare: -60 dBFS of the loudspeaker, digital silence of the microphone.
const QUIET: f32 = 1e-6;
const SILENT: f32 = 1e-10;
/// Peaks this near to each other are one: 1.5 ms.
const ONE_PEAK: usize = 12;

/// The microphone and the loudspeaker, thinned, and their correlation.
pub(super) struct Correlator {
    heard: History,
    played: History,
    window: Box<[f32]>,
    forward: Arc<dyn RealToComplex<f32>>,
    inverse: Arc<dyn ComplexToReal<f32>>,
    time: Box<[f32]>,
    spectra: [Box<[Complex<f32>]>; 2],
    scratch: Box<[Complex<f32>]>,
    by_lag: Box<[f32]>,
}

/// A place where the two fit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Peak {
    /// By how much the microphone is later, in thinned samples.
    pub(super) lag: f64,
    /// Height as a multiple of the correlation's root mean square.
    pub(super) height: f32,
}

/// The correlation's size for each lag.
#[derive(Debug, Clone, Copy)]
pub(super) struct Correlation<'a> {
    by_lag: &'a [f32],
    scale: f32,
}

impl Correlator {
    pub(super) fn new() -> Self {
        let mut planner = RealFftPlanner::new();
        let (forward, inverse) = (planner.plan_fft_forward(PLAYED), planner.plan_fft_inverse(PLAYED));
        let scratch = forward.get_scratch_len().max(inverse.get_scratch_len());
        let zero = Complex::new(0.0, 0.0);
        Self {
            heard: History::new(HEARD),
            played: History::new(PLAYED),
            window: (0..HEARD).map(|n| (PI * (n as f32 + 0.5) / HEARD as f32).sin().powi(2)).collect(),
            time: vec![0.0; PLAYED].into(),
            spectra: [vec![zero; PLAYED / 2 + 1].into(), vec![zero; PLAYED / 2 + 1].into()],
            scratch: vec![zero; scratch].into(),
            by_lag: vec![0.0; LAGS + 1].into(),
            forward,
            inverse,
        }
    }

    pub(super) fn push(&mut self, near: &[f32; BLOCK], far: &[f32; BLOCK]) {
        self.heard.push(near);
        self.played.push(far);
    }

    /// None while one of the two is silent.
    pub(super) fn correlate(&mut self) -> Option<Correlation<'_>> {
        if mean_square(&self.played.samples) < QUIET || mean_square(&self.heard.samples) < SILENT {
            return None;
        }
        let [near, far] = &mut self.spectra;
        let windowed = self.heard.samples.iter().zip(&self.window).map(|(sample, window)| sample * window);
        self.time.iter_mut().zip(windowed.chain(std::iter::repeat(0.0))).for_each(|(to, from)| *to = from);
        self.forward.process_with_scratch(&mut self.time, near, &mut self.scratch).ok()?;
        self.time.copy_from_slice(&self.played.samples);
        self.forward.process_with_scratch(&mut self.time, far, &mut self.scratch).ok()?;
        for (near, far) in near.iter_mut().zip(far.iter()) {
            *near = flattened(*near * far.conj());
        }
        // Both are real signals, so these are; rounding may say otherwise, which the transform refuses.
        near[0].im = 0.0;
        near[PLAYED / 2].im = 0.0;
        self.inverse.process_with_scratch(near, &mut self.time, &mut self.scratch).ok()?;
        // What was heard begins LAGS samples after what was played: place p, from the end, is a lag of p - PLAYED + LAGS.
        self.by_lag[LAGS] = self.time[0].abs();
        self.by_lag[..LAGS]
            .iter_mut()
            .zip(&self.time[PLAYED - LAGS..])
            .for_each(|(to, from)| *to = from.abs());
        Some(Correlation { by_lag: &self.by_lag, scale: mean_square(&self.by_lag).sqrt() })
    }
}

/// Nearly the phase alone: every frequency counts, whatever a voice makes of it, but those that it leaves out count less.
fn flattened(product: Complex<f32>) -> Complex<f32> {
    let size = product.norm_sqr().sqrt() + 1e-12;
    product / (size.sqrt() * size.sqrt().sqrt())
}

fn mean_square(samples: &[f32]) -> f32 {
    samples.iter().map(|sample| sample * sample).sum::<f32>() / samples.len() as f32
}

impl Correlation<'_> {
    /// Where the two fit best.
    pub(super) fn highest(&self) -> Option<Peak> {
        self.peak(0, self.by_lag.len())
    }

    /// Where they fit best close to a lag.
    pub(super) fn near(&self, lag: f64, reach: usize) -> Option<Peak> {
        let centre = lag.round().max(0.0) as usize;
        self.peak(centre.saturating_sub(reach), centre.saturating_add(reach + 1))
    }

    /// Height of the next one beside a peak.
    pub(super) fn rival(&self, peak: Peak) -> f32 {
        let centre = peak.lag.round().max(0.0) as usize;
        let before = self.peak(0, centre.saturating_sub(ONE_PEAK));
        let after = self.peak(centre.saturating_add(ONE_PEAK + 1), self.by_lag.len());
        [before, after].into_iter().flatten().map(|peak| peak.height).fold(0.0, f32::max)
    }

    fn peak(&self, from: usize, to: usize) -> Option<Peak> {
        let to = to.min(self.by_lag.len());
        let at = (from..to).max_by(|a, b| self.by_lag[*a].total_cmp(&self.by_lag[*b]))?;
        if !(self.scale.is_finite() && self.scale > 0.0) {
            return None;
        }
        Some(Peak { lag: at as f64 + self.top_beside(at), height: self.by_lag[at] / self.scale })
    }

    /// Where between its neighbours the top of a peak is: that of the parabola through the three.
    fn top_beside(&self, at: usize) -> f64 {
        let Some([before, top, after]) = at.checked_sub(1).and_then(|from| self.by_lag.get(from..from + 3))
        else {
            return 0.0;
        };
        let bend = f64::from(before - 2.0 * top + after);
        if bend < 0.0 { (0.5 * f64::from(before - after) / bend).clamp(-0.5, 0.5) } else { 0.0 }
    }
}

/// The last samples of a signal, thinned.
struct History {
    low_pass: [f32; TAPS],
    tail: [f32; TAPS],
    samples: Box<[f32]>,
}

/// Taps of the filter before thinning.
const TAPS: usize = 48;
/// It ends here, of the thinned rate's half.
const EDGE: f32 = 0.85;

impl History {
    fn new(length: usize) -> Self {
        let low_pass: [f32; TAPS] = std::array::from_fn(|n| {
            let x = (n as f32 - (TAPS as f32 - 1.0) / 2.0) * EDGE / THINNED as f32;
            let sinc = if x == 0.0 { 1.0 } else { (PI * x).sin() / (PI * x) };
            let hann = (PI * (n as f32 + 0.5) / TAPS as f32).sin().powi(2);
            sinc * hann * EDGE / THINNED as f32
        });
        Self { low_pass, tail: [0.0; TAPS], samples: vec![0.0; length].into() }
    }

    fn push(&mut self, block: &[f32; BLOCK]) {
        let mut sound = [0.0; TAPS + BLOCK];
        sound[..TAPS].copy_from_slice(&self.tail);
        sound[TAPS..].copy_from_slice(block);
        self.tail.copy_from_slice(&sound[BLOCK..]);
        self.samples.copy_within(STEP.., 0);
        let kept = self.samples.len() - STEP;
        for (n, thinned) in self.samples[kept..].iter_mut().enumerate() {
            let from = &sound[n * THINNED..n * THINNED + TAPS];
            *thinned = from.iter().zip(&self.low_pass).map(|(sample, tap)| sample * tap).sum();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use offhook_sim::sound::{noise, synthetic_speech};

    use super::*;

    fn correlated(near: &[f32], far: &[f32]) -> Correlator {
        let mut correlator = Correlator::new();
        for (near, far) in near.as_chunks::<BLOCK>().0.iter().zip(far.as_chunks::<BLOCK>().0) {
            correlator.push(near, far);
        }
        correlator
    }

    fn late(sound: &[f32], samples: usize, gain: f32) -> Vec<f32> {
        let early = std::iter::repeat_n(0.0, samples);
        early.chain(sound.iter().map(|sample| sample * gain)).take(sound.len()).collect()
    }

    #[test]
    fn the_lag_of_what_was_played_is_found_to_a_fraction_of_a_sample() {
        let far = synthetic_speech(Duration::from_millis(1500), 5);
        for samples in [0, 48, 1000, 7201, 24_000] {
            let hiss = noise(1e-3, Duration::from_millis(1500), 7);
            let near: Vec<f32> =
                late(&far, samples, -0.2).iter().zip(&hiss).map(|(echo, hiss)| echo + hiss).collect();
            let mut correlator = correlated(&near, &far);
            let correlation = correlator.correlate().unwrap();
            let peak = correlation.highest().unwrap();
            let expected = samples as f64 / THINNED as f64;
            assert!((peak.lag - expected).abs() < 0.35, "{samples}: {peak:?}");
            assert!(peak.height > 8.0, "{samples}: {peak:?}");
            assert!(correlation.rival(peak) < 0.8 * peak.height);
            assert_eq!(correlation.near(expected, 3), Some(peak));
        }
    }

    #[test]
    fn silence_says_nothing() {
        let (voice, quiet) = (synthetic_speech(Duration::from_secs(1), 5), vec![0.0; 48_000]);
        assert!(correlated(&voice, &quiet).correlate().is_none());
        assert!(correlated(&quiet, &voice).correlate().is_none());
    }

    #[test]
    fn two_voices_that_have_nothing_in_common_have_no_high_peak() {
        let (near, far) = (noise(0.1, Duration::from_secs(1), 1), noise(0.1, Duration::from_secs(1), 2));
        let mut correlator = correlated(&near, &far);
        let correlation = correlator.correlate().unwrap();
        let peak = correlation.highest().unwrap();
        assert!(peak.height < 7.0, "{peak:?}");
    }
}
