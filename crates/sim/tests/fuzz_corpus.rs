//! Every seed and finding of this crate's fuzz targets, replayed; and the seeds with small damage.

use offhook_sim::corpus::{inputs, replay};
use offhook_sim::fuzzing;
use offhook_sim::rng::Rng;

#[test]
fn trace_csv() {
    replay("trace_csv", fuzzing::trace_csv);
}

#[test]
fn sim_wav() {
    replay("sim_wav", fuzzing::sim_wav);
}

/// The same damage in every run: a floor under what the fuzzer does for longer.
#[test]
fn damaged_seeds() {
    let mut rng = Rng::new(1);
    for (_, seed) in inputs("trace_csv") {
        (0..300).for_each(|_| fuzzing::trace_csv(&damaged(&seed, &mut rng)));
    }
    for (_, seed) in inputs("sim_wav") {
        (0..300).for_each(|_| fuzzing::sim_wav(&damaged(&seed, &mut rng)));
    }
}

/// One to four bytes near the beginning replaced.
fn damaged(seed: &[u8], rng: &mut Rng) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for _ in 0..1 + rng.below(4) {
        let place = rng.below(bytes.len().min(64) as u64) as usize;
        let value = rng.next_u64() as u8;
        bytes.get_mut(place).into_iter().for_each(|byte| *byte = value);
    }
    bytes
}
