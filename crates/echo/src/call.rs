//! One echo call: the transport session of an answerer and the delay line behind it.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use offhook_transport::{
    Certificate, Event, Output, Role, RtpToSend, Session, SessionConfig, SessionError, Transmit,
};

use crate::delay_line::DelayLine;

/// From the answer to media; then the call ends.
const CONNECT: Duration = Duration::from_secs(20);
/// How long a caller that is not heard may look for a new path.
const LOST: Duration = Duration::from_secs(15);
/// A caller that said good-bye by media says so by signaling too, at once.
const GOOD_BYE: Duration = Duration::from_secs(5);

/// What echo calls are told.
#[derive(Debug, Clone)]
pub struct EchoConfig {
    /// Shared by all calls.
    pub certificate: Arc<Certificate>,
    /// From a packet to its echo, beside the network's own delays.
    pub delay: Duration,
    /// The longest call.
    pub longest: Duration,
    /// Addresses of this machine that it does not know itself, for instance behind a one-to-one address translation.
    pub public_addresses: Vec<IpAddr>,
}

/// Why an echo call ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EchoEnd {
    /// Media did not connect, or failed.
    MediaFailed,
    /// The caller is gone without a word.
    Lost,
    /// The call lasted as long as it may.
    TimeLimit,
}

/// One output of [`EchoCall::poll_output`].
#[derive(Debug)]
pub enum EchoOutput {
    /// Send this datagram now.
    Transmit(Transmit),
    /// Media is connected. Once.
    Connected,
    /// The call is over: tell the caller and call [`EchoCall::close`]. Once.
    Ended(EchoEnd),
    /// Nothing more; call [`EchoCall::poll_output`] again at this time at the latest.
    Timeout(Instant),
}

/// One call. Time must not go backwards.
#[derive(Debug)]
pub struct EchoCall {
    session: Session,
    line: DelayLine,
    /// When the call ends, and why, unless something better happens.
    ends: (Instant, EchoEnd),
    gone: Option<Instant>,
    ended: bool,
}

impl EchoCall {
    /// Answers `offer` with the sockets bound to `locals`; returns the call and the answer's text. Addresses that cannot be used are
    /// passed over.
    ///
    /// # Errors
    /// [`SessionError`]: the offer cannot be answered.
    pub fn answer(
        config: &EchoConfig,
        now: Instant,
        locals: &[SocketAddr],
        offer: &str,
    ) -> Result<(Self, String), SessionError> {
        let mut transport = SessionConfig::new(Arc::clone(&config.certificate), Role::Answerer);
        // They are written from what a jitter buffer heard, and there is none here.
        transport.short_reports = false;
        transport.connect_timeout = CONNECT;
        let mut session = Session::new(transport, now)?;
        for local in locals {
            // One address less; the others may do.
            let _unusable = session.add_local_candidate(now, *local);
            for public in config.public_addresses.iter().filter(|ip| ip.is_ipv4() == local.is_ipv4()) {
                let _unusable =
                    session.add_server_reflexive(now, *local, SocketAddr::new(*public, local.port()));
            }
        }
        session.end_of_local_candidates(now);
        let answer = session.handle_offer(now, offer)?;
        let ends = (now + config.longest, EchoEnd::TimeLimit);
        Ok((Self { session, line: DelayLine::new(config.delay), ends, gone: None, ended: false }, answer))
    }

    /// Takes a candidate line of the caller; one that cannot be used is passed over.
    pub fn handle_candidate(&mut self, now: Instant, line: &str) {
        let _unusable = self.session.add_remote_candidate(now, line);
    }

    /// Answers a further offer of the caller: a hold, or a look for new paths.
    ///
    /// # Errors
    /// [`SessionError`]: the call goes on as before.
    pub fn handle_offer(&mut self, now: Instant, offer: &str) -> Result<String, SessionError> {
        self.session.handle_offer(now, offer)
    }

    /// Takes a datagram that arrived at the socket `local` from `remote`. Anything may be in it.
    pub fn handle_datagram(
        &mut self,
        now: Instant,
        local: SocketAddr,
        remote: SocketAddr,
        datagram: &mut [u8],
    ) {
        self.session.handle_datagram(now, local, remote, datagram);
    }

    /// Does what is due and gives the next output. Drain it after every `handle_*` until [`EchoOutput::Timeout`].
    pub fn poll_output(&mut self, now: Instant) -> EchoOutput {
        if let Some(end) = self.end_due(now) {
            return self.end(end);
        }
        self.session.handle_timeout(now);
        self.send_back(now);
        loop {
            match self.session.poll_output(now) {
                Output::Transmit(transmit) => return EchoOutput::Transmit(transmit),
                Output::Event(event) => {
                    if let Some(output) = self.handle_event(now, &event) {
                        return output;
                    }
                }
                Output::Timeout(at) => {
                    return EchoOutput::Timeout(self.next_due().map_or(at, |due| due.min(at)));
                }
            }
        }
    }

    /// Ends the media: drain [`poll_output`](Self::poll_output) once more to send the good-bye.
    pub fn close(&mut self, now: Instant) {
        self.ended = true;
        self.session.close(now);
    }

    fn send_back(&mut self, now: Instant) {
        // Keys have a clock of their own, and several packets with one time stamp.
        let sound = self.session.media().map(|media| [Some(media.opus), media.red]).unwrap_or_default();
        while let Some(rtp) = self.session.poll_rtp() {
            self.line.insert(&rtp, sound.contains(&Some(rtp.payload_type)));
        }
        while let Some(held) = self.line.take_due(now) {
            // Refused without a path or on hold: what is not sent now is never sent.
            let _dropped = self.session.send_rtp(
                now,
                &RtpToSend {
                    payload_type: held.payload_type,
                    marker: held.marker,
                    timestamp: held.timestamp,
                    audio_level: held.audio_level,
                    payload: &held.payload,
                },
            );
        }
    }

    fn handle_event(&mut self, now: Instant, event: &Event) -> Option<EchoOutput> {
        match event {
            Event::Connected(_) => return Some(EchoOutput::Connected),
            Event::PeerLost => self.gone = self.gone.or(Some(now + LOST)),
            Event::PeerBack => self.gone = None,
            Event::RemoteBye => self.gone = Some(now + GOOD_BYE),
            Event::Failed(_) if !self.ended => return Some(self.end(EchoEnd::MediaFailed)),
            _ => {}
        }
        None
    }

    fn end_due(&self, now: Instant) -> Option<EchoEnd> {
        let over = [Some(self.ends), self.gone.map(|at| (at, EchoEnd::Lost))];
        let over = over.into_iter().flatten().find(|(at, _)| now >= *at);
        over.filter(|_| !self.ended).map(|(_, end)| end)
    }

    fn next_due(&self) -> Option<Instant> {
        let ends = (!self.ended).then(|| self.gone.map_or(self.ends.0, |gone| gone.min(self.ends.0)));
        ends.into_iter().chain(self.line.next_due().filter(|_| !self.ended)).min()
    }

    fn end(&mut self, end: EchoEnd) -> EchoOutput {
        self.ended = true;
        EchoOutput::Ended(end)
    }
}
