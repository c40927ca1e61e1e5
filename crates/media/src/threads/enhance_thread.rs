//! | thread | enhancement of microphones |
//! |---|---|
//! | started by | `Engine` |
//! | priority | below the media thread's, where granted |
//! | period | 10 ms while a microphone is enhanced; asleep otherwise, but for a look each second at microphones that are closed |
//! | may | compute, allocate |
//! | must not | hold up any other: what it does not finish in time goes on without it |

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use super::media_thread::MediaThreadCounters;
use super::pacer::Pacer;
use super::{ENHANCE_PRIORITY, EngineClock, ask_for_real_time};
use crate::enhance::worker::EnhanceWorker;

/// After a block the next one, 10 ms of sound later, is looked for from here on: a device's clock and a tick that came late move it a little.
const NOTHING_BEFORE: Duration = Duration::from_micros(9200);
/// Blocks come for a little while after enhancement was switched off; who switches it on unparks.
const SWITCHED_OFF: Duration = Duration::from_millis(300);
/// Microphones that are closed are looked for so often.
const CLOSED: Duration = Duration::from_secs(1);

/// Looks half a millisecond after each tick, a tenth of a short one, and then each millisecond: what a tick takes off a microphone it takes at once.
/// Nobody wakes this thread, because that would cost the media thread a system call.
pub(crate) fn beat(clock: EngineClock, tick: Duration) -> Pacer {
    let every = tick.min(Duration::from_millis(1));
    Pacer::on_beat(clock, (tick / 10).min(every / 2), every)
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
    let mut worked = clock.now();
    while !counters.stop.load(Relaxed) {
        let begin = clock.now();
        if worker.work() > 0 {
            worked = begin;
            beat.wait_from(begin + NOTHING_BEFORE);
        } else if worker.is_idle() {
            // Whoever opens a microphone unparks.
            std::thread::park();
        } else if !worker.is_wanted() && begin.saturating_since(worked) > SWITCHED_OFF {
            std::thread::park_timeout(CLOSED);
        } else {
            beat.wait_from(begin);
        }
    }
}
