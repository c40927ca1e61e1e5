//! Every seed and finding of this crate's fuzz targets, replayed; and the seeds with small damage.

use std::path::PathBuf;

use offhook_sim::fuzzing;
use offhook_sim::rng::Rng;

/// The files of a target's corpus, in a fixed order.
fn corpus(target: &str) -> Vec<Vec<u8>> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let entries = std::fs::read_dir(&folder).expect("the corpus is part of the repository");
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    files.sort();
    assert!(files.len() >= 3, "{} holds {} files", folder.display(), files.len());
    files.into_iter().map(|path| std::fs::read(path).expect("a file of the corpus is readable")).collect()
}

#[test]
fn trace_csv() {
    corpus("trace_csv").iter().for_each(|file| fuzzing::trace_csv(file));
}

#[test]
fn sim_wav() {
    corpus("sim_wav").iter().for_each(|file| fuzzing::sim_wav(file));
}

/// The same damage in every run: a floor under what the fuzzer does for longer.
#[test]
fn damaged_seeds() {
    let mut rng = Rng::new(1);
    for seed in corpus("trace_csv") {
        (0..300).for_each(|_| fuzzing::trace_csv(&damaged(&seed, &mut rng)));
    }
    for seed in corpus("sim_wav") {
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
