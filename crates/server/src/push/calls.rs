//! Calls that devices are woken for: who is told that somebody calls, and then that nobody does any more.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use offhook_signaling::call::{CallEndCause, DeviceAddress};
use offhook_signaling::{ApplicationKey, CallId, DeviceId, UserId};
use serde_json::json;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout_at;
use tracing::Instrument as _;

use super::send::{Message, SendError, Sender, Target, topic};
use crate::environment;
use crate::server::StopSign;
use crate::store::{PushRecord, Store};

/// Calls at once; more are not pushed, and ring those who are connected.
const MOST_CALLS: usize = 4096;

/// What a hub tells of calls.
#[derive(Debug)]
pub(crate) enum PushNews {
    /// A call waits for its callee.
    Started(PushedCall),
    /// Nobody need come any more.
    Over {
        /// The application.
        application: ApplicationKey,
        /// The call.
        call_id: CallId,
        /// Why.
        cause: CallEndCause,
        /// Devices of the callee that know by themselves.
        connected: HashSet<DeviceId>,
    },
}

/// A call that waits.
#[derive(Debug)]
pub(crate) struct PushedCall {
    pub(crate) application: ApplicationKey,
    pub(crate) call_id: CallId,
    pub(crate) caller: UserId,
    pub(crate) callee: UserId,
    /// What the caller calls themselves.
    pub(crate) display_name: Option<String>,
    /// Devices of the callee that ring already.
    pub(crate) connected: HashSet<DeviceId>,
    /// How long it waits.
    pub(crate) rings: Duration,
}

type Over = (CallEndCause, HashSet<DeviceId>);

/// Serves until every hub is gone or the server stops.
pub(super) async fn run(
    sender: Arc<Sender>,
    store: Arc<dyn Store>,
    mut news: mpsc::Receiver<PushNews>,
    mut stop: StopSign,
) {
    let mut waiting: HashMap<(ApplicationKey, CallId), oneshot::Sender<Over>> = HashMap::new();
    loop {
        let news = tokio::select! {
            news = news.recv() => news,
            () = stop.draining() => return,
        };
        match news {
            None => return,
            Some(PushNews::Over { application, call_id, cause, connected }) => {
                if let Some(over) = waiting.remove(&(application, call_id)) {
                    // A call whose time is over tells nobody.
                    let _ = over.send((cause, connected));
                }
            }
            Some(PushNews::Started(call)) => {
                waiting.retain(|_, over| !over.is_closed());
                if waiting.len() >= MOST_CALLS {
                    tracing::warn!("too many calls wait for devices that are woken: one is not pushed");
                    continue;
                }
                let (over, ended) = oneshot::channel();
                waiting.insert((call.application.clone(), call.call_id.clone()), over);
                let span = tracing::info_span!("push", call_id = %call.call_id);
                tokio::spawn(wake(sender.clone(), store.clone(), call, ended, stop.clone()).instrument(span));
            }
        }
    }
}

/// Wakes the devices of one call, and tells them when it is over before its time.
async fn wake(
    sender: Arc<Sender>,
    store: Arc<dyn Store>,
    call: PushedCall,
    ended: oneshot::Receiver<Over>,
    mut stop: StopSign,
) {
    let ends = environment::now() + call.rings;
    let woken = async {
        let found = store.pushes_of(&call.application, &call.callee, environment::wall()).await;
        let is_blocked = store.blocked_since(&call.application, &call.callee).await;
        if !matches!(is_blocked, Ok(None)) {
            return;
        }
        let mut records = found.unwrap_or_else(|error| {
            tracing::error!(%error, "store failed");
            Vec::new()
        });
        records.retain(|record| !call.connected.contains(&record.address.device));
        if records.is_empty() {
            return;
        }
        // Whom the first message did not reach has nothing to take back.
        let mut records = tell_all(&sender, &*store, records, &incoming(&call)).await;
        // The time to live of a message that was taken is over with the call's.
        let Ok(Ok((cause, connected))) = timeout_at(ends.into(), ended).await else { return };
        records.retain(|record| !connected.contains(&record.address.device));
        tell_all(&sender, &*store, records, &over(&call, cause, ends)).await;
    };
    tokio::select! {
        () = woken => {}
        () = stop.now() => {}
    }
}

/// Sends to all at once; gives those whose push service took it.
async fn tell_all(
    sender: &Sender,
    store: &dyn Store,
    records: Vec<PushRecord>,
    message: &Message,
) -> Vec<PushRecord> {
    let tell = |record| tell(sender, store, record, message);
    futures_util::future::join_all(records.into_iter().map(tell)).await.into_iter().flatten().collect()
}

async fn tell(
    sender: &Sender,
    store: &dyn Store,
    record: PushRecord,
    message: &Message,
) -> Option<PushRecord> {
    let PushRecord { address, subscription } = &record;
    let sent = match Target::new(subscription, sender.any_endpoint()) {
        Some(target) => sender.send(&target, message).await,
        // It was, under another configuration.
        None => Err(SendError::Gone),
    };
    match sent {
        Ok(()) => return Some(record),
        Err(SendError::Gone) => forget(store, address, &subscription.endpoint).await,
        Err(error) => tracing::info!(application = %address.application, %error, "a push was not taken"),
    }
    None
}

async fn forget(store: &dyn Store, address: &DeviceAddress, endpoint: &str) {
    if let Err(error) = store.delete_push(address, Some(endpoint)).await {
        tracing::error!(%error, "store failed");
    }
}

fn incoming(call: &PushedCall) -> Message {
    let mut text = json!({
        "v": 1,
        "type": "incoming_call",
        "application_key": call.application,
        "user_id": call.callee,
        "call_id": call.call_id,
        "from": call.caller,
        "created": environment::wall().0,
    });
    if let Some(name) = &call.display_name {
        text["display_name"] = name.as_str().into();
    }
    message(call, text, call.rings)
}

fn over(call: &PushedCall, cause: CallEndCause, ends: Instant) -> Message {
    let text = json!({ "v": 1, "type": "call_ended", "call_id": call.call_id, "end_cause": cause });
    message(call, text, ends.saturating_duration_since(environment::now()))
}

fn message(call: &PushedCall, text: serde_json::Value, lives: Duration) -> Message {
    let ttl = lives.as_secs().max(1);
    Message { text: text.to_string(), ttl, topic: topic(call.call_id.as_str()) }
}
