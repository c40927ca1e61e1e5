//! Devices of the system that break, vanish, fall silent, come back, or are no longer the default.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use crate::support::{self, TICK, ms};
use offhook_media::device::{Backend, DeviceHealth, ErrorSeverity, OpenDevice};
use offhook_media::simulation::Simulation;
use offhook_media::threads::{CaptureCallback, RenderCallback};
use offhook_media::{
    AudioElement, Device, DeviceEvent, DeviceId, Direction, Events, LossCause, OpenDeviceError,
};

/// A sound system of two speakers and two microphones, all of them under the test's control.
#[derive(Default)]
struct World {
    present: Vec<DeviceId>,
    default: Option<DeviceId>,
    running: Vec<Running>,
    opened: Vec<Device>,
}

struct Running {
    id: DeviceId,
    number: usize,
    health: Arc<DeviceHealth>,
    silent: bool,
    period: Box<dyn FnMut()>,
}

#[derive(Clone, Default)]
struct FakeSystem(Rc<RefCell<World>>);

struct FakeDevice {
    system: FakeSystem,
    number: usize,
}

impl OpenDevice for FakeDevice {
    fn sample_rate(&self) -> u32 {
        48_000
    }
    fn follows_engine_clock(&self) -> bool {
        true
    }
}

impl Drop for FakeDevice {
    fn drop(&mut self) {
        self.system.0.borrow_mut().running.retain(|device| device.number != self.number);
    }
}

impl FakeSystem {
    fn with_devices(ids: &[&str]) -> Self {
        let system = Self::default();
        system.0.borrow_mut().present = ids.iter().map(|name| id(name)).collect();
        system.set_default(ids.first().copied());
        system
    }

    fn set_default(&self, name: Option<&str>) {
        self.0.borrow_mut().default = name.map(id);
    }

    fn plug(&self, name: &str) {
        self.0.borrow_mut().present.push(id(name));
    }

    fn unplug(&self, name: &str) {
        self.0.borrow_mut().present.retain(|present| *present != id(name));
        self.report(name, ErrorSeverity::Gone, 1);
    }

    fn report(&self, name: &str, severity: ErrorSeverity, times: usize) {
        for device in self.0.borrow().running.iter().filter(|device| device.id == id(name)) {
            (0..times).for_each(|_| device.health.count_error(severity));
        }
    }

    fn hush(&self, name: &str) {
        let mut world = self.0.borrow_mut();
        world
            .running
            .iter_mut()
            .filter(|device| device.id == id(name))
            .for_each(|device| device.silent = true);
    }

    fn running(&self) -> Vec<String> {
        self.0.borrow().running.iter().map(|device| device.id.to_string()).collect()
    }

    fn open(
        &self,
        device: &Device,
        health: Arc<DeviceHealth>,
        period: Box<dyn FnMut()>,
    ) -> Result<Box<dyn OpenDevice>, OpenDeviceError> {
        let mut world = self.0.borrow_mut();
        let id = match device {
            Device::Default => world.default.clone(),
            Device::Id(id) => world.present.contains(id).then(|| id.clone()),
            _ => Some(id("paced:null")),
        };
        let id = id.ok_or_else(|| OpenDeviceError::NotFound(device.clone()))?;
        world.opened.push(device.clone());
        let number = world.opened.len();
        world.running.push(Running { id, number, health, silent: false, period });
        drop(world);
        Ok(Box::new(FakeDevice { system: self.clone(), number }))
    }
}

impl Backend for FakeSystem {
    fn open_capture(
        &mut self,
        device: &Device,
        mut callback: CaptureCallback,
    ) -> Result<Box<dyn OpenDevice>, OpenDeviceError> {
        self.open(device, callback.health(), Box::new(move || callback.deliver(&[0.1; 240])))
    }

    fn open_render(
        &mut self,
        device: &Device,
        mut callback: RenderCallback,
    ) -> Result<Box<dyn OpenDevice>, OpenDeviceError> {
        self.open(device, callback.health(), Box::new(move || callback.fill(&mut [0.0; 240])))
    }

    fn default_id(&mut self, _: Direction) -> Option<DeviceId> {
        self.0.borrow().default.clone()
    }

    fn is_present(&mut self, _: Direction, device: &Device) -> bool {
        let world = self.0.borrow();
        match device {
            Device::Id(id) => world.present.contains(id),
            _ => world.default.is_some(),
        }
    }
}

fn id(name: &str) -> DeviceId {
    name.parse().expect("it is an id")
}

struct Scene {
    system: FakeSystem,
    simulation: Simulation,
    events: Events<DeviceEvent>,
}

impl Scene {
    fn begin() -> Self {
        let system = FakeSystem::with_devices(&["fake:builtin", "fake:headset"]);
        let simulation = Simulation::with_backend(TICK, Box::new(system.clone()));
        let events = simulation.engine().device_events();
        Self { system, simulation, events }
    }

    fn headset(&mut self) -> AudioElement {
        self.simulation.open_element(Device::Id(id("fake:headset"))).expect("it is there")
    }

    /// Lets time pass; the devices call back every 5 ms.
    fn run(&mut self, milliseconds: u64) {
        for _ in 0..milliseconds / 5 {
            self.simulation.advance(ms(5));
            for device in &mut self.system.0.borrow_mut().running {
                if !device.silent {
                    (device.period)();
                }
            }
        }
    }

    fn event(&mut self) -> Option<DeviceEvent> {
        self.events.try_next()
    }

    /// Whether what is used now goes on calling back.
    fn assert_alive(&mut self) {
        let callbacks = |scene: &Self| {
            scene.simulation.engine().stats().devices.iter().map(|one| one.callbacks).sum::<u64>()
        };
        let before = callbacks(self);
        self.run(100);
        assert!(callbacks(self) >= before + 19);
    }
}

fn lost(device: &str, now: Device, cause: LossCause) -> DeviceEvent {
    DeviceEvent::Lost { direction: Direction::Render, device: Device::Id(id(device)), now, cause }
}

#[test]
fn an_unplugged_speaker_falls_back_to_the_default_and_comes_back() {
    let mut scene = Scene::begin();
    let element = scene.headset();
    scene.run(500);
    scene.system.unplug("fake:headset");
    scene.run(200);
    assert_eq!(scene.event(), Some(lost("fake:headset", Device::Default, LossCause::Gone)));
    assert_eq!(scene.system.running(), ["fake:builtin"]);
    let stats = scene.simulation.engine().stats().devices.remove(0);
    assert_eq!((stats.wanted, stats.current), (Device::Id(id("fake:headset")), Device::Default));
    scene.assert_alive();

    scene.system.plug("fake:headset");
    scene.run(1200);
    let returned =
        DeviceEvent::Returned { direction: Direction::Render, device: Device::Id(id("fake:headset")) };
    assert_eq!(scene.event(), Some(returned));
    assert_eq!(scene.system.running(), ["fake:headset"]);
    assert_eq!(element.sink_id(), Device::Id(id("fake:headset")));
    scene.assert_alive();
    assert_eq!(scene.event(), None);
}

#[test]
fn a_flood_of_errors_and_long_silence_are_losses_and_a_few_errors_are_none() {
    let mut scene = Scene::begin();
    let _element = scene.headset();
    scene.run(300);
    scene.system.report("fake:headset", ErrorSeverity::Failure, 3);
    scene.system.report("fake:headset", ErrorSeverity::Passing, 1000);
    scene.run(300);
    assert_eq!(scene.event(), None);

    scene.system.report("fake:headset", ErrorSeverity::Failure, 2_000_000);
    scene.run(200);
    assert_eq!(scene.event(), Some(lost("fake:headset", Device::Default, LossCause::Errors)));
    // It is still there: used again at the next look.
    scene.run(1200);
    assert!(matches!(scene.event(), Some(DeviceEvent::Returned { .. })));

    scene.system.hush("fake:headset");
    scene.run(400);
    assert_eq!(scene.event(), None);
    scene.run(300);
    assert_eq!(scene.event(), Some(lost("fake:headset", Device::Default, LossCause::Silent)));
    scene.assert_alive();
}

#[test]
fn without_any_device_silence_keeps_the_pace_until_one_comes() {
    let mut scene = Scene::begin();
    let _element = scene.headset();
    scene.run(300);
    scene.system.set_default(None);
    scene.system.unplug("fake:builtin");
    scene.system.unplug("fake:headset");
    scene.run(200);
    assert_eq!(scene.event(), Some(lost("fake:headset", Device::Null, LossCause::Gone)));
    assert_eq!(scene.system.running(), ["paced:null"]);
    scene.assert_alive();
    scene.run(3000);
    scene.system.plug("fake:headset");
    scene.run(1200);
    assert!(matches!(scene.event(), Some(DeviceEvent::Returned { .. })));
    assert_eq!(scene.system.running(), ["fake:headset"]);
}

#[test]
fn what_follows_the_default_follows_a_change_of_it() {
    let mut scene = Scene::begin();
    let element = scene.simulation.open_element(Device::Default).unwrap();
    let microphone = scene.simulation.open_microphone(Device::Id(id("fake:builtin"))).unwrap();
    scene.run(2500);
    assert_eq!(scene.event(), None);
    scene.system.set_default(Some("fake:headset"));
    scene.run(1200);
    let changed = DeviceEvent::DefaultChanged { direction: Direction::Render, id: Some(id("fake:headset")) };
    assert_eq!(scene.event(), Some(changed));
    assert_eq!(scene.system.running(), ["fake:builtin", "fake:headset"]);
    scene.assert_alive();
    drop((element, microphone));
    scene.run(50);
    assert!(scene.system.running().is_empty());
}

#[test]
fn a_lost_microphone_is_replaced_and_goes_on_being_heard() {
    let mut scene = Scene::begin();
    let microphone = scene.simulation.open_microphone(Device::Id(id("fake:headset"))).unwrap();
    let stream = scene.simulation.engine().open_stream(&support::config()).unwrap();
    stream.attach_microphone(&microphone);
    scene.run(500);
    scene.system.unplug("fake:headset");
    scene.run(200);
    let before = stream.stats().send.packets;
    scene.run(500);
    assert!(stream.stats().send.packets >= before + 45);
    let event = scene.event();
    assert!(matches!(event, Some(DeviceEvent::Lost { direction: Direction::Capture, .. })), "{event:?}");
}

#[test]
fn a_stream_that_is_closed_keeps_no_microphone_open() {
    let mut scene = Scene::begin();
    let microphone = scene.simulation.open_microphone(Device::Id(id("fake:headset"))).unwrap();
    let stream = scene.simulation.engine().open_stream(&support::config()).unwrap();
    stream.close();
    stream.attach_microphone(&microphone);
    drop(microphone);
    scene.run(50);
    assert!(scene.system.running().is_empty());
    assert!(stream.stats().send.packets == 0);
}
