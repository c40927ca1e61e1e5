//! What the receive path makes of networks of known kinds, in delay, order and completeness.

use crate::support::{Dice, Listener, PACKET_MICROS, Sent, Shift, long_run, stream};
use offhook_media_core::jitter::ReceiveStats;

const SECOND: i64 = 1_000_000;

fn played(packets: &[Sent], quantum: usize, seconds: i64) -> (Listener, ReceiveStats) {
    let mut listener = Listener::new(Shift::default());
    listener.run(packets, quantum, seconds * SECOND);
    let stats = listener.pipeline.stats();
    (listener, stats)
}

/// Microseconds from capture to play at each 5 ms, one frame included; made-up and blended sound is left out.
fn latencies(listener: &Listener) -> Vec<(i64, i64)> {
    let samples = listener.heard.iter().enumerate().step_by(240);
    samples
        .filter(|(n, sample)| {
            let next = listener.heard.get(n + 1);
            **sample >= 1.0 && next.is_some_and(|next| (next - **sample - 1.0).abs() < 0.3)
        })
        .map(|(n, sample)| (n as i64 * 125 / 6, (n as i64 - (*sample as i64 - 1)) * 125 / 6))
        .collect()
}

fn mean_latency(listener: &Listener, from: i64, until: i64) -> i64 {
    let of_span: Vec<i64> = latencies(listener)
        .into_iter()
        .filter(|(at, _)| (from..until).contains(at))
        .map(|(_, latency)| latency)
        .collect();
    assert!(!of_span.is_empty());
    of_span.iter().sum::<i64>() / of_span.len() as i64
}

#[test]
fn a_clean_network_is_played_whole_in_order_and_at_once() {
    for (quantum, most) in [(120, 3500), (240, 6000), (441, 11_000), (480, 11_000)] {
        let (listener, stats) = played(&stream(1500, false, |_| Some(0)), quantum, 30);
        assert_eq!((stats.concealed, stats.fec, stats.stretches, stats.packets_late), (0, 0, 0, 0));
        let first = listener.heard.iter().position(|sample| *sample > 0.0).unwrap();
        assert!(
            listener.heard[first..].windows(2).all(|pair| pair[1] == pair[0] + 1.0),
            "pulls of {quantum}"
        );
        assert!(first as i64 * 125 / 6 <= PACKET_MICROS + 11_000, "first sound at {first}");
        let buffer = mean_latency(&listener, 0, 30 * SECOND) - PACKET_MICROS;
        assert!(buffer <= most, "pulls of {quantum}: {buffer}");
    }
}

#[test]
fn packets_that_were_held_up_together_are_late_once() {
    // Six packets come within a millisecond after 100 ms of nothing, on either side of a pull.
    for around in [-900, -500, -100, 100] {
        let delay = |k: u32| {
            let comes = 217 * PACKET_MICROS + around + (i64::from(k) - 210) * 200;
            if (210..216).contains(&k) { comes - i64::from(k + 1) * PACKET_MICROS } else { 0 }
        };
        let (_, stats) = played(&stream(400, false, |k| Some(delay(k))), 240, 8);
        assert!(stats.expanded < 48 * 20, "{around}: {stats:?}");
    }
}

#[test]
fn uniform_jitter_costs_its_span() {
    let mut dice = Dice(1);
    let (listener, stats) = played(&stream(3000, false, |_| Some(dice.below(20_000) as i64)), 240, 59);
    assert!(stats.concealed < 48 * 40, "{stats:?}");
    let buffer = mean_latency(&listener, 5 * SECOND, 59 * SECOND) - PACKET_MICROS;
    assert!(buffer <= 28_000, "{buffer}");
}

#[test]
fn lost_packets_come_back_from_their_successors() {
    let mut dice = Dice(2);
    let (_, stats) = played(&stream(3000, true, |_| (dice.below(10) > 0).then_some(0)), 240, 59);
    assert!(stats.packets_lost > 200);
    assert!(stats.fec > 8 * stats.concealed, "{stats:?}");
}

#[test]
fn a_second_that_was_lost_is_heard_late_and_the_call_is_live_again_soon() {
    for every in [1, 4, 10] {
        let mut packets = stream(1500, false, |k| (!(500..550).contains(&k)).then_some(0));
        for packet in packets.iter_mut().filter(|packet| u32::from(packet.sequence) % every == 0) {
            packet.deep = 104;
        }
        let (listener, stats) = played(&packets, 240, 29);
        let lost = 500 * 960..550 * 960;
        let mut heard: Vec<i64> = listener.heard.iter().map(|sample| *sample as i64 - 1).collect();
        heard.retain(|time| lost.contains(time));
        heard.sort_unstable();
        heard.dedup();
        // To catch up some of its periods fade into the next.
        assert!(heard.len() >= 60 * 480, "{every}: {} samples of the lost second, {stats:?}", heard.len());
        assert!(stats.dred >= 9 * 4800, "{every}: {stats:?}");
        let before = mean_latency(&listener, 5 * SECOND, 10 * SECOND);
        let after = mean_latency(&listener, 12_500_000, 29 * SECOND);
        assert!((after - before).abs() <= 5000, "{every}: {before} then {after}");
        // A second and a half after the outage.
        let soon = mean_latency(&listener, 12_500_000, 12_750_000);
        assert!((soon - before).abs() <= 10_000, "{every}: {before}, soon after {soon}");
    }
}

#[test]
fn short_gaps_are_filled_from_deep_redundancy_once_it_is_worth_the_delay() {
    let mut dice = Dice(4);
    let mut packets = stream(3000, false, |_| (dice.below(10) > 0).then_some(0));
    packets.iter_mut().for_each(|packet| packet.deep = 10);
    let (_, stats) = played(&packets, 240, 59);
    assert!(stats.dred > 6 * stats.concealed, "{stats:?}");
}

/// Every packet carries a copy of the one `distance` packets before it.
fn with_copies(mut packets: Vec<Sent>, distance: u8) -> Vec<Sent> {
    packets.iter_mut().for_each(|packet| packet.red = distance);
    packets
}

#[test]
fn lost_packets_come_back_whole_from_later_ones_and_the_delay_waits_for_those() {
    for distance in [1, 2, 5] {
        let mut dice = Dice(3);
        let packets = with_copies(stream(3000, false, |_| (dice.below(10) > 0).then_some(0)), distance);
        let (listener, stats) = played(&packets, 240, 59);
        assert!(stats.packets_lost > 200);
        // One in a hundred loses its copy too.
        assert!(stats.red > 4 * stats.concealed, "{distance}: {stats:?}");
        let buffer = mean_latency(&listener, 5 * SECOND, 59 * SECOND) - PACKET_MICROS;
        assert!(buffer <= i64::from(distance) * PACKET_MICROS + 8000, "{distance}: {buffer}");
        assert_eq!(stats.packets_played + stats.packets_waiting, stats.packets_received, "{stats:?}");
    }
}

#[test]
fn copies_that_nobody_needs_cost_no_delay() {
    let (listener, stats) = played(&with_copies(stream(1500, false, |_| Some(0)), 2), 240, 29);
    assert_eq!((stats.red, stats.concealed, stats.stretches, stats.packets_duplicate), (0, 0, 0, 0));
    assert!(mean_latency(&listener, 0, 29 * SECOND) - PACKET_MICROS <= 6000);
}

#[test]
fn without_copies_a_hole_is_as_long_as_what_was_lost() {
    let lost = |k| (500..1000).contains(&k) && k % 25 == 0;
    let (_, stats) = played(&stream(1500, false, |k| (!lost(k)).then_some(0)), 240, 29);
    assert_eq!(stats.packets_lost, 20);
    assert!((20 * 960..=20 * 960 + 480).contains(&stats.concealed), "{stats:?}");
}

#[test]
fn a_bad_patch_is_over_two_seconds_after_it() {
    for seed in 10..14 {
        let mut dice = Dice(seed);
        let packets = stream(1500, false, |k| {
            Some(if (500..750).contains(&k) { dice.below(80_000) as i64 } else { 0 })
        });
        let (listener, _) = played(&packets, 240, 29);
        let before = mean_latency(&listener, 5 * SECOND, 10 * SECOND);
        let after = mean_latency(&listener, 17_100_000, 29 * SECOND);
        assert!((after - before).abs() <= 5000, "seed {seed}: {before} then {after}");
    }
}

#[test]
fn a_longer_route_neither_overshoots_nor_lingers() {
    let mut dice = Dice(20);
    let packets = stream(2500, false, |k| {
        Some(dice.below(2000) as i64 + if (750..1500).contains(&k) { 80_000 } else { 0 })
    });
    let (listener, stats) = played(&packets, 240, 49);
    let before = mean_latency(&listener, 5 * SECOND, 15 * SECOND);
    let most = latencies(&listener).into_iter().map(|(_, latency)| latency).max().unwrap();
    assert!(most <= before + 100_000, "{before} then at most {most}");
    let longer = mean_latency(&listener, 16_200_000, 29 * SECOND);
    assert!((longer - before - 80_000).abs() <= 12_000, "{before} then {longer}");
    let back = mean_latency(&listener, 33 * SECOND, 49 * SECOND);
    assert!((back - before).abs() <= 6000, "{before} then back to {back}");
    assert!(stats.concealed <= 48 * 150, "{stats:?}");
}

#[test]
fn a_slow_clock_is_followed_without_a_cut() {
    follow_clock(200);
}

#[test]
fn a_fast_clock_is_followed_without_a_cut() {
    follow_clock(-200);
}

/// Offsets that grow by so many ppm.
fn follow_clock(ppm: i64) {
    let seconds = long_run();
    let packets = stream(seconds as u32 * 50, false, |k| {
        Some(if ppm > 0 { 0 } else { 800_000 } + i64::from(k) * 20_000 * ppm / 1_000_000)
    });
    let mut listener = Listener::new(Shift::default());
    let (mut least, mut most) = (i64::MAX, 0);
    for second in 1..seconds - 10 {
        listener.run(&packets, 240, second * SECOND);
        listener.heard.clear();
        if let Some(delay) = listener.pipeline.stats().playout_delay.filter(|_| second > 20) {
            let delay = delay.as_micros() as i64;
            (least, most) = (least.min(delay), most.max(delay));
        }
    }
    let stats = listener.pipeline.stats();
    assert_eq!((stats.stretches, stats.concealed, stats.skipped), (0, 0, 0), "{stats:?}");
    assert!(most - least <= 2000, "from {least} to {most}");
}

#[test]
fn pulls_that_are_early_and_late_do_not_make_the_speed_waver() {
    let mut dice = Dice(7);
    speed_stays_with(|_| dice.below(1800) as i64);
}

#[test]
fn a_pull_that_is_very_late_does_not_change_the_speed() {
    speed_stays_with(|pull| if pull % 40 == 39 { 7000 } else { 0 });
}

/// The speed of a sender whose clock is a little slow, however late pulls are (microseconds).
fn speed_stays_with(mut late: impl FnMut(u32) -> i64) {
    let mut packets = stream(800, false, |k| Some(i64::from(k) * 20_000 * 60 / 1_000_000));
    // The numbers of what is looked at are small: so single precision tells them apart finely.
    packets.iter_mut().for_each(|packet| packet.content = packet.content.wrapping_sub(11 * 48_000));
    let mut listener = Listener::new(Shift::default());
    for pull in 0..1500 {
        let due = listener.now;
        listener.now += late(pull);
        listener.let_arrive(&packets);
        listener.pull(480);
        listener.now = due;
        listener.pass(480);
    }
    let later = &listener.heard[12 * 48_000..];
    let speeds = later.chunks_exact(480).map(|pull| f64::from(pull[479] - pull[0]) / 479.0 - 1.0);
    let (least, most) =
        speeds.fold((f64::MAX, f64::MIN), |(least, most), speed| (least.min(speed), most.max(speed)));
    assert!(least > -300e-6 && most < 300e-6, "from {:.0} to {:.0} ppm", least * 1e6, most * 1e6);
    assert_eq!(listener.pipeline.stats().concealed, 0);
}
