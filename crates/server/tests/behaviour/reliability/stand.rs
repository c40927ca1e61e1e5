//! Three nodes and three NATS servers as processes, and what is done to them.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::time::sleep;

use super::machines::Machines;
use crate::database::Database;
use crate::nodes::{Host, Nats};
use crate::support::{KEY, SECRET};

pub(super) const NODES: u8 = 3;
/// What the nodes seal secrets with.
const STORE_KEY: &str = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";
/// How long the network is parted, or NATS is away.
const OUTAGE: Duration = Duration::from_secs(20);

/// What is done to the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    KillNode,
    KillLeader,
    RollingRestart,
    LoseNats,
    Partition,
}

struct Node {
    child: Option<Child>,
    url: String,
    listen: String,
    host: Host,
}

/// One cluster in processes.
pub(super) struct Stand {
    program: PathBuf,
    folder: tempfile::TempDir,
    pub(super) database: Database,
    nats: Nats,
    nodes: Vec<Node>,
    machines: Option<Machines>,
}

impl Stand {
    /// On loopback, or on machines of their own.
    pub(super) async fn start(program: &Path, machines: Option<Machines>) -> Self {
        let here = vec![Host::here(); usize::from(NODES)];
        let hosts = machines.as_ref().map_or(here, Machines::hosts);
        let nats = Nats::start_at(&hosts).await.expect("nats-server is installed");
        let database = Database::start(&["max_connections=100"]).await.expect("PostgreSQL is installed");
        let folder = tempfile::tempdir().unwrap();
        let limits = "[limits]\nconnections_per_address = 100000\nattempts_per_address = { interval_seconds = 0.0001, burst = 100000 }\n";
        std::fs::write(folder.path().join("offhook.toml"), limits).unwrap();
        let mut stand =
            Self { program: program.to_owned(), folder, database, nats, nodes: Vec::new(), machines };
        for (index, host) in (0..NODES).zip(hosts) {
            let outer = stand.machines.as_ref().map(|machines| machines.outer(index));
            let listen = format!("{}:0", outer.unwrap_or(Ipv4Addr::LOCALHOST));
            let node = stand.start_node(usize::from(index), &listen, host).await;
            stand.nodes.push(node);
        }
        stand
    }

    /// The NATS server that a node begins with; of the others it hears from that one. Among machines the first two nodes begin with that of the
    /// first: when it is cut off, a node on the other side loses its server.
    fn nats_of(&self, index: usize) -> String {
        let is_far = self.machines.is_some() && index == 1;
        self.nats.urls().swap_remove(if is_far { 0 } else { index })
    }

    async fn start_node(&self, index: usize, listen: &str, host: Host) -> Node {
        let mut child = Command::from(host.command(&self.program))
            .args(["serve", "--json", "--log", "error", "--turn", "off", "--listen", listen])
            .args(["--node-name", &format!("n{index}"), "--cluster", &self.nats_of(index)])
            .args(["--application", &format!("{KEY}:{SECRET}")])
            .arg("--data")
            .arg(self.folder.path().join(format!("data{index}")))
            .env("OFFHOOK_STORE", self.database.address("offhook"))
            .env("OFFHOOK_STORE_KEY", STORE_KEY)
            .arg("--config")
            .arg(self.folder.path().join("offhook.toml"))
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = lines.next_line().await.unwrap().expect("the node says where it listens");
        let said: Value = serde_json::from_str(&line).unwrap();
        let url = format!("{}{}", said["url"].as_str().unwrap(), offhook_signaling::PATH);
        let listen = said["listen"].as_str().unwrap().to_owned();
        Node { child: Some(child), url, listen, host }
    }

    pub(super) fn urls(&self) -> Vec<String> {
        self.nodes.iter().map(|node| node.url.clone()).collect()
    }

    /// Does it; what has an end has ended when this returns.
    pub(super) async fn inflict(&mut self, fault: Fault) {
        match fault {
            Fault::KillNode => {
                let mut child = self.nodes[0].child.take().unwrap();
                child.kill().await.unwrap();
            }
            Fault::KillLeader => {
                let leader = leader(&self.nats.urls()).await;
                self.nats.kill_one(leader);
            }
            Fault::RollingRestart => {
                for index in 0..self.nodes.len() {
                    let mut child = self.nodes[index].child.take().unwrap();
                    let pid = child.id().unwrap().to_string();
                    assert!(Command::new("kill").args(["-TERM", &pid]).status().await.unwrap().success());
                    child.wait().await.unwrap();
                    let Node { listen, host, .. } = &self.nodes[index];
                    self.nodes[index] = self.start_node(index, listen, host.clone()).await;
                }
            }
            Fault::LoseNats => {
                self.nats.kill();
                sleep(OUTAGE).await;
                self.nats.start_again().await;
            }
            Fault::Partition => {
                let machines = self.machines.as_ref().expect("a stand on machines of their own");
                machines.cut(0);
                sleep(OUTAGE).await;
                machines.heal(0);
            }
        }
    }
}

/// The number of the NATS server that leads the bucket of calls.
async fn leader(urls: &[String]) -> usize {
    let client = async_nats::connect(urls.to_vec()).await.unwrap();
    let jetstream = async_nats::jetstream::new(client);
    let stream = jetstream.get_stream("KV_offhook_calls").await.unwrap();
    let info = stream.get_info().await.unwrap();
    let name = info.cluster.and_then(|cluster| cluster.leader).expect("it has a leader");
    name.trim_start_matches('n').parse().unwrap()
}
