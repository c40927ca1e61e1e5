//! What we can say about the streams we receive (RFC 3550, appendix A).

use std::time::{Duration, Instant};

use rtcp::reception_report::ReceptionReport;

/// The clock of jitter: all audio here is stamped at 48 kHz.
const CLOCK_RATE: f64 = 48_000.0;

/// Loss and jitter of one received stream.
#[derive(Debug)]
pub(crate) struct StreamReception {
    ssrc: u32,
    base: u64,
    highest: u64,
    received: u64,
    /// Expected and received at the previous report.
    previous: (u64, u64),
    transit: Option<f64>,
    /// In ticks; `None` before the second packet.
    jitter: Option<f64>,
    last_sender_report: Option<(u32, Instant)>,
}

/// The figures of [`StreamReception`] that statistics show.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct ReceptionStats {
    pub(crate) lost: Option<i64>,
    pub(crate) loss: Option<f64>,
    pub(crate) jitter: Option<Duration>,
}

impl StreamReception {
    /// With the first packet of a stream.
    pub(crate) fn new(ssrc: u32, sequence: u16) -> Self {
        // One cycle of room, so that packets from before the first do not go below zero.
        let first = (1 << 16) + u64::from(sequence);
        Self {
            ssrc,
            base: first,
            highest: first,
            received: 0,
            previous: (0, 0),
            transit: None,
            jitter: None,
            last_sender_report: None,
        }
    }

    pub(crate) fn ssrc(&self) -> u32 {
        self.ssrc
    }

    /// Counts a packet. `clocked`: its timestamp is in the 48 kHz clock; `since` is the time since any fixed instant.
    pub(crate) fn packet(&mut self, since: Duration, sequence: u16, timestamp: u32, clocked: bool) {
        let distance = sequence.wrapping_sub(self.highest as u16).cast_signed();
        let index = self.highest.saturating_add_signed(i64::from(distance));
        self.highest = self.highest.max(index);
        self.base = self.base.min(index);
        self.received += 1;
        if clocked {
            self.update_jitter(since.as_secs_f64() * CLOCK_RATE, timestamp);
        }
    }

    /// Appendix A.8, with the timestamp's wrap taken out of the difference.
    fn update_jitter(&mut self, arrival: f64, timestamp: u32) {
        const CYCLE: f64 = 4_294_967_296.0;
        let transit = arrival - f64::from(timestamp);
        if let Some(previous) = self.transit {
            let difference = (transit - previous).rem_euclid(CYCLE);
            let difference = difference.min(CYCLE - difference);
            let jitter = self.jitter.unwrap_or(0.0);
            self.jitter = Some(jitter + (difference - jitter) / 16.0);
        }
        self.transit = Some(transit);
    }

    /// Notes a sender report of this stream, for the peer's measure of the round trip.
    pub(crate) fn sender_report(&mut self, now: Instant, ntp_time: u64) {
        self.last_sender_report = Some(((ntp_time >> 16) as u32, now));
    }

    /// The next report block and the share lost since the previous one (appendix A.3).
    pub(crate) fn report(&mut self, now: Instant) -> (ReceptionReport, Option<f64>) {
        let expected = self.expected();
        let interval = (expected - self.previous.0).cast_signed();
        let lost = interval - (self.received - self.previous.1).cast_signed();
        self.previous = (expected, self.received);
        let fraction = if interval > 0 { lost.max(0) as f64 / interval as f64 } else { 0.0 };
        let total = (expected.cast_signed() - self.received.cast_signed()).clamp(-0x80_0000, 0x7F_FFFF);
        // Zero would say that no sender report has come (RFC 3550, section 6.4.1), also in the moment in which one does.
        let since = |(_, at): (u32, Instant)| {
            ((now.saturating_duration_since(at).as_secs_f64() * 65_536.0) as u32).max(1)
        };
        let block = ReceptionReport {
            ssrc: self.ssrc,
            fraction_lost: (fraction * 256.0).min(255.0) as u8,
            total_lost: (total as u32) & 0x00FF_FFFF,
            last_sequence_number: (self.highest - (1 << 16)) as u32,
            jitter: self.jitter.unwrap_or(0.0) as u32,
            last_sender_report: self.last_sender_report.map_or(0, |(middle, _)| middle),
            delay: self.last_sender_report.map_or(0, since),
        };
        (block, (interval > 0).then_some(fraction))
    }

    pub(crate) fn stats(&self) -> ReceptionStats {
        let jitter = self.jitter.map(|ticks| Duration::from_secs_f64(ticks / CLOCK_RATE));
        ReceptionStats {
            lost: Some(self.expected().cast_signed() - self.received.cast_signed()),
            loss: None,
            jitter,
        }
    }

    fn expected(&self) -> u64 {
        self.highest - self.base + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuzzing::start;

    #[test]
    fn loss_is_counted_over_the_wrap_and_since_the_last_report() {
        let now = start();
        let mut reception = StreamReception::new(9, 65_500);
        for count in 0..100_u32 {
            if count % 10 != 5 {
                let since = Duration::from_millis(20) * count;
                reception.packet(since, 65_500_u16.wrapping_add(count as u16), 960 * count, true);
            }
        }
        let (block, loss) = reception.report(now);
        assert_eq!((block.fraction_lost, block.total_lost, block.jitter), (25, 10, 0));
        assert_eq!(block.last_sequence_number, 65_500 + 99);
        assert_eq!(loss, Some(0.1));
        assert_eq!(reception.report(now).1, None, "nothing was expected since");
    }

    #[test]
    fn a_report_that_goes_out_as_a_sender_report_comes_tells_of_it() {
        let now = start();
        let mut reception = StreamReception::new(9, 1);
        assert_eq!(reception.report(now).0.delay, 0);
        reception.sender_report(now, 7 << 16);
        let block = reception.report(now).0;
        assert_eq!((block.last_sender_report, block.delay), (7, 1));
        assert_eq!(reception.report(now + Duration::from_secs(2)).0.delay, 2 << 16);
    }

    #[test]
    fn repeated_packets_make_the_loss_negative() {
        let mut reception = StreamReception::new(9, 1);
        (0..3).for_each(|_| reception.packet(Duration::ZERO, 1, 0, true));
        assert_eq!(reception.stats().lost, Some(-2));
        assert_eq!(reception.report(start()).0.total_lost, 0x00FF_FFFE);
    }

    #[test]
    fn jitter_follows_the_spread_of_arrivals() {
        let mut reception = StreamReception::new(9, 0);
        for count in 0..400_u32 {
            let late = Duration::from_millis(if count % 2 == 0 { 10 } else { 0 });
            let timestamp = (960 * count).wrapping_add(u32::MAX - 5_000);
            reception.packet(Duration::from_millis(20) * count + late, count as u16, timestamp, true);
        }
        let jitter = reception.stats().jitter.unwrap().as_secs_f64();
        assert!((0.0095..0.0105).contains(&jitter), "{jitter}");
    }
}
