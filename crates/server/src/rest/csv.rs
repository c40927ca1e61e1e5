//! Records as comma-separated values (RFC 4180).

use crate::store::{CallDetailRecord, UnixMillis};

const HEAD: &str = "call_id,caller,callee,caller_device,callee_device,started_ms,rang_ms,answered_ms,established_ms,ended_ms,talked_ms,\
                    result,reason,taken_over,headers\r\n";

/// A head line and one line for each record.
pub(super) fn write(records: &[CallDetailRecord]) -> String {
    let mut text = HEAD.to_owned();
    for record in records {
        let time = |time: Option<UnixMillis>| time.map(|time| time.0.to_string()).unwrap_or_default();
        let device = |device: &Option<offhook_signaling::DeviceId>| {
            device.as_ref().map(|device| field(device.as_str())).unwrap_or_default()
        };
        let headers = if record.headers.is_empty() {
            String::new()
        } else {
            field(&serde_json::to_string(&record.headers).unwrap_or_default())
        };
        let fields = [
            field(record.call_id.as_str()),
            field(record.caller.as_str()),
            field(record.callee.as_str()),
            device(&record.caller_device),
            device(&record.callee_device),
            time(Some(record.started)),
            time(record.rang),
            time(record.answered),
            time(record.established),
            time(Some(record.ended)),
            time(record.talked_ms.map(UnixMillis)),
            record.result().to_owned(),
            record.reason().to_owned(),
            record.taken_over.to_string(),
            headers,
        ];
        text += &fields.join(",");
        text += "\r\n";
    }
    text
}

/// A field that no spreadsheet takes for a formula, and that no separator breaks.
fn field(text: &str) -> String {
    let guarded = if text.starts_with(['=', '-', '+', '@']) { format!("'{text}") } else { text.to_owned() };
    if guarded.contains([',', '"', '\r', '\n']) {
        format!("\"{}\"", guarded.replace('"', "\"\""))
    } else {
        guarded
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_quoted_where_it_must_be_and_never_a_formula() {
        assert_eq!(field("alice"), "alice");
        assert_eq!(field("{\"a\":\"b,c\"}"), "\"{\"\"a\"\":\"\"b,c\"\"}\"");
        assert_eq!(field("=1"), "'=1");
        assert_eq!(field("two\nlines"), "\"two\nlines\"");
    }
}
