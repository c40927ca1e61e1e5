//! How this side falls silent without the far end taking it for a loss: on hold, and while keys take the place of sound.

use super::OutgoingPacket;
use crate::dsp::RampedGain;

/// The packet that announces the pause is sent so often, because one may be lost.
const ANNOUNCEMENTS: u8 = 2;

/// What the next packet of a pause is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PausePacket {
    /// The end of the sound, faded out.
    LastSound,
    /// Framing without a frame, as silence suppression sends it (RFC 7587 section 3.1.3).
    Announcement,
    /// Nothing: the far end knows.
    Nothing,
}

/// Fades the sound out, then announces the pause.
#[derive(Debug)]
pub(super) struct Pause {
    gain: RampedGain,
    announcements: Option<u8>,
}

impl Pause {
    pub(super) const fn new() -> Self {
        Self { gain: RampedGain::new(1.0), announcements: None }
    }

    /// Fades sound out or in, without a click.
    pub(super) fn apply(&mut self, paused: bool, sound: &mut [f32]) {
        self.gain.set(if paused { 0.0 } else { 1.0 });
        self.gain.apply(sound);
        if !paused {
            self.announcements = None;
        }
    }

    /// What comes next in the pause; `silent` when nothing was sent before it either.
    pub(super) const fn next(&mut self, silent: bool) -> PausePacket {
        match self.announcements {
            None if silent => {
                self.announcements = Some(0);
                PausePacket::Nothing
            }
            None => {
                self.announcements = Some(ANNOUNCEMENTS);
                PausePacket::LastSound
            }
            Some(0) => PausePacket::Nothing,
            Some(count) => {
                self.announcements = Some(count - 1);
                PausePacket::Announcement
            }
        }
    }

    /// Announces a pause that goes on once more: it is long for a far end that has heard of it only once.
    pub(super) fn remind(&mut self) {
        self.announcements = self.announcements.map(|count| count.max(1));
    }
}

impl OutgoingPacket {
    /// Leaves of an Opus packet what says how long it lasts: as many frames, all empty (RFC 6716 section 3.2).
    pub(super) fn empty_frames(&mut self) {
        let [toc, count, ..] = &mut self.bytes;
        match *toc & 3 {
            0 | 1 => self.len = 1,
            // Two frames of different lengths become two of the same.
            2 => {
                *toc = (*toc & !3) | 1;
                self.len = 1;
            }
            _ => {
                *count &= 0x3f;
                self.len = 2;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::opus_toc::Toc;

    #[test]
    fn sound_ends_then_the_pause_is_announced_then_nothing_is_sent() {
        let mut pause = Pause::new();
        pause.apply(true, &mut []);
        let packets: Vec<PausePacket> = (0..4).map(|_| pause.next(false)).collect();
        let (sound, told) = (PausePacket::LastSound, PausePacket::Announcement);
        assert_eq!(packets, [sound, told, told, PausePacket::Nothing]);
        pause.remind();
        assert_eq!((pause.next(true), pause.next(true)), (told, PausePacket::Nothing));
    }

    #[test]
    fn who_was_silent_has_nothing_to_announce() {
        let mut pause = Pause::new();
        pause.apply(true, &mut []);
        assert_eq!((pause.next(true), pause.next(true)), (PausePacket::Nothing, PausePacket::Nothing));
    }

    #[test]
    fn empty_frames_last_as_long_as_full_ones() {
        // One frame; two equal ones; two of 1 and 2 bytes; three with padding and lengths.
        let packets: [&[u8]; 4] =
            [&[0x78, 1, 2, 3], &[0x79, 1, 2], &[0x7a, 1, 1, 2, 2], &[0x7b, 0xc3, 1, 1, 1, 9, 9, 9, 0]];
        for bytes in packets {
            let before = Toc::parse(bytes).unwrap();
            let mut packet = OutgoingPacket::empty();
            packet
                .fill(|out| {
                    out[..bytes.len()].copy_from_slice(bytes);
                    Ok::<usize, ()>(bytes.len())
                })
                .unwrap();
            packet.empty_frames();
            let after = Toc::parse(packet.payload()).unwrap();
            assert_eq!(
                (after.samples(), after.frames, after.is_dtx()),
                (before.samples(), before.frames, true)
            );
        }
    }
}
