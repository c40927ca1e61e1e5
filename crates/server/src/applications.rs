//! Which applications are served now: those of the configuration and those of the store, read again every second.

use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLock};

use offhook_signaling::ApplicationKey;
use offhook_signaling::token::ApplicationSecret;

use crate::application::{Application, DevelopmentApplication};
use crate::environment;
use crate::store::{ApplicationOrigin, Store, StoreError, StoredApplication};
use crate::webhook::CallbackTarget;

/// The applications of one server.
#[derive(Debug)]
pub(crate) struct Applications {
    configured: Vec<Application>,
    served: RwLock<BTreeMap<ApplicationKey, Application>>,
}

impl Applications {
    /// The configured ones and those the operator made; where there is neither, the development application, which is made
    /// and kept when there is none.
    pub(crate) async fn load(
        configured: Vec<Application>,
        store: &dyn Store,
    ) -> Result<(Self, Option<DevelopmentApplication>), StoreError> {
        let mut stored = store.applications().await?;
        let is_development = |stored: &StoredApplication| stored.origin == ApplicationOrigin::Development;
        if configured.is_empty() && stored.is_empty() {
            let made = DevelopmentApplication::create();
            let made = StoredApplication::development(made.application(), environment::wall());
            store.put_application(&made).await?;
            stored.push(made);
        }
        let development = Some(&stored)
            .filter(|stored| configured.is_empty() && stored.iter().all(is_development))
            .and_then(|stored| stored.first()?.served(environment::wall()))
            .map(DevelopmentApplication::from_stored);
        let applications = Self { configured, served: RwLock::default() };
        applications.replace(&stored);
        Ok((applications, development))
    }

    /// Looks again what the store holds. Returns those that are served no more.
    pub(crate) async fn refresh(&self, store: &dyn Store) -> Result<Vec<ApplicationKey>, StoreError> {
        let before: Vec<ApplicationKey> = self.keys();
        self.replace(&store.applications().await?);
        Ok(before.into_iter().filter(|key| !self.contains(key)).collect())
    }

    pub(crate) fn contains(&self, key: &ApplicationKey) -> bool {
        self.read().contains_key(key)
    }

    /// The secrets that sign for an application now; none for one that is unknown or blocked.
    pub(crate) fn secrets(&self, key: &ApplicationKey) -> Vec<ApplicationSecret> {
        self.read().get(key).map_or_else(Vec::new, |application| application.secrets().to_vec())
    }

    /// Where an application's back end is told of calls.
    pub(crate) fn callback_target(&self, key: &ApplicationKey) -> Option<CallbackTarget> {
        self.read().get(key).and_then(Application::callback_target)
    }

    pub(crate) fn keys(&self) -> Vec<ApplicationKey> {
        self.read().keys().cloned().collect()
    }

    fn replace(&self, stored: &[StoredApplication]) {
        let now = environment::wall();
        let is_created = |stored: &StoredApplication| stored.origin == ApplicationOrigin::Created;
        let development = self.configured.is_empty() && !stored.iter().any(is_created);
        let served = stored
            .iter()
            .filter(|stored| development || is_created(stored))
            .filter_map(|stored| stored.served(now))
            // The configuration wins.
            .chain(self.configured.iter().cloned())
            .map(|application| (application.key().clone(), application))
            .collect();
        *self.served.write().unwrap_or_else(PoisonError::into_inner) = served;
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, BTreeMap<ApplicationKey, Application>> {
        self.served.read().unwrap_or_else(PoisonError::into_inner)
    }
}
