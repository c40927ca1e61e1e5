//! `offhook loopback`: what speaker and microphone add to a call.

use std::process::ExitCode;
use std::time::Duration;

use offhook_media::device::{DeviceTimeline, DirectPlayback, DirectRecording};
use offhook_media::{Device, EngineClock};
use offhook_sim::SAMPLE_RATE;
use offhook_sim::measure::{DelaySearch, delay_track};
use offhook_sim::rng::Rng;
use offhook_sim::sound::{chirp, resample};
use serde::Serialize;

use crate::args::LoopbackArguments;
use crate::failure::{Exit, Failure};
use crate::sound;
use crate::terminal;

const AMPLITUDE: f32 = 0.5;
/// Longest round trip that is found.
const LONGEST: Duration = Duration::from_secs(2);
/// The gaps between chirps lie around half a second, no two alike: a train that is shifted does not look like itself.
const GAP: std::ops::Range<f64> = 0.4..0.6;
/// Around a chirp, so that the piece that is looked for begins and ends in silence.
const MARGIN: Duration = Duration::from_millis(10);
/// Chirps are looked for in this much around the delay of the whole train, or from none on where the whole is not found: a device that stood still
/// in between tears it apart. Less than the shortest gap, so that no chirp is taken for the next.
const SPREAD: Duration = Duration::from_millis(300);
/// How long a device may take to begin.
const BEGIN: Duration = Duration::from_secs(3);
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// Beyond the sound itself, the recording has room for this much.
const SLACK: Duration = Duration::from_secs(6);

/// Plays chirps, records them and prints how much later they are heard.
pub(crate) fn run(arguments: &LoopbackArguments) -> Result<ExitCode, Failure> {
    let microphone = sound::device(arguments.microphone.as_deref(), "--microphone")?;
    let speaker = sound::device(arguments.speaker.as_deref(), "--speaker")?;
    let train = Train::new(arguments.chirps);
    terminal::say(&format!(
        "Playing {} chirps for {:.0} s. The microphone has to hear the speaker.",
        arguments.chirps,
        train.length().as_secs_f64()
    ));
    let heard = record(&microphone, &speaker, &train)?;
    let delays = heard.delays_of(&train);
    let outcome = Outcome::of(&microphone, &speaker, arguments.chirps, &delays)
        .ok_or_else(|| nothing_heard(&heard.sound))?;
    if arguments.json {
        terminal::print_json(&outcome);
    } else {
        terminal::print(&outcome.to_string());
    }
    Ok(ExitCode::SUCCESS)
}

/// Chirps in silence, and where they are.
struct Train {
    sound: Vec<f32>,
    starts: Vec<usize>,
}

impl Train {
    fn new(chirps: u32) -> Self {
        let chirp = chirp(AMPLITUDE);
        let mut rng = Rng::new(1);
        let mut sound = vec![0.0; samples(MARGIN)];
        let mut starts = Vec::new();
        for _ in 0..chirps {
            starts.push(sound.len());
            sound.extend(&chirp);
            let next =
                starts[starts.len() - 1] + samples(Duration::from_secs_f64(rng.range(GAP.start, GAP.end)));
            sound.resize(next, 0.0);
        }
        Self { sound, starts }
    }

    fn length(&self) -> Duration {
        offhook_sim::measure::duration_of(&self.sound)
    }

    /// Where each chirp begins, and how much later it is in `heard`, as far as it is found. Both begin at the same time.
    fn delays_in(&self, heard: &[f32]) -> Vec<(usize, Duration)> {
        let whole = delay_of(&self.sound, heard, LONGEST);
        let earliest = whole.map_or(Duration::ZERO, |whole| whole.saturating_sub(SPREAD / 2));
        let margin = samples(MARGIN);
        let piece = |start: usize| {
            let from = start - margin;
            let to = (start + margin + chirp(AMPLITUDE).len()).min(self.sound.len());
            let stretch = heard.get(from + samples(earliest)..)?;
            Some((start, earliest + delay_of(&self.sound[from..to], stretch, SPREAD)?))
        };
        self.starts.iter().filter_map(|start| piece(*start)).collect()
    }
}

/// How much later all of `spoken` is in `heard`.
fn delay_of(spoken: &[f32], heard: &[f32], max_delay: Duration) -> Option<Duration> {
    let window = offhook_sim::measure::duration_of(spoken);
    let search = DelaySearch { window, hop: window, max_delay };
    delay_track(spoken, heard, &search).points.first().map(|point| point.delay)
}

fn samples(time: Duration) -> usize {
    (time.as_secs_f64() * f64::from(SAMPLE_RATE)).round() as usize
}

/// What the microphone heard, at [`SAMPLE_RATE`], and when the samples met the devices.
struct Heard {
    sound: Vec<f32>,
    /// How many samples of `sound` came before the speaker took its first; negative when they began later.
    early: i64,
    played: DeviceTimeline,
    recorded: DeviceTimeline,
}

impl Heard {
    /// From the speaker's taking a chirp to the microphone's giving it.
    fn delays_of(&self, train: &Train) -> Vec<Duration> {
        let shift = usize::try_from(self.early.unsigned_abs()).unwrap_or(usize::MAX);
        let aligned = if self.early >= 0 {
            self.sound.get(shift..).unwrap_or_default().to_vec()
        } else {
            [&vec![0.0; shift], self.sound.as_slice()].concat()
        };
        let found = train.delays_in(&aligned).into_iter();
        found.filter_map(|(start, delay)| self.delay_of(start, delay)).collect()
    }

    /// Counted samples say how much later a chirp came only while both devices run evenly; the times around the chirp say it always.
    fn delay_of(&self, start: usize, counted: Duration) -> Option<Duration> {
        let heard_at = u64::try_from((start + samples(counted)) as i64 + self.early).ok()?;
        let given = self.recorded.time_of(at_rate(heard_at, self.recorded.sample_rate()))?;
        let taken = self.played.time_of(at_rate(start as u64, self.played.sample_rate()))?;
        Some(Duration::from_micros(u64::try_from(given.micros_since(taken)).unwrap_or_default()))
    }
}

/// The number of the sample at another rate.
fn at_rate(sample: u64, rate: u32) -> u64 {
    (sample as f64 * f64::from(rate) / f64::from(SAMPLE_RATE)).round() as u64
}

fn record(microphone: &Device, speaker: &Device, train: &Train) -> Result<Heard, Failure> {
    let clock = EngineClock::start();
    let not_opened = |side, error: &offhook_media::OpenDeviceError| sound::not_opened(side, error);
    let room = samples(train.length() + LONGEST + SLACK) * 4;
    let recording =
        DirectRecording::open(microphone, clock, room).map_err(|error| not_opened("microphone", &error))?;
    let mut playback =
        DirectPlayback::open(speaker, clock, &train.sound).map_err(|error| not_opened("speaker", &error))?;
    let rate = playback.sample_rate();
    if rate != SAMPLE_RATE {
        drop(playback);
        let sound = resample(&train.sound, SAMPLE_RATE, rate);
        playback =
            DirectPlayback::open(speaker, clock, &sound).map_err(|error| not_opened("speaker", &error))?;
    }
    wait_for(&playback, &recording);
    std::thread::sleep(train.length() + LONGEST / 2);
    let rate = recording.sample_rate();
    let (played, (sound, recorded)) = (playback.finish(), recording.finish());
    let (Some(speaker_began), Some(microphone_began)) = (played.time_of(0), recorded.time_of(0)) else {
        return Err(Failure::new(Exit::Sound, "a device opened, but asked for no sound or gave none")
            .advice("choose another with --microphone and --speaker: `offhook devices` lists them"));
    };
    let late = speaker_began.micros_since(microphone_began);
    let early = samples(Duration::from_micros(late.unsigned_abs())) as i64 * late.signum();
    Ok(Heard { sound: resample(&sound, rate, SAMPLE_RATE), early, played, recorded })
}

/// Until both devices run, but not for ever.
fn wait_for(playback: &DirectPlayback, recording: &DirectRecording) {
    let begun = std::time::Instant::now();
    while !(playback.has_begun() && recording.has_begun()) && begun.elapsed() < BEGIN {
        std::thread::sleep(LOOK_AGAIN);
    }
}

fn nothing_heard(heard: &[f32]) -> Failure {
    let loudest = heard.iter().fold(0.0_f32, |loudest, sample| loudest.max(sample.abs()));
    let (what, advice) = if loudest < 1e-4 {
        (
            "the microphone gave silence",
            "it may be muted, or not the one you mean: --microphone ID (`offhook devices`)",
        )
    } else {
        (
            "the microphone did not hear the chirps",
            "turn the speaker up, move the microphone near it, or connect output and input by a cable",
        )
    };
    Failure::new(Exit::Sound, what).advice(advice)
}

/// The round trip from the speaker's taking a sample to the microphone's giving it.
#[derive(Debug, Serialize)]
struct Outcome {
    microphone: String,
    speaker: String,
    chirps_played: u32,
    chirps_heard: usize,
    round_trip_ms: Spread,
}

#[derive(Debug, Serialize)]
struct Spread {
    median: f64,
    min: f64,
    max: f64,
}

impl Outcome {
    /// `None` when nothing was heard.
    fn of(microphone: &Device, speaker: &Device, played: u32, delays: &[Duration]) -> Option<Self> {
        let mut ms: Vec<f64> = delays.iter().map(|delay| delay.as_secs_f64() * 1e3).collect();
        ms.sort_by(f64::total_cmp);
        Some(Self {
            microphone: microphone.to_string(),
            speaker: speaker.to_string(),
            chirps_played: played,
            chirps_heard: ms.len(),
            round_trip_ms: Spread { median: *ms.get(ms.len() / 2)?, min: *ms.first()?, max: *ms.last()? },
        })
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Spread { median, min, max } = self.round_trip_ms;
        write!(
            formatter,
            "Speaker {} to microphone {}: round trip {median:.1} ms (median), {min:.1} to {max:.1} ms; {} of {} chirps heard.",
            self.speaker, self.microphone, self.chirps_heard, self.chirps_played
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delayed(train: &Train, delay: Duration, gain: f32) -> Vec<f32> {
        let noise = offhook_sim::sound::noise(0.002, train.length() + LONGEST, 7);
        let shift = samples(delay);
        let mut heard = noise;
        train.sound.iter().enumerate().for_each(|(n, sample)| heard[shift + n] += gain * sample);
        heard
    }

    #[test]
    fn finds_the_delay_of_every_chirp_even_beyond_the_next_one() {
        let train = Train::new(5);
        for delay in [Duration::from_millis(12), Duration::from_millis(1100)] {
            let delays = train.delays_in(&delayed(&train, delay, 0.1));
            assert_eq!(delays.len(), 5);
            assert!(
                delays.iter().all(|(_, found)| found.abs_diff(delay) < Duration::from_micros(200)),
                "{delays:?}"
            );
        }
    }

    #[test]
    fn chirps_are_found_where_the_sound_stood_still_in_between() {
        let train = Train::new(6);
        let mut heard = delayed(&train, Duration::from_millis(20), 0.3);
        let pause = train.starts[3] - samples(Duration::from_millis(50));
        heard.splice(pause..pause, vec![0.0; samples(Duration::from_millis(60))]);
        let delays: Vec<u128> =
            train.delays_in(&heard).iter().map(|(_, delay)| (delay.as_micros() + 500) / 1000).collect();
        assert_eq!(delays, [20, 20, 20, 80, 80, 80]);
    }

    #[test]
    fn noise_is_no_chirp() {
        let train = Train::new(3);
        assert!(train.delays_in(&delayed(&train, Duration::ZERO, 0.0)).is_empty());
        assert!(nothing_heard(&[0.0; 100]).to_string().contains("silence"));
        assert!(nothing_heard(&[0.1; 100]).to_string().contains("did not hear"));
    }

    #[test]
    fn the_spread_is_of_what_was_heard() {
        let delays = [30, 10, 20].map(Duration::from_millis);
        let outcome = Outcome::of(&Device::Default, &Device::Default, 4, &delays).unwrap();
        assert_eq!(
            (outcome.round_trip_ms.median, outcome.round_trip_ms.min, outcome.chirps_heard),
            (20.0, 10.0, 3)
        );
        assert!(Outcome::of(&Device::Default, &Device::Default, 4, &[]).is_none());
    }
}
