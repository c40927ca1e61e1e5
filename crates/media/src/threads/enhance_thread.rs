//! | thread | enhancement of microphones |
//! |---|---|
//! | started by | `Engine` |
//! | priority | below the media thread's, where granted |
//! | period | 10 ms while a microphone is enhanced; asleep otherwise |
//! | may | compute, allocate |
//! | must not | hold up any other: what it does not finish in time goes on without it |

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use super::media_thread::MediaThreadCounters;
use super::pacer::Pacer;
use super::{ENHANCE_PRIORITY, EngineClock, ask_for_real_time};
use crate::enhance::worker::EnhanceWorker;

/// After a block the next one, 10 ms of sound later, is looked for from here on: a device's clock and a tick that came late move it a little.
const NOTHING_BEFORE: Duration = Duration::from_micros(8500);

/// Looks a tenth of a tick after each: what a tick takes off a microphone it takes at once. Nobody wakes this thread, because that would cost the
/// media thread a system call.
pub(crate) fn beat(clock: EngineClock, tick: Duration) -> Pacer {
    Pacer::on_beat(clock, tick / 10, tick)
}

/// The body of the thread; returns when the engine ends.
pub(crate) fn run(
    mut worker: EnhanceWorker,
    mut beat: Pacer,
    real_time: bool,
    counters: &MediaThreadCounters,
) {
    if real_time {
        // Without it a busy machine makes it late, which is counted.
        ask_for_real_time(ENHANCE_PRIORITY);
    }
    let clock = beat.clock();
    while !counters.stop.load(Relaxed) {
        let begin = clock.now();
        if worker.work() > 0 {
            beat.wait_from(begin + NOTHING_BEFORE);
        } else if worker.is_idle() {
            // Whoever opens a microphone unparks.
            std::thread::park();
        } else {
            beat.wait_from(begin);
        }
    }
}
