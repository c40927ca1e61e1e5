//! Why a call ended.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Why a call ended. The discriminants are the published numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[repr(u32)]
pub enum CallEndCause {
    /// It has not ended.
    #[default]
    None = 0,
    /// No device of the callee could be reached in time.
    Timeout = 1,
    /// The callee refused.
    Denied = 2,
    /// It rang, and nobody answered in time.
    NoAnswer = 3,
    /// An error.
    Failure = 4,
    /// One side hung up after the answer.
    HungUp = 5,
    /// The caller gave up before the answer.
    Canceled = 6,
    /// Another device of the callee answered.
    OtherDeviceAnswered = 7,
    /// The other side went away.
    Inactive = 8,
}
