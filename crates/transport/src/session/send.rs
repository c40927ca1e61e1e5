//! RTP out.

use std::time::Instant;

use bytes::Bytes;

use super::outbound::MAX_PAYLOAD;
use super::{Session, Stage};
use crate::error::SendRtpError;
use crate::event::{Carrier, RtpToSend, Transmit};
use crate::rtp_header::RtpHeader;

impl Session {
    /// Sends a packet now: adds sequence number, SSRC, audio level and transport-wide sequence number, protects it and puts it
    /// out as the next [`Output::Transmit`](crate::Output::Transmit).
    ///
    /// # Errors
    /// [`SendRtpError`]: the packet was not sent.
    pub fn send_rtp(&mut self, now: Instant, rtp: &RtpToSend<'_>) -> Result<(), SendRtpError> {
        if self.stage != Stage::Connected {
            return Err(SendRtpError::NotConnected);
        }
        let media = self.negotiation.media.as_ref().ok_or(SendRtpError::NotConnected)?;
        let (source, destination) = self.ice.path().ok_or(SendRtpError::NotConnected)?;
        let srtp = self.srtp.as_mut().ok_or(SendRtpError::NotConnected)?;
        if !self.outbound.may_send(now, media.direction) {
            return Err(SendRtpError::OnHold);
        }
        if !media.has_payload_type(rtp.payload_type) {
            return Err(SendRtpError::PayloadType(rtp.payload_type));
        }
        if rtp.payload.len() > MAX_PAYLOAD {
            return Err(SendRtpError::TooLong(rtp.payload.len()));
        }
        let ssrc = self.outbound.ssrc;
        let (packet, header, sequence) = self.outbound.assemble(rtp, media).ok_or(SendRtpError::Protect)?;
        let contents = srtp.protect_rtp(packet, header, ssrc, sequence).ok_or(SendRtpError::Protect)?;
        self.outbound.sent(now, rtp, media, contents.len());
        self.transmit(now, Transmit { carrier: Carrier::Udp, source, destination, contents });
        Ok(())
    }
    /// Any RTP or RTCP under our keys, for the fuzz targets and tests that play a hostile peer. `None`: not connected, or not
    /// even a header.
    pub(crate) fn protect_anything(&mut self, plain: &[u8]) -> Option<Bytes> {
        let srtp = self.srtp.as_mut()?;
        if matches!(plain.get(1)?, 192..=223) {
            return srtp.protect_rtcp(plain);
        }
        let header = RtpHeader::parse(plain).ok()?;
        srtp.protect_rtp(plain, header.length, header.ssrc, header.sequence)
    }
}
