//! One of the two people: an engine, a client, a recorded voice as microphone and a recording as speaker.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use offhook_client::{AddressSource, Client, ClientEvent, ClientEvents, PacketPathFactory};
use offhook_media::{AudioElement, Device, Engine};
use offhook_server::{DevelopmentApplication, RunningServer};
use offhook_sim::allocations;
use tokio::time::timeout;

use crate::args::DemoArguments;
use crate::failure::Failure;
use crate::{media_options, token};

/// Longest wait for one step of setting up.
pub(super) const STEP: Duration = Duration::from_secs(20);
const TOKEN_SECONDS: u64 = 600;

/// The demo's figures are of loopback, whatever network the machine has.
#[derive(Debug)]
struct Loopback;

impl AddressSource for Loopback {
    fn addresses(&self) -> Vec<IpAddr> {
        vec![Ipv4Addr::LOCALHOST.into()]
    }
}

/// What makes one person different from the other.
pub(super) struct Role {
    pub(super) name: &'static str,
    pub(super) spoken: PathBuf,
    pub(super) heard: PathBuf,
    pub(super) path: Option<PacketPathFactory>,
}

/// A registered person.
#[derive(Debug)]
pub(super) struct Person {
    pub(super) name: &'static str,
    pub(super) engine: Engine,
    pub(super) client: Client,
    pub(super) speaker: AudioElement,
    events: ClientEvents,
}

impl Person {
    /// Registers at the server; the speaker records from now on.
    pub(super) async fn register(
        role: Role,
        server: &RunningServer,
        application: &DevelopmentApplication,
        arguments: &DemoArguments,
    ) -> Result<Self, Failure> {
        let failed = |what: String| Failure::failed(format!("{}: {what}", role.name));
        let engine = Engine::builder()
            .latency(media_options::latency(&arguments.media))
            .allocation_counter(allocations::of_this_thread)
            .build()
            .map_err(|error| failed(error.to_string()))?;
        let speaker =
            engine.open_element(Device::wav(role.heard)).map_err(|error| failed(error.to_string()))?;
        let mut builder = Client::builder()
            .application_key(application.key().as_str())
            .user_id(role.name)
            .environment_host(server.url())
            .engine(engine.clone())
            .addresses(Arc::new(Loopback))
            .microphone(Device::wav(role.spoken));
        builder = media_options::apply(builder, &arguments.media, &arguments.record);
        if let Some(path) = role.path {
            builder = builder.packet_path(path);
        }
        let client = builder.build().map_err(|error| failed(error.to_string()))?;
        let events = client.start().await.map_err(|error| failed(error.to_string()))?;
        let mut person = Self { name: role.name, engine, client, speaker, events };
        let token =
            token::make(application.key().as_str(), &application.secret_base64(), role.name, TOKEN_SECONDS)?;
        let started = timeout(STEP, person.until_started(&token)).await;
        started.unwrap_or_else(|_| Err(failed("not registered in time".to_owned())))?;
        Ok(person)
    }

    async fn until_started(&mut self, token: &str) -> Result<(), Failure> {
        while let Some(event) = self.events.next().await {
            match event {
                ClientEvent::CredentialsRequired(registration) => {
                    // A token that is not taken shows as a failure that follows.
                    drop(registration.register(token));
                }
                ClientEvent::Started => return Ok(()),
                ClientEvent::Failed(error) => {
                    return Err(Failure::failed(format!("{}: {}", self.name, error.message)));
                }
                _ => {}
            }
        }
        Err(Failure::failed(format!("{}: the client stopped", self.name)))
    }

    /// The call that comes in.
    pub(super) async fn incoming_call(&mut self) -> Option<offhook_client::Call> {
        while let Some(event) = self.events.next().await {
            if let ClientEvent::IncomingCall(call) = event {
                return Some(call);
            }
        }
        None
    }

    /// Says good-bye and closes the recording.
    pub(super) async fn leave(self) {
        self.client.terminate().await;
        let Self { engine, client, speaker, .. } = self;
        drop((client, speaker));
        // Waits for device threads, which write the last of the recording.
        let _ = tokio::task::spawn_blocking(move || engine.close()).await;
    }
}
