//! Nothing of the control side can hold up the sound.

use std::sync::mpsc;
use std::time::{Duration, Instant};

use crate::support::{End, amplitude, config, drain, longest_silence, ms, run, simulation, tone};
use offhook_media::device::{Backend, OpenDevice};
use offhook_media::threads::{CaptureCallback, RenderCallback};
use offhook_media::{Device, DeviceId, Direction, Engine, OpenDeviceError, pcm_sink, pcm_source};

#[test]
fn an_application_that_never_reads_its_events_hears_on() {
    let mut simulation = simulation();
    let ((source, mut feeder), (sink, mut tap)) = (pcm_source(), pcm_sink());
    let microphone = simulation.open_microphone(source).unwrap();
    let element = simulation.open_element(sink).unwrap();
    let (mut alice, mut bob) = (End::open(&simulation), End::open(&simulation));
    let unread = [bob.stream.events(), bob.stream.events()];
    element.set_src_object(Some(&bob.stream.incoming()));
    alice.stream.attach_microphone(&microphone);
    // Keys back and forth: thousands of events nobody takes.
    let other = simulation.open_microphone(Device::Null).unwrap();
    bob.stream.attach_microphone(&other);
    for _ in 0..8 {
        let _ = bob.stream.send_dtmf(&"1".repeat(60));
        feeder.write(&tone(500.0, 0.3, ms(1000)));
        run(&mut simulation, &mut alice, &mut bob, ms(1000));
    }
    let heard = drain(&mut tap);
    assert!(longest_silence(&heard[9600..]) < 24);
    assert_eq!(unread[0].lost(), 0);
    assert_eq!(simulation.engine().stats().lost_news, 0);
}

#[test]
fn housekeeping_that_gets_no_time_holds_up_commands_and_not_the_sound() {
    let mut simulation = simulation();
    let ((source, mut feeder), (sink, mut tap)) = (pcm_source(), pcm_sink());
    let microphone = simulation.open_microphone(source).unwrap();
    let element = simulation.open_element(sink).unwrap();
    let (mut alice, mut bob) = (End::open(&simulation), End::open(&simulation));
    element.set_src_object(Some(&bob.stream.incoming()));
    alice.stream.attach_microphone(&microphone);
    feeder.write(&tone(500.0, 0.3, ms(8000)));
    run(&mut simulation, &mut alice, &mut bob, ms(1000));
    drain(&mut tap);

    simulation.hold_housekeeping(true);
    // More to be freed than the way back has room for, and more commands than the way there.
    for _ in 0..700 {
        bob.stream.reconfigure(&config()).unwrap();
        let mut changed = config();
        changed.send.opus_payload_type = 112;
        bob.stream.reconfigure(&changed).unwrap();
        element.set_volume(0.9);
        element.set_volume(1.0);
    }
    run(&mut simulation, &mut alice, &mut bob, ms(2000));
    let heard = drain(&mut tap);
    assert!(longest_silence(&heard) < 24);
    assert!(amplitude(&heard[48_000..72_000], 500.0) > 0.2);

    element.set_volume(0.0);
    simulation.hold_housekeeping(false);
    run(&mut simulation, &mut alice, &mut bob, ms(1000));
    drain(&mut tap);
    run(&mut simulation, &mut alice, &mut bob, ms(100));
    assert!(drain(&mut tap).iter().all(|sample| *sample == 0.0));
}

/// A sound system that hangs until it is released.
struct Hanging(mpsc::Receiver<()>);

impl Backend for Hanging {
    fn open_capture(
        &mut self,
        device: &Device,
        _: CaptureCallback,
    ) -> Result<Box<dyn OpenDevice>, OpenDeviceError> {
        let _ = self.0.recv();
        Err(OpenDeviceError::NotFound(device.clone()))
    }

    fn open_render(
        &mut self,
        device: &Device,
        _: RenderCallback,
    ) -> Result<Box<dyn OpenDevice>, OpenDeviceError> {
        let _ = self.0.recv();
        Err(OpenDeviceError::NotFound(device.clone()))
    }

    fn default_id(&mut self, _: Direction) -> Option<DeviceId> {
        None
    }

    fn is_present(&mut self, _: Direction, _: &Device) -> bool {
        false
    }
}

#[test]
fn a_sound_system_that_hangs_holds_up_only_who_waits_for_it() {
    let (release, hanging) = mpsc::channel();
    let engine = Engine::builder().backend(move || Box::new(Hanging(hanging))).build().unwrap();
    let opening = engine.request_element(Device::Default);
    let stream = engine.open_stream(&config()).unwrap();
    let before = engine.stats().ticks;
    let until = Instant::now() + Duration::from_secs(30);
    while engine.stats().ticks < before + 200 {
        assert!(Instant::now() < until, "the media thread stands still");
        std::thread::yield_now();
    }
    stream.close();
    release.send(()).unwrap();
    assert_eq!(opening.wait().unwrap_err(), OpenDeviceError::NotFound(Device::Default));
    engine.close();
}
