//! Datagrams in: sorted, checked, decrypted, handed to the part they belong to.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::{Session, Stage};
use crate::demux::{Protocol, classify};
use crate::event::Event;
use crate::rtcp::{PeerReport, RtcpItem, parse};
use crate::rtp_header::RtpHeader;
use crate::stats::RejectReason;

/// A longer round trip is a mistake of the peer's arithmetic.
const LONGEST_RTT: Duration = Duration::from_secs(60);

impl Session {
    /// Takes a datagram that arrived at the socket `local` from `remote`. Anything may be in it: what is not usable is counted
    /// in [`TransportStats::rejected`](crate::TransportStats::rejected).
    pub fn handle_datagram(
        &mut self,
        now: Instant,
        local: SocketAddr,
        remote: SocketAddr,
        datagram: &mut [u8],
    ) {
        if self.stage == Stage::Ended {
            return;
        }
        match self.take(now, local, remote, datagram) {
            // Sound and reports move nothing on but what is said of them: anything else is due at its own time.
            Ok(()) if matches!(classify(datagram), Some(Protocol::Rtp | Protocol::Rtcp)) => {
                return self.drive_reports(now);
            }
            Ok(()) => {}
            Err(reason) => self.rejected.count(reason),
        }
        self.drive(now);
    }

    pub(super) fn take(
        &mut self,
        now: Instant,
        local: SocketAddr,
        remote: SocketAddr,
        datagram: &[u8],
    ) -> Result<(), RejectReason> {
        let protocol = classify(datagram).ok_or(RejectReason::Unknown)?;
        if self.is_from_server(now, local, remote, protocol, datagram)? {
            return Ok(());
        }
        if protocol == Protocol::Stun {
            return self.take_stun(now, local, remote, datagram);
        }
        if !self.ice.is_validated(local, remote) {
            return Err(RejectReason::UnvalidatedSource);
        }
        match protocol {
            Protocol::Dtls => self.take_dtls(now, datagram),
            Protocol::Rtp => self.take_rtp(now, datagram),
            Protocol::Rtcp => self.take_rtcp(now, datagram),
            Protocol::Stun | Protocol::TurnChannel => Err(RejectReason::Unknown),
        }?;
        self.heard = Some(now);
        Ok(())
    }

    fn take_stun(
        &mut self,
        now: Instant,
        local: SocketAddr,
        remote: SocketAddr,
        datagram: &[u8],
    ) -> Result<(), RejectReason> {
        if let Some((local, outside)) = self.gatherer.handle(local, remote, datagram) {
            let outside = outside.ok_or(RejectReason::Stun)?;
            let candidate = self.ice.add_reflexive(local, outside).map_err(|_| RejectReason::Stun)?;
            self.announce(candidate);
            return Ok(());
        }
        if !self.ice.handle(now, local, remote, datagram) {
            return Err(RejectReason::Stun);
        }
        self.heard = Some(now);
        Ok(())
    }

    fn take_dtls(&mut self, now: Instant, datagram: &[u8]) -> Result<(), RejectReason> {
        let dtls = self.dtls.as_mut().ok_or(RejectReason::Dtls)?;
        let mut out = Vec::new();
        let taken = dtls.handle(now, datagram, &mut out);
        self.apply_dtls(now, out);
        if taken { Ok(()) } else { Err(RejectReason::Dtls) }
    }

    fn take_rtp(&mut self, now: Instant, datagram: &[u8]) -> Result<(), RejectReason> {
        let header = RtpHeader::parse(datagram).map_err(|_| RejectReason::MalformedRtp)?;
        let srtp = self.srtp.as_mut().ok_or(RejectReason::NoKeys)?;
        let media = self.negotiation.media.as_ref().ok_or(RejectReason::NoKeys)?;
        let plain = srtp.unprotect_rtp(datagram, &header)?;
        self.inbound.accept(now, plain, media)
    }

    fn take_rtcp(&mut self, now: Instant, datagram: &[u8]) -> Result<(), RejectReason> {
        let srtp = self.srtp.as_mut().ok_or(RejectReason::NoKeys)?;
        let plain = srtp.unprotect_rtcp(datagram)?;
        self.inbound.totals.rtcp_packets += 1;
        let mut items = Vec::new();
        let result = parse(&plain, |item| items.push(item));
        for item in items {
            self.take_rtcp_item(now, item);
        }
        self.report_path(now);
        result.map_err(|_| RejectReason::MalformedRtcp)
    }

    fn take_rtcp_item(&mut self, now: Instant, item: RtcpItem) {
        match item {
            RtcpItem::Sender(info) => {
                if let Some(stream) = self.inbound.stream(info.ssrc) {
                    stream.sender_report(now, info.ntp_time);
                }
            }
            RtcpItem::Report(report) => self.take_report(now, &report),
            RtcpItem::Goodbye(sources) => {
                if sources.iter().any(|source| self.inbound.stream(*source).is_some()) {
                    self.emit_bye();
                }
            }
            RtcpItem::ShortReport(report) => {
                if self.media().is_some_and(|media| media.short_reports) {
                    self.emit(Event::ShortReport(report));
                }
            }
            RtcpItem::TransportWide(report) => {
                let fates = self.outbound.history.match_report(&report);
                self.path_meter.feedback(&fates);
                if !fates.packets.is_empty() {
                    self.emit(Event::Feedback(fates));
                }
            }
        }
    }

    /// A peer that takes short reports sends them too: they say more.
    fn report_path(&mut self, now: Instant) {
        if self.media().is_some_and(|media| !media.short_reports)
            && let Some(report) = self.path_meter.report(now)
        {
            self.emit(Event::PathReport(report));
        }
    }

    fn take_report(&mut self, now: Instant, report: &PeerReport) {
        if report.ssrc != self.outbound.ssrc {
            return;
        }
        let loss = f64::from(report.fraction_lost) / 256.0;
        let jitter = Duration::from_secs_f64(f64::from(report.jitter) / 48_000.0);
        let packets = self.outbound.totals.packets;
        let since = packets - std::mem::replace(&mut self.outbound.heard_of, packets);
        self.path_meter.receiver_report(since, loss, jitter);
        self.stats.remote_loss = Some(loss);
        self.stats.remote_lost = Some(report.total_lost.into());
        self.stats.remote_jitter = Some(jitter);
        if report.last_sender_report != 0 {
            let middle = (self.ntp(now) >> 16) as u32;
            let ticks = middle.wrapping_sub(report.last_sender_report).wrapping_sub(report.delay);
            let rtt = Duration::from_secs_f64(f64::from(ticks) / 65_536.0);
            self.stats.rtt = (rtt <= LONGEST_RTT).then_some(rtt).or(self.stats.rtt);
        }
    }
}
