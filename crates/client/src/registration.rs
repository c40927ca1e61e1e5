//! The application's answer to `CredentialsRequired`.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use offhook_signaling::UserId;
use tokio::sync::oneshot;

use crate::driver::{Command, Secret};
use crate::error::RegisterError;
use crate::shared::Run;

/// Takes a token of the application's back end for this client's user.
#[derive(Clone)]
pub struct ClientRegistration {
    user: UserId,
    run: Run,
}

impl ClientRegistration {
    pub(crate) fn new(user: UserId, run: Run) -> Self {
        Self { user, run }
    }

    /// The user the token must be for.
    #[must_use]
    pub fn user_id(&self) -> &str {
        self.user.as_str()
    }

    /// Hands the token over. It is on its way when this returns: the future only tells whether the client took it, and may be dropped.
    /// What the server says of it comes as [`Started`](crate::ClientEvent::Started) or [`Failed`](crate::ClientEvent::Failed).
    pub fn register(&self, jwt: impl Into<String>) -> Registering {
        let (reply, answer) = oneshot::channel();
        // A driver that has 256 commands waiting has stopped: the reply is dropped with the command, and the future says so.
        let _ = self.run.commands.try_send(Command::Register { token: Secret(jwt.into()), reply });
        Registering(answer)
    }

    /// Says that there is no token. A client that starts fails then; one that runs goes on until its registration ends.
    pub fn register_failed(&self) {
        self.run.signal.give_up_token();
    }
}

impl fmt::Debug for ClientRegistration {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("ClientRegistration").field("user", &self.user).finish_non_exhaustive()
    }
}

/// Whether the client took a token; see [`ClientRegistration::register`].
#[derive(Debug)]
pub struct Registering(oneshot::Receiver<Result<(), RegisterError>>);

impl Future for Registering {
    type Output = Result<(), RegisterError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx).map(|answer| answer.unwrap_or(Err(RegisterError::Stopped)))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::sync::{mpsc, watch};

    use super::*;
    use crate::shared::Signal;

    #[test]
    fn that_there_is_no_token_is_heard_however_many_commands_wait() {
        let (commands, _waiting) = mpsc::channel(1);
        let signal = Arc::new(Signal::default());
        let run = Run { commands, signal: Arc::clone(&signal), ended: watch::channel(false).1 };
        let registration = ClientRegistration::new(UserId::new("alice").unwrap(), run);
        let _registering = registration.register("a token that fills the queue");
        registration.register_failed();
        assert!(signal.take_no_token());
        assert!(!signal.take_no_token(), "once");
    }
}
