//! What holds for the receive path whatever the network does.

use crate::support::{
    Dice, Listener, PACKET, PACKET_MICROS, SILK_20, Sent, Shift, long_run, operations, stream,
};
use offhook_media_core::recv::Taken;

const OPS_PER_RUN: u64 = 2000;
const SECOND: i64 = 1_000_000;

/// A sender and a network that do anything, one operation at a time.
struct Chaos {
    dice: Dice,
    listener: Listener,
    next: Sent,
    inserted: u64,
    refused: u64,
    copies: u64,
}

impl Chaos {
    fn new(seed: u64) -> Self {
        let next = Sent {
            arrival: 0,
            ssrc: 1,
            sequence: 0,
            timestamp: 0,
            content: 0,
            fec: false,
            red: 0,
            deep: 0,
            toc: SILK_20,
        };
        let listener = Listener::new(Shift::default());
        Self { dice: Dice(seed), listener, next, inserted: 0, refused: 0, copies: 0 }
    }

    fn operate(&mut self) {
        match self.dice.below(16) {
            0..=5 => self.insert(),
            6..=12 => {
                let longest = if self.dice.below(20) == 0 { 4800 } else { 960 };
                let samples = 1 + self.dice.below(longest) as usize;
                self.listener.pull(samples);
                self.listener.pass(samples);
            }
            13 => {
                let back = self.dice.below(20) as u16;
                self.next.sequence = self.next.sequence.wrapping_sub(back);
                self.next.timestamp = self.next.timestamp.wrapping_sub(u32::from(back) * PACKET);
            }
            14 => self.listener.now += self.dice.below(200_000) as i64,
            _ => self.derail(),
        }
    }

    fn insert(&mut self) {
        let next = &mut self.next;
        next.arrival = self.listener.now - self.dice.below(3000) as i64;
        next.fec = self.dice.below(2) == 0;
        next.deep = self.dice.below(200).saturating_sub(90) as u8;
        next.red = self.dice.below(6).saturating_sub(2) as u8;
        next.content = next.timestamp;
        self.inserted += 1;
        match self.listener.insert(next) {
            Taken::Discarded | Taken::OnProbation => self.refused += 1,
            Taken::Duplicate => self.copies += 1,
            Taken::Waiting | Taken::Late | Taken::Event | Taken::Padding => {}
        }
        next.sequence = next.sequence.wrapping_add(1);
        next.timestamp = next.timestamp.wrapping_add(PACKET);
    }

    fn derail(&mut self) {
        let (dice, next) = (&mut self.dice, &mut self.next);
        match dice.below(12) {
            0 => next.ssrc ^= 1,
            1 => next.timestamp = dice.below(1 << 32) as u32,
            2 => next.sequence = dice.below(1 << 16) as u16,
            3 => next.timestamp = next.timestamp.wrapping_add(1 << 31),
            4 => self.listener.now += dice.below(20_000_000) as i64,
            _ => next.timestamp = next.timestamp.wrapping_add(dice.below(17) as u32).wrapping_sub(8),
        }
    }
}

#[test]
fn random_operations_keep_the_accounts_the_order_and_the_bounds() {
    for seed in 0..operations().div_ceil(OPS_PER_RUN) {
        let mut chaos = Chaos::new(seed);
        for _ in 0..OPS_PER_RUN {
            chaos.operate();
        }
        let Chaos { listener, inserted, refused, copies, .. } = chaos;
        let stats = listener.pipeline.stats();
        assert_eq!(stats.pulled, listener.heard.len() as u64, "seed {seed}");
        let taken = stats.packets_received + stats.packets_duplicate + stats.packets_discarded;
        assert_eq!(taken, inserted, "seed {seed}");
        assert_eq!((stats.packets_duplicate, stats.packets_discarded), (copies, refused), "seed {seed}");
        // Every packet has one fate.
        let fates = stats.packets_played + stats.packets_late + stats.packets_flushed + stats.packets_waiting;
        assert_eq!(stats.packets_received, fates, "seed {seed}: {stats:?}");
        assert_eq!(listener.log.backwards.get(), 0, "seed {seed}");
        // What was made is what was played, dropped or is waiting.
        let made = stats.decoded
            + stats.red
            + stats.fec
            + stats.dred
            + stats.concealed
            + stats.silence
            + stats.expanded;
        let gone = stats.pulled + stats.accelerated + stats.dropped + stats.buffered;
        assert_eq!(made as i64, gone as i64 + stats.resampled, "seed {seed}: {stats:?}");
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
    // This one is in line, two seconds early.
    let forged = Sent {
        timestamp: 400 * PACKET,
        content: 400 * PACKET,
        sequence: 400,
        arrival: packets[301].arrival,
        ..forged
    };
    packets.insert(302, forged);
    let mut listener = Listener::new(Shift::default());
    listener.run(&packets, 240, 10_000_000);
    let stats = listener.pipeline.stats();
    assert_eq!((stats.concealed, stats.skipped, stats.packets_discarded), (0, 0, 2));
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
        assert_eq!(listener.log.resets.get(), 1);
        assert!(listener.heard.last().is_some_and(|sample| *sample > 0.0));
    }
}

#[test]
fn a_long_pause_adds_no_delay_and_costs_no_concealment() {
    let pause = long_run();
    let mut packets = stream(200, false, |_| Some(0));
    for packet in &mut packets[100..] {
        packet.arrival += pause * SECOND;
        packet.timestamp += pause as u32 * 48_000;
        packet.content = packet.timestamp;
    }
    let mut listener = Listener::new(Shift::default());
    for second in 1..=pause + 5 {
        listener.run(&packets, 480, second * SECOND);
        listener.heard.clear();
    }
    let stats = listener.pipeline.stats();
    assert_eq!(stats.decoded, 200 * u64::from(PACKET));
    assert!(stats.playout_delay.is_some_and(|delay| delay.as_millis() <= 12), "{stats:?}");
    assert_eq!((stats.interruptions, stats.packets_lost, stats.dropped), (0, 0, 0));
    // Before and after, what ends is made up for a while, then nothing is.
    assert!(stats.concealed <= 2 * 48_000, "{stats:?}");
    assert!(listener.log.made_up.get() <= 200, "{:?}", listener.log);
}

#[test]
fn a_sender_that_stood_still_is_heard_again_at_once() {
    for seconds in [1, 3, 60] {
        let mut packets = stream(500, false, |_| Some(0));
        packets[250..].iter_mut().for_each(|packet| packet.arrival += seconds * SECOND);
        let mut listener = Listener::new(Shift::default());
        listener.run(&packets, 240, (10 + seconds) * SECOND);
        let stats = listener.pipeline.stats();
        assert!(stats.decoded >= 470 * u64::from(PACKET), "{seconds} s: {stats:?}");
        assert!(stats.playout_delay.is_some_and(|delay| delay.as_millis() <= 12), "{seconds} s: {stats:?}");
    }
}

#[test]
fn a_pause_that_was_announced_is_no_concealment() {
    let mut packets = stream(200, false, |_| Some(0));
    packets.remove(100);
    for packet in &mut packets[100..] {
        packet.arrival += 2 * SECOND;
        packet.timestamp += 2 * 48_000;
        packet.content = packet.timestamp;
    }
    let mut listener = Listener::new(Shift::default());
    listener.run(&packets[..100], 240, 2_000_000);
    listener.insert_pause(100, 100 * PACKET);
    listener.run(&packets, 240, 6_000_000);
    let stats = listener.pipeline.stats();
    assert!(stats.concealed <= 48_000 + 480, "only after the end: {stats:?}");
    assert_eq!((stats.interruptions, stats.packets_lost), (0, 0), "{stats:?}");
}

#[test]
fn keys_leave_no_hole_in_the_sequence() {
    let mut packets = stream(300, false, |_| Some(0));
    packets.drain(100..110);
    let mut listener = Listener::new(Shift::default());
    listener.run(&packets, 240, 101 * PACKET_MICROS);
    for sequence in 100..110 {
        listener.insert_key(sequence, 100 * PACKET);
    }
    listener.run(&packets, 240, 5_900_000);
    let stats = listener.pipeline.stats();
    assert_eq!((stats.packets_lost, stats.interruptions), (0, 0), "{stats:?}");
    assert!(listener.pipeline.poll_digit().is_some() && listener.pipeline.poll_digit().is_none());
}

#[test]
fn padding_leaves_no_hole_in_the_sequence() {
    // As Chromium sends it: after a packet, with its timestamp and a sequence number of its own.
    let mut packets = stream(300, false, |_| Some(0));
    packets[100..].iter_mut().for_each(|packet| packet.sequence += 2);
    let mut listener = Listener::new(Shift::default());
    listener.run(&packets, 240, 100 * PACKET_MICROS);
    for sequence in 100..102 {
        assert_eq!(listener.insert_padding(sequence, 99 * PACKET), Taken::Padding);
    }
    listener.run(&packets, 240, 5_900_000);
    let stats = listener.pipeline.stats();
    assert_eq!((stats.packets_lost, stats.packets_discarded), (0, 0), "{stats:?}");
    assert_eq!((stats.concealed, stats.interruptions), (0, 0), "{stats:?}");
}

#[test]
fn after_padding_a_pause_is_a_pause() {
    let mut packets = stream(200, false, |_| Some(0));
    for packet in &mut packets[100..] {
        packet.sequence += 2;
        packet.timestamp += 2 * 48_000;
        packet.content = packet.timestamp;
        packet.arrival += 2_000_000;
    }
    let mut listener = Listener::new(Shift::default());
    // It comes with the packet before it, which is still to be played.
    listener.run(&packets, 240, 99 * PACKET_MICROS);
    listener.now += 100;
    listener.let_arrive(&packets);
    for sequence in 100..102 {
        assert_eq!(listener.insert_padding(sequence, 99 * PACKET), Taken::Padding);
    }
    listener.run(&packets, 240, 6_000_000);
    let stats = listener.pipeline.stats();
    assert_eq!((stats.interruptions, stats.skipped, stats.packets_lost), (0, 0, 0), "{stats:?}");
}

#[test]
fn padding_far_ahead_silences_nothing() {
    let packets = stream(300, false, |_| Some(0));
    let mut listener = Listener::new(Shift::default());
    listener.run(&packets, 240, 100 * PACKET_MICROS);
    for ahead in [900, 1200, 2900] {
        listener.insert_padding(100 + ahead, 99 * PACKET);
    }
    listener.run(&packets, 240, 5_900_000);
    let stats = listener.pipeline.stats();
    assert_eq!((stats.packets_duplicate, stats.concealed), (0, 0), "{stats:?}");
}

#[test]
fn frame_length_and_channels_may_change_with_every_packet() {
    // Transform frames of 2.5, 5, 10 and 20 ms, speech frames of 40 and 60 ms, two of 60 ms; stereo or not.
    const TOCS: [u8; 7] = [16 << 3, 17 << 3, 18 << 3, 19 << 3, 10 << 3, 11 << 3, 11 << 3 | 1];
    const SAMPLES: [u32; 7] = [120, 240, 480, 960, 1920, 2880, 5760];
    let mut dice = Dice(6);
    let mut timestamp = 0;
    let packets: Vec<Sent> = (0..2000)
        .map(|sequence| {
            let kind = dice.below(7) as usize;
            let toc = TOCS[kind] | if dice.below(2) == 0 { 4 } else { 0 };
            let content = timestamp;
            let sent =
                Sent { arrival: 0, ssrc: 1, sequence, timestamp, content, fec: false, red: 0, deep: 0, toc };
            timestamp += SAMPLES[kind];
            Sent { arrival: i64::from(timestamp) * 125 / 6, ..sent }
        })
        .collect();
    let mut listener = Listener::new(Shift::default());
    listener.run(&packets, 240, i64::from(timestamp) * 125 / 6);
    let stats = listener.pipeline.stats();
    assert_eq!((stats.packets_lost, stats.packets_discarded, stats.packets_flushed), (0, 0, 0), "{stats:?}");
    assert!(stats.packets_late <= 2 && stats.concealed <= 48 * 250, "{stats:?}");
}

#[test]
fn another_codec_and_a_clock_that_stands_are_refused_and_harm_nothing() {
    let mut packets = stream(400, false, |_| Some(0));
    let copies: Vec<Sent> = packets[100..200]
        .iter()
        .map(|packet| Sent { timestamp: 5, sequence: packet.sequence + 1000, ..*packet })
        .collect();
    packets.extend(copies);
    packets.sort_by_key(|packet| packet.arrival);
    let mut listener = Listener::new(Shift::default());
    listener.run(&packets, 240, 8_000_000);
    let stats = listener.pipeline.stats();
    assert_eq!((stats.packets_discarded, stats.concealed, stats.packets_lost), (100, 0, 0), "{stats:?}");
}

#[test]
fn the_delay_has_a_bound_whatever_comes_late() {
    for seed in 0..8 {
        let mut dice = Dice(seed);
        let packets = stream(3000, false, |_| {
            let longest = [5000, 100_000, 3 * SECOND as u64][dice.below(3) as usize];
            (dice.below(20) > 0).then(|| dice.below(longest) as i64)
        });
        let mut listener = Listener::new(Shift::default());
        for tenth in 1..600 {
            listener.run(&packets, 480, tenth * SECOND / 10);
            let delay = listener.pipeline.stats().playout_delay;
            assert!(delay.is_none_or(|delay| delay.as_millis() <= 2100), "seed {seed}: {delay:?}");
        }
    }
}

#[test]
fn large_pulls_are_played_whole() {
    for samples in [1920, 2400, 4800, 9600] {
        let mut listener = Listener::new(Shift::default());
        listener.run(&stream(1000, false, |_| Some(0)), samples, 19_900_000);
        let stats = listener.pipeline.stats();
        assert_eq!((stats.concealed, stats.stretches, stats.packets_late), (0, 0, 0), "{samples}: {stats:?}");
        let most = 1000 + samples as u128 * 125 / 6;
        assert!(stats.playout_delay.is_some_and(|delay| delay.as_micros() <= most), "{samples}: {stats:?}");
    }
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
