//! Packets that wait for their playout, in fixed slots found by sequence number.

use std::cmp::Ordering;

use crate::codec::opus_toc::{Mode, Toc};
use crate::units::MediaTime;

const SLOTS: usize = 256;
/// Most bytes of a payload that is kept.
pub const MOST_PACKET_BYTES: usize = 1280;

/// One waiting packet.
#[derive(Debug, Clone)]
pub struct Slot {
    /// Extended sequence number.
    pub sequence: i64,
    /// Extended media time of its first sample, in samples at 48 kHz.
    pub timestamp: i64,
    /// Samples in it.
    pub samples: i64,
    /// When it came.
    pub arrival: MediaTime,
    /// Samples of the copy it holds of the Opus frame before it; 0 without one.
    pub fec_samples: i64,
    /// Samples right before it that its deep redundancy reaches; 0 without one.
    pub deep_samples: i64,
    /// Whether it says only that nobody speaks.
    pub is_dtx: bool,
    /// Whether its speech layer was used: such sound is concealed in pieces of 10 ms.
    pub is_speech: bool,
    /// Whether it came as a copy in a later packet (RFC 2198), and its own packet has not come.
    pub is_copy: bool,
    len: usize,
    bytes: [u8; MOST_PACKET_BYTES],
}

impl Slot {
    /// The Opus packet.
    pub fn payload(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    /// Media time after its last sample.
    pub const fn end(&self) -> i64 {
        self.timestamp + self.samples
    }
}

/// What became of an inserted packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inserted {
    /// It waits.
    Waiting,
    /// It is here already.
    Duplicate,
    /// Its slot holds a newer packet.
    Old,
    /// Not an Opus packet, or too large.
    Invalid,
}

/// The buffer. A packet that is 256 newer takes the slot of an old one: the newest survive, never none.
pub struct PacketBuffer {
    slots: Box<[Slot]>,
    used: [bool; SLOTS],
    count: usize,
    /// Of those, copies.
    copies: usize,
    overwritten: u64,
}

impl std::fmt::Debug for PacketBuffer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("PacketBuffer").field("count", &self.count).finish_non_exhaustive()
    }
}

impl Default for PacketBuffer {
    /// # Real-time
    /// Allocates: not for the real-time thread.
    #[expect(clippy::disallowed_macros, reason = "constructor")]
    fn default() -> Self {
        let slot = Slot {
            sequence: 0,
            timestamp: 0,
            samples: 0,
            arrival: MediaTime::ZERO,
            fec_samples: 0,
            deep_samples: 0,
            is_dtx: false,
            is_speech: false,
            is_copy: false,
            len: 0,
            bytes: [0; MOST_PACKET_BYTES],
        };
        let slots = vec![slot; SLOTS].into_boxed_slice();
        Self { slots, used: [false; SLOTS], count: 0, copies: 0, overwritten: 0 }
    }
}

impl PacketBuffer {
    /// Keeps a packet. It takes the place of a copy of itself.
    pub fn insert(&mut self, sequence: i64, timestamp: i64, arrival: MediaTime, payload: &[u8]) -> Inserted {
        self.keep(sequence, timestamp, arrival, payload, false)
    }

    /// Keeps a copy of a packet that came in a later one.
    pub fn insert_copy(
        &mut self,
        sequence: i64,
        timestamp: i64,
        arrival: MediaTime,
        payload: &[u8],
    ) -> Inserted {
        self.keep(sequence, timestamp, arrival, payload, true)
    }

    fn keep(
        &mut self,
        sequence: i64,
        timestamp: i64,
        arrival: MediaTime,
        payload: &[u8],
        is_copy: bool,
    ) -> Inserted {
        let Ok(toc) = Toc::parse(payload) else { return Inserted::Invalid };
        if payload.len() > MOST_PACKET_BYTES {
            return Inserted::Invalid;
        }
        let index = Self::index(sequence);
        if self.used[index] {
            match self.slots[index].sequence.cmp(&sequence) {
                Ordering::Less => self.overwritten += u64::from(!self.slots[index].is_copy),
                Ordering::Equal if is_copy || !self.slots[index].is_copy => return Inserted::Duplicate,
                Ordering::Equal => {}
                Ordering::Greater => return Inserted::Old,
            }
            self.free(index);
        }
        self.used[index] = true;
        self.count += 1;
        self.copies += usize::from(is_copy);
        let slot = &mut self.slots[index];
        slot.sequence = sequence;
        slot.timestamp = timestamp;
        slot.samples = toc.samples() as i64;
        slot.arrival = arrival;
        slot.fec_samples = if toc.has_fec() { toc.frame_samples as i64 } else { 0 };
        slot.deep_samples = 0;
        slot.is_dtx = toc.is_dtx();
        slot.is_speech = toc.mode != Mode::Celt;
        slot.is_copy = is_copy;
        slot.len = payload.len();
        slot.bytes[..payload.len()].copy_from_slice(payload);
        Inserted::Waiting
    }

    fn index(sequence: i64) -> usize {
        sequence.rem_euclid(SLOTS as i64) as usize
    }

    /// Frees a used slot; whether it held a packet of its own, no copy.
    fn free(&mut self, index: usize) -> bool {
        self.used[index] = false;
        self.count -= 1;
        let is_copy = self.slots[index].is_copy;
        self.copies -= usize::from(is_copy);
        !is_copy
    }

    /// The packet with this number.
    pub fn get(&self, sequence: i64) -> Option<&Slot> {
        let index = Self::index(sequence);
        Some(&self.slots[index]).filter(|slot| self.used[index] && slot.sequence == sequence)
    }

    /// The earliest packet that ends after `media_time`.
    pub fn first_after(&self, media_time: i64) -> Option<&Slot> {
        if self.count == 0 {
            return None;
        }
        self.waiting().filter(|slot| slot.end() > media_time).min_by_key(|slot| slot.timestamp)
    }

    /// Notes how far the deep redundancy of a waiting packet reaches back.
    pub fn set_deep(&mut self, sequence: i64, samples: i64) {
        let index = Self::index(sequence);
        if self.used[index] && self.slots[index].sequence == sequence {
            self.slots[index].deep_samples = samples;
        }
    }

    /// The packet after `media_time` whose deep redundancy reaches back furthest towards it: the earliest of those that reach it.
    pub fn deepest_after(&self, media_time: i64) -> Option<&Slot> {
        let reach = |slot: &Slot| (slot.timestamp - slot.deep_samples).max(media_time);
        let deep = self.waiting().filter(|slot| slot.deep_samples > 0 && slot.timestamp > media_time);
        deep.min_by_key(|slot| (reach(slot), slot.timestamp))
    }

    /// Media time of the first sample of the newest packet.
    pub fn newest_start(&self) -> Option<i64> {
        self.waiting().map(|slot| slot.timestamp).max()
    }

    /// Drops every packet that ends at or before `media_time`; returns how many, copies not counted.
    pub fn drop_until(&mut self, media_time: i64) -> u64 {
        let mut dropped = 0;
        if self.count == 0 {
            return 0;
        }
        for index in 0..SLOTS {
            if self.used[index] && self.slots[index].end() <= media_time {
                dropped += u64::from(self.free(index));
            }
        }
        dropped
    }

    /// Frees the slot of a packet that was played.
    pub fn release(&mut self, sequence: i64) {
        let index = Self::index(sequence);
        if self.used[index] && self.slots[index].sequence == sequence {
            self.free(index);
        }
    }

    /// Packets that wait, copies not counted.
    pub const fn len(&self) -> usize {
        self.count - self.copies
    }

    /// Whether nothing waits, not even a copy.
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Packets that lost their slot to newer ones, from the beginning.
    pub const fn overwritten(&self) -> u64 {
        self.overwritten
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.used = [false; SLOTS];
        self.count = 0;
        self.copies = 0;
    }

    fn waiting(&self) -> impl Iterator<Item = &Slot> {
        self.slots.iter().zip(&self.used).filter(|(_, used)| **used).map(|(slot, _)| slot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEN_MS: [u8; 2] = [16 << 3 | 2 << 3, 0];

    #[test]
    fn packets_come_out_by_media_time() {
        let mut buffer = PacketBuffer::default();
        assert_eq!(buffer.insert(2, 960, MediaTime::ZERO, &TEN_MS), Inserted::Waiting);
        assert_eq!(buffer.insert(1, 480, MediaTime::ZERO, &TEN_MS), Inserted::Waiting);
        assert_eq!(buffer.insert(1, 480, MediaTime::ZERO, &TEN_MS), Inserted::Duplicate);
        assert_eq!(buffer.insert(3, 960, MediaTime::ZERO, &[]), Inserted::Invalid);
        assert_eq!(buffer.first_after(0).map(|slot| slot.timestamp), Some(480));
        assert_eq!(buffer.first_after(960).map(|slot| slot.timestamp), Some(960));
        assert_eq!(buffer.drop_until(960), 1);
        buffer.release(2);
        assert!(buffer.is_empty());
    }

    #[test]
    fn a_packet_takes_the_place_of_its_copy_and_no_copy_that_of_a_packet() {
        let mut buffer = PacketBuffer::default();
        assert_eq!(buffer.insert_copy(1, 480, MediaTime::ZERO, &TEN_MS), Inserted::Waiting);
        assert_eq!(buffer.insert_copy(1, 480, MediaTime::ZERO, &TEN_MS), Inserted::Duplicate);
        assert_eq!((buffer.len(), buffer.is_empty()), (0, false));
        assert_eq!(buffer.insert(1, 480, MediaTime::ZERO, &TEN_MS), Inserted::Waiting);
        assert_eq!(buffer.insert_copy(1, 480, MediaTime::ZERO, &TEN_MS), Inserted::Duplicate);
        assert!(buffer.get(1).is_some_and(|slot| !slot.is_copy));
        buffer.insert_copy(2, 960, MediaTime::ZERO, &TEN_MS);
        assert_eq!(buffer.insert(2 + SLOTS as i64, 480, MediaTime::ZERO, &TEN_MS), Inserted::Waiting);
        assert_eq!((buffer.len(), buffer.overwritten()), (2, 0));
        assert_eq!(buffer.drop_until(2000), 2);
    }

    #[test]
    fn the_newest_survive_an_overflow() {
        let mut buffer = PacketBuffer::default();
        for sequence in 0..300 {
            buffer.insert(sequence, sequence * 480, MediaTime::ZERO, &TEN_MS);
        }
        assert_eq!((buffer.len(), buffer.overwritten()), (SLOTS, 44));
        assert_eq!(buffer.first_after(0).map(|slot| slot.sequence), Some(44));
        assert_eq!(buffer.insert(43, 43 * 480, MediaTime::ZERO, &TEN_MS), Inserted::Old);
        assert_eq!(buffer.get(299).map(|slot| slot.sequence), Some(299));
    }
}
