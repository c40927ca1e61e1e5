//! What a run leaves behind: sound, page, timeline, figures.

use std::path::Path;
use std::process::ExitCode;

use offhook_sim::report::RunReport;
use offhook_sim::sound::save_wav;
use offhook_sim::stand;

use super::summary;
use crate::failure::{Exit, Failure};
use crate::terminal;

const ADVICE: &str = "choose a file in a folder that can be written to";

/// A run and where to tell of it.
pub(crate) struct Told<'a> {
    pub(crate) report: RunReport<'a>,
    /// `--report`.
    pub(crate) page: Option<&'a Path>,
    /// `--timeline`.
    pub(crate) timeline: Option<&'a Path>,
    /// Where what was heard is.
    pub(crate) heard: Option<&'a Path>,
    /// `--json`.
    pub(crate) json: bool,
}

impl Told<'_> {
    /// Writes and prints all of it.
    pub(crate) fn tell(&self) -> Result<ExitCode, Failure> {
        if let Some(path) = self.page {
            write("--report", path, &self.report.to_html())?;
        }
        if let Some(path) = self.timeline {
            write("--timeline", path, &stand::timeline_csv(&self.report.run.ticks))?;
        }
        if self.json {
            terminal::print_json(self.report.outcome);
        } else {
            terminal::print(&summary::text(self.report.outcome, self.heard));
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Writes what was heard.
pub(crate) fn save_heard(path: &Path, heard: &[f32]) -> Result<(), Failure> {
    save_wav(path, heard).map_err(|error| {
        Failure::new(Exit::Sound, format!("--output {}: {error}", path.display())).advice(ADVICE)
    })
}

fn write(option: &str, path: &Path, text: &str) -> Result<(), Failure> {
    std::fs::write(path, text)
        .map_err(|error| Failure::usage(format!("{option} {}: {error}", path.display())).advice(ADVICE))
}
