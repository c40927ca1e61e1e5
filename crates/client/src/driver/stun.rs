//! Addresses of the STUN servers that the signaling server names.

use std::net::SocketAddr;
use std::time::Duration;

use offhook_signaling::message::IceServer;
use tokio::net::lookup_host;
use tokio::time::timeout;

const LOOKUP: Duration = Duration::from_secs(3);
const USUAL_PORT: u16 = 3478;
const MOST: usize = 4;
/// Names that are looked up: one that is not found takes seconds.
const MOST_NAMES: usize = 8;

/// Looks up the servers of `stun:` URLs; those that cannot be found are left out.
pub(super) async fn resolve(servers: Vec<IceServer>) -> Vec<SocketAddr> {
    let mut found = Vec::new();
    let names = servers.iter().flat_map(|server| &server.urls).filter_map(|url| parse(url));
    for (host, port) in names.take(MOST_NAMES) {
        if let Ok(Ok(addresses)) = timeout(LOOKUP, lookup_host((host, port))).await {
            found.extend(addresses.take(2));
        }
        if found.len() >= MOST {
            break;
        }
    }
    found.truncate(MOST);
    found
}

/// `stun:host[:port]` (RFC 7064).
fn parse(url: &str) -> Option<(&str, u16)> {
    let rest = url.strip_prefix("stun:")?;
    if let Some(rest) = rest.strip_prefix('[') {
        let (host, rest) = rest.split_once(']')?;
        let port = rest.strip_prefix(':').map_or(Ok(USUAL_PORT), str::parse).ok()?;
        return Some((host, port));
    }
    match rest.rsplit_once(':') {
        Some((host, port)) => Some((host, port.parse().ok()?)),
        None => (!rest.is_empty()).then_some((rest, USUAL_PORT)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stun_urls_are_read_and_others_passed_over() {
        assert_eq!(parse("stun:stun.example.com"), Some(("stun.example.com", 3478)));
        assert_eq!(parse("stun:192.0.2.1:19302"), Some(("192.0.2.1", 19302)));
        assert_eq!(parse("stun:[2001:db8::1]:5"), Some(("2001:db8::1", 5)));
        for other in ["turn:example.com", "stun:", "stun:x:y", "http://x"] {
            assert_eq!(parse(other), None);
        }
    }

    #[tokio::test]
    async fn addresses_need_no_lookup() {
        let urls = ["stun:127.0.0.1:5", "turn:127.0.0.1:6", "stun:[::1]:7"].map(str::to_owned).to_vec();
        let found = resolve(vec![IceServer { urls, username: None, credential: None }]).await;
        assert_eq!(found, ["127.0.0.1:5".parse().unwrap(), "[::1]:7".parse().unwrap()]);
    }
}
