//! The threads of the engine, one file each; each file begins with what its thread may and must not do.

mod capture_callback;
mod clock;
pub(crate) mod device_thread;
pub(crate) mod enhance_thread;
pub(crate) mod housekeeping;
pub(crate) mod media_thread;
pub(crate) mod pacer;
mod priority;
mod render_callback;

pub use capture_callback::CaptureCallback;
pub use clock::EngineClock;
pub(crate) use priority::{CALLBACK_PRIORITY, ENHANCE_PRIORITY, MEDIA_PRIORITY, ask_for_real_time};
pub use priority::{Priority, ask_for_packet_priority};
pub use render_callback::RenderCallback;
