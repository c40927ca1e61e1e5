//! The call itself: ring, answer, talk, hang up.

use std::time::{Duration, Instant};

use offhook_client::{Call, CallStats};
use offhook_media::EngineStats;
use tokio::time::{sleep, timeout};

use super::events::EventLog;
use super::person::{Person, STEP};
use super::progress::Progress;

/// Between two lines of progress.
const TELL: Duration = Duration::from_secs(2);

/// Everything that was seen of the call, as far as it came.
#[derive(Debug)]
pub(super) struct Conversation {
    /// When the caller asked for the call.
    pub(super) began: Instant,
    /// When the callee accepted.
    pub(super) accepted: Option<Instant>,
    pub(super) caller: Option<Side>,
    pub(super) callee: Option<Side>,
    /// The callee's end of the call, as far as it came.
    pub(super) answered: Option<Call>,
    /// From when both were connected to the hang-up.
    pub(super) talk: Option<(Instant, Instant)>,
    /// Why it did not go to its end.
    pub(super) failure: Option<String>,
}

/// One end of the call.
#[derive(Debug)]
pub(super) struct Side {
    pub(super) events: EventLog,
    /// Just before the hang-up, or at the failure.
    pub(super) stats: CallStats,
    pub(super) engine: EngineStats,
    /// When the first sample that the microphone gave was captured.
    pub(super) microphone_started: Option<Instant>,
    /// When the first sample that the speaker took was played.
    pub(super) speaker_started: Option<Instant>,
}

/// The two ends while the call runs.
#[derive(Debug, Default)]
struct Ends {
    caller: Option<(Call, EventLog)>,
    callee: Option<(Call, EventLog)>,
}

/// Lets `caller` call `callee` and both talk for `length`.
pub(super) async fn hold(
    caller: &Person,
    callee: &mut Person,
    length: Duration,
    progress: Progress,
) -> Conversation {
    let mut conversation = Conversation {
        began: Instant::now(),
        accepted: None,
        caller: None,
        callee: None,
        answered: None,
        talk: None,
        failure: None,
    };
    let mut ends = Ends::default();
    conversation.failure = talk(caller, callee, length, progress, &mut conversation, &mut ends).await.err();
    let side = |person: &Person, end: Option<(Call, EventLog)>| {
        end.map(|(call, events)| Side::look(person, &call, events))
    };
    // A call that failed half-way is still up on one side.
    for (call, _) in ends.caller.iter().chain(&ends.callee) {
        call.hang_up();
    }
    conversation.answered = ends.callee.as_ref().map(|(call, _)| call.clone());
    // Where it went well these are the measures from before the hang-up.
    conversation.caller = conversation.caller.or_else(|| side(caller, ends.caller));
    conversation.callee = conversation.callee.or_else(|| side(callee, ends.callee));
    conversation
}

async fn talk(
    caller: &Person,
    callee: &mut Person,
    length: Duration,
    progress: Progress,
    conversation: &mut Conversation,
    ends: &mut Ends,
) -> Result<(), String> {
    let call = caller.client.call_client().call_user(callee.name).await.map_err(|error| error.to_string())?;
    caller.speaker.set_src_object(Some(&call.incoming_stream()));
    let (_, out) = ends.caller.insert((call.clone(), EventLog::of(&call)));
    progress.say(&format!("{} calls {}", caller.name, callee.name));
    let (incoming, ringing) = tokio::join!(timeout(STEP, callee.incoming_call()), out.reached("Ringing"));
    let incoming =
        incoming.ok().flatten().ok_or_else(|| format!("the call did not reach {}", callee.name))?;
    callee.speaker.set_src_object(Some(&incoming.incoming_stream()));
    let (_, into) = ends.callee.insert((incoming.clone(), EventLog::of(&incoming)));
    let ringing = ringing.ok_or_else(|| format!("{} did not learn that it rings", caller.name))?;
    progress.say(&format!(
        "{}'s phone rings, {:.1} ms after the call",
        callee.name,
        ms(conversation.began, ringing)
    ));

    let accepted = Instant::now();
    conversation.accepted = Some(accepted);
    incoming.answer().await.map_err(|error| format!("{} could not answer: {error}", callee.name))?;
    let (one, other) = tokio::join!(out.reached("Established"), into.reached("Established"));
    let (Some(one), Some(other)) = (one, other) else {
        return Err(not_connected(caller, callee, out, into));
    };
    let connected = one.max(other);
    progress.say(&format!(
        "connected, {:.1} ms after the answer; both talk for {} s",
        ms(accepted, connected),
        length.as_secs()
    ));
    tokio::select! {
        () = tell_time(connected, length, progress) => {}
        () = out.ended() => return Err(format!("the call broke off at {}: {}", caller.name, end_of(out))),
        () = into.ended() => return Err(format!("the call broke off at {}: {}", callee.name, end_of(into))),
    }
    let sides = (Side::look(caller, &call, out.clone()), Side::look(callee, &incoming, into.clone()));
    call.hang_up();
    conversation.talk = Some((connected, Instant::now()));
    (conversation.caller, conversation.callee) = (Some(sides.0), Some(sides.1));
    let (one, other) = tokio::join!(out.reached("Ended"), into.reached("Ended"));
    let missed = if one.is_none() { caller.name } else { callee.name };
    one.and(other).ok_or_else(|| format!("{missed} did not learn of the hang-up"))?;
    progress.say(&format!("{} hung up", caller.name));
    Ok(())
}

async fn tell_time(connected: Instant, length: Duration, progress: Progress) {
    let end = connected + length;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return;
        }
        sleep(left.min(TELL)).await;
        let talked = connected.elapsed().min(length);
        progress.say(&format!("talking, {:.0} s of {} s", talked.as_secs_f64(), length.as_secs()));
    }
}

fn not_connected(caller: &Person, callee: &Person, out: &EventLog, into: &EventLog) -> String {
    let state = |name: &str, log: &EventLog| {
        let last = log
            .all()
            .pop()
            .map_or_else(|| "no event".to_owned(), |event| format!("{} {}", event.name, event.detail));
        format!("{name}: {}", last.trim_end())
    };
    format!("the voices did not connect ({}; {})", state(caller.name, out), state(callee.name, into))
}

fn end_of(log: &EventLog) -> String {
    log.details().map_or_else(|| "no reason given".to_owned(), |details| format!("{:?}", details.end_cause))
}

fn ms(from: Instant, to: Instant) -> f64 {
    to.saturating_duration_since(from).as_secs_f64() * 1e3
}

impl Side {
    fn look(person: &Person, call: &Call, events: EventLog) -> Self {
        let clock = person.engine.clock();
        let microphone = person.client.microphone();
        Self {
            events,
            stats: call.stats(),
            engine: person.engine.stats(),
            microphone_started: microphone
                .and_then(|microphone| microphone.started_at())
                .map(|at| clock.instant(at)),
            speaker_started: person.speaker.started_at().map(|at| clock.instant(at)),
        }
    }
}
