//! | thread | enhancement of microphones |
//! |---|---|
//! | started by | `Engine` |
//! | priority | below the media thread's, where granted |
//! | period | 10 ms while a microphone is enhanced; asleep otherwise |
//! | may | compute, allocate |
//! | must not | hold up any other: what it does not finish in time goes on without it |

use std::sync::atomic::Ordering::Relaxed;
use std::thread::park_timeout;
use std::time::{Duration, Instant};

use super::media_thread::MediaThreadCounters;
use super::{ENHANCE_PRIORITY, ask_for_real_time};
use crate::enhance::worker::EnhanceWorker;

/// After a block the next one is looked for from here on, and then every so often: nobody wakes this thread, because that would cost the media thread
/// a system call.
const NOTHING_BEFORE: Duration = Duration::from_micros(8500);
const LOOK_EVERY: Duration = Duration::from_micros(500);
/// When nothing came for so long, the device stands still, or its microphone is not enhanced now.
const STANDS_STILL: Duration = Duration::from_millis(40);
const LOOK_SELDOM: Duration = Duration::from_millis(3);

/// The body of the thread; returns when the engine ends.
pub(crate) fn run(mut worker: EnhanceWorker, real_time: bool, counters: &MediaThreadCounters) {
    if real_time {
        // Without it a busy machine makes it late, which is counted.
        ask_for_real_time(ENHANCE_PRIORITY);
    }
    let mut last = Instant::now();
    while !counters.stop.load(Relaxed) {
        let begin = Instant::now();
        if worker.work() > 0 {
            last = begin;
            park_timeout(NOTHING_BEFORE.saturating_sub(begin.elapsed()));
        } else if worker.is_idle() {
            // Whoever opens a microphone unparks.
            std::thread::park();
        } else if last.elapsed() > STANDS_STILL {
            park_timeout(LOOK_SELDOM);
        } else {
            park_timeout(LOOK_EVERY);
        }
    }
}
