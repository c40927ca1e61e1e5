//! Remote candidate lines: our own check of the grammar (RFC 8839, section 5.1) before the ICE library sees them.

use std::net::{IpAddr, SocketAddr};

use crate::error::CandidateError;

/// No real line comes near this many bytes.
pub const MAX_LINE: usize = 512;
/// As many candidates as one description generation may bring.
pub const MAX_CANDIDATES: usize = 64;

/// What a line from the peer means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RemoteCandidate {
    /// A UDP address to try.
    Usable(UsableCandidate),
    /// Well formed, but of no use here: TCP, the RTCP component, a `.local` name, an address nobody can be reached at.
    Skipped,
    /// The peer has no more (an empty line or `end-of-candidates`).
    End,
}

/// A candidate the ICE library may have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsableCandidate {
    /// The line as the library reads it, beginning with `candidate:`.
    pub line: String,
    /// Its address.
    pub address: SocketAddr,
    /// The generation it belongs to, where it says.
    pub ufrag: Option<String>,
}

/// Reads one line, with or without `a=` in front.
///
/// # Errors
/// [`CandidateError::TooLong`] or [`CandidateError::Malformed`].
pub fn parse(line: &str) -> Result<RemoteCandidate, CandidateError> {
    if line.len() > MAX_LINE {
        return Err(CandidateError::TooLong(line.len()));
    }
    let line = line.trim();
    let line = line.strip_prefix("a=").unwrap_or(line);
    if line.is_empty() || line == "end-of-candidates" {
        return Ok(RemoteCandidate::End);
    }
    let body = line.strip_prefix("candidate:").ok_or(CandidateError::Malformed("no candidate: in front"))?;
    if !body.is_ascii() || body.bytes().any(|byte| byte.is_ascii_control()) {
        return Err(CandidateError::Malformed("characters that do not belong"));
    }
    let fields: Vec<&str> = body.split_ascii_whitespace().collect();
    let Some(([foundation, component, protocol, priority, address, port, typ, kind], rest)) =
        fields.split_first_chunk::<8>()
    else {
        return Err(CandidateError::Malformed("fields are missing"));
    };
    let component = number::<u16>(component, 1..=256, "component")?;
    number::<u32>(priority, 0..=u32::MAX >> 1, "priority")?;
    let port = number::<u16>(port, 0..=u16::MAX, "port")?;
    if foundation.len() > 32 || *typ != "typ" {
        return Err(CandidateError::Malformed("foundation or typ"));
    }
    if !matches!(*kind, "host" | "srflx" | "prflx" | "relay") {
        return Err(CandidateError::Malformed("kind"));
    }
    let Some(ip) = address_of(address)? else { return Ok(RemoteCandidate::Skipped) };
    if component != 1 || port == 0 || !protocol.eq_ignore_ascii_case("udp") || !is_reachable(ip) {
        return Ok(RemoteCandidate::Skipped);
    }
    let ufrag = extension(rest, "ufrag").map(str::to_owned);
    let line = canonical(foundation, priority, ip, port, kind, ufrag.as_deref());
    Ok(RemoteCandidate::Usable(UsableCandidate { line, address: SocketAddr::new(ip, port), ufrag }))
}

fn number<N: std::str::FromStr + PartialOrd>(
    text: &str,
    range: std::ops::RangeInclusive<N>,
    name: &'static str,
) -> Result<N, CandidateError> {
    let number = text.parse().map_err(|_| CandidateError::Malformed(name))?;
    if range.contains(&number) { Ok(number) } else { Err(CandidateError::Malformed(name)) }
}

/// `None` for a name: names (mDNS `.local` above all) are not looked up, the peer reaches us and becomes peer-reflexive.
fn address_of(text: &str) -> Result<Option<IpAddr>, CandidateError> {
    match text.parse() {
        Ok(address) => Ok(Some(address)),
        Err(_) if text.contains('.') && text.ends_with(|last: char| last.is_ascii_alphabetic()) => Ok(None),
        Err(_) => Err(CandidateError::Malformed("address")),
    }
}

fn is_reachable(ip: IpAddr) -> bool {
    let broadcast = matches!(ip, IpAddr::V4(v4) if v4.is_broadcast());
    !(ip.is_unspecified() || ip.is_multicast() || broadcast)
}

fn extension<'a>(fields: &[&'a str], name: &str) -> Option<&'a str> {
    fields.chunks_exact(2).find(|pair| pair[0] == name).map(|pair| pair[1]).filter(|value| value.len() <= 256)
}

/// Only the fields we checked: the library never sees the others.
fn canonical(
    foundation: &str,
    priority: &str,
    ip: IpAddr,
    port: u16,
    kind: &str,
    ufrag: Option<&str>,
) -> String {
    let related = if kind == "host" { "" } else { " raddr 0.0.0.0 rport 0" };
    let ufrag = ufrag.map(|ufrag| format!(" ufrag {ufrag}")).unwrap_or_default();
    format!("candidate:{foundation} 1 udp {priority} {ip} {port} typ {kind}{related}{ufrag}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHROME: &str = "candidate:842163049 1 udp 1677729535 198.51.100.7 46154 typ srflx raddr 10.0.0.17 rport 46154 \
                          generation 0 ufrag EEtu network-cost 999";

    #[test]
    fn takes_what_browsers_send() {
        let Ok(RemoteCandidate::Usable(candidate)) = parse(CHROME) else { panic!("usable") };
        assert_eq!(candidate.address, "198.51.100.7:46154".parse().unwrap());
        assert_eq!(candidate.ufrag.as_deref(), Some("EEtu"));
        assert!(is::Candidate::from_sdp_string(&candidate.line).is_ok());
        assert!(matches!(parse(&format!("a={CHROME}\r\n")), Ok(RemoteCandidate::Usable(_))));
    }

    #[test]
    fn skips_what_is_of_no_use() {
        for line in [
            "candidate:1 1 udp 2113937151 6f1bbf1a-7a3a-4a0e-9d0b-6f8b0a1b2c3d.local 46154 typ host",
            "candidate:1 1 tcp 1518280447 192.0.2.1 9 typ host tcptype active",
            "candidate:1 2 udp 1518280447 192.0.2.1 5000 typ host",
            "candidate:1 1 udp 1518280447 0.0.0.0 5000 typ host",
            "candidate:1 1 udp 1518280447 192.0.2.1 0 typ host",
        ] {
            assert_eq!(parse(line), Ok(RemoteCandidate::Skipped), "{line}");
        }
        assert_eq!(parse("a=end-of-candidates"), Ok(RemoteCandidate::End));
        assert_eq!(parse(""), Ok(RemoteCandidate::End));
    }

    #[test]
    fn refuses_what_is_not_a_candidate() {
        assert_eq!(parse(&"x".repeat(MAX_LINE + 1)), Err(CandidateError::TooLong(MAX_LINE + 1)));
        for line in [
            "candidate:",
            "candidate:1 1 udp 1 192.0.2.1 5000 type host",
            "candidate:1 1 udp 4294967295 192.0.2.1 5000 typ host",
            "candidate:1 1 udp 1 192.0.2 5000 typ host",
            "candidate:1 1 udp 1 192.0.2.1 70000 typ host",
            "candidate:1 1 udp 1 192.0.2.1 5000 typ other",
            "m=audio 9",
        ] {
            assert!(matches!(parse(line), Err(CandidateError::Malformed(_))), "{line}");
        }
    }
}
