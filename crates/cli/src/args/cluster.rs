//! Options of a server that is a node of a cluster.

use std::path::PathBuf;

use clap::Args;
use offhook_server::{ClusterConfig, NodeName};

#[derive(Debug, Args)]
pub(crate) struct ClusterArguments {
    /// Serve as one with the other servers at these NATS servers (2.12 or later, with JetStream).
    #[arg(
        long,
        env = "OFFHOOK_CLUSTER",
        hide_env_values = true,
        value_name = "nats://HOST:PORT,…",
        value_delimiter = ',',
        requires = "node_name"
    )]
    pub(crate) cluster: Vec<String>,
    /// What this node is called: 1 to 32 of a-z, 0-9 and -; no two nodes the same. In place of the configuration file's name.
    #[arg(long, env = "OFFHOOK_NODE_NAME", value_name = "NAME")]
    pub(crate) node_name: Option<NodeName>,
    /// File with the credentials that NATS wants (.creds).
    #[arg(long, value_name = "FILE", requires = "cluster")]
    pub(crate) cluster_credentials: Option<PathBuf>,
}

impl ClusterArguments {
    /// `None` where the server is alone, or the configuration file says with whom it is.
    pub(crate) fn config(&self) -> Option<ClusterConfig> {
        let name = self.node_name.clone().filter(|_| !self.cluster.is_empty())?;
        let config = ClusterConfig::nats(name, self.cluster.clone());
        Some(config.credentials(self.cluster_credentials.clone()))
    }
}
