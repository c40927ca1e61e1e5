//! Applications: a key that is public and secrets that sign registration tokens.

use std::sync::Arc;

use offhook_signaling::ApplicationKey;
use offhook_signaling::token::ApplicationSecret;

use crate::callbacks::Callbacks;
use crate::environment::OsEntropy;
use crate::webhook::CallbackTarget;

/// The most secrets that are active at once: the new one and, during a rotation, the old one.
pub(crate) const MOST_SECRETS: usize = 2;

/// An application that may register users. `Debug` does not show its secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Application {
    key: ApplicationKey,
    secrets: Vec<ApplicationSecret>,
    callbacks: Option<Arc<Callbacks>>,
}

/// Why a text is not an application.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApplicationError {
    /// No colon between key and secret: write `KEY:SECRET`.
    #[error("an application is written KEY:SECRET")]
    Form,
    /// The key is not a lower-case UUID: copy it again.
    #[error("the application key is not a lower-case UUID")]
    Key,
    /// The secret is not base64 of 16 to 64 bytes: copy it again.
    #[error("the application secret is not the base64 of 16 to 64 bytes")]
    Secret,
}

impl Application {
    /// An application with one active secret.
    #[must_use]
    pub fn new(key: ApplicationKey, secret: ApplicationSecret) -> Self {
        Self { key, secrets: vec![secret], callbacks: None }
    }

    /// The same application, whose back end is asked about calls and told of them.
    #[must_use]
    pub fn with_callbacks(mut self, callbacks: Callbacks) -> Self {
        self.callbacks = Some(Arc::new(callbacks));
        self
    }

    /// Where its back end is told of calls.
    #[must_use]
    pub fn callbacks(&self) -> Option<&Callbacks> {
        self.callbacks.as_deref()
    }

    pub(crate) fn callback_target(&self) -> Option<CallbackTarget> {
        let secret = self.secrets.first()?.clone();
        self.callbacks.clone().map(|callbacks| CallbackTarget { callbacks, secret })
    }

    /// The same application, which also accepts tokens signed with an older secret.
    #[must_use]
    pub fn with_previous_secret(mut self, secret: ApplicationSecret) -> Self {
        self.secrets.truncate(MOST_SECRETS - 1);
        self.secrets.push(secret);
        self
    }

    /// The public key.
    #[must_use]
    pub const fn key(&self) -> &ApplicationKey {
        &self.key
    }

    /// The active secrets, the newest first: one or two.
    #[must_use]
    pub fn secrets(&self) -> &[ApplicationSecret] {
        &self.secrets
    }

    /// Reads the parts as they stand in a configuration.
    ///
    /// # Errors
    /// [`ApplicationError::Key`] or [`ApplicationError::Secret`].
    pub fn from_parts(key: &str, secret: &str) -> Result<Self, ApplicationError> {
        let key = ApplicationKey::new(key).map_err(|_| ApplicationError::Key)?;
        let secret = ApplicationSecret::from_base64(secret).map_err(|_| ApplicationError::Secret)?;
        Ok(Self::new(key, secret))
    }
}

impl std::str::FromStr for Application {
    type Err = ApplicationError;

    /// Reads `KEY:SECRET`.
    fn from_str(text: &str) -> Result<Self, ApplicationError> {
        let (key, secret) = text.split_once(':').ok_or(ApplicationError::Form)?;
        Self::from_parts(key, secret)
    }
}

/// An application made on the spot, for a machine where nothing is configured yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DevelopmentApplication {
    application: Application,
}

impl DevelopmentApplication {
    /// A random key and a random secret of 256 bits.
    ///
    /// # Panics
    /// When the operating system gives no random bytes; nothing can be kept secret then.
    #[must_use]
    pub fn create() -> Self {
        use offhook_signaling::EntropySource as _;
        let mut secret = [0_u8; 32];
        OsEntropy.fill(&mut secret);
        let text = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, secret);
        let key = ApplicationKey::random(&mut OsEntropy);
        let secret = ApplicationSecret::from_base64(&text).expect("32 encoded bytes are a secret");
        Self { application: Application::new(key, secret) }
    }

    /// One that was made before.
    pub(crate) const fn from_stored(application: Application) -> Self {
        Self { application }
    }

    /// The application.
    #[must_use]
    pub const fn application(&self) -> &Application {
        &self.application
    }

    /// The public key.
    #[must_use]
    pub const fn key(&self) -> &ApplicationKey {
        self.application.key()
    }

    /// The secret, as tools take it. Print it only where a developer asked for it.
    #[must_use]
    pub fn secret_base64(&self) -> String {
        self.application.secrets[0].to_base64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_and_secret_are_read_and_each_fault_is_named() {
        let key = "a32e5a8d-f7d8-411c-9645-9038e8dd051d";
        let good: Application = format!("{key}:ax8hTTQJF0OPXL32r1LHMA==").parse().unwrap();
        assert_eq!((good.key().as_str(), good.secrets().len()), (key, 1));
        assert_eq!(key.parse::<Application>(), Err(ApplicationError::Form));
        assert_eq!("x:ax8hTTQJF0OPXL32r1LHMA==".parse::<Application>(), Err(ApplicationError::Key));
        assert_eq!(format!("{key}:short").parse::<Application>(), Err(ApplicationError::Secret));
    }

    #[test]
    fn a_development_application_is_random_and_its_secret_reads_back() {
        let (a, b) = (DevelopmentApplication::create(), DevelopmentApplication::create());
        assert_ne!(a.key(), b.key());
        let again: Application = format!("{}:{}", a.key(), a.secret_base64()).parse().unwrap();
        assert_eq!(&again, a.application());
        assert!(!format!("{a:?}").contains(&a.secret_base64()));
    }
}
