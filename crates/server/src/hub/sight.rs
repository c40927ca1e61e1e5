//! What the operator sees of a hub.

use std::time::Instant;

use offhook_signaling::CallId;
use offhook_signaling::call::{CallRecord, DeviceAddress};
use offhook_signaling::message::{CallReport, WireError};

use super::Hub;
use crate::metrics::Census;

impl Hub {
    /// What there is now.
    pub(super) fn census(&self, now: Instant, most: usize) -> Census {
        let connected = self.sessions.connected();
        Census {
            connected,
            waiting: self.sessions.len() - connected,
            calls: self.board.counts(),
            records: self.records.pending(),
            outboxes: self.sessions.queued(),
            live: self.board.all_calls(now, most),
        }
    }

    /// A side tells how a call was.
    pub(super) fn take_report(
        &mut self,
        now: Instant,
        from: &DeviceAddress,
        call_id: &CallId,
        report: CallReport,
    ) -> Result<(), WireError> {
        if !report.is_plausible() {
            return Err(WireError::Malformed);
        }
        if !self.reports.allow(from.user.clone(), now) {
            return Err(WireError::RateLimited);
        }
        self.metrics.note_report(from, call_id, report);
        Ok(())
    }

    /// A call is over.
    pub(super) fn note_end(&self, record: &CallRecord) {
        self.metrics.note_call_ended(record);
        tracing::info!(
            call_id = %record.call_id,
            application = %record.application,
            cause = ?record.cause,
            lasted = ?record.lasted,
            talked = ?record.talked,
            "call ended"
        );
        tracing::debug!(call_id = %record.call_id, caller = %record.caller, callee = %record.callee, "call parties");
    }
}
