//! Devices without a thread of their own, as those of a sound server are: the media thread moves their sound in its ticks.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use offhook_media::device::{Backend, Pump};
use offhook_media::simulation::Simulation;
use offhook_media::threads::{CaptureCallback, RenderCallback};
use offhook_media::{AudioProcessing, Device};

use crate::server::Server;
use crate::support::End;

const TICK: Duration = Duration::from_millis(5);
/// What a server hands out in a tick, and how many blocks that are in a second.
const BLOCK: usize = 240;
const BLOCKS: usize = 48_000 / BLOCK;

/// How often each side was asked, and how many samples the speaker took.
#[derive(Debug, Default)]
struct Asked {
    microphone: AtomicUsize,
    speaker: AtomicUsize,
}

struct Pumped<F>(F);

impl<F: FnMut() + Send> Pump for Pumped<F> {
    fn pump(&mut self) {
        (self.0)();
    }
}

/// All of its devices are a server's but the silent one.
fn server(asked: &Arc<Asked>) -> impl Backend + use<> {
    let (recorded, played) = (Arc::clone(asked), Arc::clone(asked));
    Server {
        microphone: move |device: &Device, mut callback: CaptureCallback| {
            let asked = Arc::clone(&recorded);
            let pump = Pumped(move || {
                asked.microphone.fetch_add(1, Relaxed);
                callback.deliver(&[0.25; BLOCK]);
            });
            (*device != Device::Null).then(|| Box::new(pump) as Box<dyn Pump>)
        },
        speaker: move |device: &Device, mut callback: RenderCallback| {
            let asked = Arc::clone(&played);
            let pump = Pumped(move || {
                asked.speaker.fetch_add(1, Relaxed);
                callback.fill(&mut [0.0; BLOCK]);
            });
            (*device != Device::Null).then(|| Box::new(pump) as Box<dyn Pump>)
        },
    }
}

fn asked_in_a_second(simulation: &mut Simulation, asked: &Asked) -> [usize; 2] {
    let counters = [&asked.microphone, &asked.speaker];
    let before = counters.map(|counter| counter.load(Relaxed));
    simulation.advance(Duration::from_secs(1));
    [0, 1].map(|side| counters[side].load(Relaxed) - before[side])
}

#[test]
fn each_tick_moves_the_sound_of_what_is_open_and_of_nothing_else() {
    let asked = Arc::<Asked>::default();
    let mut simulation = Simulation::with_backend(TICK, Box::new(server(&asked)));
    let microphone = simulation.open_microphone(Device::Default).expect("it opens");
    let _element = simulation.open_element(Device::Default).expect("it opens");
    assert_eq!(asked_in_a_second(&mut simulation, &asked), [BLOCKS; 2]);
    drop(microphone);
    simulation.advance(Duration::from_millis(200));
    assert_eq!(asked_in_a_second(&mut simulation, &asked), [0, BLOCKS]);
}

#[test]
fn what_a_server_brings_is_sent_in_the_same_tick_and_what_it_wants_is_there() {
    let asked = Arc::<Asked>::default();
    let mut simulation = Simulation::with_backend(TICK, Box::new(server(&asked)));
    let microphone = simulation.open_microphone(Device::Default).expect("it opens");
    microphone.set_processing(AudioProcessing::OFF);
    let element = simulation.open_element(Device::Default).expect("it opens");
    let (mut near, mut far) = (End::open(&simulation), End::open(&simulation));
    near.stream.attach_microphone(&microphone);
    element.set_src_object(Some(&far.stream.incoming()));
    let mut packets = 0;
    for _ in 0..1000 {
        simulation.advance(Duration::from_millis(10));
        packets += usize::from(near.stream.stats().send.packets > 0);
        let now = simulation.now();
        near.carry(&mut far, now, |_| true);
    }
    let stats = simulation.engine().stats();
    let xruns: u64 = stats.devices.iter().map(|device| device.xruns).sum();
    assert!(xruns <= 3, "{stats:?}");
    let sent = near.stream.stats().send.packets;
    assert!((985..=1000).contains(&sent) && packets > 980, "{sent}");
    let receive = far.stream.stats().receive;
    assert!(receive.decoded > 450_000, "{receive:?}");
}
