//! Web Push: wakes registered devices that are not connected when somebody calls them (RFC 8030, RFC 8291, RFC 8292).

mod calls;
pub(crate) mod fuzzing;
mod send;
mod vapid;

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header;
use axum::response::{IntoResponse as _, Json, Response};
use offhook_signaling::call::DeviceAddress;
use offhook_signaling::message::{PushSubscription, WireError};
use serde_json::json;
use tokio::sync::mpsc;

use self::send::{Sender, Target};
use self::vapid::Vapid;
use crate::config::PushConfig;
use crate::fetch::Fetcher;
use crate::metrics::Metrics;
use crate::server::{Shared, StartError, StopSign};
use crate::store::{PushKey, PushRecord, Store, StoreError};

pub(crate) use self::calls::{PushNews, PushedCall};

/// News that wait; beyond, calls are not pushed.
const MOST_NEWS: usize = 1024;

/// The pushing half of a server.
#[derive(Debug)]
pub(crate) struct Push {
    sender: Arc<Sender>,
    store: Arc<dyn Store>,
    news: mpsc::Sender<PushNews>,
}

impl Push {
    /// Takes the key from the store, or makes one, and begins to serve.
    pub(crate) async fn start(
        config: &PushConfig,
        store: Arc<dyn Store>,
        metrics: Arc<Metrics>,
        stop: StopSign,
    ) -> Result<Self, StartError> {
        let key = store.push_key(vapid::fresh_key()).await?;
        let broken = || StoreError::Failed("the key that signs pushes is broken".to_owned());
        let vapid = Vapid::new(&key, config.subject.clone()).ok_or_else(broken)?;
        let fetcher = Fetcher::system().map_err(StartError::Push)?;
        let sender = Sender::new(vapid, config.allow_private_endpoints, fetcher, metrics);
        let (news, waiting) = mpsc::channel(MOST_NEWS);
        let sender = Arc::new(sender);
        tokio::spawn(calls::run(sender.clone(), store.clone(), waiting, stop));
        Ok(Self { sender, store, news })
    }

    /// How much news waits.
    pub(crate) fn queued(&self) -> usize {
        self.news.max_capacity() - self.news.capacity()
    }

    /// For hubs.
    pub(crate) fn news(&self) -> mpsc::Sender<PushNews> {
        self.news.clone()
    }

    /// Keeps how a device is woken, in place of what was known.
    pub(crate) async fn subscribe(
        &self,
        address: &DeviceAddress,
        subscription: PushSubscription,
    ) -> Result<(), WireError> {
        if Target::new(&subscription, self.sender.any_endpoint()).is_none() {
            return Err(WireError::BadEndpoint);
        }
        let record = PushRecord { address: address.clone(), subscription };
        self.store.put_push(&record).await.map_err(failed)
    }

    /// Forgets how a device is woken; nothing to forget is fine too.
    pub(crate) async fn unsubscribe(&self, address: &DeviceAddress) -> Result<(), WireError> {
        self.store.delete_push(address, None).await.map(drop).map_err(failed)
    }
}

#[expect(clippy::needless_pass_by_value, reason = "fits map_err")]
fn failed(error: StoreError) -> WireError {
    tracing::error!(%error, "store failed");
    WireError::Internal
}

/// `GET /v1/push` tells the key that subscriptions are made with; 404 where no pushes are sent.
pub(crate) async fn key(State(shared): State<Arc<Shared>>) -> Response {
    let (status, body) = match &shared.push {
        Some(push) => (StatusCode::OK, json!({ "public_key": push.sender.vapid().public_key() })),
        None => {
            (StatusCode::NOT_FOUND, json!({ "error": "push_off", "message": "this server sends no pushes" }))
        }
    };
    let anyone = [(header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"), (header::CACHE_CONTROL, "no-store")];
    (status, anyone, Json(body)).into_response()
}
