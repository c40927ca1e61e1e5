//! Last values that one thread writes and any other reads whole, without a lock.

use std::sync::atomic::{AtomicU64, Ordering, fence};
use std::time::Duration;

use offhook_media_core::dsp::AudioLevel;
use offhook_media_core::recv::ReceiveStats;
use offhook_media_core::send::{Rung, SendStats};
use offhook_media_core::units::{Dbov, MediaTime, Ppm};

/// A value in words. `N` is their number.
pub(crate) trait Words<const N: usize> {
    fn to_words(&self) -> [u64; N];
    fn from_words(words: [u64; N]) -> Self;
}

/// The writer counts up before and after; a reader that saw the count odd, or changed, reads again.
#[derive(Debug)]
pub(crate) struct Snapshot<const N: usize> {
    count: AtomicU64,
    words: [AtomicU64; N],
}

impl<const N: usize> Snapshot<N> {
    pub(crate) fn of<T: Words<N>>(value: &T) -> Self {
        Self { count: AtomicU64::new(0), words: value.to_words().map(AtomicU64::new) }
    }

    /// For one thread only. Real-time safe.
    pub(crate) fn write<T: Words<N>>(&self, value: &T) {
        let count = self.count.load(Ordering::Relaxed);
        self.count.store(count.wrapping_add(1), Ordering::Relaxed);
        fence(Ordering::Release);
        for (word, new) in self.words.iter().zip(value.to_words()) {
            word.store(new, Ordering::Relaxed);
        }
        self.count.store(count.wrapping_add(2), Ordering::Release);
    }

    /// From any thread; waits while the writer is in the middle of it.
    pub(crate) fn read<T: Words<N>>(&self) -> T {
        loop {
            let before = self.count.load(Ordering::Acquire);
            let words = std::array::from_fn(|n| self.words[n].load(Ordering::Relaxed));
            fence(Ordering::Acquire);
            if before.is_multiple_of(2) && self.count.load(Ordering::Relaxed) == before {
                return T::from_words(words);
            }
            std::thread::yield_now();
        }
    }
}

const NONE: u64 = u64::MAX;

fn of_duration(duration: Option<Duration>) -> u64 {
    duration.map_or(NONE, |duration| u64::try_from(duration.as_nanos()).unwrap_or(NONE - 1))
}

fn to_duration(word: u64) -> Option<Duration> {
    (word != NONE).then(|| Duration::from_nanos(word))
}

/// A level is told as its mean square was: the steps of RFC 6464 are whole decibels.
fn to_level(word: u64) -> Dbov {
    if word >= 127 { Dbov::SILENCE } else { Dbov::of_mean_square(10.0_f32.powf(-(word as f32) / 10.0)) }
}

pub(crate) fn word_of_level(level: AudioLevel) -> u64 {
    u64::from(level.level.get()) | u64::from(level.voice) << 8
}

pub(crate) fn level_of_word(word: u64) -> AudioLevel {
    AudioLevel { level: to_level(word & 0xff), voice: word & 0x100 != 0 }
}

pub(crate) const SEND_WORDS: usize = 8;

impl Words<SEND_WORDS> for SendStats {
    fn to_words(&self) -> [u64; SEND_WORDS] {
        [
            self.packets,
            self.payload_bytes,
            self.red_bytes,
            self.dred_bytes,
            self.rung.to_word(),
            self.encode_errors,
            word_of_level(self.level),
            u64::from(self.muted),
        ]
    }

    fn from_words(words: [u64; SEND_WORDS]) -> Self {
        let [packets, payload_bytes, red_bytes, dred_bytes, rung, encode_errors, level, muted] = words;
        Self {
            packets,
            payload_bytes,
            red_bytes,
            dred_bytes,
            rung: Rung::from_word(rung),
            encode_errors,
            level: level_of_word(level),
            muted: muted != 0,
        }
    }
}

pub(crate) const RECEIVE_WORDS: usize = 32;

impl Words<RECEIVE_WORDS> for ReceiveStats {
    fn to_words(&self) -> [u64; RECEIVE_WORDS] {
        let voice = AudioLevel { level: self.level, voice: self.voice };
        [
            self.packets_received,
            self.packets_lost,
            self.packets_late,
            self.packets_duplicate,
            self.packets_discarded,
            self.packets_played,
            self.packets_flushed,
            self.packets_waiting,
            self.pulled,
            self.decoded,
            self.fec,
            self.concealed,
            self.concealed_speech,
            self.silence,
            self.accelerated,
            self.expanded,
            self.dropped,
            self.buffered,
            self.skipped,
            self.stretches,
            self.interruptions,
            self.resampled as u64,
            of_duration(self.playout_delay),
            of_duration(self.mean_playout_delay),
            of_duration(self.target_delay),
            self.drift.map_or(NONE, |drift| drift.0.to_bits()),
            word_of_level(voice),
            self.first_sound.map_or(NONE, |at| at.as_micros() as u64),
            self.red,
            self.dred,
            self.concealed_short,
            self.concealed_long,
        ]
    }

    fn from_words(words: [u64; RECEIVE_WORDS]) -> Self {
        let voice = level_of_word(words[26]);
        Self {
            packets_received: words[0],
            packets_lost: words[1],
            packets_late: words[2],
            packets_duplicate: words[3],
            packets_discarded: words[4],
            packets_played: words[5],
            packets_flushed: words[6],
            packets_waiting: words[7],
            pulled: words[8],
            decoded: words[9],
            fec: words[10],
            concealed: words[11],
            concealed_speech: words[12],
            silence: words[13],
            accelerated: words[14],
            expanded: words[15],
            dropped: words[16],
            buffered: words[17],
            skipped: words[18],
            stretches: words[19],
            interruptions: words[20],
            resampled: words[21] as i64,
            playout_delay: to_duration(words[22]),
            mean_playout_delay: to_duration(words[23]),
            target_delay: to_duration(words[24]),
            drift: (words[25] != NONE).then(|| Ppm(f64::from_bits(words[25]))),
            level: voice.level,
            voice: voice.voice,
            first_sound: (words[27] != NONE).then(|| MediaTime::from_micros(words[27] as i64)),
            red: words[28],
            dred: words[29],
            concealed_short: words[30],
            concealed_long: words[31],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_level_survives() {
        for db in 0..=127 {
            assert_eq!(u64::from(to_level(db).get()), db);
        }
    }

    #[test]
    fn statistics_are_read_as_they_were_written() {
        let stats = ReceiveStats {
            packets_received: 1,
            concealed_short: 7,
            concealed_long: 8,
            interruptions: 18,
            playout_delay: Some(Duration::from_micros(1234)),
            drift: Some(Ppm(-12.5)),
            level: to_level(30),
            voice: true,
            first_sound: Some(MediaTime::from_micros(-5)),
            ..ReceiveStats::default()
        };
        let snapshot = Snapshot::of(&ReceiveStats::default());
        assert_eq!(snapshot.read::<ReceiveStats>(), ReceiveStats::default());
        snapshot.write(&stats);
        assert_eq!(snapshot.read::<ReceiveStats>(), stats);
    }

    struct Same([u64; 8]);

    impl Words<8> for Same {
        fn to_words(&self) -> [u64; 8] {
            self.0
        }
        fn from_words(words: [u64; 8]) -> Self {
            Self(words)
        }
    }

    #[test]
    fn a_reader_never_sees_half_a_value() {
        let snapshot = Snapshot::of(&Same([0; 8]));
        std::thread::scope(|scope| {
            scope.spawn(|| (1..50_000).for_each(|n| snapshot.write(&Same([n; 8]))));
            for _ in 0..10_000 {
                let seen = snapshot.read::<Same>().0;
                assert_eq!(seen, [seen[0]; 8]);
            }
        });
    }
}
