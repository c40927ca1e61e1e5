//! Earlier payloads, to ride along with later ones (RFC 2198).

use super::redundancy::MOST_COPIES;
use crate::codec::opus_toc;
use crate::codec::red::{self, MOST_BLOCK_BYTES, MOST_OFFSET, RedBlock};

/// Payloads that are remembered: the furthest a copy can lie back, and one more.
const REMEMBERED: usize = 64;

/// The last payloads that were sent.
#[derive(Debug)]
pub(super) struct Copies {
    payloads: [Remembered; REMEMBERED],
    next: usize,
}

#[derive(Debug, Clone, Copy)]
struct Remembered {
    timestamp: u32,
    length: u16,
    bytes: [u8; MOST_BLOCK_BYTES],
}

impl Copies {
    pub(super) const fn new() -> Self {
        let nothing = Remembered { timestamp: 0, length: 0, bytes: [0; MOST_BLOCK_BYTES] };
        Self { payloads: [nothing; REMEMBERED], next: 0 }
    }

    /// Takes a payload that is sent now, without its deep redundancy: a copy that comes later would repeat what is too old to help.
    /// What is too long for a block is not remembered.
    pub(super) fn remember(&mut self, timestamp: u32, payload: &[u8]) {
        let slot = &mut self.payloads[self.next];
        self.next = (self.next + 1) % REMEMBERED;
        (slot.timestamp, slot.length) = (timestamp, 0);
        if let Some(bytes) = slot.bytes.get_mut(..payload.len()) {
            bytes.copy_from_slice(payload);
            slot.length = opus_toc::strip_padding(bytes) as u16;
        }
    }

    /// Writes `newest` behind copies of the payloads that were sent the given numbers of packets before it; returns the length. `None` when
    /// there is nothing to copy or no room: then the payload goes alone. The furthest copies give way first.
    pub(super) fn write(
        &self,
        payload_type: u8,
        timestamp: u32,
        newest: &[u8],
        mut distances: [u8; MOST_COPIES],
        out: &mut [u8],
    ) -> Option<usize> {
        distances.sort_unstable_by(|one, other| other.cmp(one));
        let newest = RedBlock { payload_type, offset: 0, payload: newest };
        let (mut blocks, mut count) = ([newest; MOST_COPIES + 1], 0);
        for distance in distances {
            if let Some(remembered) = self.back(distance, timestamp) {
                let offset = timestamp.wrapping_sub(remembered.timestamp) as u16;
                let payload = &remembered.bytes[..usize::from(remembered.length)];
                blocks[count] = RedBlock { payload_type, offset, payload };
                count += 1;
            }
        }
        blocks[count] = newest;
        let mut blocks = &blocks[..=count];
        while blocks.len() > 1 {
            if let Ok(length) = red::build(blocks, out) {
                return Some(length);
            }
            blocks = &blocks[1..];
        }
        None
    }

    /// The payload so many packets back, where the packet's header can name it.
    fn back(&self, distance: u8, timestamp: u32) -> Option<&Remembered> {
        let distance = usize::from(distance);
        if distance == 0 || distance > REMEMBERED {
            return None;
        }
        let remembered = &self.payloads[(self.next + REMEMBERED - distance) % REMEMBERED];
        let offset = timestamp.wrapping_sub(remembered.timestamp);
        let fits = remembered.length > 0 && offset > 0 && offset <= u32::from(MOST_OFFSET);
        fits.then_some(remembered)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: u32 = 960;

    /// As payloads: a TOC byte, then bytes that name the packet.
    fn payload(n: u8) -> [u8; 4] {
        [0x78, n, n, n]
    }

    fn remembering(packets: u8) -> Copies {
        let mut copies = Copies::new();
        for n in 0..packets {
            copies.remember(u32::from(n) * FRAME, &payload(n));
        }
        copies
    }

    fn written(copies: &Copies, packet: u8, distances: [u8; 3], room: usize) -> Option<Vec<(u16, u8)>> {
        let mut out = vec![0; room];
        let newest = payload(packet);
        let len = copies.write(111, u32::from(packet) * FRAME, &newest, distances, &mut out)?;
        let blocks = red::parse(&out[..len]).unwrap();
        Some(blocks.map(|block| (block.offset, block.payload[1])).collect())
    }

    #[test]
    fn copies_lie_in_order_and_the_newest_is_last() {
        let copies = remembering(10);
        assert_eq!(written(&copies, 10, [1, 5, 0], 1200).unwrap(), [(4800, 5), (960, 9), (0, 10)]);
        assert_eq!(written(&copies, 10, [2, 1, 3], 1200).unwrap().len(), 4);
        // What does not fit is left out, the furthest first.
        assert_eq!(written(&copies, 10, [1, 5, 0], 16).unwrap(), [(960, 9), (0, 10)]);
    }

    #[test]
    fn nothing_is_copied_that_is_not_there_or_too_far() {
        assert_eq!(written(&remembering(1), 1, [2, 3, 0], 1200), None);
        assert_eq!(written(&remembering(30), 30, [0, 0, 0], 1200), None);
        // 18 packets of 20 ms are more than the 341 ms a header can name.
        assert_eq!(written(&remembering(30), 30, [18, 0, 0], 1200), None);
        assert_eq!(written(&remembering(30), 30, [17, 0, 0], 1200).unwrap()[0], (16_320, 13));
        // A pause lies between.
        assert_eq!(written(&remembering(30), 200, [1, 2, 3], 1200), None);
    }

    #[test]
    fn what_is_too_long_for_a_block_goes_without_a_copy() {
        let mut copies = Copies::new();
        copies.remember(0, &[0x78; MOST_BLOCK_BYTES + 1]);
        assert_eq!(written(&copies, 1, [1, 0, 0], 1200), None);
    }
}
