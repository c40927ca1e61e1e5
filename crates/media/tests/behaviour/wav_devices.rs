//! A call from one WAV file into another.

use std::time::Duration;

use crate::support::{End, run, simulation};
use offhook_media::{Device, wav};
use offhook_sim::measure::compare;
use offhook_sim::sound::{save_wav, synthetic_speech};

#[test]
fn what_one_file_says_the_other_hears_within_45_milliseconds() {
    let directory = tempfile::tempdir().unwrap();
    let (spoken_path, heard_path) = (directory.path().join("spoken.wav"), directory.path().join("heard.wav"));
    let spoken = synthetic_speech(Duration::from_secs(8), 3);
    save_wav(&spoken_path, &spoken).unwrap();
    let mut simulation = simulation();
    let element = simulation.open_element(Device::wav(&heard_path)).unwrap();
    let (mut alice, mut bob) = (End::open(&simulation), End::open(&simulation));
    element.set_src_object(Some(&bob.stream.incoming()));
    run(&mut simulation, &mut alice, &mut bob, Duration::from_millis(303));
    let microphone = simulation.open_microphone(Device::wav(&spoken_path)).unwrap();
    alice.stream.attach_microphone(&microphone);
    run(&mut simulation, &mut alice, &mut bob, Duration::from_secs(9));

    let offset = microphone.started_at().unwrap().saturating_since(element.started_at().unwrap());
    let stats = bob.stream.stats().receive;
    drop(element);
    simulation.advance(Duration::from_millis(50));
    let heard = wav::load_wav(&heard_path).unwrap();
    let from = (offset.as_secs_f64() * 48_000.0).round() as usize;
    let comparison = compare(&spoken, &heard[from..]);
    println!(
        "{:?} {:?} {:?}\n{stats:?}",
        comparison.mouth_to_ear, comparison.correlation, comparison.silence
    );
    assert!(comparison.correlation.unwrap() >= 0.95, "{:?}", comparison.correlation);
    let delay = comparison.mouth_to_ear.unwrap();
    assert!(delay.p50 <= Duration::from_millis(36), "{delay:?}");
    assert_eq!(stats.concealed, 0, "{stats:?}");
}
