//! A microphone of a sound server that keeps what it hears until it is asked, in blocks by a clock of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use offhook_media::device::Pump;
use offhook_media::simulation::Simulation;
use offhook_media::threads::{CaptureCallback, RenderCallback};
use offhook_media::{AudioProcessing, Device};
use offhook_media_core::units::{MediaTime, PacketTime};

use crate::server::Server;
use crate::support::{End, config};

const TICK: Duration = Duration::from_millis(5);
const SECONDS: u64 = 15;

/// The server's side of a microphone's stream.
struct Source {
    callback: CaptureCallback,
    asked: Arc<AtomicU64>,
    clock: Clock,
    blocks: i64,
}

/// When blocks are there.
#[derive(Debug, Clone, Copy)]
struct Clock {
    /// When the first began, in microseconds.
    began: i64,
    skew_ppm: i64,
    /// Samples of a block.
    block: usize,
}

impl Clock {
    /// Of the block of this number, from 1 on: up to 2 ms late.
    fn there_at(self, block: i64) -> i64 {
        let beat = block * self.block as i64 * 125 / 6;
        self.began + beat - beat * self.skew_ppm / 1_000_000 + block.wrapping_mul(7919).rem_euclid(2000)
    }
}

impl Pump for Source {
    fn pump(&mut self) {
        self.asked.fetch_add(1, Relaxed);
        let now = self.callback.clock().now().as_micros();
        while self.clock.there_at(self.blocks + 1) <= now {
            self.blocks += 1;
            self.callback.deliver(&vec![0.1; self.clock.block]);
        }
    }
}

/// How often a second such a microphone is asked for packets of this length, and how many microseconds after the last sound of each packet it was
/// made at most.
fn heard(clock: Clock, packet_time: PacketTime) -> (u64, i64) {
    let asked = Arc::<AtomicU64>::default();
    let told = Arc::clone(&asked);
    let server = Server {
        microphone: move |_: &Device, callback| {
            let asked = Arc::clone(&told);
            Some(Box::new(Source { callback, asked, clock, blocks: 0 }) as Box<dyn Pump>)
        },
        speaker: |_: &Device, _: RenderCallback| None,
    };
    let mut simulation = Simulation::with_backend(TICK, Box::new(server));
    let microphone = simulation.open_microphone(Device::Default).expect("it opens");
    microphone.set_processing(AudioProcessing::OFF);
    let mut config = config();
    config.send.packet_time = packet_time;
    let mut end = End::open_as(&simulation, &config);
    end.stream.attach_microphone(&microphone);
    let first = config.send.initial_timestamp;
    let (mut latest, mut count) = (0, 0);
    for _ in 0..SECONDS * 1000 {
        simulation.advance(Duration::from_millis(1));
        while let Some(packet) = end.port.outgoing.pop() {
            let samples = packet.timestamp.wrapping_sub(first) as usize + packet_time.samples();
            let there = clock.there_at(samples.div_ceil(clock.block) as i64);
            let waited = packet.made.micros_since(MediaTime::from_micros(there));
            assert!(waited >= 0, "{waited}");
            (latest, count) = (latest.max(waited), count + 1);
        }
    }
    assert!(count >= u128::from(SECONDS - 1) * 1000 / packet_time.duration().as_millis(), "{count} packets");
    (asked.load(Relaxed) / SECONDS, latest)
}

#[test]
fn it_is_not_asked_where_no_packet_waits_for_it_and_none_comes_later_for_that() {
    for began in [0, 1300, 2600, 3900, 6100, 8800] {
        for skew_ppm in [0, 300, -300] {
            let clock = Clock { began, skew_ppm, block: 240 };
            for (packet_time, least, most) in
                [(PacketTime::Ms10, 190, 200), (PacketTime::Ms20, 50, 70), (PacketTime::Ms40, 50, 70)]
            {
                let (asked, latest) = heard(clock, packet_time);
                let case = format!("{clock:?} {packet_time:?}");
                assert!((least..=most).contains(&asked), "{case}: asked {asked} times a second");
                assert!(latest < 5500, "{case}: {latest} us");
            }
        }
    }
}

#[test]
fn large_blocks_are_fetched_as_soon_as_a_packet_can_be_complete_with_one() {
    for block in [480, 1024, 1200] {
        for (began, skew_ppm) in [(0, 0), (3900, 300), (6100, -300)] {
            let clock = Clock { began, skew_ppm, block };
            let (_, latest) = heard(clock, PacketTime::Ms20);
            assert!(latest < 10_500, "{clock:?}: {latest} us");
        }
    }
}
