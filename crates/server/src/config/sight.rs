//! Who may look at a server, and where; and with whom it serves.

use std::net::SocketAddr;

use super::ServerConfig;
use crate::admin::AdminCredentials;
use crate::cluster::{ClusterConfig, NodeName};

impl ServerConfig {
    /// Who operates the server: with these credentials metrics and the operator's page are served where clients connect. Without them
    /// they are served there only by a development server on loopback, to anyone.
    #[must_use]
    pub fn admin(mut self, admin: Option<AdminCredentials>) -> Self {
        self.admin = admin;
        self
    }

    /// Serves metrics on an address of their own, to whoever reaches it, without TLS.
    #[must_use]
    pub const fn metrics_listen(mut self, address: Option<SocketAddr>) -> Self {
        self.metrics_listen = address;
        self
    }

    /// How the metrics learn the bytes that this program has allocated and not freed: its allocator knows. Asked at each scrape.
    #[must_use]
    pub const fn allocated_bytes(mut self, ask: fn() -> Option<u64>) -> Self {
        self.allocated = Some(ask);
        self
    }

    /// Sends traces of calls to an OpenTelemetry collector, over OTLP in HTTP: `http://HOST:4318`, to which `/v1/traces` is added.
    #[must_use]
    pub fn otlp_endpoint(mut self, url: Option<String>) -> Self {
        self.otlp_endpoint = url;
        self
    }

    /// Serves as one with other servers. All of them need the same store.
    #[must_use]
    pub fn cluster(mut self, cluster: Option<ClusterConfig>) -> Self {
        self.cluster = cluster;
        self
    }

    /// Names this node of the cluster, for nodes that share a configuration. `None` for a server that is alone.
    #[must_use]
    pub fn node_name(mut self, name: NodeName) -> Option<Self> {
        self.cluster.as_mut()?.name = name;
        Some(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_node_of_a_cluster_is_named() {
        let name: NodeName = "b".parse().unwrap();
        let shared = ServerConfig::from_toml("[cluster]\nnats = ['nats://x']\nnode = 'a'").unwrap();
        assert_eq!(shared.node_name(name.clone()).and_then(|own| own.cluster).unwrap().name(), &name);
        assert!(ServerConfig::default().node_name(name).is_none());
    }
}
