//! Notices that nothing arrives by what does not come back. The words of an outage can only return with the first packets after it, so these
//! carry as much of them as they can.

use std::time::Duration;

use crate::codec::DredDetail;
use crate::send::redundancy::Rung;
use crate::units::PacketTime;

/// Reports come four times a second: two in a row are missing when so much was sent since the last.
const UNANSWERED: Duration = Duration::from_millis(600);
/// So many reports show that the far end makes them.
const REPORTS: u8 = 4;
/// After so long the path may be gone for good, and nothing more than usual is spent on it.
const GIVEN_UP: Duration = Duration::from_secs(6);
/// Deep redundancy meanwhile: of the first packets after the outage one has it.
const DRED_EVERY: Duration = Duration::from_millis(60);

/// What was sent without an answer.
#[derive(Debug, Clone, Default)]
pub(super) struct Outage {
    reports: u8,
    unanswered: Duration,
}

impl Outage {
    /// The far end reported what came.
    pub(super) fn answered(&mut self) {
        self.reports = self.reports.saturating_add(1);
        self.unanswered = Duration::ZERO;
    }

    /// A packet was sent.
    pub(super) fn sent(&mut self, packet_time: PacketTime) {
        self.unanswered = self.unanswered.saturating_add(packet_time.duration());
    }

    /// Whether what is sent now is likely to be lost.
    pub(super) fn is_on(&self) -> bool {
        self.reports >= REPORTS && (UNANSWERED..GIVEN_UP).contains(&self.unanswered)
    }

    /// `rung` with the words of the last second in one packet of a few.
    pub(super) fn guarded(rung: Rung) -> Rung {
        let packet_time = rung.packet_time.duration().as_micros();
        let every = DRED_EVERY.as_micros().div_ceil(packet_time) as u8;
        Rung { dred_interval: every.min(rung.dred_interval), dred_detail: DredDetail::Fine, ..rung }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::BitsPerSecond;

    fn on_after(outage: &mut Outage, packets: usize) -> Vec<usize> {
        (1..=packets)
            .filter(|_| {
                outage.sent(PacketTime::Ms20);
                outage.is_on()
            })
            .collect()
    }

    #[test]
    fn two_missing_reports_are_an_outage_until_one_comes_or_it_is_given_up() {
        let mut outage = Outage::default();
        assert_eq!(on_after(&mut outage, 100), [], "a far end that never reported");
        (0..4).for_each(|_| outage.answered());
        assert_eq!(on_after(&mut outage, 29), []);
        let on = on_after(&mut outage, 400);
        assert_eq!((on.first(), on.last()), (Some(&1), Some(&270)));
        outage.answered();
        assert!(!outage.is_on());
        assert_eq!(on_after(&mut outage, 40).len(), 11);
    }

    #[test]
    fn the_second_before_rides_along_often_and_finely_at_the_same_sound() {
        let sparse = Rung { dred_interval: 8, ..Rung::bare(BitsPerSecond(32_000), PacketTime::Ms20) };
        let guarded = Outage::guarded(sparse);
        assert_eq!((guarded.dred_interval, guarded.dred_detail), (3, DredDetail::Fine));
        assert_eq!(Rung { dred_interval: 8, dred_detail: DredDetail::Coarse, ..guarded }, sparse);
        assert_eq!(Outage::guarded(Rung { packet_time: PacketTime::Ms60, ..sparse }).dred_interval, 1);
    }
}
