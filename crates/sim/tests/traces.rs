//! Traces: the CSV format, the generated kinds, replay.

use std::time::Duration;

use offhook_sim::clock::VirtualClock;
use offhook_sim::trace::{RowProblem, Trace, TraceError, TraceKind, TraceLink, TracePacket};

const SAMPLE: &str = "k,send_ms,arrival_ms\n0,0.000,12.5\n1,20.000,lost\n2,40.000,51.000\n";

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// Delay in milliseconds of the packets that arrived; negative where the receiver's clock is behind.
fn delays(trace: &Trace) -> Vec<f64> {
    let delay =
        |packet: &TracePacket| Some((packet.arrived?.as_secs_f64() - packet.sent.as_secs_f64()) * 1e3);
    trace.packets.iter().filter_map(delay).collect()
}

fn largest(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::MIN, f64::max)
}

#[test]
fn reads_the_format_and_writes_it_back() {
    let trace = Trace::parse(SAMPLE).unwrap();
    assert_eq!(trace.packets[0].arrived, Some(Duration::from_micros(12_500)));
    assert_eq!(trace.packets[1], TracePacket { sent: ms(20), arrived: None });
    assert!((trace.loss() - 1.0 / 3.0).abs() < 1e-9);
    assert_eq!(Trace::parse(&trace.to_csv()).unwrap(), trace);
    assert!(trace.to_csv().contains("\n0,0.000,12.500\n"));
}

#[test]
fn says_what_is_wrong_and_where() {
    let problem = |rows: &str| match Trace::parse(&format!("k,send_ms,arrival_ms\n{rows}")) {
        Err(TraceError::Row { line, problem }) => (line, problem),
        other => panic!("{other:?}"),
    };
    assert!(matches!(Trace::parse("a,b,c\n0,0,0"), Err(TraceError::Header)));
    assert!(matches!(Trace::parse(""), Err(TraceError::Header)));
    assert_eq!(problem("0,0,0\n1,20"), (3, RowProblem::Fields));
    assert_eq!(problem("0,0,0,0"), (2, RowProblem::Fields));
    assert_eq!(problem("1,0,0"), (2, RowProblem::Number));
    assert_eq!(problem("0,NaN,0"), (2, RowProblem::Time));
    assert_eq!(problem("0,0,-1"), (2, RowProblem::Time));
    assert_eq!(problem("0,0,1e30"), (2, RowProblem::Time));
    assert_eq!(problem("0,20,20\n1,0,20"), (3, RowProblem::SendOrder));
}

#[test]
fn a_missing_file_is_a_typed_error() {
    let missing = std::path::Path::new("/nonexistent/trace.csv");
    assert!(matches!(Trace::load(missing), Err(TraceError::Io { .. })));
}

#[test]
fn every_kind_is_first_in_first_out_and_depends_on_the_seed_only() {
    for kind in TraceKind::ALL {
        assert_eq!(TraceKind::from_name(kind.name()), Some(kind));
        let trace = kind.generate(40);
        assert_eq!(trace.packets.len(), 3000);
        assert_eq!(trace, kind.generate(40));
        let arrivals: Vec<Duration> = trace.packets.iter().filter_map(|packet| packet.arrived).collect();
        assert!(arrivals.is_sorted(), "{}", kind.name());
        assert_eq!(Trace::parse(&trace.to_csv()).unwrap(), trace);
    }
    assert_ne!(TraceKind::WifiStalls.generate(1), TraceKind::WifiStalls.generate(2));
}

#[test]
fn the_kinds_have_their_loss() {
    let expected = [
        (TraceKind::Clean, 0.0, 0.0),
        (TraceKind::Loss5, 0.05, 0.012),
        (TraceKind::Loss10, 0.10, 0.02),
        (TraceKind::Loss20, 0.20, 0.025),
        (TraceKind::Loss10Bursty, 0.10, 0.04),
        (TraceKind::Loss30Bursty, 0.30, 0.06),
        (TraceKind::WifiStalls, 0.05, 0.025),
        (TraceKind::MobileStalls, 0.01, 0.007),
        (TraceKind::HandoverOutage400, 20.0 / 3000.0, 0.0),
        (TraceKind::Outage1s, 50.0 / 3000.0, 0.0),
    ];
    for (kind, loss, tolerance) in expected {
        let found = kind.generate(40).loss();
        assert!((found - loss).abs() <= tolerance, "{}: {found}", kind.name());
    }
}

#[test]
fn the_kinds_have_their_delay() {
    let uniform = delays(&TraceKind::JitterUniform20.generate(40));
    assert!(uniform.iter().all(|delay| (0.0..=20.0).contains(delay)) && largest(&uniform) > 19.0);
    let patch = delays(&TraceKind::BadPatch5s.generate(40));
    assert!(largest(&patch[..750]) <= 8.0 && largest(&patch[750..1000]) > 60.0);
    let wifi = delays(&TraceKind::WifiStalls.generate(40));
    assert!((100.0..=215.0).contains(&largest(&wifi)), "{}", largest(&wifi));
    let step = delays(&TraceKind::RouteStep80.generate(40));
    assert!(largest(&step[..1000]) < 30.001 && step[1000..2000].iter().all(|delay| *delay >= 100.0));
    let drift = delays(&TraceKind::DriftMinus200Ppm.generate(40));
    assert!((drift[0] - 12.0).abs() < 1e-6 && (drift[2999] - 0.004).abs() < 1e-3);
}

#[test]
fn the_kth_packet_meets_the_kth_fate_and_the_trace_begins_again() {
    let clock = VirtualClock::new();
    let mut link = TraceLink::new(Trace::parse(SAMPLE).unwrap(), clock.origin());
    for k in 0..6u64 {
        link.send(clock.at(ms(100 * k)), k);
    }
    let mut arrivals = Vec::new();
    while let Some(due) = link.next_due() {
        arrivals.push((link.poll(due).unwrap(), (due - clock.origin()).as_micros()));
    }
    assert_eq!(arrivals, [(0, 12_500), (2, 211_000), (3, 312_500), (5, 511_000)]);
}
