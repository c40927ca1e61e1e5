//! What a rung is worth: points of PESQ, measured on speech in three languages.

use super::loss::Path;
use crate::send::redundancy::Rung;
use crate::units::PacketTime;

/// Sound by rate of 20 ms packets at complexity 9, without loss.
const QUALITY: [(f32, f32); 12] = [
    (6_000.0, 2.6),
    (9_000.0, 3.4),
    (12_000.0, 3.83),
    (14_000.0, 3.86),
    (16_000.0, 4.03),
    (18_000.0, 4.16),
    (20_000.0, 4.23),
    (24_000.0, 4.32),
    (28_000.0, 4.38),
    (32_000.0, 4.43),
    (40_000.0, 4.48),
    (48_000.0, 4.52),
];
/// One percent of sound that is made up costs so much.
const PER_PERCENT_LOST: f32 = 0.3;
/// Ten milliseconds of delay cost so much: a percent of lost sound is worth nearly 40 ms, a little less than to the receiver, who knows its delay.
const PER_TEN_MILLIS: f32 = 0.08;
/// What the codec's own copy, and deep redundancy, leave of the damage.
const LEFT_BY_FEC: f32 = 0.17;
const LEFT_BY_DRED: f32 = 0.33;
/// The codec's own copy takes about this share of the rate.
const FEC_RATE: f32 = 0.2;
/// Bytes by which a packet with a second of deep redundancy is larger, on speech.
pub(super) const DRED_BYTES: f32 = 75.0;
/// How much of the shorter wait, for packets and for copies in them, adds to the longer one.
const BOTH_LATE: f32 = 0.5;
/// A header of redundant audio for each copy, and one byte for the newest.
const RED_HEADER_BYTES: f32 = 4.0;
/// Deep redundancy that is rarer than this is there for outages: no one waits for it.
const DRED_WAITED_FOR: u8 = 4;
/// That it is there for an outage is worth this much, before there is one.
const INSURED: f32 = 0.12;
/// IPv4, UDP, RTP with its extensions, and the tag of SRTP.
pub(super) const PACKET_OVERHEAD: f32 = 58.0;

pub(super) fn packets_per_second(packet_time: PacketTime) -> f32 {
    48_000.0 / packet_time.samples() as f32
}

/// Payload, all redundancy included, in bits per second.
pub(super) fn payload_rate(rung: &Rung) -> f32 {
    let copies = rung.copy_count() as f32;
    let dred = if rung.dred_interval > 0 { DRED_BYTES / f32::from(rung.dred_interval) } else { 0.0 };
    let extra = dred + copies * RED_HEADER_BYTES;
    rung.bitrate.0 as f32 * (1.0 + copies) + extra * 8.0 * packets_per_second(rung.packet_time)
}

/// With the headers of every packet, in bits per second.
pub(super) fn wire_rate(rung: &Rung) -> f32 {
    payload_rate(rung) + PACKET_OVERHEAD * 8.0 * packets_per_second(rung.packet_time)
}

/// Share of the sound that stays damaged, where coarse repair counts for what it leaves.
pub(super) fn unrepaired(rung: &Rung, path: &Path) -> f32 {
    let mut distances = rung.copies;
    distances.sort_unstable();
    let (mut lost, mut before) = (path.loss, 0);
    for distance in distances.into_iter().filter(|distance| *distance > 0) {
        lost *= path.lost_again(distance - before);
        before = distance;
    }
    if rung.in_band_loss > 0 {
        let again = path.lost_again(1);
        lost *= again + (1.0 - again) * LEFT_BY_FEC;
    }
    if (1..=DRED_WAITED_FOR).contains(&rung.dred_interval) {
        let again = path.lost_again(rung.dred_interval);
        lost *= again + (1.0 - again) * LEFT_BY_DRED;
    }
    lost
}

/// Points of PESQ that are left.
pub(super) fn worth(rung: &Rung, path: &Path) -> f32 {
    let rate = rung.bitrate.0 as f32 * if rung.in_band_loss > 0 { 1.0 - FEC_RATE } else { 1.0 };
    let furthest = rung.copies.into_iter().max().unwrap_or(0);
    let dred = if rung.dred_interval <= DRED_WAITED_FOR { rung.dred_interval } else { 0 };
    let fec = u8::from(rung.in_band_loss > 0);
    let packets = 1.0 + f32::from(furthest.max(dred).max(fec));
    let packet = rung.packet_time.samples() as f32 / 48.0;
    let (copies, wait) = ((packets - 1.0) * packet, path.wait);
    // What comes in a late packet is later by both; but who waits for stalls has the copies before they are over.
    let millis = packet + copies.max(wait) + BOTH_LATE * copies.min(wait);
    let insured = if rung.dred_interval > 0 { INSURED } else { 0.0 };
    insured + quality(rate)
        - PER_PERCENT_LOST * 100.0 * unrepaired(rung, path)
        - PER_TEN_MILLIS * millis / 10.0
}

fn quality(rate: f32) -> f32 {
    let above = QUALITY.partition_point(|(known, _)| *known < rate).clamp(1, QUALITY.len() - 1);
    let ((low, worse), (high, better)) = (QUALITY[above - 1], QUALITY[above]);
    let along = ((rate - low) / (high - low)).clamp(-1.0, 1.0);
    worse + (better - worse) * along
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::BitsPerSecond;

    #[test]
    fn sound_gets_better_with_rate_and_copies_repair_what_is_lost() {
        assert!(QUALITY.windows(2).all(|pair| pair[0].1 <= pair[1].1));
        assert!((quality(22_000.0) - 4.275).abs() < 1e-3 && quality(500_000.0) <= 4.6 && quality(0.0) < 2.0);
        let rung = Rung::bare(BitsPerSecond(24_000), PacketTime::Ms20);
        let path = Path { loss: 0.1, memory: 0.0, wait: 0.0 };
        let copied = Rung { copies: [1, 0, 0], ..rung };
        assert!((unrepaired(&rung, &path) - 0.1).abs() < 1e-6);
        assert!((unrepaired(&copied, &path) - 0.01).abs() < 1e-6);
        // In bursts the further copy is worth more.
        let bursty = Path { loss: 0.3, memory: 0.64, wait: 0.0 };
        let far = Rung { copies: [5, 0, 0], ..rung };
        assert!(unrepaired(&far, &bursty) < 0.6 * unrepaired(&copied, &bursty));
        assert!((wire_rate(&rung) - 47_200.0).abs() < 1.0);
    }
}
