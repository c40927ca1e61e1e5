//! What a session does by itself when time passes or something arrived: every part in turn.

use std::time::Instant;

use super::{Session, Stage, Timer};
use crate::consent::ConsentChange;
use crate::dtls::{DtlsEndpoint, DtlsOutput};
use crate::error::TransportError;
use crate::event::{Carrier, Connected, DtlsVersion, Event, SrtpProfile, Transmit};
use crate::ice::IceEvent;
use crate::srtp::Srtp;

impl Session {
    /// All parts in the order in which one's output is another's input.
    pub(super) fn drive(&mut self, now: Instant) {
        if self.stage == Stage::Ended {
            return;
        }
        self.drive_relays(now);
        self.drive_gathering(now);
        self.drive_ice(now);
        self.drive_dtls(now);
        self.drive_reports(now);
        self.check_connect_time(now);
    }

    /// The earliest reason to be called again.
    pub(super) fn next_timer(&mut self) -> Option<(Timer, Instant)> {
        if self.stage == Stage::Ended {
            return None;
        }
        // Without a path no report goes out, and one that stays due would never let the owner sleep.
        let reports =
            (self.stage == Stage::Connected && self.ice.path().is_some()).then(|| self.schedule.due());
        let times = [
            (Timer::Ice, self.ice.timeout()),
            (Timer::Gather, self.gatherer.timeout()),
            (Timer::Relay, self.relays.timeout()),
            (Timer::Dtls, self.timers.dtls),
            (Timer::Connect, self.timers.connect),
            (Timer::Report, reports),
            (Timer::Feedback, self.timers.feedback),
        ];
        times.into_iter().filter_map(|(timer, at)| Some((timer, at?))).min_by_key(|(_, at)| *at)
    }

    fn drive_gathering(&mut self, now: Instant) {
        for transmit in self.gatherer.poll(now) {
            self.put_out(transmit);
        }
        let is_done = self.gatherer.is_done() && !self.relays.is_gathering();
        if self.gathering.complete && !self.gathering.announced && is_done {
            self.gathering.announced = true;
            self.emit(Event::GatheringDone);
        }
    }

    fn drive_ice(&mut self, now: Instant) {
        self.ice.handle_timeout(now);
        while let Some(transmit) = self.ice.poll_transmit() {
            self.transmit(now, transmit);
        }
        let mut events = Vec::new();
        self.ice.poll_events(now, &mut events);
        for event in events {
            match event {
                IceEvent::State(state) => self.emit(Event::IceState(state)),
                IceEvent::Nominated { local, remote } => {
                    self.relays.bind(now, local, remote);
                    if self.stage == Stage::Connected {
                        self.emit(Event::PathChanged { local, remote });
                    }
                }
                IceEvent::Consent(ConsentChange::Lost) => self.emit(Event::PeerLost),
                IceEvent::Consent(ConsentChange::Back) => self.emit(Event::PeerBack),
            }
        }
    }

    fn drive_dtls(&mut self, now: Instant) {
        if self.ice.path().is_none() {
            self.timers.dtls = None;
            return;
        }
        let mut out = Vec::new();
        let Some(dtls) = &mut self.dtls else { return };
        self.timers.dtls = dtls.poll(now, &mut out);
        self.apply_dtls(now, out);
    }

    pub(super) fn close_dtls(&mut self, now: Instant) {
        let mut out = Vec::new();
        if let Some(dtls) = &mut self.dtls {
            dtls.close(now, &mut out);
        }
        self.apply_dtls(now, out);
    }

    pub(super) fn apply_dtls(&mut self, now: Instant, out: Vec<DtlsOutput>) {
        for output in out {
            match output {
                DtlsOutput::Packet(contents) => {
                    if let Some((source, destination)) = self.ice.path() {
                        self.transmit(now, Transmit { carrier: Carrier::Udp, source, destination, contents });
                    }
                }
                DtlsOutput::Keys { material, profile, version } => {
                    self.install_keys(now, &material, profile, version)
                }
                DtlsOutput::Closed => self.emit_bye(),
                DtlsOutput::Failed(error) => self.fail(error),
            }
        }
    }

    fn install_keys(&mut self, now: Instant, material: &[u8], profile: SrtpProfile, version: DtlsVersion) {
        let active = self.dtls.as_ref().is_some_and(DtlsEndpoint::is_active);
        match Srtp::new(profile, material, active, &self.negotiation.sources) {
            Ok(srtp) => self.srtp = Some(srtp),
            Err(reason) => return self.fail(TransportError::Srtp(reason)),
        }
        self.stage = Stage::Connected;
        self.stats.dtls = Some(version);
        self.stats.srtp = Some(profile);
        self.timers.connect = None;
        self.stats.setup = self.timers.described.map(|described| now.saturating_duration_since(described));
        self.schedule.restart(now);
        if let Some((local, remote)) = self.path_ends() {
            self.emit(Event::Connected(Connected { dtls: version, srtp: profile, local, remote }));
        }
    }

    fn check_connect_time(&mut self, now: Instant) {
        if self.timers.connect.is_some_and(|deadline| now >= deadline) {
            let found_path = self.ice.path().is_some();
            self.fail(if found_path { TransportError::DtlsTimeout } else { TransportError::IceTimeout });
        }
        let hides = self.config.relay_only && self.gathering.announced && !self.relays.has_address();
        // Before the descriptions are exchanged more servers may be told.
        if hides && self.timers.connect.is_some() {
            self.fail(TransportError::NoRelay { last: self.gathering.relay_error });
        }
    }

    pub(super) fn fail(&mut self, error: TransportError) {
        if self.stage != Stage::Ended {
            self.stage = Stage::Ended;
            self.emit(Event::Failed(error));
        }
    }

    /// Told once, whether BYE or close_notify comes first.
    pub(super) fn emit_bye(&mut self) {
        if !std::mem::replace(&mut self.inbound.ended, true) {
            self.emit(Event::RemoteBye);
        }
    }
}
