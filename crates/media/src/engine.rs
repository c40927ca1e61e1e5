//! The engine: its threads, and what is opened on them.

use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use thiserror::Error;

use crate::control::{Control, lock};
use crate::device::paced::Pace;
use crate::device::supervisor::Request;
use crate::device::{Backend, Device, Direction, OpenDeviceError, RealTimeProbe, SystemBackend};
use crate::element::AudioElement;
use crate::enhance::worker::EnhanceWorker;
use crate::event_queue::Events;
use crate::key::Key;
use crate::latency::LatencyMode;
use crate::microphone::Microphone;
use crate::opening::Opening;
use crate::processor::MediaProcessor;
use crate::reply::{Reply, reply};
use crate::stats::{DeviceEvent, EngineStats};
use crate::stream::{MediaStream, OpenStreamError, StreamConfig};
use crate::threads::housekeeping::Housekeeper;
use crate::threads::pacer::Pacer;
use crate::threads::{EngineClock, device_thread, enhance_thread, housekeeping, media_thread};

/// Ticks and periods may lie between these.
const SHORTEST: Duration = Duration::from_micros(500);
const LONGEST: Duration = Duration::from_millis(20);
/// Longest wait for a thread to end.
const END_WITHIN: Duration = Duration::from_secs(2);

/// Why an engine could not be started.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum StartEngineError {
    /// The system starts no more threads: end some.
    #[error("the thread {name} could not be started: {reason}")]
    Thread {
        /// Which.
        name: &'static str,
        /// What the system says.
        reason: String,
    },
}

type MakeBackend = Box<dyn FnOnce() -> Box<dyn Backend> + Send>;

/// Settings of an engine.
pub struct EngineBuilder {
    period: Duration,
    real_time: bool,
    paced_period: Duration,
    latency: LatencyMode,
    counter: Option<fn() -> u64>,
    backend: Option<MakeBackend>,
}

impl EngineBuilder {
    /// What delay it is tuned for: sets [`period`](Self::period) and [`paced_period`](Self::paced_period), and what is asked of devices.
    #[must_use]
    pub fn latency(mut self, latency: LatencyMode) -> Self {
        (self.period, self.paced_period) = (latency.tick(), latency.paced_period());
        self.latency = latency;
        self
    }

    /// How often the media thread ticks: 0.5 to 20 ms, 5 ms by default.
    #[must_use]
    pub fn period(mut self, period: Duration) -> Self {
        self.period = period.clamp(SHORTEST, LONGEST);
        self
    }

    /// Whether to ask for real-time priority; it is asked for by default.
    #[must_use]
    pub fn real_time(mut self, real_time: bool) -> Self {
        self.real_time = real_time;
        self
    }

    /// Period of devices that are no hardware: 0.5 to 20 ms, 5 ms by default.
    #[must_use]
    pub fn paced_period(mut self, period: Duration) -> Self {
        self.paced_period = period.clamp(SHORTEST, LONGEST);
        self
    }

    /// `counter` tells how often the calling thread has allocated or freed memory so far. It is asked around ticks and device callbacks; what
    /// it counted is in the statistics.
    #[must_use]
    pub fn allocation_counter(mut self, counter: fn() -> u64) -> Self {
        self.counter = Some(counter);
        self
    }

    /// Another sound system than this machine's. `make` is called once, on the device thread.
    #[must_use]
    pub fn backend(mut self, make: impl FnOnce() -> Box<dyn Backend> + Send + 'static) -> Self {
        self.backend = Some(Box::new(make));
        self
    }

    /// Starts the engine's threads.
    ///
    /// # Errors
    /// [`StartEngineError::Thread`].
    pub fn build(self) -> Result<Engine, StartEngineError> {
        let clock = EngineClock::start();
        let (period, real_time) = (self.period, self.real_time);
        let pace = Pace { period: self.paced_period, tick: period, latency: self.latency, real_time };
        let make = self.backend.unwrap_or_else(|| Box::new(move || Box::new(SystemBackend::new(pace))));
        let Parts { control, processor, housekeeper, requests, enhancer } =
            Parts::new(clock, period, self.counter);
        let mut threads = Threads::default();
        let started = threads
            .start("offhook-devices", {
                let control = Arc::clone(&control);
                move || device_thread::run(control, make(), &requests)
            })
            .and_then(|()| {
                let (counters, probe) = (Arc::clone(&control.counters), control.probe.clone());
                let pacer = Pacer::on_beat(clock, Duration::ZERO, period);
                threads.start("offhook-media", move || {
                    media_thread::run(processor, pacer, period, real_time, &counters, &probe);
                })
            })
            .and_then(|()| {
                let counters = Arc::clone(&control.counters);
                threads.start("offhook-housekeeping", move || housekeeping::run(housekeeper, &counters))
            })
            .and_then(|()| {
                let counters = Arc::clone(&control.counters);
                let beat = enhance_thread::beat(clock, period);
                threads.start("offhook-enhance", move || {
                    enhance_thread::run(enhancer, beat, real_time, &counters);
                })
            });
        if let Some(enhance) = threads.last() {
            control.enhance.wake_by(enhance);
        }
        let engine = Engine {
            owner: Arc::new(Owner { control: Arc::clone(&control), threads: Mutex::new(threads) }),
            control,
        };
        started.map(|()| engine)
    }
}

impl std::fmt::Debug for EngineBuilder {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("EngineBuilder")
            .field("period", &self.period)
            .field("real_time", &self.real_time)
            .field("paced_period", &self.paced_period)
            .finish_non_exhaustive()
    }
}

/// What an engine consists of before it has threads.
pub(crate) struct Parts {
    pub(crate) control: Arc<Control>,
    pub(crate) processor: MediaProcessor,
    pub(crate) housekeeper: Housekeeper,
    pub(crate) requests: mpsc::Receiver<Request>,
    pub(crate) enhancer: EnhanceWorker,
}

impl Parts {
    pub(crate) fn new(clock: EngineClock, period: Duration, counter: Option<fn() -> u64>) -> Self {
        let lost_news = Arc::default();
        let (enhancer, enhance, reference) = EnhanceWorker::new();
        let (processor, ends) = MediaProcessor::new(period, Arc::clone(&lost_news), reference);
        let (ask, requests) = mpsc::channel();
        let probe = RealTimeProbe::new(counter);
        let control = Arc::new(Control::new(clock, period, probe, ends.commands, lost_news, ask, enhance));
        let housekeeper = Housekeeper::new(Arc::clone(&control), ends.garbage, ends.news);
        Self { control, processor, housekeeper, requests, enhancer }
    }
}

/// An engine that runs. Copies are the same engine; its threads end when the last copy and everything that was opened on it are dropped.
#[derive(Debug, Clone)]
pub struct Engine {
    control: Arc<Control>,
    owner: Arc<Owner>,
}

impl Engine {
    /// An engine with settings of its own.
    pub fn builder() -> EngineBuilder {
        EngineBuilder {
            period: LatencyMode::Normal.tick(),
            real_time: true,
            paced_period: LatencyMode::Normal.paced_period(),
            latency: LatencyMode::Normal,
            counter: None,
            backend: None,
        }
    }

    /// The process-wide engine, started on first use, and again after it was closed.
    ///
    /// # Errors
    /// Every [`StartEngineError`].
    pub fn shared() -> Result<Self, StartEngineError> {
        static SHARED: Mutex<Option<Engine>> = Mutex::new(None);
        let mut shared = lock(&SHARED);
        if let Some(engine) = shared.as_ref().filter(|engine| !engine.is_closed()) {
            return Ok(engine.clone());
        }
        let engine = Self::builder().build()?;
        *shared = Some(engine.clone());
        Ok(engine)
    }

    /// An engine whose threads are played by somebody else.
    pub(crate) fn without_threads(control: Arc<Control>) -> Self {
        let owner = Owner { control: Arc::clone(&control), threads: Mutex::default() };
        Self { control, owner: Arc::new(owner) }
    }

    /// Opens a microphone. Blocks while the sound system does, ten seconds at most.
    ///
    /// # Errors
    /// Every [`OpenDeviceError`].
    pub fn open_microphone(&self, device: Device) -> Result<Microphone, OpenDeviceError> {
        self.request_microphone(device).wait()
    }

    /// Opens a microphone, to be awaited.
    pub fn request_microphone(&self, device: Device) -> Opening<Microphone> {
        self.request(Direction::Capture, device, Microphone::new)
    }

    /// Opens an element. Blocks while the sound system does, ten seconds at most.
    ///
    /// # Errors
    /// Every [`OpenDeviceError`].
    pub fn open_element(&self, device: Device) -> Result<AudioElement, OpenDeviceError> {
        self.request_element(device).wait()
    }

    /// Opens an element, to be awaited.
    pub fn request_element(&self, device: Device) -> Opening<AudioElement> {
        self.request(Direction::Render, device, AudioElement::new)
    }

    /// Opens a stream.
    ///
    /// # Errors
    /// Every [`OpenStreamError`].
    pub fn open_stream(&self, config: &StreamConfig) -> Result<MediaStream, OpenStreamError> {
        MediaStream::open(self, config)
    }

    /// What it did so far.
    pub fn stats(&self) -> EngineStats {
        let counters = &self.control.counters;
        EngineStats {
            priority: counters.priority(),
            ticks: counters.ticks(),
            deadline_misses: counters.misses(),
            startup_deadline_misses: counters.startup_misses(),
            tick_time: counters.tick_time(),
            allocations: self.control.probe.allocations(),
            lost_news: self.control.lost_news.load(std::sync::atomic::Ordering::Relaxed),
            devices: self.control.ports().iter().map(|port| port.stats()).collect(),
        }
    }

    /// The clock of everything it does.
    pub fn clock(&self) -> EngineClock {
        self.control.clock
    }

    /// How often the media thread ticks. Its ticks lie at the multiples of this on its clock: what it has for others, it has right after one.
    pub fn period(&self) -> Duration {
        self.control.period
    }

    /// A reader of what happens to devices from now on.
    pub fn device_events(&self) -> Events<DeviceEvent> {
        self.control.device_events.subscribe()
    }

    /// Ends it and everything opened on it, within seconds. Also for copies.
    pub fn close(&self) {
        self.owner.end();
    }

    /// Whether it was closed.
    pub fn is_closed(&self) -> bool {
        self.control.is_closed()
    }

    pub(crate) fn control(&self) -> &Arc<Control> {
        &self.control
    }

    pub(crate) fn change_device(
        &self,
        direction: Direction,
        key: Key,
        device: Device,
    ) -> Reply<Result<(), OpenDeviceError>> {
        let (answer, answered) = reply();
        if let Err(Request::Change { answer, .. }) =
            self.control.ask(Request::Change { key, direction, device, answer })
        {
            answer.send(Err(OpenDeviceError::EngineClosed));
        }
        answered
    }

    fn request<T>(
        &self,
        direction: Direction,
        device: Device,
        make: fn(Self, crate::device::supervisor::OpenPort) -> T,
    ) -> Opening<T> {
        let (answer, answered) = reply();
        if let Err(Request::Open { answer, .. }) =
            self.control.ask(Request::Open { direction, device, answer })
        {
            answer.send(Err(OpenDeviceError::EngineClosed));
        }
        Opening::new(answered, self.clone(), make)
    }
}

/// Ends the threads with the last handle.
#[derive(Debug)]
struct Owner {
    control: Arc<Control>,
    threads: Mutex<Threads>,
}

impl Owner {
    fn end(&self) {
        self.control.close();
        lock(&self.threads).end();
        self.control.streams().values().for_each(|stream| stream.events.close());
        self.control.device_events.close();
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.end();
    }
}

#[derive(Debug, Default)]
struct Threads(Vec<JoinHandle<()>>);

impl Threads {
    fn start(
        &mut self,
        name: &'static str,
        body: impl FnOnce() + Send + 'static,
    ) -> Result<(), StartEngineError> {
        let spawned = std::thread::Builder::new().name(name.to_owned()).spawn(body);
        let thread = spawned.map_err(|error| StartEngineError::Thread { name, reason: error.to_string() })?;
        self.0.push(thread);
        Ok(())
    }

    fn last(&self) -> Option<std::thread::Thread> {
        self.0.last().map(|thread| thread.thread().clone())
    }

    /// Waits for each, but not for ever: a sound system that hangs is left behind.
    fn end(&mut self) {
        let until = Instant::now() + END_WITHIN;
        for thread in self.0.drain(..) {
            thread.thread().unpark();
            while !thread.is_finished() && Instant::now() < until {
                std::thread::sleep(Duration::from_millis(1));
            }
            if thread.is_finished() && thread.join().is_err() {
                tracing::error!("a thread of the engine panicked");
            }
        }
    }
}
