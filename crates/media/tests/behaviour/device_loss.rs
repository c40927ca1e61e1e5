//! Devices of the system that break, vanish, fall silent, come back, or are no longer the default.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use crate::support::{self, TICK, ms};
use offhook_media::device::{Backend, DeviceHealth, ErrorSeverity, OpenDevice, Sighting};
use offhook_media::simulation::Simulation;
use offhook_media::threads::{CaptureCallback, RenderCallback};
use offhook_media::{
    AudioElement, Device, DeviceEvent, DeviceId, Direction, Events, LossCause, OpenDeviceError,
};

/// A sound system of two speakers and two microphones, all of them under the test's control.
#[derive(Default)]
struct World {
    present: Vec<(DeviceId, u32)>,
    default: Option<DeviceId>,
    running: Vec<Running>,
    opened: Vec<Device>,
    plugged: u32,
    looks: u32,
    hangs: bool,
}

impl World {
    fn number_of(&self, id: &DeviceId) -> Option<u32> {
        self.present.iter().find(|(present, _)| present == id).map(|(_, number)| *number)
    }
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
        ids.iter().for_each(|name| system.plug(name));
        system.set_default(ids.first().copied());
        system
    }

    fn set_default(&self, name: Option<&str>) {
        self.0.borrow_mut().default = name.map(id);
    }

    fn plug(&self, name: &str) {
        let mut world = self.0.borrow_mut();
        world.plugged += 1;
        let number = world.plugged;
        world.present.push((id(name), number));
    }

    fn unplug(&self, name: &str) {
        self.vanish(name);
        self.report(name, ErrorSeverity::Gone, 1);
    }

    /// As a sound server does it that carries the sound elsewhere: the stream goes on without a word.
    fn vanish(&self, name: &str) {
        self.0.borrow_mut().present.retain(|(present, _)| *present != id(name));
    }

    /// Whether the system keeps what it knows to itself.
    fn hang(&self, hangs: bool) {
        self.0.borrow_mut().hangs = hangs;
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
            Device::Id(id) => world.number_of(id).map(|_| id.clone()),
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
            Device::Id(id) => world.number_of(id).is_some(),
            _ => world.default.is_some(),
        }
    }

    fn look_for(&mut self, _: Direction, id: &DeviceId) -> Sighting {
        let mut world = self.0.borrow_mut();
        world.looks += 1;
        if world.hangs {
            Sighting::Unknown
        } else {
            world.number_of(id).map_or(Sighting::Absent, Sighting::Present)
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

fn returned(device: &str) -> DeviceEvent {
    DeviceEvent::Returned { direction: Direction::Render, device: Device::Id(id(device)) }
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
    assert_eq!(scene.event(), Some(returned("fake:headset")));
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
fn a_device_that_vanishes_without_a_word_is_missed_within_a_second_and_comes_back() {
    for direction in [Direction::Render, Direction::Capture] {
        let mut scene = Scene::begin();
        let device = Device::Id(id("fake:headset"));
        let (mut element, mut microphone) = (None, None);
        match direction {
            Direction::Render => element = Some(scene.headset()),
            Direction::Capture => {
                microphone = Some(scene.simulation.open_microphone(device.clone()).unwrap())
            }
        }
        scene.run(2500);
        assert_eq!(scene.event(), None);
        scene.system.vanish("fake:headset");
        scene.run(1100);
        let (now, cause) = (Device::Default, LossCause::Gone);
        let lost = DeviceEvent::Lost { direction, device: device.clone(), now, cause };
        assert_eq!(scene.event(), Some(lost));
        assert_eq!(scene.system.running(), ["fake:builtin"]);
        scene.run(5000);
        assert_eq!(scene.event(), None);

        scene.system.plug("fake:headset");
        scene.run(1100);
        assert_eq!(scene.event(), Some(DeviceEvent::Returned { direction, device }));
        assert_eq!(scene.system.running(), ["fake:headset"]);
        scene.run(5000);
        assert_eq!(scene.event(), None);
        scene.assert_alive();
        drop((element, microphone));
    }
}

#[test]
fn a_device_that_was_away_between_two_looks_was_lost_and_returned() {
    let mut scene = Scene::begin();
    let _element = scene.headset();
    scene.run(2500);
    scene.system.vanish("fake:headset");
    scene.system.plug("fake:headset");
    scene.run(1100);
    assert_eq!(scene.event(), Some(lost("fake:headset", Device::Default, LossCause::Gone)));
    assert_eq!(scene.event(), Some(returned("fake:headset")));
    assert_eq!(scene.system.running(), ["fake:headset"]);
    scene.run(5000);
    assert_eq!(scene.event(), None);
}

#[test]
fn a_look_without_an_answer_means_nothing() {
    let mut scene = Scene::begin();
    let _element = scene.headset();
    scene.run(2500);
    for hung in [1000, 10_000] {
        scene.system.hang(true);
        scene.run(hung);
        scene.system.hang(false);
        scene.run(3000);
        assert_eq!((scene.event(), scene.system.running()), (None, vec!["fake:headset".to_owned()]));
    }
    scene.system.hang(true);
    scene.system.vanish("fake:headset");
    scene.run(5000);
    assert_eq!(scene.event(), None);
    scene.system.hang(false);
    scene.run(1100);
    assert_eq!(scene.event(), Some(lost("fake:headset", Device::Default, LossCause::Gone)));
}

#[test]
fn a_device_opened_while_nothing_was_answered_is_missed_once_it_was_seen() {
    let mut scene = Scene::begin();
    scene.system.hang(true);
    let _element = scene.headset();
    scene.run(1000);
    scene.system.hang(false);
    scene.run(2000);
    assert_eq!(scene.event(), None);
    scene.system.vanish("fake:headset");
    scene.system.plug("fake:headset");
    scene.run(1100);
    assert_eq!(scene.event(), Some(lost("fake:headset", Device::Default, LossCause::Gone)));
    assert_eq!(scene.event(), Some(returned("fake:headset")));
}

#[test]
fn a_device_in_use_is_looked_for_once_a_second_and_others_are_not() {
    let mut scene = Scene::begin();
    let queue = scene.simulation.open_element(Device::Null).unwrap();
    let default = scene.simulation.open_element(Device::Default).unwrap();
    scene.run(10_000);
    assert_eq!(scene.system.0.borrow().looks, 0);
    let element = scene.headset();
    scene.run(10_000);
    assert!((10..=12).contains(&scene.system.0.borrow().looks), "{}", scene.system.0.borrow().looks);
    drop((queue, default, element));
}

#[test]
fn the_default_that_vanishes_is_replaced_by_the_default_of_then() {
    let mut scene = Scene::begin();
    scene.system.set_default(Some("fake:headset"));
    let _element = scene.headset();
    scene.run(2500);
    scene.system.vanish("fake:headset");
    scene.system.set_default(Some("fake:builtin"));
    scene.run(5000);
    assert_eq!(scene.event(), Some(lost("fake:headset", Device::Default, LossCause::Gone)));
    // It was opened once, and its change is no news to whom did not use it.
    assert_eq!(scene.event(), None);
    assert_eq!(scene.system.0.borrow().opened, [Device::Id(id("fake:headset")), Device::Default]);
}

#[test]
fn what_the_default_became_while_nobody_used_it_is_no_change() {
    let mut scene = Scene::begin();
    let element = scene.simulation.open_element(Device::Default).unwrap();
    scene.run(2500);
    drop(element);
    scene.run(100);
    scene.system.set_default(Some("fake:headset"));
    let _element = scene.simulation.open_element(Device::Default).unwrap();
    scene.run(2500);
    assert_eq!(scene.event(), None);
    assert_eq!(scene.system.0.borrow().opened.len(), 2);
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
