//! `offhook token`, and tokens for other commands.

use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use offhook_signaling::token::{ApplicationSecret, MintRequest, mint};
use offhook_signaling::{ApplicationKey, EntropySource, UnixSeconds, UserId, entropy};

use crate::args::TokenArguments;
use crate::failure::Failure;
use crate::terminal;

/// Prints a token and nothing else.
pub(crate) fn run(arguments: &TokenArguments) -> Result<ExitCode, Failure> {
    let TokenArguments { application_key, application_secret, user, ttl } = arguments;
    terminal::print(&make(application_key, application_secret, user, *ttl)?);
    Ok(ExitCode::SUCCESS)
}

/// Makes a token that lives `ttl` seconds from now.
pub(crate) fn make(key: &str, secret: &str, user: &str, ttl: u64) -> Result<String, Failure> {
    let application_key = ApplicationKey::new(key).map_err(|error| {
        Failure::usage(format!("--application-key {key:?}: {error}"))
            .advice("copy it again, e.g. from the output of `offhook serve`")
    })?;
    let secret = ApplicationSecret::from_base64(secret).map_err(|error| {
        Failure::usage(format!("--application-secret: {error}"))
            .advice("copy it again, with the = signs at its end, e.g. from the output of `offhook serve`")
    })?;
    let user = UserId::new(user).map_err(|error| Failure::usage(format!("--user {user:?}: {error}")))?;
    Ok(mint(&MintRequest {
        application_key: &application_key,
        secret: &secret,
        user: &user,
        issued_at: now()?,
        ttl_seconds: ttl,
        nonce: &entropy::uuid(&mut Drawn::new()?),
        instance_expires: None,
    }))
}

fn now() -> Result<UnixSeconds, Failure> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map(|since| UnixSeconds(since.as_secs())).map_err(|_| {
        Failure::failed("this machine's clock is before 1970")
            .advice("set it: a token tells when it was made")
    })
}

/// Bytes of the operating system, drawn beforehand: a system without them is an error, not a panic.
struct Drawn([u8; 16]);

impl Drawn {
    fn new() -> Result<Self, Failure> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).map_err(|error| {
            Failure::failed(format!("the operating system gives no random bytes: {error}"))
        })?;
        Ok(Self(bytes))
    }
}

impl EntropySource for Drawn {
    /// Serves one UUID: 16 bytes.
    fn fill(&mut self, bytes: &mut [u8]) {
        bytes.copy_from_slice(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "a32e5a8d-f7d8-411c-9645-9038e8dd051d";
    const SECRET: &str = "ax8hTTQJF0OPXL32r1LHMA==";

    #[test]
    fn each_wrong_part_is_named() {
        let failure = |key, secret, user| make(key, secret, user, 600).unwrap_err().to_string();
        assert!(failure("x", SECRET, "alice").contains("--application-key"));
        assert!(failure(KEY, "secret", "alice").contains("--application-secret"));
        assert!(!failure(KEY, "secret!", "alice").contains("secret!"), "a secret is not repeated");
        assert!(failure(KEY, SECRET, "a b").contains("--user \"a b\""));
    }

    #[test]
    fn no_two_tokens_are_alike() {
        let token = || make(KEY, SECRET, "alice", 600).unwrap();
        assert_ne!(token(), token());
    }
}
