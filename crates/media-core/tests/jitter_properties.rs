//! What holds for the receive path whatever the network does. `OFFHOOK_PROPTEST_OPS` sets the number of random operations.

#![expect(clippy::disallowed_methods, reason = "tests may allocate")]

mod receive_support;

use offhook_media_core::recv::Taken;
use receive_support::{Dice, Listener, PACKET, PACKET_MICROS, Sent, Shift, stream};

const OPS: u64 = 60_000;
const OPS_PER_RUN: u64 = 2000;

fn operations() -> u64 {
    std::env::var("OFFHOOK_PROPTEST_OPS").ok().and_then(|text| text.parse().ok()).unwrap_or(OPS)
}

#[test]
fn random_operations_keep_the_accounts_and_the_bounds() {
    for seed in 0..operations().div_ceil(OPS_PER_RUN) {
        let mut dice = Dice(seed);
        let mut listener = Listener::new(Shift::default());
        let (mut inserted, mut discarded, mut duplicates) = (0, 0, 0);
        let mut sent = Sent { arrival: 0, ssrc: 1, sequence: 0, timestamp: 0, content: 0, fec: false };
        for _ in 0..OPS_PER_RUN {
            match dice.below(16) {
                0..=5 => {
                    sent.arrival = listener.now - dice.below(3000) as i64;
                    sent.fec = dice.below(2) == 0;
                    inserted += 1;
                    match listener.insert(&sent) {
                        Taken::Discarded | Taken::OnProbation => discarded += 1,
                        Taken::Duplicate => duplicates += 1,
                        Taken::Waiting | Taken::Late | Taken::Event => {}
                    }
                    sent.sequence = sent.sequence.wrapping_add(1);
                    sent.timestamp = sent.timestamp.wrapping_add(PACKET);
                    sent.content = sent.timestamp;
                }
                6..=12 => {
                    let samples = 1 + dice.below(960) as usize;
                    listener.pull(samples);
                    listener.pass(samples);
                }
                13 => {
                    let back = dice.below(20) as u16;
                    sent.sequence = sent.sequence.wrapping_sub(back);
                    sent.timestamp = sent.timestamp.wrapping_sub(u32::from(back) * PACKET);
                }
                14 => listener.now += dice.below(200_000) as i64,
                _ => match dice.below(12) {
                    0 => sent.ssrc ^= 1,
                    1 => sent.timestamp = dice.below(1 << 32) as u32,
                    2 => sent.sequence = dice.below(1 << 16) as u16,
                    3 => sent.timestamp = sent.timestamp.wrapping_add(1 << 31),
                    4 => listener.now += dice.below(20_000_000) as i64,
                    _ => sent.timestamp = sent.timestamp.wrapping_add(dice.below(17) as u32).wrapping_sub(8),
                },
            }
        }
        let stats = listener.pipeline.stats();
        assert_eq!(stats.pulled, listener.heard.len() as u64, "seed {seed}");
        assert_eq!(
            stats.packets_received + stats.packets_duplicate + stats.packets_discarded,
            inserted,
            "seed {seed}"
        );
        assert_eq!(
            (stats.packets_duplicate, stats.packets_discarded),
            (duplicates, discarded),
            "seed {seed}"
        );
        // What was made is what was played, dropped or is waiting; the resampler may have used up to 0.2 % more or less.
        let made = stats.decoded + stats.fec + stats.concealed + stats.silence + stats.expanded;
        let gone = stats.pulled + stats.accelerated + stats.dropped + stats.buffered;
        assert!(made.abs_diff(gone) <= 64 + stats.pulled / 500, "seed {seed}: made {made}, gone {gone}");
        assert!(stats.buffered <= 16_384, "seed {seed}");
    }
}

#[test]
fn numbers_may_start_anywhere() {
    let mut dice = Dice(3);
    let packets = stream(1000, true, |_| (dice.below(12) > 0).then(|| dice.below(30_000) as i64));
    let heard = |shift| {
        let mut listener = Listener::new(shift);
        listener.run(&packets, 240, 20_000_000);
        listener.heard
    };
    let plain = heard(Shift::default());
    for (sequence, timestamp, clock) in
        [(65_000, 0, 0), (0, u32::MAX - 40_000, 0), (0, 0, -5_000_000), (40_000, 1 << 31, 1 << 40)]
    {
        assert!(heard(Shift { sequence, timestamp, clock }) == plain, "{sequence} {timestamp} {clock}");
    }
}

#[test]
fn equal_input_gives_equal_output_and_copies_change_nothing() {
    let mut dice = Dice(4);
    let packets = stream(500, true, |_| (dice.below(10) > 0).then(|| dice.below(20_000) as i64));
    let twice: Vec<Sent> = packets.iter().flat_map(|packet| [*packet, *packet]).collect();
    let heard = |packets: &[Sent]| {
        let mut listener = Listener::new(Shift::default());
        listener.run(packets, 240, 10_200_000);
        (listener.heard, listener.pipeline.stats().packets_duplicate)
    };
    let (plain, none) = heard(&packets);
    assert!(heard(&packets).0 == plain);
    let (copied, copies) = heard(&twice);
    assert!(copied == plain);
    assert_eq!((none, copies), (0, packets.len() as u64));
}

#[test]
fn order_within_an_arrival_is_not_heard() {
    let packets = stream(500, false, |k| Some(if k % 2 == 0 { PACKET_MICROS } else { 0 }));
    let mut swapped = packets.clone();
    for pair in swapped.chunks_exact_mut(2) {
        pair.swap(0, 1);
    }
    let heard = |packets: &[Sent]| {
        let mut listener = Listener::new(Shift::default());
        listener.run(packets, 240, 10_200_000);
        assert_eq!(listener.pipeline.stats().packets_lost, 0);
        listener.heard
    };
    // The very first packet differs: it starts the stream.
    let (plain, swapped) = (heard(&packets), heard(&swapped));
    assert!(plain[96_000..] == swapped[96_000..]);
}

#[test]
fn a_wobbling_timestamp_conceals_nothing() {
    let mut dice = Dice(5);
    let mut packets = stream(1500, false, |_| Some(0));
    for packet in &mut packets {
        packet.timestamp = packet.timestamp.wrapping_add(dice.below(17) as u32).wrapping_sub(8);
    }
    let mut listener = Listener::new(Shift::default());
    listener.run(&packets, 240, 30_000_000);
    let stats = listener.pipeline.stats();
    assert_eq!((stats.concealed, stats.stretches, stats.packets_lost), (0, 0, 0));
}

#[test]
fn old_packets_played_again_teach_nothing() {
    let packets = stream(1000, false, |_| Some(0));
    let mut listener = Listener::new(Shift::default());
    listener.run(&packets, 240, 10_000_000);
    let before = listener.pipeline.stats();
    for round in 0..10 {
        for packet in &packets[..400] {
            let replayed = Sent { arrival: listener.now, ..*packet };
            assert_eq!(listener.insert(&replayed), Taken::Duplicate, "round {round}");
        }
    }
    listener.run(&packets, 240, 12_000_000);
    let after = listener.pipeline.stats();
    assert_eq!(
        (after.target_delay, after.concealed, after.stretches),
        (before.target_delay, before.concealed, 0)
    );
}

#[test]
fn one_forged_packet_far_ahead_moves_nothing() {
    let mut packets = stream(500, false, |_| Some(0));
    let forged = Sent { timestamp: 1 << 30, content: 1, sequence: 250, ..packets[249] };
    packets.insert(250, forged);
    let mut listener = Listener::new(Shift::default());
    listener.run(&packets, 240, 10_000_000);
    let stats = listener.pipeline.stats();
    assert_eq!((stats.concealed, stats.skipped, stats.packets_discarded), (0, 0, 1));
}

#[test]
fn another_source_is_heard_after_three_packets() {
    for change in [|packet: &mut Sent| packet.ssrc = 2, |packet: &mut Sent| packet.timestamp ^= 1 << 31] {
        let mut packets = stream(500, false, |_| Some(0));
        packets[250..].iter_mut().for_each(change);
        let mut listener = Listener::new(Shift::default());
        listener.run(&packets, 240, 10_000_000);
        let stats = listener.pipeline.stats();
        assert_eq!(stats.packets_discarded, 2);
        assert!(stats.concealed + stats.silence <= 48 * 150, "{stats:?}");
        assert!(listener.heard.last().is_some_and(|sample| *sample > 0.0));
    }
}

#[test]
fn a_long_pause_adds_no_delay() {
    let mut packets = stream(200, false, |_| Some(0));
    for packet in &mut packets[100..] {
        packet.arrival += 60_000_000;
        packet.timestamp += 60 * 48_000;
        packet.content = packet.timestamp;
    }
    let mut listener = Listener::new(Shift::default());
    listener.run(&packets, 240, 64_200_000);
    let stats = listener.pipeline.stats();
    assert_eq!(stats.decoded, 200 * u64::from(PACKET));
    assert!(stats.playout_delay.is_some_and(|delay| delay.as_millis() <= 12), "{stats:?}");
}

#[test]
fn a_device_that_stops_and_catches_up_loses_nothing() {
    let packets = stream(500, false, |_| Some(0));
    let mut listener = Listener::new(Shift::default());
    listener.run(&packets, 240, 5_000_000);
    listener.now += 500_000;
    listener.let_arrive(&packets);
    for _ in 0..100 {
        listener.pull(240);
    }
    listener.run(&packets, 240, 10_000_000);
    let stats = listener.pipeline.stats();
    assert_eq!(
        (stats.concealed, stats.skipped, stats.dropped, stats.packets_late),
        (0, 0, 0, 0),
        "{stats:?}"
    );
    assert!(stats.accelerated <= 720, "{stats:?}");
}
