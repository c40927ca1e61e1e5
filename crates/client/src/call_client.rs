//! Making calls, finding them again.

use std::sync::Arc;

use offhook_signaling::message::Headers;
use offhook_signaling::{CallId, UserId, wire};
use offhook_transport::Role;
use tokio::sync::oneshot;

use crate::call::Call;
use crate::driver::{Command, NewCall, prepare};
use crate::error::{CallError, MicrophoneError, call_error};
use crate::listener::ClientListener;
use crate::microphone::Lease;
use crate::shared::Shared;

/// As the protocol limits it.
const MOST_HEADER_BYTES: usize = 1024;

/// The calls of a client. Cheap to clone; it does not keep the client running.
#[derive(Debug, Clone)]
pub struct CallClient {
    shared: Arc<Shared>,
}

impl CallClient {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Calls a user: every device of theirs rings. Opens the microphone meanwhile; nothing of it is sent before the other side answered.
    /// Given up before it returns, the call is taken back.
    ///
    /// # Errors
    /// [`CallError`]: nobody was rung, or no longer rings.
    pub fn call_user<U>(&self, user_id: U) -> impl Future<Output = Result<Call, CallError>> + Send + use<U>
    where
        U: Into<String>,
    {
        self.call_user_with_headers(user_id, Headers::new())
    }

    /// As [`call_user`](Self::call_user), with headers for the callee's application: keys and values together at most 1024 bytes of UTF-8.
    ///
    /// # Errors
    /// [`CallError`]: nobody was rung, or no longer rings.
    pub fn call_user_with_headers<U>(
        &self,
        user_id: U,
        headers: Headers,
    ) -> impl Future<Output = Result<Call, CallError>> + Send + use<U>
    where
        U: Into<String>,
    {
        let (client, user_id) = (self.clone(), user_id.into());
        async move { client.make_call(user_id, headers).await }
    }

    async fn make_call(&self, user_id: String, headers: Headers) -> Result<Call, CallError> {
        let to = UserId::new(user_id).map_err(CallError::UserId)?;
        if wire::header_bytes(&headers) > MOST_HEADER_BYTES {
            return Err(CallError::HeadersTooLarge);
        }
        let run = self.shared.started().ok_or(CallError::NotStarted)?;
        // A device takes its time to open: meanwhile the other side rings.
        let mut opening = Opening::begin(&self.shared);
        let servers = self.shared.ice_servers().await;
        let media = prepare(&self.shared, Role::Offerer, servers).await;
        let media = media.map_err(|error| CallError::Prepare(error.to_string()))?;
        opening.check()?;
        let offer = media.offer.clone().unwrap_or_default();
        let (reply, answer) = oneshot::channel();
        let call = NewCall { to, headers, offer, media, reply };
        run.commands.send(Command::CallUser(Box::new(call))).await.map_err(|_| CallError::NotStarted)?;
        let made = answer.await.map_err(|_| CallError::NotStarted)?;
        let mut calling = Calling { call: made.map_err(|error| call_error(&error))?, complete: false };
        let microphone = opening.finish().await?;
        calling.complete = true;
        calling.call.speak_with(microphone);
        Ok(calling.call.clone())
    }

    /// A call by its id, live or one of the last that are over.
    #[must_use]
    pub fn call(&self, call_id: &str) -> Option<Call> {
        self.shared.call(&CallId::new(call_id).ok()?)
    }

    /// [`call`](Self::call) in its published spelling.
    #[must_use]
    pub fn get_call(&self, call_id: &str) -> Option<Call> {
        self.call(call_id)
    }

    /// Every call that is not over.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        self.shared.live_calls()
    }

    /// Adds a listener for incoming calls; one that the client tells already is not told twice.
    pub fn add_listener(&self, listener: Arc<dyn ClientListener>) {
        self.shared.listeners.add(listener, false);
    }

    /// [`add_listener`](Self::add_listener) in its older spelling.
    pub fn add_event_listener(&self, listener: Arc<dyn ClientListener>) {
        self.add_listener(listener);
    }
}

/// A microphone that opens, or has failed to.
struct Opening {
    pending: oneshot::Receiver<Result<Arc<Lease>, MicrophoneError>>,
    open: Option<Arc<Lease>>,
}

impl Opening {
    fn begin(shared: &Arc<Shared>) -> Self {
        let (told, opened) = oneshot::channel();
        let shared = Arc::clone(shared);
        tokio::spawn(async move {
            // Whoever gave up calling does not hold it, and so it closes.
            let _ = told.send(shared.sound.open(shared.settings.timeouts.device).await);
        });
        Self { pending: opened, open: None }
    }

    /// Whether it is in vain, as far as is known now.
    fn check(&mut self) -> Result<(), MicrophoneError> {
        if let Ok(opened) = self.pending.try_recv() {
            self.open = Some(opened?);
        }
        Ok(())
    }

    async fn finish(self) -> Result<Arc<Lease>, MicrophoneError> {
        match self.open {
            Some(opened) => Ok(opened),
            None => self.pending.await.unwrap_or(Err(MicrophoneError::NotStarted)),
        }
    }
}

/// A call that rings before its microphone is open; given up meanwhile, it is taken back.
struct Calling {
    call: Call,
    complete: bool,
}

impl Drop for Calling {
    fn drop(&mut self) {
        if !self.complete {
            self.call.hang_up();
        }
    }
}
