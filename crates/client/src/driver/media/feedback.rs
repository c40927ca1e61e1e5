//! Reports of how packets are received, for the peer.

use std::time::Instant;

use offhook_media_core::feedback::LENGTH;
use offhook_transport::SendReportError;

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
}
