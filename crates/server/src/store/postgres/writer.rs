//! The task that writes. Jobs that wait together are one transaction: one disk flush and three round trips for all.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, join, join_all};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tokio_postgres::Client;

use super::link::{Link, told};
use crate::store::StoreError;

const QUEUED_JOBS: usize = 1024;
const JOBS_PER_COMMIT: usize = 128;
/// A database that says nothing for this long is as good as gone.
pub(super) const ANSWER: Duration = Duration::from_secs(5);

/// What one statement or a few of them give.
pub(super) type Ran<T> = BoxFuture<'static, Result<T, tokio_postgres::Error>>;

/// Something to be done inside a transaction, more than once when the first transaction fails.
trait Job: Send {
    fn attempt(&mut self, client: Arc<Client>) -> BoxFuture<'_, Result<(), StoreError>>;
    fn finish(self: Box<Self>, committed: Result<(), StoreError>);
}

struct Task<T, F> {
    run: F,
    result: Option<T>,
    done: oneshot::Sender<Result<T, StoreError>>,
}

impl<T: Send, F: Fn(Arc<Client>) -> Ran<T> + Send> Job for Task<T, F> {
    fn attempt(&mut self, client: Arc<Client>) -> BoxFuture<'_, Result<(), StoreError>> {
        let running = (self.run)(client);
        Box::pin(async move {
            self.result = Some(running.await.map_err(|error| failed(&error))?);
            Ok(())
        })
    }

    fn finish(self: Box<Self>, committed: Result<(), StoreError>) {
        let Self { result, done, .. } = *self;
        // The asker may have gone away.
        let _ = done.send(committed.and_then(|()| result.ok_or(StoreError::Closed)));
    }
}

/// The way to the task; it ends when this is dropped and every waiting job is done.
#[derive(Debug, Clone)]
pub(super) struct Writer {
    jobs: mpsc::Sender<Box<dyn Job>>,
}

impl Writer {
    pub(super) fn start(link: Link) -> Self {
        let (jobs, queue) = mpsc::channel(QUEUED_JOBS);
        tokio::spawn(run(link, queue));
        Self { jobs }
    }

    /// How many jobs wait.
    pub(super) fn queued(&self) -> usize {
        self.jobs.max_capacity() - self.jobs.capacity()
    }

    /// Runs `job`, whose statements may be sent before the one before is answered, and waits until its changes are committed.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        job: impl Fn(Arc<Client>) -> Ran<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (done, outcome) = oneshot::channel();
        let task = Task { run: job, result: None, done };
        self.jobs.send(Box::new(task)).await.map_err(|_| StoreError::Closed)?;
        outcome.await.map_err(|_| StoreError::Closed)?
    }
}

async fn run(link: Link, mut queue: mpsc::Receiver<Box<dyn Job>>) {
    let mut batch = Vec::new();
    while queue.recv_many(&mut batch, JOBS_PER_COMMIT).await > 0 {
        carry_out(&link, std::mem::take(&mut batch)).await;
    }
}

async fn carry_out(link: &Link, mut batch: Vec<Box<dyn Job>>) {
    let together = transaction(link, &mut batch).await;
    let is_alone = batch.len() == 1;
    match together {
        // One of them is at fault: the others must not suffer for it.
        Err(StoreError::Failed(reason)) if !is_alone && link.is_up() => {
            tracing::warn!(reason, "a transaction failed; its parts are tried one by one");
            for job in batch {
                let mut alone = vec![job];
                let committed = transaction(link, &mut alone).await;
                finish(alone, &committed);
            }
        }
        together => finish(batch, &together),
    }
}

fn finish(batch: Vec<Box<dyn Job>>, committed: &Result<(), StoreError>) {
    for job in batch {
        job.finish(committed.clone());
    }
}

/// Runs all jobs in one transaction.
async fn transaction(link: &Link, batch: &mut [Box<dyn Job>]) -> Result<(), StoreError> {
    let client = link.client().await?;
    let all = async {
        // In this order on the wire; the answers are awaited together.
        let jobs = join_all(batch.iter_mut().map(|job| job.attempt(client.clone())));
        let (begun, jobs) = join(client.batch_execute("BEGIN"), jobs).await;
        begun.map_err(|error| failed(&error))?;
        let Some(end) = jobs.into_iter().find_map(Result::err) else {
            return client.batch_execute("COMMIT").await.map_err(|error| failed(&error));
        };
        // Where even this fails the connection is gone, and the transaction with it.
        let _ = client.batch_execute("ROLLBACK").await;
        Err(end)
    };
    in_time(link, all).await
}

/// Gives the connection up when the database says nothing.
pub(super) async fn in_time<T>(
    link: &Link,
    asked: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    match timeout(ANSWER, asked).await {
        Ok(answer) => answer,
        Err(_) => {
            link.give_up();
            Err(StoreError::Failed("PostgreSQL did not answer in time".to_owned()))
        }
    }
}

pub(super) fn failed(error: &tokio_postgres::Error) -> StoreError {
    StoreError::Failed(told(error))
}
