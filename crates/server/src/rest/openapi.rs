//! The description of all that is under `/v1` (OpenAPI 3.1): the shapes come from the types that are read and written.

use std::sync::LazyLock;

use axum::http::header;
use axum::response::IntoResponse;
use schemars::JsonSchema;
use schemars::generate::{SchemaGenerator, SchemaSettings};
use serde_json::{Map, Value, json};

use super::{ErrorAnswer, calls, devices, records, status, users};

const JSON: &str = "application/json";
const IDENTIFIER: &str = "^[A-Za-z0-9_=-]{1,255}$";

static DOCUMENT: LazyLock<String> = LazyLock::new(|| {
    let text = serde_json::to_string_pretty(&document());
    text.expect("names and texts are always written") + "\n"
});

/// `GET /v1/openapi.json`, for anybody.
pub(super) async fn serve() -> impl IntoResponse {
    let headers = [(header::CONTENT_TYPE, JSON), (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*")];
    (headers, DOCUMENT.as_str())
}

/// The shapes of what is written.
struct Shapes(SchemaGenerator);

impl Shapes {
    fn new() -> Self {
        let settings = SchemaSettings::draft2020_12().for_serialize();
        Self(
            settings
                .with(|settings| settings.definitions_path = "/components/schemas".into())
                .into_generator(),
        )
    }

    fn of<T: JsonSchema>(&mut self) -> Value {
        self.0.subschema_for::<T>().to_value()
    }
}

/// One method of one path.
struct Operation {
    path: &'static str,
    method: &'static str,
    text: Value,
}

impl Operation {
    fn new(method: &'static str, path: &'static str, id: &str, summary: &str) -> Self {
        let names = path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
        let parameters: Vec<Value> = names
            .map(|name| {
                let schema = json!({ "type": "string", "pattern": IDENTIFIER });
                json!({ "name": name, "in": "path", "required": true, "schema": schema })
            })
            .collect();
        let security = json!([{ "basic": [] }, { "signed": [] }]);
        let text = json!({
            "operationId": id, "summary": summary, "parameters": parameters, "responses": {}, "security": security,
        });
        Self { path, method, text }
    }

    /// For anybody.
    fn open(mut self) -> Self {
        self.text["security"] = json!([]);
        self
    }

    /// What may stand in the query, from the type that it is read into.
    fn query<T: JsonSchema>(mut self) -> Self {
        let settings = SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
        let read = settings.into_generator().into_root_schema_for::<T>().to_value();
        let empty = Map::new();
        for (name, schema) in read["properties"].as_object().unwrap_or(&empty) {
            let mut schema = schema.clone();
            let description = schema.as_object_mut().and_then(|schema| schema.remove("description"));
            // What is left out of a query is absent, not null.
            if let Some(kind) = schema["type"].as_array().and_then(|kinds| kinds.first()).cloned() {
                schema["type"] = kind;
            }
            if name == "user" {
                schema["pattern"] = IDENTIFIER.into();
            }
            let parameter = json!({
                "name": name, "in": "query", "required": false, "description": description, "schema": schema,
            });
            self.text["parameters"].as_array_mut().expect("made above").push(parameter);
        }
        self
    }

    fn body(mut self, schema: Value) -> Self {
        self.text["requestBody"] = json!({ "required": true, "content": { JSON: { "schema": schema } } });
        self
    }

    fn answers(mut self, status: u16, description: &str, content: Value) -> Self {
        let mut answer = json!({ "description": description });
        if !content.is_null() {
            answer["content"] = content;
        }
        self.text["responses"][status.to_string()] = answer;
        self
    }

    fn json(self, description: &str, schema: Value) -> Self {
        self.answers(200, description, json!({ JSON: { "schema": schema } }))
    }

    fn done(self, description: &str) -> Self {
        self.answers(204, description, Value::Null)
    }

    fn refuses(mut self, shapes: &mut Shapes, refusals: &[u16]) -> Self {
        for status in refusals {
            let description = match status {
                400 => "40001 a parameter, 40003 it makes no sense now",
                429 => "42900 too many requests, or too many with wrong credentials",
                401 => {
                    "40100 no usable Authorization, 40101 the time, 40102 the signature, 40108 application or secret"
                }
                404 => "40400 not found",
                _ => {
                    "50300 the store does not work, another node cannot be reached, or the server is shutting down"
                }
            };
            let schema = shapes.of::<ErrorAnswer>();
            self = self.answers(*status, description, json!({ JSON: { "schema": schema } }));
        }
        self
    }
}

/// The SVAML that a call is changed by.
fn svaml() -> Value {
    let identifier = json!({ "type": "string", "pattern": IDENTIFIER });
    let header = json!({
        "type": "object", "required": ["key", "value"],
        "properties": { "key": { "type": "string" }, "value": { "type": "string" } },
    });
    let action = |name: &str| json!({ "name": { "const": name } });
    let mut connect = action("connectMxp");
    connect["destination"] = json!({
        "type": "object", "required": ["endpoint"],
        "properties": { "type": { "const": "username" }, "endpoint": identifier },
    });
    connect["callHeaders"] = json!({ "type": "array", "items": header, "description": "1024 bytes in all." });
    json!({
        "type": "object", "required": ["action"],
        "properties": {
            "instructions": { "type": "array", "description": "Skipped: this server has no part in the sound." },
            "action": { "oneOf": [
                { "type": "object", "required": ["name"], "properties": action("hangup") },
                { "type": "object", "required": ["name", "destination"], "properties": connect },
            ] },
        },
    })
}

fn of_calls(shapes: &mut Shapes) -> Vec<Operation> {
    let call = shapes.of::<calls::Call>();
    let list = shapes.of::<calls::CallsAnswer>();
    let records = shapes.of::<records::RecordsAnswer>();
    let csv = json!({ JSON: { "schema": records }, "text/csv": { "schema": { "type": "string" } } });
    vec![
        Operation::new("get", "/v1/calls", "listCalls", "Live calls, or calls that are over")
            .query::<calls::ListParameters>()
            .json("A page of calls", list)
            .refuses(shapes, &[400, 401, 429, 503]),
        Operation::new("get", "/v1/calls/{call_id}", "getCall", "A call, live or over")
            .json("The call", call)
            .refuses(shapes, &[401, 404, 429, 503]),
        Operation::new(
            "patch",
            "/v1/calls/{call_id}",
            "changeCall",
            "Hang up, or ring another user before the answer",
        )
        .body(svaml())
        .done("It is done")
        .refuses(shapes, &[400, 401, 404, 429, 503]),
        Operation::new("delete", "/v1/calls/{call_id}", "hangUpCall", "Hang up a live call")
            .done("It is over, and its record is on disk")
            .refuses(shapes, &[401, 404, 429, 503]),
        Operation::new(
            "get",
            "/v1/records",
            "listRecords",
            "Call detail records by time range, as JSON or CSV",
        )
        .query::<records::ListParameters>()
        .answers(200, "A page of records", csv)
        .refuses(shapes, &[400, 401, 429, 503]),
    ]
}

fn of_users(shapes: &mut Shapes) -> Vec<Operation> {
    let (user, list) = (shapes.of::<users::User>(), shapes.of::<users::UsersAnswer>());
    let devices = shapes.of::<devices::DevicesAnswer>();
    vec![
        Operation::new("get", "/v1/users", "listUsers", "Users who are online, or who are blocked")
            .query::<users::ListParameters>()
            .json("A page of users", list)
            .refuses(shapes, &[400, 401, 429, 503]),
        Operation::new("get", "/v1/users/{user}", "getUser", "A user and their devices")
            .json("The user", user)
            .refuses(shapes, &[401, 404, 429, 503]),
        Operation::new("delete", "/v1/users/{user}", "endUser", "End all registrations of a user")
            .done("They are ended")
            .refuses(shapes, &[401, 404, 429, 503]),
        Operation::new(
            "put",
            "/v1/users/{user}/block",
            "blockUser",
            "Let a user in no more, and end their calls",
        )
        .done("The user is blocked")
        .refuses(shapes, &[400, 401, 429, 503]),
        Operation::new("delete", "/v1/users/{user}/block", "unblockUser", "Let a user in again")
            .done("The user is not blocked")
            .refuses(shapes, &[400, 401, 429, 503]),
        Operation::new("get", "/v1/devices", "listDevices", "Registered devices")
            .query::<devices::ListParameters>()
            .json("The devices", devices)
            .refuses(shapes, &[400, 401, 429, 503]),
        Operation::new(
            "delete",
            "/v1/devices/{user}/{device}",
            "endDevice",
            "End the registration of a device",
        )
        .done("It is ended")
        .refuses(shapes, &[401, 404, 429, 503]),
    ]
}

fn of_server(shapes: &mut Shapes) -> Vec<Operation> {
    let (health, version) = (shapes.of::<status::Health>(), shapes.of::<status::Version>());
    let texts = |names: &[&str]| {
        let properties: Map<String, Value> =
            names.iter().map(|name| ((*name).to_owned(), json!({ "type": "string" }))).collect();
        json!({ "type": "object", "required": names, "properties": properties })
    };
    let push_off = json!({ JSON: { "schema": texts(&["error", "message"]) } });
    let token = json!({
        "type": "object", "required": ["user"],
        "properties": { "user": { "type": "string", "pattern": IDENTIFIER } },
    });
    vec![
        Operation::new("get", "/v1/health", "getHealth", "Whether new clients are welcome")
            .open()
            .json("They are", health)
            .refuses(shapes, &[503]),
        Operation::new("get", "/v1/version", "getVersion", "What serves here")
            .open()
            .json("The release", version),
        Operation::new("get", "/v1/openapi.json", "getDescription", "This document")
            .open()
            .json("The document", json!({ "type": "object" })),
        Operation::new("get", "/v1/push", "getPushKey", "The key that push subscriptions are made with")
            .open()
            .json("The key", texts(&["public_key"]))
            .answers(404, "No pushes are sent", push_off),
        Operation::new(
            "get",
            "/v1/development",
            "getDevelopment",
            "The development application, on loopback alone",
        )
        .open()
        .json("Its key", texts(&["application_key"]))
        .answers(404, "There is none here", Value::Null),
        Operation::new(
            "post",
            "/v1/development",
            "makeDevelopmentToken",
            "A token of the development application",
        )
        .open()
        .body(token)
        .json("The token", texts(&["application_key", "token"]))
        .answers(
            400,
            "The body is not as described",
            json!({ "text/plain": { "schema": { "type": "string" } } }),
        )
        .answers(404, "There is none here", Value::Null),
    ]
}

fn document() -> Value {
    let mut shapes = Shapes::new();
    let mut paths = Map::new();
    for make in [of_calls, of_users, of_server] {
        for Operation { path, method, text } in make(&mut shapes) {
            paths.entry(path).or_insert_with(|| json!({}))[method] = text;
        }
    }
    let description = "Calls, users, devices and records of one application, for its back end. A request sees nothing of another \
                       application. Clients connect by WebSocket at /v1/signal, which is not described here.";
    json!({
        "openapi": "3.1.0",
        "info": { "title": "Offhook", "version": env!("CARGO_PKG_VERSION"), "description": description },
        "paths": paths,
        "components": {
            "schemas": shapes.0.take_definitions(true),
            "securitySchemes": {
                "basic": {
                    "type": "http", "scheme": "basic",
                    "description": "Application key as user, application secret as password",
                },
                "signed": {
                    "type": "apiKey", "in": "header", "name": "Authorization",
                    "description": "`Application KEY:SIGNATURE` with `x-timestamp`, as docs/REST.md says",
                },
            },
        },
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_route_is_described_and_nothing_else() {
        let routes = crate::rest::routes();
        let served: BTreeSet<(String, String)> = routes
            .iter()
            .flat_map(|(path, methods, _)| {
                methods.iter().map(|method| ((*path).to_owned(), (*method).to_owned()))
            })
            .collect();
        let document = document();
        let described: BTreeSet<(String, String)> = document["paths"]
            .as_object()
            .unwrap()
            .iter()
            .flat_map(|(path, methods)| {
                methods.as_object().unwrap().keys().map(|method| (path.clone(), method.clone()))
            })
            .collect();
        assert_eq!(described, served);
    }

    #[test]
    fn the_committed_description_is_that_of_the_types() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/openapi.json");
        if std::env::var_os("OFFHOOK_WRITE").is_some() {
            std::fs::write(path, DOCUMENT.as_str()).unwrap();
        }
        let committed = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            committed == DOCUMENT.as_str(),
            "docs/openapi.json is stale: run OFFHOOK_WRITE=1 cargo test -p offhook-server"
        );
    }
}
