//! The offers browsers make, and what we answer.

mod common;

use common::{BOB, config};
use offhook_transport::{Direction, Role, SdpError, Session, SessionConfig, SessionError};

const CHROME: &str = include_str!("offers/chrome.sdp");
const FIREFOX: &str = include_str!("offers/firefox.sdp");

fn answering(configure: impl FnOnce(&mut SessionConfig)) -> Session {
    let mut config = config(BOB);
    configure(&mut config);
    let now = now();
    let mut session = Session::new(config, now).expect("a session");
    session.add_local_candidate(now, common::address("192.0.2.9:6000")).expect("a socket");
    session
}

fn now() -> std::time::Instant {
    #[expect(clippy::disallowed_methods, reason = "the virtual clock has to begin somewhere")]
    std::time::Instant::now()
}

fn answer_to(offer: &str) -> (Session, Vec<String>) {
    let mut session = answering(|_| {});
    let answer = session.handle_offer(now(), offer).expect("a browser's offer is answered");
    assert!(answer.ends_with("\r\n"));
    let lines = answer.split_terminator("\r\n").map(str::to_owned).collect();
    (session, lines)
}

/// The lines of one section, without the session's own.
fn section<'a>(lines: &'a [String], kind: &str) -> &'a [String] {
    let start = lines.iter().position(|line| line.starts_with(&format!("m={kind}"))).expect("a section");
    let rest = &lines[start + 1..];
    let end = rest.iter().position(|line| line.starts_with("m=")).unwrap_or(rest.len());
    &lines[start..=start + end]
}

fn has(lines: &[String], line: &str) -> bool {
    lines.iter().any(|known| known == line)
}

#[test]
fn chrome_with_audio_and_video_gets_opus_and_no_video() {
    let (session, lines) = answer_to(CHROME);
    assert!(has(&lines, "a=group:BUNDLE 0"), "only the accepted section is bundled: {lines:#?}");
    let audio = section(&lines, "audio");
    assert_eq!(audio[0], "m=audio 9 UDP/TLS/RTP/SAVPF 111 63 110 126");
    for line in [
        "a=mid:0",
        "a=setup:active",
        "a=sendrecv",
        "a=rtcp-mux",
        "a=rtcp-rsize",
        "a=ice-options:trickle",
        "a=rtpmap:111 opus/48000/2",
        "a=rtcp-fb:111 transport-cc",
        "a=rtpmap:63 red/48000/2",
        "a=fmtp:63 111/111",
        "a=rtpmap:110 telephone-event/48000",
        "a=rtpmap:126 telephone-event/8000",
        "a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level",
        "a=extmap:3 http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01",
    ] {
        assert!(has(audio, line), "{line} is missing: {audio:#?}");
    }
    let wanted = format!("a=fingerprint:sha-256 {}", common::certificate(BOB).fingerprint());
    assert!(has(audio, &wanted));
    assert!(
        audio.iter().any(|line| line.starts_with("a=candidate:") && line.contains("192.0.2.9 6000 typ host"))
    );
    for absent in ["G722", "PCMU", "PCMA", "CN/", "extmap:2 ", "extmap:4 ", "x-offhook"] {
        assert!(!audio.iter().any(|line| line.contains(absent)), "{absent} was not asked for: {audio:#?}");
    }
    let video = section(&lines, "video");
    assert!(video[0].starts_with("m=video 0 UDP/TLS/RTP/SAVPF 96 97 "), "refused, formats repeated");
    assert!(has(video, "a=mid:1") && has(video, "a=inactive"));
    let media = session.media().expect("agreed");
    assert_eq!((media.opus, media.red, media.direction), (111, Some(63), Direction::SendRecv));
    assert_eq!((media.telephone_event_48k, media.telephone_event_8k), (Some(110), Some(126)));
    assert_eq!((media.audio_level_id, media.transport_sequence_id), (Some(1), Some(3)));
    assert!(media.in_band_fec && media.reduced_size_rtcp && !media.dtx && !media.short_reports);
}

#[test]
fn who_wants_no_redundancy_gets_none() {
    let mut session = answering(|config| config.red_payload_type = None);
    let answer = session.handle_offer(now(), CHROME).expect("answered");
    assert!(answer.contains("m=audio 9 UDP/TLS/RTP/SAVPF 111 110 126\r\n"), "{answer}");
    assert!(!answer.contains("red/"), "{answer}");
    assert_eq!(session.media().expect("agreed").red, None);
}

/// What becomes of redundancy when Chrome's two lines about it are these.
fn red_agreed(rtpmap: &str, fmtp: &str) -> Option<u8> {
    let offer = CHROME.replace("a=rtpmap:63 red/48000/2", rtpmap).replace("a=fmtp:63 111/111", fmtp);
    let mut session = answering(|_| {});
    session.handle_offer(now(), &offer).expect("Opus is there whatever is said of redundancy");
    let media = session.media().expect("agreed");
    assert_eq!(media.opus, 111);
    media.red
}

#[test]
fn redundancy_is_taken_with_the_peers_number_and_left_where_it_is_malformed() {
    assert_eq!(red_agreed("a=rtpmap:63 RED/48000/2", "a=fmtp:63 111/111/111"), Some(63));
    assert_eq!(red_agreed("a=rtpmap:63 red/48000/2", "a=x"), Some(63), "no parameters: any format");
    for fmtp in
        ["a=fmtp:63 0/0", "a=fmtp:63 111/0", "a=fmtp:63 111//111", "a=fmtp:63 opus", "a=fmtp:63 999/999"]
    {
        assert_eq!(red_agreed("a=rtpmap:63 red/48000/2", fmtp), None, "{fmtp}");
    }
    for rtpmap in ["a=rtpmap:63 red/8000", "a=rtpmap:63 red/48000", "a=rtpmap:63", "a=rtpmap:64 red/48000/2"]
    {
        assert_eq!(red_agreed(rtpmap, "a=fmtp:63 111/111"), None, "{rtpmap}");
    }
    let two = "a=rtpmap:9 G722/8000\na=fmtp:9 9/9\na=rtpmap:8 red/48000/2\na=rtpmap:63 red/48000/2";
    assert_eq!(
        red_agreed(two, "a=fmtp:63 111/111"),
        Some(63),
        "a number that is none of ours is passed over"
    );
    let other = CHROME.replace(" 111 63 ", " 111 121 120 ").replace(":63 red", ":121 red");
    let other =
        other.replace("a=fmtp:63 111/111", "a=fmtp:121 0/0\na=rtpmap:120 red/48000/2\na=fmtp:120 111/111");
    let (session, lines) = answer_to(&other);
    assert_eq!(session.media().expect("agreed").red, Some(120), "the one that carries Opus");
    assert_eq!(section(&lines, "audio")[0], "m=audio 9 UDP/TLS/RTP/SAVPF 111 120 110 126");
    assert!(has(section(&lines, "audio"), "a=fmtp:120 111/111"));
}

#[test]
fn firefox_with_session_level_attributes_gets_its_own_numbers() {
    let (session, lines) = answer_to(FIREFOX);
    let audio = section(&lines, "audio");
    assert_eq!(audio[0], "m=audio 9 UDP/TLS/RTP/SAVPF 109 101");
    assert!(has(audio, "a=rtpmap:109 opus/48000/2") && has(audio, "a=rtpmap:101 telephone-event/8000"));
    assert!(!audio.iter().any(|line| line.contains("transport-cc") || line.contains("rtcp-rsize")));
    assert!(section(&lines, "video")[0].starts_with("m=video 0 UDP/TLS/RTP/SAVPF 120 124"));
    let media = session.media().expect("agreed");
    assert_eq!((media.opus, media.telephone_event_48k, media.telephone_event_8k), (109, None, Some(101)));
    assert_eq!((media.audio_level_id, media.transport_sequence_id), (Some(1), None));
}

#[test]
fn a_later_offer_of_ours_keeps_the_sections_and_numbers() {
    let (mut session, _) = answer_to(CHROME);
    session.set_direction(Direction::Inactive);
    let offer = session.create_offer().expect("an offer");
    assert!(offer.contains("m=audio 9 UDP/TLS/RTP/SAVPF 111 63 110 126\r\n") && offer.contains("m=video 0 "));
    assert!(offer.contains("a=setup:actpass\r\n") && offer.contains("a=inactive\r\n"));
}

#[test]
fn a_browser_on_hold_is_answered_on_hold() {
    let (session, lines) = answer_to(&CHROME.replacen("a=sendrecv", "a=sendonly", 1));
    assert!(has(section(&lines, "audio"), "a=recvonly"));
    assert_eq!(session.media().expect("agreed").direction, Direction::RecvOnly);
}

#[test]
fn what_cannot_be_used_is_refused_with_its_reason() {
    let refused = |from: &str, to: &str, expected: SdpError| {
        let mut session = answering(|config| config.role = Role::Answerer);
        let changed = CHROME.replace(from, to);
        assert_ne!(changed, CHROME);
        match session.handle_offer(now(), &changed) {
            Err(SessionError::Sdp(error)) => assert_eq!(error, expected),
            other => panic!("{other:?} instead of {expected:?}"),
        }
        assert!(session.media().is_none() && session.handle_offer(now(), CHROME).is_ok(), "nothing changed");
    };
    refused("opus/48000/2", "speex/16000", SdpError::NoOpus);
    refused("a=rtcp-mux\n", "", SdpError::NoRtcpMux);
    refused("m=audio 46154", "m=audio 0", SdpError::AudioRejected);
    refused("m=audio", "m=text", SdpError::NoAudio);
    refused("sha-256", "sha-1", SdpError::Attribute("fingerprint"));
    refused("a=ice-ufrag:EEtu\n", "", SdpError::Attribute("ice-ufrag"));
    refused("gtkKsGyXmXZTGbSjvbGyqA3k", "short", SdpError::Attribute("ice-pwd"));
    refused("a=setup:actpass\n", "", SdpError::Attribute("setup"));
    let long = "a=x:".to_owned() + &"y".repeat(40_000) + "\na=mid:0\n";
    let bytes = CHROME.len() - "a=mid:0\n".len() + long.len();
    let lines = CHROME.lines().count() + 1;
    refused("a=mid:0\n", &long, SdpError::TooLarge { bytes, lines });
}
