//! One packet of 120 Opus bytes through the transport: header parse, and a whole way from `send_rtp` at one end to `poll_rtp` at the other.

use std::hint::black_box;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use offhook_transport::rtp_header::RtpHeader;
use offhook_transport::{
    AudioLevel, Certificate, DtlsVersions, Event, Output, Role, RtpToSend, Session, SessionConfig,
};

const PAYLOAD: [u8; 120] = [0x78; 120];

/// Two sessions that exchange datagrams at once, in virtual time.
struct Pair {
    now: Instant,
    ends: [Session; 2],
    addresses: [SocketAddr; 2],
    timestamp: u32,
}

impl Pair {
    fn connected(dtls: DtlsVersions) -> Self {
        let now = Instant::now();
        let addresses = [SocketAddr::from(([127, 0, 0, 1], 4000)), SocketAddr::from(([127, 0, 0, 1], 4001))];
        let session = |role| {
            let certificate = Certificate::generate().expect("randomness for a certificate");
            let config = SessionConfig { dtls, ..SessionConfig::new(Arc::new(certificate), role) };
            Session::new(config, now).expect("a valid configuration")
        };
        let mut ends = [session(Role::Offerer), session(Role::Answerer)];
        for (end, address) in ends.iter_mut().zip(addresses) {
            end.add_local_candidate(now, address).expect("a loopback address");
            end.end_of_local_candidates(now);
        }
        let offer = ends[0].create_offer().expect("a new session makes an offer");
        let answer = ends[1].handle_offer(now, &offer).expect("our own offer");
        ends[0].handle_answer(now, &answer).expect("our own answer");
        let mut pair = Self { now, ends, addresses, timestamp: 0 };
        for _ in 0..2000 {
            if pair.ends.iter().all(Session::is_connected) {
                return pair;
            }
            pair.exchange();
            pair.now += Duration::from_millis(5);
            for end in &mut pair.ends {
                end.handle_timeout(pair.now);
            }
        }
        panic!("the two ends do not connect");
    }

    /// Delivers what both ends have to say until neither has anything.
    fn exchange(&mut self) {
        loop {
            let mut moved = false;
            for from in 0..2 {
                while let Some((contents, source)) = self.next_transmit(from) {
                    moved = true;
                    let to = 1 - from;
                    let mut datagram = contents.to_vec();
                    self.ends[to].handle_datagram(self.now, self.addresses[to], source, &mut datagram);
                }
            }
            if !moved {
                return;
            }
        }
    }

    fn next_transmit(&mut self, end: usize) -> Option<(bytes::Bytes, SocketAddr)> {
        loop {
            match self.ends[end].poll_output(self.now) {
                Output::Transmit(transmit) => return Some((transmit.contents, transmit.source)),
                Output::Event(Event::LocalCandidate(line)) => {
                    let _ = self.ends[1 - end].add_remote_candidate(self.now, &line);
                }
                Output::Event(_) => {}
                Output::Timeout(_) => return None,
            }
        }
    }

    fn one_packet(&mut self) {
        self.timestamp = self.timestamp.wrapping_add(960);
        self.now += Duration::from_micros(20);
        let packet = RtpToSend {
            payload_type: 111,
            marker: false,
            timestamp: self.timestamp,
            audio_level: Some(AudioLevel { below_full_scale: 30, voice: true }),
            payload: &PAYLOAD,
        };
        self.ends[0].send_rtp(self.now, &packet).expect("the session is connected");
        self.exchange();
        while let Some(packet) = self.ends[1].poll_rtp() {
            black_box(packet.payload);
        }
    }
}

fn transport(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("transport");
    group.throughput(Throughput::Elements(1));
    let mut packet =
        vec![0x90, 111, 0, 1, 0, 0, 0, 1, 0, 0, 0, 9, 0xbe, 0xde, 0, 2, 0x10, 0x9e, 0x31, 0, 7, 0, 0, 0];
    packet.extend_from_slice(&PAYLOAD);
    group.bench_function("RTP header, our validated parse", |bencher| {
        bencher.iter(|| black_box(RtpHeader::parse(black_box(&packet))));
    });
    group.bench_function("RTP header, the rtp crate", |bencher| {
        use webrtc_util::marshal::Unmarshal;
        bencher.iter(|| black_box(rtp::header::Header::unmarshal(&mut black_box(&packet[..]))));
    });
    for (name, dtls) in [("1.2", DtlsVersions::Only12), ("newest", DtlsVersions::Auto)] {
        let mut pair = Pair::connected(dtls);
        group.bench_function(format!("protect, unprotect and account, keys of DTLS {name}"), |bencher| {
            bencher.iter(|| pair.one_packet());
        });
    }
    group.finish();
}

criterion_group!(benches, transport);
criterion_main!(benches);
