//! Follows where a stream of samples lies in time, from stamps that come late by chance but never early.

/// Stamps are judged by the least late one of the last second or two.
const WINDOW: f64 = 48_000.0;
/// Further off than this is no drift: the place is another one. 2 ms.
const JUMP: f64 = 96.0;
/// Whether it is later than thought is believed after so many samples of stamps: 250 ms.
const LATER_AFTER: f64 = 12_000.0;
/// Share of an error that is made up for in 10 ms, and what the rate learns of it: a loop of 0.15 rad/s, critically damped.
const SHARE: f64 = 0.003;
const LEARNS: f64 = 4.7e-9;
const UNIT: f64 = 480.0;
/// Clocks are not further apart.
const MOST_RATE: f64 = 1e-3;

/// The place of a stream on the engine's time, in samples at 48 kHz of the engine's clock.
#[derive(Debug, Clone, Copy)]
pub(super) struct Follower {
    position: Option<f64>,
    rate: f64,
    least: [f64; 2],
    seen: f64,
    since_jump: f64,
}

impl Follower {
    pub(super) const fn new() -> Self {
        Self { position: None, rate: 0.0, least: [f64::INFINITY; 2], seen: 0.0, since_jump: 0.0 }
    }

    /// A device of the same clock, but its place is to be found anew.
    pub(super) fn restart(&mut self) {
        *self = Self { rate: self.rate, ..Self::new() };
    }

    /// How much engine time a sample of the stream takes, in samples.
    pub(super) fn pace(&self) -> f64 {
        1.0 + self.rate
    }

    /// Where the next sample lies, after a stamp says `stamped`. Before the first one it is unknown.
    pub(super) fn place(&mut self, stamped: f64, length: usize) -> f64 {
        let Some(position) = self.position else {
            self.position = Some(stamped);
            return stamped;
        };
        self.least[1] = self.least[1].min(stamped - position);
        self.seen += length as f64;
        self.since_jump += length as f64;
        let error = self.least[0].min(self.least[1]);
        if self.seen >= WINDOW {
            self.least = [self.least[1], f64::INFINITY];
            self.seen = 0.0;
        }
        if error < -JUMP || (error > JUMP && self.since_jump >= LATER_AFTER) {
            let rate = self.rate;
            *self = Self { position: Some(position + error), rate, ..Self::new() };
            return position + error;
        }
        if error.abs() > JUMP {
            return position;
        }
        let units = length as f64 / UNIT;
        let correction = error * SHARE * units;
        self.rate = (self.rate + error * LEARNS * units).clamp(-MOST_RATE, MOST_RATE);
        self.least = self.least.map(|least| least - correction);
        self.position = Some(position + correction);
        position + correction
    }

    /// `length` samples of the stream went by.
    pub(super) fn advance(&mut self, length: usize) {
        let pace = self.pace();
        if let Some(position) = &mut self.position {
            *position += length as f64 * pace;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Errors of the place at each block, for a stream that is `skew` slow and whose stamps are up to `late` samples late.
    fn errors(skew: f64, late: u64, blocks: u64, jump_at: u64) -> Vec<f64> {
        let mut follower = Follower::new();
        let mut errors = Vec::new();
        for block in 0..blocks {
            let jumped = if block >= jump_at { 2000.0 } else { 0.0 };
            let truth = block as f64 * 480.0 * (1.0 + skew) + 7.25 + jumped;
            let by_chance = (block.wrapping_mul(7919) % (late + 1)) as f64;
            let place = follower.place(truth + by_chance, 480);
            errors.push(place - truth);
            follower.advance(480);
        }
        errors
    }

    #[test]
    fn a_skewed_stream_is_followed_within_a_few_microseconds() {
        for skew in [100e-6, -100e-6, 300e-6] {
            let errors = errors(skew, 240, 10_000, u64::MAX);
            let late = &errors[6000..];
            let (least, most) = late.iter().fold((f64::MAX, f64::MIN), |(a, b), e| (a.min(*e), b.max(*e)));
            assert!(least > -3.0 && most < 12.0, "{skew}: {least}..{most}");
            // What a canceller sees: how much the place wanders within a second.
            let wander = late.windows(100).map(|w| (w[99] - w[0]).abs()).fold(0.0, f64::max);
            assert!(wander < 0.5, "{skew}: {wander}");
        }
    }

    #[test]
    fn a_jump_is_seen_within_two_seconds_and_not_before_it() {
        let errors = errors(0.0, 100, 1200, 600);
        assert!(errors[100..600].iter().all(|error| error.abs() < 100.0));
        assert!(errors[800..].iter().all(|error| error.abs() < 100.0), "{:?}", &errors[790..810]);
    }
}
