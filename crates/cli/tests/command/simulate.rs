//! `offhook simulate` and `offhook replay`: what is heard can be measured, is the same every time, and wrong input is named.

use std::fs;
use std::path::Path;
use std::time::Duration;

use offhook_media_core::recording::{FlightRecorder, Kept};
use offhook_media_core::recv::IncomingPacket;
use offhook_media_core::units::MediaTime;
use offhook_sim::measure::compare;
use offhook_sim::sound::{load_wav, save_wav, synthetic_speech};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{Finished, run};

const SECONDS: u64 = 8;

/// A folder with speech and a trace: 5 s with one packet in ten lost and up to 15 ms of jitter, then again from its beginning.
fn prepared() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    save_wav(&folder.path().join("spoken.wav"), &synthetic_speech(Duration::from_secs(SECONDS), 5)).unwrap();
    let fate = |k: u32| {
        let sent = 20 * k;
        if k % 10 == 7 {
            format!("{k},{sent},lost\n")
        } else {
            format!("{k},{sent},{}\n", sent + 30 + k * 7 % 15)
        }
    };
    let rows: String = (0..250).map(fate).collect();
    fs::write(folder.path().join("trace.csv"), format!("k,send_ms,arrival_ms\n{rows}")).unwrap();
    folder
}

/// Runs `simulate` in a folder; what is heard is `heard.wav` in it.
fn simulate(folder: &Path, options: &[&str]) -> Finished {
    let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let (trace, input, output) = (path("trace.csv"), path("spoken.wav"), path("heard.wav"));
    let mut arguments = vec!["simulate", "--trace", &trace, "--input", &input, "--output", &output];
    arguments.extend(options);
    run(&arguments)
}

fn number(outcome: &Value, pointer: &str) -> f64 {
    outcome.pointer(pointer).and_then(Value::as_f64).unwrap_or_else(|| panic!("{pointer} in {outcome}"))
}

#[test]
fn the_delay_told_is_the_delay_heard() {
    let folder = prepared();
    let outcome = simulate(folder.path(), &["--json"]).json();
    let spoken = load_wav(&folder.path().join("spoken.wav")).unwrap();
    let heard = load_wav(&folder.path().join("heard.wav")).unwrap();
    let measured = compare(&spoken, &heard).mouth_to_ear.unwrap();
    let told = number(&outcome, "/delay_ms/p50");
    assert!((told - measured.p50.as_secs_f64() * 1e3).abs() < 2.0, "{told} told, {measured:?} heard");
    assert!(
        number(&outcome, "/delay_ms/p95") >= told && number(&outcome, "/delay_ms/mean") > 60.0,
        "{outcome}"
    );
    let length = heard.len() as f64 / 48_000.0;
    assert!((SECONDS as f64..SECONDS as f64 + 1.0).contains(&length), "{length}");
    assert_eq!((number(&outcome, "/heard_s") * 48_000.0).round(), heard.len() as f64);
    let lost = number(&outcome, "/packets_lost");
    assert!((38.0..=42.0).contains(&lost), "{lost} of 400 packets");
    let network = number(&outcome, "/network_ms");
    assert!((30.0..45.0).contains(&network), "{network}");
    let kinds = ["decoded", "red", "fec", "dred", "concealed", "comfort_noise", "lead_in", "expanded"];
    let sum: f64 = kinds.iter().map(|kind| number(&outcome, &format!("/time_ms/{kind}"))).sum();
    let gone: f64 =
        ["accelerated", "skipped"].iter().map(|kind| number(&outcome, &format!("/time_ms/{kind}"))).sum();
    assert!(sum - gone >= length * 1e3 - 1.0, "{sum} made, {gone} gone, {length} s heard");
    assert!(number(&outcome, "/wire_bps") > number(&outcome, "/payload_bps") + 20_000.0);
    assert!(number(&outcome, "/r_factor") > 50.0 && number(&outcome, "/cpu_s") > 0.0, "{outcome}");
}

#[test]
fn the_same_input_gives_the_same_bytes() {
    let folder = prepared();
    let heard = |seed: &str| {
        let finished = simulate(folder.path(), &["--seed", seed, "--ptime", "40"]);
        assert_eq!(finished.code(), 0, "{finished:?}");
        assert!(finished.stdout.contains("spoken to heard"), "{}", finished.stdout);
        fs::read(folder.path().join("heard.wav")).unwrap()
    };
    let first = heard("1");
    assert!(first == heard("1") && first == heard("2"), "numbers of the wire are not heard");
}

#[test]
fn it_draws_a_page_and_writes_a_timeline() {
    let folder = prepared();
    let (page, timeline) = (folder.path().join("page.html"), folder.path().join("timeline.csv"));
    let options = ["--report", page.to_str().unwrap(), "--timeline", timeline.to_str().unwrap()];
    assert_eq!(simulate(folder.path(), &options).code(), 0);
    let page = fs::read_to_string(page).unwrap();
    for expected in ["<svg", "delay wanted", "delay played", "packet lost", "R factor"] {
        assert!(page.contains(expected), "{expected}");
    }
    let timeline = fs::read_to_string(timeline).unwrap();
    let heard = load_wav(&folder.path().join("heard.wav")).unwrap();
    assert_eq!(timeline.lines().count(), 1 + heard.len() / 240);
    let columns = timeline.lines().next().unwrap().split(',').count();
    assert!(timeline.lines().all(|line| line.split(',').count() == columns));
}

#[test]
fn wrong_input_is_named() {
    let folder = prepared();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    fs::write(path("text.csv"), "not a trace\n").unwrap();
    fs::write(path("row.csv"), "k,send_ms,arrival_ms\n0,0,5\n1,20,-3\n").unwrap();
    fs::write(path("empty.csv"), "k,send_ms,arrival_ms\n").unwrap();
    fs::write(path("far.csv"), "k,send_ms,arrival_ms\n0,0,5\n1,20,70000\n").unwrap();
    fs::write(path("text.wav"), "not sound").unwrap();
    save_wav(Path::new(&path("silent.wav")), &[]).unwrap();
    for (options, code, reason) in [
        (["--trace", &path("none.csv")], 2, "none.csv"),
        (["--trace", &path("text.csv")], 2, "the first line is not"),
        (["--trace", &path("row.csv")], 2, "line 3"),
        (["--trace", &path("empty.csv")], 2, "no packets"),
        (["--trace", &path("far.csv")], 2, "packet 1 of the trace"),
        (["--input", &path("none.wav")], 6, "none.wav"),
        (["--input", &path("text.wav")], 6, "text.wav"),
        (["--input", &path("silent.wav")], 6, "no samples"),
        (["--output", &path("no/such/folder.wav")], 6, "--output"),
        (["--report", &path("no/such/page.html")], 2, "--report"),
        (["--timeline", &path("no/such/timeline.csv")], 2, "--timeline"),
        (["--ptime", "15"], 2, "5, 10, 20, 40 or 60"),
        (["--redundancy", "much"], 2, "auto"),
        (["--bitrate", "5"], 2, "6000..=510000"),
        (["--seed", "one"], 2, "--seed"),
    ] {
        let mut given = vec!["simulate"];
        let all = [
            ("--trace", path("trace.csv")),
            ("--input", path("spoken.wav")),
            ("--output", path("heard.wav")),
        ];
        let rest = all.iter().filter(|(name, _)| *name != options[0]);
        given.extend(rest.flat_map(|(name, value)| [*name, value.as_str()]));
        given.extend(options);
        let wrong = run(&given);
        assert_eq!(wrong.code(), code, "{options:?}: {wrong:?}");
        assert!(wrong.stderr.contains(reason), "{options:?}: {}", wrong.stderr);
        assert_eq!(wrong.stdout, "", "{options:?}");
    }
}

/// A recording of silence in packets of 20 ms, each tenth lost.
fn recording(kept: Kept) -> Vec<u8> {
    let mut recorder = FlightRecorder::new(kept, 1 << 20);
    for number in (0..200_u16).filter(|number| number % 10 != 5) {
        recorder.packet(&IncomingPacket {
            arrival: MediaTime::from_micros(20_000 * i64::from(number)),
            payload_type: 111,
            marker: false,
            ssrc: 1,
            sequence: number,
            timestamp: 960 * u32::from(number),
            payload: &[0x48, 0xff, 0xfe],
        });
    }
    recorder.to_bytes()
}

#[test]
fn a_recording_is_played_and_drawn() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    fs::write(path("call.rec"), recording(Kept::Sound)).unwrap();
    let options = ["--output", &path("heard.wav"), "--report", &path("page.html"), "--json"];
    let finished = run(&[&["replay", &path("call.rec")], &options[..]].concat());
    assert_eq!(finished.code(), 0, "{finished:?}");
    let outcome = finished.json();
    assert_eq!((number(&outcome, "/packets_sent"), number(&outcome, "/packets_lost")), (200.0, 20.0));
    assert!(outcome["r_factor"].is_null() && outcome["spoken_s"].is_null(), "{outcome}");
    let heard = load_wav(Path::new(&path("heard.wav"))).unwrap();
    assert!(heard.len() > 4 * 48_000, "{}", heard.len());
    assert!(fs::read_to_string(path("page.html")).unwrap().contains("arrivals and sound"));
}

#[test]
fn a_file_that_is_no_recording_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    fs::write(path("text.rec"), "not a recording").unwrap();
    let whole = recording(Kept::Arrivals);
    fs::write(path("cut.rec"), &whole[..whole.len() - 1]).unwrap();
    fs::write(path("silent.rec"), &whole).unwrap();
    for (arguments, reason) in [
        (&[path("none.rec")][..], "none.rec"),
        (&[path("text.rec")], "no flight recording"),
        (&[path("cut.rec")], "cut off"),
        (&[path("silent.rec"), "--output".into(), path("heard.wav")], "holds no sound"),
    ] {
        let mut given = vec!["replay"];
        given.extend(arguments.iter().map(String::as_str));
        let wrong = run(&given);
        assert_eq!((wrong.code(), wrong.stdout.as_str()), (2, ""), "{arguments:?}: {wrong:?}");
        assert!(wrong.stderr.contains(reason), "{arguments:?}: {}", wrong.stderr);
    }
}
