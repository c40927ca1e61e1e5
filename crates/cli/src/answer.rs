//! `offhook answer`.

use std::io::IsTerminal as _;
use std::process::ExitCode;
use std::time::Duration;

use offhook_client::{AnswerError, Call, CallEvent, ClientEvent};

use crate::args::{AnswerArguments, TalkArguments};
use crate::failure::{Exit, Failure};
use crate::keys::Key;
use crate::session::{Session, refused};
use crate::talk::{Desk, conclude, until_ended};
use crate::{media_options, sound};

/// Waits for a call that is answered, and stays until it is over.
pub(crate) async fn run(arguments: &AnswerArguments) -> Result<ExitCode, Failure> {
    if !arguments.auto && !std::io::stdin().is_terminal() {
        return Err(Failure::usage("there is no terminal to ask whether to answer")
            .advice("add --auto to answer every call"));
    }
    let TalkArguments { identity, duration, json, record, .. } = &arguments.talk;
    let mut session = Session::start(&arguments.talk).await?;
    let mut desk = Desk::open()?;
    desk.live.say(&format!("{} waits for a call", identity.user));
    let answered = answered_call(arguments, &mut session, &mut desk).await;
    let done = match answered {
        Ok(call) => {
            let limit = duration.map(Duration::from_secs);
            let report = until_ended(&call, &mut session, &mut desk, limit).await;
            Ok((report, media_options::save_recording(&call, record)))
        }
        Err(failure) => Err(failure),
    };
    // The terminal is put back before anything else is printed.
    drop(desk);
    session.end().await;
    let (report, saved) = done?;
    let concluded = conclude(report, *json);
    saved.and(concluded)
}

/// The first call that is answered.
async fn answered_call(
    arguments: &AnswerArguments,
    session: &mut Session,
    desk: &mut Desk,
) -> Result<Call, Failure> {
    loop {
        let event = tokio::select! {
            event = session.events.next() => event,
            key = desk.keys.next() => match key {
                Key::Quit => return Err(left()),
                _ => continue,
            },
            () = desk.signals.next() => return Err(left()),
        };
        match event {
            Some(ClientEvent::IncomingCall(call)) => {
                session.speaker.set_src_object(Some(&call.incoming_stream()));
                if accepted(&call, arguments.auto, desk).await? {
                    return Ok(call);
                }
            }
            Some(ClientEvent::CredentialsRequired(registration)) => session.bring_token(&registration)?,
            Some(ClientEvent::Failed(error)) if error.is_fatal => {
                return Err(refused(&error, &arguments.talk.identity.server));
            }
            Some(ClientEvent::Reconnecting) => desk.live.say("the server is gone, reconnecting"),
            Some(ClientEvent::Reconnected) => desk.live.say("the server is back"),
            Some(_) => {}
            None => return Err(Failure::new(Exit::Unreachable, "the client stopped")),
        }
    }
}

/// Asks, or answers without asking; `false` when the call is over.
async fn accepted(call: &Call, auto: bool, desk: &mut Desk) -> Result<bool, Failure> {
    let caller = call.remote_user_id();
    if !auto {
        desk.live.say(&format!("\x07{caller} calls: a answers, d refuses"));
        loop {
            tokio::select! {
                event = call.next_event() => if matches!(event, Some(CallEvent::Ended(_)) | None) {
                    desk.live.say(&format!("{caller} gave up"));
                    return Ok(false);
                },
                key = desk.keys.next() => match key {
                    Key::Answer => break,
                    Key::Deny => {
                        call.hang_up();
                        return Ok(false);
                    }
                    Key::Quit => {
                        call.hang_up();
                        return Err(left());
                    }
                    _ => {}
                },
                () = desk.signals.next() => {
                    call.hang_up();
                    return Err(left());
                }
            }
        }
    }
    match call.answer().await {
        Ok(()) => {
            desk.live.say(&format!("{caller} called, answered"));
            Ok(true)
        }
        Err(AnswerError::Microphone(error)) => {
            call.hang_up();
            Err(sound::no_microphone(&error))
        }
        Err(error) => {
            desk.live.say(&format!("{caller} called, not answered: {error}"));
            Ok(false)
        }
    }
}

fn left() -> Failure {
    Failure::new(Exit::NotAnswered, "left without a call")
}
