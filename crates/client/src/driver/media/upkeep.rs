//! What a call does from time to time: measures, quality warnings, a look at the machine's addresses.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use offhook_media_core::quality::{QualityInput, QualityWarning, WarningEvent};
use offhook_media_core::recording::{Moment, MomentKind};
use offhook_media_core::units::Dbov;
use offhook_signaling::call::CallState;
use offhook_transport::TransportStats;

use super::{MediaDriver, MediaNews};
use crate::event::CallEvent;
use crate::snapshot::{CallMeasure, Look};

/// Between two updates of what [`Call::stats`](crate::Call::stats) shows.
const PUBLISH: Duration = Duration::from_millis(100);
/// A call in which packets move needs no wake of its own for that; others are shown so much later.
const PUBLISH_LATER: Duration = Duration::from_millis(200);
const SECOND: Duration = Duration::from_secs(1);
/// Between two looks at the machine's addresses, and after which one is looked at again when it did not send.
const ADDRESSES: Duration = SECOND;
const DOUBT: Duration = Duration::from_millis(100);

/// When what is due, and what the last second was compared with.
#[derive(Debug)]
pub(super) struct Upkeep {
    publish: Instant,
    second: Instant,
    addresses: Instant,
    looked: Instant,
    lost: i64,
    received: u64,
}

impl Upkeep {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            publish: now,
            second: now + SECOND,
            addresses: now + ADDRESSES,
            looked: now,
            lost: 0,
            received: 0,
        }
    }

    pub(super) fn due(&self) -> Instant {
        (self.publish + PUBLISH_LATER).min(self.second).min(self.addresses)
    }

    /// What a socket does not send may be because its address is gone: looks soon.
    pub(super) fn doubt_addresses(&mut self) {
        self.addresses = self.addresses.min(self.looked + DOUBT);
    }

    /// Share of the packets expected since the last look that was lost; `None` when none was expected.
    fn loss(&mut self, stats: &TransportStats) -> Option<f64> {
        let lost = stats.lost.unwrap_or(self.lost);
        let newly_lost = lost - std::mem::replace(&mut self.lost, lost);
        let received = stats.received.packets;
        let newly_received = received - std::mem::replace(&mut self.received, received);
        let expected = newly_lost + i64::try_from(newly_received).unwrap_or(i64::MAX / 2);
        (expected > 0).then(|| (newly_lost as f64 / expected as f64).clamp(0.0, 1.0))
    }
}

impl MediaDriver {
    pub(super) fn keep_up(&mut self, now: Instant) {
        if now >= self.upkeep.publish {
            self.upkeep.publish = now + PUBLISH;
            self.publish();
        }
        if now >= self.upkeep.addresses {
            (self.upkeep.looked, self.upkeep.addresses) = (now, now + ADDRESSES);
            self.follow_addresses(now);
        }
        if now >= self.upkeep.second {
            self.upkeep.second = now + SECOND;
            // The message that says so finds no room in a queue that is full, and nobody sends it when the client's runtime is gone.
            self.over |= self.core.state() == CallState::Ended || self.commands.is_closed();
            self.judge(now);
            self.offer_if_wanted(now);
        }
    }

    /// Shows the newest measures.
    pub(super) fn publish(&mut self) {
        self.stats.transport = self.session.stats();
        self.meter.note_delay(&self.stats, &self.stream.stats().receive);
        self.core.set_driver_stats(self.stats.clone());
    }

    /// Quality warnings and a snapshot.
    fn judge(&mut self, now: Instant) {
        let transport = self.session.stats();
        let loss = self.upkeep.loss(&transport);
        if !self.is_established() {
            return;
        }
        let stream = self.stream.stats();
        let input = QualityInput {
            rtt: transport.rtt.or(transport.ice_rtt),
            jitter: transport.jitter,
            loss,
            connected: self.session.is_connected(),
            outbound_level: (self.stream.sending() && !self.stream.muted())
                .then(|| amplitude(stream.send.level.level)),
            // On hold silence is what is wanted.
            inbound_level: self.is_receiving().then(|| amplitude(stream.receive.level)),
        };
        let (core, at) = (&self.core, self.clock.media_time(now));
        self.monitor.observe(&input, |warning| {
            core.emit(&CallEvent::QualityWarning(warning));
            core.record(|recorder| recorder.moment(&Moment { at, kind: moment_of(warning) }));
        });
        let (speaks, listens) = (input.outbound_level.is_some(), input.inbound_level.is_some());
        self.measure(Look { at: now, driver: self.stats.clone(), stream, loss, speaks, listens });
    }

    /// Tells the second that has passed, to the recorder too.
    fn measure(&mut self, look: Look) {
        let at = self.clock.media_time(look.at);
        self.stats.latency_percentiles = self.meter.latency_percentiles();
        if let Some(snapshot) = self.meter.second(look) {
            self.core.record(|recorder| recorder.second(&snapshot.recorded(at)));
            self.core.tell_measure(&CallMeasure::Second(Box::new(snapshot)));
        }
    }

    /// New addresses get a socket, those that are gone lose it, and the call moves.
    fn follow_addresses(&mut self, now: Instant) {
        let addresses = self.shared.settings.addresses.addresses();
        let bound: Vec<SocketAddr> = self.sockets.addresses().collect();
        let new: Vec<IpAddr> =
            addresses.iter().copied().filter(|ip| bound.iter().all(|socket| socket.ip() != *ip)).collect();
        let gone: Vec<SocketAddr> =
            bound.into_iter().filter(|socket| !addresses.contains(&socket.ip())).collect();
        if !(new.is_empty() && gone.is_empty()) {
            // The connection to the server is told first: what is to be said about new paths passes over the next one.
            self.push_news(MediaNews::AddressesChanged);
        }
        let mut added = false;
        for ip in new {
            match self.sockets.bind(ip) {
                Ok(local) if self.session.add_local_candidate(now, local).is_ok() => added = true,
                Ok(local) => self.sockets.remove(local),
                Err(error) => tracing::debug!(%ip, %error, "address not used"),
            }
        }
        // With no address at all the network is away: what was used may come back.
        let moved = !gone.is_empty() && (added || self.sockets.addresses().count() > gone.len());
        if moved {
            for local in gone {
                self.session.remove_local_candidate(now, local);
                self.sockets.remove(local);
            }
            for (local, server) in self.turn_streams.remove_gone(&addresses) {
                self.session.handle_stream_closed(now, local, server);
            }
        }
        if (added || moved) && self.is_negotiated() {
            tracing::info!(call = %self.core.id, "the machine's addresses changed");
            self.restart_ice(now);
        }
    }
}

fn moment_of(warning: QualityWarning) -> MomentKind {
    match warning.event {
        WarningEvent::Trigger => MomentKind::WarningTriggered(warning.kind as u8),
        WarningEvent::Recover => MomentKind::WarningRecovered(warning.kind as u8),
    }
}

/// 0 to 1 of full scale.
fn amplitude(level: Dbov) -> f64 {
    if level == Dbov::SILENCE { 0.0 } else { 10_f64.powf(-f64::from(level.get()) / 20.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loss_is_counted_second_by_second() {
        let mut upkeep = Upkeep::new(Instant::now());
        let mut stats = TransportStats::default();
        assert_eq!(upkeep.loss(&stats), None);
        stats.received.packets = 90;
        stats.lost = Some(10);
        assert_eq!(upkeep.loss(&stats), Some(0.1));
        stats.received.packets = 190;
        assert_eq!(upkeep.loss(&stats), Some(0.0));
        stats.received.packets = 290;
        stats.lost = Some(5);
        assert_eq!(upkeep.loss(&stats), Some(0.0), "late packets are no negative loss");
    }

    #[test]
    fn silence_has_no_amplitude() {
        assert!(amplitude(Dbov::SILENCE) <= 0.0);
        assert!((amplitude(Dbov::of_mean_square(1.0)) - 1.0).abs() < 1e-9);
    }
}
