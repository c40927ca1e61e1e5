#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| offhook_transport::fuzzing::session_datagrams(data));
