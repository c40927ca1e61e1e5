//! Received streams: the queue to the application, loss and jitter, arrivals for the sender's congestion control.

use std::collections::VecDeque;
use std::time::Instant;

use bytes::BytesMut;

use super::outbound::LAST_WORDS;
use crate::event::{AudioLevel, ReceivedRtp};
use crate::feedback::ArrivalRecorder;
use crate::rtcp::{ReceptionStats, StreamReception};
use crate::rtp_header::RtpHeader;
use crate::sdp::Media;
use crate::stats::{RejectReason, StreamStats};

/// Packets that wait for [`Session::poll_rtp`](super::Session::poll_rtp): five seconds of 20 ms.
const MAX_WAITING: usize = 256;
/// Streams reported on; older ones make room.
const MAX_STREAMS: usize = 4;

#[derive(Debug)]
pub(super) struct Inbound {
    waiting: VecDeque<Waiting>,
    current: Option<Waiting>,
    /// The newest last.
    pub(super) streams: Vec<StreamReception>,
    pub(super) recorder: ArrivalRecorder,
    pub(super) totals: StreamStats,
    pub(super) overruns: u64,
    /// The peer said good-bye.
    pub(super) ended: bool,
    /// When the last packet off hold came: what ends the peer's sound comes soon after it, or never.
    heard: Option<Instant>,
    start: Instant,
}

#[derive(Debug)]
struct Waiting {
    arrival: Instant,
    packet: BytesMut,
    payload: std::ops::Range<usize>,
    payload_type: u8,
    marker: bool,
    sequence: u16,
    timestamp: u32,
    ssrc: u32,
    audio_level: Option<AudioLevel>,
}

impl Inbound {
    pub(super) fn new(start: Instant) -> Self {
        Self {
            waiting: VecDeque::with_capacity(MAX_WAITING),
            current: None,
            streams: Vec::new(),
            recorder: ArrivalRecorder::new(start),
            totals: StreamStats::default(),
            overruns: 0,
            ended: false,
            heard: None,
            start,
        }
    }

    pub(super) fn poll(&mut self) -> Option<ReceivedRtp<'_>> {
        self.current = self.waiting.pop_front();
        self.current.as_ref().map(|waiting| ReceivedRtp {
            arrival: waiting.arrival,
            payload_type: waiting.payload_type,
            marker: waiting.marker,
            sequence: waiting.sequence,
            timestamp: waiting.timestamp,
            ssrc: waiting.ssrc,
            audio_level: waiting.audio_level,
            payload: waiting.packet.get(waiting.payload.clone()).unwrap_or_default(),
        })
    }

    /// Takes a decrypted packet.
    pub(super) fn accept(
        &mut self,
        now: Instant,
        packet: BytesMut,
        media: &Media,
    ) -> Result<(), RejectReason> {
        let header = RtpHeader::parse(&packet).map_err(|_| RejectReason::MalformedRtp)?;
        let length = header.payload(&packet).map_err(|_| RejectReason::MalformedRtp)?.len();
        if !media.has_payload_type(header.payload_type) {
            return Err(RejectReason::PayloadType);
        }
        self.measure(now, &header, media);
        self.totals.packets += 1;
        self.totals.payload_bytes += length as u64;
        if media.direction.receives() {
            self.heard = Some(now);
        } else if self.heard.is_none_or(|heard| now.saturating_duration_since(heard) >= 2 * LAST_WORDS) {
            return Ok(());
        }
        if self.waiting.len() >= MAX_WAITING {
            self.overruns += 1;
            return Ok(());
        }
        let waiting = Waiting {
            arrival: now,
            payload: header.length..header.length + length,
            payload_type: header.payload_type,
            marker: header.marker,
            sequence: header.sequence,
            timestamp: header.timestamp,
            ssrc: header.ssrc,
            audio_level: media.audio_level_id.and_then(|id| header.audio_level(id)),
            packet,
        };
        self.waiting.push_back(waiting);
        Ok(())
    }

    fn measure(&mut self, now: Instant, header: &RtpHeader<'_>, media: &Media) {
        if let Some(sequence) = media.transport_sequence_id.and_then(|id| header.transport_sequence(id)) {
            self.recorder.record(now, sequence);
        }
        let place = self.streams.iter().position(|stream| stream.ssrc() == header.ssrc);
        let place = place.unwrap_or_else(|| {
            if self.streams.len() >= MAX_STREAMS {
                self.streams.remove(0);
            }
            self.streams.push(StreamReception::new(header.ssrc, header.sequence));
            self.streams.len() - 1
        });
        let clocked =
            media.clock_rate(header.payload_type) == 48_000 && !is_event(media, header.payload_type);
        let since = now.saturating_duration_since(self.start);
        self.streams[place].packet(since, header.sequence, header.timestamp, clocked);
    }

    pub(super) fn stream(&mut self, ssrc: u32) -> Option<&mut StreamReception> {
        self.streams.iter_mut().find(|stream| stream.ssrc() == ssrc)
    }

    /// Of the newest stream.
    pub(super) fn reception_stats(&self) -> ReceptionStats {
        self.streams.last().map(StreamReception::stats).unwrap_or_default()
    }
}

/// All packets of one key carry the timestamp of its beginning: their spacing says nothing about the network.
fn is_event(media: &Media, payload_type: u8) -> bool {
    [media.telephone_event_48k, media.telephone_event_8k].contains(&Some(payload_type))
}
