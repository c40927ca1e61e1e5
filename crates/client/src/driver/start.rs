//! Starting: what is slow is done once, before the drivers run.

use std::sync::Arc;

use offhook_media::Engine;
use offhook_signaling::client::{ClientConfig, ClientMachine};
use offhook_signaling::{DeviceId, EntropySource};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};

use super::signaling::SignalingDriver;
use super::{Command, prepare};
use crate::credential::Registration;
use crate::error::{CredentialError, StartError};
use crate::event::ClientEvent;
use crate::shared::{Run, Shared, Signal};

/// Commands that wait for the signaling driver.
const MOST_COMMANDS: usize = 256;

/// The operating system's random numbers.
#[derive(Debug)]
pub(super) struct OsEntropy;

impl EntropySource for OsEntropy {
    /// # Panics
    /// When the operating system gives no random numbers: nothing can be kept secret then. [`prepare_start`] has asked it before.
    fn fill(&mut self, bytes: &mut [u8]) {
        getrandom::fill(bytes).expect("it gave random numbers when the client started");
    }
}

/// A start that nothing can stop any more.
#[derive(Debug)]
pub(crate) struct Starting {
    run: Run,
    ended: watch::Sender<bool>,
    commands: mpsc::Receiver<Command>,
    registration: Registration,
}

/// Opens the engine, makes the certificate, loads the registration.
///
/// # Errors
/// [`StartError`]; nothing is started then.
pub(crate) async fn prepare_start(shared: &Arc<Shared>) -> Result<Starting, StartError> {
    Handle::try_current().map_err(|_| StartError::NoRuntime)?;
    let (sender, commands) = mpsc::channel(MOST_COMMANDS);
    let (ended, watch) = watch::channel(false);
    let run = Run { commands: sender, signal: Arc::new(Signal::default()), ended: watch };
    // From here on nobody else starts it; giving up drops `ended`, which lets others.
    if !shared.begin(run.clone()) {
        return Err(StartError::AlreadyStarted);
    }
    let slow = Arc::clone(shared);
    let loaded = tokio::task::spawn_blocking(move || load(&slow)).await;
    let registration =
        loaded.map_err(|error| StartError::Credentials(CredentialError::Other(error.to_string())))??;
    Ok(Starting { run, ended, commands, registration })
}

fn load(shared: &Shared) -> Result<Registration, StartError> {
    let settings = &shared.settings;
    // The shared one is another when the application closed it since the last start.
    shared.sound.set_engine(settings.engine.clone().map_or_else(Engine::shared, Ok)?);
    prepare::certificate().map_err(|error| StartError::Certificate(error.to_string()))?;
    let mut probe = [0; 16];
    getrandom::fill(&mut probe).map_err(|_| StartError::Random)?;
    let kept = settings.store.load(&settings.account)?;
    let wanted = settings.device_id.clone();
    match kept {
        // A credential belongs to the device it was given to.
        Some(kept) if wanted.as_ref().is_none_or(|wanted| *wanted == kept.device_id) => Ok(kept),
        _ => {
            let device_id = wanted.unwrap_or_else(|| DeviceId::random(&mut OsEntropy));
            let registration = Registration { device_id, credential: None };
            settings.store.save(&settings.account, &registration)?;
            Ok(registration)
        }
    }
}

impl Starting {
    /// Spawns the signaling driver.
    pub(crate) fn run(self, shared: Arc<Shared>) {
        let Self { run, ended, commands, registration } = self;
        let (account, timeouts) = (&shared.settings.account, &shared.settings.timeouts);
        let mut config = ClientConfig::new(
            account.application_key.clone(),
            account.user_id.clone(),
            registration.device_id.clone(),
        );
        config.display_name.clone_from(&shared.settings.display_name);
        config.timers = timeouts.call;
        config.start_timeout = timeouts.start;
        config.renewal_margin = timeouts.renewal;
        let machine = ClientMachine::new(config, OsEntropy);
        let driver = SignalingDriver::new(Arc::clone(&shared), machine, run, commands, registration);
        tokio::spawn(async move {
            let failure = driver.run().await;
            // Whoever learns of the failure may start again at once: the end is known before it, and reaches only readers of this start.
            let readers = shared.events.detach_readers();
            ended.send_replace(true);
            readers.end(failure.map(ClientEvent::Failed).as_ref());
        });
    }
}
