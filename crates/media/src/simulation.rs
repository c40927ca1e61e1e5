//! An engine in virtual time: whoever holds it plays all of its threads, on one thread.
//!
//! Handles behave as on a real engine, but nothing moves until [`Simulation::advance`] is called.

use std::cell::RefCell;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use offhook_media_core::units::MediaTime;

use crate::device::paced::{PacedCapture, PacedRender};
use crate::device::supervisor::{Request, Supervisor};
use crate::device::{Backend, Device, DeviceId, Direction, OpenDevice, OpenDeviceError};
use crate::element::AudioElement;
use crate::engine::{Engine, Parts};
use crate::enhance::worker::EnhanceWorker;
use crate::microphone::Microphone;
use crate::opening::Opening;
use crate::processor::MediaProcessor;
use crate::threads::device_thread;
use crate::threads::housekeeping::{self, Housekeeper};
use crate::threads::{CaptureCallback, EngineClock, Priority, RenderCallback};

/// How the devices of a simulation are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SimulatedDevice {
    /// Samples per second of its own clock, as it says.
    pub sample_rate: u32,
    /// Samples per period.
    pub period: usize,
    /// How much its clock runs fast, in parts per million.
    pub skew_ppm: f64,
}

impl Default for SimulatedDevice {
    /// 48 kHz, 5 ms, in step with the engine's clock.
    fn default() -> Self {
        Self { sample_rate: 48_000, period: 240, skew_ppm: 0.0 }
    }
}

/// An engine without threads.
pub struct Simulation {
    engine: Engine,
    clock: EngineClock,
    processor: MediaProcessor,
    enhancer: EnhanceWorker,
    housekeeper: Housekeeper,
    supervisor: Supervisor,
    requests: Receiver<Request>,
    devices: SharedDevices,
    now: MediaTime,
    next_tick: MediaTime,
    /// The last tick.
    ticked: MediaTime,
    next_collect: Option<MediaTime>,
    next_housekeeping: MediaTime,
    next_check: MediaTime,
    housekeeping_held: bool,
    enhancer_held: bool,
}

impl Simulation {
    /// An engine that ticks every `period`, whose null, WAV and PCM devices are such as `device` says. `counter` is as in
    /// [`EngineBuilder::allocation_counter`](crate::EngineBuilder::allocation_counter).
    pub fn new(period: Duration, device: SimulatedDevice, counter: Option<fn() -> u64>) -> Self {
        Self::with_devices(period, device, device, counter)
    }

    /// As [`new`](Self::new), with microphones and speakers that differ.
    pub fn with_devices(
        period: Duration,
        capture: SimulatedDevice,
        render: SimulatedDevice,
        counter: Option<fn() -> u64>,
    ) -> Self {
        let devices = SharedDevices::default();
        let clock = EngineClock::standing();
        let backend = SimulatedBackend { devices: devices.clone(), capture, render, clock };
        Self::with_parts(clock, period, counter, Box::new(backend), devices)
    }

    /// An engine with a sound system of the caller's, which calls the callbacks itself.
    pub fn with_backend(period: Duration, backend: Box<dyn Backend>) -> Self {
        Self::with_parts(EngineClock::standing(), period, None, backend, SharedDevices::default())
    }

    fn with_parts(
        clock: EngineClock,
        period: Duration,
        counter: Option<fn() -> u64>,
        backend: Box<dyn Backend>,
        devices: SharedDevices,
    ) -> Self {
        let Parts { control, mut processor, housekeeper, requests, enhancer } =
            Parts::new(clock, period, counter);
        processor.expect_lateness_of(Priority::RealTime(1));
        let supervisor = Supervisor::new(Arc::clone(&control), backend);
        let (zero, engine) = (MediaTime::ZERO, Engine::without_threads(control));
        Self {
            engine,
            clock,
            processor,
            enhancer,
            housekeeper,
            supervisor,
            requests,
            devices,
            now: zero,
            next_tick: zero + period,
            ticked: MediaTime::ZERO,
            next_collect: None,
            next_housekeeping: zero + housekeeping::EVERY,
            next_check: zero + device_thread::CHECK_EVERY,
            housekeeping_held: false,
            enhancer_held: false,
        }
    }

    /// The engine, to open streams and the like on. Its blocking calls would wait for ever: open devices through the simulation.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Opens a microphone at once.
    ///
    /// # Errors
    /// Every [`OpenDeviceError`].
    pub fn open_microphone(&mut self, device: Device) -> Result<Microphone, OpenDeviceError> {
        let opening = self.engine.request_microphone(device);
        self.settle(opening)
    }

    /// Opens an element at once.
    ///
    /// # Errors
    /// Every [`OpenDeviceError`].
    pub fn open_element(&mut self, device: Device) -> Result<AudioElement, OpenDeviceError> {
        let opening = self.engine.request_element(device);
        self.settle(opening)
    }

    fn settle<T>(&mut self, opening: Opening<T>) -> Result<T, OpenDeviceError> {
        self.handle_requests();
        opening.wait()
    }

    /// The present.
    pub fn now(&self) -> MediaTime {
        self.now
    }

    /// Stops housekeeping, or lets it go on: as if the system gave that thread no time.
    pub fn hold_housekeeping(&mut self, held: bool) {
        self.housekeeping_held = held;
    }

    /// Stops what enhances microphones, or lets it go on: as if the system gave that thread no time.
    pub fn hold_enhancer(&mut self, held: bool) {
        self.enhancer_held = held;
    }

    /// Plays one tick of the media thread now and nothing else.
    pub fn tick(&mut self) {
        let probe = &self.engine.control().probe;
        let before = probe.enter();
        self.processor.tick(self.now);
        probe.leave(before);
    }

    /// Carries out what was asked of the device thread.
    pub fn handle_requests(&mut self) {
        while let Ok(request) = self.requests.try_recv() {
            self.supervisor.handle(self.now, request);
        }
    }

    /// Moves everything on by `duration`.
    pub fn advance(&mut self, duration: Duration) {
        let until = self.now + duration;
        self.handle_requests();
        loop {
            let device = self.devices.next_due();
            let collect = self.next_collect;
            let next =
                [collect, Some(self.next_tick), Some(self.next_housekeeping), Some(self.next_check), device]
                    .into_iter()
                    .flatten()
                    .min()
                    .unwrap_or(until);
            if next > until {
                break;
            }
            self.go_to(next);
            self.step(next);
        }
        self.go_to(until);
    }

    fn step(&mut self, now: MediaTime) {
        self.devices.run_due(now);
        if self.next_tick <= now {
            self.tick();
            self.next_tick += self.processor.step();
            if !self.enhancer_held {
                self.enhancer.work();
            }
            self.ticked = now;
            self.next_collect = self.processor.collects_after(now).map(|later| now + later);
        }
        if self.next_collect.is_some_and(|at| at <= now) {
            let probe = &self.engine.control().probe;
            let before = probe.enter();
            self.processor.collect(now);
            probe.leave(before);
            self.next_collect = self.processor.collects_after(now).map(|later| self.ticked + later);
        }
        if self.next_housekeeping <= now {
            self.next_housekeeping += housekeeping::EVERY;
            if !self.housekeeping_held {
                self.housekeeper.work();
            }
        }
        if self.next_check <= now {
            self.next_check += device_thread::CHECK_EVERY;
            self.handle_requests();
            self.supervisor.check(now);
        }
    }

    fn go_to(&mut self, now: MediaTime) {
        self.now = now;
        self.clock.set(now);
    }
}

impl std::fmt::Debug for Simulation {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Simulation").field("now", &self.now).finish_non_exhaustive()
    }
}

/// Devices that run in a simulation.
#[derive(Clone, Default)]
struct SharedDevices(Rc<RefCell<Vec<Weak<RefCell<Running>>>>>);

struct Running {
    period: Box<dyn FnMut()>,
    began: MediaTime,
    periods: u64,
    /// Microseconds from one period to the next.
    length: f64,
}

impl Running {
    fn due(&self) -> MediaTime {
        self.began + Duration::from_nanos(((self.periods + 1) as f64 * self.length * 1000.0) as u64)
    }
}

impl SharedDevices {
    fn next_due(&self) -> Option<MediaTime> {
        self.0.borrow().iter().filter_map(Weak::upgrade).map(|device| device.borrow().due()).min()
    }

    fn run_due(&self, now: MediaTime) {
        self.0.borrow_mut().retain(|device| device.strong_count() > 0);
        for device in self.0.borrow().iter().filter_map(Weak::upgrade) {
            let mut device = device.borrow_mut();
            while device.due() <= now {
                device.periods += 1;
                (device.period)();
            }
        }
    }
}

struct SimulatedBackend {
    devices: SharedDevices,
    capture: SimulatedDevice,
    render: SimulatedDevice,
    clock: EngineClock,
}

impl SimulatedBackend {
    fn run(&self, device: SimulatedDevice, period: Box<dyn FnMut()>) -> Box<dyn OpenDevice> {
        let rate = f64::from(device.sample_rate) * (1.0 + device.skew_ppm * 1e-6);
        let length = device.period as f64 * 1e6 / rate;
        let running = Running { period, began: self.clock.now(), periods: 0, length };
        let running = Rc::new(RefCell::new(running));
        self.devices.0.borrow_mut().push(Rc::downgrade(&running));
        Box::new(SimulatedOpenDevice { _running: running, device })
    }
}

struct SimulatedOpenDevice {
    _running: Rc<RefCell<Running>>,
    device: SimulatedDevice,
}

impl OpenDevice for SimulatedOpenDevice {
    fn sample_rate(&self) -> u32 {
        self.device.sample_rate
    }

    fn follows_engine_clock(&self) -> bool {
        self.device.sample_rate == 48_000 && self.device.skew_ppm == 0.0
    }
}

impl Backend for SimulatedBackend {
    fn open_capture(
        &mut self,
        device: &Device,
        callback: CaptureCallback,
    ) -> Result<Box<dyn OpenDevice>, OpenDeviceError> {
        let mut capture = PacedCapture::open(device, self.capture.period, callback)?;
        Ok(self.run(self.capture, Box::new(move || capture.period())))
    }

    fn open_render(
        &mut self,
        device: &Device,
        callback: RenderCallback,
    ) -> Result<Box<dyn OpenDevice>, OpenDeviceError> {
        let mut render = PacedRender::open(device, self.render.period, callback)?;
        Ok(self.run(self.render, Box::new(move || render.period())))
    }

    fn default_id(&mut self, _: Direction) -> Option<DeviceId> {
        None
    }

    fn is_present(&mut self, _: Direction, device: &Device) -> bool {
        !device.is_of_the_system()
    }
}
