#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| offhook_signaling::fuzzing::signaling_wire(data));
