//! Speech through a recorded network: what is heard, and that the figures say what the sound does.
#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test by panicking")]

use std::time::Duration;

use offhook_media_core::recv::Taken;
use offhook_media_core::units::PacketTime;
use offhook_sim::measure::{DelayPoint, compare};
use offhook_sim::sound::synthetic_speech;
use offhook_sim::stand::{
    Bottleneck, Outcome, Redundancy, Run, SoundKind, StandConfig, StandError, Tick, run,
};
use offhook_sim::trace::{Trace, TracePacket};
use proptest::prelude::*;

fn trace(packets: usize, fate: impl Fn(usize) -> Option<f64>) -> Trace {
    let packet = |k: usize| {
        let sent = Duration::from_millis(20 * k as u64);
        TracePacket { sent, arrived: fate(k).map(|delay| sent + Duration::from_secs_f64(delay / 1e3)) }
    };
    Trace { packets: (0..packets).map(packet).collect() }
}

fn played(trace: &Trace, speech: &[f32], config: &StandConfig) -> (Run, Outcome) {
    let run = run(trace, speech, config).unwrap();
    let outcome = Outcome::of(&run, Some(speech));
    (run, outcome)
}

#[test]
fn the_delay_that_is_told_is_the_delay_that_is_heard() {
    let speech = synthetic_speech(Duration::from_secs(12), 3);
    use PacketTime::{Ms10, Ms20, Ms60};
    // Packets of 60 ms would lose a third of the sound: too much of it is made up to be found again.
    for (name, trace, packet_times) in [
        ("clean", trace(500, |_| Some(0.0)), &[Ms10, Ms20, Ms60][..]),
        ("jitter", trace(500, |k| Some(40.0 + (k * 7919 % 20) as f64)), &[Ms10, Ms20, Ms60]),
        ("loss", trace(500, |k| (k % 10 != 3).then_some(5.0)), &[Ms10, Ms20]),
    ] {
        for packet_time in packet_times.iter().copied() {
            let (run, outcome) =
                played(&trace, &speech, &StandConfig { packet_time, ..StandConfig::default() });
            let track = compare(&speech, &run.heard).track;
            let (told, heard) = (outcome.delay_ms.unwrap().p50, track.percentile(0.5).unwrap());
            let heard = heard.as_secs_f64() * 1e3;
            assert!((told - heard).abs() < 2.0, "{name} {packet_time:?}: told {told}, heard {heard}");
            // Where the delay changes within a piece, it is found at one end or the other.
            let told = |point: &DelayPoint| {
                let middle = ((point.at.as_secs_f64() + 0.2) * 48_000.0) as i64;
                run.ticks.iter().find(|tick| tick.position >= Some(middle)).and_then(Tick::delay_ms)
            };
            let is_told =
                |point: &&DelayPoint| (told(point).unwrap() - point.delay.as_secs_f64() * 1e3).abs() < 2.0;
            let right = track.points.iter().filter(is_told).count();
            assert!(5 * right >= 4 * track.points.len(), "{name} {packet_time:?}: {right} of {track:?}");
        }
    }
}

#[test]
fn sound_is_counted_to_the_sample() {
    let speech = synthetic_speech(Duration::from_secs(6), 4);
    let trace = trace(300, |k| (k % 7 != 3).then_some((k * 31 % 40) as f64));
    let (run, outcome) = played(&trace, &speech, &StandConfig::default());
    let total = |kinds: &[SoundKind]| -> u64 {
        let of = |tick: &Tick| kinds.iter().map(|kind| u64::from(tick.samples(*kind))).sum::<u64>();
        run.ticks.iter().map(of).sum()
    };
    let received = &run.received;
    assert_eq!(total(&[SoundKind::Decoded]), received.decoded);
    assert_eq!(total(&[SoundKind::Fec]), received.fec);
    assert_eq!(total(&[SoundKind::Dred]), received.dred);
    assert_eq!(total(&[SoundKind::Concealed]), received.concealed);
    assert_eq!(total(&[SoundKind::ComfortNoise, SoundKind::LeadIn]), received.silence);
    assert_eq!(total(&[SoundKind::Skipped]), received.skipped + received.dropped);
    assert_eq!((run.heard.len() as u64, run.heard.len() / 240), (received.pulled, run.ticks.len()));
    let late = run.packets.iter().filter(|packet| packet.taken == Some(Taken::Late)).count() as u64;
    assert_eq!((outcome.packets_late, late), (received.packets_late, late));
    let bytes: u64 = run.packets.iter().map(|packet| u64::from(packet.bytes)).sum();
    assert_eq!(
        (run.packets.len() as u64, bytes),
        (run.sent.unwrap().packets, run.sent.unwrap().payload_bytes)
    );
    assert!(total(&[SoundKind::Concealed]) > 0, "{outcome:?}");
}

#[test]
fn every_kind_of_redundancy_restores_what_it_can() {
    let speech = synthetic_speech(Duration::from_secs(8), 9);
    let single = trace(400, |k| (k % 6 != 2).then_some(10.0));
    let outage = trace(400, |k| (k % 100 < 60 || k % 100 > 80).then_some(10.0));
    let outcome_on = |trace: &Trace, redundancy| {
        played(trace, &speech, &StandConfig { redundancy, ..StandConfig::default() }).1
    };
    let outcome = |redundancy| outcome_on(&single, redundancy);
    let none = outcome(Redundancy::None);
    assert_eq!((none.spent_bps.unwrap().red, none.spent_bps.unwrap().dred), (0.0, 0.0));
    assert_eq!((none.time_ms.red, none.time_ms.fec, none.time_ms.dred), (0.0, 0.0, 0.0));
    let fec = outcome(Redundancy::Fec);
    assert!(fec.time_ms.fec > 200.0 && fec.time_ms.red == 0.0, "{fec:?}");
    let red = outcome(Redundancy::Red);
    assert!(red.time_ms.red > 200.0 && red.spent_bps.unwrap().red > 5000.0, "{red:?}");
    assert!(red.time_ms.concealed < none.time_ms.concealed / 2.0, "{red:?}");
    let dred = outcome_on(&outage, Redundancy::Dred);
    assert!(dred.time_ms.dred > 200.0 && dred.spent_bps.unwrap().dred > 1000.0, "{dred:?}");
    for outcome in [none, fec, red, dred] {
        let spent = outcome.spent_bps.unwrap();
        assert!((spent.sound + spent.red + spent.dred - outcome.payload_bps).abs() < 1.0, "{outcome:?}");
        assert!(!outcome.ladder.is_empty() && outcome.ladder[0].packet_ms == 20.0, "{outcome:?}");
    }
}

#[test]
fn the_words_of_an_outage_ride_finely_in_the_first_packets_after_it() {
    let speech = synthetic_speech(Duration::from_secs(8), 12);
    let last_second = trace(400, |k| (!(200..250).contains(&k)).then_some(10.0));
    let outcome =
        |redundancy| played(&last_second, &speech, &StandConfig { redundancy, ..StandConfig::default() }).1;
    let auto = outcome(Redundancy::Auto);
    let guarded: Vec<_> = auto.ladder.iter().filter(|step| step.dred_fine).collect();
    assert!(guarded.len() == 1 && (4.4..5.0).contains(&guarded[0].at_s), "{:?}", auto.ladder);
    let after = auto.ladder.iter().find(|step| step.at_s > guarded[0].at_s).unwrap();
    assert!((5.0..5.6).contains(&after.at_s) && !after.dred_fine, "{:?}", auto.ladder);
    // All but what the far end made up before it gave up.
    assert!(auto.time_ms.dred > 900.0 && auto.time_ms.skipped < 20.0, "{auto:?}");
    assert!(auto.spent_bps.unwrap().dred < 8000.0, "{auto:?}");
    assert!(outcome(Redundancy::Red).ladder.iter().all(|step| !step.dred_fine));
}

#[test]
fn drift_of_the_clocks_is_in_the_delay() {
    let speech = synthetic_speech(Duration::from_secs(20), 6);
    for ppm in [-300.0, 300.0] {
        let trace = trace(1000, |k| Some(20.0 + 0.02 * k as f64 * ppm / 1000.0));
        let (run, _) = played(&trace, &speech, &StandConfig::default());
        let delay_at = |second: usize| run.ticks[second * 200].delay_ms().unwrap();
        // 15 s at 300 ppm are 4.5 ms.
        let grown = delay_at(19) - delay_at(4);
        assert!((grown - 15.0 * ppm / 1000.0).abs() < 2.0, "{ppm} ppm: {grown} ms");
    }
}

#[test]
fn a_receiver_whose_clock_reads_less_hears_before_it_was_said() {
    let speech = synthetic_speech(Duration::from_secs(6), 7);
    let mut early = trace(300, |_| Some(0.0));
    for packet in &mut early.packets {
        packet.sent += Duration::from_secs(3);
    }
    let (run, outcome) = played(&early, &speech, &StandConfig::default());
    let delay = outcome.delay_ms.unwrap();
    assert!((delay.mean + 3000.0 - 31.8).abs() < 2.0, "{delay:?}");
    assert_eq!(run.heard.len(), speech.len());
}

#[test]
fn the_sender_hears_of_loss_a_round_trip_later() {
    let speech = synthetic_speech(Duration::from_secs(8), 11);
    let trace = trace(400, |k| (k < 100 || k % 4 != 0).then_some(10.0));
    let changed = |rtt| {
        let rtt = Duration::from_millis(rtt);
        let (_, outcome) = played(&trace, &speech, &StandConfig { rtt, ..StandConfig::default() });
        let step = outcome.ladder.iter().find(|step| step.at_s > 2.0).map(|step| step.at_s);
        step.unwrap_or_else(|| panic!("nothing changes: {:?}", outcome.ladder))
    };
    let (soon, late) = (changed(0), changed(1000));
    // Loss begins at 2 s. The first report of it is the same one.
    assert!(soon < 3.0 && (late - soon - 1.0).abs() < 0.3, "{soon} {late}");
}

#[test]
fn a_slow_link_delays_and_drops() {
    let speech = synthetic_speech(Duration::from_secs(6), 10);
    let config = |bits_per_second| StandConfig {
        redundancy: Redundancy::None,
        rtt: Duration::from_secs(10),
        bottleneck: Some(Bottleneck { bits_per_second, queue: Duration::from_millis(200) }),
        ..StandConfig::default()
    };
    let trace = trace(300, |_| Some(10.0));
    let (_, wide) = played(&trace, &speech, &config(1_000_000));
    assert!(wide.packets_lost == 0 && wide.network_ms.unwrap() < 12.0, "{wide:?}");
    // 32 kb/s and 23 kb/s of headers do not fit, and the sender does not hear of it: the queue fills, and what does not fit is lost.
    let (_, narrow) = played(&trace, &speech, &config(40_000));
    assert!(narrow.network_ms.unwrap() > 100.0 && narrow.packets_lost > 5, "{narrow:?}");
}

#[test]
fn a_network_that_loses_all_is_silence_and_no_figure() {
    let speech = synthetic_speech(Duration::from_secs(1), 8);
    let (run, outcome) = played(&trace(50, |_| None), &speech, &StandConfig::default());
    assert!(run.heard.iter().all(|sample| *sample == 0.0));
    assert_eq!((outcome.delay_ms, outcome.network_ms, outcome.buffer_ms), (None, None, None));
    assert_eq!((outcome.r_factor, outcome.mos, outcome.packets_lost), (None, None, outcome.packets_sent));
}

fn any_trace() -> impl Strategy<Value = Trace> {
    let packet = (0_u64..60, prop::option::weighted(0.8, 0_u64..400_000));
    prop::collection::vec(packet, 0..80).prop_map(|packets| {
        let mut sent = Duration::ZERO;
        let mut fate = |(step, delay): (u64, Option<u64>)| {
            sent += Duration::from_millis(step);
            TracePacket {
                sent,
                arrived: delay.map(|delay| {
                    (sent + Duration::from_micros(delay)).saturating_sub(Duration::from_millis(100))
                }),
            }
        };
        Trace { packets: packets.into_iter().map(&mut fate).collect() }
    })
}

fn any_packet_time() -> impl Strategy<Value = PacketTime> {
    use PacketTime::{Ms2_5, Ms5, Ms10, Ms20, Ms40, Ms60, Ms120};
    prop::sample::select(vec![Ms2_5, Ms5, Ms10, Ms20, Ms40, Ms60, Ms120])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn any_network_gives_as_much_sound_as_was_spoken(
        trace in any_trace(),
        packet_time in any_packet_time(),
        samples in 1_usize..60_000,
        seed in any::<u64>(),
    ) {
        let speech = synthetic_speech(Duration::from_secs(2), seed);
        let speech = &speech[..samples.min(speech.len())];
        let (run, outcome) = played(&trace, speech, &StandConfig { packet_time, seed, ..StandConfig::default() });
        // The longest delay is 400 ms; 2 s more are waited for what does not come.
        prop_assert!((speech.len()..=speech.len() + 240 + 48 * 2400).contains(&run.heard.len()));
        prop_assert_eq!(run.heard.len() % 240, 0);
        prop_assert!(run.heard.iter().all(|sample| sample.is_finite()));
        prop_assert!(run.packets.is_sorted_by_key(|packet| packet.left));
        prop_assert!(run.packets.iter().all(|packet| packet.taken.is_none() || packet.arrival.is_some()));
        let said = run.packets.iter().map(|packet| i64::from(packet.samples)).sum::<i64>();
        prop_assert!(said + 5760 >= speech.len() as i64, "{} samples in packets", said);
        prop_assert!(outcome.delay_ms.is_none_or(|delay| delay.p50 <= delay.p95));
    }
}

#[test]
fn nothing_to_say_is_an_error() {
    let refused = run(&Trace::default(), &[], &StandConfig::default());
    assert_eq!(refused.err(), Some(StandError::NothingSpoken));
}
