//! Calls with str0m, an independent implementation: either side offers, DTLS 1.2 and 1.3, sound both ways, in virtual time.

mod common;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use common::{ALICE, BOB, address, config};
use offhook_transport::{
    AudioLevel, DtlsPart, DtlsVersion, Event, Output, RtpToSend, Session, SessionConfig, TransportStats,
};
use str0m::change::{SdpAnswer, SdpOffer};
use str0m::config::DtlsVersion as TheirVersion;
use str0m::format::Codec;
use str0m::media::{Direction, MediaKind, Mid, Pt};
use str0m::net::{Protocol, Receive};
use str0m::rtp::{ExtensionValues, RtpWrite};
use str0m::{Candidate, Input, Rtc};

const DELAY: Duration = Duration::from_millis(10);
const PACKETS: u32 = 150;
/// Just below the wrap.
const FIRST_SEQUENCE: u64 = 65_480;

struct Under {
    due: Instant,
    source: SocketAddr,
    destination: SocketAddr,
    contents: Vec<u8>,
}

/// What one side heard: audio level and payload.
type Heard = Vec<(Option<i8>, Vec<u8>)>;

struct World {
    now: Instant,
    ours: Session,
    theirs: Rtc,
    link: Vec<Under>,
    our_events: Vec<Event>,
    their_events: Vec<str0m::Event>,
    heard_by_us: Heard,
    mid: Option<Mid>,
}

impl World {
    fn new(config: SessionConfig, version: TheirVersion) -> Self {
        Self::with_red(config, version, false)
    }

    /// `red`: they know RFC 2198.
    fn with_red(config: SessionConfig, version: TheirVersion, red: bool) -> Self {
        str0m::crypto::from_feature_flags().install_process_default();
        #[expect(clippy::disallowed_methods, reason = "the virtual clock has to begin somewhere")]
        let now = Instant::now();
        let mut theirs = Rtc::builder()
            .clear_codecs()
            .enable_opus(true, red)
            .set_rtp_mode(true)
            .set_dtls_version(version)
            .set_stats_interval(Some(Duration::from_secs(1)))
            .build(now);
        let mut ours = Session::new(config, now).expect("a session");
        ours.add_local_candidate(now, address("10.0.0.1:4000")).expect("a socket");
        let candidate = Candidate::host(address("10.0.0.2:5000"), "udp").expect("an address");
        theirs.add_local_candidate(candidate).expect("a new candidate");
        let (our_events, their_events) = (Vec::new(), Vec::new());
        Self {
            now,
            ours,
            theirs,
            link: Vec::new(),
            our_events,
            their_events,
            heard_by_us: Vec::new(),
            mid: None,
        }
    }

    fn we_offer(&mut self) {
        let offer = self.ours.create_offer().expect("an offer");
        self.exchange(&offer);
    }

    fn exchange(&mut self, offer: &str) {
        let offer = SdpOffer::from_sdp_string(offer).expect("an offer str0m can read");
        let answer = self.theirs.sdp_api().accept_offer(offer).expect("an answer");
        self.ours.handle_answer(self.now, &answer.to_sdp_string()).expect("an answer we can read");
    }

    fn they_offer(&mut self) {
        let mut change = self.theirs.sdp_api();
        self.mid = Some(change.add_media(MediaKind::Audio, Direction::SendRecv, None, None, None));
        let (offer, pending) = change.apply().expect("a change");
        let answer = self.ours.handle_offer(self.now, &offer.to_sdp_string()).expect("an answer");
        let answer = SdpAnswer::from_sdp_string(&answer).expect("an answer str0m can read");
        self.theirs.sdp_api().accept_answer(pending, answer).expect("accepted");
    }

    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        let mut standing = 0;
        loop {
            let (ours, theirs) = (self.drain_ours(), self.drain_theirs());
            let due = self.link.iter().map(|datagram| datagram.due).fold(end + DELAY, Instant::min);
            let next = ours.min(theirs).min(due);
            if next > end {
                break;
            }
            standing = if next > self.now { 0 } else { standing + 1 };
            assert!(standing < 1000, "a timer stays due: {:?} {:?}", ours <= self.now, theirs <= self.now);
            self.now = self.now.max(next);
            let now = self.now;
            let arrived: Vec<_> = self.link.extract_if(.., |datagram| datagram.due <= now).collect();
            arrived.into_iter().for_each(|datagram| self.deliver(datagram));
            self.ours.handle_timeout(now);
            self.theirs.handle_input(Input::Timeout(now)).expect("time passes");
        }
        self.now = end;
    }

    fn deliver(&mut self, mut datagram: Under) {
        if datagram.destination == address("10.0.0.1:4000") {
            self.ours.handle_datagram(
                self.now,
                datagram.destination,
                datagram.source,
                &mut datagram.contents,
            );
            return;
        }
        let contents = (&datagram.contents[..]).try_into().expect("a datagram str0m knows");
        let Under { source, destination, .. } = datagram;
        let receive = Receive { proto: Protocol::Udp, source, destination, contents };
        self.theirs.handle_input(Input::Receive(self.now, receive)).expect("taken");
        self.drain_theirs();
    }

    fn send(&mut self, source: SocketAddr, destination: SocketAddr, contents: &[u8]) {
        self.link.push(Under { due: self.now + DELAY, source, destination, contents: contents.to_vec() });
    }

    fn drain_ours(&mut self) -> Instant {
        while let Some(rtp) = self.ours.poll_rtp() {
            let level = rtp.audio_level.and_then(|level| i8::try_from(level.below_full_scale).ok());
            self.heard_by_us.push((level.map(|level| -level), rtp.payload.to_vec()));
        }
        loop {
            match self.ours.poll_output(self.now) {
                Output::Transmit(transmit) => {
                    self.send(transmit.source, transmit.destination, &transmit.contents);
                }
                Output::Event(event) => self.our_events.push(event),
                Output::Timeout(at) => return at,
            }
        }
    }

    fn drain_theirs(&mut self) -> Instant {
        loop {
            match self.theirs.poll_output().expect("an output") {
                str0m::Output::Transmit(transmit) => {
                    self.send(transmit.source, transmit.destination, &transmit.contents);
                }
                str0m::Output::Event(event) => {
                    if let str0m::Event::MediaAdded(added) = &event {
                        self.mid = Some(added.mid);
                    }
                    self.their_events.push(event);
                }
                str0m::Output::Timeout(at) => return at,
            }
        }
    }

    /// Both speak, 20 ms a packet; each payload names its number.
    fn talk(&mut self) {
        let (mid, pt) = (self.mid.expect("a media"), self.their_payload_type());
        for count in 0..PACKETS {
            let payload = common::payload(960 * count);
            let level = AudioLevel { below_full_scale: 33, voice: true };
            let payload_type = self.ours.media().expect("negotiated").opus;
            let marker = count == 0;
            let timestamp = 960 * count;
            let rtp =
                RtpToSend { payload_type, marker, timestamp, audio_level: Some(level), payload: &payload };
            self.ours.send_rtp(self.now, &rtp).expect("connected");
            let sequence = (FIRST_SEQUENCE + u64::from(count)).into();
            let ext_vals =
                ExtensionValues { audio_level: Some(-44), voice_activity: Some(true), ..Default::default() };
            let write = RtpWrite::new(pt, sequence, timestamp, self.now, payload).ext_vals(ext_vals);
            let mut direct = self.theirs.direct_api();
            direct.stream_tx_by_mid(mid, None).expect("a stream").write_rtp(write);
            self.theirs.handle_input(Input::Timeout(self.now)).expect("time passes");
            self.run(Duration::from_millis(20));
        }
        self.run(Duration::from_secs(2));
    }

    fn their_payload_type(&self) -> Pt {
        let mut configured = self.theirs.codec_config().iter();
        configured.find(|params| params.spec().codec == Codec::Opus).expect("Opus").pt()
    }

    fn heard_by_them(&self) -> Heard {
        let packets = self.their_events.iter().filter_map(|event| match event {
            str0m::Event::RtpPacket(packet) => {
                Some((packet.header.ext_vals.audio_level, packet.payload.to_vec()))
            }
            _ => None,
        });
        packets.collect()
    }

    fn check_sound(&self) {
        let all = |level: i8| -> Heard {
            (0..PACKETS).map(|count| (Some(level), common::payload(960 * count))).collect()
        };
        assert_eq!(self.heard_by_us, all(-44));
        assert_eq!(self.heard_by_them(), all(-33));
    }

    fn check_reports(&self) {
        let TransportStats { rtt, remote_loss, remote_lost, lost, rejected, .. } = self.ours.stats();
        let rtt = rtt.expect("str0m reported");
        assert!(rtt.abs_diff(2 * DELAY) < Duration::from_millis(3), "{rtt:?}");
        assert_eq!((remote_loss, remote_lost, lost), (Some(0.0), Some(0), Some(0)));
        assert_eq!(rejected.total(), 0, "{rejected:?}");
        let stats = || {
            self.their_events.iter().rev().filter_map(|event| match event {
                str0m::Event::MediaEgressStats(stats) => Some(stats),
                _ => None,
            })
        };
        // The one comes of our answer to a sender report, the other of two reports with packets between them.
        let rtt = stats().find_map(|stats| stats.rtt).expect("str0m understood our reports");
        let loss = stats().find_map(|stats| stats.loss).expect("str0m understood our reports");
        assert!(rtt.abs_diff(2 * DELAY) < Duration::from_millis(3), "{rtt:?}");
        assert!(loss.abs() < f32::EPSILON);
    }

    /// They take no short reports: what their feedback says is summed up.
    fn check_path_reports(&self) {
        let media = self.ours.media().expect("negotiated");
        assert_eq!((media.red, media.short_reports), (None, false));
        let reports = self.our_events.iter().filter_map(|event| match event {
            Event::PathReport(report) => Some(report),
            _ => None,
        });
        let reports: Vec<_> = reports.collect();
        assert!(reports.len() >= 5, "{reports:?}");
        assert!(reports.iter().all(|report| report.loss < f64::EPSILON), "{reports:?}");
        let delays = reports.iter().filter_map(|report| report.queue_delay);
        assert!(delays.max().is_some_and(|delay| delay < Duration::from_millis(2)), "{reports:?}");
    }

    fn fates(&self) -> usize {
        let reports = self.our_events.iter().filter_map(|event| match event {
            Event::Feedback(report) => {
                Some(report.packets.iter().filter(|fate| fate.arrived.is_some()).count())
            }
            _ => None,
        });
        reports.sum()
    }
}

fn call(side: usize, part: DtlsPart, theirs: TheirVersion, expected: DtlsVersion) {
    let mut config = config(side);
    config.dtls_part = part;
    let mut world = World::new(config, theirs);
    if side == ALICE {
        world.we_offer()
    } else {
        world.they_offer()
    }
    world.run(Duration::from_secs(2));
    assert!(world.ours.is_connected() && world.theirs.is_connected(), "{:?}", world.our_events);
    assert_eq!(world.ours.stats().dtls, Some(expected));
    world.talk();
    world.check_sound();
    world.check_reports();
    assert!(world.fates() >= 140, "transport-wide feedback told of {} packets", world.fates());
    world.check_path_reports();
}

#[test]
fn we_offer_and_speak_dtls_1_2() {
    call(ALICE, DtlsPart::Active, TheirVersion::Dtls12, DtlsVersion::V12);
}

#[test]
fn we_offer_and_speak_dtls_1_3() {
    call(ALICE, DtlsPart::Active, TheirVersion::Auto, DtlsVersion::V13);
}

#[test]
fn they_offer_and_we_are_the_dtls_client() {
    call(BOB, DtlsPart::Active, TheirVersion::Dtls12, DtlsVersion::V12);
    call(BOB, DtlsPart::Active, TheirVersion::Auto, DtlsVersion::V13);
}

#[test]
fn they_offer_and_we_are_the_dtls_server() {
    call(BOB, DtlsPart::Passive, TheirVersion::Dtls12, DtlsVersion::V12);
    call(BOB, DtlsPart::Passive, TheirVersion::Dtls13, DtlsVersion::V13);
}

#[test]
fn an_ice_restart_of_ours_keeps_the_sound() {
    let mut world = World::new(config(ALICE), TheirVersion::Dtls12);
    world.we_offer();
    world.run(Duration::from_secs(2));
    let offer = world.ours.restart_ice(world.now).expect("an offer");
    world.exchange(&offer);
    world.talk();
    world.check_sound();
    assert!(world.our_events.iter().any(|event| matches!(event, Event::PathChanged { .. })));
}

#[test]
fn copies_are_agreed_on_with_a_peer_that_knows_them() {
    for (side, ours) in [(ALICE, Some(63)), (BOB, Some(63)), (ALICE, None), (BOB, None)] {
        let mut config = config(side);
        config.red_payload_type = ours;
        let mut world = World::with_red(config, TheirVersion::Auto, true);
        if side == ALICE {
            world.we_offer()
        } else {
            world.they_offer()
        }
        assert_eq!(world.ours.media().expect("negotiated").red.is_some(), ours.is_some(), "{side} {ours:?}");
        world.run(Duration::from_secs(2));
        assert!(world.ours.is_connected() && world.theirs.is_connected());
    }
}
