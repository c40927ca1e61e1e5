//! What a flight recorder keeps, forgets and leaves out.

#![expect(clippy::disallowed_methods, clippy::disallowed_macros, reason = "tests may allocate")]
#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test by panicking")]

use offhook_media_core::codec::opus_toc::Toc;
use offhook_media_core::codec::{EncoderConfig, OpusEncoder};
use offhook_media_core::recording::{
    FlightRecorder, Kept, MOST_PAYLOAD, Moment, MomentKind, Record, Recording, RecordingError, Second,
    Settings,
};
use offhook_media_core::recv::{IncomingPacket, ReceiveConfig};
use offhook_media_core::units::{MediaTime, PacketTime};

const MOST_BYTES: usize = 1 << 20;

/// Opus packets of a tone, 10 ms each.
fn packets(count: usize) -> Vec<Vec<u8>> {
    let mut encoder = OpusEncoder::new(&EncoderConfig::default()).unwrap();
    let packet = |n: usize| {
        let sample = |i: usize| 0.3 * (((480 * n + i) as f32) * 0.03).sin();
        let samples: Vec<f32> = (0..480).map(sample).collect();
        let mut out = [0; 1275];
        let length = encoder.encode(PacketTime::Ms10, &samples, &mut out).unwrap();
        out[..length].to_vec()
    };
    (0..count).map(packet).collect()
}

fn incoming(n: usize, payload: &[u8]) -> IncomingPacket<'_> {
    IncomingPacket {
        arrival: MediaTime::from_micros(10_000 * n as i64 + 7),
        payload_type: 111,
        marker: n == 0,
        ssrc: 0xdead_beef,
        sequence: 65_530_u16.wrapping_add(n as u16),
        timestamp: 480 * n as u32,
        payload,
    }
}

fn recorded(kept: Kept, payloads: &[Vec<u8>]) -> FlightRecorder {
    let mut recorder = FlightRecorder::new(kept, MOST_BYTES);
    for (n, payload) in payloads.iter().enumerate() {
        recorder.packet(&incoming(n, payload));
    }
    recorder
}

#[test]
fn with_sound_every_packet_comes_back_as_it_was() {
    let payloads = packets(50);
    let bytes = recorded(Kept::Sound, &payloads).to_bytes();
    let recording = Recording::parse(&bytes).unwrap();
    assert_eq!((recording.kept(), recording.forgotten()), (Kept::Sound, 0));
    let mut buffer = [0; MOST_PAYLOAD];
    for (n, packet) in recording.packets().enumerate() {
        assert_eq!(packet.incoming(&mut buffer), Some(incoming(n, &payloads[n])));
    }
    assert_eq!(recording.packets().count(), 50);
}

#[test]
fn without_sound_a_packet_says_how_long_it_is_and_nothing_of_what_was_said() {
    let payloads = packets(50);
    let bytes = recorded(Kept::Arrivals, &payloads).to_bytes();
    let recording = Recording::parse(&bytes).unwrap();
    assert_eq!(recording.kept(), Kept::Arrivals);
    let mut buffer = [0; MOST_PAYLOAD];
    for (n, packet) in recording.packets().enumerate() {
        let kept = packet.incoming(&mut buffer).unwrap();
        let toc =
            |payload: &[u8]| Toc::parse(payload).map(|toc| (toc.samples(), toc.has_fec(), toc.is_dtx()));
        assert_eq!(toc(kept.payload), toc(&payloads[n]));
        assert_eq!(kept.payload.len(), payloads[n].len());
        assert_eq!(IncomingPacket { payload: &payloads[n], ..kept }, incoming(n, &payloads[n]));
        // The table of contents, and at most one byte of flags.
        assert!(kept.payload.iter().filter(|byte| **byte != 0).count() <= 2);
    }
    // The bytes of the file neither: a stretch of the sound is nowhere in it.
    let sound = &payloads[20][4..12];
    assert!(!bytes.windows(sound.len()).any(|window| window == sound));
    assert!(bytes.len() < 50 * 32, "{}", bytes.len());
}

#[test]
fn a_key_somebody_pressed_is_not_in_it() {
    let mut recorder = FlightRecorder::new(Kept::Arrivals, MOST_BYTES);
    recorder.set_settings(Settings { dtmf_payload_types: [Some(110), None], ..Settings::default() });
    recorder.packet(&IncomingPacket { payload_type: 110, ..incoming(0, &[7, 0x8a, 1, 0xe0]) });
    let bytes = recorder.to_bytes();
    let recording = Recording::parse(&bytes).unwrap();
    let mut buffer = [0xff; MOST_PAYLOAD];
    assert_eq!(recording.packets().next().unwrap().payload(&mut buffer), Some(&[0; 4][..]));
}

#[test]
fn memory_is_bounded_and_the_newest_stay() {
    let payloads = packets(8);
    let mut recorder = FlightRecorder::new(Kept::Sound, 2000);
    for n in 0..10_000 {
        recorder.packet(&incoming(n, &payloads[n % 8]));
        assert!(recorder.to_bytes().len() <= 2000);
    }
    let bytes = recorder.to_bytes();
    let recording = Recording::parse(&bytes).unwrap();
    let kept: Vec<i64> = recording.packets().map(|packet| packet.arrival.as_micros()).collect();
    assert!(kept.len() > 10);
    assert_eq!(kept.last(), Some(&99_990_007));
    assert!(kept.windows(2).all(|pair| pair[1] - pair[0] == 10_000));
    assert_eq!(recording.forgotten() + kept.len() as u64, 10_000);
}

#[test]
fn a_packet_of_any_bytes_costs_no_more_than_twice_its_length() {
    let mut recorder = FlightRecorder::new(Kept::Sound, MOST_BYTES);
    // Lone zeros are what squeezes worst.
    let worst: Vec<u8> = (0..MOST_PAYLOAD).map(|n| (n % 2) as u8).collect();
    recorder.packet(&incoming(0, &worst));
    recorder.packet(&incoming(1, &[0; MOST_PAYLOAD]));
    recorder.packet(&incoming(2, &[1; MOST_PAYLOAD + 1]));
    let bytes = recorder.to_bytes();
    let recording = Recording::parse(&bytes).unwrap();
    let mut buffer = [0xff; MOST_PAYLOAD];
    let lengths: Vec<_> =
        recording.packets().map(|packet| packet.payload(&mut buffer).map(<[u8]>::to_vec)).collect();
    assert_eq!(lengths, [Some(worst), Some(vec![0; MOST_PAYLOAD])]);
}

#[test]
fn seconds_and_moments_come_back_and_what_was_not_measured_is_none() {
    let mut recorder = FlightRecorder::new(Kept::Arrivals, MOST_BYTES);
    let receive =
        ReceiveConfig { red_payload_type: Some(63), price_per_percent: 12.5, ..ReceiveConfig::default() };
    recorder.set_settings(Settings::from(&receive));
    let at = MediaTime::from_micros(1_000_000);
    let second = Second { at, loss: Some(0.25), skipped_ms: Some(3.0), r_factor: None, ..Second::default() };
    let moment = Moment { at, kind: MomentKind::WarningTriggered(2) };
    recorder.second(&second);
    recorder.moment(&moment);
    let bytes = recorder.to_bytes();
    let recording = Recording::parse(&bytes).unwrap();
    assert_eq!(*recording.settings(), Settings::from(&receive));
    assert!(recording.records().eq([Record::Second(second), Record::Moment(moment)]));
}

#[test]
fn what_is_no_recording_is_refused_with_its_place() {
    let payloads = packets(3);
    let whole = recorded(Kept::Arrivals, &payloads).to_bytes();
    let refused = |bytes: &[u8]| Recording::parse(bytes).unwrap_err();
    assert_eq!(refused(b""), RecordingError::NotARecording);
    assert_eq!(refused(b"RIFF....WAVE"), RecordingError::NotARecording);
    assert_eq!(refused(&whole[..20]), RecordingError::Truncated { at: 0 });
    for cut in 33..whole.len() {
        let parsed = Recording::parse(&whole[..cut]);
        assert!(parsed.is_ok() || matches!(parsed, Err(RecordingError::Truncated { at }) if at < cut));
    }
    let mut newer = whole.clone();
    newer[8] = 2;
    assert_eq!(refused(&newer), RecordingError::Version(2));
    let mut damaged = whole.clone();
    // More payload than a packet has.
    damaged[32 + 3 + 21] = 0xff;
    assert_eq!(refused(&damaged), RecordingError::Damaged { at: 32 });
    let mut never = whole;
    never[32 + 3 + 7] = 0x7f;
    assert_eq!(refused(&never), RecordingError::Damaged { at: 32 });
}

#[test]
fn committed_recordings() {
    offhook_sim::corpus::replay("flight_recording", offhook_media_core::fuzzing::recording);
    let inputs = offhook_sim::corpus::inputs("flight_recording");
    let readable = inputs.iter().filter(|(_, bytes)| Recording::parse(bytes).is_ok()).count();
    assert!(readable >= 4 && readable < inputs.len(), "{readable} of {}", inputs.len());
}

#[test]
fn records_of_a_later_version_are_left_out() {
    let payloads = packets(2);
    let mut bytes = recorded(Kept::Arrivals, &payloads).to_bytes();
    bytes.extend([200, 2, 0, 1, 2]);
    bytes.extend([3, 10, 0, 1, 0, 0, 0, 0, 0, 0, 0, 99, 0]);
    assert_eq!(Recording::parse(&bytes).unwrap().records().count(), 2);
}
