//! A speaker of a sound server that asks for sound in blocks of 5 ms, now for none and now for three, by a clock of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use offhook_media::Device;
use offhook_media::device::{Pump, Standing};
use offhook_media::simulation::{SimulatedDevice, Simulation};
use offhook_media::threads::RenderCallback;
use offhook_media_core::units::{MediaTime, PacketTime};

use crate::server::Server;
use crate::support::{End, config};

const TICK: Duration = Duration::from_millis(5);
const BLOCK: usize = 240;
/// What the server keeps, and what its sink takes at once.
const KEPT: usize = 960;
const TAKEN: usize = 480;

/// What became of the server's speaker.
#[derive(Debug, Default)]
struct Told {
    pumped: AtomicU64,
    played: AtomicU64,
    lacked: AtomicU64,
}

/// The server's side of a speaker's stream.
struct Sink {
    callback: RenderCallback,
    told: Arc<Told>,
    skew_ppm: i64,
    kept: usize,
    asked: usize,
    wakes: i64,
}

impl Sink {
    /// Its sink wakes every 10 ms of its own clock, up to 4 ms late, and asks for what it took in whole blocks.
    fn run_until(&mut self, now: MediaTime) {
        loop {
            let beat = self.wakes * 10_000;
            let late = self.wakes.wrapping_mul(7919).rem_euclid(4000);
            if beat - beat * self.skew_ppm / 1_000_000 + late > now.as_micros() {
                return;
            }
            self.wakes += 1;
            let taken = self.kept.min(TAKEN);
            self.kept -= taken;
            self.told.played.fetch_add(taken as u64, Relaxed);
            self.told.lacked.fetch_add((TAKEN - taken) as u64, Relaxed);
            self.asked += (KEPT - self.kept - self.asked) / BLOCK * BLOCK;
        }
    }
}

impl Pump for Sink {
    fn pump(&mut self) {
        self.told.pumped.fetch_add(1, Relaxed);
        let now = self.callback.clock().now();
        // Nothing is played before the first sound is there.
        if self.kept + self.asked == 0 {
            self.asked = KEPT;
            self.wakes = now.as_micros() / 10_000 + 1;
        } else {
            self.run_until(now);
        }
        let count = self.callback.due(self.asked, 3 * BLOCK);
        if count > 0 {
            self.callback.fill(&mut vec![0.0; count]);
            (self.asked, self.kept) = (self.asked - count, self.kept + count);
        }
    }

    fn standing(&self) -> Option<Standing> {
        Some(Standing { owed: self.asked, kept: KEPT })
    }
}

/// What was done to the sound of a far end of this packet time, heard for so many seconds from the beginning of a call: samples taken out and put in,
/// what the server lacked, and how often it was answered.
fn heard(skew_ppm: i64, packet_time: PacketTime, seconds: u64) -> (u64, u64, u64) {
    let told = Arc::<Told>::default();
    let speaker = Arc::clone(&told);
    let server = Server {
        microphone: |_: &Device, _| None,
        speaker: move |_: &Device, callback| {
            let told = Arc::clone(&speaker);
            let sink = Sink { callback, told, skew_ppm, kept: 0, asked: 0, wakes: 0 };
            Some(Box::new(sink) as Box<dyn Pump>)
        },
    };
    let mut simulation = Simulation::with_backend(TICK, Box::new(server));
    let mut talkers = Simulation::new(
        TICK,
        SimulatedDevice { skew_ppm: skew_ppm as f64, ..SimulatedDevice::default() },
        None,
    );
    let microphone = talkers.open_microphone(Device::Null).expect("it opens");
    let element = simulation.open_element(Device::Default).expect("it opens");
    let mut config = config();
    config.send.packet_time = packet_time;
    let (mut near, mut far) = (End::open_as(&talkers, &config), End::open_as(&simulation, &config));
    near.stream.attach_microphone(&microphone);
    element.set_src_object(Some(&far.stream.incoming()));
    for millis in 0..seconds * 1000 {
        talkers.advance(Duration::from_millis(1));
        simulation.advance(Duration::from_millis(1));
        // The network holds packets back by up to 6 ms.
        if millis % 7 == 0 {
            near.carry(&mut far, simulation.now(), |_| true);
        }
    }
    let receive = far.stream.stats().receive;
    let played = told.played.load(Relaxed);
    assert!(played.abs_diff(seconds * 48_000) < 48_000 / 20, "{played}");
    let lacked = told.lacked.load(Relaxed);
    (receive.accelerated + receive.expanded, lacked, told.pumped.load(Relaxed) / seconds)
}

#[test]
fn from_the_first_second_on_sound_is_played_as_it_came() {
    for skew_ppm in [0, 250, -250] {
        for packet_time in [PacketTime::Ms10, PacketTime::Ms20] {
            let (stretched, lacked, _) = heard(skew_ppm, packet_time, 30);
            assert_eq!(lacked, 0, "{skew_ppm} {packet_time:?}");
            assert!(stretched < 960, "{skew_ppm} {packet_time:?}: {stretched} samples");
        }
    }
}

#[test]
fn a_server_is_answered_half_as_often_where_packets_are_long() {
    let often = |packet_time| heard(0, packet_time, 5).2;
    assert_eq!(often(PacketTime::Ms10), 200);
    assert!((98..=102).contains(&often(PacketTime::Ms20)));
}
