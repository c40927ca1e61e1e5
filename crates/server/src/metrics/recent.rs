//! The last calls that ended, in memory, for the operator's page.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use offhook_signaling::CallId;
use offhook_signaling::call::{CallRecord, DeviceAddress};
use offhook_signaling::message::CallReport;

use crate::store::UnixMillis;

const MOST: usize = 100;

/// A call that ended, and what its sides told of it.
#[derive(Debug, Clone)]
pub(crate) struct RecentCall {
    pub(crate) record: CallRecord,
    pub(crate) ended: UnixMillis,
    pub(crate) caller_report: Option<CallReport>,
    pub(crate) callee_report: Option<CallReport>,
}

/// The newest first.
#[derive(Debug, Default)]
pub(super) struct Recent(Mutex<VecDeque<RecentCall>>);

impl Recent {
    pub(super) fn note(&self, record: CallRecord, ended: UnixMillis) {
        let mut calls = self.lock();
        calls.truncate(MOST - 1);
        calls.push_front(RecentCall { record, ended, caller_report: None, callee_report: None });
    }

    /// Keeps a report with its call, when that is still here and the device had a part in it.
    pub(super) fn note_report(&self, from: &DeviceAddress, call_id: &CallId, report: CallReport) {
        let mut calls = self.lock();
        let of = |call: &&mut RecentCall| {
            call.record.call_id == *call_id && call.record.application == from.application
        };
        let Some(call) = calls.iter_mut().find(of) else { return };
        if call.record.caller == from.user && call.record.caller_device.as_ref() == Some(&from.device) {
            call.caller_report = Some(report);
        } else if call.record.callee == from.user && call.record.callee_device.as_ref() == Some(&from.device)
        {
            call.callee_report = Some(report);
        }
    }

    pub(super) fn all(&self) -> Vec<RecentCall> {
        self.lock().iter().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<RecentCall>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
