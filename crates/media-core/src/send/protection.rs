//! Puts the rung into force: sets the encoder, says which packet carries deep redundancy, adds copies.

use std::time::Duration;

use super::copies::Copies;
use super::redundancy::Rung;
use super::{OutgoingPacket, SendStats};
use crate::codec::{OpusEncoder, OpusError, opus_toc};
use crate::units::PacketTime;

/// How far deep redundancy reaches back.
const DRED_SPAN: Duration = Duration::from_secs(1);

/// What packets are made with.
#[derive(Debug)]
pub(super) struct Protection {
    rung: Rung,
    copies: Box<Copies>,
    since_dred: u8,
    packet: Box<OutgoingPacket>,
}

impl Protection {
    /// Nothing is set before [`Self::apply`].
    #[expect(clippy::disallowed_methods, reason = "constructor")]
    pub(super) fn new(rung: Rung) -> Self {
        Self {
            rung,
            copies: Box::new(Copies::new()),
            since_dred: 0,
            packet: Box::new(OutgoingPacket::empty()),
        }
    }

    /// From the next packet on; the packet time is the pipeline's. What libopus refuses stays as it was.
    pub(super) fn apply(&mut self, rung: Rung, encoder: &mut OpusEncoder) {
        self.rung = rung;
        let _ = encoder.set_bitrate(rung.bitrate);
        let _ = encoder.set_fec(rung.in_band_loss > 0);
        let _ = encoder.set_expected_loss(rung.in_band_loss);
        let _ = encoder.set_dred(rung.dred_interval > 0);
    }

    /// Encodes a packet, every so often with deep redundancy.
    pub(super) fn encode(
        &mut self,
        encoder: &mut OpusEncoder,
        packet_time: PacketTime,
        sound: &[f32],
        bytes: &mut [u8],
    ) -> Result<usize, OpusError> {
        self.since_dred = self.since_dred.saturating_add(1);
        if self.rung.dred_interval == 0 || self.since_dred < self.rung.dred_interval {
            return encoder.encode(packet_time, sound, bytes);
        }
        self.since_dred = 0;
        encoder.encode_with_dred(packet_time, sound, DRED_SPAN, self.rung.dred_detail, bytes)
    }

    /// Adds copies of earlier payloads to `packet`, remembers it, and counts; returns what is sent in its place. Without a payload type for
    /// copies, or with nothing to copy, that is the packet itself.
    pub(super) fn wrap<'a>(
        &'a mut self,
        packet: &'a OutgoingPacket,
        red_payload_type: Option<u8>,
        stats: &mut SendStats,
    ) -> &'a OutgoingPacket {
        let payload = packet.payload();
        let bare = opus_toc::bare_length(payload);
        stats.dred_bytes += (payload.len() - bare) as u64;
        let mut sent = packet;
        if let Some(payload_type) = red_payload_type.filter(|_| self.rung.copy_count() > 0) {
            let Self { copies, packet: wrapped, rung, .. } = self;
            let written = wrapped.fill(|out| {
                copies.write(packet.payload_type, packet.timestamp, payload, rung.copies, out).ok_or(())
            });
            if written.is_ok() {
                let OutgoingPacket { marker, timestamp, level, made, .. } = *packet;
                (wrapped.payload_type, wrapped.marker) = (payload_type, marker);
                (wrapped.timestamp, wrapped.level, wrapped.made) = (timestamp, level, made);
                stats.red_bytes += (wrapped.payload().len() - payload.len()) as u64;
                sent = wrapped;
            }
        }
        self.copies.remember(packet.timestamp, payload);
        sent
    }
}
