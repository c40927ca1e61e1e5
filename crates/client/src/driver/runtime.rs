//! The threads of the media drivers: not the application's, so that an application that blocks its own threads stops nobody's sound.

use std::io;
use std::sync::OnceLock;

use offhook_media::threads::ask_for_packet_priority;
use tokio::runtime::{Builder, Handle, Runtime};

/// Hundreds of calls of one process, as a bot or a load test makes them, need more than one.
const MOST_THREADS: usize = 4;

/// The runtime of all media drivers of this process, made with the first call.
pub(super) fn media_runtime() -> io::Result<Handle> {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    if let Some(runtime) = RUNTIME.get() {
        return Ok(runtime.handle().clone());
    }
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(MOST_THREADS);
    let made = Builder::new_multi_thread()
        .worker_threads(threads)
        .thread_name("offhook-driver")
        .on_thread_start(|| {
            ask_for_packet_priority();
        })
        .enable_io()
        .enable_time()
        .build()?;
    // Another call may have been faster; a runtime must not be dropped on a thread of another one.
    if let Err(unused) = RUNTIME.set(made) {
        unused.shutdown_background();
    }
    RUNTIME.get().map(|runtime| runtime.handle().clone()).ok_or_else(|| io::ErrorKind::Other.into())
}
