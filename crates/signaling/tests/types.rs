//! The message tables and the schema name the same types.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test by panicking")]

use offhook_signaling::{ClientMessage, ServerMessage, schema};

fn variants(name: &str) -> Vec<String> {
    let value: serde_json::Value = serde_json::from_str(&schema::json()).unwrap();
    let list = value["$defs"][name]["oneOf"].as_array().unwrap().clone();
    list.iter().map(|v| v["properties"]["type"]["const"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn every_variant_is_in_the_table_of_types() {
    assert_eq!(variants("ClientMessage"), ClientMessage::TYPES);
    assert_eq!(variants("ServerMessage"), ServerMessage::TYPES);
}
