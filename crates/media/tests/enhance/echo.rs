//! The chain in a room: what is left of the echo, and what of the person.

use std::time::Duration;

use offhook_media::AudioProcessing;
use offhook_media::enhance::{BLOCK, Enhancer};
use offhook_sim::measure::Decibels;
use offhook_sim::room::{DelayJump, Room, RoomConfig};
use offhook_sim::sound::{Voice, silence, speech_for_demo, synthetic_speech};

use crate::level;

const ECHO: AudioProcessing =
    AudioProcessing { high_pass_filter: true, echo_cancellation: true, ..AudioProcessing::OFF };

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

fn enhanced(settings: AudioProcessing, far: &[f32], microphone: &[f32]) -> Vec<f32> {
    let (mut chain, mut out) = (Enhancer::new(), Vec::new());
    for (near, far) in microphone.as_chunks::<BLOCK>().0.iter().zip(far.as_chunks::<BLOCK>().0) {
        let mut block = *near;
        chain.process(settings, &mut block, far);
        out.extend_from_slice(&block);
    }
    out
}

/// By how much each second of the echo is less loud afterwards.
fn return_loss(config: RoomConfig, length: u64) -> Vec<f64> {
    return_loss_of(&synthetic_speech(seconds(length), 31), config)
}

fn return_loss_of(far: &[f32], config: RoomConfig) -> Vec<f64> {
    let microphone = Room::new(config).record(far, &vec![0.0; far.len()]);
    let out = enhanced(ECHO, far, &microphone);
    microphone
        .chunks(48_000)
        .zip(out.chunks(48_000))
        .map(|(before, after)| level(before) - level(after))
        .collect()
}

fn mean(losses: &[f64]) -> f64 {
    losses.iter().sum::<f64>() / losses.len() as f64
}

#[test]
fn after_two_seconds_30_db_of_the_echo_are_gone() {
    let rooms = [
        RoomConfig::default(),
        RoomConfig { delay: ms(30), decay: ms(60), seed: 5, ..RoomConfig::default() },
        RoomConfig { delay: ms(150), decay: ms(200), seed: 6, ..RoomConfig::default() },
    ];
    for config in rooms {
        let losses = return_loss(config.clone(), 8);
        assert!(mean(&losses[2..]) >= 30.0, "{losses:?} {config:?}");
    }
}

#[test]
fn a_loudspeaker_that_bends_hard_leaves_25_db() {
    let bends = RoomConfig { loudspeaker_limit: 0.25, echo_gain: Decibels(0.0), ..RoomConfig::default() };
    let losses = return_loss(bends, 8);
    assert!(mean(&losses[2..]) >= 25.0, "{losses:?}");
}

#[test]
fn clocks_apart_are_no_harm_once_they_are_known() {
    let far = speech_for_demo(Voice::Bob, seconds(16)).expect("it comes with the test kit");
    for skew_ppm in [100.0, -100.0, 300.0] {
        let losses = return_loss_of(&far, RoomConfig { skew_ppm, ..RoomConfig::default() });
        assert!(mean(&losses[2..]) >= 30.0, "{skew_ppm}: {losses:?}");
        assert!(mean(&losses[10..]) >= 35.0, "{skew_ppm}: {losses:?}");
    }
}

#[test]
fn half_a_second_after_the_delay_jumped_the_echo_is_gone_again() {
    let delay_jumps = vec![
        DelayJump { at: ms(4500), delay: ms(110) },
        DelayJump { at: ms(8500), delay: ms(30) },
        DelayJump { at: ms(12_500), delay: ms(150) },
    ];
    let losses = return_loss(RoomConfig { delay_jumps, ..RoomConfig::default() }, 16);
    for settled in [&losses[2..4], &losses[5..8], &losses[9..12], &losses[13..]] {
        assert!(mean(settled) >= 30.0, "{losses:?}");
    }
}

#[test]
fn what_the_person_says_while_the_far_end_speaks_loses_8_db_at_most() {
    let (far, said) = (synthetic_speech(seconds(9), 31), synthetic_speech(seconds(9), 77));
    let near: Vec<f32> = silence(seconds(4)).into_iter().chain(said[..240_000].iter().copied()).collect();
    for settings in [ECHO, AudioProcessing { noise_suppression: true, ..ECHO }] {
        let microphone = Room::new(RoomConfig::default()).record(&far, &near);
        let out = enhanced(settings, &far, &microphone);
        // How much of what was said is found in what comes out, where it fits best.
        let near = &near[5 * 48_000..9 * 48_000 - 2000];
        let energy: f64 = near.iter().map(|sample| f64::from(*sample).powi(2)).sum();
        let found = |delay: usize| -> f64 {
            near.iter().zip(&out[5 * 48_000 + delay..]).map(|(a, b)| f64::from(a * b)).sum::<f64>() / energy
        };
        let gain = (200..1200).map(found).fold(0.0, f64::max);
        assert!(20.0 * gain.log10() >= -8.0, "{} {settings:?}", 20.0 * gain.log10());
    }
}

#[test]
fn noise_is_taken_away_and_speech_is_not() {
    let spoken = synthetic_speech(seconds(6), 12);
    let noise = offhook_sim::sound::noise(0.01, seconds(6), 3);
    let noisy: Vec<f32> = spoken.iter().zip(&noise).map(|(a, b)| a + b).collect();
    let settings = AudioProcessing { noise_suppression: true, ..AudioProcessing::OFF };
    let quiet = silence(seconds(6));
    let alone = enhanced(settings, &quiet, &noise);
    assert!(level(&noise[96_000..]) - level(&alone[96_000..]) >= 10.0, "{}", level(&alone[96_000..]));
    let kept = enhanced(settings, &quiet, &noisy);
    let lost = level(&spoken[48_000..]) - level(&kept[48_000..]);
    assert!(lost.abs() < 3.0, "{lost}");
}
