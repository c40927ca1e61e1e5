//! High-pass: rumble of desks, wind and mains.

use offhook_media_core::dsp::HighPass;

use super::stage::{BLOCK, Stage};

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

impl Stage for RumbleFilter {
    type Beside<'a> = ();

    fn process(&mut self, block: &mut [f32; BLOCK], (): ()) {
        self.0.apply(block);
    }

    fn reset(&mut self) {
        *self = Self::new();
    }
}
