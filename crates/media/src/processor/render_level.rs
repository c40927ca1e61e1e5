//! How much sound lies ready for a speaker: as little as never leaves it without.
//!
//! The device takes its sound in periods; the media thread gives it evenly, a tick's worth each tick, so that a period is complete when it is
//! taken. What is left in the ring right after the device took its part is watched: it is the room for one that comes late. When it shrinks below
//! the margin, more is kept ready at once; when it stays above it, less, slowly. A thread that was woken late once in a long while is no reason to
//! keep more ready all the time: every word would come later for a gap of milliseconds that does not come back.

use std::time::Duration;

use offhook_media_core::units::MediaTime;

/// The first judgement comes after so many callbacks, each next one after twice as many, up to the most.
const FIRST_WINDOW: u32 = 8;
const LONGEST_WINDOW: u32 = 800;
/// What lies above the margin is given up in parts, and not for less than this.
const LEAST_GIVEN_UP: Duration = Duration::from_micros(400);
/// What was missing comes back often if it was missing so many ticks ago at most, 2.5 s. Where one percent of missing sound is as bad as 46 ms of
/// delay, sound that is kept ready for a gap pays when the gap comes every 5 s, and two gaps that are as far apart show no such pace. Who has shorter
/// ticks wants less delay.
const RARE: u32 = 500;
/// What is missing so soon after is missing for the same reason.
const ONE_GAP: Duration = Duration::from_millis(20);
/// Most that is kept ready beyond what the device takes.
const MOST_SLACK: Duration = Duration::from_millis(120);

/// What is seen of a device in a tick.
#[derive(Debug, Clone, Copy)]
pub(super) struct DeviceView {
    /// Samples in the ring, and room for more.
    pub(super) ready: usize,
    pub(super) room: usize,
    pub(super) last_callback: Option<MediaTime>,
    pub(super) callback_samples: usize,
    /// Samples it ever lacked.
    pub(super) missing: u64,
}

/// The level of one device's ring. All lengths are in its own samples.
#[derive(Debug)]
pub(super) struct RenderLevel {
    rate: f64,
    /// Whether its callbacks wander against the ticks: then the tick may come at the worst moment any time.
    wanders: bool,
    /// Kept ready beyond what is due; below zero when the tick always comes right before the device's callback.
    slack: f64,
    ready_before: usize,
    missing_before: Option<u64>,
    /// When something was missing, and had not been right before.
    last_missing: Option<MediaTime>,
    /// The least that was left in this window, and what was least but for that: one callback says nothing of the next.
    least_left: [usize; 2],
    seen: u32,
    window: u32,
}

impl RenderLevel {
    pub(super) fn new(rate: u32, wanders: bool) -> Self {
        Self {
            rate: f64::from(rate.max(1)),
            wanders,
            slack: 0.0,
            ready_before: 0,
            missing_before: None,
            last_missing: None,
            least_left: [usize::MAX; 2],
            seen: 0,
            window: FIRST_WINDOW,
        }
    }

    /// How many samples to give now, and how many the device took since it was last asked.
    pub(super) fn wanted(
        &mut self,
        now: MediaTime,
        view: &DeviceView,
        period: Duration,
        margin: Duration,
    ) -> (usize, usize) {
        // Before its first callback nobody knows when the device begins: sound made now would only grow old.
        let Some(last) = view.last_callback else { return (0, 0) };
        let taken = self.ready_before.saturating_sub(view.ready);
        let missing = view.missing - self.missing_before.replace(view.missing).unwrap_or(view.missing);
        let margin = self.samples(margin);
        if missing > 0 {
            self.judge_missing(now, missing, period * RARE, margin);
        } else if taken > 0 {
            self.judge_left(view.ready, margin);
        }
        self.ready_before = view.ready;
        let due = self.samples(now.saturating_since(last)).min(view.callback_samples as f64);
        let level = (due + self.samples(period) + self.slack).max(0.0);
        let give = (level - view.ready as f64).max(0.0).round() as usize;
        (give.min(view.room), taken + usize::try_from(missing).unwrap_or(0))
    }

    /// `samples` were put into the ring.
    pub(super) fn written(&mut self, samples: usize) {
        self.ready_before += samples;
    }

    fn judge_missing(&mut self, now: MediaTime, missing: u64, rare: Duration, margin: f64) {
        let passed = self.last_missing.map(|last| now.saturating_since(last));
        if passed.is_some_and(|passed| passed < ONE_GAP) {
            return;
        }
        self.last_missing = Some(now);
        if passed.is_none_or(|passed| passed > rare) {
            return;
        }
        self.raise(missing as f64 + margin);
        // What was missing once is not given up lightly.
        self.begin_window(LONGEST_WINDOW);
    }

    fn judge_left(&mut self, left: usize, margin: f64) {
        let [least, second] = self.least_left;
        self.least_left = [least.min(left), second.min(least.max(left))];
        self.seen += 1;
        // At first nobody hears what is changed, and one callback is all there is to go by.
        let decisive = self.least_left[usize::from(self.window > FIRST_WINDOW)];
        let over = decisive as f64 - margin;
        if over < 0.0 {
            self.raise(-over);
            self.begin_window(self.window);
        } else if self.seen >= self.window {
            if over > self.samples(LEAST_GIVEN_UP) {
                // At first all of it: nobody hears it before the far end does.
                let part = if self.window == FIRST_WINDOW { 1.0 } else { 0.5 };
                let least = if self.wanders { margin } else { f64::NEG_INFINITY };
                self.slack = (self.slack - over * part).max(self.slack.min(least));
            }
            self.begin_window((self.window * 2).min(LONGEST_WINDOW));
        }
    }

    fn raise(&mut self, by: f64) {
        self.slack = (self.slack + by).min(self.samples(MOST_SLACK));
    }

    fn begin_window(&mut self, window: u32) {
        self.window = window;
        self.seen = 0;
        self.least_left = [usize::MAX; 2];
    }

    fn samples(&self, duration: Duration) -> f64 {
        duration.as_secs_f64() * self.rate
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICK: Duration = Duration::from_micros(2500);
    const MARGIN: Duration = Duration::from_micros(750);

    /// A ring between a device with `period` samples per callback, each up to `late` microseconds late, and ticks at `phase`.
    struct Run {
        level: RenderLevel,
        ready: usize,
        missing: u64,
        gave: Vec<usize>,
        left: Vec<usize>,
    }

    fn run(period: usize, phase: i64, late: i64, skew_ppm: i64, seconds: i64) -> Run {
        let late = |callback: i64| callback.wrapping_mul(7919).rem_euclid(late + 1);
        run_late(period, phase, skew_ppm, seconds, late, |_| 0)
    }

    /// With how late each callback and each tick is.
    fn run_late(
        period: usize,
        phase: i64,
        skew_ppm: i64,
        seconds: i64,
        late: impl Fn(i64) -> i64,
        tick_late: impl Fn(i64) -> i64,
    ) -> Run {
        let mut run = Run {
            level: RenderLevel::new(48_000, skew_ppm != 0),
            ready: 0,
            missing: 0,
            gave: Vec::new(),
            left: Vec::new(),
        };
        let step = period as i64 * 125 / 6;
        let skewed = |at: i64| at + at * skew_ppm / 1_000_000;
        let (mut callbacks, mut last) = (0_i64, None);
        for tick in 0..seconds * 400 {
            let now = tick * 2500 + phase + tick_late(tick);
            loop {
                let at = skewed(callbacks * step) + late(callbacks);
                if at > now {
                    break;
                }
                let given = run.ready.min(period);
                run.missing += if run.left.is_empty() && given == 0 { 0 } else { (period - given) as u64 };
                run.ready -= given;
                if given > 0 {
                    run.left.push(run.ready);
                }
                (callbacks, last) = (callbacks + 1, Some(MediaTime::from_micros(at)));
            }
            let view = DeviceView {
                ready: run.ready,
                room: 16_384 - run.ready,
                last_callback: last,
                callback_samples: period,
                missing: run.missing,
            };
            let (give, _) = run.level.wanted(MediaTime::from_micros(now), &view, TICK, MARGIN);
            run.level.written(give);
            run.ready += give;
            run.gave.push(give);
        }
        run
    }

    #[test]
    fn a_steady_device_is_given_a_tick_each_tick_and_little_is_left() {
        for (period, phase) in [(240, 100), (240, 2400), (480, 1000), (120, 1200)] {
            let run = run(period, phase, 0, 0, 10);
            let late = &run.gave[2000..];
            assert!(late.iter().all(|give| (110..=130).contains(give)), "{period} {phase}: {:?}", &late[..8]);
            let most_left = run.left[run.left.len() / 2..].iter().max().unwrap();
            assert!(*most_left <= 60, "{period} {phase}: {most_left}");
            assert_eq!(run.missing, 0, "{period} {phase}");
        }
    }

    #[test]
    fn a_device_that_comes_late_and_then_early_is_learned() {
        for (period, late) in [(480, 4000), (240, 3000), (2400, 10_000), (24, 6000)] {
            let first = run(period, 700, late, 0, 5).missing;
            let longer = run(period, 700, late, 0, 60).missing;
            assert!(longer - first <= period as u64 / 2, "{period} {late}: {first}, {longer}");
        }
    }

    #[test]
    fn a_device_that_wanders_against_the_ticks_never_lacks_sound() {
        for (period, skew_ppm) in [(480, 120), (240, -150), (441, 30), (480, -40)] {
            let run = run(period, 700, 300, skew_ppm, 300);
            assert_eq!(run.missing, 0, "{period} {skew_ppm}");
            let most_left = run.left[run.left.len() / 2..].iter().max().unwrap();
            assert!(*most_left <= 220, "{period} {skew_ppm}: {most_left}");
        }
    }

    #[test]
    fn a_tick_that_was_late_once_makes_nothing_later_and_one_that_is_late_again_and_again_is_learned() {
        let late_every = |ticks: i64| {
            run_late(240, 1200, 0, 30, |_| 0, move |tick| i64::from(tick % ticks == ticks - 1) * 2400)
        };
        let once = late_every(6000);
        assert!(once.missing > 0);
        let most_left = once.left[1000..].iter().max().unwrap();
        assert!(*most_left <= 60, "{most_left}");
        let often = late_every(400);
        assert!(often.missing <= 3 * once.missing, "{} {}", often.missing, once.missing);
    }

    #[test]
    fn nothing_is_made_before_the_device_begins() {
        let mut level = RenderLevel::new(48_000, false);
        let view = DeviceView { ready: 0, room: 100, last_callback: None, callback_samples: 0, missing: 0 };
        assert_eq!(level.wanted(MediaTime::from_micros(1_000_000), &view, TICK, MARGIN), (0, 0));
    }
}
