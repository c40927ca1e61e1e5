//! Addresses that requests go to. A push subscription names any address it likes: without these checks anyone who may register could
//! make the server speak to machines of its own network. Callbacks go where the operator says, and are only checked in their form.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use axum::http::Uri;
use tokio::net::lookup_host;

/// An address of a form that may be used.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Endpoint {
    uri: Uri,
    /// With its query, as a request names it (RFC 9112, section 3.2.1): it begins with a slash.
    path: String,
    host: String,
    port: u16,
    is_tls: bool,
}

/// An endpoint that is not used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum EndpointError {
    /// Not an https URL with a host; subscribe with what the browser gave.
    #[error("the endpoint is not an https URL")]
    Form,
    /// It names or resolves to an address that is not public.
    #[error("the endpoint is not at a public address")]
    NotPublic,
    /// The name has no address now.
    #[error("the endpoint's name cannot be resolved")]
    Unknown,
}

impl Endpoint {
    /// Checks all that can be checked without asking anybody. `any` allows http and addresses that are not public.
    pub(crate) fn parse(text: &str, any: bool) -> Result<Self, EndpointError> {
        let uri: Uri = text.parse().map_err(|_| EndpointError::Form)?;
        let is_tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") if any => false,
            _ => return Err(EndpointError::Form),
        };
        let authority = uri.authority().ok_or(EndpointError::Form)?;
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        if host.is_empty() || authority.as_str().contains('@') {
            return Err(EndpointError::Form);
        }
        // The library takes a port that is none for no port.
        let port = match authority.as_str().strip_prefix(authority.host()) {
            Some("") if is_tls => 443,
            Some("") => 80,
            Some(rest) => {
                rest.strip_prefix(':').and_then(|port| port.parse().ok()).ok_or(EndpointError::Form)?
            }
            None => return Err(EndpointError::Form),
        };
        let is_inside = match host.parse::<IpAddr>() {
            Ok(ip) => !is_public(ip),
            // One label is a name of the own network.
            Err(_) => !host.trim_end_matches('.').contains('.'),
        };
        if is_inside && !any {
            return Err(EndpointError::NotPublic);
        }
        let path = uri.path_and_query().map_or("", |path| path.as_str());
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        Ok(Self { uri, path, host, port, is_tls })
    }

    /// Scheme, host and port: for whom the server proves who it is (RFC 8292, section 2).
    pub(crate) fn origin(&self) -> String {
        let authority = self.uri.authority().map_or("", |authority| authority.as_str());
        format!("{}://{authority}", if self.is_tls { "https" } else { "http" })
    }

    pub(crate) fn authority(&self) -> &str {
        self.uri.authority().map_or("", |authority| authority.as_str())
    }

    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    pub(crate) const fn is_tls(&self) -> bool {
        self.is_tls
    }

    /// Its addresses now, those that may be used. A connection goes to one of these and is not resolved again.
    pub(crate) async fn resolve(&self, any: bool) -> Result<Vec<SocketAddr>, EndpointError> {
        let found: Vec<SocketAddr> =
            lookup_host((self.host.as_str(), self.port)).await.map_err(|_| EndpointError::Unknown)?.collect();
        if found.is_empty() {
            return Err(EndpointError::Unknown);
        }
        let usable: Vec<SocketAddr> =
            found.into_iter().filter(|address| any || is_public(address.ip())).collect();
        if usable.is_empty() { Err(EndpointError::NotPublic) } else { Ok(usable) }
    }
}

impl std::fmt::Debug for Endpoint {
    /// The path is a secret: whoever knows it can send.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Endpoint").field("host", &self.host).field("port", &self.port).finish_non_exhaustive()
    }
}

/// Whether an address belongs to the public internet (the special-purpose registries of RFC 6890 are not).
pub(crate) fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => is_public_v6(ip),
    }
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    let special = ip.is_private()
        || ip.is_loopback()
        || ip.is_link_local()
        || ip.is_documentation()
        || a == 0
        || a >= 224
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 192 && b == 88 && c == 99)
        || (a == 198 && (18..20).contains(&b));
    !special
}

fn is_public_v6(ip: Ipv6Addr) -> bool {
    let [a, b, ..] = ip.segments();
    // 2001::/23 and 2001:db8::/32 are special, 2002::/16 and what maps to IPv4 would smuggle an address in.
    a & 0xe000 == 0x2000 && !(a == 0x2001 && (b < 0x200 || b == 0xdb8)) && a != 0x2002 && a != 0x3fff
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_https_at_public_addresses_is_taken() {
        let good = Endpoint::parse("https://fcm.googleapis.com/fcm/send/abc?d=1", false).unwrap();
        assert_eq!((good.host(), good.port, good.path()), ("fcm.googleapis.com", 443, "/fcm/send/abc?d=1"));
        assert_eq!(good.origin(), "https://fcm.googleapis.com");
        assert!(Endpoint::parse("https://[2606:4700::1111]:8443/x", false).is_ok());
        for (url, path) in [("https://a.example", "/"), ("https://a.example?d=1", "/?d=1")] {
            assert_eq!(Endpoint::parse(url, false).unwrap().path(), path);
        }
        for form in [
            "",
            "fcm.googleapis.com/x",
            "http://example.com/x",
            "ftp://a.b/",
            "https://",
            "https:///x",
            "https://user@example.com/",
            "https://example.com:99999/",
            "https://exa mple.com/",
        ] {
            assert_eq!(Endpoint::parse(form, false), Err(EndpointError::Form), "{form}");
        }
        for inside in [
            "localhost",
            "router",
            "127.0.0.1",
            "10.1.2.3",
            "192.168.0.1",
            "172.16.0.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "224.0.0.1",
            "255.255.255.255",
            "198.18.0.1",
            "[::1]",
            "[::]",
            "[fe80::1]",
            "[fd00::1]",
            "[::ffff:127.0.0.1]",
            "[::ffff:10.0.0.1]",
            "[64:ff9b::7f00:1]",
            "[2002:7f00:1::]",
            "[2001:db8::1]",
            "[ff02::1]",
        ] {
            let url = format!("https://{inside}/x");
            assert_eq!(Endpoint::parse(&url, false), Err(EndpointError::NotPublic), "{url}");
            assert!(Endpoint::parse(&url, true).is_ok(), "{url}");
        }
        assert!(Endpoint::parse("http://127.0.0.1:1/x", true).is_ok());
    }

    #[tokio::test]
    async fn a_name_that_resolves_to_this_machine_is_not_asked() {
        // As a name of the public would that points here.
        let endpoint = Endpoint {
            host: "localhost".to_owned(),
            ..Endpoint::parse("https://a.example/x", false).unwrap()
        };
        assert_eq!(endpoint.resolve(false).await, Err(EndpointError::NotPublic));
        assert!(!endpoint.resolve(true).await.unwrap().is_empty());
    }
}
