//! SVAML, as far as it applies to calls from application to application: what a back end wants done with a call.
//!
//! `{"instructions": [...], "action": {"name": "connectMxp", "destination": {"endpoint": "carol"}, "callHeaders": [{"key": "a",
//! "value": "1"}]}}`. Names are read whatever their case. Instructions play and record sound on phone calls: they are skipped, for
//! this server has no part in the sound. Members that are not known are skipped too.

use offhook_signaling::UserId;
use offhook_signaling::message::{Headers, Limits};
use serde::Deserialize;

/// The longest document that is read.
pub(crate) const MOST_SVAML: usize = 16 * 1024;

/// What a back end wants done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Action {
    /// `hangup`.
    HangUp,
    /// `continue`, with other headers for the callee when there are some.
    Continue { headers: Option<Headers> },
    /// `connectMxp`: ring somebody else, or with other headers whoever was called.
    Connect { to: Option<UserId>, headers: Option<Headers> },
}

/// Why a document is not SVAML that this server carries out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SvamlError {
    /// Longer than anything sensible.
    #[error("SVAML may have {MOST_SVAML} bytes")]
    TooLarge,
    /// Not JSON of the documented form.
    #[error("not SVAML: {0}")]
    Form(String),
    /// An action that does not apply to these calls.
    #[error("the action must be hangup, continue or connectMxp")]
    Action,
    /// `connectMxp` with a destination that is not a user id.
    #[error("the destination must have an endpoint or username of 1 to 255 bytes of A-Z a-z 0-9 - _ =")]
    Destination,
    /// More headers than a call may have.
    #[error("callHeaders may have 1024 bytes in all")]
    Headers,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    #[serde(default)]
    #[expect(dead_code, reason = "must be a list, whatever is in it")]
    instructions: Vec<serde::de::IgnoredAny>,
    action: Option<Named>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Named {
    name: String,
    destination: Option<Destination>,
    call_headers: Option<Vec<Header>>,
}

#[derive(Deserialize)]
struct Destination {
    endpoint: Option<String>,
    username: Option<String>,
}

#[derive(Deserialize)]
struct Header {
    key: String,
    value: String,
}

/// Reads a document; `None` when it is empty or names no action.
pub(crate) fn parse(text: &[u8]) -> Result<Option<Action>, SvamlError> {
    if text.len() > MOST_SVAML {
        return Err(SvamlError::TooLarge);
    }
    if text.iter().all(u8::is_ascii_whitespace) {
        return Ok(None);
    }
    let document: Document =
        serde_json::from_slice(text).map_err(|error| SvamlError::Form(error.to_string()))?;
    document.action.map(action).transpose()
}

fn action(named: Named) -> Result<Action, SvamlError> {
    let headers = named.call_headers.map(headers).transpose()?;
    match named.name.to_ascii_lowercase().as_str() {
        "hangup" => Ok(Action::HangUp),
        "continue" => Ok(Action::Continue { headers }),
        "connectmxp" | "connectuser" => {
            let to = named.destination.map(destination).transpose()?;
            Ok(Action::Connect { to, headers })
        }
        _ => Err(SvamlError::Action),
    }
}

fn destination(destination: Destination) -> Result<UserId, SvamlError> {
    let name = destination.endpoint.or(destination.username).ok_or(SvamlError::Destination)?;
    UserId::new(name).map_err(|_| SvamlError::Destination)
}

fn headers(list: Vec<Header>) -> Result<Headers, SvamlError> {
    let bytes: usize = list.iter().map(|header| header.key.len() + header.value.len()).sum();
    if bytes > Limits::default().header_bytes as usize {
        return Err(SvamlError::Headers);
    }
    Ok(list.into_iter().map(|header| (header.key, header.value)).collect())
}

/// The fuzz body: whatever is read is within the limits of a call.
///
/// # Panics
/// When an invariant does not hold.
pub fn fuzz(data: &[u8]) {
    let (Ok(Some(Action::Continue { headers })) | Ok(Some(Action::Connect { headers, .. }))) = parse(data)
    else {
        return;
    };
    let bytes: usize = headers.iter().flatten().map(|(key, value)| key.len() + value.len()).sum();
    assert!(bytes <= Limits::default().header_bytes as usize, "headers that no call may have");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Option<Action>, SvamlError> {
        parse(text.as_bytes())
    }

    #[test]
    fn the_actions_of_these_calls_are_read_whatever_their_case() {
        let carol = UserId::new("carol").unwrap();
        assert_eq!(
            read(r#"{"instructions":[{"name":"say"}],"action":{"name":"Hangup"}}"#),
            Ok(Some(Action::HangUp))
        );
        assert_eq!(read(r#"{"action":{"name":"continue"}}"#), Ok(Some(Action::Continue { headers: None })));
        for text in [
            r#"{"action":{"name":"connectMxp","destination":{"type":"username","endpoint":"carol"}}}"#,
            r#"{"action":{"name":"connectMXP","destination":{"username":"carol"},"cli":"x"}}"#,
        ] {
            let to = Some(carol.clone());
            assert_eq!(read(text), Ok(Some(Action::Connect { to, headers: None })), "{text}");
        }
        let text = r#"{"action":{"name":"connectMxp","callHeaders":[{"key":"a","value":"1"}]}}"#;
        let headers = Some([("a".to_owned(), "1".to_owned())].into());
        assert_eq!(read(text), Ok(Some(Action::Connect { to: None, headers })));
        for nothing in ["", " \n", "{}", r#"{"action":null}"#] {
            assert_eq!(read(nothing), Ok(None), "{nothing}");
        }
    }

    #[test]
    fn what_is_not_understood_is_named() {
        for form in ["[]", "{", r#"{"instructions":1}"#, r#"{"action":{"name":1}}"#, "\"x\""] {
            assert!(matches!(read(form), Err(SvamlError::Form(_))), "{form}");
        }
        assert_eq!(read(r#"{"action":{"name":"park"}}"#), Err(SvamlError::Action));
        for to in [r#"{}"#, r#"{"endpoint":"a b"}"#, r#"{"endpoint":""}"#] {
            let text = format!(r#"{{"action":{{"name":"connectMxp","destination":{to}}}}}"#);
            assert_eq!(read(&text), Err(SvamlError::Destination), "{to}");
        }
        let value = "x".repeat(1024);
        let text =
            format!(r#"{{"action":{{"name":"continue","callHeaders":[{{"key":"a","value":"{value}"}}]}}}}"#);
        assert_eq!(read(&text), Err(SvamlError::Headers));
        assert_eq!(read(&" ".repeat(MOST_SVAML + 1)), Err(SvamlError::TooLarge));
    }
}
