//! An emulated network in front of the socket of each call of a client.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use offhook::{PacketPath, PacketPathFactory, Transmit};
use offhook_sim::net::{Link, LinkConfig, Sent};

/// IPv4 and UDP.
const HEADERS: usize = 28;

/// What became of a datagram that was sent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Passage {
    pub(crate) sent: Instant,
    /// With the headers below.
    pub(crate) bytes: usize,
    /// `None`: lost.
    pub(crate) took: Option<Duration>,
}

/// Everything that was sent through a network, in order.
#[derive(Debug, Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<Passage>>>);

impl Log {
    pub(crate) fn all(&self) -> Vec<Passage> {
        self.0.lock().unwrap().clone()
    }

    pub(crate) fn since(&self, begin: Instant) -> Vec<Passage> {
        self.all().into_iter().filter(|passage| passage.sent >= begin).collect()
    }
}

struct Emulated {
    link: Link<Transmit>,
    log: Log,
}

impl PacketPath for Emulated {
    fn submit(&mut self, now: Instant, datagram: Transmit) {
        let bytes = datagram.contents.len() + HEADERS;
        let took = match self.link.send(now, bytes, datagram) {
            Sent::Arrives(at) => Some(at.saturating_duration_since(now)),
            Sent::Lost | Sent::Dropped => None,
        };
        self.log.0.lock().unwrap().push(Passage { sent: now, bytes, took });
    }

    fn next_due(&self) -> Option<Instant> {
        self.link.next_due()
    }

    fn poll(&mut self, now: Instant) -> Option<Transmit> {
        self.link.poll(now)
    }
}

pub(crate) fn emulated(config: LinkConfig, log: &Log) -> PacketPathFactory {
    let log = log.clone();
    Arc::new(move || {
        let link = Link::new(config.clone(), Instant::now()).unwrap();
        Box::new(Emulated { link, log: log.clone() })
    })
}

/// Lets everything pass until it begins, and nothing from then on: a machine that lost its network without knowing.
#[derive(Debug, Clone, Default)]
pub(crate) struct Silence(Arc<AtomicBool>);

impl Silence {
    pub(crate) fn begin(&self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

struct Silenced(Silence, VecDeque<Transmit>);

impl PacketPath for Silenced {
    fn submit(&mut self, _now: Instant, datagram: Transmit) {
        let Self(Silence(begun), waiting) = self;
        if !begun.load(Ordering::SeqCst) {
            waiting.push_back(datagram);
        }
    }

    fn next_due(&self) -> Option<Instant> {
        None
    }

    fn poll(&mut self, _now: Instant) -> Option<Transmit> {
        self.1.pop_front()
    }
}

pub(crate) fn silenced(silence: &Silence) -> PacketPathFactory {
    let silence = silence.clone();
    Arc::new(move || Box::new(Silenced(silence.clone(), VecDeque::new())))
}
