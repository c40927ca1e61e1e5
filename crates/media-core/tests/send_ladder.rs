//! The send path on a narrow link: what the far end reports makes it fit.

#![expect(clippy::disallowed_methods, reason = "tests may allocate")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops")]

use std::collections::VecDeque;

use offhook_media_core::codec::{EncoderConfig, opus_toc, red};
use offhook_media_core::feedback::NetworkReport;
use offhook_media_core::recv::{Arrived, ReceiveStats, ReportBuilder};
use offhook_media_core::rt_context::RtContext;
use offhook_media_core::send::{Redundancy, SendConfig, SendPipeline};
use offhook_media_core::units::{MediaTime, PacketTime};

/// IPv4, UDP, RTP with extensions, the tag of SRTP.
const OVERHEAD: usize = 58;
/// One way, without the queue, in microseconds.
const DELAY: i64 = 20_000;
const TICK: i64 = 5000;

/// A link that passes so many bits per second and drops what would wait longer than its queue.
struct Bottleneck {
    bits_per_second: i64,
    longest: i64,
    free_at: i64,
}

impl Bottleneck {
    /// When the packet comes out; `None`: dropped.
    fn pass(&mut self, now: i64, bytes: usize) -> Option<i64> {
        let waits = (self.free_at - now).max(0);
        if waits > self.longest {
            return None;
        }
        self.free_at = now + waits + bytes as i64 * 8_000_000 / self.bits_per_second;
        Some(self.free_at)
    }

    fn queue(&self, now: i64) -> i64 {
        (self.free_at - now).max(0)
    }
}

/// A voice: its pitch and loudness move, and it breathes now and then.
fn voice(tick: i64) -> [f32; 240] {
    std::array::from_fn(|n| {
        let t = (tick * 240 + n as i64) as f32 / 48_000.0;
        let speaks = f32::from(u8::from(t % 3.0 < 2.5));
        let phase = 140.0 * t + 3.0 * (t * 4.0).sin();
        let harmonic = |k: u8| {
            let k = f32::from(k);
            (phase * k * std::f32::consts::TAU).sin() / (1.0 + (k - 4.0 - 3.0 * (t * 9.0).sin()).powi(2))
        };
        speaks * 0.1 * (1.2 + (t * 20.0).sin()) * (1..12).map(harmonic).sum::<f32>()
    })
}

/// What the link's queue was at each 5 ms, and the pipeline at the end.
fn call(seconds: i64, link: &mut Bottleneck, widen: Option<(i64, i64)>) -> (Vec<i64>, SendPipeline) {
    // What matters here is how much is sent, not how well it sounds.
    let encoder = EncoderConfig { complexity: 0, ..EncoderConfig::default() };
    let config = SendConfig {
        encoder,
        packet_time: PacketTime::Ms20,
        red_payload_type: Some(63),
        redundancy: Redundancy::Auto,
        ..SendConfig::default()
    };
    let mut pipeline = SendPipeline::new(&config).unwrap();
    let mut builder = ReportBuilder::default();
    let mut on_the_way: VecDeque<Arrived> = VecDeque::new();
    let mut reports: VecDeque<(i64, NetworkReport)> = VecDeque::new();
    let (mut queue, mut sequence) = (Vec::new(), 0);
    for tick in 0..seconds * 200 {
        let now = tick * TICK;
        if let Some((_, bits)) = widen.filter(|(at, _)| now >= *at) {
            link.bits_per_second = bits;
        }
        let mut cx = RtContext::new(MediaTime::from_micros(now));
        while reports.front().is_some_and(|(due, _)| *due <= now) {
            let (_, report) = reports.pop_front().unwrap();
            pipeline.network_report(&cx, &report);
        }
        pipeline.push(&mut cx, &voice(tick), &mut |packet| {
            let payload = packet.payload();
            let newest = if packet.payload_type == 63 {
                red::parse(payload).unwrap().last().unwrap().payload
            } else {
                payload
            };
            let end = i64::from(packet.timestamp) + opus_toc::samples(newest).unwrap() as i64;
            if let Some(out) = link.pass(now, payload.len() + OVERHEAD) {
                let arrival = MediaTime::from_micros(out + DELAY);
                on_the_way.push_back(Arrived { sequence, end, arrival, bytes: payload.len() });
            }
            sequence += 1;
        });
        while on_the_way.front().is_some_and(|packet| packet.arrival <= cx.now()) {
            builder.packet(&on_the_way.pop_front().unwrap());
        }
        if let Some(report) = builder.build(cx.now(), &ReceiveStats::default()) {
            reports.push_back((now + DELAY, report));
        }
        queue.push(link.queue(now));
    }
    (queue, pipeline)
}

#[test]
fn a_narrow_link_settles_without_a_standing_queue() {
    let mut link = Bottleneck { bits_per_second: 40_000, longest: 500_000, free_at: 0 };
    let (queue, pipeline) = call(60, &mut link, None);
    let worst = |from: usize, to: usize| queue[from * 200..to * 200].iter().max().unwrap() / 1000;
    let by_five = (0..12).map(|n| worst(n * 5, n * 5 + 5)).collect::<Vec<_>>();
    assert!(worst(6, 60) < 60, "{by_five:?}");
    assert!(pipeline.stats().rung.bitrate.0 >= 12_000);
}

#[test]
fn a_link_that_widens_gets_its_sound_back() {
    let mut link = Bottleneck { bits_per_second: 40_000, longest: 500_000, free_at: 0 };
    let (queue, pipeline) = call(180, &mut link, Some((20_000_000, 1_000_000)));
    assert!(
        pipeline.stats().rung.bitrate.0 >= 24_000 && pipeline.stats().rung.packet_time == PacketTime::Ms20
    );
    assert!(queue[30 * 200..].iter().all(|queue| *queue < 10_000));
}

#[test]
fn a_wide_link_is_left_alone() {
    let mut link = Bottleneck { bits_per_second: 1_000_000, longest: 500_000, free_at: 0 };
    let before = {
        let (_, pipeline) = call(1, &mut link, None);
        pipeline.stats().rung
    };
    link.free_at = 0;
    let (_, pipeline) = call(30, &mut link, None);
    assert_eq!(pipeline.stats().rung, before);
}
