//! Keeps what was played in step with its echo: finds the echo by correlation, holds the far end back until it is just ahead of it, follows clocks
//! that are apart, and after a change of the delay is there in a third of a second, where AEC3's own search takes up to one and a half. What AEC3 learned
//! of the room still holds then.

mod correlator;
mod drift;
mod tracker;

use correlator::{Correlator, THINNED};
use drift::Drift;
use tracker::{Sighting, Tracker};

use super::interpolation::{AFTER, interpolated};
use super::stage::BLOCK;

/// Blocks from one look to the next: 40 ms.
const LOOK_EVERY: u64 = 4;
/// What is left of the lag for the canceller: 20 ms, that is a block of AEC3's filter more than the delay it begins with. Its filter models best
/// what begins with a block: half a block more or less costs some dB where the loudspeaker bends. A shorter lag is left as it is.
const REMAINS: f64 = 960.0;
/// What is played is held back by this much at least: to read between samples takes the ones after.
const LEAST: f64 = AFTER as f64 + 1.0;
/// An error of the place is made up for in five seconds, at 500 ppm at most beside the clocks' own.
const IN_SAMPLES: f64 = 240_000.0;
const MOST_PACE: f64 = 500e-6;
/// So many blocks the canceller is told of when the echo is found: more than the lag that is left to it.
const BEFORE: usize = 4;
/// Samples kept: two thirds of a second. A power of two.
const KEPT: usize = 32_768;

/// The far end, in time with its echo. Lags and places are in samples at 48 kHz.
pub(super) struct Alignment {
    correlator: Correlator,
    tracker: Tracker,
    drift: Drift,
    line: DelayLine,
    blocks: u64,
    held_back: f64,
    remains: f64,
    found: bool,
}

/// The far end for the canceller.
pub(super) struct Aligned {
    pub(super) far: [f32; BLOCK],
    /// The echo was found for the first time: the far end is another one than the canceller heard before. This is what it would have heard.
    pub(super) before: Option<[[f32; BLOCK]; BEFORE]>,
}

impl Alignment {
    pub(super) fn new() -> Self {
        Self {
            correlator: Correlator::new(),
            tracker: Tracker::default(),
            drift: Drift::default(),
            line: DelayLine { samples: vec![0.0; KEPT].into(), end: 0 },
            blocks: 0,
            held_back: LEAST,
            remains: REMAINS,
            found: false,
        }
    }

    /// By how much what is played is held back now.
    #[cfg(test)]
    pub(super) fn held_back(&self) -> f64 {
        self.held_back
    }

    /// The far end as the canceller is to hear it with this block of the microphone. `far` is what was played at its time.
    pub(super) fn process(&mut self, near: &[f32; BLOCK], far: &[f32; BLOCK]) -> Aligned {
        self.correlator.push(near, far);
        self.line.push(far);
        self.blocks += 1;
        let known = self.found;
        if self.blocks.is_multiple_of(LOOK_EVERY) {
            self.look();
        }
        let pace = self.pace();
        let held_back = (self.held_back + pace * BLOCK as f64).max(LEAST);
        let pace = (held_back - self.held_back) / BLOCK as f64;
        let far = self.line.read(self.held_back, pace);
        let ago = |n: usize| self.line.read(self.held_back + ((BEFORE - n) * BLOCK) as f64, 0.0);
        let before = (self.found && !known).then(|| std::array::from_fn(ago));
        self.held_back = held_back;
        Aligned { far, before }
    }

    fn look(&mut self) {
        let Some(correlation) = self.correlator.correlate() else {
            return;
        };
        let time = (self.blocks * BLOCK as u64) as f64;
        match self.tracker.observe(&correlation) {
            Sighting::None => {}
            Sighting::Here(lag) => self.drift.note(time, lag * THINNED as f64),
            Sighting::Moved(lag) => {
                let lag = lag * THINNED as f64;
                self.drift.moved(time, lag);
                self.held_back = (lag - REMAINS).round().max(LEAST);
                self.remains = lag - self.held_back;
                self.found = true;
            }
        }
    }

    /// How fast it has to be held back more.
    fn pace(&self) -> f64 {
        let now = (self.blocks * BLOCK as u64) as f64;
        let Some(line) = self.drift.line() else {
            return 0.0;
        };
        let off = line.at(now) - self.remains - self.held_back;
        line.slope + (off / IN_SAMPLES).clamp(-MOST_PACE, MOST_PACE)
    }
}

/// The last samples that were played.
struct DelayLine {
    samples: Box<[f32]>,
    end: u64,
}

impl DelayLine {
    fn push(&mut self, block: &[f32; BLOCK]) {
        for sample in block {
            self.samples[(self.end % KEPT as u64) as usize] = *sample;
            self.end += 1;
        }
    }

    /// The last block as it was `back` samples before, and for each sample `pace` more.
    fn read(&self, back: f64, pace: f64) -> [f32; BLOCK] {
        let at = |index: i64| self.samples[index.rem_euclid(KEPT as i64) as usize];
        let begin = (self.end as i64 - BLOCK as i64) as f64 - back;
        if pace == 0.0 && begin.fract() == 0.0 {
            return std::array::from_fn(|n| at(begin as i64 + n as i64));
        }
        std::array::from_fn(|n| interpolated(begin + n as f64 * (1.0 - pace), at))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use offhook_sim::room::{DelayJump, Room, RoomConfig};
    use offhook_sim::sound::{silence, synthetic_speech};

    use super::*;

    /// After each block: time in seconds, and by how much the far end was held back, in milliseconds.
    fn aligned(config: RoomConfig, seconds: u64, near: &[f32]) -> Vec<(f64, f64)> {
        let played = synthetic_speech(Duration::from_secs(seconds), 4);
        let mic = Room::new(config).record(&played, near);
        let mut alignment = Alignment::new();
        let blocks = mic.as_chunks::<BLOCK>().0.iter().zip(played.as_chunks::<BLOCK>().0);
        let place = |(n, (near, far))| {
            alignment.process(near, far);
            (n as f64 / 100.0, alignment.held_back() / 48.0)
        };
        blocks.enumerate().map(place).collect()
    }

    fn quiet(seconds: u64) -> Vec<f32> {
        silence(Duration::from_secs(seconds))
    }

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn after_a_jump_it_is_there_in_a_third_of_a_second() {
        let jumps =
            vec![DelayJump { at: ms(4000), delay: ms(150) }, DelayJump { at: ms(7000), delay: ms(30) }];
        let places = aligned(
            RoomConfig { delay: ms(40), delay_jumps: jumps, ..RoomConfig::default() },
            10,
            &quiet(10),
        );
        for (time, place) in places {
            let expected = match time {
                ..1.0 => continue,
                ..4.0 => 20.0,
                4.33..7.0 => 130.0,
                7.33.. => 10.0,
                _ => continue,
            };
            assert!((place - expected).abs() < 0.3, "{time} s: {place} ms for {expected}");
        }
    }

    #[test]
    fn where_clocks_are_in_step_it_stands_still_also_while_both_speak() {
        for (decay, seed) in [(ms(60), 1), (ms(200), 2), (ms(120), 3)] {
            let config = RoomConfig { delay: ms(90), decay, seed, ..RoomConfig::default() };
            let mut near = quiet(20);
            near[8 * 48_000..16 * 48_000].copy_from_slice(&synthetic_speech(Duration::from_secs(8), 9));
            let places = aligned(config, 20, &near);
            let settled = places[150].1;
            assert!((settled - 70.0).abs() < 0.3, "{settled}");
            for (time, place) in &places[150..] {
                assert_eq!(*place, settled, "{time} s");
            }
        }
    }

    #[test]
    fn clocks_apart_are_followed() {
        for skew in [100.0, -100.0, 250.0] {
            let config = RoomConfig { delay: ms(60), skew_ppm: skew, ..RoomConfig::default() };
            for (time, place) in &aligned(config, 30, &quiet(30))[1200..] {
                // A microphone that is fast hears everything later by its own count.
                let expected = 40.0 + time * skew * 1e-3;
                assert!((place - expected).abs() < 0.15, "{skew} ppm, {time} s: {place} for {expected}");
            }
        }
    }

    #[test]
    fn what_is_held_back_is_what_was_played() {
        let played = synthetic_speech(Duration::from_secs(1), 4);
        let mut line = DelayLine { samples: vec![0.0; KEPT].into(), end: 0 };
        for (n, block) in played.as_chunks::<BLOCK>().0.iter().enumerate() {
            line.push(block);
            let first = n as i64 * BLOCK as i64 - 1000;
            let was = |index: i64| usize::try_from(index).map_or(0.0, |index| played[index]);
            let read = line.read(1000.0, 0.0);
            assert!((first..).zip(read).all(|(index, sample)| sample == was(index)));
            for (index, sample) in (first..).zip(line.read(999.5, 1e-4)) {
                assert!((sample - (was(index) + was(index + 1)) / 2.0).abs() < 0.1);
            }
        }
    }
}
