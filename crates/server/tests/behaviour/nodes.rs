//! Servers of one cluster and the NATS servers between them, for the tests of clusters.

use std::net::{Ipv4Addr, TcpListener};
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

/// Where a process runs: here, or in a network namespace that has an address of its own.
#[derive(Debug, Clone)]
pub(crate) struct Host {
    pub(crate) namespace: Option<String>,
    pub(crate) address: Ipv4Addr,
}

impl Host {
    pub(crate) const fn here() -> Self {
        Self { namespace: None, address: Ipv4Addr::LOCALHOST }
    }

    /// A command that runs there.
    pub(crate) fn command(&self, program: &Path) -> Command {
        match &self.namespace {
            None => Command::new(program),
            Some(namespace) => {
                let mut command = Command::new("ip");
                // It becomes the program: the process is the same.
                command.args(["netns", "exec", namespace]).arg(program);
                command
            }
        }
    }

    /// Two ports that nobody uses there.
    fn free_ports(&self) -> (u16, u16) {
        // Nobody else is in a namespace of its own.
        if self.namespace.is_some() { (4222, 6222) } else { (free_port(), free_port()) }
    }
}

/// NATS servers of one cluster, or one alone, on free ports.
pub(crate) struct Nats {
    servers: Vec<NatsServer>,
}

struct NatsServer {
    child: Option<Child>,
    program: PathBuf,
    arguments: Vec<String>,
    host: Host,
    port: u16,
    _folder: TempDir,
}

impl Nats {
    /// `None` where there is no program.
    pub(crate) async fn start(count: usize) -> Option<Self> {
        Self::start_with(&vec![Host::here(); count], true).await
    }

    /// One on each of these.
    pub(crate) async fn start_at(hosts: &[Host]) -> Option<Self> {
        Self::start_with(hosts, true).await
    }

    /// One that keeps nothing.
    pub(crate) async fn without_jetstream() -> Option<Self> {
        Self::start_with(&[Host::here()], false).await
    }

    async fn start_with(hosts: &[Host], jetstream: bool) -> Option<Self> {
        let program = nats_program()?;
        let ports: Vec<(u16, u16)> = hosts.iter().map(Host::free_ports).collect();
        let routes =
            hosts.iter().zip(&ports).map(|(host, (_, route))| format!("nats://{}:{route}", host.address));
        let routes: Vec<String> = routes.collect();
        let mut servers = Vec::new();
        for (index, (host, (port, _))) in hosts.iter().zip(&ports).enumerate() {
            let folder = tempfile::tempdir().unwrap();
            let mut arguments =
                vec!["-a".to_owned(), host.address.to_string(), "-p".to_owned(), port.to_string()];
            let store = folder.path().display().to_string();
            if jetstream {
                arguments.extend(["-js".to_owned(), "-sd".to_owned(), store]);
            }
            if hosts.len() > 1 {
                let name = format!("n{index}");
                let cluster =
                    ["-n", &name, "--cluster_name", "test", "--cluster", &routes[index], "--routes"];
                arguments.extend(cluster.map(str::to_owned));
                arguments.push(routes.join(","));
            }
            // As docs/OPERATING.md has it: a network that fails without a word is noticed in seconds.
            let settings = folder.path().join("nats.conf");
            std::fs::write(&settings, "ping_interval: \"2s\"\nping_max: 2\n").unwrap();
            arguments.extend(["-c".to_owned(), settings.display().to_string()]);
            let (program, host) = (program.clone(), host.clone());
            let mut server =
                NatsServer { child: None, program, arguments, host, port: *port, _folder: folder };
            server.start();
            servers.push(server);
        }
        for server in &servers {
            server.wait().await;
        }
        Some(Self { servers })
    }

    pub(crate) fn urls(&self) -> Vec<String> {
        self.servers.iter().map(|server| format!("nats://{}:{}", server.host.address, server.port)).collect()
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
        self.servers.iter_mut().filter(|server| server.child.is_none()).for_each(NatsServer::start);
        for server in &self.servers {
            server.wait().await;
        }
    }
}

impl NatsServer {
    fn start(&mut self) {
        let mut command = self.host.command(&self.program);
        command.args(&self.arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        self.child = Some(command.spawn().unwrap());
    }

    async fn wait(&self) {
        let since = Instant::now();
        while !self.is_there().await {
            assert!(since.elapsed() < STARTING, "nats-server does not start");
            sleep(Duration::from_millis(20)).await;
        }
    }

    async fn is_there(&self) -> bool {
        let Self { host, port, .. } = self;
        if host.namespace.is_none() {
            return tokio::net::TcpStream::connect((host.address, *port)).await.is_ok();
        }
        let mut look = host.command(Path::new("bash"));
        look.arg("-c").arg(format!("</dev/tcp/{}/{port}", host.address)).stderr(Stdio::null());
        look.status().is_ok_and(|status| status.success())
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

    pub(crate) fn local_bus(&self) -> &LocalBus {
        match &self.carrier {
            Carrier::Local(bus) => bus,
            Carrier::Nats(_) => panic!("NATS carries the messages here"),
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

/// A call between two phones that have heard nothing yet, until both know that it is answered.
pub(crate) async fn talk(caller: &mut Phone, callee: &mut Phone, (from, to): (&str, &str), call: &str) {
    caller.call(call, to).await;
    caller.expect("progressing").await;
    callee.expect(&format!("incoming from {from}")).await;
    callee.answer(call).await;
    callee.expect("answered").await;
    caller.expect("answered").await;
}

/// alice at one node calls bob at another, whose device has not said yet that it rings.
pub(crate) async fn reaching(a: &RunningServer, b: &RunningServer, call: &str) -> (Phone, Phone) {
    let mut alice = Phone::register(a, "alice", "a1").await;
    let mut bob = Phone::register(b, "bob", "b1").await;
    alice.call(call, "bob").await;
    alice.expect("progressing").await;
    bob.expect("incoming from alice").await;
    (alice, bob)
}

/// As [`reaching`], and it rings.
pub(crate) async fn ringing(a: &RunningServer, b: &RunningServer, call: &str) -> (Phone, Phone) {
    let (mut alice, mut bob) = reaching(a, b, call).await;
    bob.ring(call).await;
    alice.expect("ringing").await;
    (alice, bob)
}

/// As [`reaching`], and it is answered.
pub(crate) async fn across(a: &RunningServer, b: &RunningServer, call: &str) -> (Phone, Phone) {
    let (mut alice, mut bob) = reaching(a, b, call).await;
    bob.answer(call).await;
    bob.expect("answered").await;
    alice.expect("answered").await;
    (alice, bob)
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
