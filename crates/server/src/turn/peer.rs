//! Where a relay sends to, and where it never does: a pure decision about one address.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// A range of addresses: `10.0.0.0/8`, `fd00::/8`, or one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddressRange {
    base: IpAddr,
    bits: u8,
}

/// The text is no range of addresses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no address range: write one as 10.0.0.0/8, fd00::/8 or 192.0.2.1")]
pub struct AddressRangeError(String);

impl FromStr for AddressRange {
    type Err = AddressRangeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fail = || AddressRangeError(text.to_owned());
        let (base, bits) = text.split_once('/').map_or((text, None), |(base, bits)| (base, Some(bits)));
        let base: IpAddr = base.parse().map_err(|_| fail())?;
        let most = if base.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Ok(most), |bits| bits.parse().map_err(|_| fail()))?;
        if bits > most {
            return Err(fail());
        }
        Ok(Self { base, bits })
    }
}

impl AddressRange {
    /// Whether the address lies in the range; an IPv4 address never lies in an IPv6 range.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.base, address) {
            (IpAddr::V4(base), IpAddr::V4(address)) => {
                let shift = 32 - u32::from(self.bits);
                base.to_bits().checked_shr(shift) == address.to_bits().checked_shr(shift)
            }
            (IpAddr::V6(base), IpAddr::V6(address)) => {
                let shift = 128 - u32::from(self.bits);
                base.to_bits().checked_shr(shift) == address.to_bits().checked_shr(shift)
            }
            _ => false,
        }
    }
}

/// Which peers a relay serves.
#[derive(Debug, Clone, Default)]
pub(crate) struct PeerFilter {
    /// Served although the rules below refuse them.
    pub(crate) allowed: Vec<AddressRange>,
    /// The addresses of this machine: its services trust it.
    pub(crate) own: Vec<IpAddr>,
}

impl PeerFilter {
    /// Whether the relay may send to `address`. Own addresses are decided by the caller for ports of the relay itself.
    pub(crate) fn allows(&self, address: IpAddr) -> bool {
        // ::ffff:10.0.0.1 reaches 10.0.0.1.
        let address = address.to_canonical();
        if is_nowhere(address) {
            return false;
        }
        self.allowed.iter().any(|range| range.contains(address))
            || !(is_special(address) || self.is_own(address))
    }

    pub(crate) fn is_own(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.own.iter().any(|own| own.to_canonical() == address)
    }
}

/// No peer has such an address, whatever is configured: unspecified (it would reach this machine), broadcast, multicast.
fn is_nowhere(address: IpAddr) -> bool {
    address.is_unspecified()
        || address.is_multicast()
        || matches!(address, IpAddr::V4(ip) if ip.is_broadcast() || ip.octets()[0] == 0 || ip.octets()[0] >= 240)
}

/// Addresses that mean something else inside a network than outside of it (RFC 6890).
fn is_special(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(ip) => is_special_v4(ip),
        IpAddr::V6(ip) => is_special_v6(ip),
    }
}

fn is_special_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    // 169.254.169.254, the metadata service of clouds, is link-local; 100.64.0.0/10 is carrier-grade NAT (and 100.100.100.200
    // metadata too); 192.0.0.0/24 has 192.0.0.192, metadata again; 168.63.129.16 is a cloud's host.
    ip.is_loopback()
        || ip.is_private()
        || ip.is_link_local()
        || (a == 100 && b & 0xc0 == 64)
        || (a, b, c) == (192, 0, 0)
        || (a == 198 && b & 0xfe == 18)
        || ip == Ipv4Addr::new(168, 63, 129, 16)
}

fn is_special_v6(ip: Ipv6Addr) -> bool {
    let [a, b, ..] = ip.segments();
    let embedded = |first: usize| {
        let octets = ip.octets();
        Ipv4Addr::new(octets[first], octets[first + 1], octets[first + 2], octets[first + 3])
    };
    ip.is_loopback()
        || ip.is_unique_local()
        || ip.is_unicast_link_local()
        || a & 0xffc0 == 0xfec0
        // What carries an IPv4 address reaches that address: compatible, NAT64 (RFC 6052, RFC 8215), 6to4, Teredo.
        || ip.segments()[..6] == [0; 6]
        || (a == 0x64 && b == 0xff9b)
        || (a == 0x2002 && (is_special_v4(embedded(2)) || is_nowhere(embedded(2).into())))
        || (a == 0x2001 && b == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter() -> PeerFilter {
        PeerFilter {
            allowed: Vec::new(),
            own: vec!["198.51.100.7".parse().unwrap(), "2001:db8::7".parse().unwrap()],
        }
    }

    #[test]
    fn inside_addresses_in_every_spelling_are_refused() {
        for refused in [
            "127.0.0.1",
            "127.255.255.254",
            "10.0.0.1",
            "10.255.255.255",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "169.254.169.254",
            "169.254.0.1",
            "100.64.0.1",
            "100.127.255.255",
            "100.100.100.200",
            "192.0.0.192",
            "0.0.0.0",
            "0.1.2.3",
            "255.255.255.255",
            "224.0.0.1",
            "239.255.255.250",
            "240.0.0.1",
            "198.18.0.1",
            "168.63.129.16",
            "198.51.100.7",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::ffff:0.0.0.0",
            "::ffff:198.51.100.7",
            "::127.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b:1::a00:1",
            "2002:7f00:1::",
            "2002:a00:1::1",
            "2002::1",
            "2001:0:1::1",
            "fe80::1",
            "fec0::1",
            "fc00::1",
            "fd00:ec2::254",
            "ff02::1",
            "2001:db8::7",
        ] {
            assert!(!filter().allows(refused.parse().unwrap()), "{refused}");
        }
    }

    #[test]
    fn addresses_of_the_internet_are_served() {
        for served in [
            "1.1.1.1",
            "9.255.255.255",
            "11.0.0.1",
            "172.15.0.1",
            "172.32.0.1",
            "192.167.1.1",
            "169.253.0.1",
            "100.63.0.1",
            "100.128.0.1",
            "198.51.100.8",
            "203.0.113.5",
            "223.255.255.255",
            "::ffff:1.1.1.1",
            "2606:4700::1111",
            "2001:db8::8",
            "2002:101:101::1",
        ] {
            assert!(filter().allows(served.parse().unwrap()), "{served}");
        }
    }

    #[test]
    fn what_is_configured_is_served_and_nothing_more() {
        let mut filter = filter();
        filter.allowed = ["10.1.0.0/16", "127.0.0.1", "fd00::/8", "0.0.0.0/0"]
            .map(|range| range.parse().unwrap())
            .to_vec();
        for served in ["10.1.2.3", "127.0.0.1", "::ffff:10.1.2.3", "fd12::1"] {
            assert!(filter.allows(served.parse().unwrap()), "{served}");
        }
        for refused in ["0.0.0.0", "::", "224.0.0.1", "255.255.255.255", "::1", "fe80::1"] {
            assert!(!filter.allows(refused.parse().unwrap()), "{refused}");
        }
        filter.allowed = vec!["10.1.0.0/16".parse().unwrap()];
        assert!(!filter.allows("10.2.0.1".parse().unwrap()));
    }

    #[test]
    fn ranges_are_read_or_refused() {
        for bad in ["", "10.0.0.0/33", "::/129", "10.0.0.0/x", "ten/8", "10.0.0.0/-1", "/8"] {
            assert!(bad.parse::<AddressRange>().is_err(), "{bad}");
        }
        let all: AddressRange = "::/0".parse().unwrap();
        assert!(all.contains("2001:db8::1".parse().unwrap()) && !all.contains("10.0.0.1".parse().unwrap()));
    }
}
