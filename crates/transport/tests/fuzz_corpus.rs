//! Every committed input of the fuzz targets, once; and random ones, few, so that the bodies stay honest without a fuzzer.

use offhook_sim::corpus::replay;
use offhook_transport::fuzzing;
use proptest::prelude::*;

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
fn urls_of_servers() {
    replay("ice_url", fuzzing::ice_url);
}

#[test]
fn a_hostile_turn_server() {
    replay("turn_server", fuzzing::turn_server);
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
        fuzzing::turn_server(&data);
    }
}
