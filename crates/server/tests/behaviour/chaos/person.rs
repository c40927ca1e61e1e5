//! One device: the real client machine over a real connection that misbehaves when it is told to.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::{SinkExt as _, StreamExt as _};
use offhook_signaling::call::CallEndCause;
use offhook_signaling::client::{ClientConfig, ClientMachine, Delivery, Output};
use offhook_signaling::message::{ByeAction, Candidate, Hangup, Headers, SdpKind, Update};
use offhook_signaling::verification::Verification;
use offhook_signaling::wire::{self, Frame};
use offhook_signaling::{
    ApplicationKey, CallEvent, CallId, ClientEvent, ClientMessage, DeviceId, MessageId, SUBPROTOCOL,
    ServerMessage, UserId,
};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{sleep_until, timeout};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use super::Dice;
use super::fleet::{Directory, TIMERS};
use super::ledger::{End, Ledger, Who};
use crate::support::{KEY, token};

const CONNECT: Duration = Duration::from_secs(5);
/// Whoever was turned away tries again after this.
const AGAIN: Duration = Duration::from_millis(150);
/// With nothing to wait for, look again after this.
const NOTHING: Duration = Duration::from_secs(60);

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// What a device is told to do. Numbers pick among its live calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Call(usize),
    Answer(usize),
    HangUp(usize),
    Busy(usize),
    MediaConnected(usize),
    MediaFailed(usize),
    Candidate(usize),
    /// Renegotiates, with a description of so many bytes.
    Update(usize, usize),
    /// Sends its last frame once more.
    Repeat,
    /// Loses its connection.
    Cut,
    /// Loses it, and the server does not notice.
    Hang,
    /// Reads nothing for a while.
    Stall(Duration),
    /// The application is killed and started again.
    Relaunch,
    /// Hangs up, and refuses whoever calls from now on.
    Rest,
    Leave,
}

/// What the conductor sees of a device.
#[derive(Debug, Default)]
pub(super) struct Status {
    pub(super) live: AtomicUsize,
    pub(super) online: AtomicBool,
}

pub(super) struct Person {
    who: Who,
    user: String,
    device: DeviceId,
    directory: Directory,
    ledger: Arc<Mutex<Ledger>>,
    status: Arc<Status>,
    orders: mpsc::Receiver<Order>,
    machine: ClientMachine<Dice>,
    dice: Dice,
    socket: Option<Socket>,
    /// Connections that the server takes for live.
    hanging: Vec<Socket>,
    stalled: Option<Instant>,
    deadline: Option<Instant>,
    /// When to start again, after the server had turned this device away.
    again: Option<Instant>,
    delivery: Delivery,
    last_sent: Option<String>,
    /// Hang-ups without an outcome, by frame.
    hang_ups: BTreeMap<MessageId, (CallId, Hangup)>,
    /// Calls that this side ended; the server has not confirmed it.
    unheard: BTreeSet<CallId>,
    /// What comes of the machine is of this side's own doing.
    acts: bool,
    rests: bool,
}

impl Person {
    pub(super) fn new(
        who: Who,
        user: &str,
        directory: Directory,
        ledger: Arc<Mutex<Ledger>>,
        status: Arc<Status>,
        orders: mpsc::Receiver<Order>,
        dice: Dice,
    ) -> Self {
        let device = DeviceId::new(format!("d{who}")).unwrap();
        let machine = machine(user, &device, dice.clone());
        Self {
            who,
            user: user.to_owned(),
            device,
            directory,
            ledger,
            status,
            orders,
            machine,
            dice,
            socket: None,
            hanging: Vec::new(),
            stalled: None,
            deadline: None,
            again: Some(Instant::now()),
            delivery: Delivery::default(),
            last_sent: None,
            hang_ups: BTreeMap::new(),
            unheard: BTreeSet::new(),
            acts: false,
            rests: false,
        }
    }

    pub(super) async fn run(mut self) {
        loop {
            self.drain().await;
            self.status.live.store(self.machine.live_calls().count(), Ordering::Release);
            self.status.online.store(self.machine.is_online(), Ordering::Release);
            let at = [self.deadline, self.again, self.stalled].into_iter().flatten().min();
            let at = at.unwrap_or_else(|| Instant::now() + NOTHING);
            let reads = self.stalled.is_none();
            tokio::select! {
                order = self.orders.recv() => match order {
                    Some(Order::Leave) | None => break,
                    Some(order) => self.obey(order).await,
                },
                message = next(&mut self.socket), if reads => match message {
                    Some(Ok(Message::Text(text))) => self.hear(text.as_str()),
                    Some(Ok(Message::Close(_)) | Err(_)) | None => self.lose(),
                    Some(Ok(_)) => {}
                },
                () = sleep_until(at.into()) => self.wake(),
            }
        }
        self.acts = true;
        self.machine.terminate(Instant::now());
        self.drain().await;
    }

    fn wake(&mut self) {
        let now = Instant::now();
        self.acts = true;
        self.stalled = self.stalled.filter(|end| *end > now);
        if self.again.is_some_and(|at| at <= now) {
            self.again = None;
            self.delivery = Delivery::default();
            // Its frames are numbered anew.
            self.hang_ups.clear();
            self.machine.start(now, crate::support::now(), None).unwrap();
        }
        self.machine.handle_timeout(now);
    }

    async fn obey(&mut self, order: Order) {
        let now = Instant::now();
        self.acts = true;
        match order {
            Order::Call(to) => self.call(now, to),
            Order::Cut => self.cut(false),
            Order::Hang => self.cut(true),
            Order::Stall(time) => self.stalled = Some(now + time),
            Order::Repeat => {
                if let Some(text) = self.last_sent.clone() {
                    self.write(text).await;
                }
            }
            Order::Relaunch => self.relaunch(),
            Order::Rest => {
                self.rests = true;
                self.stalled = None;
                while let Some(id) = self.pick(0) {
                    self.hang_up(now, &id);
                }
            }
            Order::Leave => {}
            Order::Answer(nth)
            | Order::HangUp(nth)
            | Order::Busy(nth)
            | Order::MediaConnected(nth)
            | Order::MediaFailed(nth)
            | Order::Candidate(nth)
            | Order::Update(nth, _) => {
                if let Some(id) = self.pick(nth) {
                    self.act_in(now, &id, order);
                }
            }
        }
    }

    /// What a call's state does not allow is refused, and changes nothing.
    fn act_in(&mut self, now: Instant, id: &CallId, order: Order) {
        match order {
            Order::Answer(_) => drop(self.machine.answer(now, id, self.description(40))),
            Order::HangUp(_) => self.hang_up(now, id),
            Order::Busy(_) => drop(self.machine.refuse_busy(now, id)),
            Order::MediaConnected(_) => self.machine.media_connected(now, id),
            Order::MediaFailed(_) => self.machine.media_failed(now, id, CallEndCause::Failure),
            Order::Candidate(_) => {
                let candidate =
                    Candidate { candidate: format!("{}", self.dice.next()), ..Candidate::default() };
                drop(self.machine.local_candidate(id, candidate));
            }
            Order::Update(_, size) => {
                let update = Update { kind: SdpKind::Offer, sdp: self.description(size) };
                drop(self.machine.update(id, update));
            }
            _ => {}
        }
    }

    fn call(&mut self, now: Instant, to: usize) {
        if self.rests {
            return;
        }
        let to = UserId::new(super::conductor::user(to)).unwrap();
        if let Ok(id) = self.machine.call_user(now, to, Headers::new(), self.description(300)) {
            self.ledger().note_start(&id, self.who);
        }
    }

    fn hang_up(&mut self, now: Instant, id: &CallId) {
        self.acts = true;
        drop(self.machine.hang_up(now, id));
    }

    fn pick(&self, nth: usize) -> Option<CallId> {
        let live: Vec<&CallId> = self.machine.live_calls().map(|(id, _)| id).collect();
        live.get(nth % live.len().max(1)).map(|id| (*id).clone())
    }

    /// With a certificate, so that there is an authentication string.
    fn description(&self, size: usize) -> String {
        let pair = format!("{:02X}", self.who);
        format!("a=fingerprint:sha-256 {}\r\n{}", [pair.as_str(); 32].join(":"), "x".repeat(size))
    }

    fn cut(&mut self, hangs: bool) {
        if let Some(socket) = self.socket.take() {
            if hangs {
                self.hanging.push(socket);
            }
            self.machine.handle_disconnected(Instant::now());
        }
    }

    fn lose(&mut self) {
        self.socket = None;
        self.machine.handle_disconnected(Instant::now());
    }

    /// The application is gone without a word, and with it all it knew.
    fn relaunch(&mut self) {
        self.disturb();
        self.socket = None;
        self.hanging.clear();
        self.hang_ups.clear();
        self.last_sent = None;
        self.machine = machine(&self.user, &self.device, Dice::new(self.dice.next()));
        self.delivery = Delivery::default();
        self.deadline = None;
        self.again = Some(Instant::now());
    }

    fn disturb(&self) {
        let mut ledger = self.ledger.lock().unwrap_or_else(PoisonError::into_inner);
        // Ends that nobody confirmed may never have been heard.
        ledger.note_disturbed(self.machine.live_calls().map(|(id, _)| id).chain(&self.unheard));
    }

    fn hear(&mut self, text: &str) {
        let frame = wire::parse::<ServerMessage>(text).unwrap();
        self.witness(&frame);
        self.machine.handle_frame(Instant::now(), text);
        let delivery = self.machine.delivery();
        let before = std::mem::replace(&mut self.delivery, delivery);
        // A client that was turned away counts from zero.
        if delivery != before && delivery.events >= before.events {
            self.ledger().note_delivery(before, delivery);
        }
    }

    /// What the server says, before the machine makes something of it.
    fn witness(&mut self, frame: &Frame<ServerMessage>) {
        let who = self.who;
        match (&frame.message, &frame.call_id) {
            (ServerMessage::Welcome(welcome), _) if !welcome.resumed && self.machine.is_started() => {
                self.disturb();
            }
            (ServerMessage::Bye(bye), _) if bye.action == ByeAction::Stop => self.disturb(),
            (ServerMessage::CallAnswered(answered), Some(call)) if answered.sdp.is_empty() => {
                self.ledger().note_winner(call, who);
            }
            (ServerMessage::CallEnded(ended), Some(call)) => self.ledger().note_told(call, who, ended.cause),
            (ServerMessage::Outcome(outcome), _) => {
                let settled = outcome.of.as_ref().and_then(|of| self.hang_ups.remove(of));
                if let Some((call, _)) = &settled {
                    self.unheard.remove(call);
                }
                if let (Some((call, hangup)), None) = (settled, outcome.error) {
                    self.ledger().note_confirmed(&call, who, hangup);
                }
            }
            _ => {}
        }
    }

    async fn drain(&mut self) {
        // Nothing was left from the input before.
        loop {
            match self.machine.poll_output() {
                None => self.deadline = None,
                Some(Output::Timeout(at, _)) => self.deadline = Some(at),
                Some(output) => {
                    self.perform(output).await;
                    continue;
                }
            }
            self.acts = false;
            return;
        }
    }

    async fn perform(&mut self, output: Output) {
        match output {
            Output::Connect => self.connect().await,
            Output::Disconnect => drop(self.socket.take()),
            Output::Send(text) => {
                self.note_sent(&text);
                self.last_sent = Some(text.clone());
                self.write(text).await;
            }
            Output::Event(event) => self.heed(event),
            Output::StoreCredential(_) | Output::ForgetCredential | Output::Timeout(..) => {}
        }
    }

    async fn connect(&mut self) {
        let url = {
            let directory = self.directory.lock().unwrap_or_else(PoisonError::into_inner);
            directory[self.dice.below(directory.len())].clone()
        };
        let mut request = url.into_client_request().unwrap();
        request.headers_mut().insert("Sec-WebSocket-Protocol", SUBPROTOCOL.parse().unwrap());
        match timeout(CONNECT, connect_async(request)).await {
            Ok(Ok((socket, _))) => {
                self.socket = Some(socket);
                // Networks repeat frames of one connection, not of the one before.
                self.last_sent = None;
                self.machine.handle_connected(Instant::now());
            }
            _ => self.machine.handle_disconnected(Instant::now()),
        }
    }

    /// A server that reads nothing has this device wait no longer than it would for an answer.
    async fn write(&mut self, text: String) {
        if let Some(socket) = &mut self.socket
            && !matches!(timeout(CONNECT, socket.send(Message::text(text))).await, Ok(Ok(())))
        {
            self.lose();
        }
    }

    fn note_sent(&mut self, text: &str) {
        let frame = wire::parse::<ClientMessage>(text).unwrap();
        if let (ClientMessage::CallHangup(hangup), Some(call)) = (frame.message, frame.call_id) {
            self.hang_ups.insert(frame.id, (call, hangup));
        }
    }

    fn heed(&mut self, event: ClientEvent) {
        let now = Instant::now();
        match event {
            ClientEvent::CredentialsRequired => {
                let token = token(&self.user, &format!("{}-{}", self.who, self.dice.next()));
                // It was asked for just now.
                let _ = self.machine.register(now, token);
            }
            ClientEvent::Failed(_) => self.again = Some(now + AGAIN),
            ClientEvent::IncomingCall { call, .. } if self.rests => self.hang_up(now, &call),
            ClientEvent::Call(id, CallEvent::Verification(Verification::Failed(error))) => {
                panic!("{id}: nobody sits between, and {error}");
            }
            ClientEvent::Call(id, CallEvent::Ended { cause, .. }) => {
                let end = End { cause, is_own: self.acts };
                if end.is_own {
                    self.unheard.insert(id.clone());
                }
                self.ledger().note_end(&id, self.who, end);
            }
            _ => {}
        }
    }
}

impl Person {
    fn ledger(&self) -> std::sync::MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn machine(user: &str, device: &DeviceId, dice: Dice) -> ClientMachine<Dice> {
    let application = ApplicationKey::new(KEY).unwrap();
    let mut config = ClientConfig::new(application, UserId::new(user).unwrap(), device.clone());
    config.timers = TIMERS;
    ClientMachine::new(config, dice)
}

/// The next message; never ready without a connection.
async fn next(socket: &mut Option<Socket>) -> Option<Result<Message, tokio_tungstenite::tungstenite::Error>> {
    match socket {
        Some(socket) => socket.next().await,
        None => std::future::pending().await,
    }
}
