//! Applications as the store keeps them.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use offhook_signaling::token::ApplicationSecret;
use offhook_signaling::{ApplicationKey, EntropySource as _, UnixSeconds};
use serde::{Deserialize, Serialize};

use crate::application::{Application, MOST_SECRETS};
use crate::callbacks::Callbacks;
use crate::environment::OsEntropy;

/// Who made an application.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ApplicationOrigin {
    /// The server, because there was none: it serves as long as there is no other.
    Development,
    /// The operator.
    Created,
}

/// A secret and how long it is accepted. `Debug` does not show the secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredSecret {
    /// The secret.
    pub secret: ApplicationSecret,
    /// Until when, for one that was replaced.
    pub accepted_until: Option<UnixSeconds>,
}

/// An application with what the operator decided about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredApplication {
    /// The public key.
    pub key: ApplicationKey,
    /// What the operator calls it; may be empty.
    pub name: String,
    /// Who made it.
    pub origin: ApplicationOrigin,
    /// When it was made.
    pub created: UnixSeconds,
    /// Since when nobody of it is let in.
    pub blocked: Option<UnixSeconds>,
    /// The secrets, the newest first.
    pub secrets: Vec<StoredSecret>,
    /// Where its back end is told of calls.
    pub callbacks: Option<Callbacks>,
}

impl StoredApplication {
    /// A new application with a random key and a random secret of 256 bits.
    ///
    /// # Panics
    /// When the operating system gives no random bytes; nothing can be kept secret then.
    #[must_use]
    pub fn create(name: &str, now: UnixSeconds) -> Self {
        let key = ApplicationKey::random(&mut OsEntropy);
        let secrets = vec![StoredSecret { secret: random_secret(), accepted_until: None }];
        let origin = ApplicationOrigin::Created;
        Self { key, name: name.to_owned(), origin, created: now, blocked: None, secrets, callbacks: None }
    }

    /// One that the server made.
    pub(crate) fn development(application: &Application, now: UnixSeconds) -> Self {
        let stored =
            |secret: &ApplicationSecret| StoredSecret { secret: secret.clone(), accepted_until: None };
        Self {
            key: application.key().clone(),
            name: String::new(),
            origin: ApplicationOrigin::Development,
            created: now,
            blocked: None,
            secrets: application.secrets().iter().map(stored).collect(),
            callbacks: application.callbacks().cloned(),
        }
    }

    /// Gives it a new random secret; the one before is accepted for `accept_old` more, older ones no longer.
    ///
    /// # Panics
    /// When the operating system gives no random bytes.
    pub fn rotate(&mut self, now: UnixSeconds, accept_old: Duration) {
        self.secrets.truncate(MOST_SECRETS - 1);
        for old in &mut self.secrets {
            old.accepted_until = Some(now.plus(accept_old.as_secs()));
        }
        self.secrets.insert(0, StoredSecret { secret: random_secret(), accepted_until: None });
    }

    /// The application as it is served now; `None` while it is blocked.
    #[must_use]
    pub fn served(&self, now: UnixSeconds) -> Option<Application> {
        let mut accepted = self
            .secrets
            .iter()
            .filter(|secret| secret.accepted_until.is_none_or(|until| now < until))
            .map(|secret| secret.secret.clone());
        let newest = accepted.next().filter(|_| self.blocked.is_none())?;
        let application = Application::new(self.key.clone(), newest);
        let application = accepted.fold(application, Application::with_previous_secret);
        Some(match &self.callbacks {
            Some(callbacks) => application.with_callbacks(callbacks.clone()),
            None => application,
        })
    }
}

fn random_secret() -> ApplicationSecret {
    let mut secret = [0; 32];
    OsEntropy.fill(&mut secret);
    ApplicationSecret::from_base64(&STANDARD.encode(secret)).expect("32 encoded bytes are a secret")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replaced_secret_is_accepted_for_the_stated_time_and_no_longer() {
        let now = UnixSeconds(1_000_000);
        let mut application = StoredApplication::create("shop", now);
        let old = application.secrets[0].secret.clone();
        application.rotate(now, Duration::from_secs(60));
        let served = |at| application.served(at).unwrap().secrets().to_vec();
        let new = application.secrets[0].secret.clone();
        assert_ne!(new, old);
        assert_eq!(served(now.plus(59)), [new.clone(), old]);
        assert_eq!(served(now.plus(60)), [new]);
    }

    #[test]
    fn a_second_rotation_ends_the_first_secret_and_a_block_ends_all() {
        let now = UnixSeconds(1_000_000);
        let mut application = StoredApplication::create("shop", now);
        let first = application.secrets[0].secret.clone();
        application.rotate(now, Duration::from_secs(60));
        application.rotate(now, Duration::from_secs(60));
        let served = application.served(now).unwrap();
        assert!(served.secrets().len() == 2 && !served.secrets().contains(&first));
        application.blocked = Some(now);
        assert_eq!(application.served(now), None);
    }
}
