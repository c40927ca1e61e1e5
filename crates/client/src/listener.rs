//! Listeners: the published spelling of events.

use std::fmt::{self, Debug};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use offhook_media_core::quality::QualityWarning;
use offhook_signaling::ClientError;
use offhook_signaling::call::CallDetails;
use offhook_signaling::verification::Verification;

use crate::call::{Call, CallMeasures};
use crate::call_client::CallClient;
use crate::client::{Client, Handle};
use crate::event::{CallEvent, CallEvents, ClientEvent, ClientEvents};
use crate::registration::ClientRegistration;
use crate::snapshot::{CallMeasure, CallSnapshot};
use crate::stats::CallReport;

/// Told of a client's events, one after the other, on a task of the client's. What takes long belongs on a task of its own: only other
/// listeners wait for it, but they do.
pub trait ClientListener: Send + Sync {
    /// The client is registered.
    fn on_client_started(&self, _client: &Client) {}
    /// Something failed; see [`ClientEvent::Failed`].
    fn on_client_failed(&self, _client: &Client, _error: &ClientError) {}
    /// A token is needed: [`ClientRegistration::register`] it.
    fn on_credentials_required(&self, _client: &Client, _registration: ClientRegistration) {}
    /// Somebody calls. Told once to each listener, whether it was added to the client, to the call client or to both.
    fn on_incoming_call(&self, _call_client: &CallClient, _call: Call) {}
}

/// Told of a call's events, from its beginning, one after the other.
pub trait CallListener: Send + Sync {
    /// The callee is being reached (outgoing only).
    fn on_call_progressing(&self, _call: &Call) {}
    /// A device of the callee rings (outgoing only).
    fn on_call_ringing(&self, _call: &Call) {}
    /// The callee accepted.
    fn on_call_answered(&self, _call: &Call) {}
    /// Sound flows.
    fn on_call_established(&self, _call: &Call) {}
    /// The quality fell below a limit, or recovered.
    fn on_call_quality_warning_event(&self, _call: &Call, _warning: &QualityWarning) {}
    /// There is an authentication string, or the verification failed.
    fn on_call_verification(&self, _call: &Call, _verification: &Verification) {}
    /// The other side pressed a key.
    fn on_dtmf_received(&self, _call: &Call, _key: char) {}
    /// How the call stands; once a second while it is established.
    fn on_call_snapshot(&self, _call: &Call, _snapshot: &CallSnapshot) {}
    /// How the call was; right before [`on_call_ended`](Self::on_call_ended).
    fn on_call_report(&self, _call: &Call, _report: &CallReport) {}
    /// The call is over.
    fn on_call_ended(&self, _call: &Call, _details: &CallDetails) {}
}

/// The listeners of a client and of its call client.
#[derive(Default)]
pub(crate) struct Listeners(Mutex<Vec<Entry>>);

#[derive(Clone)]
struct Entry {
    listener: Arc<dyn ClientListener>,
    /// Added to the client, not only to the call client.
    of_client: bool,
}

impl Listeners {
    /// Adds one; adding it again changes at most where it belongs.
    pub(crate) fn add(&self, listener: Arc<dyn ClientListener>, of_client: bool) {
        let mut entries = self.lock();
        match entries.iter_mut().find(|entry| Arc::ptr_eq(&entry.listener, &listener)) {
            Some(entry) => entry.of_client |= of_client,
            None => entries.push(Entry { listener, of_client }),
        }
    }

    /// Removes one.
    pub(crate) fn remove(&self, listener: &Arc<dyn ClientListener>) {
        self.lock().retain(|entry| !Arc::ptr_eq(&entry.listener, listener));
    }

    fn all(&self) -> Vec<Entry> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Debug for Listeners {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Listeners({})", self.lock().len())
    }
}

/// Tells listeners, as long as there are events and the client is held.
pub(crate) async fn tell_client_listeners(client: Weak<Handle>, mut events: ClientEvents) {
    while let Some(event) = events.next().await {
        let Some(client) = client.upgrade().map(Client::from_handle) else { return };
        let call_client = client.call_client();
        for Entry { listener, of_client } in client.listeners().all() {
            match &event {
                ClientEvent::IncomingCall(call) => listener.on_incoming_call(&call_client, call.clone()),
                _ if !of_client => {}
                ClientEvent::Started => listener.on_client_started(&client),
                ClientEvent::Failed(error) => listener.on_client_failed(&client, error),
                ClientEvent::CredentialsRequired(registration) => {
                    listener.on_credentials_required(&client, registration.clone());
                }
                _ => {}
            }
        }
    }
}

/// Tells one listener, until the call is over. What is measured goes first: the report comes before the end.
pub(crate) async fn tell_call_listener(
    call: Call,
    mut events: CallEvents,
    mut measures: CallMeasures,
    listener: Arc<dyn CallListener>,
) {
    loop {
        let event = tokio::select! {
            biased;
            Some(measure) = measures.next() => {
                match measure {
                    CallMeasure::Second(snapshot) => listener.on_call_snapshot(&call, &snapshot),
                    CallMeasure::Report(report) => listener.on_call_report(&call, &report),
                }
                continue;
            }
            event = events.next() => event,
        };
        let Some(event) = event else { return };
        match event {
            CallEvent::Progressing => listener.on_call_progressing(&call),
            CallEvent::Ringing => listener.on_call_ringing(&call),
            CallEvent::Answered => listener.on_call_answered(&call),
            CallEvent::Established => listener.on_call_established(&call),
            CallEvent::QualityWarning(warning) => listener.on_call_quality_warning_event(&call, &warning),
            CallEvent::Verification(verification) => listener.on_call_verification(&call, &verification),
            CallEvent::DtmfReceived(key) => listener.on_dtmf_received(&call, key),
            CallEvent::Ended(details) => listener.on_call_ended(&call, &details),
        }
    }
}
