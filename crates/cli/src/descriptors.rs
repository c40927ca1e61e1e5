//! How many sockets this process may have.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::failure::Failure;

/// For everything but the sockets that are counted: files, the runtime, the store.
const OTHERS: u64 = 128;

/// Raises the limit of open descriptors as far as it goes. Gives how many sockets there may be; `None` means any number.
pub(crate) fn raise() -> Option<u64> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current == maximum {
        return current.map(|most| most.saturating_sub(OTHERS));
    }
    // What cannot be raised stays as it is: the limit is read again.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    getrlimit(Resource::Nofile).current.map(|most| most.saturating_sub(OTHERS))
}

/// Makes room for so many sockets.
///
/// # Errors
/// A [`Failure`] that says how to allow more.
pub(crate) fn make_room(sockets: u64) -> Result<(), Failure> {
    match raise() {
        Some(most) if most < sockets => Err(Failure::usage(format!(
            "{sockets} connections need more open files than the {} that this process may have",
            most + OTHERS
        ))
        .advice(format!(
            "allow more with `ulimit -n {}` as root, or LimitNOFILE= of the service",
            sockets + OTHERS
        ))),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_for_a_few_is_there_and_for_too_many_is_not() {
        assert!(make_room(16).is_ok());
        if let Some(most) = raise() {
            let refused = make_room(most + 1).unwrap_err().to_string();
            assert!(refused.contains("ulimit -n"), "{refused}");
        }
    }
}
