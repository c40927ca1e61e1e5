//! Bodies of the fuzz targets; the crate's tests replay their corpora.

use webrtc_util::marshal::{Marshal, Unmarshal};

use crate::codec::telephone_event::TelephoneEvent;
use crate::codec::{DecoderConfig, MOST_SAMPLES, OpusDecoder, opus_toc, red};
use crate::feedback::{LENGTH, NetworkReport};
use crate::recording::{FlightRecorder, Kept, MOST_PAYLOAD, Record, Recording};
use crate::recv::{IncomingPacket, ReceiveConfig, ReceivePipeline, ReceiveStats};
use crate::rt_context::RtContext;
use crate::units::MediaTime;

/// Any bytes as an Opus packet: our reading of its framing is libopus' own.
///
/// # Panics
/// When the two differ.
pub fn opus_toc(data: &[u8]) {
    let read = opus_toc::Toc::parse(data).ok();
    let theirs = opus::packet::parse(data).ok().filter(|packet| !packet.frames.is_empty());
    assert_eq!(read.map(|toc| toc.frames), theirs.map(|packet| packet.frames.len()));
    if let Some(toc) = read {
        assert!((1..=MOST_SAMPLES).contains(&toc.samples()));
        assert!(!(toc.has_fec() && toc.mode == opus_toc::Mode::Celt));
    }
}

/// Any bytes as redundant audio: blocks lie within the payload in order, and make the same payload again.
///
/// # Panics
/// When an invariant is broken.
pub fn red(data: &[u8]) {
    let Ok(parsed) = red::parse(data) else {
        return;
    };
    let mut blocks = [red::RedBlock { payload_type: 0, offset: 0, payload: &[] }; red::MOST_BLOCKS];
    let mut count = 0;
    for block in parsed {
        blocks[count] = block;
        count += 1;
    }
    let mut rebuilt = [0; 2048];
    match red::build(&blocks[..count], &mut rebuilt) {
        Ok(len) => assert_eq!(&rebuilt[..len], data),
        Err(error) => assert!(error == red::RedError::BufferTooSmall && data.len() > rebuilt.len()),
    }
}

/// Any bytes to the decoder: no more sound than there is room for, and every sample a number.
///
/// # Panics
/// When libopus cannot be set up, or an invariant is broken.
pub fn opus_decode(data: &[u8]) {
    let mut decoder = OpusDecoder::new(&DecoderConfig::default()).expect("a decoder with default settings");
    let mut out = [0.0; MOST_SAMPLES];
    for packet in data.split(|byte| *byte == 0xa5) {
        if let Ok(samples) = decoder.decode(packet, &mut out) {
            assert_eq!(Some(samples), opus_toc::samples(packet));
            assert!(out[..samples].iter().all(|sample| sample.is_finite()));
        }
        let _ = decoder.decode_fec(packet, &mut out[..480]);
    }
}

/// Any bytes as a telephone-event: what is read can be written again.
///
/// # Panics
/// When an invariant is broken.
pub fn telephone_event(data: &[u8]) {
    if let Ok(event) = TelephoneEvent::unmarshal(&mut &data[..]) {
        let mut bytes = [0; 4];
        event.marshal_to(&mut bytes).expect("four bytes are enough");
        assert_eq!((bytes[0], bytes[2], bytes[3]), (data[0], data[2], data[3]));
    }
}

/// Any bytes as the payload of packets in order.
///
/// # Panics
/// When an invariant is broken.
pub fn receive_packet(data: &[u8]) {
    let mut receiver = ReceivePipeline::new(&ReceiveConfig {
        dtmf_payload_types: [Some(110), None],
        ..ReceiveConfig::default()
    })
    .expect("a decoder with default settings");
    let mut out = [0.0; 480];
    for (n, payload) in (0_u16..).zip(data.split(|byte| *byte == 0xa5)) {
        let now = MediaTime::from_micros(i64::from(n) * 10_000);
        let mut cx = RtContext::new(now);
        let packet = IncomingPacket {
            arrival: now,
            payload_type: if n % 7 == 6 { 110 } else { 111 },
            marker: false,
            ssrc: 1,
            sequence: n,
            timestamp: u32::from(n) * 480,
            payload,
        };
        receiver.insert(&mut cx, &packet);
        receiver.pull(&mut cx, &mut out);
        assert!(out.iter().all(|sample| sample.is_finite()));
    }
    let stats = receiver.stats();
    assert_accounts(&stats, stats.pulled);
}

/// Bytes as operations on the receive path: packets with odd numbers, sources and sizes, pulls of odd lengths, time that leaps.
///
/// # Panics
/// When an invariant is broken.
pub fn jitter_ops(data: &[u8]) {
    // One 10 ms CELT frame of silence, one 20 ms SILK frame, one DTX frame, rubbish, padding without anything.
    const PAYLOADS: [&[u8]; 5] =
        [&[0xf2 & 0xf8, 0xff, 0xfe], &[0x08, 0x0b, 0x41, 0x10], &[0x08], &[0xff, 0xff], &[]];
    let mut receiver =
        ReceivePipeline::new(&ReceiveConfig::default()).expect("a decoder with default settings");
    let (mut now, mut sequence, mut timestamp, mut ssrc, mut pulled) = (0_i64, 0_u16, 0_u32, 1_u32, 0_u64);
    let mut out = [0.0; 4096];
    for operation in data.chunks_exact(3) {
        let (amount, small) = (i64::from(operation[1]), usize::from(operation[2]));
        let mut cx = RtContext::new(MediaTime::from_micros(now));
        match operation[0] % 8 {
            0..=2 => {
                sequence = sequence.wrapping_add(1);
                timestamp = timestamp.wrapping_add(if small % 2 == 0 { 480 } else { 960 });
                let payload = PAYLOADS[small % PAYLOADS.len()];
                let arrival = MediaTime::from_micros(now - amount * 100);
                let packet = IncomingPacket {
                    arrival,
                    payload_type: 111,
                    marker: false,
                    ssrc,
                    sequence,
                    timestamp,
                    payload,
                };
                receiver.insert(&mut cx, &packet);
            }
            3 | 4 => {
                let length = 1 + small * 16;
                out[..length].fill(9.0);
                receiver.pull(&mut cx, &mut out[..length]);
                pulled += length as u64;
                assert!(out[..length].iter().all(|sample| sample.is_finite() && *sample != 9.0));
            }
            5 => now += amount * 1000,
            6 => sequence = sequence.wrapping_add(operation[1].into()).wrapping_sub(operation[2].into()),
            _ if amount == 255 => ssrc ^= 1,
            _ => timestamp = timestamp.wrapping_add(1 << (amount % 32)),
        }
    }
    assert_accounts(&receiver.stats(), pulled);
}

/// Every packet has one fate, and what was made was played, dropped or waits.
fn assert_accounts(stats: &ReceiveStats, pulled: u64) {
    assert_eq!(stats.pulled, pulled);
    let fates = stats.packets_played + stats.packets_late + stats.packets_flushed + stats.packets_waiting;
    assert_eq!(stats.packets_received, fates);
    let made =
        stats.decoded + stats.red + stats.fec + stats.dred + stats.concealed + stats.silence + stats.expanded;
    let gone = stats.pulled + stats.accelerated + stats.dropped + stats.buffered;
    assert_eq!(made as i64, gone as i64 + stats.resampled);
}

/// Any bytes as a short report: what is read is in range and makes the same bytes again.
///
/// # Panics
/// When an invariant is broken.
pub fn network_report(data: &[u8]) {
    let Ok(report) = NetworkReport::parse(data) else {
        return;
    };
    for share in [report.loss, report.late, report.recovered_red, report.unrecovered] {
        assert!((0.0..=1.0).contains(&share));
    }
    let mut bytes = [0; LENGTH];
    assert_eq!(report.write(&mut bytes), Ok(LENGTH));
    assert_eq!(bytes, data);
}

/// Any bytes as a flight recording: what is read can be recorded again and is the same.
///
/// # Panics
/// When an invariant is broken.
pub fn recording(data: &[u8]) {
    let Ok(read) = Recording::parse(data) else {
        return;
    };
    let mut recorder = FlightRecorder::new(Kept::Sound, usize::MAX);
    recorder.set_settings(*read.settings());
    let (mut buffer, mut again) = ([0; MOST_PAYLOAD], [0xff; MOST_PAYLOAD]);
    for record in read.records() {
        match record {
            Record::Packet(packet) => {
                recorder.packet(&packet.incoming(&mut buffer).expect("it was checked"));
            }
            Record::Second(second) => recorder.second(&second),
            Record::Moment(moment) => recorder.moment(&moment),
        }
    }
    let written = recorder.to_bytes();
    let rewritten = Recording::parse(&written).expect("what is recorded can be read");
    assert_eq!(
        (rewritten.settings(), rewritten.records().count()),
        (read.settings(), read.records().count())
    );
    for (one, other) in rewritten.records().zip(read.records()) {
        match (one, other) {
            (Record::Packet(one), Record::Packet(other)) => {
                assert_eq!(one.incoming(&mut again), other.incoming(&mut buffer));
            }
            (one, other) => assert_eq!(one, other),
        }
    }
}
