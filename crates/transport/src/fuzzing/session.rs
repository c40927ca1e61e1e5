//! A call under attack: whoever has no keys can neither end it nor be heard; a peer that has them can only end its own call.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use super::input::Input;
use super::link::Link;
use crate::config::DtlsVersions;
use crate::demux::{Protocol, classify};
use crate::event::Event;

const MOST_OPERATIONS: usize = 48;
/// Virtual time one input may take; a consent is not lost in it.
const LONGEST_PAUSE: Duration = Duration::from_millis(2550);

/// Hostile datagrams during set-up and in a running call.
///
/// # Panics
/// When an invariant does not hold.
pub fn session_datagrams(data: &[u8]) {
    let mut input = Input::new(data);
    let Some(mode) = input.byte() else { return };
    let versions = if mode & 1 == 0 { DtlsVersions::Only12 } else { DtlsVersions::Auto };
    let Some(link) = Link::new(versions, mode & 4 == 0) else { return };
    let mut attack = Attack { link, keys_known: false, handshake_disturbed: false, timestamp: 0 };
    if mode & 2 == 0 {
        attack.link.pass(Duration::from_secs(1));
        assert!(attack.link.both_connected());
    }
    for _ in 0..MOST_OPERATIONS {
        if attack.operate(&mut input).is_none() {
            break;
        }
    }
    attack.check_end();
}

struct Attack {
    link: Link,
    /// Something authentic but hostile was sent.
    keys_known: bool,
    /// DTLS from a forged address came before the keys: nothing protects a handshake from that.
    handshake_disturbed: bool,
    timestamp: u32,
}

impl Attack {
    fn operate(&mut self, input: &mut Input<'_>) -> Option<()> {
        let operation = input.byte()?;
        let side = usize::from(operation >> 7);
        match operation & 7 {
            0 => self.inject(side, self.link.other(side), input.chunk()?),
            1 => self.inject(side, stranger(operation), input.chunk()?),
            2 => self.replay(side, operation & 8 != 0, input.word()?, 0, 0),
            3 => self.replay(side, operation & 8 != 0, input.word()?, input.word()?, input.byte()?),
            4 => self.authentic(side, input.chunk()?),
            5 => self.link.pass(LONGEST_PAUSE.mul_f64(f64::from(input.byte()?) / 255.0)),
            6 => {
                self.timestamp = self.timestamp.wrapping_add(960);
                self.link.speak(self.timestamp);
            }
            _ => {
                let text = String::from_utf8_lossy(input.chunk()?);
                let now = self.link.now;
                let _any_outcome = self.link.sides[side].session.add_remote_candidate(now, &text);
            }
        }
        Some(())
    }

    fn inject(&mut self, side: usize, source: SocketAddr, contents: &[u8]) {
        self.handshake_disturbed |= !self.link.both_connected() && classify(contents) == Some(Protocol::Dtls);
        let destination = self.link.sides[side].address;
        self.link.deliver(source, destination, contents);
    }

    /// Something that went over the wire once more, whole or changed, to either side.
    fn replay(&mut self, side: usize, from_stranger: bool, which: u16, at: u16, change: u8) {
        let Some(place) = usize::from(which).checked_rem(self.link.tapped.len()) else { return };
        let mut contents = self.link.tapped[place].contents.to_vec();
        let at = usize::from(at) % contents.len().max(1);
        contents.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= change);
        let source = if from_stranger { stranger(change) } else { self.link.other(side) };
        self.inject(side, source, &contents);
    }

    /// What the peer itself sends, with the session's own keys.
    fn authentic(&mut self, side: usize, plain: &[u8]) {
        if let Some(contents) = self.link.sides[1 - side].session.protect_anything(plain) {
            self.keys_known = true;
            self.inject(side, self.link.other(side), &contents);
        }
    }

    fn check_end(&mut self) {
        self.link.pass(Duration::from_secs(5));
        if self.keys_known || self.handshake_disturbed {
            return;
        }
        assert!(self.link.both_connected(), "an outsider ended the call");
        let before = [0, 1].map(|side: usize| self.link.sides[side].heard);
        for count in 0..5 {
            self.link.speak(self.timestamp.wrapping_add(960 * (count + 1)));
        }
        self.link.pass(Duration::from_millis(20));
        for (side, before) in self.link.sides.iter().zip(before) {
            assert_eq!(side.heard, before + 5, "an outsider is in the way");
            assert!(!side.events.contains(&Event::RemoteBye), "an outsider hung up");
        }
    }
}

fn stranger(which: u8) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::new(203, 0, 113, which), 9))
}
