//! The signaling driver: executes what the client machine wants, feeds it what happens, and tells the application.

mod calls;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use offhook_media::{DeviceEvent, Events};
use offhook_signaling::client::{ClientMachine, CommandError, Output, StoredCredential};
use offhook_signaling::error::ClientErrorCode;
use offhook_signaling::message::CallReport as MeasuredCall;
use offhook_signaling::{CallId, ClientError, ClientEvent as MachineEvent, UnixSeconds};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{sleep_until, timeout};

use super::keeper::Keeper;
use super::start::OsEntropy;
use super::{Command, ice_servers};
use crate::call::CallCore;
use crate::credential::Registration;
use crate::error::RegisterError;
use crate::event::ClientEvent;
use crate::registration::ClientRegistration;
use crate::shared::{Run, Shared};
use crate::websocket::{Connection, LinkEvent, LinkNews};

/// News of connections that wait; a connection that has more to say waits with reading.
const MOST_NEWS: usize = 64;
/// With nothing to wait for, look again after this.
const IDLE: Duration = Duration::from_secs(3600);
/// Between two looks at the machine's addresses; calls look sooner when they have reason to.
const ADDRESSES: Duration = Duration::from_secs(1);
/// And while there are calls, which look themselves and tell.
const ADDRESSES_IN_CALLS: Duration = Duration::from_secs(5);
/// How long calls, connection and credential store may take to end.
const FAREWELL: Duration = Duration::from_millis(900);

/// One per start of a client; see the module.
pub(super) struct SignalingDriver {
    shared: Arc<Shared>,
    machine: ClientMachine<OsEntropy>,
    run: Run,
    commands: mpsc::Receiver<Command>,
    connection: Option<Connection>,
    connections: u64,
    news: mpsc::Receiver<LinkNews>,
    news_sender: mpsc::Sender<LinkNews>,
    device_events: Option<Events<DeviceEvent>>,
    keeper: Keeper,
    registration: Registration,
    /// Calls that are not over.
    calls: HashMap<CallId, Arc<CallCore>>,
    /// Calls whose end is being told.
    endings: JoinSet<Option<(CallId, MeasuredCall)>>,
    closing: Option<JoinHandle<()>>,
    reconnecting: bool,
    /// The machine's addresses, and when they are looked at next.
    addresses: Vec<IpAddr>,
    look: Instant,
    deadline: Option<Instant>,
    over: bool,
    /// Why the last connection ended, or did not come about.
    last_close: Option<String>,
    failure: Option<ClientError>,
}

impl SignalingDriver {
    pub(super) fn new(
        shared: Arc<Shared>,
        machine: ClientMachine<OsEntropy>,
        run: Run,
        commands: mpsc::Receiver<Command>,
        registration: Registration,
    ) -> Self {
        let (news_sender, news) = mpsc::channel(MOST_NEWS);
        Self {
            device_events: shared.sound.engine().map(|engine| engine.device_events()),
            keeper: Keeper::spawn(Arc::clone(&shared)),
            machine,
            run,
            commands,
            connection: None,
            connections: 0,
            news,
            news_sender,
            registration,
            calls: HashMap::new(),
            endings: JoinSet::new(),
            closing: None,
            reconnecting: false,
            addresses: shared.settings.addresses.addresses(),
            look: Instant::now() + ADDRESSES,
            deadline: None,
            over: false,
            last_close: None,
            failure: None,
            shared,
        }
    }

    /// Runs until the client is terminated or fails; the error is what the application is still to be told.
    pub(super) async fn run(mut self) -> Option<ClientError> {
        let stored = self.registration.credential.clone();
        if self.machine.start(Instant::now(), wall(), stored).is_err() {
            return Some(ClientError::unreachable());
        }
        self.drain();
        while !self.over {
            self.step().await;
            self.drain();
        }
        self.run.signal.set_started(false);
        self.finish().await
    }

    async fn step(&mut self) {
        let deadline = self.deadline.unwrap_or_else(|| Instant::now() + IDLE).min(self.look);
        tokio::select! {
            () = self.run.signal.woken() => self.heed_wishes(),
            Some(command) = self.commands.recv() => self.handle_command(command),
            Some((number, event)) = self.news.recv() => self.handle_link(number, event),
            () = sleep_until(deadline.into()) => self.handle_timeout(Instant::now()),
            Some(event) = next_device_event(&mut self.device_events) => {
                self.shared.events.send(&ClientEvent::Device(event));
            }
            Some(ended) = self.endings.join_next() => self.report(ended.ok().flatten()),
        }
    }

    /// Tells the server how a call was.
    fn report(&mut self, ended: Option<(CallId, MeasuredCall)>) {
        if let Some((call, told)) = ended
            && let Err(error) = self.machine.report(&call, told)
        {
            tracing::debug!(%call, %error, "not reported");
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        if now >= self.look {
            self.look_at_addresses(now);
        }
        self.machine.handle_timeout(now);
    }

    /// On another network a connection from an address that is gone is silent for ever, and one that was tried in vain may come about.
    fn look_at_addresses(&mut self, now: Instant) {
        self.look = now + if self.calls.is_empty() { ADDRESSES } else { ADDRESSES_IN_CALLS };
        let addresses = self.shared.settings.addresses.addresses();
        if addresses == self.addresses {
            return;
        }
        tracing::debug!(?addresses, "the machine's addresses changed");
        self.addresses = addresses;
        if self.connection.as_ref().is_some_and(Connection::is_stranded) {
            self.disconnect();
            self.machine.handle_disconnected(now);
        }
        self.machine.network_changed(now);
    }

    /// Executes everything the machine wants now.
    fn drain(&mut self) {
        self.deadline = None;
        while let Some(output) = self.machine.poll_output() {
            match output {
                Output::Connect => self.connect(),
                Output::Disconnect => self.disconnect(),
                Output::Send(text) => self.send(text),
                Output::Event(event) => self.tell(event),
                Output::StoreCredential(credential) => self.keep(Some(credential)),
                Output::ForgetCredential => self.keep(None),
                Output::Timeout(at, _) => {
                    self.deadline = Some(at);
                    return;
                }
            }
        }
    }

    fn connect(&mut self) {
        self.disconnect();
        self.connections += 1;
        let dialer = Arc::clone(&self.shared.settings.dialer);
        self.connection = Some(Connection::open(dialer, self.connections, self.news_sender.clone()));
    }

    fn disconnect(&mut self) {
        if let Some(connection) = self.connection.take() {
            self.closing = Some(connection.close());
        }
    }

    fn send(&mut self, text: String) {
        // Without a connection the machine repeats what matters on the next one.
        let Some(connection) = &self.connection else { return };
        if connection.send(text).is_err() {
            tracing::debug!("the connection takes no more frames: it is given up");
            self.disconnect();
            self.machine.handle_disconnected(Instant::now());
        }
    }

    fn keep(&mut self, credential: Option<StoredCredential>) {
        self.registration.credential = credential;
        self.keeper.keep(self.registration.clone());
    }

    fn handle_link(&mut self, number: u64, event: LinkEvent) {
        let current = self.connection.as_ref().map(Connection::number);
        if current != Some(number) {
            return;
        }
        let now = Instant::now();
        match event {
            LinkEvent::Open => self.machine.handle_connected(now),
            LinkEvent::Text(text) => {
                self.machine.handle_frame(now, &text);
                self.note_reconnect();
            }
            LinkEvent::Closed(why) => {
                tracing::debug!(why, "connection closed");
                self.last_close = Some(why);
                self.connection = None;
                self.machine.handle_disconnected(now);
            }
        }
    }

    fn note_reconnect(&mut self) {
        if self.reconnecting && self.machine.is_online() {
            self.reconnecting = false;
            self.look_up_ice_servers();
            self.shared.events.send(&ClientEvent::Reconnected);
        }
    }

    fn handle_command(&mut self, command: Command) {
        let now = Instant::now();
        match command {
            Command::Register { token, reply } => {
                let taken = self.machine.register(now, token.0).map_err(|error| match error {
                    CommandError::NotStarted => RegisterError::Stopped,
                    _ => RegisterError::NotRequired,
                });
                // Whoever does not wait does not want to know.
                let _ = reply.send(taken);
            }
            Command::CallUser(new) => self.call_user(now, *new),
            Command::Answer { call, sdp, reply } => {
                let _ = reply.send(self.machine.answer(now, &call, sdp));
            }
            Command::Media { call, news } => self.handle_media(now, &call, news),
        }
    }

    /// What handles wished that fits into no queue.
    fn heed_wishes(&mut self) {
        let now = Instant::now();
        if self.run.signal.must_terminate() {
            // An application that ends with its call has just been told of the call's end.
            while let Some(ended) = self.endings.try_join_next() {
                self.report(ended.ok().flatten());
            }
            self.machine.terminate(now);
            self.over = true;
            return;
        }
        if self.run.signal.take_no_token() {
            self.machine.register_failed();
        }
        self.heed_endings(now);
    }

    fn tell(&mut self, event: MachineEvent) {
        match event {
            MachineEvent::CredentialsRequired => {
                let user = self.shared.settings.account.user_id.clone();
                let registration = ClientRegistration::new(user, self.run.clone());
                self.shared.events.send(&ClientEvent::CredentialsRequired(registration));
            }
            MachineEvent::Started => {
                self.run.signal.set_started(true);
                // A call that is made at once waits for it.
                self.look_up_ice_servers();
                self.shared.events.send(&ClientEvent::Started);
            }
            MachineEvent::Failed(mut error) => {
                self.end_all_calls(Instant::now());
                if let (ClientErrorCode::NetworkTimedOut, Some(why)) = (error.code, &self.last_close) {
                    error.message = format!("{} (last try: {why})", error.message);
                }
                self.failure = Some(error);
                self.over = true;
            }
            MachineEvent::IncomingCall { call, .. } => self.ring(call),
            MachineEvent::Reconnecting => {
                self.reconnecting = true;
                self.shared.events.send(&ClientEvent::Reconnecting);
            }
            MachineEvent::Call(call, event) => self.tell_call(&call, event),
        }
    }

    fn look_up_ice_servers(&self) {
        let shared = Arc::clone(&self.shared);
        let own = shared.settings.ice_servers.iter();
        let servers = own.chain(self.machine.ice_servers()).cloned().collect();
        shared.begin_lookup();
        tokio::spawn(async move { shared.end_lookup(ice_servers::resolve(servers).await) });
    }

    /// Lets calls, connection and store end, for a bounded time.
    async fn finish(mut self) -> Option<ClientError> {
        self.disconnect();
        // What connections still have to say holds nobody up any more.
        self.news.close();
        drop(self.news);
        let Self { mut endings, closing, keeper, failure, .. } = self;
        let farewell = async {
            while endings.join_next().await.is_some() {}
            if let Some(closing) = closing {
                let _ = closing.await;
            }
            let _ = keeper.finish().await;
        };
        if timeout(FAREWELL, farewell).await.is_err() {
            tracing::debug!("the client's end goes on in the background");
        }
        failure
    }
}

/// Never ready when there is no engine, or no more events.
async fn next_device_event(events: &mut Option<Events<DeviceEvent>>) -> Option<DeviceEvent> {
    let next = match events {
        Some(events) => events.next().await,
        None => std::future::pending().await,
    };
    if next.is_none() {
        *events = None;
    }
    next
}

fn wall() -> UnixSeconds {
    UnixSeconds(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()))
}
