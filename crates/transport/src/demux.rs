//! Which protocol a datagram belongs to (RFC 7983, RFC 5761).

/// The largest datagram looked at: more than any network path delivers whole.
pub const MAX_DATAGRAM: usize = 2048;

/// A protocol that shares the socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// First byte 0 to 3, with the magic cookie of RFC 8489.
    Stun,
    /// First byte 20 to 63, and records that fit.
    Dtls,
    /// First byte 64 to 79.
    TurnChannel,
    /// First byte 128 to 191, second not that of RTCP.
    Rtp,
    /// First byte 128 to 191, second 192 to 223.
    Rtcp,
}

/// The protocol of a datagram, `None` for what fits none: too short, too long or an unassigned first byte.
#[must_use]
pub fn classify(datagram: &[u8]) -> Option<Protocol> {
    if datagram.len() > MAX_DATAGRAM {
        return None;
    }
    let (&first, rest) = datagram.split_first()?;
    match first {
        0..=3 => is_stun(datagram).then_some(Protocol::Stun),
        20..=63 => is_dtls(datagram).then_some(Protocol::Dtls),
        64..=79 => (datagram.len() >= 4).then_some(Protocol::TurnChannel),
        128..=191 => match rest.first()? {
            192..=223 => (datagram.len() >= 8).then_some(Protocol::Rtcp),
            _ => (datagram.len() >= 12).then_some(Protocol::Rtp),
        },
        _ => None,
    }
}

/// Header of 20 bytes with the cookie, a length in words that fills the datagram.
fn is_stun(datagram: &[u8]) -> bool {
    datagram.len() >= 20
        && datagram[4..8] == [0x21, 0x12, 0xA4, 0x42]
        && usize::from(u16::from_be_bytes([datagram[2], datagram[3]])) + 20 == datagram.len()
        && datagram.len().is_multiple_of(4)
}

/// A first record of DTLS 1.2 that is not empty and whose length fits, or one with the short header of RFC 9147, section 4.
fn is_dtls(datagram: &[u8]) -> bool {
    if (32..=63).contains(&datagram[0]) {
        return datagram.len() >= 18;
    }
    let Some(header) = datagram.first_chunk::<13>() else { return false };
    let length = usize::from(u16::from_be_bytes([header[11], header[12]]));
    (20..=26).contains(&header[0]) && header[1] == 0xFE && (1..=datagram.len() - 13).contains(&length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_range_has_its_protocol() {
        let mut stun = vec![0, 1, 0, 0, 0x21, 0x12, 0xA4, 0x42];
        stun.resize(20, 7);
        assert_eq!(classify(&stun), Some(Protocol::Stun));
        stun[3] = 4;
        assert_eq!(classify(&stun), None, "the length is not that of the datagram");
        assert_eq!(classify(&[22, 0xFE, 0xFD, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 9]), Some(Protocol::Dtls));
        assert_eq!(classify(&[22, 0xFE, 0xFD, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 9]), None);
        assert_eq!(classify(&[22, 0xFE, 0xF9, 0, 0, 78, 0, 0, 0, 0, 0, 0, 0]), None, "an empty record");
        assert_eq!(classify(&[0x2F; 18]), Some(Protocol::Dtls));
        assert_eq!(classify(&[64, 0, 0, 0]), Some(Protocol::TurnChannel));
        assert_eq!(classify(&[0x80, 111, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]), Some(Protocol::Rtp));
        assert_eq!(classify(&[0x80, 200, 0, 0, 0, 0, 0, 0]), Some(Protocol::Rtcp));
    }

    #[test]
    fn short_long_and_unassigned_fit_nothing() {
        assert_eq!(classify(&[]), None);
        assert_eq!(classify(&[0x80]), None);
        assert_eq!(classify(&[255; 40]), None);
        assert_eq!(classify(&[0x80; MAX_DATAGRAM + 1]), None);
    }
}
