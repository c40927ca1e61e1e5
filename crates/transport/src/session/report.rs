//! RTCP out: reports, transport-wide feedback, good-bye.

use std::time::{Duration, Instant};

use bytes::Bytes;
use webrtc_util::marshal::Marshal;

use super::{Session, Stage};
use crate::error::SendReportError;
use crate::event::{Carrier, Transmit};
use crate::rtcp::{Report, SenderInfo, ShortReport, goodbye, report, short_report};

/// Seconds of our NTP clock at the start of the session. Peers use differences only, and no clock is read here.
const NTP_START: u64 = 3_900_000_000;
/// A report that is due within this time goes out when the session is awake anyway, as it is for every packet received: a wake costs more
/// than the report.
const ALONG: Duration = Duration::from_millis(20);

impl Session {
    pub(super) fn drive_reports(&mut self, now: Instant) {
        if self.stage != Stage::Connected || self.ice.path().is_none() {
            self.timers.feedback = None;
            return;
        }
        if self.schedule.take(now, ALONG) {
            let last = self.make_report(now);
            let bytes = report(last.borrow(self), None);
            self.send_rtcp(now, bytes);
        }
        let feedback = *self.timers.feedback.get_or_insert(now + self.config.feedback_interval);
        if now + ALONG >= feedback {
            // What goes early makes them no more.
            self.timers.feedback = Some(feedback.max(now) + self.config.feedback_interval);
            self.send_feedback(now);
        }
    }

    pub(super) fn send_goodbye(&mut self, now: Instant) {
        if self.stage == Stage::Connected {
            let last = self.make_report(now);
            let bytes = goodbye(last.borrow(self));
            self.send_rtcp(now, bytes);
        }
    }

    /// Tells the peer how its packets are received, in 1 to 40 bytes that it understands: four times a second while packets come.
    ///
    /// # Errors
    /// Every [`SendReportError`].
    pub fn send_short_report(&mut self, now: Instant, bytes: &[u8]) -> Result<(), SendReportError> {
        let short = ShortReport::new(bytes).ok_or(SendReportError::Length(bytes.len()))?;
        if !self.is_connected() {
            return Err(SendReportError::NotConnected);
        }
        let media = self.media().filter(|media| media.short_reports).ok_or(SendReportError::NotAgreed)?;
        let alone = media.reduced_size_rtcp;
        let packet = short_report(self.outbound.ssrc, &short);
        if alone {
            self.send_rtcp(now, Some(packet));
        } else {
            let last = self.make_report(now);
            let compound = report(last.borrow(self), None).map(|first| [first, packet].concat().into());
            self.send_rtcp(now, compound);
        }
        Ok(())
    }

    fn send_feedback(&mut self, now: Instant) {
        let wanted = self.media().is_some_and(|media| media.transport_sequence_id.is_some());
        let media_ssrc = self.inbound.streams.last().map(|stream| stream.ssrc());
        let Some(media_ssrc) = media_ssrc.filter(|_| wanted) else { return };
        let Some(feedback) = self.inbound.recorder.report(self.outbound.ssrc, media_ssrc) else { return };
        let alone = self.media().is_some_and(|media| media.reduced_size_rtcp);
        let bytes = if alone {
            feedback.marshal().ok()
        } else {
            let last = self.make_report(now);
            report(last.borrow(self), Some(Box::new(feedback)))
        };
        self.send_rtcp(now, bytes);
    }

    fn send_rtcp(&mut self, now: Instant, plain: Option<Bytes>) {
        let Some((source, destination)) = self.ice.path() else { return };
        let protected = plain.and_then(|plain| self.srtp.as_mut()?.protect_rtcp(&plain));
        if let Some(contents) = protected {
            self.outbound.totals.rtcp_packets += 1;
            self.transmit(now, Transmit { carrier: Carrier::Udp, source, destination, contents });
        }
    }

    fn make_report(&mut self, now: Instant) -> OwnedReport {
        let mut blocks = Vec::new();
        for stream in &mut self.inbound.streams {
            let (block, loss) = stream.report(now);
            self.stats.loss = loss.or(self.stats.loss);
            blocks.push(block);
        }
        OwnedReport { sender: self.sender_info(now), blocks }
    }

    /// `None` when nothing was sent since the last report (RFC 3550, section 6.4).
    fn sender_info(&mut self, now: Instant) -> Option<SenderInfo> {
        let packets = self.outbound.totals.packets;
        if std::mem::replace(&mut self.outbound.reported, packets) == packets {
            return None;
        }
        let (timestamp, at) = self.outbound.newest?;
        let since = now.saturating_duration_since(at).as_secs_f64() * 48_000.0;
        Some(SenderInfo {
            ssrc: self.outbound.ssrc,
            ntp_time: self.ntp(now),
            rtp_time: timestamp.wrapping_add(since as u32),
            packets: packets as u32,
            payload_bytes: self.outbound.totals.payload_bytes as u32,
        })
    }

    /// 32 bits of seconds, 32 of their fraction.
    pub(super) fn ntp(&self, now: Instant) -> u64 {
        let since = now.saturating_duration_since(self.timers.start);
        let fraction = (u64::from(since.subsec_nanos()) << 32) / Duration::from_secs(1).as_nanos() as u64;
        ((NTP_START + since.as_secs()) << 32) | fraction
    }
}

struct OwnedReport {
    sender: Option<SenderInfo>,
    blocks: Vec<rtcp::reception_report::ReceptionReport>,
}

impl OwnedReport {
    fn borrow(self, session: &Session) -> Report<'_> {
        Report {
            ssrc: session.outbound.ssrc,
            cname: &session.outbound.cname,
            sender: self.sender,
            blocks: self.blocks,
        }
    }
}
