//! A microphone whose callback comes a little after the tick it should have come before.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use offhook_media::device::{Backend, OpenDevice};
use offhook_media::simulation::Simulation;
use offhook_media::threads::{CaptureCallback, RenderCallback};
use offhook_media::{AudioProcessing, Device, DeviceId, Direction, OpenDeviceError};

use crate::support::End;

const TICK: Duration = Duration::from_millis(5);
const MILLISECOND: Duration = Duration::from_millis(1);
/// A device's period is as long as a tick.
const PERIOD: usize = 240;

/// A sound system whose only microphone is played by the test.
#[derive(Clone, Default)]
struct Played(Arc<Mutex<Option<CaptureCallback>>>);

impl Played {
    fn deliver(&self) {
        self.0
            .lock()
            .expect("nobody panics holding it")
            .as_mut()
            .expect("it is open")
            .deliver(&[0.1; PERIOD]);
    }
}

struct Opened;

impl OpenDevice for Opened {
    fn sample_rate(&self) -> u32 {
        48_000
    }

    fn follows_engine_clock(&self) -> bool {
        false
    }
}

impl Backend for Played {
    fn open_capture(
        &mut self,
        _: &Device,
        callback: CaptureCallback,
    ) -> Result<Box<dyn OpenDevice>, OpenDeviceError> {
        *self.0.lock().expect("nobody panics holding it") = Some(callback);
        Ok(Box::new(Opened))
    }

    fn open_render(
        &mut self,
        device: &Device,
        _: RenderCallback,
    ) -> Result<Box<dyn OpenDevice>, OpenDeviceError> {
        Err(OpenDeviceError::NotFound(device.clone()))
    }

    fn default_id(&mut self, _: Direction) -> Option<DeviceId> {
        None
    }

    fn is_present(&mut self, _: Direction, _: &Device) -> bool {
        true
    }
}

/// The microphone calls 1 ms before every tick, but for the last time `late` milliseconds later. How long after that its packet is there.
fn packet_after(late: u32) -> Duration {
    let device = Played::default();
    let mut simulation = Simulation::with_backend(TICK, Box::new(device.clone()));
    let microphone = simulation.open_microphone(Device::Default).expect("it opens");
    microphone.set_processing(AudioProcessing::OFF);
    let mut end = End::open(&simulation);
    end.stream.attach_microphone(&microphone);
    simulation.advance(TICK - MILLISECOND);
    // An even number: the last period completes a packet.
    for _ in 1..40 {
        device.deliver();
        simulation.advance(TICK);
    }
    while end.port.outgoing.pop().is_some() {}
    simulation.advance(MILLISECOND * late);
    device.deliver();
    let mut waited = Duration::ZERO;
    while end.port.outgoing.pop().is_none() {
        simulation.advance(MILLISECOND / 4);
        waited += MILLISECOND / 4;
        assert!(waited < 2 * TICK, "no packet came");
    }
    waited
}

#[test]
fn its_sound_does_not_wait_for_the_next_tick() {
    assert!(packet_after(0) <= MILLISECOND * 5 / 4, "{:?}", packet_after(0));
    for late in 2..4 {
        assert!(packet_after(late) <= MILLISECOND, "{late}: {:?}", packet_after(late));
    }
    // Nobody looks for one that is as late as the next tick would be.
    assert!(packet_after(5) <= TICK);
}
