//! What the loudspeakers play, on the engine's time: sources are added where their sound is heard, and read where a microphone listened.

use offhook_media_core::units::MediaTime;

use super::follower::Follower;
use super::interpolation::interpolated;
use super::link::ReferencePiece;
use super::stage::BLOCK;
use crate::key::Key;

/// Samples that are kept: two thirds of a second. A power of two.
const KEPT: i64 = 32_768;
/// Sources whose places are remembered.
const MOST_SOURCES: usize = 16;
/// A source is moved by one sample when it is further off than this.
const SLIP: f64 = 1.0;
/// Samples of the engine's clock in a microsecond.
const PER_MICROSECOND: f64 = 0.048;

/// Samples of the engine's time at which `time` lies.
pub(super) fn samples_at(time: MediaTime) -> f64 {
    time.as_micros() as f64 * PER_MICROSECOND
}

/// The sum of all sources, by time.
#[derive(Debug)]
pub(super) struct Reference {
    sum: Box<[f32]>,
    /// From here on nothing was written.
    end: i64,
    sources: Vec<Source>,
}

#[derive(Debug)]
struct Source {
    key: Key,
    follower: Follower,
    /// Place of the next sample, and its number in the source.
    next: Option<i64>,
    number: u64,
    missing: u64,
}

impl Reference {
    pub(super) fn new() -> Self {
        Self { sum: vec![0.0; KEPT as usize].into_boxed_slice(), end: 0, sources: Vec::new() }
    }

    /// Adds a piece where it is heard.
    pub(super) fn write(&mut self, piece: &ReferencePiece) {
        let samples = piece.samples();
        let source = self.source(piece.source);
        // What was lost on the way, or the device did without, moved all that follows.
        if piece.restart || piece.number != source.number || piece.missing != source.missing {
            source.follower.restart();
            source.next = None;
        }
        source.number = piece.number + samples.len() as u64;
        source.missing = piece.missing;
        let place = source.follower.place(samples_at(piece.plays_at), samples.len());
        let next = match source.next {
            Some(next) if (place - next as f64).abs() < 2.0 * SLIP => {
                let off = place - next as f64;
                if off.abs() > SLIP { next + off.signum() as i64 } else { next }
            }
            _ => place.round() as i64,
        };
        source.next = Some(next + samples.len() as i64);
        source.follower.advance(samples.len());
        self.add(next, samples);
    }

    /// What is played at `position` and after it, each sample `pace` after the one before; silence where nothing is known.
    pub(super) fn read(&self, position: f64, pace: f64) -> [f32; BLOCK] {
        std::array::from_fn(|n| interpolated(position + n as f64 * pace, |index| self.at(index)))
    }

    fn at(&self, index: i64) -> f32 {
        if index >= self.end || index < self.end - KEPT { 0.0 } else { self.sum[slot(index)] }
    }

    fn add(&mut self, at: i64, samples: &[f32]) {
        let end = at + samples.len() as i64;
        // A source far behind or, after a stop of the others, far ahead.
        if end <= self.end - KEPT {
            return;
        }
        let fresh = self.end.max(end - KEPT);
        for index in fresh..end {
            self.sum[slot(index)] = 0.0;
        }
        self.end = self.end.max(end);
        for (index, sample) in (at..).zip(samples) {
            if index >= self.end - KEPT {
                self.sum[slot(index)] += sample;
            }
        }
    }

    fn source(&mut self, key: Key) -> &mut Source {
        let index = self.sources.iter().position(|source| source.key == key).unwrap_or_else(|| {
            if self.sources.len() == MOST_SOURCES {
                self.sources.remove(0);
            }
            self.sources.push(Source { key, follower: Follower::new(), next: None, number: 0, missing: 0 });
            self.sources.len() - 1
        });
        &mut self.sources[index]
    }
}

fn slot(index: i64) -> usize {
    index.rem_euclid(KEPT) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: Key = Key { index: 0, generation: 1 };

    fn tone(position: f64) -> f32 {
        (position * 1000.0 / 48_000.0 * std::f64::consts::TAU).sin() as f32
    }

    /// 120 samples at a time of a tone that is played from 10 ms on, stamped up to 2 ms late.
    fn played(reference: &mut Reference, key: Key, pieces: u64) {
        for piece in 0..pieces {
            let number = piece * 120;
            let late = piece.wrapping_mul(7919) % 2000;
            let at = MediaTime::from_micros((10_000 + number * 1_000_000 / 48_000 + late) as i64);
            let samples: Vec<f32> = (0..120).map(|n| tone((number + n) as f64)).collect();
            reference.write(&ReferencePiece::new(key, number, at, 0, false, &samples));
        }
    }

    #[test]
    fn it_is_read_where_it_was_played_at_any_pace() {
        let mut reference = Reference::new();
        played(&mut reference, KEY, 400);
        for pace in [1.0, 1.0001] {
            let read = reference.read(40_000.25, pace);
            for (n, sample) in read.iter().enumerate() {
                let expected = tone(40_000.25 + n as f64 * pace - 480.0);
                // Stamps are late: the place is known to a few samples only, of 48 in a turn.
                assert!((sample - expected).abs() < 0.3, "{n}: {sample} for {expected}");
            }
            let power: f32 = read.iter().map(|s| s * s).sum::<f32>() / 480.0;
            assert!((power - 0.5).abs() < 0.01, "{power}");
        }
        assert_eq!(reference.read(100_000.0, 1.0), [0.0; BLOCK]);
        assert_eq!(reference.read(-100_000.0, 1.0), [0.0; BLOCK]);
    }

    #[test]
    fn two_loudspeakers_are_added() {
        let (mut one, mut both) = (Reference::new(), Reference::new());
        played(&mut one, KEY, 100);
        played(&mut both, KEY, 100);
        played(&mut both, Key { index: 1, generation: 1 }, 100);
        for (one, both) in one.read(6000.0, 1.0).iter().zip(both.read(6000.0, 1.0)) {
            assert!((2.0 * one - both).abs() < 1e-5);
        }
    }

    #[test]
    fn a_place_far_away_is_no_harm() {
        let mut reference = Reference::new();
        for micros in [0, i64::MAX / 1_000_000, -5_000_000, 1000] {
            let at = MediaTime::from_micros(micros);
            reference.write(&ReferencePiece::new(KEY, 0, at, 0, true, &[0.5; 120]));
        }
        assert!(reference.read(0.0, 1.0).iter().all(|sample| sample.is_finite()));
    }
}
