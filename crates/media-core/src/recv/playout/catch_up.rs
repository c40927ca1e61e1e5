//! How fast sound that came far too late is played until it is live again: slower while what was lost is heard, which is coarse, faster then.

use crate::units::MediaTime;

/// The delay may be longer than wanted by this, in microseconds. Further off, people talk past each other: everything is done to be live again,
/// at the cost of the sound, until no more is left than the second.
const OUT_OF_TOUCH: i64 = 80_000;
const IN_TOUCH: i64 = 20_000;
/// A second too late is made up for in so many seconds.
const TAKES: f64 = 1.4;
/// What is still too late falls with this power of the time that has passed.
const BEND: f64 = 1.7;
/// Behind the plan by more than this, in microseconds, cuts may be heard; and by more than this, anything may be cut.
const BEHIND: i64 = 30_000;
const FAR_BEHIND: i64 = 120_000;
const LESS_ALIKE: f32 = 0.5;
const HARDLY_ALIKE: f32 = 0.2;
const ANYTHING: f32 = 0.0;

/// From a moment on, sound that was so much too late becomes live by a plan.
#[derive(Debug, Clone, Copy)]
pub(super) struct CatchUp {
    since: MediaTime,
    off: i64,
}

impl CatchUp {
    /// What is true now: sound is `off` microseconds later than wanted.
    pub(super) fn next(before: Option<Self>, now: MediaTime, off: i64) -> Option<Self> {
        let least = if before.is_some() { IN_TOUCH } else { OUT_OF_TOUCH };
        (off > least).then(|| before.unwrap_or(Self { since: now, off }))
    }

    /// How alike two periods must be for one to be taken out; `None` while the plan does not ask for it.
    pub(super) fn likeness(&self, now: MediaTime, off: i64) -> Option<f32> {
        let passed = now.micros_since(self.since) as f64 / (TAKES * self.off as f64);
        let planned = self.off as f64 * (1.0 - passed.clamp(0.0, 1.0).powf(BEND));
        match off - planned as i64 {
            ..0 => None,
            0..BEHIND => Some(LESS_ALIKE),
            BEHIND..FAR_BEHIND => Some(HARDLY_ALIKE),
            _ => Some(ANYTHING),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(micros: i64) -> MediaTime {
        MediaTime::from_micros(micros)
    }

    #[test]
    fn it_begins_far_off_and_ends_close() {
        assert!(CatchUp::next(None, at(0), 80_000).is_none());
        let begun = CatchUp::next(None, at(0), 900_000);
        assert!(
            CatchUp::next(begun, at(1), 20_001).is_some() && CatchUp::next(begun, at(1), 20_000).is_none()
        );
        let later = CatchUp::next(begun, at(500_000), 600_000).unwrap();
        assert_eq!((later.since, later.off), (at(0), 900_000));
    }

    #[test]
    fn the_plan_is_slow_first_and_kept_at_any_price() {
        let plan = CatchUp { since: at(0), off: 1_000_000 };
        // After half of the time more than two thirds are left to do.
        assert_eq!(plan.likeness(at(700_000), 680_000), None);
        assert_eq!(plan.likeness(at(700_000), 700_000), Some(LESS_ALIKE));
        assert_eq!(plan.likeness(at(700_000), 750_000), Some(HARDLY_ALIKE));
        assert_eq!(plan.likeness(at(700_000), 900_000), Some(ANYTHING));
        assert_eq!(plan.likeness(at(1_400_000), 21_000), Some(LESS_ALIKE));
        assert_eq!(plan.likeness(at(9_000_000), 200_000), Some(ANYTHING));
        // Less is made up for in less time.
        let less = CatchUp { since: at(0), off: 100_000 };
        assert_eq!(less.likeness(at(140_000), 25_000), Some(LESS_ALIKE));
    }
}
