//! Two sessions joined by a wire without delay, in virtual time.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use crate::certificate::Certificate;
use crate::config::{DtlsPart, DtlsVersions, Role, SessionConfig};
use crate::event::{Event, Output, RtpToSend, Transmit};
use crate::session::Session;

/// Outputs one call may cause; more would never end.
const MOST_OUTPUTS: usize = 4096;
const SIDES: usize = 2;

/// One certificate for all inputs: making one takes longer than the rest.
pub(super) fn certificate() -> Arc<Certificate> {
    static CERTIFICATE: OnceLock<Arc<Certificate>> = OnceLock::new();
    let make = || Arc::new(Certificate::generate().expect("the system has randomness"));
    Arc::clone(CERTIFICATE.get_or_init(make))
}

/// The instant all inputs begin at.
pub(crate) fn start() -> Instant {
    static START: OnceLock<Instant> = OnceLock::new();
    #[expect(
        clippy::disallowed_methods,
        reason = "an instant cannot be made in another way; read once, any value does"
    )]
    *START.get_or_init(Instant::now)
}

pub(super) struct Side {
    pub(super) session: Session,
    pub(super) address: SocketAddr,
    pub(super) heard: usize,
    pub(super) events: Vec<Event>,
}

pub(super) struct Link {
    pub(super) now: Instant,
    pub(super) sides: [Side; SIDES],
    /// Everything that went over the wire.
    pub(super) tapped: Vec<Transmit>,
}

impl Link {
    /// Descriptions are exchanged, nothing was sent yet. The first side is the DTLS client.
    pub(super) fn new(versions: DtlsVersions, short_reports: bool) -> Option<Self> {
        let side = |role, port| {
            let mut config = SessionConfig::new(certificate(), role);
            config.dtls = versions;
            config.short_reports = short_reports;
            config.dtls_part = DtlsPart::Passive;
            let mut session = Session::new(config, start()).ok()?;
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
            session.add_local_candidate(start(), address).ok()?;
            Some(Side { session, address, heard: 0, events: Vec::new() })
        };
        let mut sides = [side(Role::Offerer, 4000)?, side(Role::Answerer, 5000)?];
        let offer = sides[0].session.create_offer().ok()?;
        let answer = sides[1].session.handle_offer(start(), &offer).ok()?;
        sides[0].session.handle_answer(start(), &answer).ok()?;
        Some(Self { now: start(), sides, tapped: Vec::new() })
    }

    pub(super) fn both_connected(&self) -> bool {
        self.sides.iter().all(|side| side.session.is_connected())
    }

    pub(super) fn other(&self, side: usize) -> SocketAddr {
        self.sides[1 - side].address
    }

    /// Lets time pass; everything sent arrives at once.
    pub(super) fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let next = self.settle();
            if next > end {
                self.now = end;
                break;
            }
            // A timer that stays due would stop the clock.
            self.now = next.max(self.now + Duration::from_micros(100)).min(end);
            self.sides.iter_mut().for_each(|side| side.session.handle_timeout(self.now));
        }
        self.settle();
    }

    /// Delivers until nothing moves; when the next timer is due.
    fn settle(&mut self) -> Instant {
        for _ in 0..MOST_OUTPUTS {
            let mut moved = Vec::new();
            let next = self.sides.iter_mut().map(|side| collect(side, self.now, &mut moved)).min();
            if moved.is_empty() {
                return next.expect("there are two sides");
            }
            for transmit in moved {
                self.tapped.push(transmit.clone());
                self.deliver(transmit.source, transmit.destination, &transmit.contents);
            }
        }
        panic!("two sessions that never come to rest");
    }

    /// A datagram arrives, from whomever.
    pub(super) fn deliver(&mut self, source: SocketAddr, destination: SocketAddr, contents: &[u8]) {
        let now = self.now;
        if let Some(side) = self.sides.iter_mut().find(|side| side.address == destination) {
            side.session.handle_datagram(now, destination, source, &mut contents.to_vec());
        }
    }

    /// Both sides send one packet.
    pub(super) fn speak(&mut self, timestamp: u32) {
        for side in &mut self.sides {
            let Some(payload_type) = side.session.media().map(|media| media.opus) else { continue };
            let payload = timestamp.to_be_bytes();
            let rtp =
                RtpToSend { payload_type, marker: false, timestamp, audio_level: None, payload: &payload };
            let _not_connected_yet = side.session.send_rtp(self.now, &rtp);
        }
        self.settle();
    }
}

fn collect(side: &mut Side, now: Instant, moved: &mut Vec<Transmit>) -> Instant {
    while side.session.poll_rtp().is_some() {
        side.heard += 1;
    }
    for _ in 0..MOST_OUTPUTS {
        match side.session.poll_output(now) {
            Output::Transmit(transmit) => moved.push(transmit),
            Output::Event(event) => side.events.push(event),
            Output::Timeout(at) => return at,
        }
    }
    panic!("a session without end of outputs");
}
