//! The link itself: packets in, packets out when they are due.

use std::time::{Duration, Instant};

use super::loss::LossProcess;
use super::stalls::StallProcess;
use super::{Jitter, LinkConfig, LinkConfigError, Order};
use crate::clock::EventQueue;
use crate::rng::Rng;

/// Longest random delay drawn from an unbounded distribution.
const LONGEST_JITTER: Duration = Duration::from_secs(3600);

/// Longest time one packet keeps the bottleneck busy, so that no size given can overflow the clock.
const LONGEST_ON_WIRE: Duration = Duration::from_secs(3600);

/// One direction of a network.
///
/// ```
/// use std::time::Duration;
/// use offhook_sim::{clock::VirtualClock, net::{Link, LinkConfig}};
///
/// let mut clock = VirtualClock::new();
/// let config = LinkConfig { delay: Duration::from_millis(30), ..LinkConfig::default() };
/// let mut link = Link::new(config, clock.now())?;
/// link.send(clock.now(), 172, "packet");
/// assert_eq!(link.poll(clock.now()), None);
/// clock.advance_to(link.next_due().unwrap());
/// assert_eq!(link.poll(clock.now()), Some("packet"));
/// # Ok::<(), offhook_sim::net::LinkConfigError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Link<T> {
    config: LinkConfig,
    origin: Instant,
    loss: LossProcess,
    stalls: Option<StallProcess>,
    jitter: Rng,
    duplication: Rng,
    bottleneck_free_at: Duration,
    newest_send: Duration,
    latest_due: Duration,
    in_flight: EventQueue<T>,
    stats: LinkStats,
}

/// What became of a packet given to [`Link::send`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// It arrives at this instant.
    Arrives(Instant),
    /// It was lost by the loss process or an outage.
    Lost,
    /// It found the bottleneck's queue full, or too many packets on the way.
    Dropped,
}

/// Counts since the link was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LinkStats {
    /// Packets given to `send`.
    pub sent: u64,
    /// Packets handed out by `poll`, copies included.
    pub delivered: u64,
    /// Packets lost by the loss process or an outage.
    pub lost: u64,
    /// Packets dropped by a full queue.
    pub dropped: u64,
    /// Copies made.
    pub duplicated: u64,
}

impl<T: Clone> Link<T> {
    /// A link whose schedules (steps, outages, stalls) count from `origin`.
    ///
    /// # Errors
    /// The first field of `config` that makes no sense.
    pub fn new(config: LinkConfig, origin: Instant) -> Result<Self, LinkConfigError> {
        config.check()?;
        Ok(Self {
            loss: LossProcess::new(config.loss, Rng::stream(config.seed, 1)),
            stalls: config.stalls.map(|stalls| StallProcess::new(stalls, Rng::stream(config.seed, 2))),
            jitter: Rng::stream(config.seed, 3),
            duplication: Rng::stream(config.seed, 4),
            origin,
            bottleneck_free_at: Duration::ZERO,
            newest_send: Duration::ZERO,
            latest_due: Duration::ZERO,
            in_flight: EventQueue::new(),
            stats: LinkStats::default(),
            config,
        })
    }

    /// Puts a packet of `bytes` on the wire (headers included; only the bottleneck looks at it). A `now` before an
    /// earlier one counts as that earlier one.
    pub fn send(&mut self, now: Instant, bytes: usize, packet: T) -> Sent {
        self.stats.sent += 1;
        self.newest_send = self.newest_send.max(now.saturating_duration_since(self.origin));
        let sent_at = self.newest_send;
        if self.in_outage(sent_at) {
            return self.count_lost();
        }
        let Some(left_queue) = self.pass_bottleneck(sent_at, bytes) else {
            return self.count_dropped();
        };
        if self.loss.next_is_lost() {
            return self.count_lost();
        }
        let arrival = self.across_path(left_queue);
        let due = self.in_order(arrival);
        let copy = self.duplication.chance(self.config.duplication).then(|| packet.clone());
        if !self.fly(due, packet) {
            return self.count_dropped();
        }
        if copy.is_some_and(|copy| self.fly(due, copy)) {
            self.stats.duplicated += 1;
        }
        Sent::Arrives(self.origin + due)
    }

    /// The next packet that has arrived by `now`; call until `None`.
    pub fn poll(&mut self, now: Instant) -> Option<T> {
        let packet = self.in_flight.pop_due(now.checked_duration_since(self.origin)?)?;
        self.stats.delivered += 1;
        Some(packet)
    }

    /// When the next packet arrives.
    pub fn next_due(&self) -> Option<Instant> {
        self.in_flight.next_at().map(|due| self.origin + due)
    }

    /// Packets on the way.
    pub fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// Counts so far.
    pub fn stats(&self) -> LinkStats {
        self.stats
    }

    fn in_outage(&self, at: Duration) -> bool {
        self.config.outages.iter().any(|outage| at >= outage.start && at - outage.start < outage.length)
    }

    /// When the last bit leaves the slowest hop; `None` when the queue is full.
    fn pass_bottleneck(&mut self, at: Duration, bytes: usize) -> Option<Duration> {
        let Some(bottleneck) = self.config.bottleneck else {
            return Some(at);
        };
        let wait = self.bottleneck_free_at.saturating_sub(at);
        if wait > bottleneck.queue {
            return None;
        }
        let nanoseconds = bytes as u128 * 8_000_000_000 / u128::from(bottleneck.bits_per_second);
        let on_wire =
            Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX)).min(LONGEST_ON_WIRE);
        self.bottleneck_free_at = at + wait + on_wire;
        Some(self.bottleneck_free_at)
    }

    fn across_path(&mut self, at: Duration) -> Duration {
        let step = self.config.steps.iter().rev().find(|step| at >= step.from);
        let fixed = step.map_or(self.config.delay, |step| step.delay);
        let arrival = at + fixed + self.draw_jitter();
        match self.stalls.as_mut().and_then(|stalls| stalls.end_if_stalled(at)) {
            Some(stall_end) => arrival.max(stall_end),
            None => arrival,
        }
    }

    fn draw_jitter(&mut self) -> Duration {
        let rng = &mut self.jitter;
        let seconds = match self.config.jitter {
            Jitter::None => return Duration::ZERO,
            Jitter::Uniform { max } => rng.range(0.0, max.as_secs_f64()),
            Jitter::Exponential { mean, cap } => rng.exponential(mean.as_secs_f64()).min(cap.as_secs_f64()),
            Jitter::Gamma { shape, scale } => rng.gamma(shape, scale.as_secs_f64()),
        };
        Duration::from_secs_f64(seconds.min(LONGEST_JITTER.as_secs_f64()))
    }

    fn in_order(&self, due: Duration) -> Duration {
        let whole_microseconds = Duration::from_micros(due.as_micros() as u64);
        match self.config.order {
            Order::Fifo => whole_microseconds.max(self.latest_due),
            Order::Free => whole_microseconds,
        }
    }

    fn fly(&mut self, due: Duration, packet: T) -> bool {
        if self.in_flight.len() >= self.config.max_in_flight {
            return false;
        }
        self.latest_due = self.latest_due.max(due);
        self.in_flight.schedule(due, packet);
        true
    }

    fn count_lost(&mut self) -> Sent {
        self.stats.lost += 1;
        Sent::Lost
    }

    fn count_dropped(&mut self) -> Sent {
        self.stats.dropped += 1;
        Sent::Dropped
    }
}
