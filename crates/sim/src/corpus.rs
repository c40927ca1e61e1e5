//! The committed inputs of the fuzz targets, for the tests that replay them.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

/// A target with fewer committed inputs has lost some: every one began with seeds.
const FEWEST: usize = 3;

/// The inputs of `target` in `fuzz/corpus`, in the order of their names.
///
/// # Panics
/// When the folder cannot be read or holds fewer than three files.
#[must_use]
pub fn inputs(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| unreadable(&folder, &error));
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    files.sort();
    assert!(files.len() >= FEWEST, "{} holds {} inputs", folder.display(), files.len());
    let read = |path: PathBuf| {
        let bytes = std::fs::read(&path).unwrap_or_else(|error| unreadable(&path, &error));
        (path, bytes)
    };
    files.into_iter().map(read).collect()
}

fn unreadable(path: &Path, error: &io::Error) -> ! {
    panic!("the corpus {} cannot be read: {error}", path.display())
}

/// Runs `body` on every input of `target`.
///
/// # Panics
/// When `body` panics on an input, after all of them, naming each; and as [`inputs`] does.
pub fn replay(target: &str, body: impl Fn(&[u8])) {
    let fails = |bytes: &[u8]| catch_unwind(AssertUnwindSafe(|| body(bytes))).is_err();
    let failed: Vec<_> =
        inputs(target).into_iter().filter(|(_, bytes)| fails(bytes)).map(|(path, _)| path).collect();
    assert!(failed.is_empty(), "{target} fails on {failed:?}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs_come_in_order_and_are_not_empty_files_only() {
        let inputs = inputs("trace_csv");
        assert!(inputs.is_sorted_by_key(|(path, _)| path.clone()));
        assert!(inputs.iter().any(|(_, bytes)| bytes.len() > 10));
    }

    #[test]
    #[should_panic(expected = "trace_csv fails on [")]
    fn an_input_that_fails_is_named_and_the_others_are_run() {
        let most = inputs("trace_csv").iter().map(|(_, bytes)| bytes.len()).max();
        replay("trace_csv", |bytes| assert_ne!(Some(bytes.len()), most));
    }

    #[test]
    #[should_panic(expected = "cannot be read")]
    fn a_target_without_a_corpus_is_an_error() {
        let _ = inputs("no_such_target");
    }
}
