//! Whether the store works, for whoever asks: it is tried at most once a second, for trying costs a write and anyone may ask.

use std::time::{Duration, Instant};

use tokio::sync::Mutex;

use crate::environment;
use crate::store::{Store, StoreError};

/// How long an answer holds.
const HOLDS: Duration = Duration::from_secs(1);

/// What the last try showed.
#[derive(Debug, Default)]
pub(crate) struct Readiness(Mutex<Option<(Instant, Result<(), StoreError>)>>);

impl Readiness {
    /// Whether the store works. Who comes while it is being tried waits for that.
    pub(crate) async fn check(&self, store: &dyn Store) -> Result<(), StoreError> {
        let mut last = self.0.lock().await;
        if let Some((at, result)) = &*last
            && environment::now().duration_since(*at) < HOLDS
        {
            return result.clone();
        }
        let result = store.check().await;
        *last = Some((environment::now(), result.clone()));
        result
    }
}
