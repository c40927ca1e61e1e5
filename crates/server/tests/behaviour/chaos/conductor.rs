//! Draws what happens in a round, and judges it when everybody rests.

use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use offhook_server::UnixMillis;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::Dice;
use super::fleet::Fleet;
use super::ledger::Ledger;
use super::person::{Order, Person, Status};

const USERS: usize = 5;
/// Everybody has so many devices, the last user one: somebody must be alone.
const DEVICES: usize = 3;
/// Between two things that happen.
const PACE: u64 = 5;
/// Whoever rests has no call after this: the longest limit of a call, and coming back after a cut.
const REST: Duration = Duration::from_secs(25);
/// Between two ends of a server, on average.
const RESTART_EVERY: u64 = 2500;
/// How long a user is kept out.
const BLOCKED: u64 = 300;

pub(super) fn user(index: usize) -> String {
    format!("user{}", index % USERS)
}

/// As records have it.
fn now() -> UnixMillis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    UnixMillis(u64::try_from(since.as_millis()).unwrap())
}

struct Handle {
    user: usize,
    orders: mpsc::Sender<Order>,
    status: Arc<Status>,
}

/// What came of a round.
#[derive(Debug, Default)]
pub(super) struct Round {
    calls: usize,
    answered: usize,
    compared: usize,
    records: usize,
    events: u64,
    sessions_lost: u64,
    orders: u64,
    restarts: u64,
    blocks: u64,
}

impl Round {
    pub(super) async fn run(fleet: &mut Fleet, seed: u64, time: Duration) -> Self {
        let mut dice = Dice::new(seed);
        let since = now();
        let ledger = Arc::new(Mutex::new(Ledger::default()));
        let mut people = JoinSet::new();
        let handles = open(fleet, &ledger, &mut people, &mut dice);
        let mut round = Self::default();
        round.disturb(fleet, &handles, &mut dice, time).await;
        rest(&handles).await;
        for handle in &handles {
            // One that panicked is found below.
            let _ = handle.orders.send(Order::Leave).await;
        }
        while let Some(person) = people.join_next().await {
            person.unwrap();
        }
        fleet.check_empty().await;
        let records = fleet.records(since).await;
        let ledger = ledger.lock().unwrap_or_else(PoisonError::into_inner);
        ledger.check(&records);
        Self {
            calls: ledger.started(),
            answered: ledger.answered(),
            compared: ledger.compared(),
            records: records.len(),
            events: ledger.events,
            sessions_lost: ledger.sessions_lost,
            ..round
        }
    }

    /// A run in which nothing happened shows nothing.
    pub(super) fn check_that_enough_happened(&self) {
        assert!(self.calls >= 100 && self.answered >= 20 && self.compared >= 10, "{self}");
        assert!(self.restarts >= 1 && self.sessions_lost >= 10 && self.events >= 500, "{self}");
    }

    async fn disturb(&mut self, fleet: &mut Fleet, handles: &[Handle], dice: &mut Dice, time: Duration) {
        let end = Instant::now() + time;
        let mut restart = Instant::now() + dice.millis(2 * RESTART_EVERY);
        let mut blocked: Option<(String, Instant)> = None;
        while Instant::now() < end {
            let handle = &handles[dice.below(handles.len())];
            // A device that is busy with a slow connection does what it was told later.
            self.orders += u64::from(handle.orders.try_send(order(dice)).is_ok());
            if let Some((user, _)) = blocked.take_if(|(_, until)| *until <= Instant::now()) {
                fleet.block(&user, false).await;
            } else if blocked.is_none() && dice.below(400) == 0 {
                let user = user(handle.user);
                fleet.block(&user, true).await;
                self.blocks += 1;
                blocked = Some((user, Instant::now() + dice.millis(BLOCKED)));
            }
            if restart <= Instant::now() {
                fleet.restart(dice).await;
                self.restarts += 1;
                restart = Instant::now() + dice.millis(2 * RESTART_EVERY);
            }
            tokio::time::sleep(dice.millis(PACE)).await;
        }
        if let Some((user, _)) = blocked {
            fleet.block(&user, false).await;
        }
    }
}

impl fmt::Display for Round {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { calls, answered, compared, records, events, sessions_lost, orders, restarts, blocks } =
            self;
        write!(
            f,
            "{orders} orders, {calls} calls, {answered} answered, {compared} ends compared, {records} records, {events} events, \
             {sessions_lost} sessions lost, {restarts} restarts, {blocks} blocks"
        )
    }
}

fn open(
    fleet: &Fleet,
    ledger: &Arc<Mutex<Ledger>>,
    people: &mut JoinSet<()>,
    dice: &mut Dice,
) -> Vec<Handle> {
    let devices = (0..USERS * DEVICES - (DEVICES - 1)).map(|who| (who, who / DEVICES));
    devices
        .map(|(who, index)| {
            let (orders, inbox) = mpsc::channel(8);
            let status = Arc::new(Status::default());
            let dice = Dice::new(dice.next());
            let person = Person::new(
                who,
                &user(index),
                fleet.directory(),
                ledger.clone(),
                status.clone(),
                inbox,
                dice,
            );
            people.spawn(person.run());
            Handle { user: index, orders, status }
        })
        .collect()
}

/// Everybody hangs up, comes back and has no call any more.
async fn rest(handles: &[Handle]) {
    for handle in handles {
        let _ = handle.orders.send(Order::Rest).await;
    }
    let end = Instant::now() + REST;
    let rests = |handle: &Handle| {
        handle.status.live.load(Ordering::Acquire) == 0 && handle.status.online.load(Ordering::Acquire)
    };
    while !handles.iter().all(rests) {
        let left: Vec<_> = handles.iter().map(|handle| &handle.status).collect();
        assert!(Instant::now() < end, "not everybody rests: {left:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Common things are common.
fn order(dice: &mut Dice) -> Order {
    let nth = dice.below(4);
    match dice.below(100) {
        0..=15 => Order::Call(dice.below(USERS)),
        16..=39 => Order::Answer(nth),
        40..=51 => Order::HangUp(nth),
        52..=54 => Order::Busy(nth),
        55..=66 => Order::MediaConnected(nth),
        67 => Order::MediaFailed(nth),
        68..=77 => Order::Candidate(nth),
        78..=80 => Order::Update(nth, 100),
        // Some of these outgrow what a session keeps for whoever is away.
        81 | 82 => Order::Update(nth, 30_000),
        83..=87 => Order::Repeat,
        88..=91 => Order::Cut,
        92..=94 => Order::Hang,
        95..=97 => Order::Stall(dice.millis(800)),
        _ => Order::Relaunch,
    }
}
