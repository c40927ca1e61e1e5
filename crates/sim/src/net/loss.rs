//! The loss process of a link.

use super::Loss;
use crate::rng::Rng;

/// Decides packet by packet; owns its own random stream.
#[derive(Debug, Clone)]
pub(crate) struct LossProcess {
    model: Loss,
    rng: Rng,
    in_burst: bool,
}

impl LossProcess {
    pub(crate) fn new(model: Loss, rng: Rng) -> Self {
        Self { model, rng, in_burst: false }
    }

    /// Whether the next packet is lost.
    pub(crate) fn next_is_lost(&mut self) -> bool {
        match self.model {
            Loss::None => false,
            Loss::Random { probability } => self.rng.chance(probability),
            Loss::GilbertElliott { loss, mean_burst } => {
                let leave = 1.0 / mean_burst;
                let enter = loss * leave / (1.0 - loss);
                let draw = self.rng.uniform();
                self.in_burst = if self.in_burst { draw >= leave } else { draw < enter };
                self.in_burst
            }
        }
    }
}

/// The fates of `count` packets: true where lost.
pub(crate) fn loss_pattern(model: Loss, rng: Rng, count: usize) -> Vec<bool> {
    let mut process = LossProcess::new(model, rng);
    (0..count).map(|_| process.next_is_lost()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gilbert_elliott_keeps_loss_and_burst_length() {
        let model = Loss::GilbertElliott { loss: 0.10, mean_burst: 4.0 };
        let fates = loss_pattern(model, Rng::new(3), 200_000);
        let lost = fates.iter().filter(|lost| **lost).count() as f64;
        let bursts = fates.windows(2).filter(|pair| !pair[0] && pair[1]).count() as f64;
        assert!((lost / 200_000.0 - 0.10).abs() < 0.01, "loss {}", lost / 200_000.0);
        assert!((lost / bursts - 4.0).abs() < 0.2, "burst {}", lost / bursts);
    }
}
