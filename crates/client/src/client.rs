//! The client: what an application starts, ends and listens to.

use std::sync::Arc;
use std::time::Duration;

use offhook_media::{AudioProcessing, Device, Engine, Microphone};
use tokio::time::timeout;

use crate::builder::{ClientBuilder, Settings};
use crate::call_client::CallClient;
use crate::driver;
use crate::error::{BuildError, MicrophoneError, StartError};
use crate::event::ClientEvents;
use crate::listener::{ClientListener, Listeners, tell_client_listeners};
use crate::shared::Shared;

/// How long the end of a client may take, whatever the network does.
const TERMINATE: Duration = Duration::from_secs(1);

/// One user on this device. Cheap to clone; when the last clone is dropped the client ends, with its calls.
///
/// ```no_run
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// use offhook_client::{Client, ClientEvent};
///
/// let client = Client::new("a32e5a8d-f7d8-411c-9645-9038e8dd051d", "alice", "127.0.0.1:7070")?;
/// let mut events = client.start().await?;
/// while let Some(event) = events.next().await {
///     if let ClientEvent::CredentialsRequired(registration) = event {
///         registration.register("token from my back end").await?;
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Client(Arc<Handle>);

/// Ends the client when the last clone is gone.
#[derive(Debug)]
pub(crate) struct Handle {
    shared: Arc<Shared>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        if let Some(run) = self.shared.run() {
            run.signal.terminate();
        }
    }
}

impl Client {
    /// A client with the usual settings, as the published `getSinchClient(applicationKey, userId, environmentHost)`.
    ///
    /// # Errors
    /// [`BuildError`] names the value to correct.
    pub fn new(
        application_key: impl Into<String>,
        user_id: impl Into<String>,
        environment_host: impl Into<String>,
    ) -> Result<Self, BuildError> {
        Self::builder()
            .application_key(application_key)
            .user_id(user_id)
            .environment_host(environment_host)
            .build()
    }

    /// A builder for everything that can be told.
    #[must_use]
    pub fn builder() -> ClientBuilder {
        ClientBuilder::default()
    }

    pub(crate) fn new_stopped(settings: Settings) -> Self {
        Self(Arc::new(Handle { shared: Arc::new(Shared::new(settings)) }))
    }

    pub(crate) fn from_handle(handle: Arc<Handle>) -> Self {
        Self(handle)
    }

    /// Starts: registers with what the credential store kept, else after a token was given to
    /// [`CredentialsRequired`](crate::ClientEvent::CredentialsRequired). Whether it worked comes as an event. A client that failed or was
    /// terminated can be started again.
    ///
    /// # Errors
    /// [`StartError`]: nothing was started.
    pub async fn start(&self) -> Result<ClientEvents, StartError> {
        let shared = &self.0.shared;
        let starting = driver::prepare_start(shared).await?;
        let events = shared.events.subscribe();
        tokio::spawn(tell_client_listeners(Arc::downgrade(&self.0), shared.events.subscribe()));
        starting.run(Arc::clone(shared));
        Ok(events)
    }

    /// Ends the client: hangs up its calls, says good-bye to the server and stops. Returns within about a second whatever the network
    /// does. Its events end.
    pub async fn terminate(&self) {
        let Some(mut run) = self.0.shared.run() else { return };
        run.signal.terminate();
        // What has not ended by then ends in the background, in bounded time too.
        let _ = timeout(TERMINATE, run.ended.wait_for(|ended| *ended)).await;
    }

    /// Whether the client is registered: from `Started` until it stops.
    #[must_use]
    pub fn is_started(&self) -> bool {
        self.0.shared.started().is_some()
    }

    /// The local user.
    #[must_use]
    pub fn user_id(&self) -> &str {
        self.0.shared.settings.account.user_id.as_str()
    }

    /// Makes calls and finds them again.
    #[must_use]
    pub fn call_client(&self) -> CallClient {
        CallClient::new(Arc::clone(&self.0.shared))
    }

    /// [`call_client`](Self::call_client) in its older spelling.
    #[must_use]
    pub fn get_call_client(&self) -> CallClient {
        self.call_client()
    }

    /// Adds a listener; adding it again does nothing. It is told of what happens from the next start on, or from now on.
    pub fn add_listener(&self, listener: Arc<dyn ClientListener>) {
        self.listeners().add(listener, true);
    }

    /// [`add_listener`](Self::add_listener) in its older spelling.
    pub fn set_event_listener(&self, listener: Arc<dyn ClientListener>) {
        self.add_listener(listener);
    }

    /// Removes a listener.
    pub fn remove_listener(&self, listener: &Arc<dyn ClientListener>) {
        self.listeners().remove(listener);
    }

    /// Changes the microphone, also of running calls. It is opened now only when a call uses it.
    ///
    /// # Errors
    /// [`MicrophoneError`]: the old one stays.
    pub async fn set_microphone(&self, device: Device) -> Result<(), MicrophoneError> {
        let shared = &self.0.shared;
        shared.sound.set_device(device, shared.settings.timeouts.device).await
    }

    /// Chooses what is done to the microphone's sound, from now on and also in running calls.
    pub fn set_audio_processing(&self, processing: AudioProcessing) {
        self.0.shared.sound.set_processing(processing);
    }

    /// The microphone while a call has it open: level, device, start.
    #[must_use]
    pub fn microphone(&self) -> Option<Microphone> {
        self.0.shared.sound.current().map(|lease| lease.microphone().clone())
    }

    /// The sound engine, once the client was started.
    #[must_use]
    pub fn engine(&self) -> Option<Engine> {
        self.0.shared.sound.engine()
    }

    pub(crate) fn listeners(&self) -> &Listeners {
        &self.0.shared.listeners
    }
}
