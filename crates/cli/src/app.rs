//! `offhook app`: applications in the store of a server, which notices a change within seconds.

use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use offhook_server::{
    ApplicationOrigin, CallbackDigest, Callbacks, PostgresOptions, PostgresStore, SqliteStore, Store,
    StoreError, StoreKeyError, StoredApplication,
};
use offhook_signaling::call::Unanswered;
use offhook_signaling::{ApplicationKey, UnixSeconds};
use serde::Serialize;

use crate::args::{AppAction, AppArguments, AppStore, CallbackArguments};
use crate::failure::Failure;
use crate::terminal;

/// Runs one action and prints what it did.
pub(crate) async fn run(arguments: &AppArguments) -> Result<ExitCode, Failure> {
    match &arguments.action {
        AppAction::Create { name, callbacks, store } => {
            let callbacks = changed(None, callbacks)?;
            let opened = open(store, true).await?;
            let made = StoredApplication { callbacks, ..StoredApplication::create(name, now()?) };
            put(&*opened, &made).await?;
            show(store.json, &Shown::with_secret(&made, now()?));
        }
        AppAction::List { store } => {
            let all = open(store, false).await?.applications().await.map_err(|error| failed(&error))?;
            let now = now()?;
            let shown: Vec<Shown> = all.iter().map(|application| Shown::of(application, now)).collect();
            if store.json {
                terminal::print_json(&shown);
            } else {
                shown.iter().for_each(|shown| show(false, shown));
            }
        }
        AppAction::Set { key, name, callbacks, no_callbacks, store } => {
            let (opened, mut application) = change(store, key).await?;
            let before = application.callbacks.take().filter(|_| !no_callbacks);
            application.callbacks = changed(before, callbacks)?;
            application.name = name.clone().unwrap_or(application.name);
            put(&*opened, &application).await?;
            show(store.json, &Shown::of(&application, now()?));
        }
        AppAction::Rotate { key, accept_old, store } => {
            let mut application = change(store, key).await?;
            application.1.rotate(now()?, *accept_old);
            put(&*application.0, &application.1).await?;
            show(store.json, &Shown::with_secret(&application.1, now()?));
        }
        AppAction::Block { key, store } => block(store, key, Some(now()?)).await?,
        AppAction::Unblock { key, store } => block(store, key, None).await?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Callbacks with what the command line says about them.
fn changed(before: Option<Callbacks>, arguments: &CallbackArguments) -> Result<Option<Callbacks>, Failure> {
    let CallbackArguments {
        callback_url,
        callback_fallback_url,
        callback_timeout,
        callback_failure,
        callback_digest,
    } = arguments;
    let is_said = callback_fallback_url.is_some()
        || callback_timeout.is_some()
        || callback_failure.is_some()
        || callback_digest.is_some();
    let mut callbacks = match (before, callback_url) {
        (Some(before), Some(url)) => Callbacks { url: url.clone(), ..before },
        (Some(before), None) => before,
        (None, Some(url)) => Callbacks::new(url),
        (None, None) if is_said => {
            return Err(Failure::usage("there is no callback URL yet").advice("give --callback-url too"));
        }
        (None, None) => return Ok(None),
    };
    if let Some(url) = callback_fallback_url {
        callbacks.fallback_url = Some(url.clone());
    }
    if let Some(seconds) = callback_timeout {
        callbacks.timeout_ms = (seconds * 1000.0).round() as u64;
    }
    match callback_failure.as_deref() {
        Some("hangup") => callbacks.on_failure = Unanswered::HangUp,
        Some(_) => callbacks.on_failure = Unanswered::Continue,
        None => {}
    }
    match callback_digest.as_deref() {
        Some("md5") => callbacks.digest = CallbackDigest::Md5,
        Some(_) => callbacks.digest = CallbackDigest::Sha256,
        None => {}
    }
    callbacks.validate().map_err(|error| Failure::usage(error.to_string()))?;
    Ok(Some(callbacks))
}

async fn block(store: &AppStore, key: &str, since: Option<UnixSeconds>) -> Result<(), Failure> {
    let (opened, mut application) = change(store, key).await?;
    application.blocked = since.map(|since| application.blocked.unwrap_or(since));
    put(&*opened, &application).await?;
    show(store.json, &Shown::of(&application, now()?));
    Ok(())
}

/// The store and an application that is in it.
async fn change(store: &AppStore, key: &str) -> Result<(Box<dyn Store>, StoredApplication), Failure> {
    let key = ApplicationKey::new(key).map_err(|error| {
        Failure::usage(format!("{key:?}: {error}")).advice("copy the key again, e.g. from `offhook app list`")
    })?;
    let opened = open(store, false).await?;
    let all = opened.applications().await.map_err(|error| failed(&error))?;
    let found = all.into_iter().find(|application| application.key == key).ok_or_else(|| {
        Failure::usage(format!("there is no application {key} in this store"))
            .advice("`offhook app list` shows them; one that stands in a configuration file is changed there")
    })?;
    Ok((opened, found))
}

async fn open(store: &AppStore, make: bool) -> Result<Box<dyn Store>, Failure> {
    let key = store.key.source()?;
    if let Some(url) = store.database.url()? {
        let options = PostgresOptions { url, key, folder: store.data.clone(), outbox: false };
        let opened = PostgresStore::connect(options).await.map_err(|error| failed(&error))?;
        return Ok(Box::new(opened));
    }
    let Some(folder) = &store.data else {
        return Err(Failure::usage("where is the store?").advice("give --data DIR or --store URL"));
    };
    if !make && !SqliteStore::exists(folder) {
        return Err(Failure::usage(format!("there is no store in {}", folder.display()))
            .advice("give the folder that `offhook serve --data` uses"));
    }
    SqliteStore::open(folder, &key).map(|opened| Box::new(opened) as _).map_err(|error| failed(&error))
}

async fn put(store: &dyn Store, application: &StoredApplication) -> Result<(), Failure> {
    store.put_application(application).await.map_err(|error| failed(&error))
}

fn failed(error: &StoreError) -> Failure {
    Failure::failed(error.to_string()).advice(store_advice(error))
}

/// What to do about a store that does not work.
pub(crate) fn store_advice(error: &StoreError) -> &'static str {
    match error {
        StoreError::Unreachable { .. } => {
            "see that PostgreSQL runs there (pg_isready -h HOST), and that address, port and firewalls are right"
        }
        StoreError::Refused { .. } => {
            "check user and password (OFFHOOK_STORE_PASSWORD), that the database exists, and that the user may create tables in it"
        }
        StoreError::InUse { .. } => {
            "stop the other server, or give this one a folder of its own with --data; only nodes of one cluster (--cluster) share a \
             folder, and none where PostgreSQL keeps the records"
        }
        StoreError::TooNew { .. } => "start the release that wrote it, or a newer one",
        StoreError::Key(StoreKeyError::Missing) => {
            "give the key in OFFHOOK_STORE_KEY or its file with --store-key-file, or the server's --data folder"
        }
        StoreError::Key(_) | StoreError::WrongKey { .. } => {
            "the key is OFFHOOK_STORE_KEY, else the file of --store-key-file, else offhook.key in the data folder; \
             without it the application secrets in the store are lost"
        }
        _ => "check the folder given with --data: its permissions and the disk's space",
    }
}

fn now() -> Result<UnixSeconds, Failure> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since
        .map(|since| UnixSeconds(since.as_secs()))
        .map_err(|_| Failure::failed("this machine's clock is before 1970").advice("set it"))
}

/// Reads `90s`, `30m`, `24h`, `7d`, or seconds.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || "write it like 90s, 30m, 24h or 7d".to_owned();
    let (number, unit) = match text.find(|letter: char| !letter.is_ascii_digit()) {
        Some(end) => text.split_at(end),
        None => (text, "s"),
    };
    let factor = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return Err(wrong()),
    };
    let seconds = number.parse::<u64>().ok().and_then(|number| number.checked_mul(factor));
    let most = 366 * 86_400;
    seconds.filter(|seconds| *seconds <= most).map(Duration::from_secs).ok_or_else(wrong)
}

/// An application as it is printed: with its newest secret only where that was just made.
#[derive(Debug, Serialize)]
struct Shown {
    key: String,
    name: String,
    origin: ApplicationOrigin,
    created: UnixSeconds,
    blocked: Option<UnixSeconds>,
    callbacks: Option<Callbacks>,
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
    /// Until when the secret before is accepted, while it is.
    old_secret_accepted_until: Option<UnixSeconds>,
}

impl Shown {
    fn of(application: &StoredApplication, now: UnixSeconds) -> Self {
        let old = application.secrets.get(1).and_then(|old| old.accepted_until);
        Self {
            key: application.key.to_string(),
            name: application.name.clone(),
            origin: application.origin,
            created: application.created,
            blocked: application.blocked,
            callbacks: application.callbacks.clone(),
            secret: None,
            old_secret_accepted_until: old.filter(|until| now < *until),
        }
    }

    fn with_secret(application: &StoredApplication, now: UnixSeconds) -> Self {
        let secret = application.secrets.first().map(|newest| newest.secret.to_base64());
        Self { secret, ..Self::of(application, now) }
    }
}

fn show(json: bool, shown: &Shown) {
    if json {
        return terminal::print_json(shown);
    }
    let mut text = format!("{}  {}", shown.key, shown.name).trim_end().to_owned();
    if shown.origin == ApplicationOrigin::Development {
        text += "  (development)";
    }
    if shown.blocked.is_some() {
        text += "  BLOCKED";
    }
    if let Some(callbacks) = &shown.callbacks {
        text += &format!("\n  callbacks  {}", callbacks.url);
        if let Some(url) = &callbacks.fallback_url {
            text += &format!(", else {url}");
        }
    }
    if let Some(secret) = &shown.secret {
        text += &format!("\n  secret  {secret}");
    }
    if let Some(until) = shown.old_secret_accepted_until {
        text += &format!("\n  the secret before is accepted until {} (seconds since 1970)", until.0);
    }
    terminal::print(&text);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_old_secret_is_told_of_while_it_is_accepted() {
        let mut application = StoredApplication::create("shop", UnixSeconds(1000));
        application.rotate(UnixSeconds(2000), Duration::from_secs(60));
        let until = |now| Shown::of(&application, UnixSeconds(now)).old_secret_accepted_until;
        assert_eq!((until(2059), until(2060)), (Some(UnixSeconds(2060)), None));
    }

    #[test]
    fn durations_are_read_with_their_unit() {
        let seconds = |text| duration(text).map(|duration| duration.as_secs());
        assert_eq!(seconds("90"), Ok(90));
        assert_eq!(seconds("30m"), Ok(1800));
        assert_eq!(seconds("24h"), Ok(86_400));
        assert_eq!(seconds("7d"), Ok(604_800));
        for wrong in ["", "h", "1w", "-1s", "1.5h", "99999999999d"] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
    }
}
