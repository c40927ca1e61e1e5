//! How much sound a speaker is given whose server asks for it: as much as time passes, so that what pulls it sees a steady clock.
//!
//! A server asks in blocks, now for none and now for two, by a clock of its own that the ticks wander against. It keeps enough to play until it is
//! answered. So the ring before it needs nothing: what the server is owed right after it was given something is watched, and the pace of what
//! it is given follows that, by less than anybody hears.

use std::time::Duration;

use offhook_media_core::units::SAMPLE_RATE;

use crate::device::Standing;

/// The pace is set anew after so much sound: half a second, at first after a tenth.
const WINDOW: f64 = 24_000.0;
const FIRST_WINDOW: f64 = 4800.0;
/// The pace makes up for what is too much or too little in so much sound, 3 s; but it differs by no more than this from the clock's.
const MADE_UP_IN: f64 = 144_000.0;
const MOST_SPEED: f64 = 500e-6;

/// The pace of one speaker. All lengths are in samples at 48 kHz.
#[derive(Debug)]
pub(super) struct PumpedLevel {
    /// The server's clock is faster by this share.
    speed: f64,
    /// Less than a sample that is still to be given.
    rest: f64,
    /// Most that was owed in this window, less what was ready, beyond what may be.
    most: f64,
    passed: f64,
    window: f64,
}

impl Default for PumpedLevel {
    fn default() -> Self {
        Self { speed: 0.0, rest: 0.0, most: f64::NEG_INFINITY, passed: 0.0, window: FIRST_WINDOW }
    }
}

impl PumpedLevel {
    /// How many samples to give after `span` has passed, when the server was left in this standing and `ready` had to stay.
    pub(super) fn wanted(&mut self, span: Duration, standing: Standing, ready: usize) -> usize {
        let span = span.as_secs_f64() * f64::from(SAMPLE_RATE);
        let kept = standing.kept as f64;
        // It may take half of what it keeps twice before it is given more, and what passes until then is owed, too.
        let may_be_owed = (kept / 2.0 - span).clamp(0.0, kept / 4.0);
        let lag = standing.owed as f64 - ready as f64 - may_be_owed;
        let at_once = kept / 2.0;
        self.most = self.most.max(lag);
        self.passed += span;
        let mut give = span * (1.0 + self.speed) + self.rest;
        if self.passed >= self.window {
            let too_much = self.most;
            if self.window < WINDOW || too_much.abs() > at_once {
                // At first all of it: nobody hears it before the far end does.
                give += too_much;
            } else {
                self.speed = (too_much / MADE_UP_IN).clamp(-MOST_SPEED, MOST_SPEED);
            }
            (self.most, self.passed, self.window) = (f64::NEG_INFINITY, 0.0, WINDOW);
        } else if lag > at_once {
            give += lag;
            (self.most, self.passed) = (f64::NEG_INFINITY, 0.0);
        }
        let whole = give.floor().max(0.0);
        self.rest = (give - whole).clamp(-kept, 1.0);
        whole as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a server whose clock is faster by `skew` was given in the last ten seconds of a minute: the least and the most at once, and what it was
    /// owed at most.
    fn minute(step: Duration, skew: f64) -> ([usize; 2], f64) {
        let mut pace = PumpedLevel::default();
        let (mut asked, mut given, mut at_once, mut most) = (0.0_f64, 0.0_f64, [usize::MAX, 0], 0.0_f64);
        let steps = (60.0 / step.as_secs_f64()).round() as usize;
        for n in 0..steps {
            let owed = asked - given;
            let standing = Standing { owed: owed.max(0.0) as usize, kept: 960 };
            let give = pace.wanted(step, standing, (-owed).max(0.0) as usize);
            given += give as f64;
            if n >= steps * 5 / 6 {
                at_once = [at_once[0].min(give), at_once[1].max(give)];
                most = most.max(owed);
            }
            asked += 48_000.0 * step.as_secs_f64() * (1.0 + skew);
        }
        (at_once, most)
    }

    #[test]
    fn a_server_is_given_what_its_clock_takes_as_evenly_as_the_ticks_come() {
        for (step, owed) in [(5, 240.0), (10, 0.0)] {
            for skew in [0.0, 250e-6, -250e-6] {
                let ([least, most], most_owed) = minute(Duration::from_millis(step), skew);
                let even = 48 * step as usize;
                assert!(even - least <= 1 && most - even <= 1, "{step} {skew}: {least} to {most}");
                assert!((most_owed - owed).abs() < 60.0, "{step} {skew}: {most_owed}");
            }
        }
    }

    #[test]
    fn what_a_server_took_all_at_once_is_given_back_at_once() {
        let mut pace = PumpedLevel::default();
        let step = Duration::from_millis(5);
        let usual = Standing { owed: 240, kept: 960 };
        (0..1000).for_each(|_| assert!(pace.wanted(step, usual, 0).abs_diff(240) <= 1));
        assert!(pace.wanted(step, Standing { owed: 240 + 600, ..usual }, 0) >= 600);
        assert!(pace.wanted(step, usual, 0).abs_diff(240) <= 1);
    }
}
