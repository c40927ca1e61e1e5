//! `offhook replay`: a recorded call through the receive path again.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::process::ExitCode;

use offhook_media_core::recording::{Kept, Recording};
use offhook_sim::report::RunReport;
use offhook_sim::stand::{self, Outcome};

use crate::args::ReplayArguments;
use crate::failure::Failure;
use crate::simulate::{Told, processor_time, save_heard};

/// Larger files are no recordings: a call holds far less.
const MOST_BYTES: u64 = 256 * 1024 * 1024;

/// Runs the command.
pub(crate) fn run(arguments: &ReplayArguments) -> Result<ExitCode, Failure> {
    let path = &arguments.recording;
    let unusable = |why: String| {
        Failure::usage(format!("{}: {why}", path.display())).advice("give a flight recording of a call")
    };
    let bytes = read(path).map_err(unusable)?;
    let recording = Recording::parse(&bytes).map_err(|error| unusable(error.to_string()))?;
    if arguments.output.is_some() && recording.kept() == Kept::Arrivals {
        return Err(Failure::usage(format!("{} holds no sound, only when packets came", path.display()))
            .advice("leave --output out, or record a call with its sound"));
    }
    let before = processor_time();
    let run = stand::replay(&recording).map_err(|error| unusable(error.to_string()))?;
    let cpu_s = processor_time().saturating_sub(before).as_secs_f64();
    if let Some(output) = &arguments.output {
        save_heard(output, &run.heard)?;
    }
    let outcome = Outcome { cpu_s: Some(cpu_s), ..Outcome::of(&run, None) };
    Told {
        report: RunReport {
            title: "Recorded call".to_owned(),
            subtitle: subtitle(path, &recording),
            run: &run,
            outcome: &outcome,
            speech: None,
        },
        page: arguments.report.as_deref(),
        timeline: arguments.timeline.as_deref(),
        heard: arguments.output.as_deref(),
        json: arguments.json,
    }
    .tell()
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(MOST_BYTES + 1).read_to_end(&mut bytes));
    match read {
        Err(error) => Err(error.to_string()),
        Ok(length) if length as u64 > MOST_BYTES => Err("larger than any recording".to_owned()),
        Ok(_) => Ok(bytes),
    }
}

fn subtitle(path: &Path, recording: &Recording<'_>) -> String {
    let sound = match recording.kept() {
        Kept::Arrivals => "arrivals without sound",
        Kept::Sound => "arrivals and sound",
    };
    let forgotten = match recording.forgotten() {
        0 => String::new(),
        count => format!(", {count} older records are gone"),
    };
    format!("{}: {sound}{forgotten}", path.display())
}
