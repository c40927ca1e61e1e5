//! Who has a data folder. Servers that know nothing of each other would each serve some of the users that the folder has, who could not
//! call the users of the others.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::ErrorKind;
use std::path::Path;
use std::time::{Duration, Instant};

use super::StoreError;

/// A server that is just ending is waited for.
const PATIENCE: Duration = Duration::from_secs(3);
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(20);

/// With whom a server has its data folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tenancy {
    /// With no other server.
    Alone,
    /// With other nodes of its cluster.
    Shared,
}

/// Something in a folder that belongs to this process while this lives. It ends with the process at the latest, however that ends.
#[derive(Debug)]
pub(crate) struct FolderLock {
    _file: File,
}

impl FolderLock {
    /// Takes it, under this file name: beside what SQLite has locks of its own on. Blocks while a server is just ending, some seconds at
    /// most. The folder must exist.
    ///
    /// # Errors
    /// [`StoreError::InUse`] when another server has it, [`StoreError::Open`] when the file cannot be made.
    pub(crate) fn take(folder: &Path, name: &str, tenancy: Tenancy) -> Result<Self, StoreError> {
        let path = folder.join(name);
        let fail = |error: std::io::Error| StoreError::Open {
            path: path.display().to_string(),
            reason: error.to_string(),
        };
        let file = open(&path).map_err(fail)?;
        let begin = Instant::now();
        loop {
            let taken = match tenancy {
                Tenancy::Alone => file.try_lock(),
                Tenancy::Shared => file.try_lock_shared(),
            };
            match taken {
                Ok(()) => return Ok(Self { _file: file }),
                Err(TryLockError::WouldBlock) if begin.elapsed() < PATIENCE => std::thread::sleep(PAUSE),
                Err(TryLockError::WouldBlock) => {
                    return Err(StoreError::InUse { path: folder.display().to_string() });
                }
                Err(TryLockError::Error(error)) if error.kind() == ErrorKind::Unsupported => {
                    tracing::warn!(path = %path.display(), "this file system has no locks: nothing keeps a second server out");
                    return Ok(Self { _file: file });
                }
                Err(TryLockError::Error(error)) => return Err(fail(error)),
            }
        }
    }
}

/// For its owner only: whoever can open the file can hold the lock.
fn open(path: &Path) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.create(true).append(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    options.open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_alone_keeps_all_others_out_and_sharers_keep_out_who_would_be_alone() {
        use Tenancy::{Alone, Shared};
        let folder = tempfile::tempdir().unwrap();
        let take = |tenancy| FolderLock::take(folder.path(), "x.lock", tenancy);
        let is_in_use = |tenancy| matches!(take(tenancy), Err(StoreError::InUse { path }) if path == folder.path().display().to_string());
        let alone = take(Alone).unwrap();
        std::thread::scope(|scope| {
            let tries = [Alone, Shared].map(|tenancy| scope.spawn(move || is_in_use(tenancy)));
            assert!(tries.into_iter().all(|refused| refused.join().unwrap()));
        });
        drop(alone);
        let _shared = (take(Shared).unwrap(), take(Shared).unwrap());
        assert!(is_in_use(Alone));
        let missing = FolderLock::take(&folder.path().join("none"), "x.lock", Alone);
        assert!(matches!(missing, Err(StoreError::Open { .. })), "{missing:?}");
    }

    #[test]
    fn a_server_that_is_just_ending_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let ending = FolderLock::take(folder.path(), "x.lock", Tenancy::Alone).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(Duration::from_millis(300));
                drop(ending);
            });
            FolderLock::take(folder.path(), "x.lock", Tenancy::Alone).unwrap();
        });
    }
}
