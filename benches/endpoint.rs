//! What one end of a call costs: processor seconds per minute of talking and hearing, by profile, and memory per call. Everything an engine
//! does in a call is in it (device callbacks, ticks, encoder, jitter buffer, decoder, mixing); sockets and encryption are in `transport`.
//!
//! `cargo bench --bench endpoint` prints a table. The time is that the thread was given, so that a busy machine changes it little.

use std::time::Duration;

use offhook_media::simulation::{SimulatedDevice, Simulation};
use offhook_media::{
    AudioElement, Device, MediaStream, Microphone, PacketPort, PcmFeeder, StreamConfig, pcm_source,
};
use offhook_media_core::codec::Profile;
use offhook_media_core::recv::IncomingPacket;
use offhook_media_core::units::{BitsPerSecond, MediaTime, PacketTime};
use offhook_sim::sound::synthetic_speech;
use rustix::time::{ClockId, clock_gettime};

/// How long the measured call lasts.
const CALL: Duration = Duration::from_secs(60);
/// Calls that memory is counted of.
const CALLS: usize = 24;

/// One end, with its own engine.
struct End {
    simulation: Simulation,
    stream: MediaStream,
    port: PacketPort,
    feeder: PcmFeeder,
    sequence: u16,
    _sound: (Microphone, AudioElement),
}

impl End {
    fn open(config: &StreamConfig, tick: Duration, device: SimulatedDevice) -> Self {
        let mut simulation = Simulation::new(tick, device, None);
        let (source, feeder) = pcm_source();
        let microphone = simulation.open_microphone(source).expect("a queue opens");
        let element = simulation.open_element(Device::null()).expect("a null device opens");
        let (stream, port) = stream(&simulation, config);
        stream.attach_microphone(&microphone);
        element.add_source(&stream.incoming());
        Self { simulation, stream, port, feeder, sequence: 0, _sound: (microphone, element) }
    }

    fn carry(&mut self, to: &mut PacketPort, now: MediaTime, keep: impl Fn(u16) -> bool) {
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
            if keep(self.sequence) {
                let _ = to.incoming.push(&incoming);
            }
        }
    }
}

fn stream(simulation: &Simulation, config: &StreamConfig) -> (MediaStream, PacketPort) {
    let stream = simulation.engine().open_stream(config).expect("there is room");
    let port = stream.take_packet_port().expect("it is taken once");
    (stream, port)
}

/// Processor time of this thread.
fn spent() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Processor seconds that the near end took for [`CALL`].
fn cost(config: &StreamConfig, tick: Duration, device: SimulatedDevice, lost_of_100: u16) -> Duration {
    let speech = synthetic_speech(Duration::from_secs(10), 3);
    let (mut near, mut far) = (End::open(config, tick, device), End::open(config, tick, device));
    let mut total = Duration::ZERO;
    for _ in 0..CALL.as_micros() / tick.as_micros() {
        for end in [&mut near, &mut far] {
            if end.feeder.queued() < speech.len() / 2 {
                end.feeder.write(&speech);
            }
        }
        far.simulation.advance(tick);
        let now = near.simulation.now();
        far.carry(&mut near.port, now, |n| n.wrapping_mul(37) % 100 >= lost_of_100);
        let before = spent();
        near.simulation.advance(tick);
        total += spent() - before;
        near.carry(&mut far.port, now, |_| true);
    }
    assert!(near.stream.stats().receive.decoded > 0);
    total
}

/// Resident bytes of this process; `None` where the system does not tell.
fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
}

/// Resident bytes of one more call that talks and hears, codec included.
fn memory(config: &StreamConfig) -> Option<u64> {
    let mut end = End::open(config, Duration::from_millis(5), SimulatedDevice::default());
    let speech = synthetic_speech(Duration::from_secs(3), 3);
    end.feeder.write(&speech);
    let open = |end: &End| {
        let (stream, port) = stream(&end.simulation, config);
        stream.attach_microphone(&end._sound.0);
        end._sound.1.add_source(&stream.incoming());
        (stream, port, 0_u16)
    };
    // What the first call of a process brings along is no other's.
    let mut calls = vec![open(&end)];
    talk(&mut end, &mut calls);
    let before = resident()?;
    calls.extend((0..CALLS).map(|_| open(&end)));
    talk(&mut end, &mut calls);
    resident()?.checked_sub(before).map(|bytes| bytes / CALLS as u64)
}

/// Half a second in which every call hears itself.
fn talk(end: &mut End, calls: &mut [(MediaStream, PacketPort, u16)]) {
    for _ in 0..100 {
        end.simulation.advance(Duration::from_millis(5));
        let now = end.simulation.now();
        for (_, port, sequence) in calls.iter_mut() {
            while let Some(packet) = port.outgoing.pop() {
                *sequence = sequence.wrapping_add(1);
                let incoming = IncomingPacket {
                    arrival: now,
                    payload_type: packet.payload_type,
                    marker: packet.marker,
                    ssrc: 7,
                    sequence: *sequence,
                    timestamp: packet.timestamp,
                    payload: packet.payload,
                };
                let _ = port.incoming.push(&incoming);
            }
        }
    }
}

#[expect(clippy::print_stdout, reason = "a benchmark says what it measured")]
fn main() {
    let (normal, tick) = (StreamConfig::default(), Duration::from_millis(5));
    let device = SimulatedDevice::default();
    let mut twenty = normal;
    twenty.send.packet_time = PacketTime::Ms20;
    let mut light = normal;
    light.send.encoder.complexity = 1;
    light.receive.decoder.complexity = 0;
    let mut light_twenty = light;
    light_twenty.send.packet_time = PacketTime::Ms20;
    let mut low = normal;
    low.send.packet_time = PacketTime::Ms5;
    low.send.encoder.profile = Profile::LowDelay;
    low.send.encoder.bitrate = BitsPerSecond(64_000);
    let hardware = SimulatedDevice { sample_rate: 44_100, period: 441, skew_ppm: 50.0 };
    let half = tick / 2;
    println!("processor seconds per minute of one end, 10 ms packets unless said otherwise");
    for (name, config, tick, device, lost) in [
        ("complexity 6", &normal, tick, device, 0),
        ("complexity 6, 10 % loss", &normal, tick, device, 10),
        ("complexity 6, devices of 44.1 kHz", &normal, tick, hardware, 0),
        ("complexity 6, 20 ms packets", &twenty, tick, device, 0),
        ("light", &light, tick, device, 0),
        ("light, 10 % loss", &light, tick, device, 10),
        ("light, 20 ms packets", &light_twenty, tick, device, 0),
        ("low latency", &low, half, SimulatedDevice { period: 120, ..device }, 0),
    ] {
        println!("{name:36} {:.3}", cost(config, tick, device, lost).as_secs_f64());
    }
    for (name, config) in [("memory of one more call", &normal), ("the same, light", &light)] {
        match memory(config) {
            Some(bytes) => println!("{name:36} {:.2} MiB", bytes as f64 / 1_048_576.0),
            None => println!("{name:36} not told by this system"),
        }
    }
}
