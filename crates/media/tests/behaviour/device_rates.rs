//! Devices of other rates, odd periods and clocks of their own.

use crate::support::{End, TICK, drain, longest_silence, ms, run, tone};
use offhook_media::simulation::{SimulatedDevice, Simulation};
use offhook_media::{DeviceStats, pcm_sink, pcm_source};
use offhook_media_core::recv::ReceiveStats;

/// A minute of a tone through two such devices.
struct Minute {
    /// What was heard in its last ten seconds.
    heard: Vec<f32>,
    /// What the receiver did after ten seconds, and after the minute.
    early: ReceiveStats,
    late: ReceiveStats,
    devices: Vec<DeviceStats>,
}

fn minute(device: SimulatedDevice) -> Minute {
    let mut simulation = Simulation::new(TICK, device, None);
    let ((source, mut feeder), (sink, mut tap)) = (pcm_source(), pcm_sink());
    let microphone = simulation.open_microphone(source).expect("a queue opens");
    let element = simulation.open_element(sink).expect("a queue opens");
    let (mut alice, mut bob) = (End::open(&simulation), End::open(&simulation));
    element.set_src_object(Some(&bob.stream.incoming()));
    alice.stream.attach_microphone(&microphone);
    let sound = tone(500.0, 0.3, ms(1000));
    let mut early = bob.stream.stats().receive;
    for second in 0..60 {
        while feeder.queued() < 96_000 {
            feeder.write(&sound);
        }
        run(&mut simulation, &mut alice, &mut bob, ms(1000));
        if second < 50 {
            drain(&mut tap);
        }
        if second == 10 {
            early = bob.stream.stats().receive;
        }
    }
    let devices = simulation.engine().stats().devices;
    Minute { heard: drain(&mut tap), early, late: bob.stream.stats().receive, devices }
}

fn check(device: SimulatedDevice) {
    let minute = minute(device);
    assert!(longest_silence(&minute.heard) < 24, "{device:?}: {}", longest_silence(&minute.heard));
    for counters in &minute.devices {
        assert!(counters.xruns <= 2, "{counters:?}");
        assert_eq!(counters.sample_rate, device.sample_rate);
    }
    // How the packets come is learned in the beginning. Where the beat of two clocks makes a packet come a period later once a minute, to make
    // up a tenth of a percent costs less than ten milliseconds of delay for good.
    let (early, late) = (minute.early, minute.late);
    assert!(late.concealed - early.concealed <= 3600, "{device:?}: {early:?} {late:?}");
    assert!(late.stretches - early.stretches <= 8, "{device:?}: {early:?} {late:?}");
    assert_eq!(late.packets_lost, 0);
}

#[test]
fn a_fast_and_a_slow_clock_of_another_rate_are_followed_without_a_gap() {
    for (sample_rate, period, skew_ppm) in [(44_100, 441, 150.0), (48_000, 480, -120.0), (16_000, 160, 80.0)]
    {
        check(SimulatedDevice { sample_rate, period, skew_ppm });
    }
}

#[test]
fn periods_from_half_a_millisecond_to_fifty_are_served() {
    for period in [24, 441, 960, 2400] {
        check(SimulatedDevice { sample_rate: 48_000, period, skew_ppm: 0.0 });
    }
}
