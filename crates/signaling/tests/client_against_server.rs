//! Clients, a server and a bad network in virtual time, under random lists of what can happen.
//!
//! The world of these runs checks at every step: published state orders only, no answer and no candidate of a callee before
//! its person accepted, no event lost or repeated, one device at most answers. After every run both ends know the same
//! calls, and every call ends in bounded time. `PROPTEST_CASES=100000` makes a long run of it.

use offhook_signaling::fuzzing::{Operation, operations, run};
use proptest::prelude::*;

fn lists() -> impl Strategy<Value = Vec<Operation>> {
    prop::collection::vec(any::<[u8; 3]>(), 0..120).prop_map(|data| operations(&data.concat()))
}

fn loses_sessions(operation: &Operation) -> bool {
    matches!(operation, Operation::Forget(_) | Operation::Relaunch(_) | Operation::RestartServer)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, max_shrink_iters: 5000, ..ProptestConfig::default() })]

    #[test]
    fn random_operations_keep_every_promise(list in lists()) {
        run(&list);
    }

    /// Without lost sessions nothing may be lost at all.
    #[test]
    fn a_bad_network_alone_loses_nothing(mut list in lists()) {
        list.retain(|operation| !loses_sessions(operation));
        run(&list);
    }
}
