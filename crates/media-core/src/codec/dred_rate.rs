//! What deep redundancy costs: libopus' own rule (`opus_encoder.c`, 1.6), so that a packet can be given the rate at which it carries as
//! much as is wanted and its own sound loses nothing.

use super::DredDetail;
use crate::units::PacketTime;

/// Bits of 40 ms of redundancy by quantizer.
const CHUNK_BITS: [f32; 16] =
    [73.2, 68.1, 62.5, 57.0, 51.5, 45.7, 39.9, 32.4, 26.4, 20.4, 16.3, 13.0, 9.3, 8.2, 7.2, 6.4];
/// Bits before the first chunk: signalling, then the initial state, which costs as much as a chunk more.
const HEAD_BITS: f32 = 40.0 + 50.0;
/// Most chunks: 1.04 s.
const MOST_CHUNKS: usize = 26;
/// libopus leaves redundancy this much of the rate above the offset when it expects the loss below and writes no copies (LBRR).
const SHARE: f32 = 0.8;
/// The loss to tell the encoder for [`SHARE`].
pub(super) const EXPECTED_LOSS: u8 = 25;
/// The rate from which on it counts.
const OFFSET: u32 = 12_000;
/// Above the offset by more than this, redundancy is as fine as libopus makes it, and gets coarser slowly with its age.
const FINE: u32 = 36_000;
/// Furthest rate that is looked at; a payload stays far below what a datagram holds.
const MOST_RATE: u32 = 200_000;

/// While a packet carries redundancy its own sound may be as coarse as this, in bits per second: still full band, and once in many packets not
/// heard, where finer sound would double what the redundancy takes.
const ENOUGH: u32 = 19_500;

/// The total rate at which a packet carries `units` times 10 ms of redundancy and its own sound keeps `primary` bits per second, or [`ENOUGH`].
/// Where that is not possible, the rate that comes nearest.
pub(super) fn total_rate(primary: u32, units: u8, packet_time: PacketTime, detail: DredDetail) -> u32 {
    let keeps = primary.min(ENOUGH);
    let least = match detail {
        DredDetail::Coarse => keeps,
        DredDetail::Fine => OFFSET + FINE + 1,
    };
    (least..MOST_RATE)
        .step_by(250)
        .find(|total| {
            let left = total - redundancy_rate(*total, units, packet_time);
            left >= keeps && reaches(*total, units, packet_time)
        })
        .unwrap_or(MOST_RATE)
}

/// What redundancy takes of `total`, in bits per second.
fn redundancy_rate(total: u32, units: u8, packet_time: PacketTime) -> u32 {
    let frames_per_second = 48_000.0 / packet_time.samples() as f32;
    let wanted = bits(total, chunks(units)) * frames_per_second;
    wanted.min(share(total, packet_time)) as u32
}

/// Whether all of it fits.
fn reaches(total: u32, units: u8, packet_time: PacketTime) -> bool {
    let frames_per_second = 48_000.0 / packet_time.samples() as f32;
    bits(total, chunks(units)) * frames_per_second <= share(total, packet_time)
}

fn share(total: u32, packet_time: PacketTime) -> f32 {
    let longer = packet_time.samples() as f32 / 960.0;
    let fraction = SHARE / (SHARE + (1.0 - SHARE) * longer);
    fraction * total.saturating_sub(OFFSET) as f32
}

fn chunks(units: u8) -> usize {
    ((usize::from(units) + 5) / 4).min(MOST_CHUNKS)
}

/// Bits of redundancy in one packet of that rate.
fn bits(total: u32, chunks: usize) -> f32 {
    let above = total.saturating_sub(OFFSET).max(1);
    let first = 51_u32.saturating_sub(3 * (u32::BITS - above.leading_zeros())).clamp(4, 15);
    let step = if above > FINE { 3 } else { 5 };
    let quantizer = |chunk: usize| quantizer(first as usize, step, chunk);
    HEAD_BITS
        + CHUNK_BITS[first as usize]
        + (0..chunks).map(|chunk| CHUNK_BITS[quantizer(chunk)]).sum::<f32>()
}

/// Older chunks are coarser.
fn quantizer(first: usize, step: usize, chunk: usize) -> usize {
    const EIGHTHS: [usize; 8] = [0, 2, 3, 4, 6, 8, 12, 16];
    (first + (EIGHTHS[step] * chunk + 8) / 16).min(15)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantizers_are_those_of_the_library() {
        let steps = |first, step| [0, 1, 8, 25].map(|chunk| quantizer(first, step, chunk));
        assert_eq!(steps(6, 5), [6, 7, 10, 15]);
        assert_eq!(steps(4, 3), [4, 4, 6, 10]);
    }

    #[test]
    fn sound_keeps_its_rate_beside_what_is_carried() {
        for packet_time in [PacketTime::Ms10, PacketTime::Ms20, PacketTime::Ms40, PacketTime::Ms60] {
            for primary in [12_000, 16_000, 24_000, 32_000, 64_000] {
                for detail in [DredDetail::Coarse, DredDetail::Fine] {
                    let total = total_rate(primary, 100, packet_time, detail);
                    let left = total - redundancy_rate(total, 100, packet_time);
                    let case = (packet_time, primary, detail, total, left);
                    assert!(total < MOST_RATE && reaches(total, 100, packet_time), "{case:?}");
                    assert!(left >= primary.min(ENOUGH), "{case:?}");
                }
            }
        }
        // 1 s of it in a packet of 20 ms at 32 kb/s: about 60 bytes, or twice that.
        let bytes = |detail| {
            let total = total_rate(32_000, 100, PacketTime::Ms20, detail);
            redundancy_rate(total, 100, PacketTime::Ms20) / 400
        };
        assert!(
            (60..75).contains(&bytes(DredDetail::Coarse)) && (110..140).contains(&bytes(DredDetail::Fine))
        );
    }
}
