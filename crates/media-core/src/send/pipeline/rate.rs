//! How packets are made: rate, packet time and protection, as set and as the far end's reports ask for.

use super::SendPipeline;
use crate::feedback::NetworkReport;
use crate::rt_context::RtContext;
use crate::send::redundancy::Rung;
use crate::units::{BitsPerSecond, PacketTime};

/// A receiver report speaks of about so many.
const PACKETS_OF_A_RECEIVER_REPORT: u16 = 25;

impl SendPipeline {
    /// Changes the rate from the next packet on, redundancy included; a rate libopus refuses changes nothing.
    pub fn set_bitrate(&mut self, bitrate: BitsPerSecond) {
        if self.encoder.set_bitrate(bitrate).is_ok() {
            self.config.encoder.bitrate = bitrate;
            self.settle();
        }
    }

    /// Chooses rate and redundancy by what the far end reports, from the next packet on.
    pub fn network_report(&mut self, cx: &RtContext, report: &NetworkReport) {
        let rung = self.ladder.report(cx.now(), report);
        self.follow(rung);
    }

    /// The loss that a far end without such reports names in its receiver reports (RFC 3550 section 6.4.1), about every second.
    pub fn set_expected_loss(&mut self, percent: u8) {
        let loss = f32::from(percent.min(100)) / 100.0;
        let report =
            NetworkReport { expected: PACKETS_OF_A_RECEIVER_REPORT, loss, ..NetworkReport::default() };
        let rung = self.ladder.loss_report(self.now, &report);
        self.follow(rung);
    }

    /// Changes the packet time from the next packet on.
    pub fn set_packet_time(&mut self, packet_time: PacketTime) {
        self.config.packet_time = packet_time;
        self.settle();
    }

    fn settle(&mut self) {
        let rung = self.ladder.set_config(self.config.ladder());
        self.climb(rung);
    }

    pub(super) fn follow(&mut self, rung: Rung) {
        if rung != self.stats.rung {
            self.climb(rung);
        }
    }

    fn climb(&mut self, rung: Rung) {
        self.protection.apply(rung, &mut self.encoder);
        self.next_packet_time = rung.packet_time;
        self.stats.rung = rung;
    }
}
