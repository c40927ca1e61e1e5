//! How much neural network the decoders may use: as much as ticks have time for, by measurement.

use std::time::Duration;

/// What the decoder spends, from nothing neural to the best: without; concealment (deep PLC); speech enhanced a little (LACE); more (NoLACE).
const COMPLEXITIES: [u8; 4] = [0, 5, 6, 7];
/// Those that this build has.
const BUILT: &[u8] = if cfg!(feature = "lace") { &COMPLEXITIES } else { COMPLEXITIES.split_at(2).0 };
/// Ticks are judged in windows of so many: two seconds, at the usual period.
const WINDOW: u32 = 400;
/// Of a window's ticks so many may be longer: the rest is 99 %.
const MOST_OVER: u32 = WINDOW / 100;
/// The longest of these 99 % may take 40 % of the period; below 20 % there is room for more.
const BUDGET_PERCENT: u32 = 40;
const ROOM_PERCENT: u32 = 20;
/// After so many windows with room the next better is tried; twice as many each time it proves too much, up to the most.
const FIRST_CALM: u32 = 10;
const MOST_CALM: u32 = 320;

/// Watches how long ticks take.
#[derive(Debug, Clone)]
pub(super) struct TickBudget {
    complexities: &'static [u8],
    most: Duration,
    room: Duration,
    level: usize,
    ticks: u32,
    over: u32,
    above_room: u32,
    calm: u32,
    needed_calm: u32,
    /// Windows since it was last raised.
    since_raise: Option<u32>,
}

impl TickBudget {
    /// For a tick every `period`; everything is allowed.
    pub(super) fn new(period: Duration) -> Self {
        Self::of(BUILT, period)
    }

    fn of(complexities: &'static [u8], period: Duration) -> Self {
        Self {
            complexities,
            most: period * BUDGET_PERCENT / 100,
            room: period * ROOM_PERCENT / 100,
            level: complexities.len() - 1,
            ticks: 0,
            over: 0,
            above_room: 0,
            calm: 0,
            needed_calm: FIRST_CALM,
            since_raise: None,
        }
    }

    /// The highest complexity a decoder may have now.
    pub(super) fn ceiling(&self) -> u8 {
        self.complexities[self.level]
    }

    /// A tick took so long. Tells the new ceiling when it changes.
    pub(super) fn tick_took(&mut self, time: Duration) -> Option<u8> {
        self.ticks += 1;
        self.over += u32::from(time > self.most);
        self.above_room += u32::from(time > self.room);
        if self.ticks < WINDOW {
            return None;
        }
        let (over, has_room) = (self.over > MOST_OVER, self.above_room <= MOST_OVER);
        (self.ticks, self.over, self.above_room) = (0, 0, 0);
        self.since_raise = self.since_raise.map(|windows| windows.saturating_add(1));
        let before = self.level;
        if over {
            self.lower();
        } else if has_room {
            self.stay_calm();
        } else {
            self.calm = 0;
        }
        (self.level != before).then(|| self.ceiling())
    }

    fn lower(&mut self) {
        self.calm = 0;
        // It was tried and was too much: not again so soon.
        if self.since_raise.take().is_some_and(|windows| windows <= FIRST_CALM) {
            self.needed_calm = (self.needed_calm * 2).min(MOST_CALM);
        }
        self.level = self.level.saturating_sub(1);
    }

    fn stay_calm(&mut self) {
        self.calm += 1;
        let best = self.complexities.len() - 1;
        if self.calm >= self.needed_calm && self.level < best {
            self.calm = 0;
            self.level += 1;
            self.since_raise = Some(0);
        } else if self.level == best && self.calm >= MOST_CALM {
            self.needed_calm = FIRST_CALM;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PERIOD: Duration = Duration::from_micros(2500);

    /// Runs `windows`; `cost` is what 98 % and what 2 % of the ticks take at a ceiling.
    fn run(budget: &mut TickBudget, windows: u32, cost: impl Fn(u8) -> (u64, u64)) -> Vec<u8> {
        let mut ceilings = Vec::new();
        for _ in 0..windows {
            for tick in 0..WINDOW {
                let (usual, rare) = cost(budget.ceiling());
                let micros = if tick % 50 == 0 { rare } else { usual };
                ceilings.extend(budget.tick_took(Duration::from_micros(micros)));
            }
        }
        ceilings
    }

    #[test]
    fn while_there_is_time_everything_is_allowed() {
        let mut budget = TickBudget::of(&COMPLEXITIES, PERIOD);
        assert!(run(&mut budget, 100, |_| (100, 900)).is_empty());
        assert_eq!(budget.ceiling(), 7);
    }

    #[test]
    fn one_tick_in_a_hundred_that_is_late_changes_nothing() {
        let mut budget = TickBudget::of(&COMPLEXITIES, PERIOD);
        for tick in 0..40_000 {
            let micros = if tick % 100 == 0 { 5000 } else { 200 };
            assert_eq!(budget.tick_took(Duration::from_micros(micros)), None);
        }
    }

    #[test]
    fn too_much_work_takes_level_after_level_away_and_nothing_more() {
        let mut budget = TickBudget::of(&COMPLEXITIES, PERIOD);
        assert_eq!(run(&mut budget, 10, |_| (300, 2000)), [6, 5, 0]);
    }

    #[test]
    fn what_fits_stays() {
        let mut budget = TickBudget::of(&COMPLEXITIES, PERIOD);
        // The best costs too much, the next fits but leaves no room.
        assert_eq!(run(&mut budget, 1000, |ceiling| (200, if ceiling == 7 { 1500 } else { 700 })), [6]);
    }

    #[test]
    fn what_was_lowered_comes_back_and_is_tried_less_and_less_often_when_it_does_not_fit() {
        let mut budget = TickBudget::of(&COMPLEXITIES, PERIOD);
        let fits_until = |most: u8| move |ceiling: u8| (100, if ceiling > most { 1500 } else { 300 });
        let changes = run(&mut budget, 600, fits_until(5));
        assert_eq!(changes[..4], [6, 5, 6, 5]);
        // 10, 20, 40, 80, 160 and 320 windows of rest: about six tries in 600, not sixty.
        assert!((10..=16).contains(&changes.len()), "{changes:?}");
        assert_eq!(run(&mut budget, 700, fits_until(7)).last(), Some(&7));
    }
}
