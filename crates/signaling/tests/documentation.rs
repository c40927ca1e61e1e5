//! The committed schema and message reference are those of the types. `OFFHOOK_WRITE=1 cargo test` writes them anew.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test by panicking")]

use std::fmt::Write as _;
use std::path::PathBuf;

use offhook_signaling::schema;
use serde_json::Value;

const BEGIN: &str = "<!-- generated from the message types -->\n";
const END: &str = "<!-- end of the generated part -->\n";

fn docs(file: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(file)
}

fn check(file: &str, fresh: impl FnOnce(&str) -> String) {
    let path = docs(file);
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    let fresh = fresh(&committed);
    if std::env::var_os("OFFHOOK_WRITE").is_some() {
        std::fs::write(path, fresh).unwrap();
    } else {
        assert!(
            committed == fresh,
            "docs/{file} is stale: run OFFHOOK_WRITE=1 cargo test -p offhook-signaling"
        );
    }
}

#[test]
fn the_schema_is_that_of_the_types() {
    check("signaling.schema.json", |_| schema::json());
}

#[test]
fn the_reference_is_that_of_the_types() {
    check("SIGNALING.md", |page| {
        let (head, rest) = page.split_once(BEGIN).unwrap();
        let (_, tail) = rest.split_once(END).unwrap();
        format!("{head}{BEGIN}{}{END}{tail}", reference())
    });
}

fn reference() -> String {
    let schema: Value = serde_json::from_str(&schema::json()).unwrap();
    let definitions = &schema["$defs"];
    let mut page = String::new();
    for (title, name) in [("From the client", "ClientMessage"), ("From the server", "ServerMessage")] {
        writeln!(page, "\n### {title}\n").unwrap();
        for message in definitions[name]["oneOf"].as_array().unwrap() {
            let kind = message["properties"]["type"]["const"].as_str().unwrap();
            writeln!(page, "#### `{kind}`\n\n{}\n", description(message)).unwrap();
            let body = name_of(&message["properties"]["body"]).unwrap();
            members(&mut page, &definitions[body]);
        }
    }
    page.push_str("\n### Parts of messages\n\n");
    for (name, definition) in definitions.as_object().unwrap() {
        part(&mut page, name, definition, definitions);
    }
    page
}

/// A definition that is used inside of messages: identifiers are plain strings, bodies stand with their message.
fn part(page: &mut String, name: &str, definition: &Value, definitions: &Value) {
    let is_body = ["ClientMessage", "ServerMessage"].iter().any(|direction| {
        let mut messages = definitions[direction]["oneOf"].as_array().unwrap().iter();
        messages.any(|message| name_of(&message["properties"]["body"]).as_deref() == Some(name))
    });
    if is_body || name.ends_with("Message") {
        return;
    }
    if let Some(values) = definition["oneOf"].as_array() {
        writeln!(page, "#### {name}\n\n{}\n", description(definition)).unwrap();
        page.push_str("| value | meaning |\n|---|---|\n");
        for value in values {
            let shown = value["const"].as_str().map_or_else(
                || {
                    let (member, _) = value["properties"].as_object().unwrap().iter().next().unwrap();
                    format!("{{\"{member}\": \"...\"}}")
                },
                |word| format!("\"{word}\""),
            );
            writeln!(page, "| `{shown}` | {} |", description(value)).unwrap();
        }
        page.push('\n');
    } else if definition["properties"].is_object() {
        writeln!(page, "#### {name}\n\n{}\n", description(definition)).unwrap();
        members(page, definition);
    }
}

fn members(page: &mut String, definition: &Value) {
    let Some(properties) = definition["properties"].as_object().filter(|all| !all.is_empty()) else {
        page.push_str("The body is empty.\n\n");
        return;
    };
    let empty = Vec::new();
    let required = definition["required"].as_array().unwrap_or(&empty);
    page.push_str("| member | type | |\n|---|---|---|\n");
    for (name, property) in properties {
        let optional = if required.contains(&name.as_str().into()) { "" } else { " May be absent." };
        writeln!(page, "| `{name}` | {} | {}{optional} |", kind(property), description(property)).unwrap();
    }
    page.push('\n');
}

fn kind(property: &Value) -> String {
    if let Some(name) = name_of(property) {
        return name;
    }
    if let Some(choices) = property["anyOf"].as_array() {
        return choices.iter().find_map(name_of).unwrap();
    }
    if property["items"].is_object() {
        return format!("list of {}", kind(&property["items"]));
    }
    match &property["type"] {
        Value::String(name) => name.clone(),
        Value::Array(names) => names[0].as_str().unwrap().to_owned(),
        _ => "any".to_owned(),
    }
}

fn name_of(property: &Value) -> Option<String> {
    property["$ref"].as_str().map(|path| path.rsplit('/').next().unwrap().to_owned())
}

fn description(value: &Value) -> String {
    value["description"].as_str().unwrap_or("").replace('\n', " ")
}
