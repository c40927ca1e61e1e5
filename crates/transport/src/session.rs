//! One call's connection to one peer: the machine that joins ICE, DTLS, SRTP, RTP, RTCP and SDP.

mod drive;
mod inbound;
mod negotiate;
mod outbound;
mod receive;
mod relayed;
mod report;
mod send;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::candidate::{self, MAX_CANDIDATES, RemoteCandidate};
use crate::config::{Direction, Role, SessionConfig};
use crate::dtls::DtlsEndpoint;
use crate::error::{CandidateError, LocalCandidateError, SessionError};
use crate::event::{Event, Output, ReceivedRtp, Transmit};
use crate::ice::{Ice, line_of};
use crate::path_report::PathMeter;
use crate::relay::{RelayError, Relays};
use crate::rtcp::ReportSchedule;
use crate::sdp::Media;
use crate::srtp::Srtp;
use crate::stats::{RejectedDatagrams, TransportStats};
use crate::stun_gather::StunGatherer;
use inbound::Inbound;
use negotiate::Negotiation;
use outbound::Outbound;

pub use outbound::MAX_PAYLOAD;

/// STUN servers one session asks.
const MAX_STUN_SERVERS: usize = 4;
/// Events that wait; the newest are dropped beyond, which only an owner that never drains can reach.
const MAX_EVENTS: usize = 1024;
/// Datagrams that wait; the newest are dropped beyond.
const MAX_TRANSMITS: usize = 1024;

/// One call's connection to one peer.
///
/// After every call that takes `now`, drain [`poll_output`](Self::poll_output) until [`Output::Timeout`] and
/// [`poll_rtp`](Self::poll_rtp) until `None`. Time must not go backwards.
#[derive(Debug)]
pub struct Session {
    config: SessionConfig,
    stage: Stage,
    ice: Ice,
    gatherer: StunGatherer,
    relays: Relays,
    gathering: Gathering,
    negotiation: Negotiation,
    dtls: Option<DtlsEndpoint>,
    srtp: Option<Srtp>,
    inbound: Inbound,
    outbound: Outbound,
    schedule: ReportSchedule,
    timers: Timers,
    transmits: VecDeque<Transmit>,
    events: VecDeque<Event>,
    rejected: RejectedDatagrams,
    stats: TransportStats,
    path_meter: PathMeter,
    heard: Option<Instant>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// No keys yet.
    Connecting,
    /// Media flows.
    Connected,
    /// Closed or failed.
    Ended,
}

/// Local sockets and the servers they ask for their outside address.
#[derive(Debug, Default)]
struct Gathering {
    sockets: Vec<SocketAddr>,
    servers: Vec<SocketAddr>,
    /// The owner adds no more sockets.
    complete: bool,
    announced: bool,
    /// Why the last TURN server gave no address.
    relay_error: Option<RelayError>,
}

/// Why a session wants to be called again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Timer {
    Ice,
    Gather,
    Relay,
    Dtls,
    /// No connection in time.
    Connect,
    Report,
    Feedback,
}

/// Times that no part keeps for itself.
#[derive(Debug)]
struct Timers {
    /// The fixed instant times are counted from.
    start: Instant,
    dtls: Option<Instant>,
    /// The peer's first description.
    described: Option<Instant>,
    connect: Option<Instant>,
    feedback: Option<Instant>,
}

impl Session {
    /// Makes a session that waits for local candidates and descriptions. Takes its randomness from the system here, once.
    ///
    /// # Errors
    /// [`SessionError::Random`] and [`SessionError::Config`].
    pub fn new(config: SessionConfig, now: Instant) -> Result<Self, SessionError> {
        check(&config)?;
        let mut random = [0; 40];
        getrandom::fill(&mut random).map_err(|error| SessionError::Random(error.to_string()))?;
        let word =
            |place: usize| random[place..].first_chunk::<8>().map_or(0, |bytes| u64::from_be_bytes(*bytes));
        let transaction = *random[28..].first_chunk::<12>().unwrap_or(&[0; 12]);
        Ok(Self {
            ice: Ice::new(config.role == Role::Offerer, config.ice_lite, config.consent_timeout),
            gatherer: StunGatherer::new(transaction),
            relays: Relays::new(now),
            negotiation: Negotiation::new(word(0) >> 2, config.direction),
            inbound: Inbound::new(now),
            outbound: Outbound::new(word(8)),
            schedule: ReportSchedule::new(now, word(16)),
            timers: Timers { start: now, dtls: None, described: None, connect: None, feedback: None },
            stage: Stage::Connecting,
            gathering: Gathering::default(),
            dtls: None,
            srtp: None,
            transmits: VecDeque::new(),
            events: VecDeque::new(),
            rejected: RejectedDatagrams::default(),
            stats: TransportStats::default(),
            path_meter: PathMeter::new(now),
            heard: None,
            config,
        })
    }

    /// Adds a bound UDP socket: its address becomes a host candidate, STUN servers are asked through it. Also during a call,
    /// before [`restart_ice`](Self::restart_ice), when the machine's address changed. Adding one twice does nothing.
    ///
    /// # Errors
    /// [`LocalCandidateError`]: this socket is not used.
    pub fn add_local_candidate(
        &mut self,
        now: Instant,
        local: SocketAddr,
    ) -> Result<(), LocalCandidateError> {
        if self.stage == Stage::Ended || self.gathering.sockets.contains(&local) {
            return Ok(());
        }
        let hidden = self.config.relay_only;
        let candidate = if hidden { None } else { self.ice.add_host(local)? };
        self.gathering.sockets.push(local);
        self.announce(candidate);
        for server in self.gathering.servers.iter().filter(|_| !hidden) {
            self.gatherer.ask(now, local, *server);
        }
        self.relays.add_socket(now, local);
        self.drive(now);
        Ok(())
    }

    /// Asks a STUN server which address each socket has outside; the answers become candidates. At most 4 servers.
    pub fn add_stun_server(&mut self, now: Instant, server: SocketAddr) {
        if self.gathering.servers.contains(&server) || self.gathering.servers.len() >= MAX_STUN_SERVERS {
            return;
        }
        self.gathering.servers.push(server);
        for local in self.gathering.sockets.iter().filter(|_| !self.config.relay_only) {
            self.gatherer.ask(now, *local, server);
        }
        self.drive(now);
    }

    /// Adds an outside address of a socket that was learned in another way.
    ///
    /// # Errors
    /// [`LocalCandidateError`]: this address is not used.
    pub fn add_server_reflexive(
        &mut self,
        now: Instant,
        local: SocketAddr,
        outside: SocketAddr,
    ) -> Result<(), LocalCandidateError> {
        let candidate = if self.config.relay_only { None } else { self.ice.add_reflexive(local, outside)? };
        self.announce(candidate);
        self.drive(now);
        Ok(())
    }

    /// Says that no more sockets come: [`Event::GatheringDone`] follows once the STUN and TURN servers answered or were
    /// given up.
    pub fn end_of_local_candidates(&mut self, now: Instant) {
        self.gathering.complete = true;
        self.drive(now);
    }

    /// Forgets a socket that is gone (its address left the machine).
    pub fn remove_local_candidate(&mut self, now: Instant, local: SocketAddr) {
        self.gathering.sockets.retain(|known| *known != local);
        self.ice.remove_local(local);
        for relayed in self.relays.remove_socket(local) {
            self.ice.remove_local(relayed);
        }
        self.drive(now);
    }

    /// Takes a candidate line of the peer, with or without `a=`. Lines may come before the description they belong to. Lines
    /// of no use here (TCP, `.local` names) are passed over.
    ///
    /// # Errors
    /// [`CandidateError`]: this line is not used, the others are.
    pub fn add_remote_candidate(&mut self, now: Instant, line: &str) -> Result<(), CandidateError> {
        if self.stage == Stage::Ended {
            return Err(CandidateError::Ended);
        }
        if let RemoteCandidate::Usable(usable) = candidate::parse(line)? {
            let peer = usable.address.ip();
            if !self.ice.add_remote(usable) {
                return Err(CandidateError::TooMany(MAX_CANDIDATES));
            }
            self.relays.expect(now, peer);
            self.drive(now);
        }
        Ok(())
    }

    /// Says that the peer has no more candidates. Checks go on: the peer may still reach us from an address nobody announced.
    pub fn end_of_candidates(&mut self, now: Instant) {
        self.drive(now);
    }

    /// The direction for the next offer or answer; `Inactive` or `SendOnly` put the peer on hold. The caller then makes an
    /// offer.
    pub fn set_direction(&mut self, direction: Direction) {
        self.negotiation.wanted = direction;
    }

    /// What offer and answer agreed on; `None` before the first exchange is complete.
    #[must_use]
    pub fn media(&self) -> Option<&Media> {
        self.negotiation.media.as_ref()
    }

    /// Whether media can flow now: keys are there and a path with consent is nominated.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.stage == Stage::Connected && self.ice.path().is_some()
    }

    /// Whether the session is closed or failed.
    #[must_use]
    pub fn is_ended(&self) -> bool {
        self.stage == Stage::Ended
    }

    /// The SSRC of what we send.
    #[must_use]
    pub fn local_ssrc(&self) -> u32 {
        self.outbound.ssrc
    }

    /// Lets time pass. Call it at the time of the last [`Output::Timeout`]; more often does no harm.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.drive(now);
    }

    /// The next output. [`Output::Timeout`] says that there is none left.
    pub fn poll_output(&mut self, now: Instant) -> Output {
        if let Some(transmit) = self.transmits.pop_front() {
            return Output::Transmit(transmit);
        }
        if let Some(event) = self.events.pop_front() {
            return Output::Event(event);
        }
        Output::Timeout(self.next_timer().map_or(now + Duration::from_secs(3600), |(_, at)| at))
    }

    /// The next received RTP packet, authenticated. The payload is borrowed from the session until its next use.
    pub fn poll_rtp(&mut self) -> Option<ReceivedRtp<'_>> {
        self.inbound.poll()
    }

    /// Counters and measures now.
    #[must_use]
    pub fn stats(&self) -> TransportStats {
        let reception = self.inbound.reception_stats();
        TransportStats {
            ice_rtt: self.ice.rtt(),
            path: self.stats.path.or_else(|| self.path_ends()),
            sent: self.outbound.totals,
            received: self.inbound.totals,
            jitter: reception.jitter,
            lost: reception.lost,
            receive_overruns: self.inbound.overruns,
            rejected: self.rejected,
            dtls_restarts: self.dtls.as_ref().map_or(0, DtlsEndpoint::restarts),
            ..self.stats.clone()
        }
    }

    /// When the newest datagram came that was the peer's: a check with our password, or anything on a path that has passed one. Strangers
    /// and TURN servers are not heard.
    #[must_use]
    pub fn last_heard(&self) -> Option<Instant> {
        self.heard
    }

    /// Ends the session: says good-bye by RTCP BYE and DTLS close_notify. Drain [`poll_output`](Self::poll_output) once more to
    /// send both; nothing is waited for.
    pub fn close(&mut self, now: Instant) {
        if self.stage != Stage::Ended {
            self.send_goodbye(now);
            self.close_dtls(now);
        }
        // Whoever asks afterwards is told how the relay was spoken to, which is forgotten with its address.
        self.stats.path = self.stats.path.take().or_else(|| self.path_ends());
        // One that failed has addresses to give back as well.
        self.close_relays(now);
        self.stage = Stage::Ended;
    }

    fn announce(&mut self, candidate: Option<is::Candidate>) {
        let Some(candidate) = candidate else { return };
        let line = line_of(candidate, self.negotiation.ufrag(&self.ice));
        self.emit(Event::LocalCandidate(line));
    }

    fn emit(&mut self, event: Event) {
        if self.events.len() < MAX_EVENTS {
            self.events.push_back(event);
        }
    }

    /// Sends from one of our candidates: a socket's address, or a relayed one.
    fn transmit(&mut self, now: Instant, transmit: Transmit) {
        let Transmit { source, destination, contents, .. } = &transmit;
        match self.relays.send(now, *source, *destination, contents) {
            Some(through_relay) => through_relay.into_iter().for_each(|transmit| self.put_out(transmit)),
            None => self.put_out(transmit),
        }
    }

    fn put_out(&mut self, transmit: Transmit) {
        if self.transmits.len() < MAX_TRANSMITS {
            self.transmits.push_back(transmit);
        }
    }
}

fn check(config: &SessionConfig) -> Result<(), SessionError> {
    let events = [config.telephone_event_48k, config.telephone_event_8k];
    let mut numbers: Vec<u8> =
        [config.opus.payload_type].into_iter().chain(config.red_payload_type).chain(events).collect();
    numbers.sort_unstable();
    if numbers.iter().any(|number| !matches!(number, 35..=63 | 96..=127)) {
        return Err(SessionError::Config("payload types are 96 to 127 or 35 to 63"));
    }
    if numbers.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(SessionError::Config("payload types must differ"));
    }
    if !(Duration::from_millis(3)..=Duration::from_millis(120)).contains(&config.opus.packet_time) {
        return Err(SessionError::Config("Opus packets are 3 to 120 ms"));
    }
    if config.consent_timeout > Duration::from_secs(30) || config.feedback_interval.is_zero() {
        return Err(SessionError::Config("consent at most 30 s, feedback interval not zero"));
    }
    Ok(())
}
