//! One microphone or element, and the device it runs on.

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};

use offhook_media_core::dsp::AudioLevel;
use offhook_media_core::units::MediaTime;

use crate::control::lock;
use crate::device::{Device, DeviceHealth, Direction, OpenDevice, Sighting};
use crate::enhance::AudioProcessing;
use crate::enhance::link::EnhanceShared;
use crate::key::Key;
use crate::processor::NO_LEVEL;
use crate::snapshot::level_of_word;
use crate::stats::{DeviceStats, LossCause};

/// More failures between two checks than this are a flood.
const MOST_FAILURES: u64 = 6;
/// A device that called back before and has not for so long is lost, in microseconds: 500 ms.
const SILENT: i64 = 500_000;
/// One that has not called back yet gets longer: some take a second to begin.
const SILENT_AT_FIRST: i64 = 3_000_000;

/// What everybody may know of a microphone or element.
#[derive(Debug)]
pub(crate) struct Port {
    direction: Direction,
    level: Arc<AtomicU64>,
    pub(crate) state: Mutex<PortState>,
    pub(crate) processing: Mutex<Processing>,
}

/// What is done to the sound of a microphone.
#[derive(Debug, Default)]
pub(crate) struct Processing {
    /// What the application asked for; without it the device decides.
    pub(crate) wanted: Option<AudioProcessing>,
    /// The way to the worker, once there was something to do.
    pub(crate) way: Option<Arc<EnhanceShared>>,
}

/// The device it runs on now.
#[derive(Debug)]
pub(crate) struct PortState {
    pub(crate) wanted: Device,
    pub(crate) current: Device,
    pub(crate) sample_rate: u32,
    pub(crate) health: Arc<DeviceHealth>,
}

impl Port {
    pub(super) fn new(direction: Direction, wanted: Device, running: PortState) -> Self {
        let state = Mutex::new(PortState { wanted, ..running });
        Self { direction, level: Arc::new(AtomicU64::new(NO_LEVEL)), state, processing: Mutex::default() }
    }

    pub(crate) const fn direction(&self) -> Direction {
        self.direction
    }

    pub(super) fn level(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.level)
    }

    /// What is captured now; `None` before the first sound.
    pub(crate) fn captured_level(&self) -> Option<AudioLevel> {
        let word = self.level.load(std::sync::atomic::Ordering::Relaxed);
        (word != NO_LEVEL).then(|| level_of_word(word))
    }

    /// When the first sample of the device that runs now was captured, or is played.
    pub(crate) fn started_at(&self) -> Option<MediaTime> {
        let state = lock(&self.state);
        state.health.started_at(state.sample_rate, self.direction)
    }

    pub(crate) fn stats(&self) -> DeviceStats {
        let state = lock(&self.state);
        let processing = lock(&self.processing);
        let way = processing.way.as_deref();
        DeviceStats {
            direction: self.direction,
            wanted: state.wanted.clone(),
            current: state.current.clone(),
            sample_rate: state.sample_rate,
            callbacks: state.health.callbacks(),
            callback_samples: state.health.callback_samples(),
            xruns: state.health.xruns(),
            errors: state.health.errors(),
            processed_blocks: way.map_or(0, |way| way.processed()),
            unprocessed_blocks: way.map_or(0, |way| way.unprocessed()),
        }
    }
}

/// A device that runs, and its counters.
pub(super) struct Running {
    device: Device,
    open: Option<Box<dyn OpenDevice>>,
    health: Arc<DeviceHealth>,
    sample_rate: u32,
    sighting: Sighting,
}

impl Running {
    /// `sighting` is from before it was opened.
    pub(super) fn new(
        device: Device,
        open: Box<dyn OpenDevice>,
        health: Arc<DeviceHealth>,
        sighting: Sighting,
    ) -> Self {
        let sample_rate = open.sample_rate();
        Self { device, open: Some(open), health, sample_rate, sighting }
    }

    pub(super) fn state(&self) -> PortState {
        PortState {
            wanted: self.device.clone(),
            current: self.device.clone(),
            sample_rate: self.sample_rate,
            health: Arc::clone(&self.health),
        }
    }
}

/// A port as the supervisor watches it.
pub(super) struct Watch {
    key: Key,
    port: Arc<Port>,
    wanted: Device,
    running: Running,
    began: MediaTime,
    failures: u64,
}

impl Watch {
    pub(super) fn new(key: Key, port: Arc<Port>, running: Running, now: MediaTime) -> Self {
        let wanted = running.device.clone();
        Self { key, port, wanted, running, began: now, failures: 0 }
    }

    pub(super) const fn key(&self) -> Key {
        self.key
    }

    pub(super) const fn port(&self) -> &Arc<Port> {
        &self.port
    }

    pub(super) const fn wanted(&self) -> &Device {
        &self.wanted
    }

    pub(super) fn current(&self) -> Device {
        self.running.device.clone()
    }

    /// Whether it runs on another device than the wanted one.
    pub(super) fn is_substitute(&self) -> bool {
        self.running.device != self.wanted
    }

    pub(super) fn want(&mut self, device: Device) {
        self.wanted = device;
    }

    /// Closes the device that runs.
    pub(super) fn stop(&mut self) {
        self.running.open = None;
    }

    /// Another device runs from now on; the one before is closed.
    pub(super) fn run(&mut self, running: Running, now: MediaTime) {
        let wanted = self.wanted.clone();
        *lock(&self.port.state) = PortState { wanted, ..running.state() };
        self.running = running;
        self.began = now;
        self.failures = 0;
    }

    /// Whether what was opened is no more, by a look for it.
    pub(super) fn is_missed(&mut self, found: Sighting) -> bool {
        match (self.running.sighting, found) {
            (_, Sighting::Absent) => true,
            (Sighting::Present(opened), Sighting::Present(there)) => opened != there,
            (Sighting::Absent | Sighting::Unknown, Sighting::Present(_)) => {
                self.running.sighting = found;
                false
            }
            (_, Sighting::Unknown) => false,
        }
    }

    /// Why it is to be given up, when it is. Only devices of the system can be lost.
    pub(super) fn loss(&mut self, now: MediaTime) -> Option<LossCause> {
        if !self.running.device.is_of_the_system() {
            return None;
        }
        let health = &self.running.health;
        let failures = health.failures();
        let flood = failures - std::mem::replace(&mut self.failures, failures) > MOST_FAILURES;
        let silent = match health.last_callback() {
            Some(last) => now.micros_since(last.max(self.began)) > SILENT,
            None => now.micros_since(self.began) > SILENT_AT_FIRST,
        };
        if health.is_gone() {
            Some(LossCause::Gone)
        } else if flood {
            Some(LossCause::Errors)
        } else {
            silent.then_some(LossCause::Silent)
        }
    }
}
