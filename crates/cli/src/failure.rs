//! Why a command did not do what it was asked to: an exit status, what happened, and what to do about it.

use std::fmt;
use std::process::ExitCode;

use crate::terminal;

/// Exit statuses. `call` and `answer` document them in their help; 0 is success.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Something went wrong that has no status of its own.
    Failed = 1,
    /// The command line is wrong, or a file it names cannot be used.
    Usage = 2,
    /// The server cannot be reached.
    Unreachable = 3,
    /// The server refused the credentials, or there were none.
    Refused = 4,
    /// Nobody answered: denied, busy, not there, given up.
    NotAnswered = 5,
    /// A sound device or sound file cannot be used.
    Sound = 6,
    /// The call failed or broke off.
    Broken = 7,
}

/// A command's failure, as a person reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    exit: Exit,
    what: String,
    advice: Option<String>,
}

impl Failure {
    pub(crate) fn new(exit: Exit, what: impl Into<String>) -> Self {
        Self { exit, what: what.into(), advice: None }
    }

    pub(crate) fn failed(what: impl Into<String>) -> Self {
        Self::new(Exit::Failed, what)
    }

    pub(crate) fn usage(what: impl Into<String>) -> Self {
        Self::new(Exit::Usage, what)
    }

    /// Adds what to do about it.
    pub(crate) fn advice(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }

    #[cfg(test)]
    pub(crate) const fn exit(&self) -> Exit {
        self.exit
    }

    /// Prints it on stderr and gives the process's exit status.
    pub(crate) fn report(&self) -> ExitCode {
        terminal::say(&format!("offhook: {self}"));
        ExitCode::from(self.exit as u8)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.what)?;
        match &self.advice {
            Some(advice) => write!(formatter, "\n         {advice}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_happened_and_then_what_to_do() {
        let failure = Failure::usage("no such file").advice("give another");
        assert_eq!(failure.to_string(), "no such file\n         give another");
        assert_eq!(failure.report(), ExitCode::from(2));
    }
}
