//! What protects the sound against loss: what may be used, and what is in use.

use crate::codec::DredDetail;
use crate::units::{BitsPerSecond, PacketTime};

/// Most copies of earlier payloads in a packet.
pub const MOST_COPIES: usize = 3;

/// Which protection may be used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Redundancy {
    /// Whatever serves best for the loss the far end reports.
    #[default]
    Auto,
    /// Nothing but the sound.
    None,
    /// The coarse copy of the frame before that Opus itself can carry (LBRR, RFC 6716 section 2.1.7).
    Fec,
    /// Exact copies of earlier payloads (RFC 2198), where the far end takes them.
    Red,
    /// Up to a second of what was said before, coarsely, in one packet of a few (DRED, draft-ietf-mlcodec-opus-dred).
    Dred,
}

/// A step of the ladder: how the next packets are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rung {
    /// Rate of the sound itself, without copies and deep redundancy.
    pub bitrate: BitsPerSecond,
    /// Media time per packet.
    pub packet_time: PacketTime,
    /// Loss the in-band copy is made for, in percent; 0: no such copy.
    pub in_band_loss: u8,
    /// Which earlier packets are copied, by how many packets they lie back, 1 to 63; 0: none.
    pub copies: [u8; MOST_COPIES],
    /// Every so many packets one carries deep redundancy; 0: none does.
    pub dred_interval: u8,
    /// How fine that is.
    pub dred_detail: DredDetail,
}

impl Rung {
    /// Sound without any protection.
    pub const fn bare(bitrate: BitsPerSecond, packet_time: PacketTime) -> Self {
        Self {
            bitrate,
            packet_time,
            in_band_loss: 0,
            copies: [0; MOST_COPIES],
            dred_interval: 0,
            dred_detail: DredDetail::Coarse,
        }
    }

    /// How many copies each packet carries.
    pub fn copy_count(&self) -> usize {
        self.copies.iter().filter(|distance| **distance > 0).count()
    }

    /// As one number, for counters that cross threads.
    pub fn to_word(self) -> u64 {
        let [first, second, third] = self.copies.map(|distance| u64::from(distance & 63));
        u64::from(self.bitrate.0.min(0xf_ffff))
            | (PACKET_TIMES.iter().position(|time| *time == self.packet_time).unwrap_or(0) as u64) << 20
            | u64::from(self.in_band_loss & 127) << 23
            | (first | second << 6 | third << 12) << 30
            | u64::from(self.dred_interval) << 48
            | u64::from(self.dred_detail == DredDetail::Fine) << 56
    }

    /// What [`Self::to_word`] made.
    pub const fn from_word(word: u64) -> Self {
        Self {
            bitrate: BitsPerSecond((word & 0xf_ffff) as u32),
            packet_time: PACKET_TIMES[(word >> 20 & 7) as usize],
            in_band_loss: (word >> 23 & 127) as u8,
            copies: [(word >> 30 & 63) as u8, (word >> 36 & 63) as u8, (word >> 42 & 63) as u8],
            dred_interval: (word >> 48 & 255) as u8,
            dred_detail: if word >> 56 & 1 == 1 { DredDetail::Fine } else { DredDetail::Coarse },
        }
    }
}

/// Eight, so that three bits always name one.
const PACKET_TIMES: [PacketTime; 8] = [
    PacketTime::Ms2_5,
    PacketTime::Ms5,
    PacketTime::Ms10,
    PacketTime::Ms20,
    PacketTime::Ms40,
    PacketTime::Ms60,
    PacketTime::Ms120,
    PacketTime::Ms120,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rung_survives_the_way_through_a_word() {
        for packet_time in PACKET_TIMES {
            let rung = Rung {
                bitrate: BitsPerSecond(510_000),
                packet_time,
                in_band_loss: 100,
                copies: [1, 63, 17],
                dred_interval: 255,
                dred_detail: DredDetail::Fine,
            };
            assert_eq!(Rung::from_word(rung.to_word()), rung);
        }
        let bare = Rung::bare(BitsPerSecond(32_000), PacketTime::Ms20);
        assert_eq!(Rung::from_word(bare.to_word()), bare);
        let _ = Rung::from_word(u64::MAX);
    }
}
