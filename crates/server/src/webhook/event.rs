//! What callbacks say, as the published API spells it.

use offhook_signaling::call::CallView;
use offhook_signaling::message::Headers;
use offhook_signaling::{ApplicationKey, UnixSeconds, UserId};
use serde::Serialize;

use crate::store::CallDetailRecord;
use crate::time::iso8601;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct To<'a> {
    r#type: &'static str,
    endpoint: &'a UserId,
}

#[derive(Serialize)]
struct Header<'a> {
    key: &'a str,
    value: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Event<'a> {
    event: &'static str,
    // The published callbacks write it so, and `callId` in the reference: both are sent.
    #[serde(rename = "callid")]
    call_id_lower: &'a str,
    call_id: &'a str,
    call_resource_url: String,
    timestamp: String,
    version: u32,
    application_key: &'a ApplicationKey,
    user: &'a UserId,
    from: &'a UserId,
    to: To<'a>,
    domain: &'static str,
    origination_type: &'static str,
    call_headers: Vec<Header<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    device: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    duration: Option<u64>,
}

fn headers(headers: &Headers) -> Vec<Header<'_>> {
    headers.iter().map(|(key, value)| Header { key, value }).collect()
}

fn of_view<'a>(event: &'static str, view: &'a CallView, now: UnixSeconds) -> Event<'a> {
    let call = &view.so_far;
    Event {
        event,
        call_id_lower: call.call_id.as_str(),
        call_id: call.call_id.as_str(),
        call_resource_url: format!("/v1/calls/{}", call.call_id),
        timestamp: iso8601(now),
        version: 1,
        application_key: &call.application,
        user: &call.caller,
        from: &call.caller,
        to: To { r#type: "username", endpoint: &call.callee },
        domain: "mxp",
        origination_type: "MXP",
        call_headers: headers(&call.headers),
        device: call.callee_device.as_ref().map(|device| device.as_str()),
        reason: None,
        result: None,
        duration: None,
    }
}

fn text(event: &Event<'_>) -> String {
    serde_json::to_string(event).expect("texts and numbers are always written")
}

/// Somebody calls, and the call waits for what the back end says.
pub(super) fn ice(view: &CallView, now: UnixSeconds) -> String {
    text(&of_view("ice", view, now))
}

/// The call was answered.
pub(super) fn ace(view: &CallView, now: UnixSeconds) -> String {
    text(&of_view("ace", view, now))
}

/// The call is over.
pub(super) fn dice(record: &CallDetailRecord, now: UnixSeconds) -> String {
    text(&Event {
        event: "dice",
        call_id_lower: record.call_id.as_str(),
        call_id: record.call_id.as_str(),
        call_resource_url: format!("/v1/calls/{}", record.call_id),
        timestamp: iso8601(now),
        version: 1,
        application_key: &record.application,
        user: &record.caller,
        from: &record.caller,
        to: To { r#type: "username", endpoint: &record.callee },
        domain: "mxp",
        origination_type: "MXP",
        call_headers: headers(&record.headers),
        device: record.callee_device.as_ref().map(|device| device.as_str()),
        reason: Some(record.reason()),
        result: Some(record.result()),
        duration: Some(record.talked_ms.unwrap_or(0) / 1000),
    })
}
