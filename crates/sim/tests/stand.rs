//! Speech through a recorded network: what is heard, and that the figures say what the sound does.

use std::time::Duration;

use offhook_media_core::units::PacketTime;
use offhook_sim::measure::compare;
use offhook_sim::sound::synthetic_speech;
use offhook_sim::stand::{Outcome, Run, StandConfig, StandError, run};
use offhook_sim::trace::{Trace, TracePacket};

fn trace(packets: usize, fate: impl Fn(usize) -> Option<f64>) -> Trace {
    let packet = |k: usize| {
        let sent = Duration::from_millis(20 * k as u64);
        TracePacket { sent, arrived: fate(k).map(|delay| sent + Duration::from_secs_f64(delay / 1e3)) }
    };
    Trace { packets: (0..packets).map(packet).collect() }
}

fn played(trace: &Trace, speech: &[f32], config: &StandConfig) -> (Run, Outcome) {
    let run = run(trace, speech, config).unwrap();
    let outcome = Outcome::of(&run, speech);
    (run, outcome)
}

#[test]
fn the_delay_that_is_told_is_the_delay_that_is_heard() {
    let speech = synthetic_speech(Duration::from_secs(12), 3);
    for (name, trace) in [
        ("clean", trace(500, |_| Some(0.0))),
        ("jitter", trace(500, |k| Some(40.0 + (k * 7919 % 20) as f64))),
        ("loss", trace(500, |k| (k % 10 != 3).then_some(5.0))),
    ] {
        for packet_time in [PacketTime::Ms10, PacketTime::Ms20, PacketTime::Ms60] {
            let (run, outcome) =
                played(&trace, &speech, &StandConfig { packet_time, ..StandConfig::default() });
            let heard = compare(&speech, &run.heard).mouth_to_ear.unwrap();
            let (told, heard) = (outcome.delay_ms.unwrap(), heard.mean.as_secs_f64() * 1e3);
            assert!((told.mean - heard).abs() < 2.0, "{name} {packet_time:?}: told {told:?}, heard {heard}");
        }
    }
}

#[test]
fn nothing_to_say_is_an_error() {
    let refused = run(&Trace::default(), &[], &StandConfig::default());
    assert_eq!(refused.err(), Some(StandError::NothingSpoken));
}
