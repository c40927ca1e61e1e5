//! The emulated network that `--loss` and `--jitter` put between the two people.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use offhook_client::{PacketPath, PacketPathFactory, Transmit};
use offhook_sim::net::{Link, LinkConfig};

use crate::failure::Failure;

/// IPv4 and UDP headers of a datagram.
const HEADER_BYTES: usize = 28;

/// What one person's outgoing datagrams pass; `None` where nothing is lost or late. Calls of one run differ in their losses, runs of one
/// seed do not.
pub(super) fn path(
    loss_percent: f64,
    jitter: Duration,
    seed: u64,
) -> Result<Option<PacketPathFactory>, Failure> {
    if loss_percent == 0.0 && jitter.is_zero() {
        return Ok(None);
    }
    let config = LinkConfig::lossy(seed, loss_percent / 100.0, jitter);
    let link = Link::new(config, Instant::now()).map_err(|error| Failure::usage(error.to_string()))?;
    let calls = AtomicU64::new(0);
    Ok(Some(Arc::new(move || {
        let seed = seed.wrapping_add(calls.fetch_add(1, Ordering::Relaxed) << 32);
        let config = LinkConfig::lossy(seed, loss_percent / 100.0, jitter);
        // The same loss and jitter were accepted above: only the seed differs.
        Box::new(Emulated(Link::new(config, Instant::now()).unwrap_or_else(|_| link.clone())))
    })))
}

struct Emulated(Link<Transmit>);

impl PacketPath for Emulated {
    fn submit(&mut self, now: Instant, datagram: Transmit) {
        self.0.send(now, datagram.contents.len() + HEADER_BYTES, datagram);
    }

    fn next_due(&self) -> Option<Instant> {
        self.0.next_due()
    }

    fn poll(&mut self, now: Instant) -> Option<Transmit> {
        self.0.poll(now)
    }
}

#[cfg(test)]
mod tests {
    use offhook_client::Carrier;

    use super::*;

    #[test]
    fn without_loss_and_jitter_there_is_no_network_in_between() {
        assert!(path(0.0, Duration::ZERO, 1).unwrap().is_none());
    }

    #[test]
    fn loses_about_what_was_asked_for_and_delays_the_rest() {
        let mut path = path(10.0, Duration::from_millis(20), 1).unwrap().unwrap()();
        let start = Instant::now();
        let datagram = || Transmit {
            carrier: Carrier::Udp,
            source: "127.0.0.1:1".parse().unwrap(),
            destination: "127.0.0.1:2".parse().unwrap(),
            contents: vec![0; 100].into(),
        };
        (0..1000).for_each(|_| path.submit(start, datagram()));
        assert!(path.next_due().is_some());
        let arrived = std::iter::from_fn(|| path.poll(start + Duration::from_millis(20))).count();
        assert!((850..=950).contains(&arrived), "{arrived}");
        assert_eq!(path.next_due(), None);
    }
}
