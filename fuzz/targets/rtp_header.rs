#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| offhook_transport::fuzzing::rtp_header(data));
