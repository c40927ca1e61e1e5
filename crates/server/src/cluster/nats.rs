//! The bus over NATS: core messages for calls, JetStream's key-value store for leases and for what calls leave behind.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_nats::jetstream::kv;
use async_nats::jetstream::stream::StorageType;
use async_nats::jetstream::{self, context::ContextBuilder};
use async_nats::{Client, ConnectOptions, Event, ServerAddr, StatusCode};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt as _, StreamExt as _};
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};

use super::bus::{Bucket, Bus, Deliveries, Delivery, KeepError, KeepFuture, Kept};
use super::node::{NodeId, Subject};

/// The oldest release of nats-server that this works with.
pub(crate) const NEEDED: (u32, u32) = (2, 12);
/// Messages that wait to go out; then the bus counts as full.
const MOST_QUEUED: usize = 8192;
/// Messages of one subject that wait to be handled here.
const MOST_WAITING: usize = 4096;
const CONNECTING: Duration = Duration::from_secs(5);
/// Of one server, before the next one is tried.
const CONNECTING_TO_ONE: Duration = Duration::from_secs(2);
/// Two that are not answered, and the connection counts as lost: what the network swallows without a word is noticed in four to five seconds.
const PINGING: Duration = Duration::from_millis(1500);
const KEEPING: Duration = Duration::from_secs(2);
/// A node renews more often; see `lease`.
const LEASE_LIVES: Duration = Duration::from_secs(10);
/// A live call is written down again before this has passed; see `journal`.
const CALL_LIVES: Duration = Duration::from_secs(6 * 3600);
/// How long it is remembered that a call is over.
const OVER_IS_KNOWN: Duration = Duration::from_secs(600);
const LONGEST_RECONNECT: Duration = Duration::from_secs(1);

/// Why the cluster cannot be joined.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// An address is no NATS URL: write it as `nats://HOST:PORT` or `tls://HOST:PORT`.
    #[error("{url:?} is no NATS URL: {reason}")]
    Url {
        /// As written, without what may be a password.
        url: String,
        /// Why.
        reason: String,
    },
    /// The file with NATS credentials cannot be used: correct it.
    #[error("cannot use the NATS credentials in {path}: {reason}")]
    Credentials {
        /// The file.
        path: String,
        /// Why.
        reason: String,
    },
    /// No NATS server answers: start one, or correct the addresses.
    #[error("cannot reach NATS: {0}")]
    Connect(String),
    /// The NATS server is too old: install a newer one.
    #[error("nats-server {found} is too old: the cluster needs {}.{} or later", NEEDED.0, NEEDED.1)]
    TooOld {
        /// What it says it is.
        found: String,
    },
    /// The NATS server has no JetStream, or its JetStream has no leader: start it with `-js`, three of them in a cluster.
    #[error("NATS has no JetStream for the cluster's memory: {0}")]
    JetStream(String),
}

/// Where NATS is.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct NatsAddress {
    pub(crate) urls: Vec<String>,
    pub(crate) credentials: Option<PathBuf>,
}

impl std::fmt::Debug for NatsAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // A URL may hold a password.
        f.debug_struct("NatsAddress").field("urls", &self.urls.len()).finish_non_exhaustive()
    }
}

enum Outgoing {
    Publish { to: Subject, reply: Option<Subject>, message: Bytes },
    Subscribe(Subject),
    Unsubscribe(Subject),
    Flush(oneshot::Sender<()>),
}

/// One node's connection.
pub(crate) struct NatsBus {
    node: NodeId,
    queue: mpsc::Sender<Outgoing>,
    up: Arc<AtomicBool>,
    jetstream: jetstream::Context,
    replicas: usize,
    nodes: kv::Store,
    calls: kv::Store,
    tasks: Vec<AbortHandle>,
}

impl std::fmt::Debug for NatsBus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NatsBus").field("node", &self.node).field("up", &self.up).finish_non_exhaustive()
    }
}

impl NatsBus {
    /// Connects, checks the server and makes what is missing of the shared memory.
    ///
    /// # Errors
    /// [`ClusterError`].
    pub(crate) async fn connect(
        address: &NatsAddress,
        node: NodeId,
        deliveries: Deliveries,
    ) -> Result<Self, ClusterError> {
        let up = Arc::new(AtomicBool::new(true));
        let client = connect(address, &node, up.clone(), deliveries.clone()).await?;
        let info = client.server_info();
        if !is_new_enough(&info.version) {
            return Err(ClusterError::TooOld { found: info.version });
        }
        if !info.jetstream {
            return Err(ClusterError::JetStream("the server runs without it".to_owned()));
        }
        let jetstream = ContextBuilder::new().timeout(CONNECTING).build(client.clone());
        let replicas = if info.cluster.is_some() { 3 } else { 1 };
        let nodes = bucket(&jetstream, Bucket::Nodes, replicas).await?;
        let calls = bucket(&jetstream, Bucket::Calls, replicas).await?;
        let (queue, outgoing) = mpsc::channel(MOST_QUEUED);
        let pump = tokio::spawn(pump(client.clone(), outgoing, deliveries.clone()));
        let leases = tokio::spawn(watch_leases(nodes.clone(), deliveries.clone()));
        let unheard = client
            .subscribe(Subject::unheard(&node, "*").as_str().to_owned())
            .await
            .map_err(|error| ClusterError::Connect(error.to_string()))?;
        let unheard = tokio::spawn(hear_unheard(unheard, deliveries));
        let tasks = [pump, leases, unheard].iter().map(tokio::task::JoinHandle::abort_handle).collect();
        Ok(Self { node, queue, up, jetstream, replicas, nodes, calls, tasks })
    }

    fn store(&self, bucket: Bucket) -> &kv::Store {
        match bucket {
            Bucket::Nodes => &self.nodes,
            Bucket::Calls => &self.calls,
        }
    }
}

impl Drop for NatsBus {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

impl Bus for NatsBus {
    fn publish(&self, to: &Subject, ask: Option<u64>, message: Bytes) -> bool {
        let reply = ask.map(|ask| Subject::unheard(&self.node, &ask.to_string()));
        self.queue.try_send(Outgoing::Publish { to: to.clone(), reply, message }).is_ok()
    }

    fn subscribe(&self, to: Subject) {
        self.enqueue(Outgoing::Subscribe(to));
    }

    fn unsubscribe(&self, to: &Subject) {
        self.enqueue(Outgoing::Unsubscribe(to.clone()));
    }

    fn flush(&self) -> BoxFuture<'_, ()> {
        async {
            let (done, flushed) = oneshot::channel();
            if self.queue.send(Outgoing::Flush(done)).await.is_ok() {
                // A bus that ended has flushed all it will.
                let _ = flushed.await;
            }
        }
        .boxed()
    }

    fn is_up(&self) -> bool {
        self.up.load(Ordering::Relaxed)
    }

    fn get(&self, bucket: Bucket, key: String) -> KeepFuture<'_, Option<Kept>> {
        async move {
            let entry = soon(self.store(bucket).entry(key)).await?.map_err(unavailable)?;
            Ok(entry.map(|entry| Kept {
                value: (entry.operation == kv::Operation::Put).then_some(entry.value),
                revision: entry.revision,
            }))
        }
        .boxed()
    }

    fn put(&self, bucket: Bucket, key: String, value: Bytes, revision: Option<u64>) -> KeepFuture<'_, u64> {
        async move {
            let put = soon(self.store(bucket).update(key, value, revision.unwrap_or(0))).await?;
            put.map_err(|error| match error.kind() {
                kv::UpdateErrorKind::WrongLastRevision => KeepError::Changed,
                _ => unavailable(error),
            })
        }
        .boxed()
    }

    fn renew(&self, of: Bucket, key: String, value: Bytes) -> KeepFuture<'_, ()> {
        async move {
            let put = soon(self.store(of).put(key, value)).await;
            let failed = match put {
                Ok(Ok(_)) => return Ok(()),
                Ok(Err(error)) => unavailable(error),
                Err(error) => error,
            };
            // Servers that forgot everything, or lost their disks, begin anew.
            if self.is_up() {
                let both = async {
                    bucket(&self.jetstream, Bucket::Nodes, self.replicas).await?;
                    bucket(&self.jetstream, Bucket::Calls, self.replicas).await
                };
                drop(soon(both).await);
            }
            Err(failed)
        }
        .boxed()
    }

    fn take(&self, bucket: Bucket, key: String, revision: u64) -> KeepFuture<'_, ()> {
        async move {
            let taken = self.store(bucket).purge_expect_revision_with_ttl(key, revision, OVER_IS_KNOWN);
            // A revision that is not the last one is among the errors without a kind of its own.
            soon(taken).await?.map_err(|error| match error.to_string() {
                text if text.contains("wrong last sequence") => KeepError::Changed,
                text => KeepError::Unavailable(text),
            })
        }
        .boxed()
    }
}

impl NatsBus {
    /// What must not be left out waits in a task of its own when the queue is full.
    fn enqueue(&self, outgoing: Outgoing) {
        if let Err(mpsc::error::TrySendError::Full(outgoing)) = self.queue.try_send(outgoing) {
            let queue = self.queue.clone();
            tokio::spawn(async move { drop(queue.send(outgoing).await) });
        }
    }
}

fn unavailable(error: impl std::fmt::Display) -> KeepError {
    KeepError::Unavailable(error.to_string())
}

async fn soon<T>(future: impl Future<Output = T>) -> Result<T, KeepError> {
    timeout(KEEPING, future).await.map_err(|_| KeepError::Unavailable("no answer in time".to_owned()))
}

fn is_new_enough(version: &str) -> bool {
    let mut numbers = version.split(['.', '-']).map_while(|number| number.parse::<u32>().ok());
    let (Some(major), Some(minor)) = (numbers.next(), numbers.next()) else { return false };
    (major, minor) >= NEEDED
}

async fn connect(
    address: &NatsAddress,
    node: &NodeId,
    up: Arc<AtomicBool>,
    deliveries: Deliveries,
) -> Result<Client, ClusterError> {
    let parse = |url: &String| {
        url.parse::<ServerAddr>().map_err(|error| ClusterError::Url {
            url: url.rsplit_once('@').map_or_else(|| url.clone(), |(_, host)| format!("…@{host}")),
            reason: error.to_string(),
        })
    };
    let servers = address.urls.iter().map(parse).collect::<Result<Vec<_>, _>>()?;
    let mut options = ConnectOptions::new()
        .name(format!("offhook {node}"))
        .ping_interval(PINGING)
        .connection_timeout(CONNECTING_TO_ONE)
        .subscription_capacity(MOST_WAITING)
        .reconnect_delay_callback(|attempts| {
            let doubled = Duration::from_millis(50).saturating_mul(1 << attempts.min(8));
            doubled.min(LONGEST_RECONNECT)
        })
        .event_callback(move |event| heard(event, up.clone(), deliveries.clone()));
    if let Some(path) = &address.credentials {
        options = options.credentials_file(path).await.map_err(|error| ClusterError::Credentials {
            path: path.display().to_string(),
            reason: error.to_string(),
        })?;
    }
    let connecting = timeout(CONNECTING * 2, options.connect(servers)).await;
    match connecting {
        Ok(Ok(client)) => Ok(client),
        Ok(Err(error)) => Err(ClusterError::Connect(error.to_string())),
        Err(_) => Err(ClusterError::Connect("no answer in time".to_owned())),
    }
}

async fn heard(event: Event, up: Arc<AtomicBool>, deliveries: Deliveries) {
    let is_up = match event {
        Event::Connected => true,
        Event::Disconnected | Event::Closed => false,
        other => {
            tracing::warn!(event = %other, "NATS");
            return;
        }
    };
    if up.swap(is_up, Ordering::Relaxed) != is_up {
        // A node that is going away needs to know no more.
        let _ = deliveries.send(if is_up { Delivery::Up } else { Delivery::Down }).await;
    }
}

async fn bucket(
    jetstream: &jetstream::Context,
    bucket: Bucket,
    replicas: usize,
) -> Result<kv::Store, ClusterError> {
    let (name, max_age, storage) = match bucket {
        Bucket::Nodes => ("offhook_nodes", LEASE_LIVES, StorageType::Memory),
        Bucket::Calls => ("offhook_calls", CALL_LIVES, StorageType::File),
    };
    if let Ok(store) = jetstream.get_key_value(name).await {
        return Ok(store);
    }
    let config = kv::Config {
        bucket: name.to_owned(),
        history: 1,
        max_age,
        storage,
        num_replicas: replicas,
        limit_markers: Some(Duration::from_secs(60)),
        ..kv::Config::default()
    };
    let mut last = String::new();
    // Servers that have just started elect a leader first; two nodes that start together make the same bucket.
    for _ in 0..10 {
        match jetstream.create_key_value(config.clone()).await {
            Ok(store) => return Ok(store),
            Err(error) => last = error.to_string(),
        }
        if let Ok(store) = jetstream.get_key_value(name).await {
            return Ok(store);
        }
        sleep(Duration::from_millis(500)).await;
    }
    Err(ClusterError::JetStream(last))
}

/// A subscription, which ends with this.
struct Hearing(AbortHandle);

impl Drop for Hearing {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Carries out in order what was queued.
async fn pump(client: Client, mut outgoing: mpsc::Receiver<Outgoing>, deliveries: Deliveries) {
    let mut heard: HashMap<Subject, Hearing> = HashMap::new();
    while let Some(next) = outgoing.recv().await {
        match next {
            Outgoing::Publish { to, reply, message } => {
                let to = to.as_str().to_owned();
                let sent = match reply {
                    Some(reply) => client.publish_with_reply(to, reply.as_str().to_owned(), message).await,
                    None => client.publish(to, message).await,
                };
                if let Err(error) = sent {
                    tracing::warn!(%error, "a message to other nodes was not sent");
                }
            }
            Outgoing::Subscribe(to) => match client.subscribe(to.as_str().to_owned()).await {
                Ok(subscriber) => {
                    let task = tokio::spawn(hear(subscriber, deliveries.clone()));
                    heard.insert(to, Hearing(task.abort_handle()));
                }
                Err(error) => tracing::error!(%error, "cannot listen to other nodes"),
            },
            Outgoing::Unsubscribe(to) => {
                heard.remove(&to);
            }
            Outgoing::Flush(done) => {
                if let Err(error) = client.flush().await {
                    tracing::warn!(%error, "NATS");
                }
                // Whoever asked may not wait any more.
                let _ = done.send(());
            }
        }
    }
}

async fn hear(mut subscriber: async_nats::Subscriber, deliveries: Deliveries) {
    while let Some(message) = subscriber.next().await {
        if deliveries.send(Delivery::Message(message.payload)).await.is_err() {
            return;
        }
    }
}

async fn hear_unheard(mut subscriber: async_nats::Subscriber, deliveries: Deliveries) {
    while let Some(message) = subscriber.next().await {
        let ask = message.subject.as_str().rsplit('.').next().and_then(|ask| ask.parse().ok());
        if let (Some(StatusCode::NO_RESPONDERS), Some(ask)) = (message.status, ask)
            && deliveries.send(Delivery::Unheard(ask)).await.is_err()
        {
            return;
        }
    }
}

async fn watch_leases(nodes: kv::Store, deliveries: Deliveries) {
    loop {
        if let Ok(mut watch) = nodes.watch_with_history(">").await {
            while let Some(Ok(entry)) = watch.next().await {
                if entry.operation != kv::Operation::Put {
                    continue;
                }
                if deliveries.send(Delivery::Lease(entry.key)).await.is_err() {
                    return;
                }
            }
        }
        sleep(LONGEST_RECONNECT).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        for good in ["2.12.0", "2.12.1-RC.1", "2.15.1", "3.0.0", "2.100.0"] {
            assert!(is_new_enough(good), "{good}");
        }
        for old in ["2.9.10", "2.11.99", "1.99.0", "", "two", "2"] {
            assert!(!is_new_enough(old), "{old}");
        }
    }
}
