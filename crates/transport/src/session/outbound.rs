//! The stream we send: its numbers and its packets before protection.

use std::time::{Duration, Instant};

use bytes::Bytes;
use rtp::extension::audio_level_extension::AudioLevelExtension;
use rtp::extension::transport_cc_extension::TransportCcExtension;
use rtp::header::Header;
use webrtc_util::marshal::{Marshal, MarshalSize};

use crate::config::Direction;
use crate::event::RtpToSend;
use crate::feedback::SentHistory;
use crate::rtcp::CNAME_LENGTH;
use crate::sdp::Media;
use crate::stats::StreamStats;

/// The longest payload of one packet: with all headers and the tag it passes every path (1280 bytes of IPv6 and more).
pub const MAX_PAYLOAD: usize = 1150;

/// A hold is agreed in a few milliseconds; the sound that fades out and the packets that announce the pause come after it. Without them the
/// peer would take the silence for a loss.
pub(super) const LAST_WORDS: Duration = Duration::from_millis(150);

#[derive(Debug)]
pub(super) struct Outbound {
    pub(super) ssrc: u32,
    pub(super) cname: String,
    sequence: u16,
    pub(super) history: SentHistory,
    pub(super) totals: StreamStats,
    /// Timestamp at 48 kHz and time of the newest packet, for sender reports.
    pub(super) newest: Option<(u32, Instant)>,
    /// When the last packet before a hold was sent; `None` off hold.
    held_after: Option<Instant>,
    /// Packets up to the last report.
    pub(super) reported: u64,
    /// Packets up to the peer's last report.
    pub(super) heard_of: u64,
    buffer: Vec<u8>,
}

impl Outbound {
    pub(super) fn new(random: u64) -> Self {
        // SSRC 0 is legal but some peers take it for none.
        let ssrc = ((random >> 32) as u32).max(1);
        Self {
            ssrc,
            cname: format!("{:0CNAME_LENGTH$x}", random.rotate_left(17) ^ 0x9E37_79B9_7F4A_7C15),
            // Below half: the peer's first packets cannot be taken for the cycle before (RFC 3711, section 3.3.1).
            sequence: (random as u16) >> 1,
            history: SentHistory::default(),
            totals: StreamStats::default(),
            newest: None,
            held_after: None,
            reported: 0,
            heard_of: 0,
            buffer: Vec::with_capacity(MAX_PAYLOAD + 64),
        }
    }

    /// Whether a packet may still go out: always off hold, and for [`LAST_WORDS`] after the last one before it.
    pub(super) fn may_send(&mut self, now: Instant, direction: Direction) -> bool {
        if direction.sends() {
            self.held_after = None;
            return true;
        }
        if self.held_after.is_none() {
            self.held_after = self.newest.map(|(_, sent)| sent);
        }
        self.held_after.is_some_and(|sent| now.saturating_duration_since(sent) < LAST_WORDS)
    }

    /// Header and payload in one buffer: packet, header length, sequence number. `None`: an extension does not fit.
    pub(super) fn assemble(&mut self, rtp: &RtpToSend<'_>, media: &Media) -> Option<(&[u8], usize, u16)> {
        let header = self.header(rtp, media)?;
        let length = header.marshal_size();
        self.buffer.clear();
        self.buffer.resize(length, 0);
        header.marshal_to(&mut self.buffer).ok()?;
        self.buffer.extend_from_slice(rtp.payload);
        Some((&self.buffer, length, self.sequence))
    }

    fn header(&self, rtp: &RtpToSend<'_>, media: &Media) -> Option<Header> {
        let mut header = Header {
            version: 2,
            marker: rtp.marker,
            payload_type: rtp.payload_type,
            sequence_number: self.sequence,
            timestamp: rtp.timestamp,
            ssrc: self.ssrc,
            ..Header::default()
        };
        if let Some((id, level)) = media.audio_level_id.zip(rtp.audio_level) {
            let level = AudioLevelExtension { level: level.below_full_scale.min(127), voice: level.voice };
            set_extension(&mut header, id, level.marshal().ok()?)?;
        }
        if let Some(id) = media.transport_sequence_id {
            let sequence = TransportCcExtension { transport_sequence: self.history.next_sequence() };
            set_extension(&mut header, id, sequence.marshal().ok()?)?;
        }
        Some(header)
    }

    /// Notes that the assembled packet went out.
    pub(super) fn sent(&mut self, now: Instant, rtp: &RtpToSend<'_>, media: &Media, protected: usize) {
        self.sequence = self.sequence.wrapping_add(1);
        self.totals.packets += 1;
        self.totals.payload_bytes += rtp.payload.len() as u64;
        if media.transport_sequence_id.is_some() {
            self.history.record(now, protected, rtp.payload.len());
        }
        if rtp.payload_type == media.opus || Some(rtp.payload_type) == media.red {
            self.newest = Some((rtp.timestamp, now));
        }
    }
}

fn set_extension(header: &mut Header, id: u8, payload: Bytes) -> Option<()> {
    header.set_extension(id, payload).ok()
}
