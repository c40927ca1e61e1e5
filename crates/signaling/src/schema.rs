//! The JSON Schema of the protocol.

use schemars::{JsonSchema, schema_for};
use serde_json::{Map, Value, json};

use crate::message::{ClientMessage, ServerMessage};
use crate::wire::Envelope;

/// The schema of the envelope and of both directions' `type` and `body`, as indented JSON. A frame of a client fits `Envelope`
/// and `ClientMessage`, one of a server `Envelope` and `ServerMessage`.
#[must_use]
pub fn json() -> String {
    let mut definitions = Map::new();
    collect::<Envelope>("Envelope", &mut definitions);
    collect::<ClientMessage>("ClientMessage", &mut definitions);
    collect::<ServerMessage>("ServerMessage", &mut definitions);
    let schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Offhook signaling, version 1",
        "$defs": definitions,
    });
    format!("{schema:#}\n")
}

/// Puts a schema and those it refers to beside each other, where its references look for them.
fn collect<T: JsonSchema>(name: &str, definitions: &mut Map<String, Value>) {
    let mut schema = schema_for!(T);
    schema.remove("$schema");
    if let Some(Value::Object(parts)) = schema.remove("$defs") {
        definitions.extend(parts);
    }
    definitions.insert(name.to_owned(), schema.to_value());
}
