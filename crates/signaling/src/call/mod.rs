//! Calls: their states, end causes and times.

mod control;
mod details;
mod end_cause;
mod owner;
mod record;
mod state;
mod switchboard;

pub use control::{CallView, ControlError, LegState, LegView, Screening, Unanswered, Verdict};
pub use details::CallDetails;
pub use end_cause::CallEndCause;
pub use owner::DeviceAddress;
pub use record::{CallRecord, EndedBy};
pub use state::{CallState, CallTimers};
pub use switchboard::{CallCounts, Switchboard, SwitchboardOutput};
