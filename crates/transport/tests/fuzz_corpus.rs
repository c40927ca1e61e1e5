//! Every committed input of the fuzz targets, once; and random ones, few, so that the bodies stay honest without a fuzzer.

use std::path::Path;

use offhook_transport::fuzzing;
use proptest::prelude::*;

fn replay(target: &str, body: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let mut inputs = 0;
    for entry in std::fs::read_dir(&folder).expect("the corpus is committed") {
        let path = entry.expect("a readable folder").path();
        let input = std::fs::read(&path).expect("a readable file");
        let held = std::panic::catch_unwind(|| body(&input)).is_ok();
        assert!(held, "{}", path.display());
        inputs += 1;
    }
    assert!(inputs >= 5, "{} holds {inputs} inputs", folder.display());
}

#[test]
fn demultiplexer() {
    replay("demux", fuzzing::demux);
}

#[test]
fn rtp_headers() {
    replay("rtp_header", fuzzing::rtp_header);
}

#[test]
fn rtcp_packets() {
    replay("rtcp", fuzzing::rtcp);
}

#[test]
fn protection() {
    replay("srtp_unprotect", fuzzing::srtp_unprotect);
}

#[test]
fn descriptions() {
    replay("sdp", fuzzing::sdp);
}

#[test]
fn candidate_lines() {
    replay("ice_candidate", fuzzing::ice_candidate);
}

#[test]
fn datagrams_to_a_session() {
    replay("session_datagrams", fuzzing::session_datagrams);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_packets(data in prop::collection::vec(any::<u8>(), 0..80), first in 0x80..0xC0_u8, second in 192..208_u8) {
        fuzzing::demux(&data);
        let mut packet = data;
        packet.insert(0, first);
        fuzzing::rtp_header(&packet);
        packet.insert(1, second);
        fuzzing::rtcp(&packet);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_operations(data in prop::collection::vec(any::<u8>(), 0..400)) {
        fuzzing::srtp_unprotect(&data);
        fuzzing::session_datagrams(&data);
    }
}
