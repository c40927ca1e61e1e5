//! Addresses of the STUN and TURN servers that the application and the signaling server name.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use offhook_signaling::message::IceServer;
use offhook_transport::{IceService, IceUrl, RelayProtocol, TurnServer};
use tokio::net::lookup_host;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::shared::Shared;

/// A name that is not found takes seconds; a call waits no longer.
const LOOKUP: Duration = Duration::from_secs(3);
const MOST_STUN: usize = 4;
const MOST_TURN: usize = 8;
/// URLs that are looked at.
const MOST_URLS: usize = 16;
/// Addresses of one name: one of each family.
const MOST_ADDRESSES: usize = 2;

/// What calls ask for candidates.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct IceServers {
    pub(crate) stun: Vec<SocketAddr>,
    pub(crate) turn: Vec<TurnTarget>,
}

/// A TURN server with the name its certificate has to carry.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct TurnTarget {
    pub(crate) server: TurnServer,
    pub(crate) host: String,
}

impl fmt::Debug for TurnTarget {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("TurnTarget").field("host", &self.host).field("server", &self.server).finish()
    }
}

impl IceServers {
    /// Those that are spoken to over a connection.
    pub(crate) fn connections(&self) -> impl Iterator<Item = &TurnTarget> {
        self.turn.iter().filter(|target| target.server.protocol != RelayProtocol::Udp)
    }

    fn add(&mut self, wanted: &Wanted, address: SocketAddr) {
        match wanted.url.service {
            IceService::Stun => {
                if self.stun.len() < MOST_STUN && !self.stun.contains(&address) {
                    self.stun.push(address);
                }
            }
            IceService::Turn(protocol) => {
                let (username, password) = wanted.credentials.clone();
                let server = TurnServer { address, protocol, username, password };
                let is_known = self
                    .turn
                    .iter()
                    .any(|known| (known.server.address, known.server.protocol) == (address, protocol));
                if self.turn.len() < MOST_TURN && !is_known {
                    self.turn.push(TurnTarget { server, host: wanted.url.host.clone() });
                }
            }
        }
    }
}

/// Those of one call, after the application's own.
pub(super) async fn of_call(shared: &Shared, named: Vec<IceServer>) -> IceServers {
    let own = shared.settings.ice_servers.iter().cloned();
    let mut servers = resolve(own.chain(named).collect()).await;
    servers.stun.splice(0..0, shared.settings.stun.iter().copied());
    servers
}

struct Wanted {
    url: IceUrl,
    credentials: (String, String),
}

/// Looks up the servers of all URLs at once, in bounded time; those that cannot be used or found are left out.
pub(super) async fn resolve(servers: Vec<IceServer>) -> IceServers {
    let wanted: Vec<Wanted> = servers.iter().flat_map(wanted).take(MOST_URLS).collect();
    let mut lookups = JoinSet::new();
    for (place, Wanted { url, .. }) in wanted.iter().enumerate() {
        let name = (url.host.clone(), url.port);
        lookups.spawn(async move { (place, addresses(name).await) });
    }
    let mut found = lookups.join_all().await;
    // The first named comes first.
    found.sort_by_key(|(place, _)| *place);
    let mut servers = IceServers::default();
    for (place, addresses) in found {
        addresses.into_iter().for_each(|address| servers.add(&wanted[place], address));
    }
    servers
}

fn wanted(server: &IceServer) -> impl Iterator<Item = Wanted> + '_ {
    let credentials =
        (server.username.clone().unwrap_or_default(), server.credential.clone().unwrap_or_default());
    server.urls.iter().filter_map(move |url| match IceUrl::parse(url) {
        Ok(url) => Some(Wanted { url, credentials: credentials.clone() }),
        Err(error) => {
            tracing::debug!(%error, "a server for candidates is left out");
            None
        }
    })
}

async fn addresses((host, port): (String, u16)) -> Vec<SocketAddr> {
    match timeout(LOOKUP, lookup_host((host.as_str(), port))).await {
        Ok(Ok(all)) => one_of_each_family(all),
        Ok(Err(error)) => {
            tracing::info!(host, %error, "a server for candidates is not found");
            Vec::new()
        }
        Err(_) => {
            tracing::info!(host, "the name of a server for candidates takes too long to look up");
            Vec::new()
        }
    }
}

fn one_of_each_family(all: impl Iterator<Item = SocketAddr>) -> Vec<SocketAddr> {
    let mut found: Vec<SocketAddr> = Vec::with_capacity(MOST_ADDRESSES);
    for address in all {
        if found.iter().all(|known| known.is_ipv4() != address.is_ipv4()) {
            found.push(address);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(urls: &[&str], username: Option<&str>) -> IceServer {
        IceServer {
            urls: urls.iter().copied().map(str::to_owned).collect(),
            username: username.map(str::to_owned),
            credential: username.map(|_| "secret".to_owned()),
        }
    }

    #[tokio::test]
    async fn addresses_need_no_lookup_and_keep_their_order() {
        let given = server(&["stun:127.0.0.1:5", "turn:127.0.0.1:6", "http://x", "stun:[::1]:7"], Some("u"));
        let more = server(&["turn:127.0.0.1:6?transport=tcp", "stun:127.0.0.1:5"], Some("v"));
        let found = resolve(vec![given, more]).await;
        assert_eq!(found.stun, ["127.0.0.1:5".parse().unwrap(), "[::1]:7".parse().unwrap()]);
        let turn: Vec<_> = found
            .turn
            .iter()
            .map(|target| (target.server.username.as_str(), target.server.protocol))
            .collect();
        assert_eq!(turn, [("u", RelayProtocol::Udp), ("v", RelayProtocol::Tcp)]);
        assert_eq!(found.connections().count(), 1);
        assert!(!format!("{found:?}").contains("secret"));
    }

    #[test]
    fn a_name_gives_one_address_of_each_family() {
        let all = ["192.0.2.1:1", "192.0.2.2:1", "[2001:db8::1]:1"].map(|text| text.parse().unwrap());
        assert_eq!(one_of_each_family(all.into_iter()), [all[0], all[2]]);
    }
}
