//! What the operator sees of a hub.

use offhook_signaling::call::CallRecord;

use super::Hub;
use crate::metrics::Census;

impl Hub {
    /// What there is now.
    pub(super) fn census(&self) -> Census {
        let connected = self.sessions.connected();
        Census {
            connected,
            waiting: self.sessions.len() - connected,
            calls: self.board.counts(),
            records: self.records.pending(),
        }
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
