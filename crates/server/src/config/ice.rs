//! STUN and TURN servers that clients are told: a browser that is told of one it cannot use makes no call at all.

use offhook_signaling::message::IceServer;

use super::{ConfigError, SharedRelay};

pub(super) fn validate(servers: &[IceServer], shared: &[SharedRelay]) -> Result<(), ConfigError> {
    let range = |name, rule| Err(ConfigError::Range { name, rule });
    let all = servers.iter().map(|server| &server.urls).chain(shared.iter().map(|relay| &relay.urls));
    for urls in all {
        if urls.is_empty() || !urls.iter().all(|url| is_usable(url)) {
            let rule = "one or more of stun:HOST, stuns:HOST, turn:HOST and turns:HOST, each with :PORT where it is not the usual one";
            return range("ice_server.urls", rule);
        }
    }
    for server in servers {
        let relays = server.urls.iter().any(|url| is_relay(url));
        if relays && (server.username.is_none() || server.credential.is_none()) {
            let rule = "given with turn: and turns:, or secret in place of both";
            return range("ice_server.username and ice_server.credential", rule);
        }
    }
    Ok(())
}

fn is_relay(url: &str) -> bool {
    url.split_once(':').is_some_and(|(scheme, _)| ["turn", "turns"].contains(&scheme))
}

/// The schemes of RFC 7064 and RFC 7065, and a host.
fn is_usable(url: &str) -> bool {
    let Some((scheme, rest)) = url.split_once(':') else { return false };
    let host = rest.split('?').next().unwrap_or_default();
    ["stun", "stuns", "turn", "turns"].contains(&scheme)
        && !host.is_empty()
        && !host.starts_with('/')
        && !rest.contains(|letter: char| letter.is_whitespace() || letter.is_control())
}

#[cfg(test)]
mod tests {
    use crate::config::ServerConfig;

    #[test]
    fn what_a_browser_would_not_take_is_refused() {
        let read = |rest: &str| ServerConfig::from_toml(&format!("[[ice_server]]\n{rest}"));
        for good in [
            "urls = ['stun:stun.example.org', 'stuns:[2001:db8::1]:5349']",
            "urls = ['turns:relay.example.org:443?transport=tcp']\nsecret = 'shared with coturn'",
            "urls = ['turn:192.0.2.1']\nusername = 'u'\ncredential = 'c'",
        ] {
            assert!(read(good).is_ok(), "{good}");
        }
        for (bad, name) in [
            ("urls = []", "ice_server.urls"),
            ("urls = ['stun.example.org']", "ice_server.urls"),
            ("urls = ['stun:']", "ice_server.urls"),
            ("urls = ['stun://stun.example.org']", "ice_server.urls"),
            ("urls = ['stun:a', 'https://b']", "ice_server.urls"),
            ("urls = ['https://b']\nsecret = 'shared with coturn'", "ice_server.urls"),
            ("urls = ['turn:relay.example.org']", "ice_server.credential"),
            ("urls = ['stun:a', 'turns:a']\nusername = 'u'", "ice_server.credential"),
        ] {
            let error = read(bad).unwrap_err().to_string();
            assert!(error.contains(name), "{bad}: {error}");
        }
    }
}
