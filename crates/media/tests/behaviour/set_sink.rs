//! Another speaker during a call.

use crate::support::{End, amplitude, drain, longest_silence, ms, run, simulation, tone};
use offhook_media::{Device, Microphone, OpenDeviceError, pcm_sink, pcm_source};

#[test]
fn sound_moves_to_the_new_sink_and_goes_on() {
    let mut simulation = simulation();
    let ((source, mut feeder), (first, mut first_tap), (second, mut second_tap)) =
        (pcm_source(), pcm_sink(), pcm_sink());
    let microphone = simulation.open_microphone(source).unwrap();
    let element = simulation.open_element(first.clone()).unwrap();
    let (mut alice, mut bob) = (End::open(&simulation), End::open(&simulation));
    element.set_src_object(Some(&bob.stream.incoming()));
    alice.stream.attach_microphone(&microphone);
    feeder.write(&tone(500.0, 0.3, ms(5000)));
    run(&mut simulation, &mut alice, &mut bob, ms(1000));
    drain(&mut first_tap);

    let reply = element.set_sink_id(second.clone());
    simulation.handle_requests();
    assert_eq!(reply.wait(ms(0)), Some(Ok(())));
    assert_eq!(element.sink_id(), second);
    run(&mut simulation, &mut alice, &mut bob, ms(1000));
    assert!(drain(&mut first_tap).len() <= 480);
    let heard = drain(&mut second_tap);
    let begin = heard.iter().position(|sample| sample.abs() > 0.05).unwrap();
    assert!(begin <= 2400, "{begin}");
    let rest = &heard[begin + 240..];
    assert!(longest_silence(rest) < 24);
    // In pieces: while the delay is led to its target the tone is not quite of its pitch.
    for piece in rest.chunks_exact(4800) {
        assert!((amplitude(piece, 500.0) - 0.3).abs() < 0.05, "{}", amplitude(piece, 500.0));
    }
    assert_eq!(bob.stream.stats().receive.packets_lost, 0);

    // The first is free again.
    assert!(simulation.open_element(first).is_ok());
}

#[test]
fn a_sink_that_cannot_be_opened_changes_nothing() {
    let mut simulation = simulation();
    let ((source, mut feeder), (sink, mut tap)) = (pcm_source(), pcm_sink());
    let microphone = simulation.open_microphone(source).unwrap();
    let element = simulation.open_element(sink.clone()).unwrap();
    let (mut alice, mut bob) = (End::open(&simulation), End::open(&simulation));
    element.set_src_object(Some(&bob.stream.incoming()));
    alice.stream.attach_microphone(&microphone);
    feeder.write(&tone(500.0, 0.3, ms(5000)));
    run(&mut simulation, &mut alice, &mut bob, ms(1000));
    drain(&mut tap);
    let reply = element.set_sink_id(Device::wav("/nonexistent/heard.wav"));
    simulation.handle_requests();
    assert!(matches!(reply.wait(ms(0)), Some(Err(OpenDeviceError::Wav { .. }))));
    assert_eq!(element.sink_id(), sink);
    run(&mut simulation, &mut alice, &mut bob, ms(500));
    assert!(longest_silence(&drain(&mut tap)) < 24);
}

#[test]
fn the_microphone_changes_while_a_stream_listens() {
    let mut simulation = simulation();
    let ((one, mut one_feeder), (other, mut other_feeder), (sink, mut tap)) =
        (pcm_source(), pcm_source(), pcm_sink());
    let microphone: Microphone = simulation.open_microphone(one).unwrap();
    let element = simulation.open_element(sink).unwrap();
    let (mut alice, mut bob) = (End::open(&simulation), End::open(&simulation));
    element.set_src_object(Some(&bob.stream.incoming()));
    alice.stream.attach_microphone(&microphone);
    one_feeder.write(&tone(500.0, 0.3, ms(4000)));
    other_feeder.write(&tone(800.0, 0.3, ms(4000)));
    run(&mut simulation, &mut alice, &mut bob, ms(1000));
    let reply = microphone.set_device(other.clone());
    simulation.handle_requests();
    assert_eq!(reply.wait(ms(0)), Some(Ok(())));
    run(&mut simulation, &mut alice, &mut bob, ms(500));
    drain(&mut tap);
    run(&mut simulation, &mut alice, &mut bob, ms(1000));
    let heard = drain(&mut tap);
    let heard = &heard[..heard.len() / 480 * 480];
    assert!(amplitude(heard, 800.0) > 0.2 && amplitude(heard, 500.0) < 0.02);
    assert_eq!(microphone.device(), other);
}
