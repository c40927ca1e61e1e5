//! The measures find what was built into a signal, and only that.

use std::time::Duration;

use offhook_sim::measure::{
    DelaySearch, DelayTrack, active_level, clicks, compare, correlation, delay_track, level_track,
    signal_to_noise, silence,
};
use offhook_sim::sound::{noise, silence as quiet, synthetic_speech, tone};

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

fn speech() -> Vec<f32> {
    synthetic_speech(Duration::from_secs(8), 11)
}

fn delayed(sound: &[f32], samples: usize) -> Vec<f32> {
    [vec![0.0; samples], sound.to_vec()].concat()
}

fn mixed(a: &[f32], b: &[f32]) -> Vec<f32> {
    a.iter().zip(b).map(|(a, b)| a + b).collect()
}

fn default_track(spoken: &[f32], heard: &[f32]) -> DelayTrack {
    delay_track(spoken, heard, &DelaySearch::default())
}

#[test]
fn a_known_delay_is_found_to_a_tenth_of_a_millisecond() {
    let spoken = speech();
    for samples in [0usize, 1777, 48_000] {
        let comparison = compare(&spoken, &delayed(&spoken, samples));
        let found = comparison.mouth_to_ear.unwrap();
        let expected = samples as f64 / 48.0;
        for delay in [found.min, found.p50, found.p95, found.max, found.mean] {
            let error = delay.as_secs_f64() * 1e3 - expected;
            assert!(error.abs() < 0.1, "{samples} samples: off by {error} ms");
        }
        assert!(comparison.correlation.unwrap() > 0.997, "{:?}", comparison.correlation);
        assert_eq!(comparison.silence.unwrap().silent_percent, 0.0);
        assert!(comparison.track.found_share().unwrap() > 0.97);
    }
}

#[test]
fn a_delay_step_is_followed() {
    let spoken = speech();
    let half = spoken.len() / 2;
    let heard = [delayed(&spoken[..half], 960), delayed(&spoken[half..], 3840)].concat();
    let track = delay_track(&spoken, &heard, &DelaySearch::fine());
    let early = track.at(Duration::from_secs(2)).unwrap();
    let late = track.at(Duration::from_secs(6)).unwrap();
    assert!(early.abs_diff(ms(20)) < ms(1) && late.abs_diff(ms(100)) < ms(1), "{early:?} {late:?}");
}

#[test]
fn what_was_not_spoken_is_not_found() {
    let spoken = speech();
    for heard in
        [noise(0.1, Duration::from_secs(9), 4), synthetic_speech(Duration::from_secs(9), 12), Vec::new()]
    {
        let comparison = compare(&spoken, &heard);
        assert!(comparison.track.found_share().is_none_or(|share| share < 0.1));
        assert!(
            comparison.correlation.is_none_or(|correlation| correlation < 0.7),
            "{:?}",
            comparison.correlation
        );
    }
    let nothing = compare(&spoken, &quiet(Duration::from_secs(9)));
    assert_eq!((nothing.mouth_to_ear, nothing.correlation, nothing.silence), (None, None, None));
}

#[test]
fn correlation_ignores_loudness_and_follows_noise() {
    let spoken = speech();
    let track = default_track(&spoken, &spoken);
    let halved: Vec<f32> = spoken.iter().map(|sample| sample * 0.5).collect();
    assert!(correlation(&spoken, &halved, &track).unwrap() > 0.999);
    // White noise of power 0.04 has 0.04 * 3.7 / 24 of it between 300 Hz and 4 kHz, the tone's power is 0.08.
    let tone = tone(1000.0, 0.4, Duration::from_secs(8));
    let noisy = mixed(&tone, &noise(0.2, Duration::from_secs(8), 3));
    let found = correlation(&tone, &noisy, &default_track(&tone, &tone)).unwrap();
    let expected = (0.08f64 / (0.08 + 0.04 * 3.7 / 24.0)).sqrt();
    assert!((found - expected).abs() < 0.01, "{found} against {expected}");
}

#[test]
fn correlation_falls_by_the_share_of_speech_lost() {
    let spoken = speech();
    let mut heard = spoken.clone();
    let quarter = heard.len() / 4;
    heard[quarter..2 * quarter].fill(0.0);
    let energy = |sound: &[f32]| sound.iter().map(|sample| f64::from(*sample).powi(2)).sum::<f64>();
    let kept = 1.0 - energy(&spoken[quarter..2 * quarter]) / energy(&spoken);
    let found = correlation(&spoken, &heard, &default_track(&spoken, &spoken)).unwrap();
    assert!((found - kept).abs() < 0.04, "{found} against {kept}");
}

#[test]
fn a_hole_in_the_speech_is_a_gap_of_its_length() {
    let spoken = tone(300.0, 0.2, Duration::from_secs(2));
    let mut heard = delayed(&spoken, 2400);
    heard[48_000..48_000 + 48 * 60].fill(0.0);
    let exact = DelayTrack {
        points: vec![offhook_sim::measure::DelayPoint { at: Duration::ZERO, delay: ms(50), ncc: 1.0 }],
        pieces: 1,
    };
    let report = silence(&spoken, &heard, &exact).unwrap();
    assert_eq!(report.gaps.len(), 1, "{:?}", report.gaps);
    assert!((ms(45)..=ms(60)).contains(&report.longest()), "{:?}", report.longest());
    assert!(report.gaps[0].at.abs_diff(ms(950)) <= ms(10), "{:?}", report.gaps[0].at);
    assert!((1.5..=3.0).contains(&report.silent_percent), "{}", report.silent_percent);
}

#[test]
fn pauses_of_the_speaker_are_not_gaps() {
    let spoken = speech();
    let report = compare(&spoken, &delayed(&spoken, 4000)).silence.unwrap();
    assert!(report.gaps.is_empty(), "{:?}", report.gaps);
}

#[test]
fn levels_are_those_of_known_signals() {
    let sine = tone(1000.0, 0.5, Duration::from_secs(1));
    assert!((active_level(&sine).unwrap().0 + 9.03).abs() < 0.2);
    assert_eq!(active_level(&quiet(Duration::from_secs(1))), None);
    let track = level_track(&[sine, quiet(Duration::from_secs(1))].concat(), ms(20));
    assert_eq!(track.len(), 100);
    assert!((track[25].level.0 + 9.03).abs() < 0.05 && track[75].level.0 == -100.0);
    assert_eq!(track[75].at, ms(1500));
}

#[test]
fn signal_to_noise_is_the_ratio_that_was_mixed() {
    let sine = tone(500.0, 0.5, Duration::from_secs(2));
    let noisy = mixed(&sine, &noise(0.035_36, Duration::from_secs(2), 8));
    let ratio = signal_to_noise(&sine, &delayed(&noisy, 960), ms(20)).unwrap();
    assert!((ratio.0 - 20.0).abs() < 0.3, "{ratio:?}");
    assert!(signal_to_noise(&sine, &sine, Duration::ZERO).unwrap().0 > 99.0);
    assert_eq!(signal_to_noise(&sine, &[], Duration::ZERO), None);
}

#[test]
fn a_jump_in_the_waveform_is_a_click_and_speech_is_not() {
    for seed in 0..6 {
        let speech = synthetic_speech(Duration::from_secs(4), seed);
        assert_eq!(clicks(&speech), [], "seed {seed}");
    }
    let mut broken = tone(440.0, 0.3, Duration::from_secs(1));
    broken[24_000..24_027].fill(0.0);
    let found = clicks(&broken);
    assert!(!found.is_empty() && found[0].at.abs_diff(ms(500)) <= ms(1), "{found:?}");
    let smooth = tone(440.0, 0.3, Duration::from_secs(1));
    assert_eq!(clicks(&smooth), []);
}

#[test]
fn short_and_empty_input_is_measured_as_nothing() {
    for length in [0usize, 1, 100, 9599, 19_200] {
        let spoken = vec![0.1; length];
        let comparison = compare(&spoken, &spoken[..length / 2]);
        assert_eq!(comparison.mouth_to_ear, None);
    }
}
