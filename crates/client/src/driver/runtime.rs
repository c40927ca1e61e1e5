//! The threads of the media drivers: not the application's, so that an application that blocks its own threads stops nobody's sound.

use std::future::pending;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::thread;

use offhook_media::threads::ask_for_packet_priority;
use tokio::runtime::{Builder, Handle};

use crate::alarm::NEEDS_TOKIO_TIME;

/// Hundreds of calls of one process, as a bot or a load test makes them, need more than one.
const MOST_THREADS: usize = 4;

/// The threads that run, and whose turn it is.
static THREADS: Mutex<Vec<Handle>> = Mutex::new(Vec::new());
static NEXT: AtomicUsize = AtomicUsize::new(0);

/// Where a new call's driver runs: on each thread in turn, with all that belongs to the call. A thread of its own for each runtime, because threads
/// that share one wake each other for every packet.
pub(super) fn media_runtime() -> io::Result<Handle> {
    let most = thread::available_parallelism().map_or(1, usize::from).min(MOST_THREADS);
    let turn = NEXT.fetch_add(1, Relaxed) % most;
    // Nothing is left half done by one that panicked.
    let mut threads = THREADS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(handle) = threads.get(turn) {
        return Ok(handle.clone());
    }
    let mut runtime = Builder::new_current_thread();
    runtime.enable_io();
    // What looks after tokio's timers would have a part in every wake.
    if NEEDS_TOKIO_TIME {
        runtime.enable_time();
    }
    let runtime = runtime.build()?;
    let handle = runtime.handle().clone();
    thread::Builder::new().name("offhook-driver".to_owned()).spawn(move || {
        ask_for_packet_priority();
        runtime.block_on(pending::<()>());
    })?;
    threads.push(handle.clone());
    Ok(handle)
}
