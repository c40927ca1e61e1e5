//! The engine of Offhook's sound: threads, rings, devices, [`AudioElement`] and [`Microphone`].
//!
//! An [`Engine`] owns the media thread. A call is a [`MediaStream`]: packets go in and out through its [`PacketPort`], sound comes from a
//! [`Microphone`] and goes to an [`AudioElement`]. What is computed on the way is `offhook-media-core`; here is where, when and on which thread.
//!
//! ```
//! use offhook_media::{Device, Engine, StreamConfig};
//!
//! let engine = Engine::builder().build()?;
//! let microphone = engine.open_microphone(Device::null())?;
//! let speaker = engine.open_element(Device::null())?;
//! let stream = engine.open_stream(&StreamConfig::default())?;
//! stream.attach_microphone(&microphone);
//! speaker.set_src_object(Some(&stream.incoming()));
//! let port = stream.take_packet_port().expect("taken once");
//! # drop(port);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod control;
pub mod device;
mod element;
mod engine;
pub mod enhance;
mod event_queue;
#[doc(hidden)]
pub mod fuzzing;
mod histogram;
mod key;
mod latency;
mod microphone;
mod opening;
mod packet;
pub mod processor;
mod reply;
pub mod simulation;
mod snapshot;
mod stats;
mod stream;
pub mod threads;
pub mod wav;

pub use device::{Device, DeviceId, DeviceInfo, Direction, OpenDeviceError, all_devices, devices};
pub use device::{PcmDevice, PcmFeeder, PcmTap, pcm_sink, pcm_source};
pub use element::AudioElement;
pub use engine::{Engine, EngineBuilder, StartEngineError};
pub use enhance::AudioProcessing;
pub use event_queue::Events;
pub use latency::LatencyMode;
pub use microphone::Microphone;
pub use opening::Opening;
pub use packet::{
    MOST_INCOMING, OutgoingRtp, PacketPort, PacketReceiver, PacketSender, PortFull, ReportReceiver,
    ReportSender,
};
pub use reply::Reply;
pub use stats::{DeviceEvent, DeviceStats, EngineStats, LossCause, TickTime};
pub use stream::{
    MOST_VOLUME, MediaStream, OpenStreamError, SendDtmfError, StreamConfig, StreamEvent, StreamSource,
    StreamStats,
};
pub use threads::{EngineClock, Priority};
