//! Calls: their states, end causes and times.

mod details;
mod end_cause;
mod state;

pub use details::CallDetails;
pub use end_cause::CallEndCause;
pub use state::{CallState, CallTimers};
