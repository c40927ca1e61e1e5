//! `offhook top`: a server's metrics, live.

mod fetch;
#[cfg(test)]
mod fuzzing;
mod sample;
mod screen;
mod servers;

use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use crossterm::event::{Event, KeyCode, KeyEventKind, KeyModifiers, poll, read};
use crossterm::{cursor, execute, terminal as crossterm_terminal};

use self::fetch::Source;
use self::sample::Sample;
use self::screen::{Screen, render};
use self::servers::{Look, Servers};
use crate::args::TopArguments;
use crate::failure::Failure;
use crate::terminal;

/// How often a key is looked for between two looks at the server.
const LOOK: Duration = Duration::from_millis(100);
/// Where the terminal does not say.
const USUAL_COLUMNS: usize = 100;

/// Shows metrics until `q`, or prints one snapshot.
pub(crate) async fn run(arguments: &TopArguments) -> Result<ExitCode, Failure> {
    let source = |server| Source::new(server, arguments.admin.as_deref(), arguments.ca.as_deref());
    let sources: Vec<Source> =
        arguments.server.iter().map(|server| source(server)).collect::<Result<_, _>>()?;
    let (servers, first) = Servers::first_look(sources).await?;
    if arguments.json {
        let unreachable = first.failures.into_iter().map(|(server, _)| server).collect();
        terminal::print_json(&first.sample.snapshot(unreachable));
        return Ok(ExitCode::SUCCESS);
    }
    if !std::io::stdout().is_terminal() {
        return Err(Failure::usage("standard output is not a terminal")
            .advice("add --json for one snapshot, e.g. for a script"));
    }
    let _raw =
        Raw::enter().map_err(|error| Failure::failed(format!("the terminal cannot be used: {error}")))?;
    watch(servers, first.sample, arguments.interval).await
}

async fn watch(mut servers: Servers, first: Sample, interval: Duration) -> Result<ExitCode, Failure> {
    let mut last = (Instant::now(), first);
    loop {
        if wait_or_quit(interval).await {
            return Ok(ExitCode::SUCCESS);
        }
        let now = Instant::now();
        // A server that restarts is shown again as soon as it answers.
        let Look { sample, failures } = servers.look().await;
        let before = std::mem::replace(&mut last, (now, sample));
        let problems: Vec<String> = failures.iter().map(|(_, failure)| failure.to_string()).collect();
        let problem = (!problems.is_empty()).then(|| problems.join("\n"));
        let columns = crossterm_terminal::size().map_or(USUAL_COLUMNS, |(columns, _)| usize::from(columns));
        let screen = Screen {
            server: &servers.names(),
            before: &before.1,
            now: &last.1,
            elapsed: now.saturating_duration_since(before.0),
            problem: problem.as_deref(),
        };
        draw(&render(&screen), columns);
    }
}

/// Whether the person wants to leave.
async fn wait_or_quit(interval: Duration) -> bool {
    let until = Instant::now() + interval;
    while Instant::now() < until {
        let quits = tokio::task::spawn_blocking(|| {
            let is_there = poll(LOOK).unwrap_or(false);
            let Some(Event::Key(key)) = is_there.then(read).and_then(Result::ok) else { return false };
            let is_interrupt =
                key.modifiers.contains(KeyModifiers::CONTROL) && key.code == KeyCode::Char('c');
            key.kind == KeyEventKind::Press
                && (is_interrupt || matches!(key.code, KeyCode::Char('q') | KeyCode::Esc))
        });
        if quits.await.unwrap_or(true) {
            return true;
        }
    }
    false
}

fn draw(text: &str, columns: usize) {
    let mut out = std::io::stdout().lock();
    // A terminal that is gone shows nothing; the next key or signal ends this.
    let _ =
        execute!(out, cursor::MoveTo(0, 0), crossterm_terminal::Clear(crossterm_terminal::ClearType::All));
    for line in text.lines() {
        let line: String = line.chars().take(columns).collect();
        let _ = write!(out, "{line}\r\n");
    }
    let _ = out.flush();
}

/// The other screen, without echo; left when dropped.
#[derive(Debug)]
struct Raw;

impl Raw {
    fn enter() -> std::io::Result<Self> {
        crossterm_terminal::enable_raw_mode()?;
        let raw = Self;
        execute!(std::io::stdout(), crossterm_terminal::EnterAlternateScreen, cursor::Hide)?;
        Ok(raw)
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // There is nobody left to tell.
        let _ = execute!(std::io::stdout(), cursor::Show, crossterm_terminal::LeaveAlternateScreen);
        let _ = crossterm_terminal::disable_raw_mode();
    }
}
