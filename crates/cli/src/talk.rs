//! A call from its beginning to its end: the live line, the keys, the hang-up.

use std::process::ExitCode;
use std::time::Duration;

use offhook_client::{
    Call, CallDetails, CallEndCause, CallEvent, CallReport, ClientEvent, DeviceDirection, DeviceEvent,
    Verification, WarningEvent,
};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout};

use crate::failure::{Exit, Failure};
use crate::keys::{Key, Keys};
use crate::live::{Controls, LiveLine, quality_word};
use crate::session::Session;
use crate::stop::StopSignals;
use crate::terminal;

const REDRAW: Duration = Duration::from_millis(100);
/// Where nobody watches the line, only its state is followed.
const REDRAW_UNSEEN: Duration = Duration::from_millis(500);
/// How long the end of a call may take after it was hung up.
const LAST_EVENT: Duration = Duration::from_secs(5);
/// Far away: there is no limit.
const NO_LIMIT: Duration = Duration::from_secs(30 * 86_400);

/// What a person and the shell can do to a call.
#[derive(Debug)]
pub(crate) struct Desk {
    pub(crate) keys: Keys,
    pub(crate) signals: StopSignals,
    pub(crate) live: LiveLine,
}

impl Desk {
    pub(crate) fn open() -> Result<Self, Failure> {
        Ok(Self { signals: StopSignals::listen()?, keys: Keys::start(), live: LiveLine::new() })
    }
}

/// Stays with the call until it has ended. `limit` is how long they may talk.
pub(crate) async fn until_ended(
    call: &Call,
    session: &mut Session,
    desk: &mut Desk,
    limit: Option<Duration>,
) -> CallReport {
    let mut held = false;
    let mut redraw = interval(if desk.live.is_seen() { REDRAW } else { REDRAW_UNSEEN });
    redraw.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let end = sleep_until(Instant::now() + NO_LIMIT);
    tokio::pin!(end);
    loop {
        tokio::select! {
            event = call.next_event() => match event {
                Some(CallEvent::Established) => {
                    if let Some(limit) = limit {
                        end.as_mut().reset(Instant::now() + limit);
                    }
                }
                Some(CallEvent::Ended(_)) | None => break,
                Some(event) => tell(&event, desk),
            },
            Some(event) = session.events.next() => note(event, session, desk),
            key = desk.keys.next() => press(key, call, &mut held, desk),
            () = desk.signals.next() => call.hang_up(),
            () = &mut end => {
                call.hang_up();
                end.as_mut().reset(Instant::now() + NO_LIMIT);
            }
            _ = redraw.tick() => desk.live.show(call, Controls { held, keys: desk.keys.are_there() }),
        }
        // What was hung up ends by itself; one that does not within this time is given up.
        if call.state() == offhook_client::CallState::Ended {
            let _ = timeout(LAST_EVENT, async { while call.next_event().await.is_some() {} }).await;
            break;
        }
    }
    call.report()
}

fn tell(event: &CallEvent, desk: &mut Desk) {
    match event {
        CallEvent::DtmfReceived(key) => desk.live.say(&format!("the other side pressed {key}")),
        CallEvent::QualityWarning(warning) => {
            let now = if warning.event == WarningEvent::Recover { "is over" } else { "begins" };
            desk.live.say(&format!("quality: {:?} {now}", warning.kind));
        }
        CallEvent::Verification(Verification::Ready(string)) => desk.live.say(&format!(
            "code {string}: if the other side reads the same, nobody sits between you, not even the server"
        )),
        CallEvent::Verification(Verification::Failed(error)) => {
            desk.live.say(&format!("this call could not be verified, somebody may be listening in: {error}"));
        }
        _ => {}
    }
}

/// News of the client while a call runs.
fn note(event: ClientEvent, session: &mut Session, desk: &mut Desk) {
    match event {
        ClientEvent::IncomingCall(other) => {
            desk.live.say(&format!("{} calls too and is told that you are busy", other.remote_user_id()));
            // It may have ended by itself.
            let _ = other.refuse_busy();
        }
        ClientEvent::CredentialsRequired(registration) => {
            if let Err(failure) = session.bring_token(&registration) {
                desk.live.say(&failure.to_string());
            }
        }
        ClientEvent::Reconnecting => desk.live.say("the server is gone, reconnecting; the call goes on"),
        ClientEvent::Reconnected => desk.live.say("the server is back"),
        ClientEvent::Failed(error) => desk.live.say(&error.message),
        ClientEvent::Device(event) => desk.live.say(&device_news(&event)),
        _ => {}
    }
}

fn press(key: Key, call: &Call, held: &mut bool, desk: &mut Desk) {
    match key {
        Key::Mute if call.is_muted() => call.unmute(),
        Key::Mute => call.mute(),
        Key::Hold => {
            let done = if *held { call.resume() } else { call.hold() };
            match done {
                Ok(()) => *held = !*held,
                Err(error) => desk.live.say(&error.to_string()),
            }
        }
        Key::Dtmf(tone) => {
            if let Err(error) = call.send_dtmf(&tone.to_string()) {
                desk.live.say(&error.to_string());
            }
        }
        Key::Quit | Key::Deny => call.hang_up(),
        Key::Answer => {}
    }
}

/// Prints the report and finds the exit status.
pub(crate) fn conclude(report: CallReport, json: bool) -> Result<ExitCode, Failure> {
    let judged = judge(&report.details);
    if json {
        terminal::print_json(&report);
    } else if let Some(summary) = summary(&report) {
        terminal::say(&summary);
    }
    judged.map(|()| ExitCode::SUCCESS)
}

/// Success is a call that was established and that somebody hung up.
fn judge(details: &CallDetails) -> Result<(), Failure> {
    let because = details.error.map(|error| format!(" ({error:?})")).unwrap_or_default();
    match details.end_cause {
        CallEndCause::HungUp if details.established.is_some() => Ok(()),
        CallEndCause::Failure | CallEndCause::Inactive | CallEndCause::HungUp
            if details.answered.is_some() =>
        {
            Err(broken(details.established.is_some(), &because))
        }
        CallEndCause::Failure => Err(Failure::new(Exit::Broken, format!("the call failed{because}"))),
        cause => Err(Failure::new(Exit::NotAnswered, not_answered(cause))),
    }
}

fn broken(established: bool, because: &str) -> Failure {
    let (what, advice) = if established {
        ("the call broke off", "the other side, or the network between, went away")
    } else {
        (
            "the voices did not connect",
            "the two sides may not reach each other over UDP: a firewall, or different networks without a relay",
        )
    };
    Failure::new(Exit::Broken, format!("{what}{because}")).advice(advice)
}

fn not_answered(cause: CallEndCause) -> &'static str {
    match cause {
        CallEndCause::Timeout => "nobody of that name is there",
        CallEndCause::Denied => "the call was refused",
        CallEndCause::NoAnswer => "nobody answered",
        CallEndCause::Canceled => "the call was given up before an answer",
        CallEndCause::OtherDeviceAnswered => "another device answered",
        _ => "the call ended before an answer",
    }
}

fn device_news(event: &DeviceEvent) -> String {
    let side = |direction: &DeviceDirection| match direction {
        DeviceDirection::Capture => "microphone",
        DeviceDirection::Render => "speaker",
    };
    match event {
        DeviceEvent::Lost { direction, device, now, .. } => {
            format!("the {} {device} is gone; sound goes on with {now}", side(direction))
        }
        DeviceEvent::Returned { direction, device } => {
            format!("the {} {device} is back and used again", side(direction))
        }
        DeviceEvent::DefaultChanged { direction, id: Some(id) } => {
            format!("the default {} is now {id}", side(direction))
        }
        DeviceEvent::DefaultChanged { direction, id: None } => {
            format!("there is no default {} any more", side(direction))
        }
        _ => "something about the sound devices changed".to_owned(),
    }
}

/// `None` when they did not talk.
fn summary(report: &CallReport) -> Option<String> {
    let talked = report.duration?;
    let stats = &report.stats;
    let quality = stats.quality.map_or(String::new(), |score| {
        format!(" It sounded {} (MOS {:.1}).", quality_word(score.mos), score.mos)
    });
    let delay =
        stats.latency.map_or(String::new(), |delay| format!(", delay {:.0} ms", delay.as_secs_f64() * 1e3));
    let receive = &stats.stream.receive;
    Some(format!(
        "Talked with {} for {:.0} s: {} packets sent, {} received, {} lost{delay}.{quality}",
        report.remote_user_id,
        talked.as_secs_f64(),
        stats.stream.send.packets,
        receive.packets_received,
        receive.packets_lost
    ))
}
