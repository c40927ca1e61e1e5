//! Reports of how packets are received, both ways: ours to the peer, the peer's to the send path, which chooses rate and redundancy by them.

use std::time::Instant;

use offhook_media_core::feedback::{LENGTH, NetworkReport};
use offhook_transport::{PathReport, SendReportError};

use super::MediaDriver;

impl MediaDriver {
    /// Tells the peer how its packets are received.
    pub(super) fn send_reports(&mut self, now: Instant) {
        while let Some(report) = self.port.reports.pop() {
            let mut bytes = [0; LENGTH];
            let Ok(length) = report.write(&mut bytes) else { continue };
            match self.session.send_short_report(now, &bytes[..length]) {
                // A peer that takes none has RTCP's own.
                Ok(()) | Err(SendReportError::NotAgreed | SendReportError::NotConnected) => {}
                Err(error) => tracing::debug!(call = %self.core.id, %error, "report not sent"),
            }
        }
    }

    /// What the peer says of our packets.
    pub(super) fn take_short_report(&mut self, bytes: &[u8]) {
        match NetworkReport::parse(bytes) {
            Ok(report) => self.take_network_report(report),
            Err(error) => tracing::debug!(call = %self.core.id, %error, "report not used"),
        }
    }

    pub(super) fn take_network_report(&mut self, report: NetworkReport) {
        // A media thread that does not take it has other troubles; the next report says the same and more.
        let _ = self.port.feedback.push(report);
    }
}

/// What a peer without short reports shows. What was made of its losses there is not known.
pub(super) fn network_report_of(path: &PathReport) -> NetworkReport {
    NetworkReport {
        expected: u16::try_from(path.expected).unwrap_or(u16::MAX),
        loss: path.loss as f32,
        bursts: path.bursts.unwrap_or_default().map(|runs| u8::try_from(runs).unwrap_or(u8::MAX)),
        queue_delay: path.queue_delay,
        standing_delay: path.standing_delay,
        queue_trend: path.queue_trend.map(|trend| trend as f32),
        received: path.received.map_or(0, |bits| bits as u32),
        ..NetworkReport::default()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_feedback_shows_is_what_the_send_path_learns() {
        let mut path = PathReport::default();
        assert_eq!(network_report_of(&path), NetworkReport::default());
        path.expected = 70_000;
        path.loss = 0.25;
        path.bursts = Some([1, 2, 3, 4, 300]);
        path.queue_delay = Some(Duration::from_millis(40));
        path.standing_delay = Some(Duration::from_millis(30));
        path.queue_trend = Some(-0.5);
        path.received = Some(31_999.9);
        let report = network_report_of(&path);
        assert_eq!((report.expected, report.bursts), (u16::MAX, [1, 2, 3, 4, 255]));
        assert_eq!((report.queue_delay, report.standing_delay), (path.queue_delay, path.standing_delay));
        assert_eq!((report.loss, report.queue_trend, report.received), (0.25, Some(-0.5), 31_999));
        assert_eq!((report.playout_delay, report.drift), (None, None));
    }
}
