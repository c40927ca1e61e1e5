//! Noise suppression: the recurrent network of `nnnoiseless`, a port of RNNoise.

use nnnoiseless::DenoiseState;

use super::stage::{BLOCK, Stage};

/// It counts as 16-bit sound does.
const SCALE: f32 = 32_768.0;
const _: () = assert!(DenoiseState::FRAME_SIZE == BLOCK);

/// Delay of the stage in samples: its window overlaps by a block.
pub(super) const DELAY: usize = BLOCK;

/// The noise stage.
pub(super) struct NoiseSuppressor {
    state: Box<DenoiseState<'static>>,
    voice: f32,
}

impl NoiseSuppressor {
    pub(super) fn new() -> Self {
        Self { state: DenoiseState::new(), voice: 0.0 }
    }

    /// How likely the last block was voice, 0 to 1.
    pub(super) const fn voice(&self) -> f32 {
        self.voice
    }
}

impl Stage for NoiseSuppressor {
    type Beside<'a> = ();

    fn process(&mut self, block: &mut [f32; BLOCK], (): ()) {
        let scaled = block.map(|sample| sample * SCALE);
        self.voice = self.state.process_frame(&mut block[..], &scaled[..]);
        block.iter_mut().for_each(|sample| *sample /= SCALE);
    }

    fn reset(&mut self) {
        *self = Self::new();
    }
}

impl std::fmt::Debug for NoiseSuppressor {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("NoiseSuppressor").field("voice", &self.voice).finish_non_exhaustive()
    }
}
