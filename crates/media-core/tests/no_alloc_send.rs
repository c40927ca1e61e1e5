//! The send path does not allocate, whatever is asked of it.

#![expect(clippy::disallowed_methods, reason = "the sound is made before the count starts")]

use std::time::Duration;

use offhook_media_core::codec::EncoderConfig;
use offhook_media_core::codec::telephone_event::DtmfDigit;
use offhook_media_core::dsp::Resampler;
use offhook_media_core::feedback::NetworkReport;
use offhook_media_core::rt_context::RtContext;
use offhook_media_core::send::{SendConfig, SendPipeline};
use offhook_media_core::units::{BitsPerSecond, MediaTime, PacketTime, Ppm};
use offhook_sim::allocations::{Counting, of_this_thread};

#[global_allocator]
static ALLOCATOR: Counting = Counting(std::alloc::System);

/// Sound of two seconds, half of it silent.
fn sound() -> Vec<f32> {
    let tone = |n: usize| (n as f32 * 0.03).sin() * 0.3 * f32::from(u8::from(n < 48_000));
    (0..96_000).map(tone).collect()
}

fn change(pipeline: &mut SendPipeline, tick: usize) {
    const TIMES: [PacketTime; 4] = [PacketTime::Ms10, PacketTime::Ms20, PacketTime::Ms5, PacketTime::Ms60];
    match tick % 97 {
        0 => pipeline.set_muted(tick.is_multiple_of(2)),
        20 => pipeline.set_packet_time(TIMES[tick % TIMES.len()]),
        40 => pipeline.set_bitrate(BitsPerSecond(12_000 + (tick as u32 * 7) % 52_000)),
        60 => pipeline.set_expected_loss((tick % 30) as u8),
        70 => {
            // What the far end reports: from nothing lost to a third of it, later a queue.
            let queue = if tick < 2500 { 0 } else { (tick % 5) as u64 };
            let report = NetworkReport {
                expected: 25,
                loss: (tick % 4) as f32 / 10.0,
                bursts: [1, 0, (tick % 2) as u8, 0, 0],
                queue_delay: Some(Duration::from_millis(queue * 40)),
                standing_delay: Some(Duration::from_millis(queue * 30)),
                queue_trend: Some(if tick < 2500 { 0.0 } else { 0.1 }),
                received: 40_000,
                ..NetworkReport::default()
            };
            pipeline.network_report(&RtContext::new(MediaTime::from_micros(tick as i64 * 10_000)), &report);
        }
        80 => drop(pipeline.queue_dtmf(DtmfDigit::from_char('7').expect("a key"))),
        _ => {}
    }
}

#[test]
fn mute_keys_and_changed_settings_allocate_nothing() {
    let encoder = EncoderConfig { dtx: true, ..EncoderConfig::default() };
    let config = SendConfig {
        encoder,
        dtmf_payload_type: Some(110),
        red_payload_type: Some(63),
        ..SendConfig::default()
    };
    let mut pipeline = SendPipeline::new(&config).unwrap();
    let sound = sound();
    let (mut packets, mut keys) = (0, 0);
    let before = of_this_thread();
    for tick in 0..5000 {
        change(&mut pipeline, tick);
        let (start, length) = (tick * 480 % 90_000, 24 + tick * 37 % 900);
        let mut cx = RtContext::new(MediaTime::from_micros(tick as i64 * 10_000));
        pipeline.push(&mut cx, &sound[start..start + length], &mut |packet| {
            packets += 1;
            keys += u32::from(packet.payload_type == 110);
        });
    }
    assert_eq!(of_this_thread() - before, 0);
    assert!(packets > 600 && keys > 100, "{packets} packets, {keys} of keys");
    let stats = pipeline.stats();
    assert!(stats.red_bytes > 0 && stats.dred_bytes > 0, "{stats:?}");
}

#[test]
fn resampling_allocates_nothing() {
    let sound = sound();
    let mut resampler = Resampler::new(44_100, 48_000).unwrap();
    let before = of_this_thread();
    let mut made = 0;
    for tick in 0..2000 {
        if tick % 10 == 0 {
            resampler.follow(Ppm(f64::from(tick % 600) - 300.0));
        }
        let (start, length) = (tick as usize * 441 % 90_000, 24 + tick as usize * 37 % 900);
        resampler.process(&sound[start..start + length], |block| made += block.len());
    }
    assert_eq!(of_this_thread() - before, 0);
    assert!(made > 900_000, "{made}");
}

#[test]
fn the_count_counts() {
    let before = of_this_thread();
    drop(sound());
    assert_eq!(of_this_thread() - before, 2);
}
