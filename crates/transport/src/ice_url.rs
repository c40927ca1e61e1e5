//! URLs of STUN and TURN servers (RFC 7064, RFC 7065).

use std::net::IpAddr;

use thiserror::Error;

use crate::relay::RelayProtocol;

/// No real URL comes near this many bytes.
const MOST_BYTES: usize = 512;
const USUAL_PORT: u16 = 3478;
const USUAL_TLS_PORT: u16 = 5349;

/// A server for candidates, as its URL names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IceUrl {
    /// Host name or address, without brackets.
    pub host: String,
    /// Port: the usual one of the scheme unless the URL has another.
    pub port: u16,
    /// What it is asked for.
    pub service: IceService,
}

/// What a server is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IceService {
    /// The outside address of a socket, over UDP.
    Stun,
    /// A relayed address.
    Turn(RelayProtocol),
}

/// A URL cannot be used. The servers of others still can.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum IceUrlError {
    /// Not the grammar of RFC 7064 or RFC 7065.
    #[error("not a URL of a STUN or TURN server: {0}")]
    Malformed(&'static str),
    /// Well formed, but not spoken here: STUN over TLS, TURN over DTLS.
    #[error("{0} is not supported")]
    Unsupported(&'static str),
}

impl IceUrl {
    /// Reads `stun:host[:port]`, `turn:host[:port][?transport=udp|tcp]` or `turns:host[:port][?transport=tcp]`.
    ///
    /// # Errors
    /// [`IceUrlError`]: leave this server out, or correct it.
    pub fn parse(text: &str) -> Result<Self, IceUrlError> {
        if text.len() > MOST_BYTES {
            return Err(IceUrlError::Malformed("it is too long"));
        }
        let (scheme, rest) = text.split_once(':').ok_or(IceUrlError::Malformed("no scheme"))?;
        let (address, query) = match rest.split_once('?') {
            Some((address, query)) => (address, Some(query)),
            None => (rest, None),
        };
        let service = service(&scheme.to_ascii_lowercase(), query)?;
        let usual = if service == IceService::Turn(RelayProtocol::Tls) { USUAL_TLS_PORT } else { USUAL_PORT };
        let (host, port) = host_and_port(address)?;
        Ok(Self { host: host.to_owned(), port: port.unwrap_or(usual), service })
    }
}

fn service(scheme: &str, query: Option<&str>) -> Result<IceService, IceUrlError> {
    let transport = match query {
        None => None,
        Some("transport=udp") => Some(RelayProtocol::Udp),
        Some("transport=tcp") => Some(RelayProtocol::Tcp),
        Some(_) => return Err(IceUrlError::Malformed("after ? comes transport=udp or transport=tcp")),
    };
    match (scheme, transport) {
        ("stun", None) => Ok(IceService::Stun),
        ("stun", Some(_)) => Err(IceUrlError::Malformed("a stun: URL has no transport")),
        ("turn", transport) => Ok(IceService::Turn(transport.unwrap_or(RelayProtocol::Udp))),
        ("turns", Some(RelayProtocol::Udp)) => Err(IceUrlError::Unsupported("TURN over DTLS")),
        ("turns", _) => Ok(IceService::Turn(RelayProtocol::Tls)),
        ("stuns", _) => Err(IceUrlError::Unsupported("STUN over TLS")),
        _ => Err(IceUrlError::Malformed("the scheme is stun, turn or turns")),
    }
}

fn host_and_port(address: &str) -> Result<(&str, Option<u16>), IceUrlError> {
    let (host, port) = match address.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']').ok_or(IceUrlError::Malformed("a bracket is missing"))?;
            if !matches!(host.parse(), Ok(IpAddr::V6(_))) {
                return Err(IceUrlError::Malformed("in brackets stands an IPv6 address"));
            }
            match rest.strip_prefix(':') {
                Some(port) => (host, Some(port)),
                None if rest.is_empty() => (host, None),
                None => return Err(IceUrlError::Malformed("after the bracket comes a port")),
            }
        }
        None => match address.split_once(':') {
            Some((host, port)) => (named(host)?, Some(port)),
            None => (named(address)?, None),
        },
    };
    Ok((host, port.map(number).transpose()?))
}

fn named(host: &str) -> Result<&str, IceUrlError> {
    let belongs = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    if host.is_empty() || host.len() > 255 || !host.bytes().all(belongs) {
        return Err(IceUrlError::Malformed("the host"));
    }
    Ok(host)
}

fn number(port: &str) -> Result<u16, IceUrlError> {
    let digits = port.bytes().all(|byte| byte.is_ascii_digit());
    let port = port.parse().ok().filter(|port| *port != 0 && digits);
    port.ok_or(IceUrlError::Malformed("the port is a number from 1 to 65535"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (String, u16, IceService) {
        let url = IceUrl::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        (url.host, url.port, url.service)
    }

    #[test]
    fn urls_of_both_kinds_are_read() {
        let turn = IceService::Turn;
        assert_eq!(read("stun:stun.example.com"), ("stun.example.com".into(), 3478, IceService::Stun));
        assert_eq!(read("stun:192.0.2.1:19302"), ("192.0.2.1".into(), 19302, IceService::Stun));
        assert_eq!(read("STUN:[2001:db8::1]:5"), ("2001:db8::1".into(), 5, IceService::Stun));
        assert_eq!(
            read("turn:turn.example.com"),
            ("turn.example.com".into(), 3478, turn(RelayProtocol::Udp))
        );
        assert_eq!(read("turn:[::1]?transport=tcp"), ("::1".into(), 3478, turn(RelayProtocol::Tcp)));
        assert_eq!(read("turns:t.example.com"), ("t.example.com".into(), 5349, turn(RelayProtocol::Tls)));
        assert_eq!(read("turns:t:443?transport=tcp"), ("t".into(), 443, turn(RelayProtocol::Tls)));
    }

    #[test]
    fn others_are_refused_by_name() {
        for text in [
            "",
            "stun:",
            "stun",
            "turn:h:",
            "turn:h:0",
            "turn:h:65536",
            "turn:h:+5",
            "turn:[1.2.3.4]:5",
            "turn:[::1",
            "turn:h?transport=sctp",
            "turn:a b",
            "http://h",
            "turn:u@h",
            "stun:h?transport=udp",
        ] {
            assert!(matches!(IceUrl::parse(text), Err(IceUrlError::Malformed(_))), "{text}");
        }
        assert!(matches!(
            IceUrl::parse(&format!("turn:{}", "x".repeat(600))),
            Err(IceUrlError::Malformed(_))
        ));
        for text in ["stuns:h", "turns:h?transport=udp"] {
            assert!(matches!(IceUrl::parse(text), Err(IceUrlError::Unsupported(_))), "{text}");
        }
    }
}
