#![no_main]
#[path = "../../crates/cli/src/top/fuzzing.rs"]
mod fuzzing;
#[path = "../../crates/cli/src/top/sample.rs"]
mod sample;
libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzzing::metrics_text(data));
