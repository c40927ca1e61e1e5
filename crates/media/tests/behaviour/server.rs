//! A sound server for tests: its devices have no thread of their own, the media thread pumps them.

use offhook_media::device::{Backend, OpenDevice, Pump};
use offhook_media::threads::{CaptureCallback, RenderCallback};
use offhook_media::{Device, DeviceId, Direction, OpenDeviceError};

/// What stands behind its devices; none is silent.
pub(crate) struct Server<M, S> {
    pub(crate) microphone: M,
    pub(crate) speaker: S,
}

struct Opened(Option<Box<dyn Pump>>);

impl OpenDevice for Opened {
    fn sample_rate(&self) -> u32 {
        48_000
    }

    fn follows_engine_clock(&self) -> bool {
        false
    }

    fn take_pump(&mut self) -> Option<Box<dyn Pump>> {
        self.0.take()
    }
}

impl<M, S> Backend for Server<M, S>
where
    M: FnMut(&Device, CaptureCallback) -> Option<Box<dyn Pump>> + Send,
    S: FnMut(&Device, RenderCallback) -> Option<Box<dyn Pump>> + Send,
{
    fn open_capture(
        &mut self,
        device: &Device,
        callback: CaptureCallback,
    ) -> Result<Box<dyn OpenDevice>, OpenDeviceError> {
        Ok(Box::new(Opened((self.microphone)(device, callback))))
    }

    fn open_render(
        &mut self,
        device: &Device,
        callback: RenderCallback,
    ) -> Result<Box<dyn OpenDevice>, OpenDeviceError> {
        Ok(Box::new(Opened((self.speaker)(device, callback))))
    }

    fn default_id(&mut self, _: Direction) -> Option<DeviceId> {
        None
    }

    fn is_present(&mut self, _: Direction, _: &Device) -> bool {
        true
    }
}
