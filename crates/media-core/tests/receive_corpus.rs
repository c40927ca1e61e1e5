//! Every committed input of the receive path's fuzz targets, once, and some made up on the spot.

use offhook_media_core::fuzzing;
use offhook_sim::corpus::replay;
use proptest::collection::vec;
use proptest::prelude::*;

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
