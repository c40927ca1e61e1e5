//! Applications that speak and listen by queues.

use crate::support::{End, amplitude, drain, longest_silence, ms, run, simulation, tone};
use offhook_media::{Device, OpenDeviceError, pcm_sink, pcm_source};

#[test]
fn what_is_fed_is_heard_without_a_gap() {
    let mut simulation = simulation();
    let ((source, mut feeder), (sink, mut tap)) = (pcm_source(), pcm_sink());
    let microphone = simulation.open_microphone(source).unwrap();
    let element = simulation.open_element(sink).unwrap();
    let (mut alice, mut bob) = (End::open(&simulation), End::open(&simulation));
    element.set_src_object(Some(&bob.stream.incoming()));
    alice.stream.attach_microphone(&microphone);
    feeder.write(&tone(500.0, 0.3, ms(3000)));
    run(&mut simulation, &mut alice, &mut bob, ms(2500));
    let heard = drain(&mut tap);
    assert!(heard.len().abs_diff(120_000) <= 480, "{}", heard.len());
    let middle = &heard[24_000..96_000];
    assert!((amplitude(middle, 500.0) - 0.3).abs() < 0.03);
    assert!(longest_silence(middle) < 24);
    assert!(microphone.level().unwrap().voice);
    assert_eq!(alice.stream.stats().unsent, 0);

    feeder.clear();
    run(&mut simulation, &mut alice, &mut bob, ms(1000));
    assert!(drain(&mut tap)[24_000..].iter().all(|sample| sample.abs() < 0.01));
}

#[test]
fn a_queue_serves_one_side_and_one_device() {
    let mut simulation = simulation();
    let (source, _feeder) = pcm_source();
    assert!(matches!(simulation.open_element(source.clone()), Err(OpenDeviceError::WrongDirection)));
    let microphone = simulation.open_microphone(source.clone()).unwrap();
    assert!(matches!(simulation.open_microphone(source.clone()), Err(OpenDeviceError::Busy)));
    drop(microphone);
    simulation.advance(ms(50));
    assert!(simulation.open_microphone(source).is_ok());
}

#[test]
fn devices_that_are_not_there_say_so() {
    let mut simulation = simulation();
    let missing = Device::wav("/nonexistent/speech.wav");
    assert!(matches!(simulation.open_microphone(missing.clone()), Err(OpenDeviceError::Wav { .. })));
    assert!(matches!(simulation.open_element(missing), Err(OpenDeviceError::Wav { .. })));
    assert_eq!(
        simulation.open_element(Device::Default).unwrap_err(),
        OpenDeviceError::NotFound(Device::Default)
    );
}
