//! The thread that owns the connection. Jobs that wait together are committed together: one disk flush for all.

use std::thread;

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use crate::store::StoreError;

const QUEUED_JOBS: usize = 1024;
const JOBS_PER_COMMIT: usize = 128;

/// Runs inside the transaction and gives what to do once it is known whether the commit succeeded.
type Job = Box<dyn FnOnce(&Connection) -> Reply + Send>;
type Reply = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

/// The way to the thread; the thread ends when this is dropped and every waiting job is done.
#[derive(Debug)]
pub(in crate::store) struct Writer {
    jobs: Option<mpsc::Sender<Job>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Writer {
    pub(in crate::store) fn start(connection: Connection) -> std::io::Result<Self> {
        let (jobs, queue) = mpsc::channel(QUEUED_JOBS);
        let thread =
            thread::Builder::new().name("store".to_owned()).spawn(move || run(&connection, queue))?;
        Ok(Self { jobs: Some(jobs), thread: Some(thread) })
    }

    /// How many jobs wait.
    pub(in crate::store) fn queued(&self) -> usize {
        self.jobs.as_ref().map_or(0, |jobs| jobs.max_capacity() - jobs.capacity())
    }

    /// Runs `job` and waits until its changes are durable.
    pub(in crate::store) async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (done, outcome) = oneshot::channel();
        let job: Job = Box::new(move |connection| {
            let result = in_savepoint(connection, job);
            Box::new(move |committed| {
                let failed = |error: rusqlite::Error| StoreError::Failed(error.to_string());
                // The asker may have gone away.
                let _ = done.send(committed.and_then(|()| result.map_err(failed)));
            })
        });
        let jobs = self.jobs.as_ref().ok_or(StoreError::Closed)?;
        jobs.send(job).await.map_err(|_| StoreError::Closed)?;
        outcome.await.map_err(|_| StoreError::Closed)?
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // Joining makes sure that the file is closed before somebody opens it again.
            let _ = thread.join();
        }
    }
}

fn run(connection: &Connection, mut queue: mpsc::Receiver<Job>) {
    let mut batch = Vec::new();
    while let Some(first) = queue.blocking_recv() {
        batch.push(first);
        while batch.len() < JOBS_PER_COMMIT
            && let Ok(job) = queue.try_recv()
        {
            batch.push(job);
        }
        commit(connection, &mut batch);
    }
}

fn commit(connection: &Connection, batch: &mut Vec<Job>) {
    let begun = connection.execute_batch("BEGIN IMMEDIATE");
    let replies: Vec<Reply> = batch.drain(..).map(|job| job(connection)).collect();
    let committed = begun
        .and_then(|()| connection.execute_batch("COMMIT"))
        .map_err(|error| StoreError::Failed(error.to_string()));
    if let Err(error) = &committed {
        tracing::error!(%error, "store could not commit");
        // Without this a failed commit would leave the transaction open for the next batch.
        let _ = connection.execute_batch("ROLLBACK");
    }
    for reply in replies {
        reply(committed.clone());
    }
}

/// Keeps one failing job from leaving half of its changes to the jobs around it.
fn in_savepoint<T>(
    connection: &Connection,
    job: impl FnOnce(&Connection) -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    connection.execute_batch("SAVEPOINT job")?;
    let result = job(connection);
    let end = if result.is_ok() { "RELEASE job" } else { "ROLLBACK TO job; RELEASE job" };
    connection.execute_batch(end)?;
    result
}
