//! Where the server is, as an application writes it.

use std::fmt;
use std::net::IpAddr;

use offhook_signaling::PATH;
use thiserror::Error;

const TLS_PORT: u16 = 443;
/// The port of `offhook serve`.
const PLAIN_PORT: u16 = 7070;

/// A text does not name a server. Correct it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0:?} is not host, host:port or a ws, wss, http or https URL without a path")]
pub struct EndpointError(pub String);

/// A server: host, port, TLS or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Endpoint {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) tls: bool,
}

impl Endpoint {
    /// Reads `host`, `host:port` or a URL. Without a scheme, loopback is spoken to without TLS, everything else with it.
    pub(crate) fn parse(text: &str) -> Result<Self, EndpointError> {
        let wrong = || EndpointError(text.to_owned());
        let trimmed = text.trim();
        let (scheme, rest) = match trimmed.split_once("://") {
            Some(("wss" | "https", rest)) => (Some(true), rest),
            Some(("ws" | "http", rest)) => (Some(false), rest),
            Some(_) => return Err(wrong()),
            None => (None, trimmed),
        };
        let (host, port) = split(rest.strip_suffix('/').unwrap_or(rest)).ok_or_else(wrong)?;
        let ok = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b':' | b'%');
        if host.is_empty() || host.len() > 255 || !host.bytes().all(ok) {
            return Err(wrong());
        }
        let tls = scheme.unwrap_or_else(|| !is_loopback(host));
        let usual = match (tls, scheme) {
            (true, _) => TLS_PORT,
            (false, Some(_)) => 80,
            (false, None) => PLAIN_PORT,
        };
        Ok(Self { host: host.to_owned(), port: port.unwrap_or(usual), tls })
    }

    /// Whether the server runs on this machine.
    pub(crate) fn is_loopback(&self) -> bool {
        is_loopback(&self.host)
    }
}

impl fmt::Display for Endpoint {
    /// The URL of the WebSocket endpoint.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "wss" } else { "ws" };
        let (open, close) = if self.host.contains(':') { ("[", "]") } else { ("", "") };
        write!(formatter, "{scheme}://{open}{}{close}:{}{PATH}", self.host, self.port)
    }
}

/// Host without brackets, and the port where there is one.
fn split(text: &str) -> Option<(&str, Option<u16>)> {
    if let Some(rest) = text.strip_prefix('[') {
        let (host, rest) = rest.split_once(']')?;
        let port = match rest {
            "" => None,
            rest => Some(rest.strip_prefix(':')?.parse().ok()?),
        };
        return Some((host, port));
    }
    match text.split_once(':') {
        // More than one colon: an IPv6 address without brackets, so without a port.
        Some((_, rest)) if rest.contains(':') => text.parse::<IpAddr>().is_ok().then_some((text, None)),
        Some((host, port)) => Some((host, Some(port.parse().ok()?))),
        None => Some((text, None)),
    }
}

fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_spelling() {
        for (text, url) in [
            ("ocra.example.com", "wss://ocra.example.com:443/v1/signal"),
            ("example.com:8443", "wss://example.com:8443/v1/signal"),
            ("127.0.0.1:7171", "ws://127.0.0.1:7171/v1/signal"),
            ("localhost", "ws://localhost:7070/v1/signal"),
            ("::1", "ws://[::1]:7070/v1/signal"),
            ("[2001:db8::1]:9", "wss://[2001:db8::1]:9/v1/signal"),
            ("ws://10.0.0.1:7070", "ws://10.0.0.1:7070/v1/signal"),
            ("http://10.0.0.1/", "ws://10.0.0.1:80/v1/signal"),
            ("https://example.com", "wss://example.com:443/v1/signal"),
            ("wss://127.0.0.1:1", "wss://127.0.0.1:1/v1/signal"),
        ] {
            assert_eq!(Endpoint::parse(text).unwrap().to_string(), url, "{text}");
        }
    }

    #[test]
    fn refuses_what_is_no_server() {
        for text in
            ["", "ftp://x", "a b", "host:port", "host:70000", "http://x/path", "user@host", "[::1", "a:b:c"]
        {
            assert_eq!(Endpoint::parse(text), Err(EndpointError(text.to_owned())));
        }
    }
}
