//! Every committed input of the receive path's fuzz targets, once, and some made up on the spot.

#![expect(clippy::disallowed_methods, reason = "the corpus is files")]

use std::path::Path;

use offhook_media_core::fuzzing;
use proptest::collection::vec;
use proptest::prelude::*;

fn replay(target: &str, body: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let mut inputs = 0;
    for entry in std::fs::read_dir(&folder).expect("the corpus is committed") {
        let path = entry.expect("a readable folder").path();
        body(&std::fs::read(path).expect("a readable file"));
        inputs += 1;
    }
    assert!(inputs >= 3, "{} holds {inputs} inputs", folder.display());
}

#[test]
fn jitter_operations() {
    replay("jitter_ops", fuzzing::jitter_ops);
}

#[test]
fn received_packets() {
    replay("receive_packet", fuzzing::receive_packet);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: cases(), ..ProptestConfig::default() })]

    #[test]
    fn any_operations_are_survived(data in vec(any::<u8>(), 0..600)) {
        fuzzing::jitter_ops(&data);
    }

    #[test]
    fn any_payloads_are_survived(data in vec(any::<u8>(), 0..600)) {
        fuzzing::receive_packet(&data);
    }
}

/// The real codec is slow: a case for each two thousand of the operations asked for.
fn cases() -> u32 {
    let operations = std::env::var("OFFHOOK_PROPTEST_OPS").ok().and_then(|text| text.parse().ok());
    operations.map_or(32, |operations: u32| operations / 2000)
}
