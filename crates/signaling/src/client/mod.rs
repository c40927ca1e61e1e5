//! The client machine: registration, connection and calls of one device, without I/O and without a clock.
//!
//! The shell calls a command or a `handle_*`, then drains [`ClientMachine::poll_output`] until it says [`Output::Timeout`] or
//! `None`, executing each output; when the time of the last `Timeout` comes it calls [`ClientMachine::handle_timeout`].

mod backoff;
mod calls;
mod connection;
mod link;
mod snapshot;
mod verify;

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

pub use calls::ClientCall;
pub use link::Delivery;

use self::backoff::Backoff;
use self::link::Link;
use crate::UnixSeconds;
use crate::call::{CallEndCause, CallTimers};
use crate::entropy::EntropySource;
use crate::error::ClientError;
use crate::event::ClientEvent;
use crate::id::{ApplicationKey, CallId, DeviceCredential, DeviceId, UserId};
use crate::message::{IceServer, Register, WireError};

/// Who this client is and how patient it is.
#[derive(Debug, Clone)]
pub struct ClientConfig {
    /// The application.
    pub application: ApplicationKey,
    /// The local user.
    pub user: UserId,
    /// This installation.
    pub device: DeviceId,
    /// What the local person is called, for those they call: at most 255 bytes.
    pub display_name: Option<String>,
    /// Limits of calls, as the server has them.
    pub timers: CallTimers,
    /// How long the first start tries to reach the server before it fails.
    pub start_timeout: Duration,
    /// How long before its end a registration is renewed.
    pub renewal_margin: Duration,
}

impl ClientConfig {
    /// The usual patience: 10 s for the first start, renewal an hour before the end.
    #[must_use]
    pub fn new(application: ApplicationKey, user: UserId, device: DeviceId) -> Self {
        Self {
            application,
            user,
            device,
            display_name: None,
            timers: CallTimers::default(),
            start_timeout: Duration::from_secs(10),
            renewal_margin: Duration::from_secs(3600),
        }
    }
}

/// A device credential and when it ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredCredential {
    /// The secret.
    pub secret: DeviceCredential,
    /// When it ends.
    pub expires: UnixSeconds,
}

/// What the shell does next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Open a connection; then [`ClientMachine::handle_connected`] or [`ClientMachine::handle_disconnected`].
    Connect,
    /// Close the connection, or stop opening it.
    Disconnect,
    /// Send a text frame.
    Send(String),
    /// Tell the application.
    Event(ClientEvent),
    /// Keep this for the next start.
    StoreCredential(StoredCredential),
    /// Forget what was kept.
    ForgetCredential,
    /// Nothing more now; call [`ClientMachine::handle_timeout`] at this time. The text says what for.
    Timeout(Instant, &'static str),
}

/// Why a command was refused. Nothing changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// The client is started already: terminate it first.
    #[error("the client is already started")]
    AlreadyStarted,
    /// The client is not started: start it and wait for `Started`.
    #[error("the client is not started")]
    NotStarted,
    /// No credentials are asked for.
    #[error("no credentials are required now")]
    NotRequired,
    /// Headers are over 1024 bytes: send less.
    #[error("the call's headers are larger than 1024 bytes")]
    HeadersTooLarge,
    /// A description is over 32 KiB.
    #[error("the session description is larger than 32 KiB")]
    DescriptionTooLarge,
    /// The call is not known, or over.
    #[error("there is no such call")]
    UnknownCall,
    /// The call's state does not allow it, e.g. answering an outgoing call.
    #[error("the call's state does not allow this")]
    WrongState,
}

/// Where the client stands with the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Stopped,
    /// The application was asked for a token.
    WaitingForToken,
    /// `Connect` was asked for.
    Connecting,
    /// The hello is on its way.
    Greeting,
    Online,
    /// The server came back without the old session: its snapshot is awaited.
    AwaitingSnapshot,
    /// The connection was lost; the next try is scheduled.
    Waiting,
}

/// All timers of the machine.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    /// Try to connect again.
    Reconnect,
    /// The server has not welcomed us: drop the connection.
    Greeting,
    /// The first start gives up.
    Start,
    /// Send a ping.
    Heartbeat,
    /// Pings went unanswered: drop the connection.
    Silence,
    /// Acknowledge events that no frame of ours has acknowledged yet.
    Acknowledge,
    /// Ask the application for a new token.
    Renewal,
    /// The caller should have shown its nonce by now.
    CallReveal(CallId),
    /// The server should have ended this call by now.
    CallSetup(CallId),
}

impl Timer {
    const fn reason(&self) -> &'static str {
        match self {
            Self::Reconnect => "reconnect",
            Self::Greeting => "greeting",
            Self::Start => "start",
            Self::Heartbeat => "heartbeat",
            Self::Silence => "silence",
            Self::Acknowledge => "acknowledge",
            Self::Renewal => "renewal",
            Self::CallReveal(_) => "call reveal",
            Self::CallSetup(_) => "call set-up",
        }
    }
}

/// The machine.
#[derive(Debug)]
pub struct ClientMachine<E> {
    config: ClientConfig,
    entropy: E,
    phase: Phase,
    was_started: bool,
    /// The latest time the shell told.
    latest: Option<Instant>,
    /// Wall clock: `(when, what it showed)`.
    wall: Option<(Instant, UnixSeconds)>,
    token: Option<Register>,
    credential: Option<StoredCredential>,
    renewing: bool,
    /// What the server last said to this start instead of a welcome, and when it wants to be asked again.
    turned_away: Option<(WireError, Instant)>,
    ice_servers: Vec<IceServer>,
    heartbeat: Duration,
    link: Link,
    backoff: Backoff,
    calls: BTreeMap<CallId, ClientCall>,
    timers: BTreeMap<Timer, Instant>,
    outputs: VecDeque<Output>,
}

impl<E: EntropySource> ClientMachine<E> {
    /// A stopped client.
    pub fn new(config: ClientConfig, entropy: E) -> Self {
        Self {
            config,
            entropy,
            phase: Phase::Stopped,
            was_started: false,
            latest: None,
            wall: None,
            token: None,
            credential: None,
            renewing: false,
            turned_away: None,
            ice_servers: Vec::new(),
            heartbeat: connection::USUAL_HEARTBEAT,
            link: Link::default(),
            backoff: Backoff::default(),
            calls: BTreeMap::new(),
            timers: BTreeMap::new(),
            outputs: VecDeque::new(),
        }
    }

    /// Starts: with a stored credential at once, else by asking the application for a token.
    ///
    /// # Errors
    /// [`CommandError::AlreadyStarted`].
    pub fn start(
        &mut self,
        now: Instant,
        wall: UnixSeconds,
        stored: Option<StoredCredential>,
    ) -> Result<(), CommandError> {
        if self.phase != Phase::Stopped {
            return Err(CommandError::AlreadyStarted);
        }
        self.latest = Some(now);
        self.wall = Some((now, wall));
        self.was_started = false;
        self.link = Link::default();
        self.credential = stored.filter(|stored| stored.expires > wall);
        if self.credential.is_some() {
            self.begin_connecting(now);
        } else {
            self.require_token();
        }
        Ok(())
    }

    /// The application's token: registers, or renews the registration.
    ///
    /// # Errors
    /// [`CommandError::NotRequired`] when none was asked for.
    pub fn register(&mut self, now: Instant, token: String) -> Result<(), CommandError> {
        self.latest = Some(now);
        match self.phase {
            Phase::WaitingForToken => {
                self.token = Some(Register { token });
                self.begin_connecting(now);
            }
            Phase::Stopped => return Err(CommandError::NotStarted),
            _ if self.renewing => self.renew(now, token),
            _ => return Err(CommandError::NotRequired),
        }
        Ok(())
    }

    /// The application has no token: a start fails; a running client asks again later, until its registration ends.
    pub fn register_failed(&mut self) {
        let Some(now) = self.latest else { return };
        if self.phase == Phase::WaitingForToken {
            self.fail(now, ClientError::authentication("the application could not get a registration token"));
        } else if std::mem::take(&mut self.renewing) {
            self.postpone_renewal(now);
        }
    }

    /// Ends everything: calls, connection, timers. The machine can be started again.
    pub fn terminate(&mut self, now: Instant) {
        if self.phase == Phase::Stopped {
            return;
        }
        self.hang_up_all(now);
        self.stop();
    }

    /// Whether `Started` was reported and the client has not stopped since.
    #[must_use]
    pub fn is_started(&self) -> bool {
        self.was_started && self.phase != Phase::Stopped
    }

    /// Whether the server knows this client now: it is welcomed, and nothing is missing.
    #[must_use]
    pub fn is_online(&self) -> bool {
        self.phase == Phase::Online
    }

    /// How the server's events came since the start.
    #[must_use]
    pub const fn delivery(&self) -> Delivery {
        self.link.delivery()
    }

    /// STUN and TURN servers of the last welcome.
    #[must_use]
    pub fn ice_servers(&self) -> &[IceServer] {
        &self.ice_servers
    }

    /// A call, also for a while after its end.
    #[must_use]
    pub fn call(&self, id: &CallId) -> Option<&ClientCall> {
        self.calls.get(id)
    }

    /// Calls that are not over.
    pub fn live_calls(&self) -> impl Iterator<Item = (&CallId, &ClientCall)> {
        self.calls.iter().filter(|(_, call)| !call.is_over())
    }

    /// Fires what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.latest = Some(now);
        let due: Vec<Timer> =
            self.timers.iter().filter(|(_, at)| **at <= now).map(|(timer, _)| timer.clone()).collect();
        for timer in due {
            if self.timers.remove(&timer).is_some() {
                self.fire(now, timer);
            }
        }
    }

    /// The next thing to do; `None` when there is neither something to do nor a time to wait for.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front().or_else(|| {
            let (timer, at) = self.timers.iter().min_by_key(|(_, at)| **at)?;
            Some(Output::Timeout(*at, timer.reason()))
        })
    }

    fn fire(&mut self, now: Instant, timer: Timer) {
        match timer {
            Timer::Reconnect => self.connect(now),
            Timer::Greeting | Timer::Silence => self.drop_connection(now),
            Timer::Start => self.give_up_start(now),
            Timer::Heartbeat => self.ping(now),
            Timer::Acknowledge => self.acknowledge(now),
            Timer::Renewal => self.ask_for_renewal(now),
            Timer::CallReveal(call) => self.call_reveal_expired(now, &call),
            Timer::CallSetup(call) => self.call_set_up_expired(now, &call),
        }
    }

    fn wall_now(&self, now: Instant) -> UnixSeconds {
        match self.wall {
            Some((at, wall)) => wall.plus(now.saturating_duration_since(at).as_secs()),
            None => UnixSeconds(0),
        }
    }

    fn emit(&mut self, event: ClientEvent) {
        self.outputs.push_back(Output::Event(event));
    }

    fn fail(&mut self, now: Instant, error: ClientError) {
        self.end_all(now, CallEndCause::Failure);
        self.stop();
        self.emit(ClientEvent::Failed(error));
    }

    fn stop(&mut self) {
        if !matches!(self.phase, Phase::Stopped | Phase::WaitingForToken | Phase::Waiting) {
            self.outputs.push_back(Output::Disconnect);
        }
        self.phase = Phase::Stopped;
        self.token = None;
        self.renewing = false;
        self.turned_away = None;
        self.timers.clear();
        self.link = Link::default();
    }
}
