//! The key of the store, and secrets sealed with it: AES-256-GCM (NIST SP 800-38D), a random nonce before each ciphertext.

use std::fmt;
use std::path::{Path, PathBuf};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use offhook_signaling::EntropySource as _;

use crate::environment::OsEntropy;

const KEY_BYTES: usize = 32;
const KEY_FILE: &str = "offhook.key";
/// Of the sealed form, so that another cipher can follow.
const FORM: u8 = 1;

/// The key that seals application secrets in the store. `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct StoreKey([u8; KEY_BYTES]);

/// Where the key of the store is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum StoreKeySource {
    /// In `offhook.key` of the data folder, made with the store. A copy of the database alone is of no use then; a copy of
    /// the folder is.
    #[default]
    DataFolder,
    /// In this file, base64, which must exist.
    File(PathBuf),
    /// Given, for instance from the environment.
    Given(StoreKey),
}

impl StoreKeySource {
    /// The key. One is made only for a store that has none: another one would open nothing.
    pub(super) fn find(&self, folder: Option<&Path>, is_sealed: bool) -> Result<StoreKey, StoreKeyError> {
        let own = folder.map(|folder| folder.join(KEY_FILE));
        match (self, own) {
            (Self::Given(key), _) => Ok(key.clone()),
            (Self::File(path), _) => StoreKey::read(path),
            (Self::DataFolder, None) => Err(StoreKeyError::Missing),
            (Self::DataFolder, Some(own)) if is_sealed || own.exists() => StoreKey::read(&own),
            (Self::DataFolder, Some(own)) => StoreKey::create(&own),
        }
    }
}

/// Why a text or file is not the key of the store.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreKeyError {
    /// Nobody said where the key is: give it in OFFHOOK_STORE_KEY, or its file.
    #[error("the key of the store is not given")]
    Missing,
    /// Not the base64 of 32 bytes: make one with `openssl rand -base64 32`.
    #[error("a store key is the base64 of 32 bytes, e.g. from `openssl rand -base64 32`")]
    Form,
    /// The file cannot be read or made: look at its path and permissions.
    #[error("cannot use the key file {path}: {reason}")]
    File {
        /// The file.
        path: String,
        /// Why.
        reason: String,
    },
}

/// A sealed text is damaged, or was sealed with another key or for another place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a sealed secret does not open with this key")]
pub(super) struct SealError;

impl StoreKey {
    /// Reads the form in which keys are written.
    ///
    /// # Errors
    /// [`StoreKeyError::Form`].
    pub fn from_base64(text: &str) -> Result<Self, StoreKeyError> {
        let bytes = STANDARD.decode(text.trim()).map_err(|_| StoreKeyError::Form)?;
        bytes.try_into().map(Self).map_err(|_| StoreKeyError::Form)
    }

    /// Reads a key file.
    ///
    /// # Errors
    /// [`StoreKeyError`].
    pub fn read(path: &Path) -> Result<Self, StoreKeyError> {
        let text = std::fs::read_to_string(path).map_err(|error| unusable(path, &error))?;
        Self::from_base64(&text).map_err(|error| unusable(path, &error))
    }

    /// Makes a random key and its file, readable by its owner only. The file must not exist.
    pub(super) fn create(path: &Path) -> Result<Self, StoreKeyError> {
        use std::io::Write as _;
        let mut key = [0; KEY_BYTES];
        OsEntropy.fill(&mut key);
        let mut options = std::fs::OpenOptions::new();
        options.create_new(true).write(true);
        #[cfg(unix)]
        {
            use std::os::unix::fs::OpenOptionsExt as _;
            options.mode(0o600);
        }
        let mut file = options.open(path).map_err(|error| unusable(path, &error))?;
        let text = format!("{}\n", STANDARD.encode(key));
        // What is sealed before the key is on disk would be lost with the power.
        file.write_all(text.as_bytes())
            .and_then(|()| file.sync_all())
            .map_err(|error| unusable(path, &error))?;
        Ok(Self(key))
    }

    /// Seals `plain` so that it opens only in the same `place`.
    pub(super) fn seal(&self, place: &str, plain: &[u8]) -> Result<Vec<u8>, SealError> {
        let mut nonce = [0; NONCE_LEN];
        OsEntropy.fill(&mut nonce);
        let mut text = plain.to_vec();
        self.cipher()?
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(place), &mut text)
            .map_err(|_| SealError)?;
        Ok([&[FORM], &nonce[..], &text].concat())
    }

    /// Opens what was sealed for `place`.
    pub(super) fn open(&self, place: &str, sealed: &[u8]) -> Result<Vec<u8>, SealError> {
        let rest = sealed.strip_prefix(&[FORM]).ok_or(SealError)?;
        let (nonce, text) = rest.split_first_chunk::<NONCE_LEN>().ok_or(SealError)?;
        let mut text = text.to_vec();
        let plain = self
            .cipher()?
            .open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(place), &mut text)
            .map_err(|_| SealError)?;
        Ok(plain.to_vec())
    }

    fn cipher(&self) -> Result<LessSafeKey, SealError> {
        UnboundKey::new(&AES_256_GCM, &self.0).map(LessSafeKey::new).map_err(|_| SealError)
    }
}

impl fmt::Debug for StoreKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StoreKey(redacted)")
    }
}

fn unusable(path: &Path, error: &impl fmt::Display) -> StoreKeyError {
    StoreKeyError::File { path: path.display().to_string(), reason: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_opens_with_its_key_in_its_place_and_nowhere_else() {
        let folder = tempfile::tempdir().unwrap();
        let key = StoreKey::create(&folder.path().join("key")).unwrap();
        let sealed = key.seal("here", b"hush").unwrap();
        assert_eq!(key.open("here", &sealed).unwrap(), b"hush");
        assert!(!sealed.windows(4).any(|window| window == b"hush"));
        assert_ne!(sealed, key.seal("here", b"hush").unwrap(), "no nonce is used twice");
        assert_eq!(key.open("there", &sealed), Err(SealError));
        let other = StoreKey::create(&folder.path().join("other")).unwrap();
        assert_eq!(other.open("here", &sealed), Err(SealError));
        for damaged in 0..sealed.len() {
            let mut sealed = sealed.clone();
            sealed[damaged] ^= 1;
            assert_eq!(key.open("here", &sealed), Err(SealError), "byte {damaged}");
            assert_eq!(key.open("here", &sealed[..damaged]), Err(SealError));
        }
    }

    #[test]
    fn a_key_file_reads_back_and_what_is_none_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let key = StoreKey::create(&path).unwrap();
        assert_eq!(StoreKey::read(&path).unwrap(), key);
        assert!(matches!(StoreKey::create(&path), Err(StoreKeyError::File { .. })), "never overwritten");
        assert!(matches!(StoreKey::read(&folder.path().join("none")), Err(StoreKeyError::File { .. })));
        std::fs::write(&path, "junk").unwrap();
        let error = StoreKey::read(&path).unwrap_err().to_string();
        assert!(error.contains(&path.display().to_string()) && error.contains("32 bytes"), "{error}");
        assert_eq!(StoreKey::from_base64("c2hvcnQ="), Err(StoreKeyError::Form));
        assert_eq!(format!("{key:?}"), "StoreKey(redacted)");
    }
}
