//! High-pass: rumble of desks, wind and mains.

use offhook_media_core::dsp::HighPass;

use super::stage::{BLOCK, Stage};

/// How long the filter on the media thread takes to be heard, and not to be heard any more: 20 ms.
const FADE: f32 = 960.0;
/// Samples filtered at once.
const PIECE: usize = 240;
/// Below the voice's lowest pitch; echo and noise estimators do better without what is below.
const EDGE_HZ: f64 = 80.0;

/// The high-pass stage.
#[derive(Debug)]
pub(super) struct RumbleFilter(HighPass);

impl RumbleFilter {
    pub(super) fn new() -> Self {
        Self(HighPass::with_edge(EDGE_HZ))
    }
}

/// The filter at the beginning of a microphone's way, on the media thread: it costs less than a way to another thread, and delays nothing. Real-time
/// safe.
#[derive(Debug)]
pub(super) struct RumbleAhead {
    filter: HighPass,
    /// How much of what is heard is filtered, 0..=1.
    share: f32,
}

impl RumbleAhead {
    pub(super) fn new() -> Self {
        Self { filter: HighPass::with_edge(EDGE_HZ), share: 0.0 }
    }

    /// Filters in place; switched, it is faded over. Off, it changes no sample.
    pub(super) fn apply(&mut self, on: bool, sound: &mut [f32]) {
        for piece in sound.chunks_mut(PIECE) {
            if !on && self.share <= 0.0 {
                return;
            }
            for sample in &mut *piece {
                *sample = if sample.is_finite() { *sample } else { 0.0 };
            }
            if on && self.share >= 1.0 {
                self.filter.apply(piece);
                continue;
            }
            let mut filtered = [0.0; PIECE];
            let filtered = &mut filtered[..piece.len()];
            filtered.copy_from_slice(piece);
            self.filter.apply(filtered);
            let step = if on { 1.0 / FADE } else { -1.0 / FADE };
            for (sample, filtered) in piece.iter_mut().zip(filtered) {
                self.share = (self.share + step).clamp(0.0, 1.0);
                // Exactly one of the two at the ends.
                *sample = *sample * (1.0 - self.share) + *filtered * self.share;
            }
            if self.share <= 0.0 {
                self.filter = HighPass::with_edge(EDGE_HZ);
            }
        }
    }
}

impl Stage for RumbleFilter {
    type Beside<'a> = ();

    fn process(&mut self, block: &mut [f32; BLOCK], (): ()) {
        self.0.apply(block);
    }

    fn reset(&mut self) {
        *self = Self::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(hertz: f32, samples: usize) -> Vec<f32> {
        (0..samples)
            .map(|n| 0.3 + 0.2 * (n as f32 * hertz * std::f32::consts::TAU / 48_000.0).sin())
            .collect()
    }

    #[test]
    fn off_no_sample_changes_and_on_rumble_and_direct_current_go_without_a_step() {
        let said = tone(400.0, 48_000);
        let mut filter = RumbleAhead::new();
        let mut heard = said.clone();
        for (n, piece) in heard.chunks_mut(333).enumerate() {
            filter.apply((30..90).contains(&n), piece);
        }
        assert_eq!(heard[..9000], said[..9000]);
        assert_eq!(heard[40_000..], said[40_000..]);
        let mean = heard[20_000..29_600].iter().sum::<f32>() / 9600.0;
        assert!(mean.abs() < 0.005, "{mean}");
        let steepest =
            |sound: &[f32]| sound.windows(2).map(|pair| (pair[1] - pair[0]).abs()).fold(0.0, f32::max);
        assert!(steepest(&heard) < steepest(&said) + 0.002);
    }

    #[test]
    fn what_is_no_number_does_not_stay() {
        let mut filter = RumbleAhead::new();
        let mut sound = tone(400.0, 9600);
        sound[5000] = f32::NAN;
        filter.apply(true, &mut sound);
        assert!(sound[5001..].iter().all(|sample| sample.is_finite()));
    }
}
