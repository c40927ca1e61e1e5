//! One WebSocket connection: hello, then frames both ways until somebody ends it.

use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::ws::{CloseFrame, Message, WebSocket};
use futures_util::SinkExt as _;
use offhook_signaling::call::DeviceAddress;
use offhook_signaling::message::{Credential, Hello, LiveCall, Outcome, WireError};
use offhook_signaling::wire::{self, Frame, ParseError};
use offhook_signaling::{ClientMessage, EntropySource as _, MessageId, ServerMessage};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep, sleep_until, timeout};
use tokio_tungstenite::tungstenite;

use crate::accept::Guest;
use crate::close::CloseReason;
use crate::environment::{self, OsEntropy};
use crate::hub::{Command, Line, Open};
use crate::limit::Pace;
use crate::outbox::{self, Delivery, Inbox};
use crate::server::Shared;

/// Frames in a row that cannot be read, before the connection is given up.
const MOST_UNREADABLE: u32 = 16;
/// Calls of one device that are taken over after a restart; the switchboard has the same bound.
const MOST_CALLS: usize = 32;
/// How long a closing connection may take.
const CLOSING: Duration = Duration::from_secs(1);
/// Frames that wait go out together up to this size, in one system call where there would be one each.
pub(crate) const TOGETHER: usize = 4096;
/// Clients are asked to come back spread over this long at most.
const MOST_SPREAD_MS: u32 = 30_000;

/// Serves the socket of `guest` until its end.
pub(crate) async fn run(mut socket: WebSocket, shared: Arc<Shared>, guest: &Guest) {
    let pace = Pace::new(shared.config.limits.messages_per_connection, environment::now());
    let greeted = greet(&mut socket, &shared, guest.address(), pace).await;
    guest.greeted();
    let reason = match greeted {
        Ok(conversation) => conversation.run(&mut socket).await,
        Err(reason) => reason,
    };
    shared.metrics.note_closed(reason);
    tracing::debug!(code = reason.code(), reason = reason.text(), "connection closed");
    // A peer that does not take part in closing is left behind.
    let _ = timeout(CLOSING, close(&mut socket, reason, &shared)).await;
}

/// Reads the hello, checks who it is and takes the session.
async fn greet(
    socket: &mut WebSocket,
    shared: &Arc<Shared>,
    from: IpAddr,
    mut pace: Pace,
) -> Result<Conversation, CloseReason> {
    let mut stop = shared.stop();
    let hello = hello(socket, &mut pace);
    let hello = tokio::select! {
        hello = timeout(shared.config.sessions.hello, hello) => hello.map_err(|_| CloseReason::HelloTimeout)??,
        () = stop.draining() => return Err(CloseReason::Shutdown),
    };
    let Hello { application_key: application, user, device_id: device, credential, resume, calls } = hello;
    let address = Arc::new(DeviceAddress { application, user, device });
    let by = if matches!(credential, Credential::Token(_)) { "token" } else { "device" };
    let admitted = shared.auth.admit(&address, &credential, from).await;
    shared.metrics.note_registration(by, admitted.as_ref().map(drop).map_err(|error| *error));
    let credential = admitted.map_err(|error| {
        // Who runs the server has to see a wrong secret or clock; users are not named in logs.
        tracing::info!(application = %address.application, reason = ?error, "registration refused");
        refusal(error)
    })?;
    if stop.is_draining() {
        return Err(CloseReason::Shutdown);
    }
    let calls = still_live(shared, &address, calls).await?;
    let hub = shared.hub(&address.application);
    let (outbox, inbox) = outbox::channel();
    let (opened, answer) = oneshot::channel();
    let open = Open { address, from, resume, calls, credential, outbox, opened, resolved: None };
    hub.send(Command::Open(Box::new(open))).await.map_err(|_| CloseReason::Internal)?;
    let line = answer.await.map_err(|_| CloseReason::Internal)??;
    Ok(Conversation { shared: shared.clone(), hub, line, inbox, pace, unreadable: 0 })
}

/// The calls a device remembers, without those whose record says that they are over: the device was not told before this
/// server's predecessor died.
async fn still_live(
    shared: &Shared,
    address: &DeviceAddress,
    calls: Vec<LiveCall>,
) -> Result<Vec<LiveCall>, CloseReason> {
    let mut live = Vec::new();
    for call in calls.into_iter().take(MOST_CALLS) {
        match shared.store.record(&address.application, &call.call_id).await {
            Ok(None) => live.push(call),
            Ok(Some(_)) => {}
            Err(error) => {
                tracing::error!(%error, "store failed");
                return Err(CloseReason::Internal);
            }
        }
    }
    Ok(live)
}

async fn hello(socket: &mut WebSocket, pace: &mut Pace) -> Result<Hello, CloseReason> {
    let text = loop {
        if let Some(text) = text_of(socket.recv().await)? {
            break text;
        }
        turn(pace).await;
    };
    match wire::parse::<ClientMessage>(text.as_str()) {
        Ok(Frame { message: ClientMessage::Hello(hello), .. }) => Ok(hello),
        Ok(_) => Err(CloseReason::Protocol(WireError::OutOfOrder)),
        Err(error) => {
            tracing::debug!(%error, "unreadable hello");
            Err(CloseReason::Protocol(error.wire()))
        }
    }
}

/// Waits until one more message may be read. Not reading on is felt by the sender as a slower link; nothing is lost.
async fn turn(pace: &mut Pace) {
    while !pace.allow(environment::now()) {
        sleep(pace.interval()).await;
    }
}

fn refusal(error: WireError) -> CloseReason {
    match error {
        WireError::Internal => CloseReason::Internal,
        WireError::RateLimited => CloseReason::Limited,
        other => CloseReason::Refused(other),
    }
}

/// The text of a message; `None` for pings and pongs, which the library answers.
fn text_of(
    message: Option<Result<Message, axum::Error>>,
) -> Result<Option<axum::extract::ws::Utf8Bytes>, CloseReason> {
    match message {
        Some(Ok(Message::Text(text))) => Ok(Some(text)),
        Some(Ok(Message::Ping(_) | Message::Pong(_))) => Ok(None),
        Some(Ok(Message::Binary(_))) => Err(CloseReason::Binary),
        Some(Ok(Message::Close(_))) | None => Err(CloseReason::Gone),
        Some(Err(error)) => Err(match error.into_inner().downcast_ref() {
            Some(tungstenite::Error::Capacity(_)) => CloseReason::TooLarge,
            Some(tungstenite::Error::Utf8(_) | tungstenite::Error::Protocol(_)) => {
                CloseReason::Protocol(WireError::Malformed)
            }
            _ => CloseReason::Gone,
        }),
    }
}

/// A connection whose device is known.
struct Conversation {
    shared: Arc<Shared>,
    hub: mpsc::Sender<Command>,
    line: Line,
    inbox: Inbox,
    pace: Pace,
    unreadable: u32,
}

impl Conversation {
    async fn run(mut self, socket: &mut WebSocket) -> CloseReason {
        let reason = match self.exchange(socket).await {
            Ok(never) => match never {},
            Err(reason) => reason,
        };
        // A hub that is gone has nothing to be told.
        let _ = self.hub.send(Command::Closed(self.line)).await;
        reason
    }

    async fn exchange(&mut self, socket: &mut WebSocket) -> Result<std::convert::Infallible, CloseReason> {
        let mut stop = self.shared.stop();
        let mut silent_at = self.silence_from(environment::now());
        // Set again when it is over, not with every message.
        let mut silence = pin!(sleep_until(silent_at.into()));
        loop {
            tokio::select! {
                delivery = self.inbox.next() => match delivery {
                    Delivery::Frame(text) => self.write(socket, text).await?,
                    Delivery::Close(reason) => return Err(reason),
                },
                message = socket.recv() => {
                    silent_at = self.silence_from(environment::now());
                    let text = text_of(message)?;
                    // Pings and pongs of the WebSocket cost as much as messages.
                    self.turn().await;
                    if let Some(text) = text {
                        self.handle_text(text.as_str()).await?;
                    }
                }
                () = &mut silence => {
                    if environment::now() >= silent_at {
                        return Err(CloseReason::Silent);
                    }
                    silence.as_mut().reset(silent_at.into());
                }
                () = stop.now() => return Err(CloseReason::Gone),
            }
        }
    }

    fn silence_from(&self, now: Instant) -> Instant {
        now + self.shared.config.sessions.heartbeat * 5 / 2
    }

    /// Sends a frame and those that wait behind it.
    async fn write(&mut self, socket: &mut WebSocket, mut text: String) -> Result<(), CloseReason> {
        let mut together = 0;
        let then = loop {
            together += text.len();
            self.patiently(socket.feed(Message::Text(text.into()))).await?;
            self.shared.metrics.note_sent();
            if together >= TOGETHER {
                break Ok(());
            }
            match self.inbox.waiting() {
                Some(Delivery::Frame(next)) => text = next,
                Some(Delivery::Close(reason)) => break Err(reason),
                None => break Ok(()),
            }
        };
        self.patiently(socket.flush()).await?;
        then
    }

    /// Writes, until the time for it is over or the connection is cut.
    async fn patiently(
        &self,
        writing: impl Future<Output = Result<(), axum::Error>>,
    ) -> Result<(), CloseReason> {
        tokio::select! {
            // Nearly always there is room, and no timer is set then.
            biased;
            written = writing => written.map_err(|_| CloseReason::Gone),
            reason = self.inbox.cut() => Err(reason),
            () = sleep(self.shared.config.sessions.write) => Err(CloseReason::SlowConsumer),
        }
    }

    async fn turn(&mut self) {
        turn(&mut self.pace).await;
        let wait = self.shared.tolls.message(&self.line.address, self.line.from, environment::now());
        if !wait.is_zero() {
            sleep(wait).await;
        }
    }

    async fn handle_text(&mut self, text: &str) -> Result<(), CloseReason> {
        let command = match wire::parse::<ClientMessage>(text) {
            Ok(frame) => {
                self.unreadable = 0;
                self.shared.metrics.note_received(&frame.message);
                match frame.message {
                    ClientMessage::Register(_)
                    | ClientMessage::PushSubscribe(_)
                    | ClientMessage::PushUnsubscribe(_) => {
                        // Boxed, or the room for it would be in every connection.
                        Box::pin(self.settle(frame)).await
                    }
                    _ => Command::Frame(self.line.clone(), Box::new(frame)),
                }
            }
            Err(error) => self.unreadable_command(&error)?,
        };
        self.hub.send(command).await.map_err(|_| CloseReason::Internal)
    }

    /// What the store is asked for is settled here, where waiting for it holds up nobody else.
    async fn settle(&self, frame: Frame<ClientMessage>) -> Command {
        let line = self.line.clone();
        match frame.message {
            ClientMessage::Register(register) => {
                let result = self.shared.auth.register(&line.address, &register.token, line.from).await;
                self.shared
                    .metrics
                    .note_registration("renewal", result.as_ref().map(drop).map_err(|error| *error));
                Command::Registered(line, frame.id, result)
            }
            ClientMessage::PushSubscribe(subscription) => {
                let result = match &self.shared.push {
                    Some(push) => push.subscribe(&line.address, subscription).await,
                    None => Err(WireError::PushOff),
                };
                Command::Settled(line, frame.id, result.err())
            }
            ClientMessage::PushUnsubscribe(_) => {
                let result = match &self.shared.push {
                    Some(push) => push.unsubscribe(&line.address).await,
                    None => Err(WireError::PushOff),
                };
                Command::Settled(line, frame.id, result.err())
            }
            _ => Command::Frame(line, Box::new(frame)),
        }
    }

    fn unreadable_command(&mut self, error: &ParseError) -> Result<Command, CloseReason> {
        self.unreadable += 1;
        self.shared.metrics.note_unreadable();
        if self.unreadable > MOST_UNREADABLE {
            return Err(CloseReason::Protocol(error.wire()));
        }
        let outcome =
            Outcome { of: error.id().cloned(), error: Some(error.wire()), message: error.to_string() };
        Ok(Command::Unreadable(self.line.clone(), outcome))
    }
}

/// Says `bye` where the client should know what to do next, closes, and waits for the other half.
async fn close(socket: &mut WebSocket, reason: CloseReason, shared: &Shared) {
    if reason == CloseReason::Gone {
        // The answer to a client that closed in order (RFC 6455, section 5.5.1) waits for this; one that is gone does not hear it.
        let _ = socket.flush().await;
        return;
    }
    if let Some(mut bye) = reason.bye() {
        bye.retry_after_ms += spread_ms(reason, shared);
        // The peer may have gone first; the close below fails in the same way.
        let _ = socket.send(Message::Text(outside_session(ServerMessage::Bye(bye)).into())).await;
    }
    let frame = CloseFrame { code: reason.code(), reason: reason.text().into() };
    let _ = socket.send(Message::Close(Some(frame))).await;
    // Closing a socket with unread bytes would reset it, and the peer might lose the `bye`.
    while let Some(Ok(_)) = socket.recv().await {}
}

/// One more millisecond per connection keeps a thousand clients a second coming back after a restart.
fn spread_ms(reason: CloseReason, shared: &Shared) -> u32 {
    // A node of a cluster does not close all at once.
    if reason != CloseReason::Shutdown || shared.cluster.is_some() {
        return 0;
    }
    let spread = u32::try_from(shared.connections.count()).unwrap_or(MOST_SPREAD_MS).min(MOST_SPREAD_MS);
    let mut bytes = [0; 4];
    OsEntropy.fill(&mut bytes);
    u32::from_ne_bytes(bytes) % (spread + 1)
}

fn outside_session(message: ServerMessage) -> String {
    let id = MessageId::new("s0").expect("a letter and a digit are a well-formed identifier");
    wire::write(&Frame { id, seq: 0, ack: 0, call_id: None, message })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Much of what an idle client costs. Whatever grows it grows every connection.
    #[test]
    fn a_connection_that_waits_needs_little_room() {
        fn room<A, B, C, F>(_: impl FnOnce(A, B, C) -> F) -> usize {
            size_of::<F>()
        }
        let bytes = room::<WebSocket, Arc<Shared>, &'static Guest, _>(run);
        assert!(bytes < 2560, "{bytes} bytes");
    }
}
