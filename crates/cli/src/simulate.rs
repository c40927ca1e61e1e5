//! `offhook simulate`: speech through a recorded network, in virtual time.

mod outcome;
mod summary;

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use offhook_client::BitsPerSecond;
use offhook_sim::report::RunReport;
use offhook_sim::sound::load_wav;
use offhook_sim::stand::{self, Bottleneck, Outcome, StandConfig, StandError};
use offhook_sim::trace::Trace;
use rustix::time::{ClockId, clock_gettime};

use crate::args::SimulateArguments;
use crate::failure::{Exit, Failure};
use crate::media_options;

pub(crate) use outcome::{Told, save_heard};

/// Runs the command.
pub(crate) fn run(arguments: &SimulateArguments) -> Result<ExitCode, Failure> {
    let trace = load_trace(&arguments.trace)?;
    let speech = load_speech(&arguments.input)?;
    let config = StandConfig {
        packet_time: arguments.ptime,
        bitrate: BitsPerSecond(arguments.bitrate),
        redundancy: arguments.redundancy,
        rtt: Duration::from_millis(arguments.rtt),
        price_per_percent: f32::from(arguments.loss_price),
        bottleneck: arguments.bottleneck.map(|bits_per_second| Bottleneck {
            bits_per_second,
            queue: Duration::from_millis(arguments.queue),
        }),
        seed: arguments.seed,
    };
    let before = processor_time();
    let run = stand::run(&trace, &speech, &config).map_err(|error| match error {
        StandError::Delay(_) => Failure::usage(format!("--trace {}: {error}", arguments.trace.display())),
        _ => Failure::failed(error.to_string()),
    })?;
    let cpu_s = processor_time().saturating_sub(before).as_secs_f64();
    save_heard(&arguments.output, &run.heard)?;
    let outcome = Outcome { cpu_s: Some(cpu_s), ..Outcome::of(&run, Some(&speech)) };
    Told {
        report: RunReport {
            title: "Simulated call".to_owned(),
            subtitle: subtitle(arguments),
            run: &run,
            outcome: &outcome,
            speech: Some(&speech),
        },
        page: arguments.report.as_deref(),
        timeline: arguments.timeline.as_deref(),
        heard: Some(&arguments.output),
        json: arguments.json,
    }
    .tell()
}

fn load_trace(path: &Path) -> Result<Trace, Failure> {
    let unusable = |why: String| {
        Failure::usage(format!("--trace {}: {why}", path.display()))
            .advice("a trace is CSV: a line `k,send_ms,arrival_ms`, then one line per packet")
    };
    let trace = Trace::load(path).map_err(|error| unusable(error.to_string()))?;
    if trace.packets.is_empty() { Err(unusable("it has no packets".to_owned())) } else { Ok(trace) }
}

fn load_speech(path: &Path) -> Result<Vec<f32>, Failure> {
    let unusable = |why: String| {
        Failure::new(Exit::Sound, format!("--input {}: {why}", path.display()))
            .advice("give a WAV file that can be read")
    };
    let speech = load_wav(path).map_err(|error| unusable(error.to_string()))?;
    if speech.is_empty() { Err(unusable("it has no samples".to_owned())) } else { Ok(speech) }
}

fn subtitle(arguments: &SimulateArguments) -> String {
    format!(
        "{} through {}, {} ms packets, {} kb/s, redundancy {}",
        arguments.input.display(),
        arguments.trace.display(),
        arguments.ptime.duration().as_millis(),
        f64::from(arguments.bitrate) / 1e3,
        media_options::redundancy_name(arguments.redundancy)
    )
}

/// Processor time of this process so far.
pub(crate) fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}
