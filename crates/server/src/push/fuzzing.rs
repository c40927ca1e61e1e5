//! A subscription as any registered device may send it.

use std::net::IpAddr;

use offhook_signaling::message::PushSubscription;

use super::send::Target;
use crate::endpoint::{Endpoint, is_public};

/// Lines: the endpoint, the public key, the authentication secret. What is taken leads out of the own network by TLS, and what stands in
/// a request because of it cannot be more than it seems.
///
/// # Panics
/// When an invariant does not hold.
pub fn push_subscription(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut lines = text.splitn(3, '\n');
    let mut line = || lines.next().unwrap_or_default().to_owned();
    let subscription = PushSubscription { endpoint: line(), p256dh: line(), auth: line() };
    let [strict, lax] = [false, true].map(|any| Endpoint::parse(&subscription.endpoint, any));
    if let Ok(endpoint) = &lax {
        let parts = [endpoint.host(), endpoint.authority(), endpoint.path(), &endpoint.origin()];
        assert!(parts.iter().all(|part| part.bytes().all(|byte| byte > 0x20 && byte != 0x7f)), "{parts:?}");
        assert!(!endpoint.host().is_empty() && !endpoint.authority().contains(['@', '/']));
        assert!(endpoint.path().starts_with('/'), "{}", endpoint.path());
        let again = Endpoint::parse(&format!("{}/", endpoint.origin()), true);
        assert_eq!(again.map(|again| again.origin()), Ok(endpoint.origin()));
    }
    if let Ok(endpoint) = &strict {
        assert!(endpoint.is_tls() && lax.is_ok(), "what is allowed is allowed where more is");
        assert!(endpoint.origin().starts_with("https://"));
        match endpoint.host().parse::<IpAddr>() {
            Ok(ip) => assert!(is_public(ip), "{ip}"),
            Err(_) => assert!(endpoint.host().contains('.'), "{}", endpoint.host()),
        }
    }
    let [strict_target, lax_target] = [false, true].map(|any| Target::new(&subscription, any).is_some());
    assert!(!strict_target || (strict.is_ok() && lax_target));
    assert!(!lax_target || lax.is_ok());
}
