//! The stages in order.

use bytes::Buf;
use thiserror::Error;
use webrtc_util::marshal::Unmarshal;

use super::SlotDecoder;
use super::depacketize::{Admission, IncomingPacket, Place, Stream, Taken};
use super::playout::{MOST_PULLED, Playout, Tick};
use super::report::{Arrived, ReportBuilder};
use crate::codec::telephone_event::{DtmfDigit, TelephoneEvent};
use crate::codec::{DecoderConfig, OpusDecoder, OpusError, opus_toc, red};
use crate::feedback::NetworkReport;
use crate::jitter::{MOST_PACKET_BYTES, ReceiveStats};
use crate::rt_context::RtContext;

/// Keys received and not asked for yet; older ones give way.
const MOST_DIGITS: usize = 32;
/// A report this much older than the last key's is one that came late: 5 s.
const LATE_REPORT: u32 = 240_000;

/// How to receive.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ReceiveConfig {
    /// RTP payload type of Opus.
    pub opus_payload_type: u8,
    /// RTP payload type of redundant audio (RFC 2198), where it was agreed on.
    pub red_payload_type: Option<u8>,
    /// RTP payload types of telephone-event: a peer that offered it at two clock rates may send either.
    pub dtmf_payload_types: [Option<u8>; 2],
    /// The decoder's settings.
    pub decoder: DecoderConfig,
    /// What one percent of concealed sound is worth, in milliseconds of delay.
    pub price_per_percent: f32,
}

impl Default for ReceiveConfig {
    /// Opus as payload type 111, neural concealment, 46 ms per percent: conversation.
    fn default() -> Self {
        Self {
            opus_payload_type: 111,
            red_payload_type: None,
            dtmf_payload_types: [None; 2],
            decoder: DecoderConfig::default(),
            price_per_percent: 46.0,
        }
    }
}

/// Why a pipeline could not be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ReceiveError {
    /// The decoder refused its settings.
    #[error("the Opus decoder could not be made: {0}")]
    Decoder(#[from] OpusError),
}

/// Packets in, sound out, in the receiver's own time.
#[derive(Debug)]
pub struct ReceivePipeline<D = OpusDecoder> {
    config: ReceiveConfig,
    stream: Stream,
    playout: Playout<D>,
    report: ReportBuilder,
    digits: [Option<DtmfDigit>; MOST_DIGITS],
    digit_head: usize,
    last_event: Option<u32>,
}

impl ReceivePipeline<OpusDecoder> {
    /// Makes a pipeline.
    ///
    /// # Errors
    /// [`ReceiveError::Decoder`].
    ///
    /// # Real-time
    /// Allocates: not for the real-time thread.
    pub fn new(config: &ReceiveConfig) -> Result<Self, ReceiveError> {
        Ok(Self::with_decoder(config, OpusDecoder::new(&config.decoder)?))
    }
}

impl<D: SlotDecoder> ReceivePipeline<D> {
    /// Makes a pipeline around another decoder.
    ///
    /// # Real-time
    /// Allocates: not for the real-time thread.
    pub fn with_decoder(config: &ReceiveConfig, decoder: D) -> Self {
        Self {
            config: *config,
            stream: Stream::default(),
            playout: Playout::new(config.price_per_percent, decoder),
            report: ReportBuilder::default(),
            digits: [None; MOST_DIGITS],
            digit_head: 0,
            last_event: None,
        }
    }

    /// Takes a packet in.
    pub fn insert(&mut self, cx: &mut RtContext, packet: &IncomingPacket<'_>) -> Taken {
        let is_event = self.config.dtmf_payload_types.contains(&Some(packet.payload_type));
        let is_red = self.config.red_payload_type == Some(packet.payload_type);
        let is_ours = is_event || is_red || packet.payload_type == self.config.opus_payload_type;
        if packet.payload.is_empty() && is_ours {
            self.take_soundless(packet);
            return Taken::Padding;
        }
        if is_event {
            return self.insert_event(packet);
        }
        if is_red {
            return self.insert_redundant(cx, packet);
        }
        self.insert_opus(cx, packet, packet.payload.len()).0
    }

    /// Takes in a packet of sound that came as so many bytes; also says where it belongs, if it is believed.
    fn insert_opus(
        &mut self,
        cx: &RtContext,
        packet: &IncomingPacket<'_>,
        bytes: usize,
    ) -> (Taken, Option<Place>) {
        let samples = opus_toc::samples(packet.payload).filter(|_| packet.payload.len() <= MOST_PACKET_BYTES);
        let Some(samples) = samples.filter(|_| packet.payload_type == self.config.opus_payload_type) else {
            self.playout.count_discarded();
            return (Taken::Discarded, None);
        };
        let place = match self.stream.admit(packet, samples as i64) {
            Admission::Probation => {
                self.playout.count_discarded();
                return (Taken::OnProbation, None);
            }
            Admission::Repeated => {
                self.playout.count_duplicate();
                return (Taken::Duplicate, None);
            }
            Admission::NewStream(place) => {
                self.playout.restart(place.sequence, place.timestamp);
                self.report.restart();
                place
            }
            Admission::Member(place) => place,
        };
        let Place { sequence, timestamp } = place;
        let end = timestamp + samples as i64;
        self.report.packet(&Arrived { sequence, end, arrival: packet.arrival, bytes });
        let taken = self.playout.insert(cx, place.sequence, place.timestamp, packet.arrival, packet.payload);
        (taken, Some(place))
    }

    /// The newest block is the packet; the others are copies of packets before it.
    fn insert_redundant(&mut self, cx: &RtContext, packet: &IncomingPacket<'_>) -> Taken {
        let Some(newest) = red::parse(packet.payload).ok().and_then(Iterator::last) else {
            self.playout.count_discarded();
            return Taken::Discarded;
        };
        let own = IncomingPacket { payload_type: newest.payload_type, payload: newest.payload, ..*packet };
        let (taken, place) = self.insert_opus(cx, &own, packet.payload.len());
        let Some(place) = place else { return taken };
        for copy in red::parse(packet.payload).into_iter().flatten() {
            let samples = opus_toc::samples(copy.payload).unwrap_or(0) as i64;
            let offset = i64::from(copy.offset);
            // Where packets are all as long, which one it is follows from how far it lies back.
            let is_whole = offset > 0 && samples > 0 && offset % samples == 0;
            if is_whole && copy.payload_type == self.config.opus_payload_type {
                let (sequence, timestamp) = (place.sequence - offset / samples, place.timestamp - offset);
                self.playout.insert_copy(cx, sequence, timestamp, packet.arrival, copy.payload);
            }
        }
        taken
    }

    /// Fills `out` (mono, 48 kHz, any length) with the sound that is due from now on. The delay follows the length: what is pulled in
    /// large pieces has to be there earlier.
    pub fn pull(&mut self, cx: &mut RtContext, out: &mut [f32]) {
        let mut tick = Tick::new(cx.now(), out.len());
        for part in out.chunks_mut(MOST_PULLED) {
            self.playout.pull(&tick, part);
            tick = tick.after(part.len());
        }
    }

    /// Lets the decoder do no more than `ceiling`, whatever complexity it was configured with: where time is short.
    pub fn limit_decoder(&mut self, ceiling: u8) {
        self.playout.set_decoder_complexity(self.config.decoder.complexity.min(ceiling));
    }

    /// Counters so far.
    pub fn stats(&self) -> ReceiveStats {
        self.playout.stats()
    }

    /// RTP timestamp (48 kHz) of the sound that the next pull begins with; `None` while no stream is played. Sound that is made up counts as
    /// what it stands for; while media time stands still, the timestamp does.
    pub fn position(&self) -> Option<u32> {
        self.stream.wire_timestamp(self.playout.position()?)
    }

    /// What to tell the sender, four times a second while packets come.
    pub fn poll_report(&mut self, cx: &RtContext) -> Option<NetworkReport> {
        let mut report = self.report.build(cx.now(), &self.playout.stats())?;
        report.packet_wait = self.playout.packet_wait();
        Some(report)
    }

    /// The next key the far end pressed.
    pub fn poll_digit(&mut self) -> Option<DtmfDigit> {
        let slots = (0..MOST_DIGITS).map(|n| (self.digit_head + n) % MOST_DIGITS);
        let index = slots.into_iter().find(|index| self.digits[*index].is_some())?;
        self.digits[index].take()
    }

    fn insert_event(&mut self, packet: &IncomingPacket<'_>) -> Taken {
        let mut payload = packet.payload;
        let Ok(event) = TelephoneEvent::unmarshal(&mut payload) else {
            self.playout.count_discarded();
            return Taken::Discarded;
        };
        debug_assert!(payload.remaining() < packet.payload.len());
        self.take_soundless(packet);
        // All reports of one key share its timestamp.
        let is_news = self.last_event.is_none_or(|last| last.wrapping_sub(packet.timestamp) > LATE_REPORT);
        if is_news && let Some(digit) = event.digit() {
            self.last_event = Some(packet.timestamp);
            self.digits[self.digit_head] = Some(digit);
            self.digit_head = (self.digit_head + 1) % MOST_DIGITS;
        }
        Taken::Event
    }

    /// A packet without sound has a place in the sequence like any other: it was not lost.
    fn take_soundless(&mut self, packet: &IncomingPacket<'_>) {
        if let Some(sequence) = self.stream.admit_soundless(packet) {
            self.playout.count_soundless(sequence);
            self.report.other_packet(sequence);
        }
    }
}
