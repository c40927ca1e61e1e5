//! The E-model on the fullband scale (ITU-T G.107.2). An estimate, not a listening test.

use std::time::Duration;

/// Robustness of the codec against loss (ITU-T G.113 `Bpl`) with concealment by the codec.
const LOSS_ROBUSTNESS: f64 = 10.0;
/// Impairment at which nothing is left of the sound, on the fullband scale.
const WORST_IMPAIRMENT: f64 = 132.0;
/// Best R on the fullband scale.
const BEST_R: f64 = 148.0;
/// From the fullband scale to that of the opinion score.
const FULLBAND: f64 = 1.48;
/// What a break of 150 ms or more costs, once a minute.
const INTERRUPTION: f64 = 5.0;

/// What [`score`] judges.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct ScoreInput {
    /// Mouth to ear.
    pub latency: Option<Duration>,
    /// Weighted share of sound that was not what was said, in percent:
    /// [`ImpairedSound::percent_of`](super::ImpairedSound::percent_of).
    pub impaired_percent: Option<f64>,
    /// Mean length of losses over that of as many random ones (G.107 `BurstR`); taken as 1 where it was not measured.
    pub burst_ratio: Option<f64>,
    /// Impairment of the codec itself without loss (G.113 `Ie`), fullband: 0 for Opus at 32 kb/s and more.
    pub codec_impairment: f64,
    /// Breaks of 150 ms or more, per minute.
    pub interruptions_per_minute: f64,
}

/// A judgement.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Score {
    /// R factor on the fullband scale, 0 to 148.
    pub r_factor: f64,
    /// Mean opinion score, 1 to 4.5.
    pub mos: f64,
}

/// R from latency and impairment, and the opinion score that goes with it; `None` where either was not measured, or is no number.
pub fn score(input: &ScoreInput) -> Option<Score> {
    let latency_ms = input.latency?.as_secs_f64() * 1000.0;
    let sound =
        loss_impairment(input.impaired_percent?, input.burst_ratio.unwrap_or(1.0), input.codec_impairment);
    let breaks = INTERRUPTION * input.interruptions_per_minute;
    let r_factor = BEST_R - delay_impairment(latency_ms) - sound - breaks;
    if r_factor.is_nan() {
        return None;
    }
    let r_factor = r_factor.clamp(0.0, BEST_R);
    Some(Score { r_factor, mos: mos_of(r_factor / FULLBAND) })
}

/// `Ie,eff` of G.107, with the weighted impairment in the place of packet loss.
fn loss_impairment(percent: f64, burst_ratio: f64, codec: f64) -> f64 {
    let percent = percent.clamp(0.0, 100.0);
    codec + (WORST_IMPAIRMENT - codec) * percent / (percent / burst_ratio.max(1.0) + LOSS_ROBUSTNESS)
}

/// `Idd` of G.107, with a small linear part so that less delay is always better.
fn delay_impairment(latency_ms: f64) -> f64 {
    FULLBAND * (steep_delay_impairment(latency_ms) + 0.024 * latency_ms.min(177.3))
}

fn steep_delay_impairment(latency_ms: f64) -> f64 {
    if latency_ms <= 100.0 {
        return 0.0;
    }
    let doublings = (latency_ms / 100.0).log2();
    let sixth = |x: f64| (1.0 + x.powi(6)).powf(1.0 / 6.0);
    25.0 * (sixth(doublings) - 3.0 * sixth(doublings / 3.0) + 2.0)
}

/// G.107 annex B.
fn mos_of(r: f64) -> f64 {
    let r = r.clamp(0.0, 100.0);
    (1.0 + 0.035 * r + r * (r - 60.0) * (100.0 - r) * 7e-6).clamp(1.0, 4.5)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input(latency_ms: u64, impaired_percent: f64) -> ScoreInput {
        let latency = Some(Duration::from_millis(latency_ms));
        ScoreInput { latency, impaired_percent: Some(impaired_percent), ..ScoreInput::default() }
    }

    fn r(latency_ms: u64, impaired_percent: f64) -> f64 {
        score(&input(latency_ms, impaired_percent)).unwrap().r_factor
    }

    #[test]
    fn delay_impairs_as_the_recommendation_tables_it() {
        for (latency, expected) in
            [(100.0, 0.0), (150.0, 0.16), (200.0, 3.0), (250.0, 8.9), (300.0, 14.8), (400.0, 24.0)]
        {
            let found = steep_delay_impairment(latency);
            assert!((found - expected).abs() < 0.3, "{latency}: {found}");
        }
    }

    #[test]
    fn what_was_not_measured_is_not_judged() {
        assert_eq!(score(&ScoreInput { latency: None, ..input(50, 0.0) }), None);
        assert_eq!(score(&ScoreInput { impaired_percent: None, ..input(50, 0.0) }), None);
        assert_eq!(score(&input(50, f64::NAN)), None);
    }

    #[test]
    fn more_delay_and_more_impairment_are_never_better() {
        for latency in (0..600).step_by(10) {
            assert!(r(latency, 1.0) >= r(latency + 10, 1.0));
        }
        for percent in 0..50 {
            assert!(r(50, f64::from(percent)) > r(50, f64::from(percent + 1)));
        }
    }

    #[test]
    fn bursts_breaks_and_a_poor_codec_cost() {
        let random = input(50, 5.0);
        let plain = score(&random).unwrap().r_factor;
        for worse in [
            ScoreInput { burst_ratio: Some(2.0), ..random },
            ScoreInput { interruptions_per_minute: 1.0, ..random },
            ScoreInput { codec_impairment: 5.0, ..random },
        ] {
            assert!(score(&worse).unwrap().r_factor < plain - 1.0, "{worse:?}");
        }
    }

    #[test]
    fn scores_are_those_of_the_formula() {
        // Worked by hand: 5 % random at 40 ms is 148 - 1.48 * 0.96 - 132 * 5 / 15.
        assert!((r(40, 5.0) - 102.5792).abs() < 1e-6);
        let best = score(&input(20, 0.0)).unwrap();
        assert!(best.mos > 4.3 && best.mos <= 4.5);
        let worst = score(&input(3000, 100.0)).unwrap();
        assert!(worst.mos >= 1.0 && worst.mos < 2.0, "{worst:?}");
    }
}
