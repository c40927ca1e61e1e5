//! Server-reflexive addresses: asks STUN servers (RFC 8489) which address our socket has outside.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::event::{Carrier, Transmit};

const COOKIE: [u8; 4] = [0x21, 0x12, 0xA4, 0x42];
const FIRST_WAIT: Duration = Duration::from_millis(250);
/// 250 + 500 + 1000 + 2000 ms, then the server is given up.
const ATTEMPTS: u32 = 4;
/// Sockets times servers.
const MAX_REQUESTS: usize = 32;

/// One socket asking one server.
#[derive(Debug)]
struct Request {
    local: SocketAddr,
    server: SocketAddr,
    transaction: [u8; 12],
    sent: u32,
    next: Instant,
}

/// Asks and repeats until each server answered or was given up.
#[derive(Debug)]
pub(crate) struct StunGatherer {
    /// Base of all transaction identifiers; the count makes them differ.
    random: [u8; 12],
    made: u32,
    requests: Vec<Request>,
}

impl StunGatherer {
    pub(crate) fn new(random: [u8; 12]) -> Self {
        Self { random, made: 0, requests: Vec::new() }
    }

    /// Begins to ask. Pairs of different address families and more than [`MAX_REQUESTS`] are left out.
    pub(crate) fn ask(&mut self, now: Instant, local: SocketAddr, server: SocketAddr) {
        let asked = self.requests.iter().any(|request| (request.local, request.server) == (local, server));
        if asked || local.is_ipv4() != server.is_ipv4() || self.requests.len() >= MAX_REQUESTS {
            return;
        }
        self.made = self.made.wrapping_add(1);
        let mut transaction = self.random;
        let count = self.made.to_be_bytes();
        transaction.iter_mut().zip(count).for_each(|(byte, count)| *byte ^= count);
        self.requests.push(Request { local, server, transaction, sent: 0, next: now });
    }

    /// The address a server saw, when this is the answer to one of our requests: the socket and its outside address.
    pub(crate) fn handle(
        &mut self,
        local: SocketAddr,
        remote: SocketAddr,
        datagram: &[u8],
    ) -> Option<(SocketAddr, Option<SocketAddr>)> {
        let transaction = datagram.get(8..20)?;
        let place = self.requests.iter().position(|request| {
            request.transaction == transaction && (request.local, request.server) == (local, remote)
        })?;
        let local = self.requests.swap_remove(place).local;
        Some((local, mapped_address(datagram)))
    }

    /// Requests that are due; servers that never answered are given up.
    pub(crate) fn poll(&mut self, now: Instant) -> Vec<Transmit> {
        self.requests.retain(|request| now < request.next || request.sent < ATTEMPTS);
        let due = self.requests.iter_mut().filter(|request| now >= request.next);
        due.map(|request| {
            request.next = now + FIRST_WAIT * (1 << request.sent);
            request.sent += 1;
            let contents = Bytes::copy_from_slice(&binding_request(request.transaction));
            Transmit { carrier: Carrier::Udp, source: request.local, destination: request.server, contents }
        })
        .collect()
    }

    pub(crate) fn timeout(&self) -> Option<Instant> {
        self.requests.iter().map(|request| request.next).min()
    }

    pub(crate) fn is_done(&self) -> bool {
        self.requests.is_empty()
    }
}

fn binding_request(transaction: [u8; 12]) -> [u8; 20] {
    let mut request = [0; 20];
    request[1] = 1;
    request[4..8].copy_from_slice(&COOKIE);
    request[8..].copy_from_slice(&transaction);
    request
}

/// XOR-MAPPED-ADDRESS, or MAPPED-ADDRESS of old servers, of a Binding success.
fn mapped_address(datagram: &[u8]) -> Option<SocketAddr> {
    let (head, mut rest) = datagram.split_first_chunk::<20>()?;
    if head[..2] != [1, 1] || head[4..8] != COOKIE {
        return None;
    }
    let mut plain = None;
    while let Some((attribute, after)) = rest.split_first_chunk::<4>() {
        let length = usize::from(u16::from_be_bytes([attribute[2], attribute[3]]));
        let value = after.get(..length)?;
        match u16::from_be_bytes([attribute[0], attribute[1]]) {
            0x0020 => return address(value, head[4..].first_chunk()?),
            0x0001 => plain = address(value, &[0; 16]),
            _ => {}
        }
        rest = after.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    plain
}

fn address(value: &[u8], mask: &[u8; 16]) -> Option<SocketAddr> {
    let (head, ip) = value.split_first_chunk::<4>()?;
    let port = u16::from_be_bytes([head[2] ^ mask[0], head[3] ^ mask[1]]);
    let ip: IpAddr = match head[1] {
        1 => Ipv4Addr::from(masked(ip.try_into().ok()?, mask)).into(),
        2 => Ipv6Addr::from(masked(ip.try_into().ok()?, mask)).into(),
        _ => return None,
    };
    let usable = port != 0 && !ip.is_unspecified() && !ip.is_multicast();
    usable.then_some(SocketAddr::new(ip, port))
}

fn masked<const N: usize>(mut bytes: [u8; N], mask: &[u8; 16]) -> [u8; N] {
    bytes.iter_mut().zip(mask).for_each(|(byte, mask)| *byte ^= mask);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuzzing::start;

    const LOCAL: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2)), 4000);
    const SERVER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 3478);

    fn answer(request: &[u8], attribute: &[u8]) -> Vec<u8> {
        let mut answer = request.to_vec();
        answer[0..4].copy_from_slice(&[1, 1, 0, attribute.len() as u8]);
        answer.extend_from_slice(attribute);
        answer
    }

    #[test]
    fn the_outside_address_is_read() {
        let start = start();
        let mut gatherer = StunGatherer::new([7; 12]);
        gatherer.ask(start, LOCAL, SERVER);
        let request = gatherer.poll(start).remove(0);
        assert_eq!((request.source, request.destination), (LOCAL, SERVER));
        // 203.0.113.5:40000 under the cookie.
        let value = [0, 0x20, 0, 8, 0, 1, 0x9C ^ 0x21, 0x40 ^ 0x12, 203 ^ 0x21, 0x12, 113 ^ 0xA4, 5 ^ 0x42];
        let answer = answer(&request.contents, &value);
        assert_eq!(gatherer.handle(LOCAL, LOCAL, &answer), None, "not from the server");
        let expected = Some((LOCAL, Some("203.0.113.5:40000".parse().unwrap())));
        assert_eq!(gatherer.handle(LOCAL, SERVER, &answer), expected);
        assert!(gatherer.is_done());
        assert_eq!(gatherer.handle(LOCAL, SERVER, &answer), None, "only once");
    }

    #[test]
    fn a_silent_server_is_given_up() {
        let start = start();
        let mut gatherer = StunGatherer::new([7; 12]);
        gatherer.ask(start, LOCAL, SERVER);
        let mut sent = 0;
        while let Some(due) = gatherer.timeout() {
            sent += gatherer.poll(due).len();
            assert!(due <= start + Duration::from_secs(4));
        }
        assert_eq!(sent, 4);
    }

    #[test]
    fn cut_answers_give_no_address() {
        let request = binding_request([1; 12]);
        let whole = answer(&request, &[0, 0x20, 0, 8, 0, 1, 1, 2, 3, 4, 5, 6]);
        assert!(mapped_address(&whole).is_some());
        (0..whole.len()).for_each(|length| assert_eq!(mapped_address(&whole[..length]), None));
    }
}
