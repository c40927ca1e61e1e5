//! Logs on stderr.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

use crate::args::{Arguments, Command, LogFormat};
use crate::failure::Failure;

/// The PulseAudio client calls it an error when a stream that is closed disconnects.
const USUAL: &str = "warn,pulseaudio::client::reactor=off";

/// Libraries whose finest logs show what must never be in a log, whoever asks: frames with tokens, and what is written to a database.
const NEVER: [&str; 3] = ["tungstenite=debug", "tokio_tungstenite=debug", "tokio_postgres=info"];

/// Starts logging as the command line asks; a server says more than the other commands unless told otherwise.
pub(crate) fn start(arguments: &Arguments) -> Result<(), Failure> {
    let usual = if matches!(arguments.command, Command::Serve(_)) { "info" } else { USUAL };
    let filter = filter(arguments.log.as_deref().unwrap_or(usual))?;
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    let usual = if matches!(&arguments.command, Command::Serve(serve) if serve.json) {
        LogFormat::Json
    } else {
        LogFormat::Text
    };
    if arguments.log_format.unwrap_or(usual) == LogFormat::Json {
        subscriber.json().init();
    } else {
        subscriber.init();
    }
    Ok(())
}

fn filter(text: &str) -> Result<EnvFilter, Failure> {
    let filter = EnvFilter::try_new(text).map_err(|error| {
        Failure::usage(format!("--log {text:?} is not a log filter: {error}"))
            .advice("use off, error, warn, info, debug or trace, or name parts: offhook_server=debug,warn")
    })?;
    // What is off stays off.
    let asks_for_more = !matches!(text.trim(), "off" | "error" | "warn" | "info");
    let never = NEVER.iter().filter(|_| asks_for_more).filter_map(|directive| directive.parse().ok());
    Ok(never.fold(filter, EnvFilter::add_directive))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_and_statements_are_not_logged_whoever_asks() {
        for asked in ["trace", "tungstenite=trace", "debug,tokio_postgres=trace"] {
            let filter = filter(asked).unwrap().to_string();
            assert!(NEVER.iter().all(|never| filter.split(',').any(|said| said == *never)), "{filter}");
            assert!(!filter.contains("tungstenite=trace") && !filter.contains("postgres=trace"), "{filter}");
        }
        assert_eq!(filter("warn").unwrap().to_string(), "warn");
    }

    #[test]
    fn a_wrong_filter_is_told_with_an_example() {
        assert!(filter("offhook_client=debug,warn").is_ok());
        let failure = filter("offhook=loud").unwrap_err().to_string();
        assert!(failure.contains("offhook=loud") && failure.contains("use off, error"), "{failure}");
    }
}
