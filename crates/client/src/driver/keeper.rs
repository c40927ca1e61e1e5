//! Keeps device name and credential, in order, off the driver's thread: stores may block.

use std::sync::Arc;

use offhook_signaling::ClientError;
use offhook_signaling::error::{ClientErrorCode, ErrorDomain};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::credential::{Account, CredentialError, CredentialStore, Registration};
use crate::event::ClientEvent;
use crate::shared::Shared;

/// Registrations that wait to be kept. One comes an hour at most; when a store is stuck that long, the newest one is given up.
const MOST_WAITING: usize = 8;

#[derive(Debug)]
pub(super) struct Keeper {
    waiting: mpsc::Sender<Registration>,
    task: JoinHandle<()>,
}

impl Keeper {
    pub(super) fn spawn(shared: Arc<Shared>) -> Self {
        let (waiting, mut queue) = mpsc::channel(MOST_WAITING);
        let task = tokio::spawn(async move {
            while let Some(registration) = queue.recv().await {
                let (store, account) = (Arc::clone(&shared.settings.store), shared.settings.account.clone());
                if let Err(error) = keep(store, account, registration).await {
                    shared.events.send(&ClientEvent::Failed(persistence(&error)));
                }
            }
        });
        Self { waiting, task }
    }

    pub(super) fn keep(&self, registration: Registration) {
        if self.waiting.try_send(registration).is_err() {
            tracing::warn!("the credential store is stuck: a registration is not kept");
        }
    }

    /// Ends once everything is kept.
    pub(super) fn finish(self) -> JoinHandle<()> {
        self.task
    }
}

async fn keep(
    store: Arc<dyn CredentialStore>,
    account: Account,
    registration: Registration,
) -> Result<(), CredentialError> {
    let kept = tokio::task::spawn_blocking(move || store.save(&account, &registration)).await;
    kept.unwrap_or_else(|error| Err(CredentialError::Other(error.to_string())))
}

fn persistence(error: &CredentialError) -> ClientError {
    ClientError {
        message: format!("the registration was not kept, the next start needs a token: {error}"),
        code: ClientErrorCode::Generic,
        domain: ErrorDomain::Persistence,
        is_fatal: false,
        refusal: None,
    }
}
