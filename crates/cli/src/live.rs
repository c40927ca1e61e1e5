//! The line that shows how a call stands.

use std::fmt::Write as _;
use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use offhook_client::{Call, CallState, CallStats};

const FIRST_MOMENTS: Duration = Duration::from_secs(3);
const USUAL_COLUMNS: usize = 100;
const BAR_CELLS: usize = 8;
/// Levels from here to 0 dB fill the bar.
const BAR_FLOOR_DB: f64 = -56.0;
/// Without a terminal a line is printed this often, and at every change of state.
const PLAIN_EVERY: Duration = Duration::from_secs(5);

/// One line on a terminal, written over again and again; elsewhere a line now and then.
#[derive(Debug)]
pub(crate) struct LiveLine {
    terminal: bool,
    shown: bool,
    last_plain: Option<Instant>,
    last_state: Option<CallState>,
}

/// What the line adds to what the call knows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Controls {
    pub(crate) held: bool,
    /// Whether keys can be pressed.
    pub(crate) keys: bool,
}

impl LiveLine {
    pub(crate) fn new() -> Self {
        Self { terminal: std::io::stderr().is_terminal(), shown: false, last_plain: None, last_state: None }
    }

    /// Whether it is on a terminal.
    pub(crate) fn is_seen(&self) -> bool {
        self.terminal
    }

    /// Shows how the call stands.
    pub(crate) fn show(&mut self, call: &Call, controls: Controls) {
        let now = Instant::now();
        let state = call.state();
        if !self.terminal
            && self.last_state == Some(state)
            && self.last_plain.is_some_and(|last| now - last < PLAIN_EVERY)
        {
            return;
        }
        (self.last_state, self.last_plain) = (Some(state), Some(now));
        let text = line(call, now, controls);
        if self.terminal {
            let text: String = text.chars().take(columns() - 1).collect();
            self.shown = true;
            write(&format!("\r\x1b[2K{text}"));
        } else {
            write(&format!("{text}\n"));
        }
    }

    /// Prints a line that stays.
    pub(crate) fn say(&mut self, text: &str) {
        let clear = if std::mem::take(&mut self.shown) { "\r\x1b[2K" } else { "" };
        // In raw mode a new line does not begin at the left.
        let end = if self.terminal { "\r\n" } else { "\n" };
        write(&format!("{clear}{text}{end}"));
    }
}

impl Drop for LiveLine {
    /// What is printed next begins on a line of its own.
    fn drop(&mut self) {
        if self.shown {
            write("\r\n");
        }
    }
}

/// Width of the terminal; some do not know theirs.
fn columns() -> usize {
    let known = crossterm::terminal::size().ok().filter(|(columns, _)| *columns > 1);
    known.map_or(USUAL_COLUMNS, |(columns, _)| usize::from(columns))
}

fn write(text: &str) {
    let mut stderr = std::io::stderr().lock();
    let _ = stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush());
}

fn line(call: &Call, now: Instant, controls: Controls) -> String {
    let details = call.details();
    let since = details.established.unwrap_or(details.started);
    let stats = call.stats();
    let mut text = format!(
        "{:<11} {}",
        state_word(call.state(), controls.held),
        clock(now.saturating_duration_since(since))
    );
    if call.state() == CallState::Established {
        let muted = if call.is_muted() { "muted" } else { "you" };
        let _ = write!(
            text,
            "  {muted} {}  {} {}  {}",
            bar(-f64::from(stats.stream.send.level.level.get())),
            call.remote_user_id(),
            bar(-f64::from(stats.stream.receive.level.get())),
            quality(&stats, now.saturating_duration_since(since))
        );
    }
    if controls.keys {
        text += "  [m mute, h hold, 0-9 tones, q hang up]";
    }
    text
}

fn state_word(state: CallState, held: bool) -> &'static str {
    match state {
        CallState::Init => "calling",
        CallState::Progressing => "reaching",
        CallState::Ringing => "ringing",
        CallState::Answered => "connecting",
        CallState::Established if held => "on hold",
        CallState::Established => "talking",
        CallState::Ended => "ended",
    }
}

/// Delay, loss and how it sounds, in words a caller understands; what the first moments sound like says little.
fn quality(stats: &CallStats, talked: Duration) -> String {
    let delay =
        stats.latency.map_or_else(|| "-".to_owned(), |delay| format!("{:.0} ms", delay.as_secs_f64() * 1e3));
    let loss = stats.transport.loss.map_or_else(|| "-".to_owned(), |loss| format!("{:.1} %", loss * 100.0));
    let judged = stats.quality.filter(|_| talked >= FIRST_MOMENTS);
    let quality = judged.map_or("", |score| quality_word(score.mos));
    format!("delay {delay}, loss {loss}{}{quality}", if quality.is_empty() { "" } else { ", " })
}

/// After the five words of opinion scores (ITU-T P.800).
pub(crate) fn quality_word(mos: f64) -> &'static str {
    // As it is printed beside the word.
    match (mos * 10.0).round() / 10.0 {
        mos if mos >= 4.3 => "excellent",
        mos if mos >= 4.0 => "good",
        mos if mos >= 3.6 => "fair",
        mos if mos >= 3.1 => "poor",
        _ => "bad",
    }
}

/// A level in dB as cells.
fn bar(db: f64) -> String {
    let share = ((db - BAR_FLOOR_DB) / -BAR_FLOOR_DB).clamp(0.0, 1.0);
    let full = (share * BAR_CELLS as f64).round() as usize;
    "#".repeat(full) + &".".repeat(BAR_CELLS - full)
}

fn clock(time: Duration) -> String {
    let seconds = time.as_secs();
    format!("{:02}:{:02}", seconds / 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_clocks_and_words() {
        assert_eq!((bar(-100.0).as_str(), bar(0.0).as_str()), ("........", "########"));
        assert_eq!(bar(-28.0), "####....");
        assert_eq!(clock(Duration::from_secs(61)), "01:01");
        assert_eq!((quality_word(4.4), quality_word(2.0)), ("excellent", "bad"));
        assert_eq!(quality_word(3.06), "poor", "printed as 3.1");
    }
}
