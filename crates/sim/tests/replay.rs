//! A recorded call is played as it arrived, and whatever a recording holds is played or refused.
#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test by panicking")]

use std::time::Duration;

use offhook_media_core::recording::{FlightRecorder, Kept, Recording};
use offhook_media_core::recv::{IncomingPacket, Taken};
use offhook_media_core::rt_context::RtContext;
use offhook_media_core::send::{SendConfig, SendPipeline};
use offhook_media_core::units::{MediaTime, PacketTime};
use offhook_sim::measure::compare;
use offhook_sim::report::RunReport;
use offhook_sim::sound::synthetic_speech;
use offhook_sim::stand::{Outcome, ReplayError, Run, SoundKind, replay};
use proptest::prelude::*;

/// When the engine's clock stood at the beginning of the call, in microseconds.
const BEGAN: i64 = 987_654_321;
/// The codec looks ahead so far: 6.5 ms.
const LOOKAHEAD_MS: f64 = 6.5;

/// What came of `speech` through a network that loses each tenth packet, recorded.
fn recorded(speech: &[f32], kept: Kept) -> Vec<u8> {
    let config = SendConfig {
        packet_time: PacketTime::Ms20,
        initial_timestamp: u32::MAX - 90_000,
        ..SendConfig::default()
    };
    let mut sender = SendPipeline::new(&config).unwrap();
    let mut recorder = FlightRecorder::new(kept, 4 << 20);
    let mut number = 0_u16;
    for (block, samples) in speech.chunks(960).enumerate() {
        let sent = BEGAN + 20_000 * (block as i64 + 1);
        let mut cx = RtContext::new(MediaTime::from_micros(sent));
        sender.push(&mut cx, samples, &mut |packet| {
            number += 1;
            if number.is_multiple_of(10) {
                return;
            }
            recorder.packet(&IncomingPacket {
                arrival: MediaTime::from_micros(sent + 40_000 + i64::from(number % 3) * 4000),
                payload_type: packet.payload_type,
                marker: packet.marker,
                ssrc: 77,
                sequence: number.wrapping_sub(50),
                timestamp: packet.timestamp,
                payload: packet.payload(),
            });
        });
    }
    recorder.to_bytes()
}

fn replayed(bytes: &[u8]) -> (Run, Outcome) {
    let run = replay(&Recording::parse(bytes).unwrap()).unwrap();
    let outcome = Outcome::of(&run, None);
    (run, outcome)
}

#[test]
fn what_was_said_is_heard_with_the_delay_that_is_told() {
    let speech = synthetic_speech(Duration::from_secs(10), 31);
    let (run, outcome) = replayed(&recorded(&speech, Kept::Sound));
    let heard = compare(&speech, &run.heard).mouth_to_ear.unwrap().p50.as_secs_f64() * 1e3;
    let told = outcome.delay_ms.unwrap().p50;
    // The fastest packet took no time, and the codec's look-ahead is not known.
    assert!((told + LOOKAHEAD_MS - heard).abs() < 2.0, "{told} told, {heard} heard");
    assert!((outcome.network_ms.unwrap() - 4.0).abs() < 0.3, "{outcome:?}");
    assert_eq!((outcome.packets_sent, outcome.packets_lost), (499, 49));
    let lost: Vec<i64> =
        run.packets.iter().filter(|packet| packet.arrival.is_none()).map(|packet| packet.start).collect();
    assert!(lost.iter().zip(1..).all(|(start, n)| *start == 960 * (10 * n - 1)), "{lost:?}");
    let taken = run.packets.iter().filter(|packet| packet.taken == Some(Taken::Waiting)).count();
    assert!(taken > 430, "{taken}");
    assert_eq!((outcome.r_factor, outcome.spent_bps, outcome.spoken_s), (None, None, None));
    let page = RunReport {
        title: "call".into(),
        subtitle: String::new(),
        run: &run,
        outcome: &outcome,
        speech: None,
    };
    assert!(page.to_html().contains("over that of the fastest packet"));
}

#[test]
fn without_the_sound_the_arrivals_remain() {
    let speech = synthetic_speech(Duration::from_secs(10), 32);
    let (with, heard) = replayed(&recorded(&speech, Kept::Sound));
    let (without, outcome) = replayed(&recorded(&speech, Kept::Arrivals));
    let arrivals = |run: &Run| run.packets.iter().map(|packet| packet.arrival).collect::<Vec<_>>();
    assert_eq!(arrivals(&with), arrivals(&without));
    assert_eq!((outcome.packets_lost, outcome.network_ms), (heard.packets_lost, heard.network_ms));
    assert!(without.heard.iter().all(|sample| sample.abs() < 0.01));
    let made = |run: &Run| run.ticks.iter().map(|tick| tick.samples(SoundKind::Decoded)).sum::<u32>();
    assert!(made(&without).abs_diff(made(&with)) < 48_000 / 5, "{outcome:?}");
}

#[test]
fn padding_was_not_lost() {
    let mut recorder = FlightRecorder::new(Kept::Arrivals, 1 << 20);
    let mut sequence = 0;
    for n in 0..100 {
        let arrival = MediaTime::from_micros(i64::from(n) * 20_000);
        // Each fourth is followed by one that carries nothing, as Chromium sends them; each tenth is lost.
        let payloads: [&[u8]; 2] = [&[0x48, 1, 2], &[]];
        for payload in &payloads[..if n % 4 == 3 { 2 } else { 1 }] {
            sequence += 1;
            let (payload_type, marker, ssrc, timestamp) = (111, false, 1, 960 * n);
            if n % 10 != 5 || payload.is_empty() {
                recorder.packet(&IncomingPacket {
                    arrival,
                    payload_type,
                    marker,
                    ssrc,
                    sequence,
                    timestamp,
                    payload,
                });
            }
        }
    }
    let (_, outcome) = replayed(&recorder.to_bytes());
    assert_eq!((outcome.packets_sent, outcome.packets_lost), (100, 10));
}

#[test]
fn recordings_that_cannot_be_played_are_refused() {
    let mut recorder = FlightRecorder::new(Kept::Sound, 1 << 20);
    let refused = |recorder: &FlightRecorder| {
        let bytes = recorder.to_bytes();
        replay(&Recording::parse(&bytes).unwrap()).err()
    };
    assert_eq!(refused(&recorder), Some(ReplayError::NoSound));
    let packet = |seconds: i64, sequence: u16, payload: &'static [u8]| IncomingPacket {
        arrival: MediaTime::from_micros(seconds * 1_000_000),
        payload_type: 111,
        marker: false,
        ssrc: 1,
        sequence,
        timestamp: 960 * u32::from(sequence),
        payload,
    };
    recorder.packet(&packet(0, 1, &[]));
    assert_eq!(refused(&recorder), Some(ReplayError::NoSound));
    recorder.packet(&packet(1, 2, &[0x48, 1, 2]));
    recorder.packet(&packet(3 * 3600, 3, &[0x48, 1, 2]));
    assert_eq!(refused(&recorder), Some(ReplayError::TooLong));
}

/// Arrival in milliseconds, source, payload type, sequence number, time stamp, payload.
type AnyPacket = (i64, u32, u8, u16, u32, Vec<u8>);

fn any_packet() -> impl Strategy<Value = AnyPacket> {
    let payload_type = prop_oneof![4 => Just(111_u8), 1 => Just(63), 1 => 0_u8..128];
    let sequence = prop_oneof![4 => 0_u16..40, 1 => any::<u16>()];
    let timestamp = prop_oneof![4 => (0_u32..40).prop_map(|n| 960 * n), 1 => any::<u32>()];
    let payload = prop_oneof![
        3 => prop::collection::vec(any::<u8>(), 2..30).prop_map(|rest| [vec![0x48], rest].concat()),
        1 => prop::collection::vec(any::<u8>(), 0..30),
    ];
    (0_i64..5000, 1_u32..3, payload_type, sequence, timestamp, payload)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn any_packets_are_played_or_refused(packets in prop::collection::vec(any_packet(), 0..60)) {
        let mut recorder = FlightRecorder::new(Kept::Sound, 1 << 20);
        for (millis, ssrc, payload_type, sequence, timestamp, payload) in &packets {
            recorder.packet(&IncomingPacket {
                arrival: MediaTime::from_micros(BEGAN + millis * 1000),
                payload_type: *payload_type,
                marker: false,
                ssrc: *ssrc,
                sequence: *sequence,
                timestamp: *timestamp,
                payload,
            });
        }
        let bytes = recorder.to_bytes();
        if let Ok(run) = replay(&Recording::parse(&bytes).unwrap()) {
            // 5 s of arrivals, two minutes that time stamps may be apart, and the end of the last packet.
            prop_assert!(run.heard.len() <= 48_000 * 130);
            prop_assert!(run.heard.iter().all(|sample| sample.is_finite()));
            let outcome = Outcome::of(&run, None);
            prop_assert!(outcome.packets_lost <= outcome.packets_sent);
        }
    }
}
