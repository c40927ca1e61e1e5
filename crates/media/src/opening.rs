//! A device that is being opened.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::device::OpenDeviceError;
use crate::device::supervisor::OpenPort;
use crate::engine::Engine;
use crate::reply::Reply;

/// Longest wait for a sound system.
const LONGEST: Duration = Duration::from_secs(10);

/// A microphone or an element on its way: await it, or [`wait`](Self::wait). Dropping it closes what was opened.
#[derive(Debug)]
#[must_use = "await it or call wait() to get what was opened"]
pub struct Opening<T> {
    reply: Reply<Result<OpenPort, OpenDeviceError>>,
    engine: Engine,
    make: fn(Engine, OpenPort) -> T,
}

impl<T> Opening<T> {
    pub(crate) fn new(
        reply: Reply<Result<OpenPort, OpenDeviceError>>,
        engine: Engine,
        make: fn(Engine, OpenPort) -> T,
    ) -> Self {
        Self { reply, engine, make }
    }

    /// Blocks until it is open, for ten seconds at most.
    ///
    /// # Errors
    /// Every [`OpenDeviceError`].
    pub fn wait(self) -> Result<T, OpenDeviceError> {
        let Self { reply, engine, make } = self;
        match reply.wait(LONGEST) {
            Some(answer) => answer.map(|port| make(engine, port)),
            None if engine.is_closed() => Err(OpenDeviceError::EngineClosed),
            None => Err(OpenDeviceError::NoSoundSystem("it did not answer within ten seconds".to_owned())),
        }
    }
}

impl<T> Future for Opening<T> {
    type Output = Result<T, OpenDeviceError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = std::task::ready!(Pin::new(&mut self.reply).poll(cx));
        let opened = answer.unwrap_or(Err(OpenDeviceError::EngineClosed));
        Poll::Ready(opened.map(|port| (self.make)(self.engine.clone(), port)))
    }
}
