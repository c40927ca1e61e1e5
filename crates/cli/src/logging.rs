//! Logs on stderr.

use std::io::IsTerminal as _;

use tracing_subscriber::filter::{FilterExt as _, LevelFilter, filter_fn};
use tracing_subscriber::layer::{Filter, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _, fmt};

use crate::args::{Arguments, Command, LogFormat};
use crate::failure::Failure;

/// The PulseAudio client calls it an error when a stream that is closed disconnects.
const USUAL: &str = "warn,pulseaudio::client::reactor=off";

/// Libraries whose finest logs show what must never be in a log, whoever asks: frames with tokens, and what is written to a database. They
/// are heard up to this level.
const MOST: [(&str, LevelFilter); 3] = [
    ("tungstenite", LevelFilter::DEBUG),
    ("tokio_tungstenite", LevelFilter::DEBUG),
    ("tokio_postgres", LevelFilter::INFO),
];

/// Starts logging as the command line asks; a server says more than the other commands unless told otherwise.
pub(crate) fn start(arguments: &Arguments) -> Result<(), Failure> {
    let usual = if matches!(arguments.command, Command::Serve(_)) { "info" } else { USUAL };
    let filter = filter(arguments.log.as_deref().unwrap_or(usual))?;
    let usual = if matches!(&arguments.command, Command::Serve(serve) if serve.json) {
        LogFormat::Json
    } else {
        LogFormat::Text
    };
    let lines = fmt::layer().with_writer(std::io::stderr).with_ansi(std::io::stderr().is_terminal());
    let lines = match arguments.log_format.unwrap_or(usual) {
        LogFormat::Json => lines.json().boxed(),
        LogFormat::Text => lines.boxed(),
    };
    tracing_subscriber::registry().with(lines.with_filter(filter.and(never_secret()))).init();
    Ok(())
}

fn never_secret<S>() -> impl Filter<S> {
    let fit = filter_fn(|said| may_be_logged(said.target(), LevelFilter::from_level(*said.level())));
    // Without this word on levels every line that a library would log at its finest is made up first and then thrown away.
    fit.with_max_level_hint(LevelFilter::TRACE)
}

fn filter(text: &str) -> Result<EnvFilter, Failure> {
    let wrong = |why: String| {
        Failure::usage(format!("--log {text:?} is not a log filter: {why}"))
            .advice("use off, error, warn, info, debug or trace, or name parts: offhook_server=debug,warn")
    };
    // A filter takes a word that is no level for a part, and then says nothing of all others.
    let is_stray = |word: &&str| !word.contains(['=', '[']) && word.parse::<LevelFilter>().is_err();
    if let Some(word) = text.split(',').map(str::trim).filter(|word| !word.is_empty()).find(is_stray) {
        return Err(wrong(format!("{word:?} is no level, and no part with its level")));
    }
    EnvFilter::try_new(text).map_err(|error| wrong(error.to_string()))
}

fn may_be_logged(target: &str, level: LevelFilter) -> bool {
    let library = target.split("::").next().unwrap_or(target);
    MOST.iter().all(|(of, most)| *of != library || level <= *most)
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::Registry;

    use super::*;

    #[test]
    fn frames_and_statements_are_not_logged_whoever_asks() {
        assert!(!may_be_logged("tungstenite::protocol", LevelFilter::TRACE));
        assert!(!may_be_logged("tokio_postgres::prepare", LevelFilter::DEBUG));
        assert!(may_be_logged("tungstenite::protocol", LevelFilter::DEBUG));
        assert!(may_be_logged("offhook_client::driver", LevelFilter::TRACE));
    }

    #[test]
    fn what_nobody_asked_for_is_not_even_made_up() {
        let both = filter("offhook_client=info,warn").unwrap().and(never_secret::<Registry>());
        assert_eq!(both.max_level_hint(), Some(LevelFilter::INFO));
    }

    #[test]
    fn a_wrong_filter_is_told_with_an_example() {
        assert!(filter("offhook_client=debug,warn").is_ok());
        let failure = filter("offhook=loud").unwrap_err().to_string();
        assert!(failure.contains("offhook=loud") && failure.contains("use off, error"), "{failure}");
        for stray in ["bogus", "offhook_server", "info,loud"] {
            assert!(filter(stray).unwrap_err().to_string().contains("is no level"), "{stray}");
        }
        for good in
            ["INFO", "off", "warn,pulseaudio::client::reactor=off", "[call{id=x}]=debug", "warn, debug", ""]
        {
            assert!(filter(good).is_ok(), "{good}");
        }
    }
}
