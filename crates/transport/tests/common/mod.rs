//! Two sessions in virtual time, joined by a link that delays and loses.
#![expect(dead_code, reason = "each test file uses a part of it")]
#![expect(clippy::unwrap_used, reason = "whatever fails here fails the test")]

pub(crate) mod turn;

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use offhook_sim::rng::Rng;
use offhook_transport::{
    Carrier, Certificate, Event, Output, Role, RtpToSend, Session, SessionConfig, TransportError,
};

pub(crate) const ALICE: usize = 0;
pub(crate) const BOB: usize = 1;
/// Answers where [`World::translator`] makes a difference or not.
pub(crate) const STUN_SERVER: &str = "192.0.2.1:3478";
pub(crate) const TICK: Duration = Duration::from_millis(20);

pub(crate) fn certificate(side: usize) -> Arc<Certificate> {
    static CERTIFICATES: OnceLock<[Arc<Certificate>; 2]> = OnceLock::new();
    let make = || Arc::new(Certificate::generate().unwrap());
    Arc::clone(&CERTIFICATES.get_or_init(|| [make(), make()])[side])
}

pub(crate) fn config(side: usize) -> SessionConfig {
    let role = if side == ALICE { Role::Offerer } else { Role::Answerer };
    SessionConfig::new(certificate(side), role)
}

pub(crate) fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// A received packet, kept.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Heard {
    pub(crate) payload_type: u8,
    pub(crate) marker: bool,
    pub(crate) sequence: u16,
    pub(crate) timestamp: u32,
    pub(crate) ssrc: u32,
    pub(crate) level: Option<u8>,
    pub(crate) payload: Vec<u8>,
    pub(crate) arrival: Instant,
}

pub(crate) struct Peer {
    pub(crate) session: Session,
    pub(crate) sockets: Vec<SocketAddr>,
    pub(crate) events: Vec<Event>,
    pub(crate) heard: Vec<Heard>,
    pub(crate) timestamp: u32,
    pub(crate) trickle: bool,
}

/// A datagram under way.
#[derive(Debug, Clone)]
pub(crate) struct Datagram {
    pub(crate) due: Instant,
    pub(crate) carrier: Carrier,
    pub(crate) source: SocketAddr,
    pub(crate) destination: SocketAddr,
    pub(crate) contents: Vec<u8>,
}

pub(crate) struct World {
    pub(crate) start: Instant,
    pub(crate) now: Instant,
    pub(crate) peers: [Peer; 2],
    pub(crate) loss: f64,
    /// An address nobody outside can reach, and the one it has outside.
    pub(crate) translator: Option<(SocketAddr, SocketAddr)>,
    /// What the link never carries.
    pub(crate) swallows: fn(&[u8]) -> bool,
    /// What a firewall lets nobody carry.
    pub(crate) blocks: fn(&Datagram) -> bool,
    /// A TURN server, where there is one.
    pub(crate) turn: Option<turn::TurnNode>,
    pub(crate) delay: Duration,
    pub(crate) signal_delay: Duration,
    /// Everything that was put on the link, lost or not.
    pub(crate) tapped: Vec<Datagram>,
    rng: Rng,
    link: Vec<Datagram>,
    lines: Vec<(Instant, usize, String)>,
}

impl World {
    pub(crate) fn new(configs: [SessionConfig; 2], seed: u64) -> Self {
        #[expect(clippy::disallowed_methods, reason = "the virtual clock has to begin somewhere")]
        let start = Instant::now();
        let [alice, bob] = configs;
        let peer = |config, socket: &str| {
            let mut session = Session::new(config, start).unwrap();
            let socket = address(socket);
            session.add_local_candidate(start, socket).unwrap();
            Peer {
                session,
                sockets: vec![socket],
                events: vec![],
                heard: vec![],
                timestamp: 0,
                trickle: true,
            }
        };
        Self {
            start,
            now: start,
            peers: [peer(alice, "127.0.0.1:4000"), peer(bob, "127.0.0.1:5000")],
            loss: 0.0,
            translator: None,
            swallows: |_| false,
            blocks: |_| false,
            turn: None,
            delay: Duration::from_millis(25),
            signal_delay: Duration::from_millis(5),
            tapped: Vec::new(),
            rng: Rng::new(seed),
            link: Vec::new(),
            lines: Vec::new(),
        }
    }

    pub(crate) fn plain(seed: u64) -> Self {
        Self::new([config(ALICE), config(BOB)], seed)
    }

    /// Connected without loss, with the default configuration.
    pub(crate) fn connected(seed: u64) -> Self {
        Self::connected_with(seed, |_| {})
    }

    /// Connected without loss, both sides configured alike.
    pub(crate) fn connected_with(seed: u64, configure: fn(&mut SessionConfig)) -> Self {
        let mut configs = [config(ALICE), config(BOB)];
        configs.iter_mut().for_each(configure);
        let mut world = Self::new(configs, seed);
        world.negotiate();
        assert!(world.run_until(Duration::from_secs(5), Self::both_connected), "{:?}", world.peers[0].events);
        world
    }

    pub(crate) fn both_connected(&self) -> bool {
        self.peers.iter().all(|peer| peer.session.is_connected())
    }

    /// Offer from alice, answer from bob.
    pub(crate) fn negotiate(&mut self) {
        self.negotiate_from(ALICE);
    }

    pub(crate) fn negotiate_from(&mut self, side: usize) {
        let offer = self.peers[side].session.create_offer().unwrap();
        self.exchange(side, &offer);
    }

    pub(crate) fn exchange(&mut self, side: usize, offer: &str) {
        let answer = self.peers[1 - side].session.handle_offer(self.now, offer).unwrap();
        self.peers[side].session.handle_answer(self.now, &answer).unwrap();
    }

    pub(crate) fn run(&mut self, time: Duration) {
        self.run_until(time, |_| false);
    }

    /// Until the condition holds; `false` when the time is over first.
    pub(crate) fn run_until(&mut self, time: Duration, done: impl Fn(&Self) -> bool) -> bool {
        let end = self.now + time;
        let mut standing = 0;
        loop {
            let next = self.drain();
            if done(self) {
                return true;
            }
            if next > end {
                self.now = end;
                return false;
            }
            standing = if next > self.now { 0 } else { standing + 1 };
            assert!(standing < 1000, "a timer that stays due");
            self.now = self.now.max(next);
            self.deliver();
        }
    }

    /// Both sides speak for a while.
    pub(crate) fn talk(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.speak(ALICE);
            self.speak(BOB);
            self.run(TICK);
        }
    }

    /// One packet; its payload names its timestamp.
    pub(crate) fn speak(&mut self, side: usize) {
        let peer = &mut self.peers[side];
        let Some(payload_type) = peer.session.media().map(|media| media.opus) else { return };
        let timestamp = peer.timestamp;
        peer.timestamp += 960;
        let level = offhook_transport::AudioLevel { below_full_scale: 40, voice: true };
        let payload = payload(timestamp);
        let rtp = RtpToSend {
            payload_type,
            marker: timestamp == 0,
            timestamp,
            audio_level: Some(level),
            payload: &payload,
        };
        let _on_hold_or_not_connected = peer.session.send_rtp(self.now, &rtp);
    }

    /// Everything out of both sessions; the next time something happens.
    fn drain(&mut self) -> Instant {
        let mut next = self.now + Duration::from_secs(3600);
        for side in [ALICE, BOB] {
            next = next.min(self.drain_peer(side));
        }
        let due = self.link.iter().map(|datagram| datagram.due);
        due.chain(self.lines.iter().map(|(due, ..)| *due)).fold(next, Instant::min)
    }

    fn drain_peer(&mut self, side: usize) -> Instant {
        self.collect_rtp(side);
        for _ in 0..10_000 {
            match self.peers[side].session.poll_output(self.now) {
                Output::Transmit(transmit) => self.put_on_link(transmit),
                Output::Event(event) => {
                    if let (Event::LocalCandidate(line), true) = (&event, self.peers[side].trickle) {
                        self.lines.push((self.now + self.signal_delay, 1 - side, line.clone()));
                    }
                    self.peers[side].events.push(event);
                }
                Output::Timeout(at) => return at,
            }
        }
        panic!("a session without end of outputs");
    }

    fn put_on_link(&mut self, transmit: offhook_transport::Transmit) {
        let (mut source, mut destination) = (transmit.source, transmit.destination);
        if let Some((inside, outside)) = self.translator {
            if destination == inside {
                return;
            }
            source = if source == inside { outside } else { source };
            destination = if destination == outside { inside } else { destination };
        }
        let contents = transmit.contents.to_vec();
        let carrier = transmit.carrier;
        let datagram = Datagram { due: self.now + self.delay, carrier, source, destination, contents };
        self.tapped.push(datagram.clone());
        let has_socket = self.peers.iter().any(|peer| peer.sockets.contains(&transmit.source));
        if carrier == Carrier::Tcp {
            if !(self.blocks)(&datagram) {
                self.link.push(datagram);
            }
        } else if has_socket && !(self.swallows)(&transmit.contents) && !self.rng.chance(self.loss) {
            self.carry(datagram);
        }
    }

    /// A datagram sets out.
    fn carry(&mut self, datagram: Datagram) {
        if !(self.blocks)(&datagram) {
            self.link.push(datagram);
        }
    }

    fn collect_rtp(&mut self, side: usize) {
        let peer = &mut self.peers[side];
        while let Some(rtp) = peer.session.poll_rtp() {
            peer.heard.push(Heard {
                payload_type: rtp.payload_type,
                marker: rtp.marker,
                sequence: rtp.sequence,
                timestamp: rtp.timestamp,
                ssrc: rtp.ssrc,
                level: rtp.audio_level.map(|level| level.below_full_scale),
                payload: rtp.payload.to_vec(),
                arrival: rtp.arrival,
            });
        }
    }

    fn deliver(&mut self) {
        let now = self.now;
        for datagram in self.link.extract_if(.., |datagram| datagram.due <= now).collect::<Vec<_>>() {
            if self.turn.as_ref().is_some_and(|turn| turn.listens(datagram.destination)) {
                self.at_turn_server(&datagram);
            } else if datagram.carrier == Carrier::Tcp {
                let Datagram { source, destination, contents, .. } = datagram;
                for peer in &mut self.peers {
                    peer.session.handle_stream(now, destination, source, &contents);
                }
            } else {
                self.inject(datagram.source, datagram.destination, datagram.contents);
            }
        }
        for (_, side, line) in self.lines.extract_if(.., |(due, ..)| *due <= now).collect::<Vec<_>>() {
            self.peers[side].session.add_remote_candidate(now, &line).unwrap();
        }
        self.peers.iter_mut().for_each(|peer| peer.session.handle_timeout(now));
    }

    /// A datagram arrives now, from whomever.
    pub(crate) fn inject(&mut self, source: SocketAddr, destination: SocketAddr, mut contents: Vec<u8>) {
        if destination == address(STUN_SERVER) {
            return self.answer_as_server(source, &contents);
        }
        let side = self.peers.iter().position(|peer| peer.sockets.contains(&destination));
        let Some(side) = side else { return };
        self.peers[side].session.handle_datagram(self.now, destination, source, &mut contents);
        self.collect_rtp(side);
    }

    fn at_turn_server(&mut self, datagram: &Datagram) {
        let Some(turn) = &mut self.turn else { return };
        let mut out = Vec::new();
        turn.receive(self.now, datagram, &mut out);
        for mut datagram in out {
            // From one of its addresses to another it takes no time.
            if self.turn.as_ref().is_some_and(|turn| turn.listens(datagram.destination)) {
                self.at_turn_server(&datagram);
            } else {
                datagram.due += self.delay;
                self.carry(datagram);
            }
        }
    }

    /// XOR-MAPPED-ADDRESS of the sender, as it looks from outside.
    fn answer_as_server(&mut self, outside: SocketAddr, request: &[u8]) {
        let SocketAddr::V4(seen) = outside else { return };
        let mut contents = vec![1, 1, 0, 12];
        contents.extend_from_slice(&request[4..20]);
        contents.extend_from_slice(&[0, 0x20, 0, 8, 0, 1]);
        contents.extend((seen.port() ^ 0x2112).to_be_bytes());
        contents.extend((seen.ip().to_bits() ^ 0x2112_A442).to_be_bytes());
        let inside = self.translator.filter(|(_, translated)| *translated == outside);
        let destination = inside.map_or(outside, |(inside, _)| inside);
        self.link.push(Datagram {
            due: self.now + self.delay,
            carrier: Carrier::Udp,
            source: address(STUN_SERVER),
            destination,
            contents,
        });
    }

    pub(crate) fn failure(&self, side: usize) -> Option<&TransportError> {
        self.peers[side].events.iter().find_map(|event| match event {
            Event::Failed(error) => Some(error),
            _ => None,
        })
    }
}

pub(crate) fn payload(timestamp: u32) -> Vec<u8> {
    format!("opus at {timestamp}").into_bytes()
}
