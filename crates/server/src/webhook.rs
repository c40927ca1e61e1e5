//! Callbacks: an application's back end is asked about calls before they ring, and told when they are answered and over.
//!
//! Hubs put notices in a bounded queue and never wait. Events of one call are told one after the other. Where a call waits for what is
//! said, the call's own machine has the last word on how long.

mod event;
mod lineup;

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use offhook_signaling::call::{CallView, Verdict};
use offhook_signaling::token::ApplicationSecret;
use offhook_signaling::{ApplicationKey, CallId};
use tokio::sync::{OnceCell, Semaphore, mpsc};
use tokio::time::{interval, sleep, timeout};

use self::lineup::{Lineup, Step, Tried, Tries};
use crate::callbacks::{CallbackDigest, Callbacks};
use crate::endpoint::Endpoint;
use crate::environment;
use crate::fetch::Fetcher;
use crate::hub::Command;
use crate::metrics::Metrics;
use crate::rest::{BodyDigest, Signed};
use crate::server::StopSign;
use crate::store::CallDetailRecord;
use crate::svaml::{self, Action, MOST_SVAML};
use crate::time::iso8601;

/// Notices that hubs have put and nobody has looked at.
const MOST_NOTICES: usize = 1024;
/// Events that wait or are under way, of all applications.
const MOST_EVENTS: usize = 8192;
/// Requests of one application at once: one whose back end does not answer holds up no other.
const MOST_REQUESTS: usize = 32;
/// How often it is looked whether all is told, once the server stops.
const LOOKING: Duration = Duration::from_millis(20);

type CallKey = (ApplicationKey, CallId);

/// Where an application is told, and with what it is signed.
#[derive(Debug, Clone)]
pub(crate) struct CallbackTarget {
    pub(crate) callbacks: Arc<Callbacks>,
    pub(crate) secret: ApplicationSecret,
}

/// An event and who is told.
#[derive(Debug)]
pub(crate) struct Notice {
    target: CallbackTarget,
    key: CallKey,
    kind: Kind,
    body: String,
    hub: mpsc::WeakSender<Command>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// The call waits for the reply.
    Incoming,
    /// The reply may end the call.
    Answered,
    /// Nobody reads the reply.
    Disconnected,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::Incoming => "incoming",
            Self::Answered => "answered",
            Self::Disconnected => "disconnected",
        }
    }
}

impl Notice {
    pub(crate) fn incoming(target: CallbackTarget, view: &CallView, hub: mpsc::WeakSender<Command>) -> Self {
        let body = event::ice(view, environment::wall());
        Self { target, key: key(view), kind: Kind::Incoming, body, hub }
    }

    pub(crate) fn answered(target: CallbackTarget, view: &CallView, hub: mpsc::WeakSender<Command>) -> Self {
        let body = event::ace(view, environment::wall());
        Self { target, key: key(view), kind: Kind::Answered, body, hub }
    }

    pub(crate) fn disconnected(
        target: CallbackTarget,
        record: &CallDetailRecord,
        hub: mpsc::WeakSender<Command>,
    ) -> Self {
        let body = event::dice(record, environment::wall());
        let key = (record.application.clone(), record.call_id.clone());
        Self { target, key, kind: Kind::Disconnected, body, hub }
    }

    /// Nobody can be told: a call that waits need not wait longer.
    async fn drop_untold(self) {
        tracing::warn!(application = %self.key.0, call_id = %self.key.1, "too many callbacks wait: one is not sent");
        if self.kind == Kind::Incoming {
            self.say(Command::Verdict(self.key.1.clone(), None)).await;
        }
    }

    async fn say(&self, command: Command) {
        if let Some(hub) = self.hub.upgrade() {
            // A hub that is gone has no calls.
            let _ = hub.send(command).await;
        }
    }
}

fn key(view: &CallView) -> CallKey {
    (view.so_far.application.clone(), view.so_far.call_id.clone())
}

/// The telling half of a server.
#[derive(Debug)]
pub(crate) struct Webhooks {
    notices: mpsc::Sender<Notice>,
    /// Events of the line-up.
    lined_up: Arc<AtomicUsize>,
}

impl Webhooks {
    /// Begins to serve.
    pub(crate) fn start(metrics: Arc<Metrics>, stop: StopSign, alive: mpsc::Sender<Infallible>) -> Self {
        let (notices, waiting) = mpsc::channel(MOST_NOTICES);
        let lined_up = Arc::new(AtomicUsize::new(0));
        tokio::spawn(run(waiting, lined_up.clone(), metrics, stop, alive));
        Self { notices, lined_up }
    }

    /// Events that wait or are under way.
    pub(crate) fn queued(&self) -> usize {
        let unseen = self.notices.max_capacity() - self.notices.capacity();
        self.lined_up.load(Ordering::Relaxed) + unseen
    }

    /// For hubs.
    pub(crate) fn notices(&self) -> mpsc::Sender<Notice> {
        self.notices.clone()
    }
}

/// Serves until the server stops; then until all hubs are gone and all is told, or until everything is dropped.
async fn run(
    mut notices: mpsc::Receiver<Notice>,
    lined_up: Arc<AtomicUsize>,
    metrics: Arc<Metrics>,
    mut stop: StopSign,
    _alive: mpsc::Sender<Infallible>,
) {
    let mut lineup = Lineup::new(MOST_EVENTS);
    let mut places: HashMap<ApplicationKey, Arc<Semaphore>> = HashMap::new();
    let fetcher = Arc::new(OnceCell::new());
    // Unbounded, but never longer than the line-up.
    let (done, mut told) = mpsc::unbounded_channel::<CallKey>();
    let mut looks = interval(LOOKING);
    let mut dropped = stop.clone();
    loop {
        let next = tokio::select! {
            notice = notices.recv() => match notice {
                None => return,
                Some(notice) => match lineup.push(notice.key.clone(), notice) {
                    Ok(next) => next,
                    Err(notice) => {
                        metrics.note_callback(notice.kind.name(), "dropped");
                        tokio::spawn(notice.drop_untold());
                        None
                    }
                },
            },
            Some(key) = told.recv() => lineup.done(&key),
            _ = looks.tick(), if stop.is_draining() => {
                // The server itself holds one sender.
                if lineup.is_empty() && notices.is_empty() && notices.sender_strong_count() <= 1 {
                    return;
                }
                None
            }
            () = stop.draining(), if !stop.is_draining() => None,
            () = dropped.now() => return,
        };
        lined_up.store(lineup.len(), Ordering::Relaxed);
        if let Some(notice) = next {
            let places =
                places.entry(notice.key.0.clone()).or_insert_with(|| Arc::new(Semaphore::new(MOST_REQUESTS)));
            let (places, fetcher, done) = (places.clone(), fetcher.clone(), done.clone());
            let metrics = metrics.clone();
            let mut stop = dropped.clone();
            tokio::spawn(async move {
                let key = notice.key.clone();
                tokio::select! {
                    () = tell(&fetcher, &places, &metrics, notice) => {}
                    () = stop.now() => {}
                }
                // A server that is gone needs no order.
                let _ = done.send(key);
            });
        }
    }
}

/// Tells one event, as often as it takes and as is sensible, and carries out what is replied.
async fn tell(fetcher: &OnceCell<Option<Fetcher>>, places: &Semaphore, metrics: &Metrics, notice: Notice) {
    let Some(fetcher) = fetcher.get_or_init(system).await else { return };
    let begun = environment::now();
    let asking = ask(fetcher, places, &notice);
    let reply = match notice.kind {
        Kind::Incoming => timeout(notice.target.callbacks.timeout(), asking).await.unwrap_or(None),
        Kind::Answered | Kind::Disconnected => asking.await,
    };
    let (application, call_id) = (&notice.key.0, &notice.key.1);
    if reply.is_none() {
        tracing::warn!(%application, %call_id, event = ?notice.kind, "a callback was not answered");
    }
    let action = reply.as_deref().map(svaml::parse);
    if let Some(Err(error)) = &action {
        tracing::warn!(%application, %call_id, %error, "a callback's reply was not understood");
    }
    metrics.note_callback(
        notice.kind.name(),
        match &action {
            None => "unanswered",
            Some(Err(_)) => "misunderstood",
            Some(Ok(_)) => "answered",
        },
    );
    if reply.is_some() {
        metrics.note_callback_time(environment::now().saturating_duration_since(begun));
    }
    let call_id = call_id.clone();
    match (notice.kind, action) {
        (Kind::Incoming, Some(Ok(action))) => {
            notice.say(Command::Verdict(call_id, Some(verdict(action)))).await
        }
        (Kind::Incoming, _) => notice.say(Command::Verdict(call_id, None)).await,
        (Kind::Answered, Some(Ok(Some(Action::HangUp)))) => notice.say(Command::HangUp(call_id)).await,
        (Kind::Answered | Kind::Disconnected, _) => {}
    }
}

/// A reply without an action lets the call go on.
fn verdict(action: Option<Action>) -> Verdict {
    match action {
        None => Verdict::Continue { headers: None },
        Some(Action::HangUp) => Verdict::HangUp,
        Some(Action::Continue { headers } | Action::Connect { to: None, headers }) => {
            Verdict::Continue { headers }
        }
        Some(Action::Connect { to: Some(to), headers }) => Verdict::Connect { to, headers },
    }
}

async fn system() -> Option<Fetcher> {
    let fetcher = tokio::task::spawn_blocking(Fetcher::system).await;
    match fetcher {
        Ok(Ok(fetcher)) => Some(fetcher),
        Ok(Err(error)) => {
            tracing::error!(%error, "TLS for callbacks cannot be set up: none is sent");
            None
        }
        Err(_) => None,
    }
}

/// The body of the first answer that is one.
async fn ask(fetcher: &Fetcher, places: &Semaphore, notice: &Notice) -> Option<Vec<u8>> {
    let callbacks = &notice.target.callbacks;
    let urls: Vec<&String> =
        [Some(&callbacks.url), callbacks.fallback_url.as_ref()].into_iter().flatten().collect();
    let patience = callbacks.timeout() / u32::try_from(urls.len()).unwrap_or(1);
    let mut tries = Tries::new(urls.len(), notice.kind == Kind::Incoming);
    let mut last = None;
    loop {
        let Step::Ask { pause, address } = tries.next(last) else { return None };
        sleep(pause).await;
        // The semaphore is never closed.
        let place = places.acquire().await;
        let answer = timeout(patience, once(fetcher, urls[address], notice)).await;
        drop(place);
        let error = match answer {
            Ok(Ok(body)) => return Some(body),
            Ok(Err(error)) => error,
            Err(_) => (Tried::Failed, "no answer in time".to_owned()),
        };
        tracing::debug!(call_id = %notice.key.1, address, error = error.1, "a callback failed");
        last = Some(error.0);
    }
}

async fn once(fetcher: &Fetcher, url: &str, notice: &Notice) -> Result<Vec<u8>, (Tried, String)> {
    let endpoint = Endpoint::parse(url, true).map_err(|error| (Tried::Refused, error.to_string()))?;
    let request = request(&endpoint, notice).map_err(|error| (Tried::Refused, error.to_string()))?;
    let most = if notice.kind == Kind::Disconnected { 0 } else { MOST_SVAML };
    let answer = fetcher.send(&endpoint, true, request, most).await;
    let answer = answer.map_err(|error| (Tried::Failed, error.to_string()))?;
    match answer.status {
        status if status.is_success() => Ok(answer.body),
        StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT => {
            Err((Tried::Failed, answer.status.to_string()))
        }
        status if status.is_server_error() => Err((Tried::Failed, status.to_string())),
        // Redirections too.
        status => Err((Tried::Refused, status.to_string())),
    }
}

/// A signed request; the time in it is that of the try.
fn request(endpoint: &Endpoint, notice: &Notice) -> Result<Request<Body>, axum::http::Error> {
    const JSON: &str = "application/json";
    let timestamp = iso8601(environment::wall());
    let body = notice.body.as_bytes();
    let (digest, name) = match notice.target.callbacks.digest {
        CallbackDigest::Sha256 => (BodyDigest::Sha256, "x-content-sha256"),
        CallbackDigest::Md5 => (BodyDigest::Md5, "content-md5"),
    };
    let signed =
        Signed { method: "POST", content_type: JSON, timestamp: &timestamp, path: endpoint.path(), body };
    let signature = signed.sign(&notice.target.secret, digest);
    Request::post(endpoint.path())
        .header(header::HOST, endpoint.authority())
        .header(header::CONTENT_TYPE, JSON)
        .header(header::CONTENT_LENGTH, body.len())
        .header(header::USER_AGENT, concat!("offhook/", env!("CARGO_PKG_VERSION")))
        .header(name, digest.of(body))
        .header("x-timestamp", timestamp)
        .header(header::AUTHORIZATION, format!("Application {}:{signature}", notice.key.0))
        .body(Body::from(notice.body.clone()))
}
