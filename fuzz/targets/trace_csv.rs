#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| offhook_sim::fuzzing::trace_csv(data));
