//! The stages in order.

mod rate;

use thiserror::Error;

use super::dtmf::{DtmfSender, Report};
use super::enhance::Enhancer;
use super::ladder::Ladder;
use super::pause::{Pause, PausePacket};
use super::protection::Protection;
use super::{OutgoingPacket, QueueDtmfError, SendConfig, SendStats};
use crate::codec::telephone_event::DtmfDigit;
use crate::codec::{OpusEncoder, OpusError};
use crate::dsp::LevelMeter;
use crate::rt_context::RtContext;
use crate::units::{MediaTime, PacketTime};

/// Longest packet of any packet time.
const MOST_SAMPLES: usize = PacketTime::Ms120.samples();
/// A DTX packet is at most this long; only the first of a pause is sent.
const DTX_BYTES: usize = 2;

/// Why a pipeline could not be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SendError {
    /// The encoder refused its settings.
    #[error("the Opus encoder could not be made: {0}")]
    Encoder(#[from] OpusError),
}

/// Microphone samples in, packets out.
#[derive(Debug)]
pub struct SendPipeline {
    config: SendConfig,
    enhancer: Enhancer,
    meter: LevelMeter,
    encoder: OpusEncoder,
    ladder: Ladder,
    protection: Protection,
    dtmf: DtmfSender,
    waiting: Box<[f32; MOST_SAMPLES]>,
    filled: usize,
    /// When sound last came in.
    now: MediaTime,
    packet_time: PacketTime,
    next_packet_time: PacketTime,
    timestamp: u32,
    sending: bool,
    pause: Pause,
    /// Nothing was sent, or the far end knows that this side pauses.
    silent: bool,
    /// Sound has passed that was not encoded.
    rested: bool,
    packet: Box<OutgoingPacket>,
    stats: SendStats,
}

impl SendPipeline {
    /// Makes a pipeline.
    ///
    /// # Errors
    /// [`SendError::Encoder`].
    ///
    /// # Real-time
    /// Allocates: not for the real-time thread.
    #[expect(clippy::disallowed_methods, reason = "constructor")]
    pub fn new(config: &SendConfig) -> Result<Self, SendError> {
        let ladder = Ladder::new(config.ladder());
        let rung = ladder.rung();
        let mut pipeline = Self {
            config: *config,
            enhancer: Enhancer::new(),
            meter: LevelMeter::default(),
            encoder: OpusEncoder::new(&config.encoder)?,
            ladder,
            protection: Protection::new(rung),
            dtmf: DtmfSender::default(),
            waiting: Box::new([0.0; MOST_SAMPLES]),
            filled: 0,
            now: MediaTime::ZERO,
            packet_time: config.packet_time,
            next_packet_time: config.packet_time,
            timestamp: config.initial_timestamp,
            sending: true,
            pause: Pause::new(),
            silent: true,
            rested: false,
            packet: Box::new(OutgoingPacket::empty()),
            stats: SendStats::new(rung),
        };
        pipeline.protection.apply(rung, &mut pipeline.encoder);
        Ok(pipeline)
    }

    /// Takes any number of mono samples at 48 kHz in -1..=1 and hands each finished packet to `emit`.
    pub fn push(&mut self, cx: &mut RtContext, mut samples: &[f32], emit: &mut dyn FnMut(&OutgoingPacket)) {
        while !samples.is_empty() {
            let whole = self.packet_time.samples();
            let take = samples.len().min(whole - self.filled);
            self.waiting[self.filled..self.filled + take].copy_from_slice(&samples[..take]);
            self.filled += take;
            samples = &samples[take..];
            if self.filled == whole {
                self.finish_packet(cx, emit);
            }
        }
    }

    /// Media time of the packet that is being filled, and how many samples it lacks.
    pub const fn filling(&self) -> (PacketTime, usize) {
        (self.packet_time, self.packet_time.samples() - self.filled)
    }

    /// Mutes or unmutes without a click; silence goes on being sent, so that the connection stays warm.
    pub fn set_muted(&mut self, muted: bool) {
        self.enhancer.set_muted(muted);
        self.stats.muted = self.enhancer.is_muted();
    }

    /// Stops sending sound, as on hold, or goes on. The sound fades out and the pause is announced, so that the far end takes it for no loss
    /// (as silence suppression does, RFC 7587 section 3.1.3); then nothing is sent, and keys wait. What comes after it is marked.
    pub const fn set_sending(&mut self, sending: bool) {
        self.sending = sending;
    }

    /// Sends a key when those before it were sent: 100 ms of it, then a pause of 60 ms. Sound is not sent meanwhile, because a far end that plays
    /// keys as tones plays one or the other (RFC 4733 section 2.5.2.2); its pause is announced.
    ///
    /// # Errors
    /// [`QueueDtmfError`].
    pub fn queue_dtmf(&mut self, digit: DtmfDigit) -> Result<(), QueueDtmfError> {
        if self.config.dtmf_payload_type.is_none() {
            return Err(QueueDtmfError::NotNegotiated);
        }
        self.dtmf.queue(digit)
    }

    /// Goes on where `before` stood: RTP time goes on, what is muted or held stays so, keys that wait are sent. Real-time safe.
    pub fn continue_from(&mut self, before: &mut Self) {
        self.timestamp = before.timestamp.wrapping_add(before.filled as u32);
        // Its ramp too: a fresh one would let the first milliseconds of a muted microphone through.
        std::mem::swap(&mut self.enhancer, &mut before.enhancer);
        self.stats.muted = self.enhancer.is_muted();
        std::mem::swap(&mut self.pause, &mut before.pause);
        (self.sending, self.silent) = (before.sending, before.silent);
        if self.config.dtmf_payload_type.is_some() {
            std::mem::swap(&mut self.dtmf, &mut before.dtmf);
        }
    }

    /// Counters so far.
    pub const fn stats(&self) -> SendStats {
        self.stats
    }

    fn finish_packet(&mut self, cx: &RtContext, emit: &mut dyn FnMut(&OutgoingPacket)) {
        let samples = std::mem::take(&mut self.filled);
        self.now = cx.now();
        let sound = &mut self.waiting[..samples];
        self.enhancer.apply(sound);
        self.stats.level = self.meter.measure(sound);
        // A key that has begun is finished, whatever happens.
        let keys_move = self.sending || self.dtmf.is_sounding();
        let key = if keys_move { self.dtmf.advance(samples as u32) } else { None };
        let paused = !self.sending || key.is_some() || self.dtmf.is_sounding() || self.dtmf.is_waiting();
        self.pause.apply(paused, sound);
        if let Some(report) = key {
            self.send_key(&report, samples as u32, emit);
            if !self.dtmf.is_sounding() && self.dtmf.is_waiting() {
                self.pause.remind();
            }
        }
        if paused {
            self.send_pause(samples, emit);
        } else if self.encode(samples) {
            let suppressed = self.is_suppressed();
            // The first tells the far end that what follows is a pause, not a loss.
            if !suppressed || !self.silent {
                self.send_sound(emit);
            }
            self.silent = suppressed;
        }
        self.timestamp = self.timestamp.wrapping_add(samples as u32);
        self.packet_time = self.next_packet_time;
    }

    /// Encodes what waits into the packet; `false` when that failed.
    fn encode(&mut self, samples: usize) -> bool {
        // The sound faded out before the rest and fades in after it, here and in the far end's decoder: both begin in silence, and what was
        // said before a hold does not come after it.
        if std::mem::take(&mut self.rested) {
            self.encoder.reset();
        }
        let Self { packet, encoder, protection, packet_time, waiting, .. } = self;
        let encoded =
            packet.fill(|bytes| protection.encode(encoder, *packet_time, &waiting[..samples], bytes));
        self.stats.encode_errors += u64::from(encoded.is_err());
        encoded.is_ok()
    }

    /// Whether the encoder made a packet that says only that nobody speaks.
    fn is_suppressed(&self) -> bool {
        self.config.encoder.dtx && self.packet.payload().len() <= DTX_BYTES
    }

    /// Of a pause only what announces it is encoded: a call on hold costs nothing.
    fn send_pause(&mut self, samples: usize, emit: &mut dyn FnMut(&OutgoingPacket)) {
        match self.pause.next(self.silent) {
            PausePacket::Nothing => {
                self.rested = true;
                self.silent = true;
            }
            PausePacket::LastSound => {
                if self.encode(samples) {
                    self.send_sound(emit);
                }
            }
            PausePacket::Announcement => {
                if self.encode(samples) {
                    self.packet.empty_frames();
                    self.silent = false;
                    self.send_sound(emit);
                }
                self.silent = true;
            }
        }
    }

    fn send_sound(&mut self, emit: &mut dyn FnMut(&OutgoingPacket)) {
        self.packet.payload_type = self.config.opus_payload_type;
        self.packet.marker = self.silent;
        self.packet.timestamp = self.timestamp;
        self.packet.level = self.stats.level;
        self.packet.made = self.now;
        let sent = self.protection.wrap(&self.packet, self.config.red_payload_type, &mut self.stats);
        self.stats.count(sent);
        emit(sent);
        let rung = self.ladder.sent(self.packet_time);
        self.follow(rung);
    }

    /// All reports of a key carry the timestamp of its beginning.
    fn send_key(&mut self, report: &Report, samples: u32, emit: &mut dyn FnMut(&OutgoingPacket)) {
        let Some(payload_type) = self.config.dtmf_payload_type else {
            return;
        };
        let mut packet = OutgoingPacket::empty();
        packet.payload_type = payload_type;
        packet.marker = report.first;
        packet.timestamp = self.timestamp.wrapping_add(samples).wrapping_sub(report.began);
        packet.level = self.stats.level;
        packet.made = self.now;
        if packet.fill(|bytes| report.write(bytes)).is_ok() {
            self.stats.count(&packet);
            emit(&packet);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::{DecoderConfig, EncoderConfig, MOST_SAMPLES, OpusDecoder, opus_toc};

    fn cx() -> RtContext {
        RtContext::new(MediaTime::ZERO)
    }

    fn pushed(pipeline: &mut SendPipeline, samples: &[f32], chunk: usize) -> Vec<OutgoingPacket> {
        let mut packets = Vec::new();
        for chunk in samples.chunks(chunk) {
            pipeline.push(&mut cx(), chunk, &mut |packet| packets.push(*packet));
        }
        packets
    }

    #[test]
    fn timestamps_follow_the_samples_across_packet_times() {
        let config = SendConfig { initial_timestamp: u32::MAX - 500, ..SendConfig::default() };
        let mut pipeline = SendPipeline::new(&config).unwrap();
        let first = pushed(&mut pipeline, &[0.1; 960], 77);
        pipeline.set_packet_time(PacketTime::Ms20);
        let second = pushed(&mut pipeline, &[0.1; 480 + 1920], 1000);
        let stamps: Vec<u32> = first
            .iter()
            .chain(&second)
            .map(|packet| packet.timestamp.wrapping_sub(config.initial_timestamp))
            .collect();
        assert_eq!(stamps, [0, 480, 960, 1440, 2400]);
        assert!(first[0].marker && !first[1].marker);
        assert_eq!(opus_toc::samples(second[1].payload()), Some(960));
    }

    #[test]
    fn a_pipeline_that_takes_over_goes_on_in_time_in_silence_and_with_the_keys() {
        let config = SendConfig { dtmf_payload_type: Some(110), ..SendConfig::default() };
        let mut before = SendPipeline::new(&config).unwrap();
        before.set_muted(true);
        let last = *pushed(&mut before, &[0.5; 4800 + 100], 480).last().unwrap();
        before.queue_dtmf(DtmfDigit::from_char('7').unwrap()).unwrap();
        let mut after = SendPipeline::new(&SendConfig { opus_payload_type: 96, ..config }).unwrap();
        after.continue_from(&mut before);
        let packets = pushed(&mut after, &[0.5; 48_000], 480);
        let speech = packets.iter().find(|packet| packet.payload_type == 96).unwrap();
        assert!(packets.iter().all(|packet| packet.timestamp.wrapping_sub(last.timestamp) < 50_000));
        assert_eq!(packets[0].timestamp, last.timestamp + 480 + 100);
        assert!(packets[0].payload_type == 110 && speech.level.level.get() == 127 && after.stats().muted);
    }

    #[test]
    fn a_muted_pipeline_sends_silence() {
        let mut pipeline = SendPipeline::new(&SendConfig::default()).unwrap();
        pipeline.set_muted(true);
        let packets = pushed(&mut pipeline, &vec![0.5; 48_000], 480);
        assert_eq!(packets.len(), 100);
        assert_eq!(packets[99].level.level.get(), 127);
    }

    #[test]
    fn keys_replace_speech_and_share_its_clock() {
        let config = SendConfig { dtmf_payload_type: Some(110), ..SendConfig::default() };
        let mut pipeline = SendPipeline::new(&config).unwrap();
        pipeline.queue_dtmf(DtmfDigit::from_char('5').unwrap()).unwrap();
        let packets = pushed(&mut pipeline, &[0.1; 48_000], 480);
        let keys: Vec<_> = packets.iter().filter(|packet| packet.payload_type == 110).collect();
        assert!(keys.len() >= 7 && keys[0].marker && keys[1..].iter().all(|packet| !packet.marker));
        assert!(keys.iter().all(|packet| packet.timestamp == keys[0].timestamp));
        assert!(packets.len() < 100);
        let speech = packets.iter().filter(|packet| packet.payload_type == 111);
        assert_eq!(speech.filter(|packet| packet.marker).count(), 1);
    }

    /// Whether a packet announces a pause.
    fn announces(packet: &OutgoingPacket) -> bool {
        packet.payload_type == 111 && opus_toc::Toc::parse(packet.payload()).unwrap().is_dtx()
    }

    #[test]
    fn a_hold_ends_softly_is_announced_and_is_left_with_a_marker() {
        for packet_time in [PacketTime::Ms10, PacketTime::Ms60] {
            let mut pipeline =
                SendPipeline::new(&SendConfig { packet_time, ..SendConfig::default() }).unwrap();
            let samples = packet_time.samples();
            pushed(&mut pipeline, &vec![0.1; 10 * samples], samples);
            pipeline.set_sending(false);
            let held = pushed(&mut pipeline, &vec![0.1; 20 * samples], samples);
            assert_eq!(
                held.iter().map(announces).collect::<Vec<_>>(),
                [false, true, true],
                "{packet_time:?}"
            );
            assert!(held.iter().all(|packet| !packet.marker && packet.level.voice == held[0].level.voice));
            let stamps = held.iter().map(|packet| packet.timestamp as usize / samples);
            assert_eq!(stamps.collect::<Vec<_>>(), [10, 11, 12]);
            assert!(held.iter().all(|packet| opus_toc::samples(packet.payload()) == Some(samples)));
            pipeline.set_sending(true);
            let back = pushed(&mut pipeline, &vec![0.1; 3 * samples], samples);
            assert_eq!(back.iter().map(|packet| packet.marker).collect::<Vec<_>>(), [true, false, false]);
            assert_eq!(back[0].timestamp as usize / samples, 30);
            assert_eq!(pipeline.stats().packets, 16);
        }
    }

    #[test]
    fn on_hold_nothing_is_encoded_and_what_comes_after_it_begins_in_silence() {
        for packet_time in [PacketTime::Ms5, PacketTime::Ms20] {
            let config = SendConfig { packet_time, ..SendConfig::default() };
            let mut pipeline = SendPipeline::new(&config).unwrap();
            let tone = |hertz: f32| {
                (0..48_000_usize)
                    .map(move |n| 0.3 * (n as f32 * hertz / 48_000.0 * std::f32::consts::TAU).sin())
            };
            let (before, after): (Vec<f32>, Vec<f32>) = (tone(500.0).collect(), tone(800.0).collect());
            let mut decoder = OpusDecoder::new(&DecoderConfig::default()).unwrap();
            let mut hear = |packets: Vec<OutgoingPacket>, pause: usize| {
                let (mut heard, mut out) = (Vec::new(), [0.0; MOST_SAMPLES]);
                for packet in packets {
                    let samples = decoder.decode(packet.payload(), &mut out).unwrap();
                    heard.extend_from_slice(&out[..samples]);
                }
                // A receiver fills the beginning of a pause with what the decoder makes up.
                assert!((0..pause).all(|_| decoder.conceal(&mut out[..960]).is_ok()));
                heard
            };
            hear(pushed(&mut pipeline, &before, 480), 0);
            pipeline.set_sending(false);
            hear(pushed(&mut pipeline, &before, 480), 10);
            let announced = pipeline.packet.payload().len();
            pushed(&mut pipeline, &before.repeat(10), 480);
            assert_eq!(pipeline.packet.payload().len(), announced, "{packet_time:?}");
            assert!(announced <= DTX_BYTES);
            pipeline.set_sending(true);
            let heard = hear(pushed(&mut pipeline, &after, 480), 0);
            // No step, nothing of the old tone, all of the new one.
            let steepest = heard.windows(2).map(|pair| (pair[1] - pair[0]).abs()).fold(0.0, f32::max);
            assert!(steepest < 0.05, "{packet_time:?}: {steepest}");
            let amplitude = |hertz: f32| {
                let phase = |n: usize| n as f32 * hertz / 48_000.0 * std::f32::consts::TAU;
                let sound = &heard[..4800];
                let sum = |of: fn(f32) -> f32| -> f32 {
                    sound.iter().enumerate().map(|(n, sample)| sample * of(phase(n))).sum()
                };
                2.0 * sum(f32::sin).hypot(sum(f32::cos)) / sound.len() as f32
            };
            let (old, new) = (amplitude(500.0), amplitude(800.0));
            // The speech layer's decoder takes its time after a pause, whatever the encoder did in it.
            assert!(old < 0.01 && new > 0.15, "{packet_time:?}: {old}, {new}");
        }
    }

    #[test]
    fn keys_wait_while_nothing_is_sent() {
        let config = SendConfig { dtmf_payload_type: Some(110), ..SendConfig::default() };
        let mut pipeline = SendPipeline::new(&config).unwrap();
        pipeline.set_sending(false);
        pipeline.queue_dtmf(DtmfDigit::from_char('5').unwrap()).unwrap();
        assert_eq!(pushed(&mut pipeline, &[0.1; 48_000], 480).len(), 0);
        pipeline.set_sending(true);
        let packets = pushed(&mut pipeline, &[0.1; 48_000], 480);
        assert!(packets[0].payload_type == 110 && packets[0].marker && packets[0].timestamp == 48_000);
    }

    #[test]
    fn the_pause_that_keys_make_is_announced_before_each() {
        let config = SendConfig { dtmf_payload_type: Some(110), ..SendConfig::default() };
        let mut pipeline = SendPipeline::new(&config).unwrap();
        pushed(&mut pipeline, &[0.1; 4800], 480);
        for key in "159#".chars() {
            pipeline.queue_dtmf(DtmfDigit::from_char(key).unwrap()).unwrap();
        }
        let packets = pushed(&mut pipeline, &[0.1; 48_000], 480);
        let sound: Vec<_> = packets.iter().filter(|packet| packet.payload_type == 111).collect();
        let told = sound.iter().map(|packet| announces(packet));
        assert_eq!(told.take(6).collect::<Vec<_>>(), [false, true, true, true, true, true]);
        assert!(sound[..6].iter().all(|packet| !packet.marker) && sound[6].marker && !announces(sound[6]));
        assert!(sound[7..].iter().all(|packet| !packet.marker && !announces(packet)));
    }

    #[test]
    fn keys_the_peer_does_not_take_are_refused() {
        let mut pipeline = SendPipeline::new(&SendConfig::default()).unwrap();
        let digit = DtmfDigit::from_char('5').unwrap();
        assert_eq!(pipeline.queue_dtmf(digit), Err(QueueDtmfError::NotNegotiated));
    }

    #[test]
    fn silence_is_suppressed_and_speech_after_it_is_marked() {
        let encoder = EncoderConfig { dtx: true, ..EncoderConfig::default() };
        let config = SendConfig { encoder, packet_time: PacketTime::Ms20, ..SendConfig::default() };
        let mut pipeline = SendPipeline::new(&config).unwrap();
        let silent = pushed(&mut pipeline, &[0.0; 96_000], 480);
        assert!(silent.len() < 50, "{} of 100 packets", silent.len());
        let tone: Vec<f32> = (0..9600).map(|n| (n as f32 * 0.05).sin() * 0.5).collect();
        let speech = pushed(&mut pipeline, &tone, 480);
        assert!(speech.len() >= 9 && speech[0].marker && !speech[1].marker);
        assert!(speech[5].level.voice && !silent[0].level.voice);
        let pause = pushed(&mut pipeline, &[0.0; 96_000], 480);
        assert!(pause.iter().any(|packet| packet.payload().len() <= DTX_BYTES && !packet.marker));
    }

    #[test]
    fn sound_that_is_no_number_does_no_harm() {
        let mut pipeline = SendPipeline::new(&SendConfig::default()).unwrap();
        let packets = pushed(&mut pipeline, &[f32::NAN, f32::INFINITY, -1e30, 0.0].repeat(1200), 480);
        assert_eq!((packets.len(), pipeline.stats().encode_errors), (10, 0));
    }
}
