//! Every committed input of the WAV reader's fuzz target is replayed.

#[test]
fn the_wav_reader_survives_its_corpus() {
    offhook_sim::corpus::replay("wav_reader", offhook_media::fuzzing::wav_reader);
}
