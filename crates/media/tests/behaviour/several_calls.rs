//! Several far ends in one speaker: their sum is exact and never clips, and whoever comes, goes or changes loudness makes no click.

use crate::support::{End, amplitude, drain, ms, simulation, tone};
use offhook_media::simulation::Simulation;
use offhook_media::{AudioElement, Device, MOST_VOLUME, Microphone, PcmFeeder, PcmTap, pcm_sink, pcm_source};

/// Settled after this: packets come, what fades in has.
const SETTLED: u64 = 400;

struct Party {
    simulation: Simulation,
    ends: Vec<(End, End)>,
    element: AudioElement,
    tap: PcmTap,
    _voices: Vec<(Microphone, PcmFeeder)>,
}

impl Party {
    /// People who say a tone each, of an amplitude each; nobody is heard yet.
    fn of(voices: &[(f64, f32)]) -> Self {
        let mut simulation = simulation();
        let (sink, tap) = pcm_sink();
        let element = simulation.open_element(sink).expect("a queue opens");
        let mut party = Self { simulation, ends: Vec::new(), element, tap, _voices: Vec::new() };
        for (hertz, amplitude) in voices {
            let (source, mut feeder) = pcm_source();
            let microphone = party.simulation.open_microphone(source).expect("a queue opens");
            let far = End::open(&party.simulation);
            far.stream.attach_microphone(&microphone);
            feeder.write(&tone(*hertz, *amplitude, ms(10_000)));
            party.ends.push((far, End::open(&party.simulation)));
            party._voices.push((microphone, feeder));
        }
        party
    }

    fn add_all(&self) {
        self.ends.iter().for_each(|(_, near)| self.element.add_source(&near.stream.incoming()));
    }

    /// What was heard meanwhile.
    fn run(&mut self, milliseconds: u64) -> Vec<f32> {
        for _ in 0..milliseconds {
            self.simulation.advance(ms(1));
            let now = self.simulation.now();
            for (far, near) in &mut self.ends {
                far.carry(near, now, |_| true);
            }
        }
        drain(&mut self.tap)
    }
}

fn steepest(sound: &[f32]) -> f32 {
    sound.windows(2).map(|pair| (pair[1] - pair[0]).abs()).fold(0.0, f32::max)
}

#[test]
fn far_ends_at_full_scale_do_not_clip() {
    let all = [310.0, 440.0, 520.0, 650.0, 730.0, 870.0, 1010.0, 1190.0].map(|hertz| (hertz, 0.99));
    for people in [1, 2, 8] {
        let mut party = Party::of(&all[..people]);
        party.add_all();
        party.run(SETTLED);
        let heard = party.run(1000);
        assert_eq!(heard.len(), 48_000);
        assert!(heard.iter().all(|sample| sample.abs() <= 1.0));
        let flat = heard.windows(2).filter(|pair| pair[0] == pair[1] && pair[0].abs() > 0.9).count();
        assert!(flat <= 2, "{people}: {flat} samples are cut");
        // Everybody is heard, as loud as the others.
        let amplitudes: Vec<f64> = all[..people].iter().map(|(hertz, _)| amplitude(&heard, *hertz)).collect();
        let (least, most) = amplitudes.iter().fold((f64::MAX, 0.0_f64), |(least, most), amplitude| {
            (least.min(*amplitude), most.max(*amplitude))
        });
        assert!(least > 0.9 / people as f64 && least > 0.85 * most, "{people}: {amplitudes:?}");
        // And little else: what the limiter adds lies 22 dB below.
        let power = heard.iter().map(|sample| f64::from(*sample).powi(2)).sum::<f64>() / 48_000.0;
        let tones = amplitudes.iter().map(|amplitude| amplitude * amplitude / 2.0).sum::<f64>();
        assert!(power - tones < 0.006 * tones, "{people}: {power} of which {tones}");
    }
}

/// What two quiet people sound like: each in an element of its own, or both in one.
fn quiet(together: bool) -> [Vec<f32>; 2] {
    let mut party = Party::of(&[(500.0, 0.2), (800.0, 0.3)]);
    let (sink, mut tap) = pcm_sink();
    let other = party.simulation.open_element(sink).expect("a queue opens");
    let sources = [0, 1].map(|n: usize| party.ends[n].1.stream.incoming());
    party.element.add_source(&sources[0]);
    if together { &party.element } else { &other }.add_source(&sources[1]);
    [party.run(1000), drain(&mut tap)]
}

#[test]
fn a_sum_within_full_scale_is_exact() {
    let [one, other] = quiet(false);
    let [both, nothing] = quiet(true);
    assert!(amplitude(&one[24_000..], 500.0) > 0.19 && amplitude(&other[24_000..], 800.0) > 0.29);
    let sum: Vec<f32> = one.iter().zip(&other).map(|(one, other)| one + other).collect();
    assert!(both == sum);
    assert!(nothing.iter().all(|sample| *sample == 0.0));
}

#[test]
fn a_silent_call_beside_it_changes_no_bit_of_a_call() {
    let alone = || {
        let party = Party::of(&[(500.0, 0.99)]);
        party.add_all();
        party
    };
    let wanted = alone().run(1000);
    let mut party = alone();
    let silent = End::open(&party.simulation);
    party.element.add_source(&silent.stream.incoming());
    assert!(party.run(1000) == wanted);
}

#[test]
fn who_joins_leaves_moves_or_hangs_up_makes_no_click() {
    let mut party = Party::of(&[(200.0, 0.3), (250.0, 0.3), (170.0, 0.3)]);
    let other = party.simulation.open_element(Device::null()).expect("a null device opens");
    let sources = [0, 1, 2].map(|n: usize| party.ends[n].1.stream.incoming());
    party.element.add_source(&sources[0]);
    let mut heard = party.run(SETTLED);
    for step in 0..8 {
        match step {
            0 => party.element.add_source(&sources[1]),
            1 => party.element.remove_source(&sources[0]),
            2 => party.element.add_source(&sources[0]),
            3 => other.add_source(&sources[0]),
            4 => party.element.add_source(&sources[0]),
            5 => party.element.set_src_object(Some(&sources[2])),
            6 => party.element.add_source(&sources[0]),
            _ => party.ends[2].1.stream.close(),
        }
        // Odd times, so that changes fall anywhere in a period of the tones.
        heard.extend(party.run(103));
    }
    // Three tones rise by 0.024 a sample at most, and a fade by 0.004.
    assert!(steepest(&heard) < 0.03, "{}", steepest(&heard));
    let last = party.run(200);
    let (stayed, gone) = (amplitude(&last, 200.0), amplitude(&last, 170.0));
    assert!((stayed - 0.3).abs() < 0.03 && gone < 0.01, "{stayed} {gone}");
    // Whoever goes on elsewhere misses nothing.
    let stats = party.ends[0].1.stream.stats().receive;
    assert_eq!((stats.concealed, stats.packets_late), (0, 0), "{stats:?}");
}

#[test]
fn a_stream_that_is_given_again_goes_on_without_a_seam() {
    let bound_again = |again: bool| {
        let mut party = Party::of(&[(500.0, 0.3), (800.0, 0.3)]);
        let source = party.ends[0].1.stream.incoming();
        party.element.set_src_object(Some(&source));
        let mut heard = party.run(SETTLED);
        if again {
            party.element.set_src_object(Some(&source));
            party.element.add_source(&source);
        }
        heard.extend(party.run(100));
        heard
    };
    assert!(bound_again(true) == bound_again(false));
}

#[test]
fn each_call_has_a_volume_of_its_own_that_is_led_there() {
    let mut party = Party::of(&[(200.0, 0.2), (330.0, 0.2)]);
    party.add_all();
    let mut all = party.run(SETTLED);
    let stream = |party: &Party, n: usize| party.ends[n].1.stream.incoming();
    assert_ne!(stream(&party, 0), stream(&party, 1));
    for (volume, wanted) in [(0.25, 0.05), (0.0, 0.0), (MOST_VOLUME, 0.8), (1.0, 0.2), (f32::NAN, 0.2)] {
        party.ends[0].1.stream.set_volume(volume);
        all.extend(party.run(50));
        let heard = party.run(300);
        let (first, second) = (amplitude(&heard, 200.0), amplitude(&heard, 330.0));
        assert!(
            (first - wanted).abs() < 0.03 * MOST_VOLUME as f64 && (second - 0.2).abs() < 0.01,
            "{volume}: {first} {second}"
        );
        all.extend(heard);
    }
    assert!(steepest(&all) < 0.035, "{}", steepest(&all));
    party.ends[0].1.stream.set_volume(-3.0);
    assert_eq!(party.ends[0].1.stream.volume(), 0.0);
    party.ends[0].1.stream.set_volume(f32::INFINITY);
    assert_eq!(party.ends[0].1.stream.volume(), MOST_VOLUME);
}

#[test]
fn a_volume_is_kept_when_the_stream_moves() {
    let mut party = Party::of(&[(500.0, 0.2)]);
    party.ends[0].1.stream.set_volume(0.5);
    party.run(SETTLED);
    party.add_all();
    party.run(100);
    let heard = party.run(300);
    assert!((amplitude(&heard, 500.0) - 0.1).abs() < 0.01, "{}", amplitude(&heard, 500.0));
}

#[test]
fn a_call_on_hold_is_silent_and_the_other_goes_on_and_they_swap() {
    let mut party = Party::of(&[(500.0, 0.2), (800.0, 0.2)]);
    party.add_all();
    party.run(SETTLED);
    for held in [0, 1, 0] {
        party.ends.iter().enumerate().for_each(|(n, (far, near))| {
            far.stream.set_sending(n != held);
            near.stream.set_sending(n != held);
        });
        // What is left is comfort noise, 26 dB below the tone at least.
        party.run(1000);
        let heard = party.run(500);
        let amplitudes = [amplitude(&heard, 500.0), amplitude(&heard, 800.0)];
        assert!(amplitudes[held] < 0.01 && (amplitudes[1 - held] - 0.2).abs() < 0.02, "{amplitudes:?}");
        let sent = party.ends[held].0.stream.stats().send.packets;
        party.run(200);
        assert_eq!(party.ends[held].0.stream.stats().send.packets, sent);
    }
}

#[test]
fn more_calls_than_ever_sound_at_once_can_follow_each_other() {
    let mut party = Party::of(&[(500.0, 0.2)]);
    for _ in 0..40 {
        let ended = End::open(&party.simulation);
        party.element.add_source(&ended.stream.incoming());
        party.run(10);
        drop(ended);
    }
    party.add_all();
    party.run(SETTLED);
    assert!(amplitude(&party.run(300), 500.0) > 0.19);
}
