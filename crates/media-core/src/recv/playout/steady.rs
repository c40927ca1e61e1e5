//! The offset that is played at, without what single pulls are early or late by: a busy machine is no change of the delay.

/// Further from it than this is a change, once two pulls in a row lie there; in microseconds.
const FAR: i64 = 4000;
/// Of what a nearer pull is off by, a late one counts by one in so many parts.
const PARTS: i64 = 64;
/// An early one by so many of them: it misses packets that a late one has.
const EARLY: i64 = 8;

/// Follows slowly what is near, most of all the early pulls, and leaps after what is far and stays.
#[derive(Debug, Default)]
pub(super) struct SteadyOffset {
    /// In parts of a microsecond.
    parts: Option<i64>,
    was_far: bool,
}

impl SteadyOffset {
    /// A pull plays at this offset, in microseconds.
    pub(super) fn pulled(&mut self, offset: i64) {
        let offset = offset.saturating_mul(PARTS);
        let steady = self.parts.get_or_insert(offset);
        let apart = offset.saturating_sub(*steady);
        let is_far = apart.saturating_abs() >= FAR * PARTS;
        if !is_far {
            *steady += if apart < 0 { apart / PARTS * EARLY } else { apart / PARTS };
        } else if self.was_far {
            *steady = offset;
        }
        self.was_far = is_far && !self.was_far;
    }

    /// Sound was put in or taken out: so many microseconds more delay.
    pub(super) fn moved(&mut self, by: i64) {
        self.parts = self.parts.map(|steady| steady.saturating_add(by.saturating_mul(PARTS)));
    }

    /// What comes next is all that is known.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }

    /// In microseconds; `None` before the first pull.
    pub(super) fn get(&self) -> Option<i64> {
        self.parts.map(|steady| steady.div_euclid(PARTS))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pulled(offsets: impl IntoIterator<Item = i64>) -> SteadyOffset {
        let mut steady = SteadyOffset::default();
        offsets.into_iter().for_each(|offset| steady.pulled(offset));
        steady
    }

    #[test]
    fn the_first_pull_is_all_that_is_known_and_a_late_one_changes_little() {
        assert_eq!(SteadyOffset::default().get(), None);
        assert_eq!(pulled([70_000]).get(), Some(70_000));
        assert_eq!(pulled([70_000, 73_200]).get(), Some(70_050));
        assert_eq!(pulled([70_000, 66_800]).get(), Some(69_600));
        assert_eq!(pulled([70_000, 90_000, 70_000, 90_000]).get(), Some(70_000));
    }

    #[test]
    fn what_stays_counts() {
        assert_eq!(pulled([70_000, 90_000, 90_000]).get(), Some(90_000));
        assert_eq!(pulled([70_000, 60_000, 61_000]).get(), Some(61_000));
        let slowly = pulled(std::iter::once(70_000).chain(std::iter::repeat_n(73_000, 300))).get().unwrap();
        assert!((72_900..=73_000).contains(&slowly), "{slowly}");
    }

    #[test]
    fn what_was_cut_counts_at_once() {
        let mut steady = pulled([70_000]);
        steady.moved(-5000);
        assert_eq!(steady.get(), Some(65_000));
        steady.forget();
        steady.pulled(1000);
        assert_eq!(steady.get(), Some(1000));
    }

    #[test]
    fn offsets_may_lie_anywhere() {
        for far in [i64::MIN, i64::MAX] {
            let mut steady = pulled([far, -far.saturating_add(1), far, far]);
            steady.moved(far);
            steady.pulled(0);
            assert!(steady.get().is_some());
        }
    }
}
