//! Registrations in a file that only its owner can read.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use offhook_signaling::client::StoredCredential;
use offhook_signaling::{ApplicationKey, DeviceCredential, DeviceId, UnixSeconds, UserId};
use serde::{Deserialize, Serialize};

use super::{Account, CredentialError, CredentialStore, Registration};

/// Larger is not a file of ours.
const MOST_BYTES: u64 = 4 << 20;
const VERSION: u32 = 1;

/// Keeps registrations in one JSON file, readable by its owner only (mode 0600 where the system has modes). It is replaced as a whole:
/// a crash leaves the old or the new one. For one process at a time.
#[derive(Debug)]
pub struct FileStore {
    path: PathBuf,
    writing: Mutex<()>,
}

impl FileStore {
    /// A store in this file, which is made with the first registration.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), writing: Mutex::new(()) }
    }

    fn read(&self) -> Result<Content, CredentialError> {
        let source = |source| CredentialError::Read { path: self.path.clone(), source };
        let form = |reason: String| CredentialError::Form { path: self.path.clone(), reason };
        let length = match fs::metadata(&self.path) {
            Ok(metadata) => metadata.len(),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Content::default()),
            Err(error) => return Err(source(error)),
        };
        if length > MOST_BYTES {
            return Err(form("it is too large".to_owned()));
        }
        let text = fs::read_to_string(&self.path).map_err(source)?;
        let content: Content = serde_json::from_str(&text).map_err(|error| form(error.to_string()))?;
        if content.version == VERSION { Ok(content) } else { Err(form("of another version".to_owned())) }
    }

    fn write(&self, content: &Content) -> Result<(), CredentialError> {
        let source = |source| CredentialError::Write { path: self.path.clone(), source };
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or_else(|| Path::new("."));
        fs::create_dir_all(folder).map_err(source)?;
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        let fresh = folder.join(format!(".{name}.{}.new", std::process::id()));
        let written = replace(&fresh, &self.path, content);
        if written.is_err() {
            // What is left of it helps nobody.
            let _ = fs::remove_file(&fresh);
        }
        written.map_err(source)
    }
}

fn replace(fresh: &Path, path: &Path, content: &Content) -> std::io::Result<()> {
    let mut file = create_private(fresh)?;
    file.write_all(&serde_json::to_vec_pretty(content)?)?;
    file.sync_all()?;
    drop(file);
    fs::rename(fresh, path)
}

fn create_private(path: &Path) -> std::io::Result<File> {
    // A file that a crash left may have other permissions.
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

impl CredentialStore for FileStore {
    fn load(&self, account: &Account) -> Result<Option<Registration>, CredentialError> {
        let content = self.read()?;
        Ok(content.registrations.iter().find(|record| record.is_of(account)).map(Record::registration))
    }

    fn save(&self, account: &Account, registration: &Registration) -> Result<(), CredentialError> {
        let _one_at_a_time = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut content = self.read()?;
        content.registrations.retain(|record| !record.is_of(account));
        content.registrations.push(Record::new(account, registration));
        self.write(&content)
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Content {
    version: u32,
    registrations: Vec<Record>,
}

impl Default for Content {
    fn default() -> Self {
        Self { version: VERSION, registrations: Vec::new() }
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Record {
    application_key: ApplicationKey,
    user_id: UserId,
    device_id: DeviceId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    credential: Option<DeviceCredential>,
    #[serde(default)]
    expires: UnixSeconds,
}

impl Record {
    fn new(account: &Account, registration: &Registration) -> Self {
        let credential = registration.credential.clone();
        Self {
            application_key: account.application_key.clone(),
            user_id: account.user_id.clone(),
            device_id: registration.device_id.clone(),
            expires: credential.as_ref().map(|credential| credential.expires).unwrap_or_default(),
            credential: credential.map(|credential| credential.secret),
        }
    }

    fn is_of(&self, account: &Account) -> bool {
        self.application_key == account.application_key && self.user_id == account.user_id
    }

    fn registration(&self) -> Registration {
        let credential =
            self.credential.clone().map(|secret| StoredCredential { secret, expires: self.expires });
        Registration { device_id: self.device_id.clone(), credential }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(user: &str) -> Account {
        Account {
            application_key: ApplicationKey::new("a32e5a8d-f7d8-411c-9645-9038e8dd051d").unwrap(),
            user_id: UserId::new(user).unwrap(),
        }
    }

    fn registration(device: &str, secret: Option<&str>) -> Registration {
        let credential = secret.map(|secret| StoredCredential {
            secret: DeviceCredential::new(secret),
            expires: UnixSeconds(1_800_000_000),
        });
        Registration { device_id: DeviceId::new(device).unwrap(), credential }
    }

    #[test]
    fn what_is_kept_comes_back_for_each_account() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/er/registrations.json");
        let store = FileStore::new(&path);
        assert_eq!(store.load(&account("alice")).unwrap(), None);
        store.save(&account("alice"), &registration("d1", Some("s1"))).unwrap();
        store.save(&account("bob"), &registration("d2", None)).unwrap();
        store.save(&account("alice"), &registration("d1", Some("s2"))).unwrap();
        let again = FileStore::new(&path);
        assert_eq!(again.load(&account("alice")).unwrap(), Some(registration("d1", Some("s2"))));
        assert_eq!(again.load(&account("bob")).unwrap(), Some(registration("d2", None)));
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "nothing is left over");
    }

    #[cfg(unix)]
    #[test]
    fn only_the_owner_can_read_it() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("registrations.json");
        FileStore::new(&path).save(&account("alice"), &registration("d1", Some("s1"))).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_file_that_is_not_ours_is_named_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notes.txt");
        fs::write(&path, "shopping list").unwrap();
        let store = FileStore::new(&path);
        assert!(matches!(store.load(&account("alice")), Err(CredentialError::Form { .. })));
        let saved = store.save(&account("alice"), &registration("d1", None));
        assert!(matches!(saved, Err(CredentialError::Form { .. })));
        assert_eq!(fs::read_to_string(&path).unwrap(), "shopping list");
    }
}
