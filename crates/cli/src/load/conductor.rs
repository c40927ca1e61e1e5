//! Conducts a run: who registers when, who calls whom when.
//!
//! The load is open loop. A call or registration is due at its time whatever became of those before, and what it takes counts from then:
//! a server that stalls cannot hide it by stalling the clients too.

use std::collections::{HashSet, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{sleep_until, timeout};

use super::ledger::Ledger;
use super::person::{Crowd, NewCall, News, Order, Person};
use super::plan::{Plan, source};
use super::process::{Borders, Process, ServerCost};
use super::report::{Delivered, Report};
use crate::failure::Failure;
use crate::stop::StopSignals;
use crate::terminal;

/// How long the last registrations and the last calls may take.
const LATE: Duration = Duration::from_secs(20);
/// How long everybody may take to leave.
const LEAVING: Duration = Duration::from_secs(10);
/// How often calls that one side was never told of are looked for, and progress is told.
const LOOK: Duration = Duration::from_secs(1);
/// Orders that wait for one client: one call and its farewell.
const ORDERS: usize = 2;

#[derive(Debug)]
pub(super) struct Conductor {
    plan: Plan,
    crowd: Arc<Crowd>,
    sources: Vec<IpAddr>,
    server: Option<Process>,
    is_loud: bool,
    news: mpsc::UnboundedReceiver<News>,
    signals: StopSignals,
    stopped: bool,
    ledger: Ledger,
    orders: Vec<mpsc::Sender<Order>>,
    people: JoinSet<()>,
    answered: usize,
    free: VecDeque<usize>,
    away: HashSet<usize>,
    /// Calls that are due and wait for two clients.
    backlog: VecDeque<(u64, Instant)>,
    next_look: Instant,
    /// What was told last.
    told: String,
}

impl Conductor {
    pub(super) fn new(
        plan: Plan,
        crowd: Arc<Crowd>,
        news: mpsc::UnboundedReceiver<News>,
        signals: StopSignals,
    ) -> Self {
        Self {
            orders: Vec::with_capacity(plan.clients),
            plan,
            crowd,
            sources: Vec::new(),
            server: None,
            is_loud: false,
            news,
            signals,
            stopped: false,
            ledger: Ledger::new(),
            people: JoinSet::new(),
            answered: 0,
            free: VecDeque::new(),
            away: HashSet::new(),
            backlog: VecDeque::new(),
            next_look: Instant::now() + LOOK,
            told: String::new(),
        }
    }

    /// Connects from these addresses in turn.
    pub(super) fn sources(mut self, sources: Vec<IpAddr>) -> Self {
        self.sources = sources;
        self
    }

    /// Measures this process of the server.
    pub(super) fn server(mut self, pid: Option<u32>) -> Self {
        self.server = pid.map(Process);
        self
    }

    /// Tells on stderr how far it is.
    pub(super) fn loud(mut self, is_loud: bool) -> Self {
        self.is_loud = is_loud;
        self
    }

    /// Runs the plan; Ctrl-C ends it early, with a report of what there is.
    pub(super) async fn run(mut self) -> Result<Report, Failure> {
        let before = self.sample()?;
        self.register().await;
        let registered = self.sample()?;
        let idle_end = Instant::now() + self.plan.idle;
        self.wait(idle_end, |_| false).await;
        let idled = self.sample()?;
        self.make_calls().await;
        let called = self.sample()?;
        self.leave().await;
        let cost = match (before, registered, idled, called) {
            (Some(before), Some(registered), Some(idled), Some(called)) => {
                let borders = Borders { before, registered, idled, called };
                Some(ServerCost::new(&borders, self.ledger.registered, self.ledger.ended))
            }
            _ => None,
        };
        let read = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        let delivered = Delivered { missed: read(&self.crowd.missed), repeated: read(&self.crowd.repeated) };
        Ok(Report::new(self.plan.clients, self.ledger, delivered, cost))
    }

    fn sample(&self) -> Result<Option<super::process::Sample>, Failure> {
        let heartbeats = self.crowd.heartbeats.load(Ordering::Relaxed);
        self.server.map(|process| process.sample(heartbeats)).transpose()
    }

    async fn register(&mut self) {
        let start = Instant::now();
        for index in 0..self.plan.clients {
            let due = start + self.plan.registration(index);
            self.wait(due, |_| false).await;
            if self.stopped {
                return;
            }
            let (sender, orders) = mpsc::channel(ORDERS);
            let from = source(&self.sources, self.crowd.first_target(index).address.ip(), index);
            self.orders.push(sender);
            self.people.spawn(Person::new(index, Arc::clone(&self.crowd), from, due, orders).run());
        }
        self.wait(Instant::now() + LATE, |run| run.answered == run.plan.clients).await;
        // Who registers even later is free from then on.
        for _ in self.answered..self.plan.clients {
            self.ledger.note_error("register: no answer in time");
        }
    }

    async fn make_calls(&mut self) {
        let start = Instant::now();
        for number in 0.. {
            let Some(after) = self.plan.call(number) else { break };
            self.wait(start + after, |_| false).await;
            if self.stopped {
                break;
            }
            self.backlog.push_back((number, start + after));
            self.start_due();
        }
        if !self.stopped {
            self.wait(start + self.plan.calling, |_| false).await;
        }
        let end = Instant::now() + LATE;
        self.wait(end, |run| run.ledger.open() == 0 && run.backlog.is_empty()).await;
        for _ in 0..self.backlog.len() {
            self.ledger.note_not_started();
        }
        self.backlog.clear();
        self.ledger.close();
    }

    async fn leave(&mut self) {
        for orders in &self.orders {
            // Who is gone needs not leave.
            let _ = orders.try_send(Order::Leave);
        }
        let gone = timeout(LEAVING, async { while self.people.join_next().await.is_some() {} }).await;
        if gone.is_err() {
            self.people.abort_all();
        }
    }

    /// Starts calls that are due, as far as there are clients.
    fn start_due(&mut self) {
        while self.free.len() >= 2 {
            let Some((number, due)) = self.backlog.pop_front() else { return };
            let (Some(caller), Some(callee)) = (self.free.pop_front(), self.free.pop_front()) else { return };
            let to = self.crowd.user(callee);
            self.ledger.begin(number, caller, callee);
            let call = NewCall { number, to, due, caller_ends: number % 2 == 0 };
            // A client that has failed meanwhile leaves the call open until the run's end.
            let _ = self.orders[caller].try_send(Order::Call(call));
        }
    }

    /// Takes news until a time, or until `done`, or until the run is stopped.
    async fn wait(&mut self, until: Instant, done: impl Fn(&Self) -> bool) {
        while !self.stopped && !done(self) {
            tokio::select! {
                biased;
                () = self.signals.next() => self.stopped = true,
                () = sleep_until(until.into()) => return,
                Some(news) = self.news.recv() => self.heed(news),
                () = sleep_until(self.next_look.into()) => self.look(),
            }
        }
    }

    fn heed(&mut self, news: News) {
        match news {
            News::Registered { person, took } => {
                self.answered += 1;
                self.ledger.note_registered(took);
                self.free.push_back(person);
            }
            News::Failed { why } => {
                self.answered += 1;
                self.ledger.note_error(why);
            }
            News::Away { person } => {
                self.ledger.note_away();
                self.away.insert(person);
                self.free.retain(|free| *free != person);
            }
            News::Back { person, took } => {
                self.ledger.note_back(took);
                if self.away.remove(&person) {
                    self.free.push_back(person);
                }
            }
            News::Call(part) => {
                let free = self.ledger.note_part(Instant::now(), part);
                self.set_free(free);
            }
        }
        self.start_due();
    }

    fn set_free(&mut self, people: Vec<usize>) {
        let away = &self.away;
        self.free.extend(people.into_iter().filter(|person| !away.contains(person)));
    }

    fn look(&mut self) {
        self.next_look = Instant::now() + LOOK;
        let free = self.ledger.handle_timeout(Instant::now());
        self.set_free(free);
        self.start_due();
        if self.is_loud {
            let Ledger { registered, attempted, established, ended, failed, .. } = &self.ledger;
            let line = format!(
                "registered {registered} of {}, calls: {attempted} attempted, {established} established, {ended} ended, {failed} failed",
                self.plan.clients
            );
            // An idle crowd is told of once.
            if line != self.told {
                terminal::say(&line);
                self.told = line;
            }
        }
    }
}
