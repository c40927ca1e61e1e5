#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| offhook_sim::fuzzing::sim_wav(data));
