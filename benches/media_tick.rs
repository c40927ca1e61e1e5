//! A tick of the media thread (5 ms of sound): idle, and with calls that talk and hear. Devices are played by the same thread, as in
//! [`offhook_media::simulation`]; 10 ms packets go straight from the first end of a call to the second.

use std::time::Duration;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use offhook_media::simulation::{SimulatedDevice, Simulation};
use offhook_media::{AudioElement, Device, MediaStream, Microphone, PacketPort, StreamConfig, pcm_source};
use offhook_media_core::recv::IncomingPacket;
use offhook_sim::sound::synthetic_speech;

const TICK: Duration = Duration::from_millis(5);

/// Both ends of a call, and what keeps them sounding.
struct Call {
    ends: [(MediaStream, PacketPort); 2],
    sequence: [u16; 2],
    _sound: (Microphone, AudioElement),
}

impl Call {
    fn open(simulation: &mut Simulation, microphone: Device) -> Self {
        let microphone = simulation.open_microphone(microphone).expect("a queue opens");
        let element = simulation.open_element(Device::null()).expect("a null device opens");
        let ends = [(); 2].map(|()| {
            let stream = simulation.engine().open_stream(&StreamConfig::default()).expect("there is room");
            stream.attach_microphone(&microphone);
            element.add_source(&stream.incoming());
            let port = stream.take_packet_port().expect("it is taken once");
            (stream, port)
        });
        Self { ends, sequence: [0; 2], _sound: (microphone, element) }
    }

    fn carry(&mut self, simulation: &Simulation) {
        for from in 0..2 {
            while let Some(packet) = self.ends[from].1.outgoing.pop() {
                self.sequence[from] = self.sequence[from].wrapping_add(1);
                let incoming = IncomingPacket {
                    arrival: simulation.now(),
                    payload_type: packet.payload_type,
                    marker: packet.marker,
                    ssrc: 7,
                    sequence: self.sequence[from],
                    timestamp: packet.timestamp,
                    payload: packet.payload,
                };
                let _ = self.ends[1 - from].1.incoming.push(&incoming);
            }
        }
    }
}

fn media_tick(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("media tick of 5 ms");
    let speech = synthetic_speech(Duration::from_secs(2), 3);
    for calls in [0_usize, 1, 2] {
        let mut simulation = Simulation::new(TICK, SimulatedDevice::default(), None);
        let (source, mut feeder) = pcm_source();
        let mut calls_open: Vec<Call> = (0..calls)
            .map(|n| Call::open(&mut simulation, if n == 0 { source.clone() } else { Device::null() }))
            .collect();
        group.bench_function(BenchmarkId::new("ends of calls", 2 * calls), |bencher| {
            bencher.iter(|| {
                if feeder.queued() < speech.len() / 2 {
                    feeder.write(&speech);
                }
                simulation.advance(TICK);
                for call in &mut calls_open {
                    call.carry(&simulation);
                }
            });
        });
    }
    group.finish();
}

criterion_group!(benches, media_tick);
criterion_main!(benches);
