//! The sound system of this machine, and the devices that need none.

use super::cpal_host::CpalHosts;
use super::curated::curated;
use super::paced::{Pace, TimerThread};
use super::{Backend, Device, DeviceId, DeviceInfo, Direction, OpenDevice, OpenDeviceError, Sighting};
use crate::threads::{CaptureCallback, RenderCallback};

/// The devices of the system that a person chooses from, microphones first: the sound server's, or the cards. Asks the sound system, which can
/// take a moment; empty when there is none.
pub fn devices() -> Vec<DeviceInfo> {
    curated(all_devices())
}

/// Everything the sound system calls a device: with [`devices`] also what ALSA makes of them (plugins) and what records a speaker (monitors).
pub fn all_devices() -> Vec<DeviceInfo> {
    CpalHosts::default().list()
}

/// Devices of the system through cpal; the others on timer threads.
#[derive(Debug)]
pub struct SystemBackend {
    hosts: CpalHosts,
    pace: Pace,
}

impl SystemBackend {
    pub(crate) fn new(pace: Pace) -> Self {
        Self { hosts: CpalHosts::default(), pace }
    }
}

impl Backend for SystemBackend {
    fn open_capture(
        &mut self,
        device: &Device,
        callback: CaptureCallback,
    ) -> Result<Box<dyn OpenDevice>, OpenDeviceError> {
        if device.is_of_the_system() {
            return CpalHosts::open_capture(device, self.pace, callback);
        }
        Ok(Box::new(TimerThread::capture(device, self.pace, callback)?))
    }

    fn open_render(
        &mut self,
        device: &Device,
        callback: RenderCallback,
    ) -> Result<Box<dyn OpenDevice>, OpenDeviceError> {
        if device.is_of_the_system() {
            return CpalHosts::open_render(device, self.pace, callback);
        }
        Ok(Box::new(TimerThread::render(device, self.pace, callback)?))
    }

    fn default_id(&mut self, direction: Direction) -> Option<DeviceId> {
        self.hosts.default_id(direction)
    }

    fn is_present(&mut self, direction: Direction, device: &Device) -> bool {
        match device {
            Device::Default => self.default_id(direction).is_some(),
            Device::Id(id) => self.hosts.is_present(direction, id),
            _ => true,
        }
    }

    fn look_for(&mut self, direction: Direction, id: &DeviceId) -> Sighting {
        self.hosts.look_for(direction, id)
    }
}
