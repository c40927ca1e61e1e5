//! What is known of a call that is over.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{CallEndCause, DeviceAddress};
use crate::id::{ApplicationKey, CallId, DeviceId, UserId};
use crate::message::{CallStart, Headers, WireError};

/// Who ended a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EndedBy {
    /// A device of the caller said so.
    Caller,
    /// The callee's devices said so.
    Callee,
    /// A timer, or a device that is gone for good.
    Server,
    /// The application or the operator said so.
    Control,
    /// A user of it was blocked.
    Blocked,
    /// The application could not be asked about it, and has it ended then.
    Callback,
}

/// What is known of a call that is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallRecord {
    /// The call.
    pub call_id: CallId,
    /// The application.
    pub application: ApplicationKey,
    /// Who called.
    pub caller: UserId,
    /// Who was called, after a redirection the last one.
    pub callee: UserId,
    /// From which device; unknown where a side of a taken-over call never came back.
    pub caller_device: Option<DeviceId>,
    /// On which device it was answered.
    pub callee_device: Option<DeviceId>,
    /// The headers the callee got.
    pub headers: Headers,
    /// Why it ended, as the caller was told.
    pub cause: CallEndCause,
    /// The error the caller was told with it.
    pub error: Option<WireError>,
    /// Who ended it.
    pub ended_by: EndedBy,
    /// From start to end.
    pub lasted: Duration,
    /// From start to the first device that rang.
    pub rang_after: Option<Duration>,
    /// From start to the answer.
    pub answered_after: Option<Duration>,
    /// From start to the first side whose media was connected.
    pub established_after: Option<Duration>,
    /// From answer to end, when it was answered.
    pub talked: Option<Duration>,
    /// Whether it began at an earlier server: its times count from when this one took it over.
    pub taken_over: bool,
}

impl CallRecord {
    /// The record of a call that ended before the callee's devices heard of it.
    pub(super) fn unheard(
        caller: &DeviceAddress,
        call_id: CallId,
        start: CallStart,
        cause: CallEndCause,
        error: Option<WireError>,
    ) -> Self {
        Self {
            call_id,
            application: caller.application.clone(),
            caller: caller.user.clone(),
            callee: start.to,
            caller_device: Some(caller.device.clone()),
            callee_device: None,
            headers: start.headers,
            cause,
            error,
            ended_by: EndedBy::Server,
            lasted: Duration::ZERO,
            rang_after: None,
            answered_after: None,
            established_after: None,
            talked: None,
            taken_over: false,
        }
    }
}
