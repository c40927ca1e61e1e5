//! `offhook call`.

use std::process::ExitCode;
use std::time::Duration;

use offhook_client::{CallEndCause, CallError};

use crate::args::{CallArguments, TalkArguments};
use crate::failure::{Exit, Failure};
use crate::session::Session;
use crate::talk::{Desk, conclude, until_ended};
use crate::terminal;
use crate::{media_options, sound};

/// Rings the user and stays until the call is over.
pub(crate) async fn run(arguments: &CallArguments) -> Result<ExitCode, Failure> {
    let TalkArguments { identity, duration, json, record, .. } = &arguments.talk;
    let mut session = Session::start(&arguments.talk).await?;
    let calling = session.client.call_client().call_user(arguments.callee.as_str()).await;
    let call = calling.map_err(|error| not_called(&error, &arguments.callee))?;
    session.speaker.set_src_object(Some(&call.incoming_stream()));
    terminal::say(&format!("{} calls {}", identity.user, arguments.callee));
    let mut desk = Desk::open()?;
    let report = until_ended(&call, &mut session, &mut desk, duration.map(Duration::from_secs)).await;
    drop(desk);
    let saved = media_options::save_recording(&call, record);
    session.end().await;
    let is_alone = report.details.end_cause == CallEndCause::Timeout && arguments.callee == identity.user;
    let concluded =
        conclude(report, *json).map_err(|failure| if is_alone { alone(&identity.user) } else { failure });
    saved.and(concluded)
}

fn alone(user: &str) -> Failure {
    Failure::new(Exit::NotAnswered, format!("{user} has no other device that could ring")).advice(
        "nobody rings their own device: call another user, or wait with `offhook answer` on another device",
    )
}

fn not_called(error: &CallError, callee: &str) -> Failure {
    match error {
        CallError::Microphone(error) => sound::no_microphone(error),
        CallError::UserId(error) => Failure::usage(format!("user {callee:?}: {error}")),
        other => Failure::new(Exit::Broken, other.to_string()),
    }
}
