//! One simulated client: the real client machine over a real connection. Where media would be, it says at once that it flows.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures_util::{SinkExt as _, StreamExt as _};
use offhook_signaling::call::CallEndCause;
use offhook_signaling::client::{ClientConfig, ClientMachine, Delivery, Output};
use offhook_signaling::message::{Headers, WireError};
use offhook_signaling::token::{ApplicationSecret, MintRequest, mint};
use offhook_signaling::{
    ApplicationKey, CallEvent, CallId, ClientEvent, DeviceId, EntropySource, UnixSeconds, UserId, entropy,
};
use tokio::sync::mpsc;
use tokio::time::{sleep_until, timeout};
use tokio_tungstenite::tungstenite::Message;

use super::descriptions::{CANDIDATES, candidates, description};
use super::ledger::Part;
use super::target::{Socket, Target};

/// How long a connection may take to open.
const CONNECT: Duration = Duration::from_secs(10);
/// How long a call may take from its time to media, and an end from its time to being told.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long the farewell of a connection may take.
const FAREWELL: Duration = Duration::from_secs(2);
/// With nothing to wait for, look again after this.
const NOTHING: Duration = Duration::from_secs(3600);
/// The header that tells the callee which call of the run it is.
const NUMBER: &str = "load-call";
/// The header that tells the callee whether it is the one to hang up.
const CALLEE_ENDS: &str = "load-callee-ends";

/// What all clients of a run share.
#[derive(Debug)]
pub(super) struct Crowd {
    /// At least one.
    pub(super) targets: Vec<Target>,
    pub(super) application: ApplicationKey,
    pub(super) secret: ApplicationSecret,
    /// The same for no two runs: registrations of an earlier one are not in the way.
    pub(super) prefix: String,
    pub(super) talk: Duration,
    pub(super) news: mpsc::UnboundedSender<News>,
    pub(super) missed: AtomicU64,
    pub(super) repeated: AtomicU64,
    pub(super) heartbeats: AtomicU64,
}

impl Crowd {
    /// The user id of client number `index`.
    pub(super) fn user(&self, index: usize) -> UserId {
        UserId::new(format!("{}-{index}", self.prefix)).expect("letters, digits and dashes")
    }

    /// Where client number `index` begins.
    pub(super) fn first_target(&self, index: usize) -> &Target {
        &self.targets[index % self.targets.len()]
    }
}

/// What the conductor asks of a client.
#[derive(Debug)]
pub(super) enum Order {
    Call(NewCall),
    Leave,
}

#[derive(Debug)]
pub(super) struct NewCall {
    pub(super) number: u64,
    pub(super) to: UserId,
    /// When it should have started.
    pub(super) due: Instant,
    pub(super) caller_ends: bool,
}

/// What a client tells the conductor.
#[derive(Debug)]
pub(super) enum News {
    Registered {
        person: usize,
        took: Duration,
    },
    /// It has stopped for good.
    Failed {
        why: String,
    },
    /// Its connection was lost; it comes back by itself.
    Away {
        person: usize,
    },
    Back {
        person: usize,
        /// From the loss of its connection.
        took: Duration,
    },
    /// Its part in a call is over.
    Call(Part),
}

/// A call as one side has it.
#[derive(Debug)]
struct Talk {
    id: CallId,
    part: Part,
    due: Instant,
    ends_here: bool,
    is_established: bool,
    candidates: usize,
    /// When this side hangs up, or gives up waiting.
    act: Instant,
}

#[derive(Debug)]
pub(super) struct Person {
    index: usize,
    crowd: Arc<Crowd>,
    from: Option<IpAddr>,
    /// When it should have begun to register.
    due: Instant,
    machine: ClientMachine<OsEntropy>,
    orders: mpsc::Receiver<Order>,
    socket: Option<Socket>,
    /// Something was said that did not go out yet.
    is_unsent: bool,
    deadline: Option<Instant>,
    talk: Option<Talk>,
    delivery: Delivery,
    /// Since when it has no connection that was open.
    away: Option<Instant>,
    /// How often it went to the next server.
    moves: usize,
    is_over: bool,
    /// Why the last connection did not come about.
    last_error: Option<String>,
}

/// The operating system's random numbers.
#[derive(Debug)]
struct OsEntropy;

impl EntropySource for OsEntropy {
    fn fill(&mut self, bytes: &mut [u8]) {
        getrandom::fill(bytes).expect("it gave random numbers when the run began");
    }
}

impl Person {
    pub(super) fn new(
        index: usize,
        crowd: Arc<Crowd>,
        from: Option<IpAddr>,
        due: Instant,
        orders: mpsc::Receiver<Order>,
    ) -> Self {
        let device = DeviceId::random(&mut OsEntropy);
        let config = ClientConfig::new(crowd.application.clone(), crowd.user(index), device);
        Self {
            index,
            crowd,
            from,
            due,
            machine: ClientMachine::new(config, OsEntropy),
            orders,
            socket: None,
            is_unsent: false,
            deadline: None,
            talk: None,
            delivery: Delivery::default(),
            away: None,
            moves: 0,
            is_over: false,
            last_error: None,
        }
    }

    /// Registers, stays, calls and is called until it is told to leave.
    pub(super) async fn run(mut self) {
        if self.machine.start(Instant::now(), wall(), None).is_ok() {
            self.drain().await;
        }
        while !self.is_over {
            self.step().await;
            self.drain().await;
        }
        self.disconnect().await;
    }

    async fn step(&mut self) {
        let at = [self.deadline, self.talk.as_ref().map(|talk| talk.act)].into_iter().flatten().min();
        let at = at.unwrap_or_else(|| Instant::now() + NOTHING);
        tokio::select! {
            order = self.orders.recv() => match order {
                Some(Order::Call(call)) => self.call(call),
                Some(Order::Leave) | None => {
                    self.machine.terminate(Instant::now());
                    self.is_over = true;
                }
            },
            message = next(&mut self.socket) => match message {
                Some(Ok(Message::Text(text))) => self.heed_frame(text.as_str()),
                Some(Ok(Message::Close(_)) | Err(_)) | None => {
                    self.socket = None;
                    self.moves += 1;
                    self.machine.handle_disconnected(Instant::now());
                }
                Some(Ok(_)) => {}
            },
            () = sleep_until(at.into()) => {
                let now = Instant::now();
                self.machine.handle_timeout(now);
                self.act(now);
            }
        }
    }

    /// Executes what the machine wants.
    async fn drain(&mut self) {
        loop {
            match self.machine.poll_output() {
                None => self.deadline = None,
                Some(Output::Timeout(at, _)) => self.deadline = Some(at),
                Some(Output::Connect) => {
                    self.connect().await;
                    continue;
                }
                Some(Output::Disconnect) => {
                    self.disconnect().await;
                    continue;
                }
                Some(Output::Send(text)) => {
                    self.send(text).await;
                    continue;
                }
                Some(Output::Event(event)) => {
                    self.heed(event);
                    continue;
                }
                Some(Output::StoreCredential(_) | Output::ForgetCredential) => continue,
            }
            self.flush().await;
            return;
        }
    }

    async fn connect(&mut self) {
        self.socket = None;
        let target = self.crowd.first_target(self.index + self.moves);
        let opened = timeout(CONNECT, target.connect(self.from)).await;
        match opened.unwrap_or_else(|_| Err("no answer in time".to_owned())) {
            Ok(socket) => {
                self.socket = Some(socket);
                self.machine.handle_connected(Instant::now());
            }
            Err(why) => {
                self.last_error = Some(why);
                self.moves += 1;
                self.machine.handle_disconnected(Instant::now());
            }
        }
    }

    async fn disconnect(&mut self) {
        if let Some(mut socket) = self.socket.take() {
            // A server that does not answer is left behind.
            let _ = timeout(FAREWELL, socket.close(None)).await;
        }
    }

    async fn send(&mut self, text: String) {
        let Some(socket) = &mut self.socket else { return };
        if text.contains(r#""type":"ping""#) {
            self.crowd.heartbeats.fetch_add(1, Ordering::Relaxed);
        }
        self.is_unsent = true;
        // A connection that fails here has ended, which the next read tells.
        let _ = timeout(PATIENCE, socket.feed(Message::text(text))).await;
    }

    /// What was said in one step goes out together.
    async fn flush(&mut self) {
        if std::mem::take(&mut self.is_unsent)
            && let Some(socket) = &mut self.socket
        {
            let _ = timeout(PATIENCE, socket.flush()).await;
        }
    }

    fn heed_frame(&mut self, text: &str) {
        self.machine.handle_frame(Instant::now(), text);
        let delivery = self.machine.delivery();
        if delivery != self.delivery {
            let (missed, repeated) =
                (delivery.missed - self.delivery.missed, delivery.repeated - self.delivery.repeated);
            self.crowd.missed.fetch_add(missed, Ordering::Relaxed);
            self.crowd.repeated.fetch_add(repeated, Ordering::Relaxed);
            self.delivery = delivery;
        }
        if self.machine.is_online()
            && let Some(since) = self.away.take()
        {
            self.tell(News::Back { person: self.index, took: since.elapsed() });
        }
    }

    fn heed(&mut self, event: ClientEvent) {
        match event {
            ClientEvent::CredentialsRequired => {
                // It was asked for just now.
                let _ = self.machine.register(Instant::now(), self.token());
            }
            ClientEvent::Started => {
                self.tell(News::Registered { person: self.index, took: self.due.elapsed() });
            }
            ClientEvent::Failed(error) => {
                let why = match (error.refusal, self.last_error.take()) {
                    (Some(refusal), _) => named("register", refusal),
                    (None, Some(why)) => format!("connect: {why}"),
                    (None, None) => "register: no answer in time".to_owned(),
                };
                self.tell(News::Failed { why });
                self.is_over = true;
            }
            ClientEvent::IncomingCall { call, headers, .. } => self.answer(call, &headers),
            ClientEvent::Reconnecting => {
                self.away = Some(Instant::now());
                self.tell(News::Away { person: self.index });
            }
            ClientEvent::Call(call, event) => self.heed_call(&call, event),
        }
    }

    fn token(&self) -> String {
        mint(&MintRequest {
            application_key: &self.crowd.application,
            secret: &self.crowd.secret,
            user: &self.crowd.user(self.index),
            issued_at: wall(),
            ttl_seconds: 600,
            nonce: &entropy::uuid(&mut OsEntropy),
            instance_expires: None,
        })
    }

    fn call(&mut self, call: NewCall) {
        let now = Instant::now();
        let NewCall { number, to, due, caller_ends } = call;
        let part = Part { number, is_caller: true, ..Part::default() };
        let headers = Headers::from([
            (NUMBER.to_owned(), number.to_string()),
            (CALLEE_ENDS.to_owned(), (!caller_ends).to_string()),
        ]);
        match self.machine.call_user(now, to, headers, description(true)) {
            Ok(id) => {
                self.trickle(&id);
                self.begin(id, part, due, caller_ends);
            }
            Err(error) => self.tell(News::Call(Part { error: Some(format!("call: {error}")), ..part })),
        }
    }

    fn answer(&mut self, id: CallId, headers: &Headers) {
        let now = Instant::now();
        let number = headers.get(NUMBER).and_then(|number| number.parse().ok());
        let Some(number) = number.filter(|_| self.talk.is_none()) else {
            // It rings, so that it can be refused.
            let _ = self.machine.refuse_busy(now, &id);
            return;
        };
        let ends_here = headers.get(CALLEE_ENDS).is_some_and(|ends| ends == "true");
        let part = Part { number, is_caller: false, ..Part::default() };
        self.begin(id.clone(), part, now, ends_here);
        // It has just begun to ring, and the description is small.
        let _ = self.machine.answer(now, &id, description(false));
        self.trickle(&id);
        self.machine.media_connected(now, &id);
    }

    fn begin(&mut self, id: CallId, part: Part, due: Instant, ends_here: bool) {
        self.talk = Some(Talk {
            id,
            part,
            due,
            ends_here,
            is_established: false,
            candidates: 0,
            act: due.max(Instant::now()) + PATIENCE,
        });
    }

    fn trickle(&mut self, id: &CallId) {
        for candidate in candidates() {
            // Of a call that has just begun.
            let _ = self.machine.local_candidate(id, candidate);
        }
    }

    fn heed_call(&mut self, id: &CallId, event: CallEvent) {
        let Some(talk) = self.talk.as_mut().filter(|talk| talk.id == *id) else { return };
        let now = Instant::now();
        match event {
            CallEvent::Answered if talk.part.is_caller => self.machine.media_connected(now, id),
            CallEvent::Established => {
                talk.is_established = true;
                if talk.part.is_caller {
                    talk.part.setup = Some(now.saturating_duration_since(talk.due));
                }
                let wait = if talk.ends_here { Duration::ZERO } else { PATIENCE };
                talk.act = now + self.crowd.talk + wait;
            }
            CallEvent::RemoteCandidate(_) => talk.candidates += 1,
            CallEvent::Ended { cause, error } => self.finish(cause, error),
            _ => {}
        }
    }

    /// The time has come to hang up, or to give up.
    fn act(&mut self, now: Instant) {
        let Some(talk) = self.talk.as_mut().filter(|talk| talk.act <= now) else { return };
        if !(talk.is_established && talk.ends_here) {
            let late = if talk.is_established { "not told of its end in time" } else { "not set up in time" };
            talk.part.error = Some(format!("call: {late}"));
            talk.part.missing = u64::from(talk.is_established);
        }
        let id = talk.id.clone();
        // It is there until its end, which this brings.
        let _ = self.machine.hang_up(now, &id);
    }

    fn finish(&mut self, cause: CallEndCause, error: Option<WireError>) {
        let Some(Talk { mut part, ends_here, is_established, candidates, .. }) = self.talk.take() else {
            return;
        };
        if part.error.is_none() {
            part.cause = Some(cause);
            part.error = match (cause, error) {
                (CallEndCause::HungUp, _) if is_established => None,
                (_, Some(error)) => Some(named("call", error)),
                (cause, None) => Some(format!("call: ended {}", snake(&cause))),
            };
            // Events keep their order: whoever is told of the end has been told all there was before.
            if is_established && !ends_here {
                part.missing += (CANDIDATES - candidates.min(CANDIDATES)) as u64;
            }
        }
        self.tell(News::Call(part));
    }

    fn tell(&self, news: News) {
        // A conductor that is gone needs no news.
        let _ = self.crowd.news.send(news);
    }
}

async fn next(socket: &mut Option<Socket>) -> Option<Result<Message, tokio_tungstenite::tungstenite::Error>> {
    match socket {
        Some(socket) => socket.next().await,
        None => std::future::pending().await,
    }
}

fn named(what: &str, error: WireError) -> String {
    format!("{what}: {}", snake(&error))
}

/// The name on the wire.
fn snake(value: &impl serde::Serialize) -> String {
    let value = serde_json::to_value(value).unwrap_or_default();
    value.as_str().unwrap_or("unknown").to_owned()
}

fn wall() -> UnixSeconds {
    UnixSeconds(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()))
}
