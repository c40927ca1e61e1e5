//! The JSON Schema of the protocol.

use schemars::schema_for;

use crate::message::{ClientMessage, ServerMessage};
use crate::wire::Envelope;

/// The schema of the envelope and of both directions' `type` and `body`, as indented JSON.
#[must_use]
pub fn json() -> String {
    let schema = serde_json::json!({
        "envelope": schema_for!(Envelope),
        "client": schema_for!(ClientMessage),
        "server": schema_for!(ServerMessage),
    });
    format!("{schema:#}\n")
}
