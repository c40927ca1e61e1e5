//! Every committed input of the crate's fuzz targets is replayed.

#[test]
fn the_wav_reader_survives_its_corpus() {
    offhook_sim::corpus::replay("wav_reader", offhook_media::fuzzing::wav_reader);
}

#[cfg(target_os = "linux")]
#[test]
fn what_a_sound_server_sends_is_understood_however_it_is_cut() {
    offhook_sim::corpus::replay("pulse_stream", offhook_media::fuzzing::pulse_stream);
}
