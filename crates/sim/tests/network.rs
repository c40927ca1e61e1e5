//! The emulated link does to packets what its configuration says, and nothing else.

use std::time::{Duration, Instant};

use offhook_sim::clock::VirtualClock;
use offhook_sim::net::{
    Bottleneck, DelayStep, Jitter, Link, LinkConfig, LinkConfigError, Loss, Order, Outage, Sent, Stalls,
};

const INTERVAL: Duration = Duration::from_millis(20);

/// Sends `count` packets of 100 bytes, one per 20 ms; gives (packet, one-way delay) in order of arrival.
fn run(config: LinkConfig, count: usize) -> Vec<(usize, Duration)> {
    let clock = VirtualClock::new();
    let mut link = Link::new(config, clock.origin()).expect("a sensible configuration");
    let mut arrivals = Vec::new();
    for k in 0..count {
        drain(&mut link, Some(clock.at(INTERVAL * k as u32)), &clock, &mut arrivals);
        link.send(clock.at(INTERVAL * k as u32), 100, k);
    }
    drain(&mut link, None, &clock, &mut arrivals);
    assert_eq!(link.in_flight(), 0);
    arrivals
}

fn drain(
    link: &mut Link<usize>,
    until: Option<Instant>,
    clock: &VirtualClock,
    arrivals: &mut Vec<(usize, Duration)>,
) {
    while let Some(due) = link.next_due().filter(|due| until.is_none_or(|until| *due <= until)) {
        assert!(link.poll(due - Duration::from_micros(1)).is_none(), "nothing arrives before it is due");
        let k = link.poll(due).expect("what is due arrives");
        arrivals.push((k, due - clock.at(INTERVAL * k as u32)));
    }
}

#[test]
fn a_perfect_link_delivers_everything_at_once_in_order() {
    let arrivals = run(LinkConfig::default(), 50);
    assert_eq!(arrivals, (0..50).map(|k| (k, Duration::ZERO)).collect::<Vec<_>>());
}

#[test]
fn equal_seeds_give_equal_runs_and_others_do_not() {
    let config = |seed| LinkConfig::lossy(seed, 0.1, Duration::from_millis(20));
    assert_eq!(run(config(5), 500), run(config(5), 500));
    assert_ne!(run(config(5), 500), run(config(6), 500));
}

#[test]
fn jitter_does_not_change_which_packets_are_lost() {
    let kept = |jitter| {
        let mut kept: Vec<usize> =
            run(LinkConfig::lossy(3, 0.2, jitter), 400).into_iter().map(|(k, _)| k).collect();
        kept.sort_unstable();
        kept
    };
    assert_eq!(kept(Duration::ZERO), kept(Duration::from_millis(50)));
}

#[test]
fn random_loss_has_its_share() {
    let lost = 5000 - run(LinkConfig::lossy(1, 0.1, Duration::ZERO), 5000).len();
    assert!((440..560).contains(&lost), "{lost}");
}

#[test]
fn uniform_jitter_stays_in_range_and_fifo_keeps_order() {
    let jitter = Duration::from_millis(90);
    let arrivals = run(LinkConfig::lossy(1, 0.0, jitter), 1000);
    assert!(arrivals.is_sorted_by_key(|(k, _)| *k));
    assert!(arrivals.iter().all(|(_, delay)| *delay < jitter));
    assert!(arrivals.iter().any(|(_, delay)| *delay > jitter * 8 / 10));
}

#[test]
fn free_order_lets_packets_overtake() {
    let jitter = Jitter::Uniform { max: Duration::from_millis(90) };
    let arrivals = run(LinkConfig { jitter, order: Order::Free, ..LinkConfig::default() }, 1000);
    assert_eq!(arrivals.len(), 1000);
    assert!(!arrivals.is_sorted_by_key(|(k, _)| *k));
}

#[test]
fn exponential_and_gamma_jitter_have_their_mean() {
    let mean = |jitter| {
        let arrivals = run(LinkConfig { jitter, order: Order::Free, ..LinkConfig::default() }, 5000);
        arrivals.iter().map(|(_, delay)| delay.as_secs_f64() * 1e3).sum::<f64>() / 5000.0
    };
    let exponential = Jitter::Exponential { mean: Duration::from_millis(4), cap: Duration::from_millis(100) };
    assert!((mean(exponential) - 4.0).abs() < 0.4);
    let gamma = Jitter::Gamma { shape: 2.0, scale: Duration::from_millis(6) };
    assert!((mean(gamma) - 12.0).abs() < 0.6);
}

#[test]
fn a_bottleneck_queues_then_drops() {
    // 100 bytes per 20 ms are 40 kb/s into 20 kb/s: the queue grows 20 ms per packet up to 100 ms, then drops half.
    let bottleneck = Some(Bottleneck { bits_per_second: 20_000, queue: Duration::from_millis(100) });
    let arrivals = run(LinkConfig { bottleneck, ..LinkConfig::default() }, 200);
    assert_eq!(arrivals[0].1, Duration::from_millis(40));
    assert_eq!(arrivals[1].1, Duration::from_millis(60));
    let longest = arrivals.iter().map(|(_, delay)| *delay).max().unwrap();
    assert_eq!(longest, Duration::from_millis(140), "a full queue and the packet's own time on the wire");
    assert!((100..110).contains(&arrivals.len()), "{}", arrivals.len());
}

#[test]
fn outages_lose_and_steps_move() {
    let config = LinkConfig {
        delay: Duration::from_millis(10),
        outages: vec![Outage { start: Duration::from_millis(200), length: Duration::from_millis(100) }],
        steps: vec![DelayStep { from: Duration::from_millis(500), delay: Duration::from_millis(90) }],
        ..LinkConfig::default()
    };
    let arrivals = run(config, 50);
    let lost: Vec<usize> = (0..50).filter(|k| !arrivals.iter().any(|(arrived, _)| arrived == k)).collect();
    assert_eq!(lost, [10, 11, 12, 13, 14]);
    let moved = arrivals.iter().filter(|(_, delay)| *delay == Duration::from_millis(90)).count();
    assert_eq!(moved, 25);
}

#[test]
fn a_stall_holds_packets_and_releases_them_together() {
    let stalls = Some(Stalls {
        mean_gap: Duration::from_secs(2),
        shortest: Duration::from_millis(100),
        longest: Duration::from_millis(200),
    });
    let arrivals = run(LinkConfig { stalls, ..LinkConfig::default() }, 3000);
    assert_eq!(arrivals.len(), 3000, "a stall loses nothing");
    let held: Vec<_> = arrivals.iter().filter(|(_, delay)| !delay.is_zero()).collect();
    assert!(held.iter().all(|(_, delay)| *delay <= Duration::from_millis(200)));
    let together =
        held.windows(2).filter(|pair| pair[0].1 == pair[1].1 + INTERVAL * (pair[1].0 - pair[0].0) as u32);
    assert!(together.count() > 50, "several packets of a stall arrive at one instant");
}

#[test]
fn duplicates_arrive_right_behind_their_original() {
    let arrivals = run(LinkConfig { duplication: 0.5, ..LinkConfig::default() }, 1000);
    let copies = arrivals.windows(2).filter(|pair| pair[0].0 == pair[1].0).count();
    assert_eq!(arrivals.len(), 1000 + copies);
    assert!((430..570).contains(&copies), "{copies}");
}

#[test]
fn memory_is_bounded() {
    let clock = VirtualClock::new();
    let config = LinkConfig { delay: Duration::from_secs(1), max_in_flight: 3, ..LinkConfig::default() };
    let mut link = Link::new(config, clock.origin()).unwrap();
    let fates: Vec<bool> = (0..5).map(|k| link.send(clock.now(), usize::MAX, k) == Sent::Dropped).collect();
    assert_eq!(fates, [false, false, false, true, true]);
    assert_eq!((link.in_flight(), link.stats().dropped), (3, 2));
}

#[test]
fn senseless_configurations_are_refused_by_name() {
    let refusal = |config: LinkConfig| Link::<()>::new(config, Instant::now()).unwrap_err();
    let default = LinkConfig::default;
    assert!(matches!(
        refusal(LinkConfig::lossy(1, 1.5, Duration::ZERO)),
        LinkConfigError::Share { field: "loss", .. }
    ));
    assert!(matches!(refusal(LinkConfig::lossy(1, f64::NAN, Duration::ZERO)), LinkConfigError::Share { .. }));
    let burst = Loss::GilbertElliott { loss: 0.9, mean_burst: 2.0 };
    assert!(matches!(refusal(LinkConfig { loss: burst, ..default() }), LinkConfigError::Burst { .. }));
    let bottleneck = Some(Bottleneck { bits_per_second: 0, queue: Duration::ZERO });
    assert_eq!(refusal(LinkConfig { bottleneck, ..default() }), LinkConfigError::ZeroRate);
    let gamma = Jitter::Gamma { shape: f64::NAN, scale: Duration::ZERO };
    assert!(matches!(refusal(LinkConfig { jitter: gamma, ..default() }), LinkConfigError::GammaShape { .. }));
    let delay = Duration::MAX;
    assert!(matches!(
        refusal(LinkConfig { delay, ..default() }),
        LinkConfigError::TooLong { field: "delay", .. }
    ));
    let steps = [2, 1].map(|s| DelayStep { from: Duration::from_secs(s), delay: Duration::ZERO }).to_vec();
    assert_eq!(refusal(LinkConfig { steps, ..default() }), LinkConfigError::StepsOutOfOrder);
}
