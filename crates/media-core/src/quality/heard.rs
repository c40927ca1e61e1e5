//! What the receive path counted, as the E-model wants it.

use std::time::Duration;

use super::{ImpairedSound, Score, ScoreInput, score};
use crate::jitter::ReceiveStats;
use crate::units::SampleCount;

/// Stretching up to this share of the sound is not heard.
const UNHEARD_STRETCH: u64 = 20;
const MINUTE: f64 = 60.0;

/// What was heard between two looks at a receive path; between the default and the newest look, all of it.
#[derive(Debug, Clone, Copy)]
pub struct Heard<'a> {
    /// The earlier look.
    pub before: &'a ReceiveStats,
    /// The later one.
    pub after: &'a ReceiveStats,
}

impl Heard<'_> {
    /// How much sound of the far end there was, however it came about.
    pub fn sound(&self) -> Duration {
        duration(self.samples())
    }

    /// The part of it that was not what was said.
    pub fn impaired(&self) -> ImpairedSound {
        let since = |of: fn(&ReceiveStats) -> u64| self.since(of);
        let (short, long) = (since(|stats| stats.concealed_short), since(|stats| stats.concealed_long));
        let stretched = since(|stats| stats.accelerated) + since(|stats| stats.expanded);
        ImpairedSound {
            absent: duration(since(|stats| stats.skipped) + since(|stats| stats.dropped)),
            concealed_short: duration(short),
            // A hole that is not over yet counts as one of middle length.
            concealed: duration(since(|stats| stats.concealed).saturating_sub(short + long)),
            concealed_long: duration(long),
            copied: duration(since(|stats| stats.fec)),
            deep_redundancy: duration(since(|stats| stats.dred)),
            stretched: duration(stretched.saturating_sub(self.samples() / UNHEARD_STRETCH)),
        }
    }

    /// Mean playout delay of the packets that were played in between; `None` when none was.
    pub fn playout_delay(&self) -> Option<Duration> {
        let sum = |stats: &ReceiveStats| {
            stats.mean_playout_delay.map_or(0.0, |mean| mean.as_secs_f64() * stats.packets_played as f64)
        };
        let played = self.since(|stats| stats.packets_played);
        let mean = (sum(self.after) - sum(self.before)) / played as f64;
        (played > 0).then(|| Duration::from_secs_f64(mean.max(0.0)))
    }

    /// The judgement, with this mouth to ear; `None` while nothing was heard or the latency is not known. Breaks are counted per minute, in a
    /// shorter piece as if it were one.
    pub fn score(&self, latency: Option<Duration>) -> Option<Score> {
        let sound = self.sound();
        let breaks = self.since(|stats| stats.interruptions) as f64;
        score(&ScoreInput {
            latency,
            impaired_percent: self.impaired().percent_of(sound),
            interruptions_per_minute: breaks * MINUTE / sound.as_secs_f64().max(MINUTE),
            ..ScoreInput::default()
        })
    }

    fn samples(&self) -> u64 {
        self.since(|stats| stats.decoded + stats.red + stats.fec + stats.dred + stats.concealed)
    }

    /// A receive path that begins again counts from zero: then nothing is in between.
    fn since(&self, of: fn(&ReceiveStats) -> u64) -> u64 {
        of(self.after).saturating_sub(of(self.before))
    }
}

fn duration(samples: u64) -> Duration {
    SampleCount(usize::try_from(samples).unwrap_or(usize::MAX / 200)).duration()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 48_000;
    const LATENCY: Option<Duration> = Some(Duration::from_millis(60));

    fn minute() -> ReceiveStats {
        ReceiveStats { decoded: 60 * SECOND, ..ReceiveStats::default() }
    }

    fn r(after: &ReceiveStats) -> f64 {
        let heard = Heard { before: &ReceiveStats::default(), after };
        heard.score(LATENCY).unwrap().r_factor
    }

    #[test]
    fn the_same_loss_costs_by_what_became_of_it() {
        let lost = 3 * SECOND;
        let decoded = 57 * SECOND;
        let worse_and_worse = [
            minute(),
            ReceiveStats { decoded, fec: lost, ..minute() },
            ReceiveStats { decoded, dred: lost, ..minute() },
            ReceiveStats { decoded, concealed: lost, concealed_short: lost, ..minute() },
            ReceiveStats { decoded, concealed: lost, ..minute() },
            ReceiveStats { decoded, concealed: lost, concealed_long: lost, ..minute() },
        ]
        .map(|stats| r(&stats));
        assert!(worse_and_worse.windows(2).all(|pair| pair[0] > pair[1]), "{worse_and_worse:?}");
        let copied = r(&ReceiveStats { decoded, red: lost, ..minute() });
        assert!((copied - worse_and_worse[0]).abs() < 1e-9, "an exact copy is as good as the packet");
        assert!(
            r(&ReceiveStats { skipped: lost, ..minute() }) < worse_and_worse[4],
            "words that were never heard"
        );
        assert!(r(&ReceiveStats { interruptions: 1, ..minute() }) < worse_and_worse[0] - 4.9);
    }

    #[test]
    fn a_little_stretching_is_not_heard() {
        let plain = r(&minute());
        let one_way_or_the_other = ReceiveStats { accelerated: SECOND, expanded: 2 * SECOND, ..minute() };
        assert!((r(&one_way_or_the_other) - plain).abs() < 1e-9);
        assert!(r(&ReceiveStats { expanded: 30 * SECOND, ..minute() }) < plain);
    }

    #[test]
    fn only_what_lies_between_counts() {
        let bad = ReceiveStats { concealed: 30 * SECOND, interruptions: 9, ..minute() };
        let later = ReceiveStats { decoded: 120 * SECOND, ..bad };
        let heard = Heard { before: &bad, after: &later };
        assert_eq!((heard.sound(), heard.impaired()), (Duration::from_secs(60), ImpairedSound::default()));
        assert!((heard.score(LATENCY).unwrap().r_factor - r(&minute())).abs() < 1e-9);
        assert_eq!(Heard { before: &later, after: &later }.score(LATENCY), None, "nothing was heard");
        assert_eq!(Heard { before: &later, after: &minute() }.sound(), Duration::ZERO, "begun again");
        assert_eq!(heard.score(None), None, "no latency was measured");
    }

    #[test]
    fn delay_is_the_mean_of_the_packets_in_between() {
        let look = |packets_played, ms| ReceiveStats {
            packets_played,
            mean_playout_delay: Some(Duration::from_millis(ms)),
            ..ReceiveStats::default()
        };
        let (before, after) = (look(100, 20), look(200, 30));
        let delay = Heard { before: &before, after: &after }.playout_delay().unwrap();
        assert!((delay.as_secs_f64() - 0.04).abs() < 1e-6, "{delay:?}");
        assert_eq!(Heard { before: &after, after: &after }.playout_delay(), None);
    }
}
