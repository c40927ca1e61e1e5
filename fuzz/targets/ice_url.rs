#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| offhook_transport::fuzzing::ice_url(data));
