//! Call detail records.

use std::time::Duration;

use offhook_signaling::call::{CallEndCause, CallRecord, EndedBy};
use offhook_signaling::message::{Headers, WireError};
use offhook_signaling::{ApplicationKey, CallId, DeviceId, UserId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The most records of one page.
pub const MOST_RECORDS: usize = 1000;

/// Wall-clock time in milliseconds since 1970-01-01T00:00:00Z.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(transparent)]
pub struct UnixMillis(pub u64);

impl UnixMillis {
    /// This time moved earlier, at most to the beginning of 1970.
    #[must_use]
    pub fn before(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(millis(duration)))
    }

    /// This time moved later.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(millis(duration)))
    }
}

/// What is kept of a call that is over. Written once, before anybody is told that the call is over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallDetailRecord {
    /// The call.
    pub call_id: CallId,
    /// The application.
    pub application: ApplicationKey,
    /// Who called.
    pub caller: UserId,
    /// Who was called, after a redirection the last one.
    pub callee: UserId,
    /// The caller's device.
    pub caller_device: Option<DeviceId>,
    /// The device that answered.
    pub callee_device: Option<DeviceId>,
    /// When it was started, or taken over.
    pub started: UnixMillis,
    /// When the first device rang.
    pub rang: Option<UnixMillis>,
    /// When it was answered.
    pub answered: Option<UnixMillis>,
    /// When the media of one side was connected.
    pub established: Option<UnixMillis>,
    /// When it ended.
    pub ended: UnixMillis,
    /// From answer (or take-over) to end in milliseconds; absent when it was not answered.
    pub talked_ms: Option<u64>,
    /// Why it ended, as the caller was told.
    pub cause: CallEndCause,
    /// The error the caller was told with it.
    pub error: Option<WireError>,
    /// Who ended it.
    pub ended_by: EndedBy,
    /// Whether it began at an earlier run of the server.
    pub taken_over: bool,
    /// The application's headers, as the callee got them.
    pub headers: Headers,
}

impl CallDetailRecord {
    /// The record of a call that ended at `ended`.
    #[must_use]
    pub fn new(record: CallRecord, ended: UnixMillis) -> Self {
        let started = ended.before(record.lasted);
        let at = |since_start: Option<Duration>| since_start.map(|since| started.after(since));
        Self {
            rang: at(record.rang_after),
            answered: at(record.answered_after),
            established: at(record.established_after),
            talked_ms: record.talked.map(millis),
            call_id: record.call_id,
            application: record.application,
            caller: record.caller,
            callee: record.callee,
            caller_device: record.caller_device,
            callee_device: record.callee_device,
            started,
            ended,
            cause: record.cause,
            error: record.error,
            ended_by: record.ended_by,
            taken_over: record.taken_over,
            headers: record.headers,
        }
    }

    /// The same, of a call that began at `started`: what is told from now back, by another clock or after rounding, is off a little.
    pub(crate) fn started_at(self, started: UnixMillis) -> Self {
        let moved = |at: UnixMillis| {
            UnixMillis(at.0.saturating_sub(self.started.0).saturating_add(started.0))
                .min(self.ended.max(started))
        };
        Self {
            rang: self.rang.map(moved),
            answered: self.answered.map(moved),
            established: self.established.map(moved),
            started,
            ..self
        }
    }

    /// What a call that began elsewhere would leave if it ended at `now`: for one that goes on here.
    pub(crate) fn going_on(self, now: UnixMillis) -> CallRecord {
        let started = self.started.0;
        let since = |at: UnixMillis| Duration::from_millis(at.0.saturating_sub(started));
        CallRecord {
            lasted: since(now),
            rang_after: self.rang.map(since),
            answered_after: self.answered.map(since),
            established_after: self.established.map(since),
            talked: self.answered.map(|at| Duration::from_millis(now.0.saturating_sub(at.0))),
            call_id: self.call_id,
            application: self.application,
            caller: self.caller,
            callee: self.callee,
            caller_device: self.caller_device,
            callee_device: self.callee_device,
            headers: self.headers,
            cause: self.cause,
            error: self.error,
            ended_by: self.ended_by,
            taken_over: self.taken_over,
        }
    }

    /// The published word for how it went: `ANSWERED`, `BUSY`, `NOANSWER` or `FAILED`.
    #[must_use]
    pub const fn result(&self) -> &'static str {
        match (self.talked_ms, self.error, self.cause) {
            (Some(_), ..) => "ANSWERED",
            _ if matches!(self.ended_by, EndedBy::Blocked | EndedBy::Callback) => "FAILED",
            _ if matches!(self.ended_by, EndedBy::Control) => "NOANSWER",
            (None, Some(WireError::Busy), _) | (None, None, CallEndCause::Denied) => "BUSY",
            (None, _, CallEndCause::Timeout | CallEndCause::NoAnswer | CallEndCause::Canceled) => "NOANSWER",
            _ => "FAILED",
        }
    }

    /// The published word for why it ended, e.g. `CALLERHANGUP`.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match (self.cause, self.ended_by, self.error) {
            (_, EndedBy::Control, _) => "MANAGERHANGUP",
            (_, EndedBy::Blocked, _) => "BLOCKED",
            (_, EndedBy::Callback, _) => "CALLBACKERROR",
            (_, _, Some(WireError::Busy)) => "BUSY",
            (CallEndCause::HungUp, EndedBy::Caller, _) => "CALLERHANGUP",
            (CallEndCause::HungUp | CallEndCause::Denied, EndedBy::Callee, _) => "CALLEEHANGUP",
            (CallEndCause::Timeout, ..) => "TIMEOUT",
            (CallEndCause::NoAnswer, ..) => "NOANSWER",
            (CallEndCause::Canceled, ..) => "CANCEL",
            (CallEndCause::OtherDeviceAnswered, ..) => "OTHERPEERANSWERED",
            (CallEndCause::Failure | CallEndCause::Inactive, ..) => "GENERALERROR",
            _ => "N/A",
        }
    }
}

/// Which records are wanted, in the order in which they were written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordQuery {
    /// Of this application.
    pub application: ApplicationKey,
    /// That ended at this time or later.
    pub from: Option<UnixMillis>,
    /// That ended before this time.
    pub to: Option<UnixMillis>,
    /// In which this user called or was called.
    pub user: Option<UserId>,
    /// Written after the record of this number: [`RecordPage::next`] of the page before.
    pub after: Option<u64>,
    /// At most so many, up to [`MOST_RECORDS`].
    pub limit: usize,
}

/// A part of the records.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RecordPage {
    /// The records.
    pub records: Vec<CallDetailRecord>,
    /// Where the next page begins; absent at the end.
    pub next: Option<u64>,
}

pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
