//! Every clock of a call runs off on its own: the microphone's, the far engine's, ours, the speaker's. No sound is cut or repeated for it.

use std::time::Duration;

use crate::support::{End, TICK, config, drain, ms};
use offhook_media::simulation::{SimulatedDevice, Simulation};
use offhook_media::{DeviceStats, pcm_sink, pcm_source};
use offhook_media_core::recv::ReceiveStats;

const HERTZ: f64 = 200.0;
/// Clocks are learned in the beginning: far ones only after many beats between devices and ticks.
const LEARNED: u64 = 120;

/// How far each clock runs off, in ppm of ours.
#[derive(Debug, Clone, Copy)]
struct Skews {
    microphone: f64,
    far_engine: f64,
    speaker: f64,
}

/// What happened after the clocks were learned.
#[derive(Debug)]
struct Outcome {
    stretches: u64,
    concealed: u64,
    silence: u64,
    skipped: u64,
    xruns: u64,
    /// Least and most delay of a second of sound against the first one, in milliseconds.
    delay_ms: (f64, f64),
    /// Worst tenth of a second: everything but the tone against the tone.
    noise_db: f64,
}

/// The tone in a second of sound: its phase against one of `cycles` per sample, and the noise beside it.
fn tone_in(sound: &[f32], cycles: f64, from: u64) -> (f64, f64) {
    let (mut re, mut im, mut total) = (0.0, 0.0, 0.0);
    for (n, sample) in sound.iter().enumerate() {
        let phase = ((from + n as u64) as f64 * cycles).fract() * std::f64::consts::TAU;
        re += f64::from(*sample) * phase.cos();
        im += f64::from(*sample) * phase.sin();
        total += f64::from(*sample).powi(2);
    }
    let tone = 2.0 * (re * re + im * im) / sound.len() as f64;
    (re.atan2(im), 10.0 * ((total - tone).max(1e-12) / tone).log10())
}

fn device(skew_ppm: f64) -> SimulatedDevice {
    SimulatedDevice { skew_ppm, ..SimulatedDevice::default() }
}

fn call(skews: Skews, length: u64) -> Outcome {
    let mut far = Simulation::new(TICK, device(skews.microphone), None);
    let mut near = Simulation::new(TICK, device(skews.speaker), None);
    let ((source, mut feeder), (sink, mut tap)) = (pcm_source(), pcm_sink());
    let microphone = far.open_microphone(source).expect("a queue opens");
    let element = near.open_element(sink).expect("a queue opens");
    let mut cheap = config();
    cheap.send.encoder.complexity = 0;
    let (mut speaker, mut listener) = (End::open(&far), End::open(&near));
    speaker.stream.reconfigure(&cheap).expect("it is open");
    speaker.stream.attach_microphone(&microphone);
    element.set_src_object(Some(&listener.stream.incoming()));
    let second_of_tone = crate::support::tone(HERTZ, 0.3, ms(1000));
    let factor = |ppm: f64| 1.0 + ppm * 1e-6;
    // Of the speaker's samples: what the tone has to be when all clocks are followed.
    let cycles =
        HERTZ / 48_000.0 * factor(skews.microphone) * factor(skews.far_engine) / factor(skews.speaker);
    let (mut heard, mut at) = (Vec::new(), 0_u64);
    let (mut first_phase, mut last_phase) = (None, 0.0_f64);
    let (mut delay_ms, mut noise_db) = ((0.0_f64, 0.0_f64), -200.0_f64);
    let mut before: Option<(ReceiveStats, u64)> = None;
    for second in 0..length {
        for millisecond in 1..=1000 {
            near.advance(ms(1));
            let due = (second * 1000 + millisecond) as f64 * 1000.0 * factor(skews.far_engine);
            far.advance(Duration::from_micros(due as u64 - far.now().as_micros() as u64));
            speaker.carry(&mut listener, near.now(), |_| true);
        }
        while feeder.queued() < 96_000 {
            feeder.write(&second_of_tone);
        }
        heard.extend(drain(&mut tap));
        if second == LEARNED {
            before = Some((listener.stream.stats().receive, xruns(&near, &far)));
        }
        while heard.len() >= 48_000 {
            let (mut phase, _) = tone_in(&heard[..48_000], cycles, at);
            // Over a whole second the speed by which the delay is led, 0.05 % at most, would count as noise.
            let (_, noise) = tone_in(&heard[..4800], cycles, at);
            if second > LEARNED {
                // The nearest of the turns it can be.
                let turns = ((last_phase - phase) / std::f64::consts::TAU).round();
                phase += turns * std::f64::consts::TAU;
                let first = *first_phase.get_or_insert(phase);
                let later = -(phase - first) / std::f64::consts::TAU / HERTZ * 1000.0;
                delay_ms = (delay_ms.0.min(later), delay_ms.1.max(later));
                noise_db = noise_db.max(noise);
            }
            last_phase = phase;
            heard.drain(..48_000);
            at += 48_000;
        }
    }
    let (early, early_xruns) = before.expect("it lasts longer");
    let late = listener.stream.stats().receive;
    Outcome {
        stretches: late.stretches - early.stretches,
        concealed: late.concealed - early.concealed,
        silence: late.silence - early.silence,
        skipped: late.skipped + late.dropped - early.skipped - early.dropped,
        xruns: xruns(&near, &far) - early_xruns,
        delay_ms,
        noise_db,
    }
}

fn xruns(near: &Simulation, far: &Simulation) -> u64 {
    let of = |simulation: &Simulation| {
        simulation.engine().stats().devices.iter().map(|device: &DeviceStats| device.xruns).sum::<u64>()
    };
    of(near) + of(far)
}

fn check(skews: Skews, length: u64) {
    let outcome = call(skews, length);
    let Outcome { stretches, concealed, silence, skipped, xruns, delay_ms, noise_db } = outcome;
    assert_eq!((stretches, concealed, silence, skipped, xruns), (0, 0, 0, 0, 0), "{skews:?}: {outcome:?}");
    // The delay is led where it is wanted as that is learned; it does not run away.
    assert!(delay_ms.1 - delay_ms.0 < 5.0, "{skews:?}: {outcome:?}");
    // What is left is the encoder at its cheapest on a pure tone; a cut or a repeat would be of the size of the tone.
    assert!(noise_db < -12.0, "{skews:?}: {outcome:?}");
}

#[test]
fn ten_minutes_on_clocks_that_differ_by_300_ppm_each_are_one_piece() {
    check(Skews { microphone: 300.0, far_engine: 300.0, speaker: -300.0 }, 600);
}

#[test]
fn ten_minutes_on_clocks_that_differ_the_other_way_are_one_piece() {
    check(Skews { microphone: 300.0, far_engine: -300.0, speaker: 300.0 }, 600);
}

#[test]
#[ignore = "takes minutes"]
fn an_hour_is_one_piece() {
    check(Skews { microphone: -300.0, far_engine: -300.0, speaker: 300.0 }, 3600);
}
