//! Time-limited credentials of a relay: `expiry:application:user.call`, and HMAC-SHA1 of that under a shared secret, as
//! draft-uberti-behave-turn-rest-00 has it and coturn's `use-auth-secret` understands it. Pure: time is an argument.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac as _};
use md5::Md5;
use offhook_signaling::call::DeviceAddress;
use offhook_signaling::{ApplicationKey, CallId, UnixSeconds};
use sha1::Sha1;
use sha2::{Digest as _, Sha256};

/// A secret that a relay shares with those who mint credentials for it. `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct TurnSecret(Vec<u8>);

impl TurnSecret {
    /// Takes the text as it stands, as coturn does.
    #[must_use]
    pub fn new(text: impl Into<Vec<u8>>) -> Self {
        Self(text.into())
    }

    pub(crate) const fn len(&self) -> usize {
        self.0.len()
    }

    /// The password that belongs to `username`.
    pub(super) fn password(&self, username: &str) -> String {
        let Ok(mut mac) = Hmac::<Sha1>::new_from_slice(&self.0) else { return String::new() };
        mac.update(username.as_bytes());
        STANDARD.encode(mac.finalize().into_bytes())
    }
}

impl std::fmt::Debug for TurnSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TurnSecret(redacted)")
    }
}

/// A user name and its password.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Minted {
    pub(crate) username: String,
    pub(crate) password: String,
}

/// A call, as its credentials name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct CallMark(u64);

impl CallMark {
    pub(super) fn of(application: &ApplicationKey, call: &CallId) -> Self {
        Self(short_hash(&[application.as_str(), call.as_str()]))
    }
}

/// Credentials of one device in one call. User and call stand in them as hashes only: they cross the network readable.
pub(crate) fn mint(secret: &TurnSecret, until: UnixSeconds, device: &DeviceAddress, call: &CallId) -> Minted {
    let application = device.application.as_str();
    let user = short_hash(&[application, device.user.as_str()]);
    let CallMark(mark) = CallMark::of(&device.application, call);
    let own = short_hash(&[call.as_str(), device.user.as_str(), device.device.as_str()]);
    let username = format!("{}:{application}:{user:016x}.{mark:016x}-{own:016x}", until.0);
    Minted { password: secret.password(&username), username }
}

fn short_hash(parts: &[&str]) -> u64 {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes))
}

/// What a user name says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Claim<'a> {
    pub(super) until: UnixSeconds,
    /// Whose quota it counts against: application and user.
    pub(super) user: &'a str,
    /// The call it is for; `None` where others minted it, who name their calls otherwise.
    pub(super) call: Option<CallMark>,
}

/// Reads a user name; `None` when it is of another form.
pub(super) fn read(username: &str) -> Option<Claim<'_>> {
    let (until, rest) = username.split_once(':')?;
    let until: u64 = until.parse().ok().filter(|_| until.bytes().all(|byte| byte.is_ascii_digit()))?;
    let (user, call) = rest.rsplit_once('.')?;
    let plain = |text: &str| {
        !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b":-_".contains(&b))
    };
    let is_ours = username.len() <= 255 && plain(user) && plain(call);
    let mark = call.split_once('-').filter(|(mark, _)| mark.len() == 16);
    let call = mark.and_then(|(mark, _)| u64::from_str_radix(mark, 16).ok()).map(CallMark);
    is_ours.then_some(Claim { until: UnixSeconds(until), user, call })
}

/// The key of the long-term mechanism (RFC 8489 section 9.2.2).
pub(super) fn key(username: &str, realm: &str, password: &str) -> Vec<u8> {
    Md5::digest(format!("{username}:{realm}:{password}")).to_vec()
}

#[cfg(test)]
mod tests {
    use offhook_signaling::{ApplicationKey, DeviceId, UserId};

    use super::*;

    #[test]
    fn a_password_is_what_coturn_computes() {
        // printf '%s' 1700000000:bob | openssl dgst -sha1 -hmac north -binary | base64
        assert_eq!(TurnSecret::new("north").password("1700000000:bob"), "7tNSWpJ3gOxGfEgOjt+kaWhBC20=");
    }

    #[test]
    fn what_is_minted_is_read_and_names_nobody() {
        let device = DeviceAddress {
            application: ApplicationKey::new("a32e5a8d-f7d8-411c-9645-9038e8dd051d").unwrap(),
            user: UserId::new("alice").unwrap(),
            device: DeviceId::new("phone").unwrap(),
        };
        let other = DeviceAddress { device: DeviceId::new("tablet").unwrap(), ..device.clone() };
        let call = CallId::new("call-one").unwrap();
        let secret = TurnSecret::new("s");
        let minted = mint(&secret, UnixSeconds(1000), &device, &call);
        let claim = read(&minted.username).unwrap();
        assert_eq!(claim.until, UnixSeconds(1000));
        assert!(!minted.username.contains("alice") && !minted.username.contains("call-one"));
        let second = mint(&secret, UnixSeconds(1000), &other, &call);
        assert_ne!(second.username, minted.username, "one credential per device");
        assert_eq!(read(&second.username).unwrap().user, claim.user, "one quota per user");
        let mark = Some(CallMark::of(&device.application, &call));
        assert_eq!([read(&second.username).unwrap().call, claim.call], [mark; 2], "they end together");
        let later = mint(&secret, UnixSeconds(1000), &device, &CallId::new("call-two").unwrap());
        assert_ne!(read(&later.username).unwrap().call, mark);
        assert_eq!(minted.password, secret.password(&minted.username));
        assert!(!format!("{secret:?}").contains("\"s\""));
    }

    #[test]
    fn credentials_that_others_minted_name_no_call() {
        for name in ["1:a.b", "1:a.b-c", "1:a.0123456789abcdef", "1:a.0123456789abcdeg-1"] {
            assert_eq!(read(name).unwrap().call, None, "{name}");
        }
    }

    #[test]
    fn other_user_names_are_refused() {
        let long = format!("1:{}.x", "a".repeat(255));
        for name in [
            "",
            "bob",
            "1000",
            "1000:",
            "x:a.b",
            "+1:a.b",
            "-1:a.b",
            "99999999999999999999:a.b",
            "1:a b.c",
            "1:.c",
            &long,
        ] {
            assert_eq!(read(name), None, "{name}");
        }
    }
}
