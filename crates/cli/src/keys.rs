//! Keys pressed during a call, where standard input is a terminal.

use crossterm::event::{Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers, poll, read};
use crossterm::terminal::{disable_raw_mode, enable_raw_mode};
use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::mpsc;

/// How often the reader looks whether it should end.
const LOOK: Duration = Duration::from_millis(100);

/// What a key asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Key {
    /// `m`: mute or unmute.
    Mute,
    /// `h`: hold or resume.
    Hold,
    /// `0-9 * # A-D`: send the tone.
    Dtmf(char),
    /// `a` or Enter: answer.
    Answer,
    /// `d`: refuse.
    Deny,
    /// `q`, Escape or Ctrl-C: hang up or leave.
    Quit,
}

impl Key {
    fn of(event: KeyEvent) -> Option<Self> {
        if event.kind != KeyEventKind::Press {
            return None;
        }
        match event.code {
            KeyCode::Char('c') if event.modifiers.contains(KeyModifiers::CONTROL) => Some(Self::Quit),
            KeyCode::Char('m') => Some(Self::Mute),
            KeyCode::Char('h') => Some(Self::Hold),
            KeyCode::Char('a') | KeyCode::Enter => Some(Self::Answer),
            KeyCode::Char('d') => Some(Self::Deny),
            KeyCode::Char('q') | KeyCode::Esc => Some(Self::Quit),
            KeyCode::Char(tone @ ('0'..='9' | '*' | '#' | 'A'..='D')) => Some(Self::Dtmf(tone)),
            _ => None,
        }
    }
}

/// Reads keys on a thread of its own until dropped; the terminal is put back then.
#[derive(Debug)]
pub(crate) struct Keys {
    presses: mpsc::Receiver<Key>,
    ended: Arc<AtomicBool>,
    raw: bool,
}

impl Keys {
    /// Starts reading. Where standard input is no terminal, no key ever comes.
    pub(crate) fn start() -> Self {
        let (sender, presses) = mpsc::channel(16);
        let ended = Arc::new(AtomicBool::new(false));
        let raw = std::io::stdin().is_terminal() && enable_raw_mode().is_ok();
        if raw {
            let ended = ended.clone();
            std::thread::spawn(move || read_keys(&sender, &ended));
        }
        Self { presses, ended, raw }
    }

    /// Whether there is a terminal to press keys at.
    pub(crate) const fn are_there(&self) -> bool {
        self.raw
    }

    /// The next key; pending for ever where there is no terminal.
    pub(crate) async fn next(&mut self) -> Key {
        match self.presses.recv().await {
            Some(key) => key,
            None => std::future::pending().await,
        }
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        if self.raw {
            let _ = disable_raw_mode();
        }
    }
}

fn read_keys(sender: &mpsc::Sender<Key>, ended: &AtomicBool) {
    while !ended.load(Ordering::Relaxed) {
        match poll(LOOK) {
            Ok(false) => continue,
            Ok(true) => {}
            Err(_) => return,
        }
        let Ok(event) = read() else { return };
        if let Event::Key(event) = event
            && let Some(key) = Key::of(event)
            && sender.blocking_send(key).is_err()
        {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pressed(code: KeyCode, modifiers: KeyModifiers) -> Option<Key> {
        Key::of(KeyEvent::new(code, modifiers))
    }

    #[test]
    fn keys_mean_what_the_help_says() {
        let plain = |character| pressed(KeyCode::Char(character), KeyModifiers::NONE);
        assert_eq!(plain('m'), Some(Key::Mute));
        assert_eq!(plain('7'), Some(Key::Dtmf('7')));
        assert_eq!(plain('#'), Some(Key::Dtmf('#')));
        assert_eq!((plain('a'), plain('d')), (Some(Key::Answer), Some(Key::Deny)));
        assert_eq!(plain('q'), Some(Key::Quit));
        assert_eq!(plain('c'), None);
        assert_eq!(pressed(KeyCode::Char('c'), KeyModifiers::CONTROL), Some(Key::Quit));
    }
}
