//! Every committed input of the fuzz targets on payload formats, once.

use offhook_media_core::fuzzing;
use offhook_sim::corpus::replay;

#[test]
fn opus_framing() {
    replay("opus_toc", fuzzing::opus_toc);
}

#[test]
fn opus_packets() {
    replay("opus_decode", fuzzing::opus_decode);
}

#[test]
fn redundant_audio() {
    replay("red", fuzzing::red);
}

#[test]
fn telephone_events() {
    replay("telephone_event", fuzzing::telephone_event);
}

#[test]
fn short_reports() {
    replay("network_report", fuzzing::network_report);
}
