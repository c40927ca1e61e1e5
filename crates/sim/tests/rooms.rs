//! What is known of a simulated room is found in its recordings.

use std::time::Duration;

use offhook_sim::measure::{Decibels, DelaySearch, active_level, delay_track};
use offhook_sim::room::{DelayJump, Room, RoomConfig};
use offhook_sim::sound::{chirp_train, noise, silence, synthetic_speech};

fn delays(config: RoomConfig, seconds: u64) -> Vec<(Duration, Duration)> {
    let played = noise(0.05, Duration::from_secs(seconds), 5);
    let heard = Room::new(config).record(&played, &silence(Duration::from_secs(seconds)));
    let track = delay_track(&played, &heard, &DelaySearch::default());
    track.points.iter().map(|point| (point.at, point.delay)).collect()
}

/// Nothing but the path.
fn bare() -> RoomConfig {
    RoomConfig { decay: Duration::from_millis(1), noise: Decibels(-100.0), ..RoomConfig::default() }
}

#[test]
fn the_delay_is_found_by_correlation() {
    for delay in [30, 77, 150].map(Duration::from_millis) {
        let found = delays(RoomConfig { delay, ..RoomConfig::default() }, 3);
        assert!(!found.is_empty());
        for (at, found) in found {
            assert!(found.abs_diff(delay) < Duration::from_millis(1), "{at:?}: {found:?} for {delay:?}");
        }
    }
}

#[test]
fn a_jump_of_the_delay_is_seen_when_it_comes() {
    let jump = DelayJump { at: Duration::from_secs(4), delay: Duration::from_millis(120) };
    let found = delays(RoomConfig { delay_jumps: vec![jump], ..bare() }, 8);
    let (mut before, mut after) = (0, 0);
    for (at, found) in found {
        let expected = if at < Duration::from_millis(3500) {
            before += 1;
            Duration::from_millis(40)
        } else if at > Duration::from_millis(4500) {
            after += 1;
            Duration::from_millis(120)
        } else {
            continue;
        };
        assert!(found.abs_diff(expected) < Duration::from_millis(1), "{at:?}: {found:?}");
    }
    assert!(before > 0 && after > 0);
}

#[test]
fn the_clocks_are_as_far_apart_as_asked() {
    for skew_ppm in [100.0, -100.0] {
        let found = delays(RoomConfig { skew_ppm, ..bare() }, 20);
        let ((first_at, first), (last_at, last)) = (found[0], found[found.len() - 1]);
        let moved = (last.as_secs_f64() - first.as_secs_f64()) / (last_at - first_at).as_secs_f64();
        // A fast microphone counts more samples before it hears the same sound.
        assert!((moved * 1e6 - skew_ppm).abs() < 10.0, "{} for {skew_ppm}", moved * 1e6);
    }
}

#[test]
fn levels_are_as_asked_and_a_recording_stays_within_full_scale() {
    let long = Duration::from_secs(2);
    let quiet = noise(0.02, long, 1);
    let echo_gain = Decibels(-10.0);
    let heard = Room::new(RoomConfig { echo_gain, noise: Decibels(-100.0), ..RoomConfig::default() })
        .record(&quiet, &silence(long));
    let rms = |samples: &[f32]| (samples.iter().map(|s| s * s).sum::<f32>() / samples.len() as f32).sqrt();
    let gain = 20.0 * (rms(&heard[24_000..]) / rms(&quiet)).log10();
    // The loudspeaker has no bass: a little is lost.
    assert!((gain + 10.0).abs() < 1.0, "{gain}");

    let hiss =
        Room::new(RoomConfig { noise: Decibels(-50.0), ..RoomConfig::default() }).record(&[], &silence(long));
    assert!((20.0 * rms(&hiss).log10() + 50.0).abs() < 0.5);

    let person = synthetic_speech(long, 2);
    let heard =
        Room::new(RoomConfig { near_gain: Decibels(-6.0), ..RoomConfig::default() }).record(&[], &person);
    let level = |samples: &[f32]| active_level(samples).unwrap().0;
    assert!((level(&heard) - level(&person) + 6.0).abs() < 0.5);

    let shout = vec![3.0; 96_000];
    let heard =
        Room::new(RoomConfig { echo_gain: Decibels(20.0), ..RoomConfig::default() }).record(&shout, &shout);
    assert!(heard.iter().all(|sample| sample.abs() <= 1.0));
}

#[test]
fn a_recording_does_not_depend_on_how_it_is_cut() {
    let played = chirp_train(0.5, Duration::from_secs(2), 1);
    let near = synthetic_speech(Duration::from_secs(2), 9);
    let config = RoomConfig { skew_ppm: 100.0, ..RoomConfig::default() };
    let whole = Room::new(config.clone()).record(&played, &near);
    let mut room = Room::new(config);
    let mut cut = Vec::new();
    for (played, near) in played.chunks(240).zip(near.chunks(240)) {
        room.play(played);
        let mut out = [0.0; 240];
        room.capture(near, &mut out[..near.len()]);
        cut.extend_from_slice(&out[..near.len()]);
    }
    let largest = whole.iter().zip(&cut).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(largest < 1e-6, "{largest}");
}
