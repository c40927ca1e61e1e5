//! What an application's back end sees of live calls and may do with them.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{CallRecord, CallState};
use crate::id::{DeviceId, UserId};
use crate::message::Headers;

/// How far one device of the callee is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LegState {
    /// It was told of the call.
    Offered,
    /// It rings.
    Ringing,
    /// It refused, or did not ring in time after another one refused.
    Refused,
}

/// One device of the callee, before the answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LegView {
    /// The device.
    pub device: DeviceId,
    /// How far it is.
    pub state: LegState,
}

/// A live call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallView {
    /// How far it is; Init while the application is asked.
    pub state: CallState,
    /// The callee's devices that have heard of it; none after the answer.
    pub legs: Vec<LegView>,
    /// What its record would say if it ended now; its cause is None and who ended it means nothing.
    pub so_far: CallRecord,
}

/// Why a live call was not changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum ControlError {
    /// It is over or never was: nothing is left to do.
    #[error("the call is over or unknown")]
    UnknownCall,
    /// Only a call that nobody answered can be led elsewhere: hang it up and make another.
    #[error("the call is answered: it can be hung up, not led elsewhere")]
    Answered,
    /// The application is not asked about it any more: its time was over.
    #[error("nobody is asked about this call")]
    NotAsked,
}

/// What the application decided about a call that waits for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Ring whoever was called; with other headers, when there are some.
    Continue {
        /// What the callee is told in place of the caller's headers.
        headers: Option<Headers>,
    },
    /// Ring somebody else.
    Connect {
        /// Who.
        to: UserId,
        /// What the callee is told in place of the caller's headers.
        headers: Option<Headers>,
    },
    /// End it.
    HangUp,
}

/// What happens to a call about which the application says nothing in time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Unanswered {
    /// It goes on as if there were nobody to ask.
    #[default]
    Continue,
    /// It ends.
    HangUp,
}

/// That the application is asked about every call before it rings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Screening {
    /// How long a call waits for what the application says.
    pub patience: Duration,
    /// What happens then.
    pub otherwise: Unanswered,
}
