//! A speaker that is unplugged in a call: who listens is told and goes on listening at the default one; the other side notices nothing.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use offhook::{
    ClientEvent, Device, DeviceDirection, DeviceEvent, DeviceId, Engine, LossCause, OpenDeviceError, pcm_sink,
};
use offhook_media::device::paced::{PacedCapture, PacedRender};
use offhook_media::device::{Backend, DeviceHealth, ErrorSeverity, OpenDevice};
use offhook_media::threads::{CaptureCallback, RenderCallback};

use crate::support::{ALICE_HUMS, BOB_HUMS, Ear, Person, builder, established, server, within};

const PERIOD: Duration = Duration::from_millis(5);
const PERIOD_SAMPLES: usize = 240;

/// The cable of the headset, as the test and the sound system hold it.
#[derive(Clone, Default)]
struct Cable {
    unplugged: Arc<AtomicBool>,
    playing: Arc<Mutex<Option<Arc<DeviceHealth>>>>,
}

impl Cable {
    fn unplug(&self) {
        self.unplugged.store(true, Relaxed);
        if let Some(health) = self.playing.lock().unwrap_or_else(PoisonError::into_inner).take() {
            health.count_error(ErrorSeverity::Gone);
        }
    }

    fn plug(&self) {
        self.unplugged.store(false, Relaxed);
    }
}

/// A sound system of a built-in speaker, which is the default, and a headset, which can be unplugged.
struct Desk {
    builtin: Device,
    headset: Device,
    cable: Cable,
}

impl Backend for Desk {
    fn open_capture(
        &mut self,
        device: &Device,
        callback: CaptureCallback,
    ) -> Result<Box<dyn OpenDevice>, OpenDeviceError> {
        let mut capture = PacedCapture::open(device, PERIOD_SAMPLES, callback)?;
        Ok(Ticking::start(move || capture.period()))
    }

    fn open_render(
        &mut self,
        device: &Device,
        callback: RenderCallback,
    ) -> Result<Box<dyn OpenDevice>, OpenDeviceError> {
        let played = match device {
            Device::Default => &self.builtin,
            Device::Id(_) if !self.is_present(DeviceDirection::Render, device) => {
                return Err(OpenDeviceError::NotFound(device.clone()));
            }
            Device::Id(_) => {
                *self.cable.playing.lock().unwrap_or_else(PoisonError::into_inner) = Some(callback.health());
                &self.headset
            }
            other => other,
        };
        let mut render = PacedRender::open(played, PERIOD_SAMPLES, callback)?;
        Ok(Ticking::start(move || render.period()))
    }

    fn default_id(&mut self, _: DeviceDirection) -> Option<DeviceId> {
        Some(id("desk:builtin"))
    }

    fn is_present(&mut self, _: DeviceDirection, device: &Device) -> bool {
        *device == Device::Default || !self.cable.unplugged.load(Relaxed)
    }
}

fn id(name: &str) -> DeviceId {
    name.parse().unwrap()
}

/// A device that runs; its thread ends when it is dropped.
struct Ticking {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Ticking {
    fn start(mut period: impl FnMut() + Send + 'static) -> Box<dyn OpenDevice> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let mut due = Instant::now();
            while !stopped.load(Relaxed) {
                period();
                due += PERIOD;
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
            }
        });
        Box::new(Self { stop, thread: Some(thread) })
    }
}

impl OpenDevice for Ticking {
    fn sample_rate(&self) -> u32 {
        48_000
    }

    fn follows_engine_clock(&self) -> bool {
        true
    }
}

impl Drop for Ticking {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        self.thread.take().into_iter().for_each(|thread| thread.join().unwrap());
    }
}

async fn device_event(person: &mut Person) -> DeviceEvent {
    person
        .event("news of a device", |event| match event {
            ClientEvent::Device(event) => Some(event),
            _ => None,
        })
        .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_call_goes_on_at_the_default_speaker_and_comes_back() {
    let ((builtin, builtin_tap), (headset, headset_tap)) = (pcm_sink(), pcm_sink());
    let cable = Cable::default();
    let desk = Desk { builtin, headset, cable: cable.clone() };
    let engine = Engine::builder().backend(move || Box::new(desk)).build().unwrap();
    let worn = Device::Id(id("desk:headset"));
    let element = engine.open_element(worn.clone()).unwrap();
    let mut at_headset = Ear { element: element.clone(), tap: headset_tap };
    let mut at_builtin = Ear { element, tap: builtin_tap };

    let server = server().await;
    let mut alice = Person::start(&server, "alice", ALICE_HUMS).await;
    let mut bob = Person::start_with(builder(&server, "bob").engine(engine.clone()), "bob", BOB_HUMS).await;
    let outgoing = within("calling", alice.client.call_client().call_user("bob")).await.unwrap();
    alice.ear.listen(&outgoing);
    let incoming = bob.incoming().await;
    at_headset.listen(&incoming);
    within("answering", incoming.answer()).await.unwrap();
    established(&mut incoming.events()).await;
    at_headset.hears(ALICE_HUMS).await;

    cable.unplug();
    let (direction, cause) = (DeviceDirection::Render, LossCause::Gone);
    let lost = DeviceEvent::Lost { direction, device: worn.clone(), now: Device::Default, cause };
    assert_eq!(device_event(&mut bob).await, lost);
    at_builtin.hears(ALICE_HUMS).await;
    alice.ear.hears(BOB_HUMS).await;

    cable.plug();
    assert_eq!(device_event(&mut bob).await, DeviceEvent::Returned { direction, device: worn });
    at_headset.hears(ALICE_HUMS).await;
    alice.ear.hears(BOB_HUMS).await;
    while let Some(event) = alice.events.try_next() {
        assert!(!matches!(event, ClientEvent::Device(_)), "{event:?}");
    }
    engine.close();
}
