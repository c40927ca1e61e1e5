//! What a link does to packets, and the check that the wish makes sense.

use std::time::Duration;

use thiserror::Error;

/// Longest delay, jitter, stall or outage a link accepts.
const LONGEST: Duration = Duration::from_secs(3600);

/// What a [`Link`](super::Link) does to the packets sent through it. The default is a perfect link.
#[derive(Debug, Clone, PartialEq)]
pub struct LinkConfig {
    /// Equal seeds give equal runs.
    pub seed: u64,
    /// Fixed one-way delay.
    pub delay: Duration,
    /// Random delay on top of it.
    pub jitter: Jitter,
    /// Packets lost on the way.
    pub loss: Loss,
    /// Probability that a delivered packet arrives twice.
    pub duplication: f64,
    /// Whether jitter may reorder packets.
    pub order: Order,
    /// Times in which nothing moves and after which everything arrives at once (Wi-Fi, mobile).
    pub stalls: Option<Stalls>,
    /// A slowest hop with a queue in front of it.
    pub bottleneck: Option<Bottleneck>,
    /// Changes of the fixed delay, in order of time; replaces [`delay`](Self::delay) from that moment on.
    pub steps: Vec<DelayStep>,
    /// Times in which every packet sent is lost.
    pub outages: Vec<Outage>,
    /// Most packets on the way at once; more are dropped, so that memory stays bounded.
    pub max_in_flight: usize,
}

impl Default for LinkConfig {
    fn default() -> Self {
        Self {
            seed: 1,
            delay: Duration::ZERO,
            jitter: Jitter::None,
            loss: Loss::None,
            duplication: 0.0,
            order: Order::Fifo,
            stalls: None,
            bottleneck: None,
            steps: Vec::new(),
            outages: Vec::new(),
            max_in_flight: 65_536,
        }
    }
}

impl LinkConfig {
    /// Random loss (0..=1) and jitter uniform in `0..jitter`, first in first out: what `offhook demo --loss --jitter`
    /// asks for.
    pub fn lossy(seed: u64, loss: f64, jitter: Duration) -> Self {
        let jitter = if jitter.is_zero() { Jitter::None } else { Jitter::Uniform { max: jitter } };
        let loss = if loss == 0.0 { Loss::None } else { Loss::Random { probability: loss } };
        Self { seed, jitter, loss, ..Self::default() }
    }

    /// Checks every field.
    ///
    /// # Errors
    /// The first field that makes no sense, by name.
    pub fn check(&self) -> Result<(), LinkConfigError> {
        check_time("delay", self.delay)?;
        check_share("duplication", self.duplication)?;
        self.jitter.check()?;
        self.loss.check()?;
        if let Some(stalls) = &self.stalls {
            stalls.check()?;
        }
        if let Some(bottleneck) = &self.bottleneck {
            bottleneck.check()?;
        }
        for step in &self.steps {
            check_time("steps", step.delay)?;
        }
        if !self.steps.is_sorted_by_key(|step| step.from) {
            return Err(LinkConfigError::StepsOutOfOrder);
        }
        self.outages.iter().try_for_each(|outage| check_time("outages", outage.length))
    }
}

/// Random delay added to each packet.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Jitter {
    /// No random delay.
    None,
    /// Uniform in `0..max`.
    Uniform {
        /// Upper end.
        max: Duration,
    },
    /// Exponential, cut at `cap`.
    Exponential {
        /// Mean before the cut.
        mean: Duration,
        /// Longest value.
        cap: Duration,
    },
    /// Gamma with mean `shape * scale`, cut at one hour.
    Gamma {
        /// Shape; above 0, at most 1000.
        shape: f64,
        /// Scale.
        scale: Duration,
    },
}

impl Jitter {
    fn check(&self) -> Result<(), LinkConfigError> {
        match *self {
            Self::None => Ok(()),
            Self::Uniform { max } => check_time("jitter", max),
            Self::Exponential { mean, cap } => check_time("jitter", mean.max(cap)),
            Self::Gamma { shape, scale } if shape > 0.0 && shape <= 1000.0 => check_time("jitter", scale),
            Self::Gamma { shape, .. } => Err(LinkConfigError::GammaShape { shape }),
        }
    }
}

/// How packets get lost.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Loss {
    /// None is lost.
    None,
    /// Each packet on its own.
    Random {
        /// 0..=1.
        probability: f64,
    },
    /// Losses in runs (Gilbert-Elliott with loss only in the bad state).
    GilbertElliott {
        /// Share of packets lost in the long run, 0..1.
        loss: f64,
        /// Mean number of packets lost in a row; at least 1, and at least `loss / (1 - loss)` (a shorter run cannot
        /// give that loss).
        mean_burst: f64,
    },
}

impl Loss {
    fn check(&self) -> Result<(), LinkConfigError> {
        match *self {
            Self::None => Ok(()),
            Self::Random { probability } => check_share("loss", probability),
            Self::GilbertElliott { loss, mean_burst } => {
                check_share("loss", loss)?;
                if mean_burst.is_finite()
                    && mean_burst >= 1.0
                    && loss < 1.0
                    && mean_burst >= loss / (1.0 - loss)
                {
                    return Ok(());
                }
                Err(LinkConfigError::Burst { loss, mean_burst })
            }
        }
    }
}

/// Whether packets may overtake each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// First in, first out: a packet waits for the one before it.
    Fifo,
    /// Jitter reorders.
    Free,
}

/// Link stalls: packets queue for the length of a stall and arrive together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stalls {
    /// Mean time from one stall's beginning to the next, on top of 300 ms that always lie between; the first begins
    /// one such time after the link's origin.
    pub mean_gap: Duration,
    /// Shortest stall.
    pub shortest: Duration,
    /// Longest stall.
    pub longest: Duration,
}

impl Stalls {
    fn check(&self) -> Result<(), LinkConfigError> {
        check_time("stalls", self.mean_gap)?;
        check_time("stalls", self.longest)?;
        if self.shortest <= self.longest { Ok(()) } else { Err(LinkConfigError::StallRange) }
    }
}

/// A hop of limited rate with a drop-tail queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bottleneck {
    /// Rate; above 0.
    pub bits_per_second: u64,
    /// Longest time a packet may wait in the queue; one that would wait longer is dropped.
    pub queue: Duration,
}

impl Bottleneck {
    fn check(&self) -> Result<(), LinkConfigError> {
        if self.bits_per_second == 0 {
            return Err(LinkConfigError::ZeroRate);
        }
        check_time("bottleneck queue", self.queue)
    }
}

/// A change of the fixed delay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DelayStep {
    /// Time since the link's origin.
    pub from: Duration,
    /// Fixed delay from then on.
    pub delay: Duration,
}

/// A time in which every packet sent is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outage {
    /// Time since the link's origin.
    pub start: Duration,
    /// How long it lasts.
    pub length: Duration,
}

/// A [`LinkConfig`] that makes no sense. Correct the named value.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum LinkConfigError {
    /// A probability outside 0..=1.
    #[error("{field} is {value}, but a probability lies between 0 and 1")]
    Share {
        /// Which field.
        field: &'static str,
        /// What it was.
        value: f64,
    },
    /// A time above one hour.
    #[error("{field} is {value:?}, longer than an hour")]
    TooLong {
        /// Which field.
        field: &'static str,
        /// What it was.
        value: Duration,
    },
    /// A mean burst that cannot be.
    #[error("a loss of {loss} cannot come in bursts of {mean_burst} packets on average")]
    Burst {
        /// Loss in the long run.
        loss: f64,
        /// Mean burst length asked for.
        mean_burst: f64,
    },
    /// The shape of gamma jitter is not above 0 and at most 1000.
    #[error("gamma shape {shape} is not above 0 and at most 1000")]
    GammaShape {
        /// What it was.
        shape: f64,
    },
    /// The shortest stall is longer than the longest.
    #[error("the shortest stall is longer than the longest")]
    StallRange,
    /// A bottleneck of 0 bits per second.
    #[error("a bottleneck needs a rate above 0")]
    ZeroRate,
    /// Delay steps are not in order of time.
    #[error("delay steps are not in order of time")]
    StepsOutOfOrder,
}

fn check_share(field: &'static str, value: f64) -> Result<(), LinkConfigError> {
    if (0.0..=1.0).contains(&value) { Ok(()) } else { Err(LinkConfigError::Share { field, value }) }
}

fn check_time(field: &'static str, value: Duration) -> Result<(), LinkConfigError> {
    if value <= LONGEST { Ok(()) } else { Err(LinkConfigError::TooLong { field, value }) }
}
