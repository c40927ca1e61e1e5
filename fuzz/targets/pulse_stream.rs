#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| offhook_media::fuzzing::pulse_stream(data));
