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

    /// Reads the deep redundancy in `packet` and keeps it; returns how many samples (48 kHz) right before the packet's first one it can
    /// restore, 0 when there is none. It replaces what an earlier packet said and does not touch the decoder's memory of the sound.
    fn dred_span(&mut self, packet: &[u8]) -> usize {
        let _ = packet;
        0
    }

    /// Restores `out.len()` samples that begin `before` samples before the first one of the packet last given to [`Self::dred_span`]; oldest
    /// first. The length is a multiple of 480 (10 ms), at most 120 ms.
    ///
    /// # Errors
    /// [`OpusError::BadArgument`] for another length, or when that packet had no redundancy.
    fn decode_dred(&mut self, before: usize, out: &mut [f32]) -> Result<usize, OpusError> {
        let _ = (before, out);
        Err(OpusError::BadArgument)
    }

    /// Remembers this point of the stream, before sound is made up that may turn out to be only late.
    fn mark(&mut self) {}

    /// Decodes the packet that follows the mark, which came too late to be heard, and moves the mark behind it. What is being made up goes on
    /// undisturbed. `out` has room for the longest packet.
    ///
    /// # Errors
    /// As [`Self::decode`].
    fn decode_at_mark(&mut self, packet: &[u8], out: &mut [f32]) -> Result<usize, OpusError> {
        let _ = (packet, out);
        Ok(0)
    }

    /// Goes on at the mark, as if nothing had been made up since.
    fn return_to_mark(&mut self) {}

    /// Changes the effort from the next packet on: 0 classic, 5 neural concealment, with the feature `lace` 6 LACE, 7 NoLACE.
    fn set_complexity(&mut self, complexity: u8) {
        let _ = complexity;
    }

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

    fn dred_span(&mut self, packet: &[u8]) -> usize {
        Self::dred_span(self, packet)
    }

    fn decode_dred(&mut self, before: usize, out: &mut [f32]) -> Result<usize, OpusError> {
        Self::decode_dred(self, before, out)
    }

    fn mark(&mut self) {
        Self::mark(self);
    }

    fn decode_at_mark(&mut self, packet: &[u8], out: &mut [f32]) -> Result<usize, OpusError> {
        Self::decode_at_mark(self, packet, out)
    }

    fn return_to_mark(&mut self) {
        Self::return_to_mark(self);
    }

    fn set_complexity(&mut self, complexity: u8) {
        // A value libopus refuses cannot be asked for: it is capped.
        let _ = Self::set_complexity(self, complexity);
    }

    fn reset(&mut self) {
        Self::reset(self);
    }
}
