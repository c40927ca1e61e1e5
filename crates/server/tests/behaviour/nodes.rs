//! Servers of one cluster and the NATS servers between them, for the tests of clusters.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use offhook_server::{
    ClusterConfig, LocalBus, MemoryStore, NodeName, RunningServer, Server, ServerConfig, Store,
};
use offhook_signaling::message::{Credential, LiveCall};
use tempfile::TempDir;
use tokio::time::sleep;

use crate::support::{Phone, config, hello};

/// A NATS server that has not started by now does not work.
const STARTING: Duration = Duration::from_secs(20);

/// `nats-server`, where it is installed; a test that needs it is left out elsewhere, unless `OFFHOOK_REQUIRE_NATS` says otherwise.
#[expect(clippy::print_stdout, reason = "a test that is left out says so")]
pub(crate) fn nats_program() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let own = root.join(".tools/venv/bin/nats-server");
    let named = std::env::var_os("OFFHOOK_NATS_SERVER").map(PathBuf::from);
    let found = named.into_iter().chain([own]).find(|path| path.exists());
    let is_required = std::env::var_os("OFFHOOK_REQUIRE_NATS").is_some_and(|value| value != "0");
    assert!(found.is_some() || !is_required, "nats-server is missing: scripts/setup.sh test installs it");
    if found.is_none() {
        println!("NOT RUN: nats-server is missing (scripts/setup.sh test installs it)");
    }
    found
}

/// NATS servers of one cluster, or one alone, on free ports of loopback.
pub(crate) struct Nats {
    servers: Vec<NatsServer>,
}

struct NatsServer {
    child: Option<Child>,
    program: PathBuf,
    arguments: Vec<String>,
    port: u16,
    _folder: TempDir,
}

impl Nats {
    /// `None` where there is no program.
    pub(crate) async fn start(count: usize) -> Option<Self> {
        Self::start_with(count, true).await
    }

    /// One that keeps nothing.
    pub(crate) async fn without_jetstream() -> Option<Self> {
        Self::start_with(1, false).await
    }

    async fn start_with(count: usize, jetstream: bool) -> Option<Self> {
        let program = nats_program()?;
        let ports: Vec<(u16, u16)> = (0..count).map(|_| (free_port(), free_port())).collect();
        let routes: Vec<String> =
            ports.iter().map(|(_, route)| format!("nats://127.0.0.1:{route}")).collect();
        let mut servers = Vec::new();
        for (index, (port, route)) in ports.iter().enumerate() {
            let folder = tempfile::tempdir().unwrap();
            let mut arguments =
                vec!["-a".to_owned(), "127.0.0.1".to_owned(), "-p".to_owned(), port.to_string()];
            let store = folder.path().display().to_string();
            if jetstream {
                arguments.extend(["-js".to_owned(), "-sd".to_owned(), store]);
            }
            if count > 1 {
                let cluster = format!("nats://127.0.0.1:{route}");
                let name = format!("n{index}");
                let more = [
                    "-n",
                    &name,
                    "--cluster_name",
                    "test",
                    "--cluster",
                    &cluster,
                    "--routes",
                    &routes.join(","),
                ];
                arguments.extend(more.map(str::to_owned));
            }
            let mut server =
                NatsServer { child: None, program: program.clone(), arguments, port: *port, _folder: folder };
            server.start();
            servers.push(server);
        }
        for server in &servers {
            server.wait().await;
        }
        Some(Self { servers })
    }

    pub(crate) fn urls(&self) -> Vec<String> {
        self.servers.iter().map(|server| format!("nats://127.0.0.1:{}", server.port)).collect()
    }

    /// SIGKILL, to these children alone.
    pub(crate) fn kill(&mut self) {
        self.servers.iter_mut().for_each(NatsServer::kill);
    }

    /// SIGKILL, to one of these children.
    pub(crate) fn kill_one(&mut self, index: usize) {
        self.servers[index].kill();
    }

    pub(crate) async fn start_again(&mut self) {
        self.servers.iter_mut().for_each(NatsServer::start);
        for server in &self.servers {
            server.wait().await;
        }
    }
}

impl NatsServer {
    fn start(&mut self) {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        self.child = Some(command.spawn().unwrap());
    }

    async fn wait(&self) {
        let since = Instant::now();
        while tokio::net::TcpStream::connect(("127.0.0.1", self.port)).await.is_err() {
            assert!(since.elapsed() < STARTING, "nats-server does not start");
            sleep(Duration::from_millis(20)).await;
        }
    }

    fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
}

impl Drop for NatsServer {
    fn drop(&mut self) {
        self.kill();
    }
}

fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}

/// What carries messages between the nodes of a test.
pub(crate) enum Carrier {
    Local(LocalBus),
    Nats(Box<Nats>),
}

/// Nodes with one store.
pub(crate) struct Nodes {
    pub(crate) carrier: Carrier,
    store: Arc<dyn Store>,
}

impl Nodes {
    pub(crate) fn local() -> Self {
        Self { carrier: Carrier::Local(LocalBus::default()), store: Arc::new(MemoryStore::default()) }
    }

    /// `None` where there is no nats-server.
    pub(crate) async fn nats(servers: usize) -> Option<Self> {
        let nats = Nats::start(servers).await?;
        Some(Self { carrier: Carrier::Nats(Box::new(nats)), store: Arc::new(MemoryStore::default()) })
    }

    pub(crate) fn nats_servers(&mut self) -> &mut Nats {
        match &mut self.carrier {
            Carrier::Nats(nats) => nats,
            Carrier::Local(_) => panic!("no NATS here"),
        }
    }

    pub(crate) fn cluster(&self, name: &str) -> ClusterConfig {
        let name: NodeName = name.parse().unwrap();
        match &self.carrier {
            Carrier::Local(bus) => ClusterConfig::local(name, bus.clone()),
            Carrier::Nats(nats) => ClusterConfig::nats(name, nats.urls()),
        }
    }

    pub(crate) async fn node(&self, name: &str) -> RunningServer {
        self.node_with(name, config()).await
    }

    pub(crate) async fn node_with(&self, name: &str, config: ServerConfig) -> RunningServer {
        let config = config.cluster(Some(self.cluster(name)));
        Server::bind_with_store(config, self.store.clone()).await.unwrap()
    }

    /// The records of a call.
    pub(crate) async fn records_of(&self, call: &str) -> Vec<offhook_server::CallDetailRecord> {
        let application = offhook_signaling::ApplicationKey::new(crate::support::KEY).unwrap();
        let query = offhook_server::RecordQuery {
            application,
            from: None,
            to: None,
            user: None,
            after: None,
            limit: 100,
        };
        let page = self.store.records(&query).await.unwrap();
        page.records.into_iter().filter(|record| record.call_id.as_str() == call).collect()
    }
}

/// A device comes back, here, with the calls it remembers.
pub(crate) async fn back(
    server: &RunningServer,
    (user, device): (&str, &str),
    old: &Phone,
    calls: Vec<LiveCall>,
) -> Phone {
    let mut hello = hello(user, device, Credential::Device(old.credential()));
    hello.resume = Some(old.resume());
    hello.calls = calls;
    let mut phone = Phone::connect(server).await;
    phone.remember(old);
    phone.greet(hello).await;
    let session = |phone: &Phone| phone.welcome.as_ref().unwrap().session.clone();
    if session(&phone) != session(old) {
        // Another one counts from 1.
        phone.last_seq = 0;
    }
    phone
}

/// A test over both buses: with nodes of this process alone, and with NATS.
macro_rules! over_both {
    ($($(#[$doc:meta])* async fn $name:ident($nodes:ident) $body:block)*) => {
        $(
            mod $name {
                use super::*;

                async fn run($nodes: crate::nodes::Nodes) $body

                $(#[$doc])*
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn in_one_process() {
                    run(crate::nodes::Nodes::local()).await;
                }

                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn over_nats() {
                    if let Some(nodes) = crate::nodes::Nodes::nats(1).await {
                        run(nodes).await;
                    }
                }
            }
        )*
    };
}
pub(crate) use over_both;
