//! A hands-free call: loudspeaker and microphone are devices of a simulated engine, with a room between them.

use std::time::{Duration, Instant};

use offhook_media::simulation::{SimulatedDevice, Simulation};
use offhook_media::{
    AudioElement, AudioProcessing, Device, Engine, MediaStream, Microphone, PacketPort, PcmFeeder, PcmTap,
    StreamConfig, pcm_sink, pcm_source,
};
use offhook_media_core::recv::IncomingPacket;
use offhook_media_core::units::{BitsPerSecond, MediaTime};
use offhook_sim::measure::clicks;
use offhook_sim::room::{Room, RoomConfig};
use offhook_sim::sound::synthetic_speech;

use crate::level;

const TICK: Duration = Duration::from_micros(2500);
const PERIOD: usize = 240;

struct Person {
    simulation: Simulation,
    microphone: Microphone,
    element: AudioElement,
    stream: MediaStream,
    port: PacketPort,
    feeder: PcmFeeder,
    tap: PcmTap,
    sequence: u16,
}

impl Person {
    fn new(skew_ppm: f64) -> Self {
        let device = SimulatedDevice { skew_ppm, period: PERIOD, ..SimulatedDevice::default() };
        let mut simulation = Simulation::new(TICK, device, None);
        let ((source, feeder), (sink, tap)) = (pcm_source(), pcm_sink());
        let microphone = simulation.open_microphone(source).expect("a queue opens");
        let element = simulation.open_element(sink).expect("a queue opens");
        let mut config = StreamConfig::default();
        config.send.encoder.bitrate = BitsPerSecond(64_000);
        let stream = simulation.engine().open_stream(&config).expect("there is room");
        let port = stream.take_packet_port().expect("it is taken once");
        element.set_src_object(Some(&stream.incoming()));
        stream.attach_microphone(&microphone);
        Self { simulation, microphone, element, stream, port, feeder, tap, sequence: 0 }
    }

    fn send_to(&mut self, other: &mut Self, now: MediaTime) {
        while let Some(packet) = self.port.outgoing.pop() {
            self.sequence = self.sequence.wrapping_add(1);
            let incoming = IncomingPacket {
                arrival: now,
                payload_type: packet.payload_type,
                marker: packet.marker,
                ssrc: 7,
                sequence: self.sequence,
                timestamp: packet.timestamp,
                payload: packet.payload,
            };
            assert!(other.port.incoming.push(&incoming).is_ok());
        }
    }

    fn played(&mut self) -> Vec<f32> {
        let mut sound = vec![0.0; self.tap.queued()];
        let taken = self.tap.read(&mut sound);
        sound.truncate(taken);
        sound
    }
}

/// One speaks from a booth, the other is hands-free in a room.
struct Call {
    caller: Person,
    hands_free: Person,
    room: Room,
    /// What the one in the room says.
    near: Vec<f32>,
    /// What the microphone in the room picked up, and what the caller heard.
    picked_up: Vec<f32>,
    heard: Vec<f32>,
}

impl Call {
    fn new(skew_ppm: f64, processing: AudioProcessing) -> Self {
        let (mut caller, mut hands_free) = (Person::new(0.0), Person::new(skew_ppm));
        hands_free.microphone.set_processing(processing);
        // A period lies ready, so that the microphone never waits for the room.
        hands_free.feeder.write(&[0.0; 2 * PERIOD]);
        caller.feeder.write(&synthetic_speech(Duration::from_secs(10), 21));
        let room = Room::new(RoomConfig::default());
        Self { caller, hands_free, room, near: Vec::new(), picked_up: Vec::new(), heard: Vec::new() }
    }

    fn run(&mut self, duration: Duration) {
        for _ in 0..duration.as_millis() {
            let Self { caller, hands_free, room, .. } = self;
            caller.simulation.advance(Duration::from_millis(1));
            hands_free.simulation.advance(Duration::from_millis(1));
            let now = caller.simulation.now();
            caller.send_to(hands_free, now);
            hands_free.send_to(caller, now);
            let played = hands_free.played();
            room.play(&played);
            let mut captured = vec![0.0; played.len()];
            let at = self.picked_up.len().min(self.near.len());
            room.capture(&self.near[at..], &mut captured);
            hands_free.feeder.write(&captured);
            self.picked_up.extend_from_slice(&captured);
            self.heard.extend(caller.played());
        }
    }

    /// Echo that comes back to the caller in the last `duration`, against what the microphone picked up.
    fn loss(&self, duration: Duration) -> f64 {
        let last = |sound: &[f32]| level(&sound[sound.len() - duration.as_millis() as usize * 48..]);
        last(&self.picked_up) - last(&self.heard)
    }

    fn unprocessed(&self) -> u64 {
        let stats = self.hands_free.simulation.engine().stats();
        stats.devices.iter().map(|device| device.unprocessed_blocks).sum()
    }
}

#[test]
fn the_caller_hears_no_echo_also_when_the_devices_clocks_are_not_the_engines() {
    for skew_ppm in [0.0, 100.0] {
        let mut call = Call::new(skew_ppm, AudioProcessing::ON);
        call.run(Duration::from_secs(6));
        assert!(level(&call.picked_up[96_000..]) > -40.0);
        assert!(
            call.loss(Duration::from_secs(3)) > 30.0,
            "{skew_ppm}: {}",
            call.loss(Duration::from_secs(3))
        );
        assert_eq!(call.unprocessed(), 0);
        assert_eq!(call.hands_free.microphone.processing(), AudioProcessing::ON);
    }
}

#[test]
fn without_processing_the_caller_hears_the_echo() {
    let mut call = Call::new(0.0, AudioProcessing::OFF);
    call.run(Duration::from_secs(3));
    assert!(call.loss(Duration::from_secs(1)) < 6.0, "{}", call.loss(Duration::from_secs(1)));
}

#[test]
fn another_loudspeaker_is_learned() {
    let mut call = Call::new(0.0, AudioProcessing::ON);
    call.run(Duration::from_secs(4));
    let (other, tap) = pcm_sink();
    let reply = call.hands_free.element.set_sink_id(other);
    call.hands_free.simulation.handle_requests();
    assert_eq!(reply.wait(Duration::ZERO), Some(Ok(())));
    call.hands_free.tap = tap;
    // Another place in the room, too.
    let delay = Duration::from_millis(70);
    call.room = Room::new(RoomConfig { seed: 9, delay, ..RoomConfig::default() });
    call.run(Duration::from_secs(4));
    assert!(call.loss(Duration::from_secs(2)) > 25.0, "{}", call.loss(Duration::from_secs(2)));
}

#[test]
fn when_the_worker_gets_no_time_the_person_is_heard_all_the_same() {
    let mut call = Call::new(0.0, AudioProcessing { noise_suppression: true, ..AudioProcessing::OFF });
    call.caller.feeder.clear();
    call.near = synthetic_speech(Duration::from_secs(5), 33);
    call.run(Duration::from_secs(2));
    assert_eq!(call.unprocessed(), 0);
    call.hands_free.simulation.hold_enhancer(true);
    call.run(Duration::from_millis(500));
    call.hands_free.simulation.hold_enhancer(false);
    call.run(Duration::from_secs(2));
    assert!((40..=60).contains(&call.unprocessed()), "{}", call.unprocessed());
    assert!(level(&call.heard[96_000..120_000]) > -40.0);
    assert!(clicks(&call.heard).is_empty(), "{:?}", clicks(&call.heard));
    assert_eq!(call.caller.stream.stats().receive.packets_lost, 0);
}

#[test]
fn a_device_that_is_none_of_the_system_is_left_alone_unless_asked() {
    let mut simulation = Simulation::new(TICK, SimulatedDevice::default(), None);
    let microphone = simulation.open_microphone(Device::null()).unwrap();
    assert_eq!(microphone.processing(), AudioProcessing::OFF);
    microphone.set_processing(AudioProcessing::ON);
    assert_eq!(microphone.processing(), AudioProcessing::ON);
    simulation.advance(Duration::from_millis(500));
    let processed = |simulation: &Simulation| simulation.engine().stats().devices[0].processed_blocks;
    assert!(processed(&simulation) > 40);
    microphone.set_processing(AudioProcessing::OFF);
    simulation.advance(Duration::from_millis(150));
    let before = processed(&simulation);
    simulation.advance(Duration::from_millis(500));
    assert_eq!(processed(&simulation), before);
}

#[test]
fn what_is_enhanced_does_not_wait_for_the_next_tick() {
    let tick = Duration::from_millis(10);
    let device = SimulatedDevice { period: 480, ..SimulatedDevice::default() };
    let mut simulation = Simulation::new(tick, device, None);
    let (source, mut feeder) = pcm_source();
    feeder.write(&synthetic_speech(Duration::from_secs(2), 3));
    let microphone = simulation.open_microphone(source).unwrap();
    let stream = simulation.engine().open_stream(&StreamConfig::default()).unwrap();
    let mut port = stream.take_packet_port().unwrap();
    stream.attach_microphone(&microphone);
    for (processing, after_tick) in [(AudioProcessing::OFF, 0), (AudioProcessing::ON, 3)] {
        microphone.set_processing(processing);
        simulation.advance(Duration::from_millis(400));
        while port.outgoing.pop().is_some() {}
        let mut sent = [0; 10];
        for millisecond in 0..200 {
            while port.outgoing.pop().is_some() {
                sent[millisecond % 10] += 1;
            }
            simulation.advance(Duration::from_millis(1));
        }
        // A packet that was made within a millisecond is seen at the end of it.
        let seen = (after_tick + 1) % 10;
        assert!(
            sent[seen] + sent[after_tick] >= 19 && sent.iter().sum::<usize>() <= 21,
            "{processing:?}: {sent:?}"
        );
    }
    let stats = simulation.engine().stats();
    assert_eq!(stats.devices[0].unprocessed_blocks, 0);
}

#[test]
fn on_threads_of_its_own_the_worker_is_found_when_it_is_needed_and_ends_with_the_engine() {
    let engine = Engine::builder().real_time(false).build().unwrap();
    let (source, mut feeder) = pcm_source();
    let microphone = engine.open_microphone(source).unwrap();
    let processed = || engine.stats().devices[0].processed_blocks;
    assert_eq!(processed(), 0);
    for _ in 0..2 {
        let before = processed();
        microphone.set_processing(AudioProcessing::ON);
        feeder.write(&synthetic_speech(Duration::from_secs(1), 3));
        // However busy the machine is, some blocks come back in time.
        let patience = Instant::now() + Duration::from_secs(60);
        while processed() < before + 10 {
            assert!(Instant::now() < patience, "{:?}", engine.stats());
            std::thread::park_timeout(Duration::from_millis(10));
        }
        microphone.set_processing(AudioProcessing::OFF);
    }
    let begin = Instant::now();
    engine.close();
    assert!(begin.elapsed() < Duration::from_secs(30));
}
