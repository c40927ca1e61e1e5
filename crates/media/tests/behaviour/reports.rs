//! Reports of how packets are received.

use crate::support::{End, config, ms, run_lossy, simulation};
use offhook_media::Device;

#[test]
fn a_listener_reports_what_is_lost_four_times_a_second() {
    let mut simulation = simulation();
    let microphone = simulation.open_microphone(Device::Null).unwrap();
    let (mut alice, mut bob) = (End::open(&simulation), End::open(&simulation));
    alice.stream.attach_microphone(&microphone);
    let mut reports = Vec::new();
    for _ in 0..20 {
        run_lossy(&mut simulation, &mut alice, &mut bob, ms(200), |number| number % 5 != 0);
        reports.extend(std::iter::from_fn(|| bob.port.reports.pop()));
    }
    assert!((14..=16).contains(&reports.len()), "{} in four seconds", reports.len());
    let expected: u32 = reports.iter().map(|report| u32::from(report.expected)).sum();
    assert!((360..=400).contains(&expected), "{expected} of 400 packets");
    let lost: f32 = reports.iter().map(|report| report.loss * f32::from(report.expected)).sum();
    assert!((60.0..=80.0).contains(&lost), "{lost} of 80 losses");
    assert!(reports.iter().all(|report| report.bursts[1..] == [0; 4]), "each alone: {reports:?}");
    assert_eq!(alice.port.reports.pop(), None, "nothing came to alice");
}

#[test]
fn what_the_listener_reports_is_answered_by_copies() {
    let mut simulation = simulation();
    let microphone = simulation.open_microphone(Device::Null).unwrap();
    let mut config = config();
    config.send.red_payload_type = Some(63);
    config.receive.red_payload_type = Some(63);
    let open = || End::open_as(&simulation, &config);
    let (mut alice, mut bob) = (open(), open());
    alice.stream.attach_microphone(&microphone);
    let mut talk = |alice: &mut End, bob: &mut End, feed: bool| {
        for _ in 0..40 {
            run_lossy(&mut simulation, alice, bob, ms(100), |number| number % 5 != 0);
            while let Some(report) = bob.port.reports.pop() {
                assert!(!feed || alice.port.feedback.push(report).is_ok());
            }
        }
        alice.stream.stats().send.red_bytes
    };
    assert_eq!(talk(&mut alice, &mut bob, false), 0, "nothing is known of losses");
    assert!(talk(&mut alice, &mut bob, true) > 0);
    assert!(bob.stream.stats().receive.red > 0);
}
