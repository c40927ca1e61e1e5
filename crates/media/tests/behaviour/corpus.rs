//! Every committed input of the WAV reader's fuzz target is replayed.

#[test]
fn the_wav_reader_survives_its_corpus() {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/corpus/wav_reader");
    let inputs: Vec<_> = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(!inputs.is_empty());
    for input in inputs {
        offhook_media::fuzzing::wav_reader(&std::fs::read(input).unwrap());
    }
}
