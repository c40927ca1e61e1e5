//! From what was seen and recorded to the figures of the contract.

use std::path::{Path, PathBuf};
use std::time::Instant;

use offhook_client::CallStats;
use offhook_media::{EngineStats, TickTime};
use offhook_sim::SAMPLE_RATE;
use offhook_sim::measure::{Comparison, compare};
use offhook_sim::sound::load_wav;

use super::contract::{DemoOutcome, Direction, Events, IcePair, MediaThread, Percentiles, TickTime as Ticks};
use super::conversation::{Conversation, Side};

/// Speech this near to the hang-up may not have arrived: it is not looked for.
const TAIL_SAMPLES: usize = SAMPLE_RATE as usize * 3 / 10;
/// Below this, what was heard is not what was said.
const LEAST_CORRELATION: f64 = 0.5;

/// One direction's sound, both from the instant at which both people were connected.
#[derive(Debug)]
pub(super) struct Sound {
    pub(super) spoken: Vec<f32>,
    pub(super) heard: Vec<f32>,
    pub(super) comparison: Comparison,
}

impl Sound {
    /// Cuts both recordings to the talk and compares them; `None` when there was none, or a recording cannot be read.
    pub(super) fn of(
        talk: Option<(Instant, Instant)>,
        (spoken, spoken_from): (&Path, Option<Instant>),
        (heard, heard_from): (&Path, Option<Instant>),
    ) -> Option<Self> {
        let (from, to) = talk?;
        let cut = |path, started: Option<Instant>| {
            let sound = load_wav(path).ok()?;
            let sample = |at: Instant| samples_between(started?, at);
            let (first, end) = (sample(from)?, sample(to)?.min(sound.len()));
            Some(sound.get(first..end)?.to_vec())
        };
        let (mut spoken, heard) = (cut(spoken, spoken_from)?, cut(heard, heard_from)?);
        spoken.truncate(heard.len().saturating_sub(TAIL_SAMPLES));
        let comparison = compare(&spoken, &heard);
        Some(Self { spoken, heard, comparison })
    }
}

fn samples_between(from: Instant, to: Instant) -> Option<usize> {
    let seconds = to.checked_duration_since(from)?.as_secs_f64();
    Some((seconds * f64::from(SAMPLE_RATE)).round() as usize)
}

/// Everything but the list of files.
pub(super) fn outcome(
    conversation: &Conversation,
    a_to_b: Option<&Sound>,
    b_to_a: Option<&Sound>,
) -> DemoOutcome {
    let (caller, callee) = (conversation.caller.as_ref(), conversation.callee.as_ref());
    let time = |side: Option<&Side>, name: &str| side?.events.time_of(name);
    let after = |from: Option<Instant>, to: Option<Instant>| {
        Some(to?.saturating_duration_since(from?).as_secs_f64() * 1e3)
    };
    let later = |one: Option<Instant>, other: Option<Instant>| Some(one?.max(other?));
    let established = later(time(caller, "Established"), time(callee, "Established"));
    let first_sound = |side: Option<&Side>| side?.stats.first_sound;
    let stats = caller.map(|side| &side.stats);
    let mut outcome = DemoOutcome {
        setup_ms: after(Some(conversation.began), time(caller, "Ringing")),
        established_ms: after(conversation.accepted, established),
        answer_to_first_sound_ms: after(
            conversation.accepted,
            later(first_sound(caller), first_sound(callee)),
        ),
        events: Events { caller: names(caller), callee: names(callee) },
        end_cause: caller
            .and_then(|side| side.events.details())
            .map(|details| format!("{:?}", details.end_cause)),
        codec: stats
            .and_then(|stats| stats.codec)
            .map(|codec| format!("{}/{}", codec.name, codec.clock_rate)),
        dtls: stats.and_then(|stats| stats.transport.dtls).map(|version| version.to_string()),
        srtp: stats.and_then(|stats| stats.transport.srtp).map(|profile| profile.to_string()),
        ice: stats.map(path).unwrap_or_default(),
        a_to_b: direction(caller, callee, a_to_b),
        b_to_a: direction(callee, caller, b_to_a),
        media_thread: media_thread(&[caller, callee]),
        files: Vec::new(),
        failure: None,
    };
    outcome.failure = conversation.failure.clone().or_else(|| not_heard(&outcome));
    outcome
}

fn names(side: Option<&Side>) -> Vec<String> {
    side.map(|side| side.events.all().into_iter().map(|event| event.name).collect()).unwrap_or_default()
}

fn path(stats: &CallStats) -> IcePair {
    let Some((local, remote)) = stats.transport.path else { return IcePair::default() };
    let [local, remote] = [local, remote].map(|end| match end.kind {
        Some(kind) => format!("{kind} {}", end.address),
        None => end.address.to_string(),
    });
    IcePair { local: Some(local), remote: Some(remote) }
}

fn direction(speaker: Option<&Side>, listener: Option<&Side>, sound: Option<&Sound>) -> Direction {
    let ms = |duration: std::time::Duration| duration.as_secs_f64() * 1e3;
    let receive = listener.map(|side| side.stats.stream.receive);
    let quality = listener.and_then(|side| side.stats.quality);
    let comparison = sound.map(|sound| &sound.comparison);
    let delay = comparison.and_then(|comparison| comparison.mouth_to_ear);
    Direction {
        packets_sent: speaker.map(|side| side.stats.stream.send.packets),
        packets_received: receive.map(|receive| receive.packets_received),
        packets_lost: receive.map(|receive| receive.packets_lost),
        mouth_to_ear_ms: Percentiles {
            p50: delay.map(|delay| ms(delay.p50)),
            p95: delay.map(|delay| ms(delay.p95)),
        },
        playout_delay_ms: receive.and_then(|receive| receive.mean_playout_delay).map(ms),
        concealed_percent: receive.and_then(|receive| receive.concealed_percent()),
        clock_drift_ppm: receive.and_then(|receive| receive.drift).map(|drift| drift.0),
        correlation: comparison.and_then(|comparison| comparison.correlation),
        longest_silence_ms: comparison
            .and_then(|comparison| comparison.silence.as_ref())
            .map(|silence| ms(silence.longest())),
        r_factor: quality.map(|quality| quality.r_factor),
        mos: quality.map(|quality| quality.mos),
    }
}

/// Both media threads as one: counts added, times of the slower one.
fn media_thread(sides: &[Option<&Side>]) -> MediaThread {
    let engines: Vec<&EngineStats> = sides.iter().flatten().map(|side| &side.engine).collect();
    let sum = |count: fn(&EngineStats) -> u64| {
        (!engines.is_empty()).then(|| engines.iter().copied().map(count).sum::<u64>())
    };
    let slowest = |time: fn(&TickTime) -> std::time::Duration| {
        let times = engines.iter().filter_map(|engine| engine.tick_time.as_ref()).map(time);
        times.max().map(|time| time.as_secs_f64() * 1e6)
    };
    let mut priorities: Vec<String> =
        engines.iter().filter_map(|engine| engine.priority).map(|priority| priority.to_string()).collect();
    priorities.dedup();
    MediaThread {
        priority: (!priorities.is_empty()).then(|| priorities.join(", ")),
        ticks: sum(|engine| engine.ticks),
        deadline_misses: sum(|engine| engine.deadline_misses),
        tick_us: Ticks {
            p50: slowest(|time| time.p50),
            p99: slowest(|time| time.p99),
            max: slowest(|time| time.max),
        },
        allocations: engines
            .iter()
            .map(|engine| engine.allocations)
            .reduce(|one, other| Some(one? + other?))
            .flatten(),
    }
}

/// Why it cannot be said that both heard each other.
fn not_heard(outcome: &DemoOutcome) -> Option<String> {
    let deaf = |listener: &str, direction: &Direction| match direction.correlation {
        Some(correlation) if correlation >= LEAST_CORRELATION => None,
        Some(correlation) => {
            Some(format!("what {listener} heard is not what was said (correlation {correlation:.2})"))
        }
        None => Some(format!("what was said was not found in what {listener} heard")),
    };
    let reasons: Vec<String> =
        [deaf("bob", &outcome.a_to_b), deaf("alice", &outcome.b_to_a)].into_iter().flatten().collect();
    (!reasons.is_empty()).then(|| reasons.join("; "))
}

/// The recordings that exist, as the contract lists them.
pub(super) fn existing(files: &[PathBuf]) -> Vec<String> {
    files.iter().filter(|path| path.is_file()).map(|path| path.display().to_string()).collect()
}
