//! ICE (RFC 8445, trickle RFC 8838) around `is`: candidates, the nominated path, addresses that proved themselves, consent.

mod agent;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use bytes::Bytes;
use is::stun::{StunMessage, StunPacket};
use is::{Candidate, IceAgent, IceAgentEvent, IceConnectionState, IceCreds, Protocol};

use self::agent::Agent;
use crate::candidate::{MAX_CANDIDATES, UsableCandidate};
use crate::consent::{Consent, ConsentChange};
use crate::error::LocalCandidateError;
use crate::event::{CandidateKind, Carrier, IceState, PathEnd, Transmit};

const MAX_LOCAL: usize = 32;
/// Pairs of addresses that may be in use at the same time or one after the other.
const MAX_VALIDATED: usize = 64;
/// The agent does one thing when time passes (answer, check, nominate) and asks for 50 ms before the next. A message of the peer
/// is worth this many at once; more would be a burst of checks.
const TURNS_PER_MESSAGE: u8 = 3;
/// The peer's credentials are worth more: its checks that came before them wait to be answered, and then ours begin.
const TURNS_AT_START: u8 = 6;
/// A lost check is repeated after this time, doubled each time.
const FIRST_RETRY: Duration = Duration::from_millis(200);
/// How a check begins (RFC 8489, section 5).
const BINDING_REQUEST: [u8; 2] = [0, 1];
/// So much less is a relayed address worth that is reached over a connection: what is lost there holds up all that comes after it.
const CONNECTION_MALUS: u32 = 4096;

/// News for the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum IceEvent {
    State(IceState),
    Nominated { local: SocketAddr, remote: SocketAddr },
    Consent(ConsentChange),
}

/// The agent of one session and what must outlive its restarts.
#[derive(Debug)]
pub(crate) struct Ice {
    agent: Agent,
    lite: bool,
    consent: Consent,
    nominated: Option<(SocketAddr, SocketAddr)>,
    was_connected: bool,
    /// Pairs of our and the peer's address on which a message with our password came. Kept over restarts: media may still be
    /// under way there.
    validated: Vec<(SocketAddr, SocketAddr)>,
    /// Remote candidates that came before the description they belong to.
    early: Vec<UsableCandidate>,
    remote_candidates: usize,
    /// Things the agent may do at once.
    turns: u8,
    /// Our newest checks without an answer.
    unanswered: Vec<Transmit>,
    /// Those that are worth sending once more.
    again: Vec<Transmit>,
}

impl Ice {
    pub(crate) fn new(controlling: bool, lite: bool, consent_timeout: Duration) -> Self {
        let mut agent = IceAgent::new(IceCreds::new());
        agent.set_controlling(controlling);
        agent.set_ice_lite(lite);
        agent.set_initial_stun_rto(FIRST_RETRY);
        agent.set_local_preference(local_preference);
        Self {
            agent: Agent::new(agent),
            lite,
            consent: Consent::new(consent_timeout),
            nominated: None,
            was_connected: false,
            validated: Vec::new(),
            early: Vec::new(),
            remote_candidates: 0,
            turns: 0,
            unanswered: Vec::new(),
            again: Vec::new(),
        }
    }

    pub(crate) fn credentials(&self) -> &IceCreds {
        self.agent.local_credentials()
    }

    pub(crate) fn remote_credentials(&self) -> Option<&IceCreds> {
        self.agent.remote_credentials()
    }

    /// Takes the controlling part: the peer only answers checks.
    pub(crate) fn take_control(&mut self) {
        self.agent.set_controlling(true);
    }

    /// Adds a socket's own address. `None`: it is known already.
    pub(crate) fn add_host(&mut self, local: SocketAddr) -> Result<Option<Candidate>, LocalCandidateError> {
        self.add_local(Candidate::host(local, "udp"))
    }

    /// Adds an address a STUN server saw for a socket.
    pub(crate) fn add_reflexive(
        &mut self,
        local: SocketAddr,
        outside: SocketAddr,
    ) -> Result<Option<Candidate>, LocalCandidateError> {
        self.add_local(Candidate::server_reflexive(outside, local, "udp"))
    }

    /// Adds an address on a TURN server, reached by datagrams or over a connection.
    pub(crate) fn add_relayed(
        &mut self,
        relayed: SocketAddr,
        carrier: Carrier,
    ) -> Result<Option<Candidate>, LocalCandidateError> {
        let base = match carrier {
            Carrier::Udp => relayed,
            Carrier::Tcp => SocketAddr::new(unspecified(relayed), relayed.port()),
        };
        self.add_local(Candidate::relayed(relayed, base, "udp"))
    }

    fn add_local(
        &mut self,
        candidate: Result<Candidate, is::IceError>,
    ) -> Result<Option<Candidate>, LocalCandidateError> {
        let candidate = candidate.map_err(|error| LocalCandidateError::Address(error.to_string()))?;
        if self.agent.local_candidates().count() >= MAX_LOCAL {
            return Err(LocalCandidateError::TooMany(MAX_LOCAL));
        }
        Ok(self.agent.add_local_candidate(candidate).cloned())
    }

    /// Forgets all candidates of a socket, or the one of a relayed address, that is gone.
    pub(crate) fn remove_local(&mut self, local: SocketAddr) {
        let is_gone = |known: &Candidate| known.local() == local || is_relayed(known, local);
        let gone: Vec<Candidate> = self.agent.local_candidates().filter(is_gone).collect();
        for candidate in &gone {
            self.agent.invalidate_candidate(candidate);
        }
    }

    /// Candidate lines of this side, as of the generation `ufrag`.
    pub(crate) fn local_lines(&self, ufrag: &str) -> Vec<String> {
        self.agent.local_candidates().map(|candidate| line_of(candidate, ufrag)).collect()
    }

    /// Takes the peer's credentials and the candidates that waited for them. A change of ours goes first (restart).
    pub(crate) fn set_remote(&mut self, restart: Option<IceCreds>, remote: IceCreds) {
        if let Some(credentials) = restart {
            self.agent.ice_restart(credentials, true);
            self.remote_candidates = 0;
        }
        self.agent.set_remote_credentials(remote);
        for candidate in std::mem::take(&mut self.early) {
            self.add_remote(candidate);
        }
        self.turns = TURNS_AT_START;
    }

    /// Adds a candidate of the peer, or keeps it until its description comes. `false`: there are too many.
    pub(crate) fn add_remote(&mut self, candidate: UsableCandidate) -> bool {
        let current = self.agent.remote_credentials();
        let fits = current
            .is_some_and(|current| candidate.ufrag.as_ref().is_none_or(|ufrag| *ufrag == current.ufrag));
        if !fits {
            let room = self.early.len() < MAX_CANDIDATES;
            if room {
                self.early.push(candidate);
            }
            return room;
        }
        if self.remote_candidates >= MAX_CANDIDATES {
            return false;
        }
        self.remote_candidates += 1;
        if let Ok(parsed) = Candidate::from_sdp_string(&candidate.line) {
            self.agent.add_remote_candidate(parsed);
            self.turns = self.turns.max(1);
        }
        true
    }

    /// Takes a STUN message. `false`: it is not one or does not prove knowledge of our password.
    pub(crate) fn handle(
        &mut self,
        now: Instant,
        local: SocketAddr,
        remote: SocketAddr,
        datagram: &[u8],
    ) -> bool {
        let Ok(message) = StunMessage::parse(datagram) else { return false };
        let packet = StunPacket { proto: Protocol::Udp, source: remote, destination: local, message };
        let accepted = self.agent.handle_packet(now, packet);
        if accepted {
            self.note_validated((local, remote));
            self.turns = TURNS_PER_MESSAGE;
            // RFC 8445 section 7.3.1.4: where the peer's check came through, ours may be repeated at once. The first was lost when the
            // peer's relay or firewall was not open yet.
            let is_theirs = |check: &mut Transmit| (check.source, check.destination) == (local, remote);
            let ours = self.unanswered.extract_if(.., is_theirs);
            if datagram.starts_with(&BINDING_REQUEST) {
                self.again.extend(ours);
            } else {
                ours.for_each(drop);
            }
        }
        accepted
    }

    fn note_validated(&mut self, pair: (SocketAddr, SocketAddr)) {
        if self.validated.contains(&pair) {
            return;
        }
        if self.validated.len() >= MAX_VALIDATED {
            let oldest = self.validated.iter().position(|known| Some(*known) != self.nominated).unwrap_or(0);
            self.validated.remove(oldest);
        }
        self.validated.push(pair);
    }

    /// Whether a message with our password came from there to this socket.
    pub(crate) fn is_validated(&self, local: SocketAddr, remote: SocketAddr) -> bool {
        self.validated.contains(&(local, remote))
    }

    /// Lets time pass.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        let due = self.agent.timeout().is_none_or(|due| now >= due);
        for _ in 0..std::mem::take(&mut self.turns).max(u8::from(due)) {
            self.agent.handle_timeout(now);
        }
    }

    pub(crate) fn timeout(&mut self) -> Option<Instant> {
        let consent = self.consent.deadline();
        self.agent.timeout().into_iter().chain(consent).min()
    }

    pub(crate) fn poll_transmit(&mut self) -> Option<Transmit> {
        if let Some(check) = self.again.pop() {
            return Some(check);
        }
        let transmit = self.agent.poll_transmit()?;
        let transmit = Transmit {
            carrier: Carrier::Udp,
            source: transmit.source,
            destination: transmit.destination,
            contents: Bytes::copy_from_slice(&transmit.contents),
        };
        if transmit.contents.starts_with(&BINDING_REQUEST) {
            self.note_check(transmit.clone());
        }
        Some(transmit)
    }

    fn note_check(&mut self, check: Transmit) {
        let pair = |check: &Transmit| (check.source, check.destination);
        // Those that only renew consent are many and need no haste.
        if self.nominated == Some(pair(&check)) {
            return;
        }
        self.unanswered.retain(|known| pair(known) != pair(&check));
        if self.unanswered.len() >= MAX_VALIDATED {
            self.unanswered.remove(0);
        }
        self.unanswered.push(check);
    }

    /// What happened since the last call.
    pub(crate) fn poll_events(&mut self, now: Instant, out: &mut Vec<IceEvent>) {
        while let Some(event) = self.agent.poll_event() {
            match event {
                IceAgentEvent::IceConnectionStateChange(state) => {
                    out.push(IceEvent::State(self.note_state(state)))
                }
                IceAgentEvent::NominatedSend { source, destination, .. } => {
                    self.nominated = Some((source, destination));
                    out.push(IceEvent::Nominated { local: source, remote: destination });
                }
                IceAgentEvent::IceRestart(_) | IceAgentEvent::DiscoveredRecv { .. } => {}
            }
        }
        let answered = if self.lite {
            Some(self.agent.stats().bind_request_recv)
        } else {
            self.agent.nominated_pair_responses_received()
        };
        out.extend(self.consent.observe(now, answered).map(IceEvent::Consent));
    }

    /// The agent drops pairs that failed and would never try again; a peer that was there may come back.
    fn note_state(&mut self, state: IceConnectionState) -> IceState {
        let state = state_of(state);
        self.was_connected |= state == IceState::Connected;
        if state == IceState::Disconnected && self.was_connected && !self.lite {
            self.agent.recreate_candidate_pairs();
        }
        state
    }

    /// Where media goes; `None` before nomination and without consent.
    pub(crate) fn path(&self) -> Option<(SocketAddr, SocketAddr)> {
        self.nominated.filter(|_| !self.consent.is_lost())
    }

    /// Both ends of the nominated pair with their kinds.
    pub(crate) fn path_ends(&self) -> Option<(PathEnd, PathEnd)> {
        let (local, remote) = self.nominated?;
        let is_ours = |known: &Candidate| known.local() == local || is_relayed(known, local);
        let local_kind = self.agent.local_candidates().find(is_ours).map(|known| kind_of(&known));
        let remote_kind =
            self.agent.remote_candidates().find(|known| known.addr() == remote).map(|known| kind_of(&known));
        let end = |address, kind| PathEnd { address, kind, relay: None };
        Some((end(local, local_kind), end(remote, remote_kind)))
    }

    pub(crate) fn rtt(&self) -> Option<Duration> {
        self.agent.nominated_pair_rtt()
    }
}

fn is_relayed(candidate: &Candidate, address: SocketAddr) -> bool {
    candidate.kind() == is::CandidateKind::Relayed && candidate.addr() == address
}

/// As the agent has it by default; the base tells what is reached over a connection.
fn local_preference(candidate: &Candidate, same_kind: usize) -> u32 {
    let usual = is::default_local_preference(candidate, same_kind);
    let is_connection =
        candidate.kind() == is::CandidateKind::Relayed && candidate.local().ip().is_unspecified();
    if is_connection { usual.saturating_sub(CONNECTION_MALUS) } else { usual }
}

fn unspecified(like: SocketAddr) -> IpAddr {
    if like.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() }
}

/// The line of a candidate in another generation than the agent's.
pub(crate) fn line_of(mut candidate: Candidate, ufrag: &str) -> String {
    candidate.set_ufrag(ufrag);
    candidate.to_sdp_string()
}

fn state_of(state: IceConnectionState) -> IceState {
    match state {
        IceConnectionState::New => IceState::New,
        IceConnectionState::Checking => IceState::Checking,
        IceConnectionState::Connected | IceConnectionState::Completed => IceState::Connected,
        IceConnectionState::Disconnected => IceState::Disconnected,
    }
}

fn kind_of(candidate: &Candidate) -> CandidateKind {
    match candidate.kind() {
        is::CandidateKind::Host => CandidateKind::Host,
        is::CandidateKind::ServerReflexive => CandidateKind::ServerReflexive,
        is::CandidateKind::PeerReflexive => CandidateKind::PeerReflexive,
        is::CandidateKind::Relayed => CandidateKind::Relayed,
    }
}
