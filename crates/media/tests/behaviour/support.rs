//! Two ends of a call in one simulation, with a network of nothing in between.

use std::time::Duration;

use offhook_media::simulation::{SimulatedDevice, Simulation};
use offhook_media::{MediaStream, PacketPort, StreamConfig};
use offhook_media_core::recv::IncomingPacket;
use offhook_media_core::units::{BitsPerSecond, MediaTime};

pub(crate) const TICK: Duration = Duration::from_micros(2500);

pub(crate) fn simulation() -> Simulation {
    Simulation::new(TICK, SimulatedDevice::default(), None)
}

pub(crate) fn config() -> StreamConfig {
    let mut config = StreamConfig::default();
    config.send.encoder.bitrate = BitsPerSecond(64_000);
    config.send.dtmf_payload_type = Some(110);
    config.receive.dtmf_payload_types = [Some(110), Some(126)];
    config
}

/// A stream and the network's end of it.
pub(crate) struct End {
    pub(crate) stream: MediaStream,
    pub(crate) port: PacketPort,
    sequence: u16,
}

impl End {
    pub(crate) fn open(simulation: &Simulation) -> Self {
        Self::open_as(simulation, &config())
    }

    pub(crate) fn open_as(simulation: &Simulation, config: &StreamConfig) -> Self {
        let stream = simulation.engine().open_stream(config).expect("there is room for a stream");
        let port = stream.take_packet_port().expect("it is taken once");
        Self { stream, port, sequence: 0 }
    }

    /// Carries what this end sent to the other; `keep` says which packets arrive.
    pub(crate) fn carry(&mut self, to: &mut Self, now: MediaTime, mut keep: impl FnMut(u16) -> bool) {
        while let Some(packet) = self.port.outgoing.pop() {
            self.sequence = self.sequence.wrapping_add(1);
            if !keep(self.sequence) {
                continue;
            }
            let incoming = IncomingPacket {
                arrival: now,
                payload_type: packet.payload_type,
                marker: packet.marker,
                ssrc: 7,
                sequence: self.sequence,
                timestamp: packet.timestamp,
                payload: packet.payload,
            };
            let taken = to.port.incoming.push(&incoming);
            assert!(taken.is_ok() || to.port.incoming.is_closed());
        }
    }
}

/// Lets `simulation` run, carrying packets from `one` to `other` every millisecond.
pub(crate) fn run(simulation: &mut Simulation, one: &mut End, other: &mut End, duration: Duration) {
    run_lossy(simulation, one, other, duration, |_| true);
}

pub(crate) fn run_lossy(
    simulation: &mut Simulation,
    one: &mut End,
    other: &mut End,
    duration: Duration,
    mut keep: impl FnMut(u16) -> bool,
) {
    for _ in 0..duration.as_millis() {
        simulation.advance(Duration::from_millis(1));
        let now = simulation.now();
        one.carry(other, now, &mut keep);
        other.carry(one, now, &mut keep);
    }
}

/// Everything that waits in a tap.
pub(crate) fn drain(tap: &mut offhook_media::PcmTap) -> Vec<f32> {
    let mut sound = vec![0.0; tap.queued()];
    let taken = tap.read(&mut sound);
    sound.truncate(taken);
    sound
}

/// Amplitude of a frequency in a sound.
pub(crate) fn amplitude(sound: &[f32], hertz: f64) -> f64 {
    let (mut sine, mut cosine) = (0.0, 0.0);
    for (n, sample) in sound.iter().enumerate() {
        let phase = n as f64 * hertz / 48_000.0 * std::f64::consts::TAU;
        sine += f64::from(*sample) * phase.sin();
        cosine += f64::from(*sample) * phase.cos();
    }
    2.0 * (sine * sine + cosine * cosine).sqrt() / sound.len() as f64
}

/// Longest run of silence, in samples.
pub(crate) fn longest_silence(sound: &[f32]) -> usize {
    sound
        .chunk_by(|a, b| (a.abs() < 1e-3) == (b.abs() < 1e-3))
        .filter(|run| run[0].abs() < 1e-3)
        .map(<[f32]>::len)
        .max()
        .unwrap_or(0)
}

/// A tone of any length, for a feeder.
pub(crate) fn tone(hertz: f64, amplitude: f32, duration: Duration) -> Vec<f32> {
    offhook_sim::sound::tone(hertz, amplitude, duration)
}

pub(crate) fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}
