//! STUN messages (RFC 8489) as a relay meets them: read within their bounds before any library sees them, and its own replies.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use hmac::{Hmac, Mac as _};
use sha1::Sha1;

const COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
const HEADER: usize = 20;
const MOST_ATTRIBUTES: usize = 32;

/// Message types and attributes this relay knows (RFC 8489 section 18, RFC 8656 sections 17 and 18).
pub(super) mod code {
    pub(crate) const BINDING: u16 = 0x0001;
    pub(crate) const ALLOCATE: u16 = 0x0003;
    pub(crate) const REFRESH: u16 = 0x0004;
    pub(crate) const CREATE_PERMISSION: u16 = 0x0008;
    pub(crate) const CHANNEL_BIND: u16 = 0x0009;
    pub(crate) const SEND_INDICATION: u16 = 0x0016;
    pub(crate) const SUCCESS: u16 = 0x0100;
    pub(crate) const ERROR: u16 = 0x0110;

    pub(crate) const USERNAME: u16 = 0x0006;
    pub(crate) const MESSAGE_INTEGRITY: u16 = 0x0008;
    pub(crate) const ERROR_CODE: u16 = 0x0009;
    pub(crate) const UNKNOWN_ATTRIBUTES: u16 = 0x000a;
    pub(crate) const XOR_PEER_ADDRESS: u16 = 0x0012;
    pub(crate) const REALM: u16 = 0x0014;
    pub(crate) const NONCE: u16 = 0x0015;
    pub(crate) const REQUESTED_ADDRESS_FAMILY: u16 = 0x0017;
    pub(crate) const EVEN_PORT: u16 = 0x0018;
    pub(crate) const DONT_FRAGMENT: u16 = 0x001a;
    pub(crate) const MESSAGE_INTEGRITY_SHA256: u16 = 0x001c;
    pub(crate) const XOR_MAPPED_ADDRESS: u16 = 0x0020;
    pub(crate) const RESERVATION_TOKEN: u16 = 0x0022;
    pub(crate) const FINGERPRINT: u16 = 0x8028;
}

/// A message whose header and attributes lie within its bytes; what the attributes hold is not looked at yet.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stun<'a> {
    bytes: &'a [u8],
}

impl<'a> Stun<'a> {
    /// `None` for whatever is no whole message, has too many attributes, or says anything but checksums after its integrity.
    pub(super) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let header = bytes.get(..HEADER)?;
        let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
        if header[0] & 0xc0 != 0
            || header[4..8] != COOKIE
            || length % 4 != 0
            || bytes.len() != HEADER + length
        {
            return None;
        }
        let (mut at, mut count, mut signed) = (HEADER, 0, false);
        while at < bytes.len() {
            let (kind, value, next) = attribute_at(bytes, at)?;
            let checksum = matches!(kind, code::MESSAGE_INTEGRITY_SHA256 | code::FINGERPRINT);
            // Whoever is on the way could add attributes behind the signature.
            if (signed && !checksum) || (kind == code::MESSAGE_INTEGRITY && value.len() != 20) {
                return None;
            }
            signed |= kind == code::MESSAGE_INTEGRITY;
            (at, count) = (next, count + 1);
        }
        (count <= MOST_ATTRIBUTES).then_some(Self { bytes })
    }

    /// Class and method.
    pub(super) fn kind(&self) -> u16 {
        u16::from_be_bytes([self.bytes[0], self.bytes[1]])
    }

    pub(super) fn transaction(&self) -> [u8; 12] {
        let mut id = [0; 12];
        id.copy_from_slice(&self.bytes[8..HEADER]);
        id
    }

    /// Every value of one attribute, in order.
    pub(super) fn all(&self, wanted: u16) -> impl Iterator<Item = &'a [u8]> {
        let bytes = self.bytes;
        let mut at = HEADER;
        std::iter::from_fn(move || {
            let (kind, value, next) = attribute_at(bytes, at)?;
            at = next;
            Some((kind, value))
        })
        .filter_map(move |(kind, value)| (kind == wanted).then_some(value))
    }

    /// The first value of one attribute.
    pub(super) fn first(&self, wanted: u16) -> Option<&'a [u8]> {
        self.all(wanted).next()
    }

    /// The first value of one attribute as text.
    pub(super) fn text(&self, wanted: u16) -> Option<&'a str> {
        self.first(wanted).filter(|value| value.len() <= 763).and_then(|value| str::from_utf8(value).ok())
    }

    /// Every XOR-PEER-ADDRESS; `None` when one of them is malformed.
    pub(super) fn peers(&self) -> Option<Vec<SocketAddr>> {
        let transaction = self.transaction();
        self.all(code::XOR_PEER_ADDRESS).map(|value| read_address(value, transaction)).collect()
    }

    /// The message without one attribute and whatever followed its integrity, signed again.
    pub(super) fn without(&self, unwanted: u16, key: &[u8]) -> Vec<u8> {
        let mut copy = Reply::new(self.kind(), self.transaction());
        let mut at = HEADER;
        while let Some((kind, value, next)) = attribute_at(self.bytes, at) {
            if kind == code::MESSAGE_INTEGRITY {
                break;
            }
            if kind != unwanted {
                copy = copy.with(kind, value);
            }
            at = next;
        }
        copy.signed(key).finish()
    }

    /// Whether MESSAGE-INTEGRITY was made with `key` (RFC 8489 section 14.5).
    pub(super) fn is_signed_with(&self, key: &[u8]) -> bool {
        let mut at = HEADER;
        while let Some((kind, value, next)) = attribute_at(self.bytes, at) {
            if kind == code::MESSAGE_INTEGRITY {
                let Some(mut mac) = mac(key) else { return false };
                mac.update(&self.bytes[..2]);
                mac.update(&length(at - HEADER + 24));
                mac.update(&self.bytes[4..at]);
                return mac.verify_slice(value).is_ok();
            }
            at = next;
        }
        false
    }
}

/// Kind, value, and where the next one begins.
fn attribute_at(bytes: &[u8], at: usize) -> Option<(u16, &[u8], usize)> {
    let head = bytes.get(at..at + 4)?;
    let length = usize::from(u16::from_be_bytes([head[2], head[3]]));
    let value = bytes.get(at + 4..at + 4 + length)?;
    let next = at + 4 + length.next_multiple_of(4);
    (next <= bytes.len()).then_some((u16::from_be_bytes([head[0], head[1]]), value, next))
}

/// RFC 8489 section 14.2.
fn read_address(value: &[u8], transaction: [u8; 12]) -> Option<SocketAddr> {
    let (family, port) = (*value.get(1)?, u16::from_be_bytes([*value.get(2)?, *value.get(3)?]) ^ 0x2112);
    let mut pad = [0; 16];
    pad[..4].copy_from_slice(&COOKIE);
    pad[4..].copy_from_slice(&transaction);
    let ip: IpAddr = match (family, value.len()) {
        (1, 8) => {
            let mut octets = [0; 4];
            octets.iter_mut().zip(&value[4..]).zip(pad).for_each(|((to, from), pad)| *to = from ^ pad);
            Ipv4Addr::from(octets).into()
        }
        (2, 20) => {
            let mut octets = [0; 16];
            octets.iter_mut().zip(&value[4..]).zip(pad).for_each(|((to, from), pad)| *to = from ^ pad);
            Ipv6Addr::from(octets).into()
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

fn write_address(address: SocketAddr, transaction: [u8; 12]) -> Vec<u8> {
    let mut pad = [0; 16];
    pad[..4].copy_from_slice(&COOKIE);
    pad[4..].copy_from_slice(&transaction);
    let (family, octets) = match address.ip() {
        IpAddr::V4(ip) => (1, ip.octets().to_vec()),
        IpAddr::V6(ip) => (2, ip.octets().to_vec()),
    };
    let mut value = vec![0, family];
    value.extend((address.port() ^ 0x2112).to_be_bytes());
    value.extend(octets.iter().zip(pad).map(|(octet, pad)| octet ^ pad));
    value
}

fn mac(key: &[u8]) -> Option<Hmac<Sha1>> {
    Hmac::<Sha1>::new_from_slice(key).ok()
}

fn length(bytes: usize) -> [u8; 2] {
    u16::try_from(bytes).unwrap_or(u16::MAX).to_be_bytes()
}

/// A message being written.
#[derive(Debug)]
pub(super) struct Reply {
    bytes: Vec<u8>,
}

impl Reply {
    /// An error answer to `request` (RFC 8489 section 14.8).
    pub(super) fn error(request: &Stun<'_>, number: u16, reason: &str) -> Self {
        let mut value =
            vec![0, 0, u8::try_from(number / 100).unwrap_or(0), u8::try_from(number % 100).unwrap_or(0)];
        value.extend(reason.as_bytes());
        Self::new(request.kind() | code::ERROR, request.transaction()).with(code::ERROR_CODE, &value)
    }

    /// The answer to a Binding request.
    pub(super) fn binding(request: &Stun<'_>, source: SocketAddr) -> Self {
        let address = write_address(source, request.transaction());
        Self::new(request.kind() | code::SUCCESS, request.transaction())
            .with(code::XOR_MAPPED_ADDRESS, &address)
    }

    pub(super) fn new(kind: u16, transaction: [u8; 12]) -> Self {
        let mut bytes = kind.to_be_bytes().to_vec();
        bytes.extend([0, 0]);
        bytes.extend(COOKIE);
        bytes.extend(transaction);
        Self { bytes }
    }

    pub(super) fn with(mut self, kind: u16, value: &[u8]) -> Self {
        self.bytes.extend(kind.to_be_bytes());
        self.bytes.extend(length(value.len()));
        self.bytes.extend(value);
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
        self
    }

    /// Adds an XOR-PEER-ADDRESS.
    #[cfg(test)]
    pub(super) fn peer(self, address: SocketAddr) -> Self {
        let mut transaction = [0; 12];
        transaction.copy_from_slice(&self.bytes[8..HEADER]);
        let value = write_address(address, transaction);
        self.with(code::XOR_PEER_ADDRESS, &value)
    }

    /// Signs all of it so far.
    pub(super) fn signed(mut self, key: &[u8]) -> Self {
        let length = length(self.bytes.len() - HEADER + 24);
        self.bytes[2..4].copy_from_slice(&length);
        let Some(mut mac) = mac(key) else { return self };
        mac.update(&self.bytes);
        let sum = mac.finalize().into_bytes();
        self.with(code::MESSAGE_INTEGRITY, &sum)
    }

    pub(super) fn finish(mut self) -> Vec<u8> {
        let length = length(self.bytes.len() - HEADER);
        self.bytes[2..4].copy_from_slice(&length);
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 5769 section 2.4: a request with long-term authentication.
    const SAMPLE: &str = "000100602112a44278ad3433c6ad72c029da412e00060012e3839ee38388e383aae38383e382afe382b90000\
        0015001c662f2f3439396b39353464364f4c33346f4c394653547679363473410014000b6578616d706c652e6f72670000080014\
        f67024656dd64a3e02b8e0712e85c9a28ca89666";

    fn sample() -> Vec<u8> {
        let hex: Vec<u8> = SAMPLE.bytes().filter(u8::is_ascii_hexdigit).collect();
        hex.chunks(2).map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
    }

    #[test]
    fn the_published_vector_is_read_and_verified() {
        let bytes = sample();
        let message = Stun::parse(&bytes).unwrap();
        assert_eq!(message.kind(), code::BINDING);
        assert_eq!(message.text(code::USERNAME), Some("マトリックス"));
        assert_eq!(message.text(code::REALM), Some("example.org"));
        let key = super::super::credential::key("マトリックス", "example.org", "TheMatrIX");
        assert!(message.is_signed_with(&key));
        assert!(!message.is_signed_with(b"another"));
    }

    #[test]
    fn what_is_written_is_read_again() {
        for address in ["192.0.2.7:9", "[2001:db8::7]:65535"] {
            let address: SocketAddr = address.parse().unwrap();
            let bytes = Reply::new(code::CREATE_PERMISSION, [7; 12])
                .peer(address)
                .with(code::USERNAME, b"odd")
                .signed(b"key")
                .finish();
            let message = Stun::parse(&bytes).unwrap();
            assert_eq!(message.peers().unwrap(), [address]);
            assert_eq!(message.text(code::USERNAME), Some("odd"));
            assert!(message.is_signed_with(b"key"));
        }
    }

    #[test]
    fn nothing_hides_behind_the_signature() {
        let bytes = Reply::new(code::ALLOCATE, [0; 12]).signed(b"key").with(code::USERNAME, b"eve!").finish();
        assert!(Stun::parse(&bytes).is_none());
        let bytes =
            Reply::new(code::ALLOCATE, [0; 12]).signed(b"key").with(code::FINGERPRINT, &[0; 4]).finish();
        assert!(Stun::parse(&bytes).is_some());
    }

    #[test]
    fn every_cut_and_every_changed_length_is_refused_or_stays_within_bounds() {
        let bytes = sample();
        for cut in 0..bytes.len() {
            assert!(Stun::parse(&bytes[..cut]).is_none());
        }
        for at in 0..bytes.len() {
            for value in 0..=255 {
                let mut changed = bytes.clone();
                changed[at] = value;
                if let Some(message) = Stun::parse(&changed) {
                    let _ = (message.peers(), message.is_signed_with(b"key"), message.text(code::NONCE));
                }
            }
        }
    }
}
