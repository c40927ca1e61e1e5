//! The decoder as the playout sees it.

use crate::codec::{OpusDecoder, OpusError};

/// Packets to sound: mono, 48 kHz. Every function is real-time safe.
pub trait SlotDecoder {
    /// Decodes a packet into `out`, which has room for the longest one; returns its samples.
    ///
    /// # Errors
    /// [`OpusError::InvalidPacket`] for damaged bytes; the decoder stays usable.
    fn decode(&mut self, packet: &[u8], out: &mut [f32]) -> Result<usize, OpusError>;

    /// Restores what lies before `successor` from the copy in it; `out` is exactly as long as what is missing.
    ///
    /// # Errors
    /// As [`Self::decode`].
    fn decode_fec(&mut self, successor: &[u8], out: &mut [f32]) -> Result<usize, OpusError>;

    /// Makes up what may have followed; the length of `out` is a multiple of 120 samples.
    ///
    /// # Errors
    /// [`OpusError::BadArgument`] for another length.
    fn conceal(&mut self, out: &mut [f32]) -> Result<usize, OpusError>;

    /// Forgets the past, before another stream. A decoder without a memory has nothing to do.
    fn reset(&mut self) {}
}

impl SlotDecoder for OpusDecoder {
    fn decode(&mut self, packet: &[u8], out: &mut [f32]) -> Result<usize, OpusError> {
        Self::decode(self, packet, out)
    }

    fn decode_fec(&mut self, successor: &[u8], out: &mut [f32]) -> Result<usize, OpusError> {
        Self::decode_fec(self, successor, out)
    }

    fn conceal(&mut self, out: &mut [f32]) -> Result<usize, OpusError> {
        Self::conceal(self, out)
    }

    fn reset(&mut self) {
        Self::reset(self);
    }
}
