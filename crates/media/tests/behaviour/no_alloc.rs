//! No allocation in a tick or a device callback, whatever happens around them. There is no exception.

use crate::allocations::count;
use crate::support::{self, End, TICK, drain, ms, run_lossy, tone};
use offhook_media::simulation::{SimulatedDevice, Simulation};
use offhook_media::{Device, pcm_sink, pcm_source};

/// 8,000 ticks of two people, with loss, silence, mute, keys, streams that come and go, and devices that change under them.
fn exercise(device: SimulatedDevice) -> Simulation {
    let mut simulation = Simulation::new(TICK, device, Some(count));
    let ((source, mut feeder), (sink, mut tap)) = (pcm_source(), pcm_sink());
    let microphone = simulation.open_microphone(source.clone()).expect("a queue opens");
    let element = simulation.open_element(sink.clone()).expect("a queue opens");
    let (mut alice, mut bob) = (End::open(&simulation), End::open(&simulation));
    element.set_src_object(Some(&bob.stream.incoming()));
    alice.stream.attach_microphone(&microphone);
    for second in 0..20_u64 {
        if second % 3 != 2 {
            feeder.write(&tone(300.0 + 50.0 * second as f64, 0.3, ms(1000)));
        }
        alice.stream.set_muted(second % 7 == 3);
        alice.stream.set_sending(second % 11 != 5);
        if second % 5 == 1 {
            alice.stream.send_dtmf("15#").expect("there is room");
        }
        element.set_volume(second as f32 / 20.0);
        bob.stream.set_volume(second as f32 / 10.0);
        let other = End::open(&simulation);
        other.stream.attach_microphone(&microphone);
        element.add_source(&other.stream.incoming());
        if second == 8 {
            drop(element.set_sink_id(Device::Null));
            drop(microphone.set_device(Device::Null));
        }
        if second == 10 {
            drop(element.set_sink_id(sink.clone()));
            drop(microphone.set_device(source.clone()));
        }
        if second == 14 {
            alice.stream.reconfigure(&offhook_media::StreamConfig::default()).expect("it is open");
            alice.stream.reconfigure(&support::config()).expect("it is open");
        }
        run_lossy(&mut simulation, &mut alice, &mut bob, ms(500), |n| n % 9 != 4 && n % 200 > 30);
        drop(other);
        run_lossy(&mut simulation, &mut alice, &mut bob, ms(500), |n| n % 9 != 4);
        drain(&mut tap);
    }
    let stats = bob.stream.stats().receive;
    assert!(stats.packets_lost > 0 && stats.concealed > 0 && stats.decoded > 0, "{stats:?}");
    assert!(count() > 0);
    simulation
}

#[test]
fn a_call_on_devices_of_our_rate_allocates_nothing() {
    let simulation = exercise(SimulatedDevice::default());
    assert_eq!(simulation.engine().stats().allocations, Some(0));
}

#[test]
fn a_call_on_devices_of_another_rate_and_clock_allocates_nothing() {
    let device = SimulatedDevice { sample_rate: 44_100, period: 441, skew_ppm: 80.0 };
    let simulation = exercise(device);
    assert_eq!(simulation.engine().stats().allocations, Some(0));
}
