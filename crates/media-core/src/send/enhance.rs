//! What is done to the microphone's sound before it is encoded, stage by stage.

use crate::dsp::{HighPass, RampedGain};

/// High-pass and mute, in this order; echo cancellation, noise suppression and automatic gain belong between them.
#[derive(Debug)]
pub(super) struct Enhancer {
    high_pass: HighPass,
    mute: RampedGain,
    muted: bool,
}

impl Enhancer {
    pub(super) fn new() -> Self {
        Self { high_pass: HighPass::default(), mute: RampedGain::new(1.0), muted: false }
    }

    pub(super) fn apply(&mut self, samples: &mut [f32]) {
        make_sound(samples);
        self.high_pass.apply(samples);
        self.mute.apply(samples);
    }

    pub(super) fn set_muted(&mut self, muted: bool) {
        self.muted = muted;
        self.mute.set(if muted { 0.0 } else { 1.0 });
    }

    pub(super) const fn is_muted(&self) -> bool {
        self.muted
    }
}

/// Applications feed samples too: what is no number, or out of range, must not stay in the filters.
fn make_sound(samples: &mut [f32]) {
    for sample in samples {
        *sample = if sample.is_finite() { sample.clamp(-1.0, 1.0) } else { 0.0 };
    }
}
