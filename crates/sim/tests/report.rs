//! The report is one safe, self-contained page that says everything it was given.

use std::time::Duration;

use offhook_sim::measure::compare;
use offhook_sim::report::{
    CallReport, DelaySample, Direction, Envelope, Figure, LatencyPart, Mark, MarkKind, Side, TimelineEvent,
    Verdict,
};
use offhook_sim::sound::synthetic_speech;

const LENGTH: Duration = Duration::from_secs(12);

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

fn direction(speaker: &str, listener: &str, seed: u64) -> Direction {
    let spoken = synthetic_speech(LENGTH, seed);
    let mut heard = [vec![0.0; 1850], spoken[..LENGTH.as_secs() as usize * 48_000 / 2].to_vec()].concat();
    heard.extend([vec![0.0; 480], spoken[spoken.len() / 2..].to_vec()].concat());
    heard[150_000..153_000].fill(0.0);
    let comparison = compare(&spoken, &heard);
    let delay = comparison.mouth_to_ear.expect("heard holds spoken").p50;
    let mark = |at, length, kind| Mark { at: ms(at), length: ms(length), kind };
    let mut direction = Direction::measured(speaker, listener, (&spoken, &heard), &comparison);
    direction.marks.extend([
        mark(3100, 0, MarkKind::Lost),
        mark(5200, 40, MarkKind::Concealed),
        mark(8000, 20, MarkKind::Recovered),
    ]);
    let median = Some(format!("{:.1}", delay.as_secs_f64() * 1e3));
    direction.figures = vec![
        Figure::new("Mouth to ear, median", median, "ms", "half of the time it was shorter"),
        Figure::new("Packets sent / received / lost", Some("600 / 599 / 1".into()), "", ""),
        Figure::new("Clock drift", None, "ppm", "how much the two sound devices' clocks differ"),
    ];
    direction
}

#[test]
fn a_measured_direction_marks_the_gap_where_it_was_heard() {
    // Samples 150000 to 153000 of what was heard are silent: 3.125 s, for 62 ms.
    let direction = direction("alice", "bob", 21);
    // Gaps of 20 ms, the shortest that can be told, may be found where the delay steps by 10 ms.
    let is_gap = |mark: &&Mark| mark.kind == MarkKind::Gap && mark.length > ms(20);
    let gaps: Vec<&Mark> = direction.marks.iter().filter(is_gap).collect();
    assert_eq!(gaps.len(), 1, "{gaps:?}");
    assert!(gaps[0].at.abs_diff(ms(3125)) < ms(15), "{gaps:?}");
    assert!((ms(45)..=ms(70)).contains(&gaps[0].length), "{gaps:?}");
    assert_eq!((direction.spoken.columns.len(), direction.heard_level.len()), (900, 240));
    assert!(!direction.delay.is_empty());
}

fn sample() -> CallReport {
    let event = |at, side, name: &str, detail: &str| TimelineEvent {
        at: ms(at),
        side,
        name: name.into(),
        detail: detail.into(),
    };
    let part = |name: &str, share, hint: &str| LatencyPart {
        name: name.into(),
        share: ms(share),
        hint: hint.into(),
    };
    CallReport {
        title: "Offhook demo call".into(),
        subtitle: "alice calls bob over loopback, 12 s, 10 % loss".into(),
        verdict: Verdict::Good,
        summary: "Both sides heard each other; one packet was lost.".into(),
        duration: LENGTH,
        figures: vec![
            Figure::new("Mouth to ear", Some("38.5".into()), "ms", "median of both directions"),
            Figure::new("Likeness", Some("0.981".into()), "of 1", "heard against spoken"),
            Figure::new("Set-up", Some("31".into()), "ms", "call to ringing"),
            Figure::new("Listening quality", None, "MOS", "1 bad to 5 excellent"),
        ],
        directions: vec![direction("alice", "bob", 21), direction("bob", "alice", 22)],
        events: vec![
            event(0, Side::Caller, "Init", "call_user(\"bob\")"),
            event(12, Side::Server, "Routed", "1 device"),
            event(14, Side::Callee, "IncomingCall", ""),
            event(31, Side::Caller, "Ringing", ""),
            event(520, Side::Callee, "Answered", "by hand <after 500 ms>"),
            event(533, Side::Caller, "Answered", ""),
            event(604, Side::Caller, "Established", "ICE host/host, DTLS 1.3"),
            event(608, Side::Callee, "Established", ""),
            event(12_610, Side::Caller, "Ended", "HungUp"),
            event(12_613, Side::Callee, "Ended", "HungUp"),
        ],
        latency: vec![
            part("Capture", 5, "the microphone side's own buffer"),
            part("Packet", 20, "sound is collected until a packet is full"),
            part("Codec look-ahead", 7, "Opus looks a little ahead"),
            part("Jitter buffer", 11, "waits so that late packets are not missed"),
            part("Playout", 5, "the speaker side's own buffer"),
        ],
        notes: vec!["Likeness is the energy-weighted correlation in 0.1 to 4 kHz after alignment.".into()],
    }
}

/// Also leaves the page on disk, to be looked at.
#[test]
fn the_page_is_self_contained_and_complete() {
    let html = sample().to_html();
    std::fs::write(concat!(env!("CARGO_TARGET_TMPDIR"), "/report.html"), &html).unwrap();
    for outside in ["http:", "https:", "<script", "<link", "@import", "url(", "src="] {
        assert!(!html.contains(outside), "{outside}");
    }
    for told in [
        "alice speaks, bob hears",
        "bob speaks, alice hears",
        "Established",
        "HungUp",
        "Jitter buffer",
        "38.5",
    ] {
        assert!(html.contains(told), "{told}");
    }
    assert_eq!(html.matches("not measured").count(), 3, "what was not measured says so");
    assert_eq!(html.matches("<svg").count(), 9, "three plots per direction, set-up, whole call, latency");
    assert!(html.contains("prefers-color-scheme: dark"));
    assert!(html.len() < 400_000, "{} bytes", html.len());
}

#[test]
fn every_text_is_escaped() {
    let hostile = "</title><img onerror='x' \"&\u{0}";
    let mut report = sample();
    let texts = [&mut report.title, &mut report.subtitle, &mut report.summary];
    texts.into_iter().for_each(|text| *text = hostile.into());
    report.notes = vec![hostile.into()];
    report.figures = vec![Figure::new(hostile, Some(hostile.into()), hostile, hostile)];
    report.events[0].name = hostile.into();
    report.events[0].detail = hostile.into();
    report.latency[0] = LatencyPart { name: hostile.into(), share: ms(1), hint: hostile.into() };
    let one = &mut report.directions[0];
    (one.speaker, one.listener) = (hostile.into(), hostile.into());
    one.figures = vec![Figure::new(hostile, Some(hostile.into()), hostile, hostile)];
    let html = report.to_html();
    assert!(!html.contains("<img") && !html.contains("onerror='") && !html.contains('\u{0}'));
    assert!(html.contains("&lt;img onerror=&#39;x&#39; &quot;&amp;"));
}

#[test]
fn damaged_values_do_not_break_the_drawing() {
    let mut report = sample();
    report.duration = Duration::ZERO;
    report.directions[0].spoken.columns = vec![[f32::NAN, f32::INFINITY]; 3];
    report.directions[0].heard = Envelope::of(&[], 100);
    report.directions[0].delay = vec![DelaySample { at: Duration::MAX, delay: Duration::MAX }];
    report.directions[0].marks =
        vec![Mark { at: Duration::MAX, length: Duration::MAX, kind: MarkKind::Late }];
    report.latency[0].share = Duration::MAX;
    report.events.clear();
    let html = report.to_html();
    assert!(!html.contains("NaN") && !html.contains("inf\""));
}

#[test]
fn a_report_can_be_drawn_again_from_its_json() {
    let report = sample();
    let json = serde_json::to_string(&report).unwrap();
    assert!(json.contains("\"duration\":12.0"));
    let again: CallReport = serde_json::from_str(&json).unwrap();
    assert_eq!(again.to_html(), report.to_html());
}
