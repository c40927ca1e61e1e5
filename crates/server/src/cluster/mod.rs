//! Several servers that serve as one: how they hear each other, who lives, and what a dead one leaves behind.
//!
//! A node listens on a subject of each user who has a device with it, so that interest is presence. A call belongs to the node its
//! caller was on: that one decides alone who answered. Devices on other nodes take part through messages. Snapshots of calls go to the
//! cluster's memory in the background; when an owner dies, a node with a device of the call takes it over by compare-and-set, under
//! the next epoch. No consensus, gossip or replication is made here: NATS and JetStream have all three.

mod asking;
pub(crate) mod bus;
pub(crate) mod journal;
pub(crate) mod lease;
pub(crate) mod listing;
mod local;
pub(crate) mod message;
mod nats;
pub(crate) mod node;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use offhook_signaling::ApplicationKey;
use offhook_signaling::message::WireError;
use tokio::sync::mpsc::error::SendError;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{interval, sleep, timeout};

pub(crate) use self::asking::{Answer, Gathered};
use self::asking::{GATHERING, PATIENCE};
use self::bus::{Bucket, Bus, Delivery};
use self::journal::{CallKey, Entry};
use self::lease::Leases;
pub use self::local::LocalBus;
use self::message::{Body, Message};
pub use self::nats::ClusterError;
use self::nats::{NatsAddress, NatsBus};
use self::node::{NodeId, Subject};
pub use self::node::{NodeName, NodeNameError};
use crate::admin::Glance;
use crate::environment::{self, OsEntropy};
use crate::hub::Command;
use crate::server::Shared;

/// Deliveries that wait to be handled.
const MOST_DELIVERIES: usize = 8192;
/// After it was back, until what other nodes have is looked at.
const SETTLING: Duration = Duration::from_secs(1);
/// How a server takes part in a cluster.
#[derive(Debug, Clone)]
pub struct ClusterConfig {
    pub(crate) name: NodeName,
    pub(crate) bus: BusChoice,
}

/// What carries the messages.
#[derive(Debug, Clone)]
pub(crate) enum BusChoice {
    Local(LocalBus),
    Nats(NatsAddress),
}

impl ClusterConfig {
    /// Through NATS servers, any of which will do: `nats://HOST:PORT`, or `tls://`.
    #[must_use]
    pub const fn nats(name: NodeName, urls: Vec<String>) -> Self {
        Self { name, bus: BusChoice::Nats(NatsAddress { urls, credentials: None }) }
    }

    /// With the servers of this process that have the same bus.
    #[must_use]
    pub const fn local(name: NodeName, bus: LocalBus) -> Self {
        Self { name, bus: BusChoice::Local(bus) }
    }

    /// The file with the credentials that NATS wants (`.creds`).
    #[must_use]
    pub fn credentials(mut self, file: Option<PathBuf>) -> Self {
        if let BusChoice::Nats(address) = &mut self.bus {
            address.credentials = file;
        }
        self
    }

    /// The node's name.
    #[must_use]
    pub const fn name(&self) -> &NodeName {
        &self.name
    }
}

/// This server's place in the cluster.
#[derive(Debug)]
pub(crate) struct Cluster {
    node: NodeId,
    bus: Arc<dyn Bus>,
    asks: Mutex<HashMap<u64, oneshot::Sender<Answer>>>,
    last_ask: AtomicU64,
    leases: Mutex<Leases>,
    journal: mpsc::UnboundedSender<(CallKey, Entry)>,
    /// It renews its lease no more.
    leaves: AtomicBool,
}

/// The application of what nodes say for themselves: no server has it.
pub(crate) fn nobody() -> &'static ApplicationKey {
    static NOBODY: LazyLock<ApplicationKey> = LazyLock::new(|| {
        ApplicationKey::new("00000000-0000-0000-0000-000000000000").expect("it has the form of a key")
    });
    &NOBODY
}

/// What the tasks of a cluster work on; taken once.
#[derive(Debug)]
pub(crate) struct Intake {
    pub(crate) deliveries: mpsc::Receiver<Delivery>,
    overtaken: mpsc::UnboundedReceiver<CallKey>,
}

impl Cluster {
    /// Joins.
    ///
    /// # Errors
    /// [`ClusterError`].
    pub(crate) async fn join(config: &ClusterConfig) -> Result<(Arc<Self>, Intake), ClusterError> {
        let node = NodeId::new(&config.name, &mut OsEntropy);
        let (sender, deliveries) = mpsc::channel(MOST_DELIVERIES);
        let bus: Arc<dyn Bus> = match &config.bus {
            BusChoice::Local(bus) => Arc::new(bus.attach(sender)),
            BusChoice::Nats(address) => Arc::new(NatsBus::connect(address, node.clone(), sender).await?),
        };
        bus.subscribe(Subject::node(&node));
        bus.subscribe(Subject::every_node());
        // Never longer than there are live calls.
        let (journal, entries) = mpsc::unbounded_channel();
        let (overtake, overtaken) = mpsc::unbounded_channel();
        tokio::spawn(journal::run(bus.clone(), entries, overtake));
        let leases = Mutex::new(Leases::new(node.clone()));
        let (asks, last_ask, leaves) = (Mutex::default(), AtomicU64::new(0), AtomicBool::new(false));
        let cluster = Self { node, bus, asks, last_ask, leases, journal, leaves };
        Ok((Arc::new(cluster), Intake { deliveries, overtaken }))
    }

    /// This run of this node.
    pub(crate) const fn node(&self) -> &NodeId {
        &self.node
    }

    pub(crate) fn bus(&self) -> &dyn Bus {
        &*self.bus
    }

    /// Whether other nodes can be reached, as far as is known.
    pub(crate) fn is_up(&self) -> bool {
        self.bus.is_up()
    }

    /// Whether a node is known to be dead.
    pub(crate) fn is_dead(&self, node: &NodeId) -> bool {
        self.leases().is_dead(node)
    }

    fn leases(&self) -> MutexGuard<'_, Leases> {
        self.leases.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn asks(&self) -> MutexGuard<'_, HashMap<u64, oneshot::Sender<Answer>>> {
        self.asks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says something; who hears it is not known.
    pub(crate) fn say(&self, to: &Subject, application: &ApplicationKey, body: Body) {
        self.send(to, Message::new(self.node.clone(), application.clone(), body));
    }

    /// Says something to one node.
    pub(crate) fn tell(&self, to: &NodeId, application: &ApplicationKey, body: Body) {
        self.say(&Subject::node(to), application, body);
    }

    /// Says something that has to do with no application.
    fn say_for_itself(&self, to: &Subject, body: Body) {
        self.say(to, nobody(), body);
    }

    /// Answers a question.
    pub(crate) fn answer(&self, to: &NodeId, ask: Option<u64>, application: &ApplicationKey, body: Body) {
        let message = Message::new(self.node.clone(), application.clone(), body);
        self.send(&Subject::node(to), message.answering(ask));
    }

    pub(crate) fn send(&self, to: &Subject, message: Message) {
        if !self.bus.publish(to, message.ask, message.bytes()) {
            tracing::warn!("too much to say to other nodes: a message is not sent");
        }
    }

    /// Answers a question for a hub that does not take it any more: whoever asks need not wait for what is not here.
    pub(crate) fn turn_away(&self, message: &Message) {
        let body = match message.body {
            Body::List { .. }
            | Body::Control { .. }
            | Body::Attach { .. }
            | Body::Claim { only_if_here: false, .. } => Body::Nothing,
            Body::Command { .. } => Body::Outcome { error: Some(WireError::UnknownCall) },
            _ => return,
        };
        self.answer(&message.from, message.ask, &message.application, body);
    }

    /// Is heard no more; what was said is on its way.
    pub(crate) async fn leave(&self) {
        self.leaves.store(true, Ordering::Relaxed);
        self.say_for_itself(&Subject::every_node(), Body::Left);
        // Whoever asks it something from now on hears at once that nobody is there.
        self.bus.unsubscribe(&Subject::node(&self.node));
        // A bus that does not answer is left behind.
        let _ = timeout(PATIENCE, self.bus.flush()).await;
        let key = self.node.as_str().to_owned();
        let forget = async {
            if let Ok(Some(lease)) = self.bus.get(Bucket::Nodes, key.clone()).await {
                let _ = self.bus.take(Bucket::Nodes, key, lease.revision).await;
            }
        };
        // Whoever comes now need not know of it; where it cannot be taken away it ends by itself.
        let _ = timeout(GATHERING, forget).await;
    }

    /// Writes down how a call is, in the background.
    pub(crate) fn note(&self, call: CallKey, entry: Entry) {
        // The task ends with the server.
        let _ = self.journal.send((call, entry));
    }
}

/// Brings what the bus has to the hubs, and keeps the lease, until the server stops.
pub(crate) async fn run(shared: Arc<Shared>, cluster: Arc<Cluster>, mut intake: Intake) {
    let mut stop = shared.stop();
    let mut ticks = interval(Duration::from_millis(500));
    let renewing = tokio::spawn(renew(shared.clone(), cluster.clone()));
    let speaking = tokio::spawn(speak(cluster.clone()));
    loop {
        tokio::select! {
            delivery = intake.deliveries.recv() => match delivery {
                Some(delivery) => handle(&shared, &cluster, delivery).await,
                None => break,
            },
            Some((application, call_id)) = intake.overtaken.recv() => {
                let _ = shared.hub(&application).send(Command::Overtaken(call_id)).await;
            }
            _ = ticks.tick() => {
                let gone = cluster.leases().handle_timeout(environment::now());
                for node in gone {
                    tracing::warn!(%node, "a node is gone");
                    for hub in shared.all_hubs() {
                        // A hub that is gone has nothing of it.
                        let _ = hub.send(Command::NodeGone(node.clone())).await;
                    }
                }
            }
            () = stop.now() => break,
        }
    }
    renewing.abort();
    speaking.abort();
}

async fn handle(shared: &Arc<Shared>, cluster: &Arc<Cluster>, delivery: Delivery) {
    let message = match delivery {
        Delivery::Message(bytes) => match Message::parse(&bytes) {
            Ok(message) => message,
            Err(error) => return tracing::warn!(%error, "a message of another node was not read"),
        },
        Delivery::Unheard(ask) => return cluster.answered(ask, Answer::Unheard),
        Delivery::Lease(node) => {
            if let Ok(node) = node.parse() {
                note_alive(shared, cluster, node);
            }
            return;
        }
        Delivery::Down => return tracing::error!("other nodes cannot be reached"),
        Delivery::Up => {
            tracing::info!("other nodes can be reached again");
            return compare(shared, None);
        }
    };
    if message.from != cluster.node {
        // Whoever speaks lives.
        note_alive(shared, cluster, message.from.clone());
    }
    if let Some(ask) = message.answers {
        return cluster.answered(ask, Answer::Body(message.body));
    }
    // What an own message says to others has been done here already.
    if message.from == cluster.node {
        return;
    }
    match message.body {
        Body::Left => return cluster.leases().handle_left(message.from),
        Body::Glance => {
            let (shared, cluster) = (shared.clone(), cluster.clone());
            tokio::spawn(async move {
                let seen = Body::Seen(Box::new(Glance::of(&shared).await));
                cluster.answer(&message.from, message.ask, &message.application, seen);
            });
            return;
        }
        _ => {}
    }
    let is_known = shared.applications.contains(&message.application);
    let hub = match shared.stop().is_draining() {
        _ if !is_known => None,
        false => Some(shared.hub(&message.application)),
        true => shared.running_hub(&message.application),
    };
    let Some(hub) = hub else { return cluster.turn_away(&message) };
    if let Err(SendError(Command::Peer(message))) = hub.send(Command::Peer(Box::new(message))).await {
        cluster.turn_away(&message);
    }
}

/// Nodes that were parted may have taken over each other's calls, and each may have taken the other's devices for gone.
fn note_alive(shared: &Arc<Shared>, cluster: &Cluster, node: NodeId) {
    let (is_new, was_parted) = {
        let mut leases = cluster.leases();
        (leases.is_new(&node), leases.handle_lease(environment::now(), node.clone()))
    };
    if is_new {
        // It asks all it knows of when somebody asks it: the sooner it knows of this one the better.
        cluster.say_for_itself(&Subject::node(&node), Body::Here);
    }
    if was_parted {
        tracing::warn!(%node, "a node is back");
        let other = (node != cluster.node).then_some(node);
        compare(shared, other);
    }
}

/// Has every call looked at that has to do with other nodes, or with this one.
fn compare(shared: &Arc<Shared>, node: Option<NodeId>) {
    for hub in shared.all_hubs() {
        let node = node.clone();
        tokio::spawn(async move {
            // The others come back in the same moments.
            sleep(SETTLING).await;
            // A hub that is gone has nothing of it.
            let _ = hub.send(Command::BusBack(node)).await;
        });
    }
}

/// Lets the others hear that this node lives. After a partition of the network they do so long before the shared memory has a leader
/// again, and with it leases.
async fn speak(cluster: Arc<Cluster>) {
    let mut ticks = interval(lease::RENEWAL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        cluster.say_for_itself(&Subject::every_node(), Body::Here);
    }
}

async fn renew(shared: Arc<Shared>, cluster: Arc<Cluster>) {
    let listen = shared.config.listen.to_string();
    let mut failing_since = None;
    let mut ticks = interval(lease::RENEWAL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if cluster.leaves.load(Ordering::Relaxed) {
            return;
        }
        let renewed =
            cluster.bus.renew(Bucket::Nodes, cluster.node.as_str().to_owned(), listen.clone().into()).await;
        let now = environment::now();
        match renewed {
            // Renewals are seen again later than they are made: a watch that broke is noticed after a while.
            Ok(())
                if failing_since.take().is_some_and(|since| now.duration_since(since) > lease::RENEWAL) =>
            {
                compare(&shared, None);
            }
            Ok(()) => {}
            Err(error) => {
                failing_since.get_or_insert(now);
                tracing::warn!(%error, "the lease is not renewed");
            }
        }
    }
}
