//! Calls with aiortc, an independent implementation in Python, over real sockets on the loopback interface.
//!
//! The interpreter is named by `OFFHOOK_PYTHON`, or is the one `scripts/setup.sh test` makes. Without it the tests say that
//! they are skipped; with `OFFHOOK_REQUIRE_AIORTC=1` they fail instead.
#![expect(
    clippy::disallowed_methods,
    reason = "the peer is another process: it needs real sockets and real time"
)]

mod common;

use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use common::{ALICE, BOB, config};
use offhook_transport::{DtlsPart, Event, Output, RtpToSend, Session, SessionConfig, TransportStats};

const SPOKEN_HZ: f64 = 440.0;
const THEIR_HZ: f64 = 880.0;
const TALK_SECONDS: &str = "3";
/// From start to report; the peer itself gives up after 40 s.
const LIMIT: Duration = Duration::from_secs(45);
const FRAME: usize = 960;

fn interpreter() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let python = std::env::var_os("OFFHOOK_PYTHON").map(PathBuf::from);
    let python = python.unwrap_or_else(|| root.join(".tools/venv/bin/python"));
    let check = Command::new(&python).args(["-c", "import aiortc, numpy"]).stderr(Stdio::null()).status();
    if check.is_ok_and(|status| status.success()) {
        return Some(python);
    }
    assert!(
        std::env::var("OFFHOOK_REQUIRE_AIORTC").as_deref() != Ok("1"),
        "{} has no aiortc: run scripts/setup.sh test",
        python.display()
    );
    let _closed = writeln!(
        std::io::stderr(),
        "\n*** SKIPPED: calls with aiortc. {} has no aiortc; run scripts/setup.sh test ***\n",
        python.display()
    );
    None
}

/// The other process; ended with the test, by its own handle.
struct Peer {
    child: Child,
    input: ChildStdin,
    lines: Receiver<serde_json::Value>,
}

impl Peer {
    fn start(python: &Path, part: &str) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/aiortc/peer.py");
        let mut child = Command::new(python)
            .arg(script)
            .args([part, TALK_SECONDS])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the interpreter starts");
        let input = child.stdin.take().expect("piped");
        let output = BufReader::new(child.stdout.take().expect("piped"));
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            let lines = output.lines().map_while(Result::ok);
            let messages = lines.filter_map(|line| serde_json::from_str(&line).ok());
            for message in messages {
                if sender.send(message).is_err() {
                    return;
                }
            }
        });
        Self { child, input, lines }
    }

    fn description(&self) -> String {
        let message = self.lines.recv_timeout(LIMIT).expect("the peer describes itself");
        message["sdp"].as_str().expect("a description").to_owned()
    }

    fn tell(&mut self, sdp: &str) {
        let message = serde_json::json!({ "sdp": sdp }).to_string();
        writeln!(self.input, "{message}").expect("the peer listens");
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ended_already = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// Our end: a session, its socket, a tone to speak and what was heard.
struct Call {
    session: Session,
    socket: UdpSocket,
    encoder: opus::Encoder,
    decoder: opus::Decoder,
    heard: Vec<f32>,
    received: u32,
    events: Vec<Event>,
    spoken: u32,
    next_frame: Option<Instant>,
}

impl Call {
    fn new(config: SessionConfig) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        let mut session = Session::new(config, Instant::now()).expect("a session");
        let local = socket.local_addr().expect("bound");
        session.add_local_candidate(Instant::now(), local).expect("usable");
        let encoder = opus::Encoder::new(48_000, opus::Channels::Mono, opus::Application::Voip);
        Self {
            session,
            socket,
            encoder: encoder.expect("an encoder"),
            decoder: opus::Decoder::new(48_000, opus::Channels::Mono).expect("a decoder"),
            heard: Vec::new(),
            received: 0,
            events: Vec::new(),
            spoken: 0,
            next_frame: None,
        }
    }

    /// Until the peer reports.
    fn run(&mut self, peer: &Peer) -> serde_json::Value {
        let end = Instant::now() + LIMIT;
        loop {
            if let Ok(message) = peer.lines.try_recv() {
                return message["report"].clone();
            }
            let now = Instant::now();
            assert!(now < end && !self.session.is_ended(), "no report in time: {:?}", self.events);
            self.speak_when_due(now);
            let wake = self.drain(now);
            self.receive((wake - now).clamp(Duration::from_millis(1), Duration::from_millis(50)));
        }
    }

    fn speak_when_due(&mut self, now: Instant) {
        if !self.session.is_connected() || self.next_frame.is_some_and(|due| now < due) {
            return;
        }
        self.next_frame = Some(self.next_frame.unwrap_or(now) + Duration::from_millis(20));
        let place = |sample: usize| (self.spoken as usize * FRAME + sample) as f64 / 48_000.0;
        let tone = |sample| (0.4 * (std::f64::consts::TAU * SPOKEN_HZ * place(sample)).sin()) as f32;
        let sound: Vec<f32> = (0..FRAME).map(tone).collect();
        let payload = self.encoder.encode_vec_float(&sound, 1000).expect("encoded");
        let rtp = RtpToSend {
            payload_type: self.session.media().expect("negotiated").opus,
            marker: self.spoken == 0,
            timestamp: self.spoken * FRAME as u32,
            audio_level: None,
            payload: &payload,
        };
        self.session.send_rtp(now, &rtp).expect("connected");
        self.spoken += 1;
    }

    fn drain(&mut self, now: Instant) -> Instant {
        while let Some(rtp) = self.session.poll_rtp() {
            let mut sound = [0.0; 5760];
            let length = self.decoder.decode_float(rtp.payload, &mut sound, false).expect("Opus");
            self.heard.extend(&sound[..length]);
            self.received += 1;
        }
        loop {
            match self.session.poll_output(now) {
                Output::Transmit(transmit) => {
                    // A peer that is not there yet refuses.
                    let _refused = self.socket.send_to(&transmit.contents, transmit.destination);
                }
                Output::Event(event) => self.events.push(event),
                Output::Timeout(at) => return at.min(self.next_frame.unwrap_or(at)),
            }
        }
    }

    fn receive(&mut self, wait: Duration) {
        self.socket.set_read_timeout(Some(wait)).expect("a time-out");
        let mut buffer = [0; 2048];
        let local = self.socket.local_addr().expect("bound");
        match self.socket.recv_from(&mut buffer) {
            Ok((length, remote)) => {
                self.session.handle_datagram(Instant::now(), local, remote, &mut buffer[..length]);
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                self.session.handle_timeout(Instant::now());
            }
            Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionRefused, "{error}"),
        }
    }

    /// How much of what was heard is the peer's tone, 0 to 1 (Goertzel over the last second).
    fn share_of_tone(&self) -> f64 {
        let tail = &self.heard[self.heard.len().saturating_sub(48_000)..];
        let (mut real, mut imaginary, mut energy) = (0.0, 0.0, 1e-9);
        for (place, sample) in tail.iter().enumerate() {
            let angle = std::f64::consts::TAU * THEIR_HZ * place as f64 / 48_000.0;
            let sample = f64::from(*sample);
            real += sample * angle.cos();
            imaginary += sample * angle.sin();
            energy += sample * sample;
        }
        2.0 * (real * real + imaginary * imaginary) / (tail.len() as f64 * energy)
    }
}

fn check(call: &Call, report: &serde_json::Value) {
    let TransportStats { rtt, lost, remote_lost, rejected, dtls, srtp, .. } = call.session.stats();
    let said = format!("{report} {dtls:?} {srtp:?} {rejected:?}, {} received", call.received);
    // What each heard is the other's tone.
    assert!((report["hertz"].as_f64().expect("a number") - SPOKEN_HZ).abs() < 5.0, "{said}");
    assert!((8_000.0..18_000.0).contains(&report["amplitude"].as_f64().expect("a number")), "{said}");
    assert!(call.share_of_tone() > 0.9, "{} of it is their tone: {said}", call.share_of_tone());
    // Two thirds of the talk at least, however busy the machine is; and nothing lost.
    assert!(call.received >= 100 && report["received"].as_u64() >= Some(100), "{said}");
    assert_eq!((lost, report["lost"].as_i64()), (Some(0), Some(0)), "{said}");
    assert!(remote_lost.is_none_or(|lost| lost == 0), "{said}");
    // Both measured the round trip by the other's reports.
    assert!(rtt.is_some_and(|rtt| rtt < Duration::from_secs(1)), "{rtt:?} {said}");
    assert!(report["rtt_ms"].as_f64().is_some_and(|rtt| rtt < 1000.0), "{said}");
    assert_eq!(report["remote_lost"].as_i64(), Some(0), "{said}");
}

fn they_offer(part: DtlsPart) {
    let Some(python) = interpreter() else { return };
    let mut peer = Peer::start(&python, "offer");
    let mut config = config(BOB);
    config.dtls_part = part;
    let mut call = Call::new(config);
    let offer = peer.description();
    let answer = call.session.handle_offer(Instant::now(), &offer).expect("answered");
    peer.tell(&answer);
    let report = call.run(&peer);
    check(&call, &report);
}

#[test]
fn they_offer_and_we_are_the_dtls_client() {
    they_offer(DtlsPart::Active);
}

#[test]
fn they_offer_and_we_are_the_dtls_server() {
    they_offer(DtlsPart::Passive);
}

#[test]
fn we_offer() {
    let Some(python) = interpreter() else { return };
    let mut peer = Peer::start(&python, "answer");
    let mut call = Call::new(config(ALICE));
    let offer = call.session.create_offer().expect("an offer");
    peer.tell(&offer);
    let answer = peer.description();
    call.session.handle_answer(Instant::now(), &answer).expect("taken");
    let report = call.run(&peer);
    check(&call, &report);
}
