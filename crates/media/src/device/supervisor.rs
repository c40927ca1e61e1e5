//! Keeps microphones and elements sounding whatever their devices do. A plain machine: time is an argument.

mod port;

use std::sync::Arc;

use offhook_media_core::dsp::ResamplerError;
use offhook_media_core::units::MediaTime;
use ringbuf::HeapRb;
use ringbuf::traits::Split;

pub(crate) use port::Port;
use port::{Running, Watch};

use super::{Backend, Device, DeviceHealth, DeviceId, Direction, OpenDevice, OpenDeviceError, Sighting};
use crate::control::Control;
use crate::key::Key;
use crate::processor::{CaptureEdge, Command, ElementSlot, MicrophoneSlot, RING_SAMPLES, RenderEdge};
use crate::reply::Answer;
use crate::stats::{DeviceEvent, LossCause};
use crate::threads::{CaptureCallback, RenderCallback};

/// The system's devices are looked for so often, in microseconds: 1 s.
const LOOK_EVERY: i64 = 1_000_000;

/// What handles ask of the device thread.
pub(crate) enum Request {
    Open { direction: Direction, device: Device, answer: Answer<Result<OpenPort, OpenDeviceError>> },
    Change { key: Key, direction: Direction, device: Device, answer: Answer<Result<(), OpenDeviceError>> },
    Close { key: Key, direction: Direction },
}

/// A microphone or an element that was opened; closed when dropped, whether or not whoever asked took it.
#[derive(Debug)]
pub(crate) struct OpenPort {
    pub(crate) control: Arc<Control>,
    pub(crate) key: Key,
    pub(crate) port: Arc<Port>,
}

impl Drop for OpenPort {
    fn drop(&mut self) {
        // Without a device thread it is closed already.
        let _ = self.control.ask(Request::Close { key: self.key, direction: self.port.direction() });
    }
}

/// Where the media thread meets a device that was just started.
enum Edge {
    Capture(Box<CaptureEdge>),
    Render(Box<RenderEdge>),
}

/// Opens, watches, replaces and closes devices.
pub(crate) struct Supervisor {
    control: Arc<Control>,
    backend: Box<dyn Backend>,
    watched: Vec<Watch>,
    defaults: [Option<DeviceId>; 2],
    looked: Option<MediaTime>,
}

impl Supervisor {
    pub(crate) fn new(control: Arc<Control>, backend: Box<dyn Backend>) -> Self {
        Self { control, backend, watched: Vec::new(), defaults: [None, None], looked: None }
    }

    pub(crate) fn handle(&mut self, now: MediaTime, request: Request) {
        match request {
            Request::Open { direction, device, answer } => {
                answer.send(self.open(now, direction, device));
            }
            Request::Change { key, direction, device, answer } => {
                answer.send(self.change(now, direction, key, device));
            }
            Request::Close { key, direction } => self.close(direction, key),
        }
    }

    /// Looks after every device; to be called five times a second or so.
    pub(crate) fn check(&mut self, now: MediaTime) {
        for index in 0..self.watched.len() {
            if let Some(cause) = self.watched[index].loss(now) {
                self.lose(now, index, cause);
            }
        }
        let any = self.watched.iter().any(|watch| watch.wanted().is_of_the_system());
        let looked = self.looked.is_some_and(|looked| now.micros_since(looked) < LOOK_EVERY);
        if any && !looked {
            self.looked = Some(now);
            // First the defaults: what falls back falls on the one of now.
            self.follow_defaults(now);
            self.miss(now);
            self.take_back(now);
        }
    }

    fn open(
        &mut self,
        now: MediaTime,
        direction: Direction,
        device: Device,
    ) -> Result<OpenPort, OpenDeviceError> {
        let key = self.control.device_keys(direction).take().ok_or(OpenDeviceError::TooMany)?;
        self.note_default(direction, &device);
        let (edge, running) = match self.start(direction, &device) {
            Ok(started) => started,
            Err(error) => {
                self.control.device_keys(direction).give_back(key);
                return Err(error);
            }
        };
        let port = Arc::new(Port::new(direction, device, running.state()));
        self.control.send(match edge {
            Edge::Capture(edge) => {
                let slot = MicrophoneSlot::new(edge, port.level());
                Command::AddMicrophone(key, Box::new(slot))
            }
            Edge::Render(edge) => Command::AddElement(key, Box::new(ElementSlot::new(edge))),
        });
        self.control.ports().push(Arc::clone(&port));
        self.watched.push(Watch::new(key, Arc::clone(&port), running, now));
        Ok(OpenPort { control: Arc::clone(&self.control), key, port })
    }

    /// What sounds goes on sounding until the other device runs; when that cannot be opened, nothing changes.
    fn change(
        &mut self,
        now: MediaTime,
        direction: Direction,
        key: Key,
        device: Device,
    ) -> Result<(), OpenDeviceError> {
        let index = self.index(direction, key).ok_or(OpenDeviceError::EngineClosed)?;
        let watch = &self.watched[index];
        if *watch.wanted() == device && !watch.is_substitute() {
            return Ok(());
        }
        self.note_default(direction, &device);
        let (edge, running) = self.start(direction, &device)?;
        self.watched[index].want(device);
        self.replace(now, index, edge, running);
        Ok(())
    }

    fn close(&mut self, direction: Direction, key: Key) {
        let Some(index) = self.index(direction, key) else { return };
        let watch = self.watched.swap_remove(index);
        self.control.ports().retain(|port| !Arc::ptr_eq(port, watch.port()));
        self.control.send(match direction {
            Direction::Capture => Command::RemoveMicrophone(key),
            Direction::Render => Command::RemoveElement(key),
        });
    }

    fn lose(&mut self, now: MediaTime, index: usize, cause: LossCause) {
        let watch = &mut self.watched[index];
        let direction = watch.port().direction();
        let lost = watch.current();
        tracing::warn!(device = %lost, %direction, ?cause, "a device was lost");
        // A broken device is closed before another is opened: it may hold the same hardware.
        watch.stop();
        let substitute = (lost != Device::Default).then_some(Device::Default);
        for device in substitute.into_iter().chain([Device::Null]) {
            self.note_default(direction, &device);
            let Ok((edge, running)) = self.start(direction, &device) else { continue };
            self.replace(now, index, edge, running);
            let event = DeviceEvent::Lost { direction, device: lost, now: device, cause };
            return self.control.device_events.send(&event);
        }
    }

    /// Devices that vanished without a word while their sound was carried elsewhere.
    fn miss(&mut self, now: MediaTime) {
        for index in 0..self.watched.len() {
            let watch = &mut self.watched[index];
            let Device::Id(id) = watch.current() else { continue };
            let found = self.backend.look_for(watch.port().direction(), &id);
            if watch.is_missed(found) {
                self.lose(now, index, LossCause::Gone);
            }
        }
    }

    /// Devices that were lost and are there again.
    fn take_back(&mut self, now: MediaTime) {
        for index in 0..self.watched.len() {
            let watch = &self.watched[index];
            if !watch.is_substitute() {
                continue;
            }
            let (direction, wanted) = (watch.port().direction(), watch.wanted().clone());
            if !self.backend.is_present(direction, &wanted) {
                continue;
            }
            if let Ok((edge, running)) = self.start(direction, &wanted) {
                self.replace(now, index, edge, running);
                self.control.device_events.send(&DeviceEvent::Returned { direction, device: wanted });
            }
        }
    }

    fn follow_defaults(&mut self, now: MediaTime) {
        for direction in [Direction::Capture, Direction::Render] {
            if !self.is_default_used(direction) {
                continue;
            }
            let id = self.backend.default_id(direction);
            let known = &mut self.defaults[direction as usize];
            if *known == id {
                continue;
            }
            let is_first = known.is_none();
            known.clone_from(&id);
            if is_first {
                continue;
            }
            self.control.device_events.send(&DeviceEvent::DefaultChanged { direction, id: id.clone() });
            if id.is_some() {
                self.reopen_default(now, direction);
            }
        }
    }

    fn reopen_default(&mut self, now: MediaTime, direction: Direction) {
        for index in 0..self.watched.len() {
            let watch = &self.watched[index];
            if watch.port().direction() == direction && watch.current() == Device::Default {
                // When it fails, the old default plays on; if it is gone too, that is found out.
                if let Ok((edge, running)) = self.start(direction, &Device::Default) {
                    self.replace(now, index, edge, running);
                }
            }
        }
    }

    /// What the default has become while nobody used it is no change.
    fn note_default(&mut self, direction: Direction, opening: &Device) {
        if *opening == Device::Default && !self.is_default_used(direction) {
            self.defaults[direction as usize] = self.backend.default_id(direction);
        }
    }

    fn is_default_used(&self, direction: Direction) -> bool {
        self.watched.iter().any(|watch| {
            watch.port().direction() == direction
                && (*watch.wanted() == Device::Default || watch.current() == Device::Default)
        })
    }

    fn replace(&mut self, now: MediaTime, index: usize, edge: Edge, running: Running) {
        let key = self.watched[index].key();
        self.control.send(match edge {
            Edge::Capture(edge) => Command::ReplaceCapture(key, edge),
            Edge::Render(edge) => Command::ReplaceRender(key, edge),
        });
        self.watched[index].run(running, now);
    }

    fn start(&mut self, direction: Direction, device: &Device) -> Result<(Edge, Running), OpenDeviceError> {
        let sighting = match device {
            Device::Id(id) => self.backend.look_for(direction, id),
            _ => Sighting::Unknown,
        };
        let health = Arc::new(DeviceHealth::default());
        let (clock, probe) = (self.control.clock, self.control.probe.clone());
        let (producer, consumer) = HeapRb::new(RING_SAMPLES).split();
        let (open, edge): (Box<dyn OpenDevice>, _) = match direction {
            Direction::Capture => {
                let callback = CaptureCallback::new(producer, Arc::clone(&health), clock, probe);
                let mut open = self.backend.open_capture(device, callback)?;
                let (rate, pump) = (open.sample_rate(), open.take_pump());
                let edge = CaptureEdge::new(consumer, Arc::clone(&health), rate, pump).map_err(unusable)?;
                (open, Edge::Capture(Box::new(edge)))
            }
            Direction::Render => {
                let callback = RenderCallback::new(consumer, Arc::clone(&health), clock, probe);
                let mut open = self.backend.open_render(device, callback)?;
                let (rate, paced, pump) = (open.sample_rate(), open.follows_engine_clock(), open.take_pump());
                let heard = device.is_heard();
                let edge = RenderEdge::new(producer, Arc::clone(&health), rate, paced, heard, pump);
                let edge = edge.map_err(unusable)?;
                (open, Edge::Render(Box::new(edge)))
            }
        };
        Ok((edge, Running::new(device.clone(), open, health, sighting)))
    }

    fn index(&self, direction: Direction, key: Key) -> Option<usize> {
        self.watched.iter().position(|watch| watch.key() == key && watch.port().direction() == direction)
    }
}

fn unusable(error: ResamplerError) -> OpenDeviceError {
    OpenDeviceError::Unusable(error.to_string())
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        self.control.ports().clear();
    }
}
