#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| offhook_media_core::fuzzing::network_report(data));
