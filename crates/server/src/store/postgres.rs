//! A PostgreSQL database: one connection that writes, whose waiting jobs are committed together, and one that reads.
//!
//! While the database is away everything but call records is refused at once. Records go to an outbox on this machine's disk and from there to
//! the database when it is back, so that a record that was taken is lost with neither.

mod applications;
mod devices;
mod filling;
mod link;
mod migrations;
mod outbox;
mod pushes;
mod records;
mod url;
mod values;
mod writer;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::join_all;
use offhook_signaling::call::DeviceAddress;
use offhook_signaling::token::NonceUse;
use offhook_signaling::{ApplicationKey, CallId, DeviceId, UnixSeconds, UserId};
use tokio::time::timeout;
use tokio_postgres::Client;

use self::applications::Sealed;
pub(super) use self::filling::Filling;
use self::link::Link;
use self::outbox::Outbox;
use self::records::Worded;
pub use self::url::{PostgresUrl, PostgresUrlError, fuzz as url_fuzz};
use self::writer::{Writer, failed, in_time};
use super::{
    CallDetailRecord, CredentialHash, DeviceRecord, PushKey, PushRecord, RecordPage, RecordQuery, Store,
    StoreError, StoreFuture, StoreKey, StoreKeySource, StoredApplication,
};

/// Records that go from the outbox to the database at once.
const EMPTIED_AT_ONCE: usize = 512;
/// Between two looks at an outbox whose records the database does not take.
const PAUSE: Duration = Duration::from_secs(1);

/// Where a [`PostgresStore`] is and what it needs beside.
#[derive(Debug, Clone)]
pub struct PostgresOptions {
    /// The database.
    pub url: PostgresUrl,
    /// The key that seals application secrets. Servers that share a database share it.
    pub key: StoreKeySource,
    /// The folder of the key that is made when no other is given, and of the outbox.
    pub folder: Option<PathBuf>,
    /// Whether call records wait in an outbox in the folder while the database is away. It is for one process at a time; without it they
    /// are refused then.
    pub outbox: bool,
}

/// Keeps everything in a PostgreSQL database. What was answered `Ok` is committed there, or is a call record in the outbox on this machine's disk.
#[derive(Debug)]
pub struct PostgresStore {
    writer: Writer,
    /// Reads go beside the writer's transactions.
    reading: Link,
    key: Arc<StoreKey>,
    outbox: Option<Arc<Outbox>>,
}

impl PostgresStore {
    /// Connects, brings the schema up to date and starts to send what an earlier run left in the outbox.
    ///
    /// # Errors
    /// [`StoreError::Unreachable`], [`StoreError::Refused`], [`StoreError::TooNew`] for a database of a newer release,
    /// [`StoreError::Key`] or [`StoreError::WrongKey`], [`StoreError::Open`] or [`StoreError::InUse`] for the outbox.
    pub async fn connect(options: PostgresOptions) -> Result<Self, StoreError> {
        let PostgresOptions { url, key, folder, outbox } = options;
        let (writing, reading) = (Link::open(&url, "write").await?, Link::open(&url, "read").await?);
        let key = prepared(&writing, &url, &key, folder.clone()).await?;
        let outbox = match folder.filter(|_| outbox) {
            Some(folder) => Some(blocking(move || Outbox::open(&folder)).await?),
            None => None,
        };
        let writer = Writer::start(writing.clone());
        if let Some(outbox) = &outbox {
            tokio::spawn(empty(Arc::downgrade(outbox), writer.clone(), writing));
        }
        Ok(Self { writer, reading, key: Arc::new(key), outbox })
    }

    /// Runs one statement beside the writer.
    fn read<'a, T, F, A>(&'a self, ask: F) -> StoreFuture<'a, T>
    where
        T: Send + 'a,
        F: FnOnce(Arc<Client>) -> A + Send + 'a,
        A: Future<Output = Result<T, StoreError>> + Send + 'a,
    {
        async move {
            let client = self.reading.client().await?;
            in_time(&self.reading, ask(client)).await
        }
        .boxed()
    }

    async fn keep(&self, record: CallDetailRecord) -> Result<(), StoreError> {
        let worded = Arc::new(Worded::of(record.clone())?);
        let put = self.writer.run(move |client| records::put(client, worded.clone()).boxed()).await;
        match (put, &self.outbox) {
            (Err(error), Some(outbox)) => {
                tracing::debug!(call_id = %record.call_id, %error, "call record goes to the outbox");
                outbox.put(record).await
            }
            (put, _) => put,
        }
    }
}

/// Finds the key, which is made in the folder where none is given and the database is new, and brings the schema up to date.
async fn prepared(
    link: &Link,
    url: &PostgresUrl,
    key: &StoreKeySource,
    folder: Option<PathBuf>,
) -> Result<StoreKey, StoreError> {
    let client = link.client().await?;
    let is_sealed = migrations::is_sealed(&client).await?;
    let key = key.clone();
    let key = blocking(move || {
        if let Some(folder) = &folder {
            std::fs::create_dir_all(folder).map_err(|error| StoreError::Open {
                path: folder.display().to_string(),
                reason: error.to_string(),
            })?;
        }
        key.find(folder.as_deref(), is_sealed).map_err(StoreError::from)
    })
    .await?;
    migrations::run(&client, url, &key).await?;
    Ok(key)
}

async fn blocking<T: Send + 'static>(
    job: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    tokio::task::spawn_blocking(job).await.map_err(|_| StoreError::Closed)?
}

/// Sends what is in the outbox whenever the database is there, until the store is dropped.
async fn empty(outbox: std::sync::Weak<Outbox>, writer: Writer, link: Link) {
    while let Some(outbox) = outbox.upgrade() {
        if outbox.waiting() > 0 && link.is_up() {
            let before = outbox.waiting();
            if let Err(error) = empty_once(&outbox, &writer).await {
                tracing::warn!(%error, waiting = outbox.waiting(), "call records wait in the outbox");
            } else if outbox.waiting() == 0 {
                tracing::info!(records = before, "the outbox is empty again");
                continue;
            }
        }
        // A look now and then: the database may be back, or the store gone.
        let _ = timeout(PAUSE, outbox.filled.notified()).await;
        if outbox.waiting() > 0 && !link.is_up() {
            drop(outbox);
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// Sends every record once. One that the database refuses stays, and holds up nobody else.
async fn empty_once(outbox: &Outbox, writer: &Writer) -> Result<(), StoreError> {
    let (mut last, mut refused) = (0, None);
    loop {
        let records = outbox.oldest(last, EMPTIED_AT_ONCE).await?;
        let Some((newest, _)) = records.last() else { break };
        last = *newest;
        let sent = join_all(records.into_iter().map(|(number, record)| async move {
            let worded = Arc::new(Worded::of(record)?);
            writer.run(move |client| records::put(client, worded.clone()).boxed()).await.map(|()| number)
        }));
        let (mut gone, mut failures) = (Vec::new(), 0);
        for outcome in sent.await {
            match outcome {
                Ok(number) => gone.push(number),
                Err(error) => {
                    failures += 1;
                    refused = Some(error);
                }
            }
        }
        let all_failed = gone.is_empty() && failures > 0;
        outbox.forget(gone).await?;
        if all_failed {
            break;
        }
    }
    refused.map_or(Ok(()), Err)
}

impl Store for PostgresStore {
    fn applications(&self) -> StoreFuture<'_, Vec<StoredApplication>> {
        self.read(async move |client| applications::all(&client, &self.key).await)
    }

    fn put_application(&self, application: &StoredApplication) -> StoreFuture<'_, ()> {
        let sealed = Sealed::of(application, &self.key).map(Arc::new);
        async move {
            let sealed = sealed?;
            self.writer.run(move |client| applications::put(client, sealed.clone()).boxed()).await
        }
        .boxed()
    }

    fn bind_nonce(
        &self,
        scope: &str,
        nonce: &str,
        device: &DeviceId,
        expires: UnixSeconds,
        now: UnixSeconds,
    ) -> StoreFuture<'_, NonceUse> {
        let (scope, nonce, device) = (scope.to_owned(), nonce.to_owned(), device.to_string());
        let bind = move |client| {
            let (scope, nonce, device) = (scope.clone(), nonce.clone(), device.clone());
            devices::bind_nonce(client, scope, nonce, device, (expires, now)).boxed()
        };
        self.writer.run(bind).boxed()
    }

    fn put_device(&self, record: &DeviceRecord) -> StoreFuture<'_, ()> {
        let record = record.clone();
        self.writer.run(move |client| devices::put(client, record.clone()).boxed()).boxed()
    }

    fn device(&self, hash: CredentialHash) -> StoreFuture<'_, Option<DeviceRecord>> {
        self.read(async move |client| devices::by_hash(&client, hash).await)
    }

    fn revoke_device(&self, address: &DeviceAddress) -> StoreFuture<'_, bool> {
        let address = address.clone();
        self.writer.run(move |client| devices::revoke(client, address.clone()).boxed()).boxed()
    }

    fn push_key(&self, fresh: PushKey) -> StoreFuture<'_, PushKey> {
        async move {
            let kept = self.writer.run(move |client| pushes::key(client, fresh.clone()).boxed()).await?;
            pushes::push_key(&kept)
        }
        .boxed()
    }

    fn put_push(&self, record: &PushRecord) -> StoreFuture<'_, ()> {
        let record = record.clone();
        self.writer.run(move |client| pushes::put(client, record.clone()).boxed()).boxed()
    }

    fn delete_push(&self, address: &DeviceAddress, endpoint: Option<&str>) -> StoreFuture<'_, bool> {
        let (address, endpoint) = (address.clone(), endpoint.map(str::to_owned));
        let delete = move |client| pushes::delete(client, address.clone(), endpoint.clone()).boxed();
        self.writer.run(delete).boxed()
    }

    fn pushes_of(
        &self,
        application: &ApplicationKey,
        user: &UserId,
        now: UnixSeconds,
    ) -> StoreFuture<'_, Vec<PushRecord>> {
        let (application, user) = (application.clone(), user.clone());
        self.read(async move |client| pushes::of_user(&client, &application, &user, now).await)
    }

    fn devices(
        &self,
        application: &ApplicationKey,
        user: Option<&UserId>,
        now: UnixSeconds,
        after: Option<&(UserId, DeviceId)>,
        limit: usize,
    ) -> StoreFuture<'_, Vec<DeviceRecord>> {
        let (application, user, after) = (application.clone(), user.cloned(), after.cloned());
        self.read(async move |client| {
            devices::all(&client, &application, user.as_ref(), now, (after.as_ref(), limit)).await
        })
    }

    fn block_user(
        &self,
        application: &ApplicationKey,
        user: &UserId,
        since: Option<UnixSeconds>,
    ) -> StoreFuture<'_, ()> {
        let (application, user) = (application.clone(), user.clone());
        let block = move |client| devices::block(client, application.clone(), user.clone(), since).boxed();
        self.writer.run(block).boxed()
    }

    fn blocked_since(
        &self,
        application: &ApplicationKey,
        user: &UserId,
    ) -> StoreFuture<'_, Option<UnixSeconds>> {
        let (application, user) = (application.clone(), user.clone());
        self.read(async move |client| devices::blocked_since(&client, &application, &user).await)
    }

    fn blocked_users(
        &self,
        application: &ApplicationKey,
        after: Option<&UserId>,
        limit: usize,
    ) -> StoreFuture<'_, Vec<(UserId, UnixSeconds)>> {
        let (application, after) = (application.clone(), after.cloned());
        self.read(async move |client| devices::blocked(&client, &application, after.as_ref(), limit).await)
    }

    fn put_record(&self, record: &CallDetailRecord) -> StoreFuture<'_, ()> {
        self.keep(record.clone()).boxed()
    }

    fn record(
        &self,
        application: &ApplicationKey,
        call_id: &CallId,
    ) -> StoreFuture<'_, Option<CallDetailRecord>> {
        let (application, call_id) = (application.clone(), call_id.clone());
        async move {
            if let Some(outbox) = &self.outbox
                && let Some(record) = outbox.of_call(&application, &call_id).await?
            {
                return Ok(Some(record));
            }
            self.read(async move |client| records::of_call(&client, &application, &call_id).await).await
        }
        .boxed()
    }

    fn records(&self, query: &RecordQuery) -> StoreFuture<'_, RecordPage> {
        let query = query.clone();
        self.read(async move |client| records::page(&client, &query).await)
    }

    fn prune(&self, now: UnixSeconds) -> StoreFuture<'_, ()> {
        let prune = move |client: Arc<Client>| {
            async move {
                devices::prune(client.clone(), now).await?;
                pushes::prune(client).await
            }
            .boxed()
        };
        self.writer.run(prune).boxed()
    }

    fn queued(&self) -> usize {
        self.writer.queued()
    }

    fn waiting_records(&self) -> usize {
        self.outbox.as_ref().map_or(0, |outbox| outbox.waiting())
    }

    fn check(&self) -> StoreFuture<'_, ()> {
        self.read(async move |client| {
            client.query_typed_one("SELECT 1", &[]).await.map(drop).map_err(|error| failed(&error))
        })
    }
}
