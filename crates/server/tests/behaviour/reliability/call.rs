//! One call before, through and after the fault.

use std::sync::Arc;
use std::time::{Duration, Instant};

use offhook_signaling::call::CallEndCause;
use offhook_signaling::message::{Answer, CallStart, Candidate, Empty, Hangup, Headers, SdpKind, Update};
use offhook_signaling::{ClientMessage, ServerMessage, UserId};
use tokio::sync::{mpsc, watch};

use super::side::{PATIENCE, Side, side};
use super::stand::{Fault, NODES};
use super::tally::Outcome;
use crate::support::{ANSWER, OFFER};

/// For what happens before the fault.
const LONG: Duration = Duration::from_secs(30);
/// How long each side listens before what did not work is tried again.
const MOMENT: Duration = Duration::from_millis(500);

/// How far it is.
#[derive(Debug, Clone, Copy)]
pub(super) enum Phase {
    /// They talk.
    Before,
    /// The fault has happened and goes on.
    During(Instant),
    /// It is over, or it was that of an instant.
    After(Instant),
}

/// What the two people of a call do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Plan {
    /// They talk until the fault is over, negotiate anew and hang up.
    Wait,
    /// They negotiate anew and hang up while it goes on: it must not matter to them.
    Go,
    /// Both hang up while it goes on, and want to be told that it is over.
    HangUp,
    /// They try to negotiate while it goes on, are told that they cannot, and do it when they can.
    Try,
}

/// The plan of call number `index` between these nodes, and its line of the table.
fn plan(fault: Fault, index: usize, (here, there): (usize, usize)) -> (Plan, &'static str) {
    match fault {
        Fault::KillNode => (Plan::Wait, "kill -9 of a node"),
        Fault::KillLeader => (Plan::Wait, "kill -9 of the JetStream leader"),
        Fault::RollingRestart => (Plan::Wait, "rolling restart of all nodes"),
        Fault::LoseNats if here == there => (Plan::Go, "no NATS for 20 s: calls within a node"),
        Fault::LoseNats => (Plan::Try, "no NATS for 20 s: calls across nodes, when it is back"),
        Fault::Partition if (here == 0) == (there == 0) => {
            (Plan::Go, "partition of 20 s: calls on one side of it")
        }
        Fault::Partition if index.is_multiple_of(2) => (
            Plan::HangUp,
            "partition of 20 s: calls across it that both hang up meanwhile, when it is healed",
        ),
        Fault::Partition => (Plan::Wait, "partition of 20 s: other calls across it, when it is healed"),
    }
}

pub(super) async fn one(
    fault: Fault,
    index: usize,
    urls: Arc<Vec<String>>,
    up: mpsc::Sender<()>,
    mut phase: watch::Receiver<Phase>,
) -> Outcome {
    let nodes = usize::from(NODES);
    let here = index / nodes % nodes;
    // Every third pair is within one node, the others are across two.
    let there = if index.is_multiple_of(3) { here } else { (here + 1) % nodes };
    let (plan, kind) = plan(fault, index, (here, there));
    let call = format!("call-{index}");
    let (mut caller, mut callee) = talk(index, &call, &urls, (here, there)).await;
    up.send(()).await.unwrap();
    let negotiates = plan != Plan::HangUp;
    let mut outcome = Outcome { call, kind, negotiates, ..Outcome::default() };
    let since = loop {
        let now = *phase.borrow_and_update();
        match (now, plan) {
            (Phase::After(since), _) | (Phase::During(since), Plan::Go) => break since,
            (Phase::Before, _) => phase.changed().await.unwrap(),
            // Clients go where they are sent, and wait.
            (Phase::During(_), Plan::Wait) => listen(&mut caller, &mut callee).await,
            (Phase::During(_), Plan::HangUp) => {
                for side in [&mut caller, &mut callee] {
                    if side.talks {
                        hang_up_once(side).await;
                    }
                }
                listen(&mut caller, &mut callee).await;
            }
            (Phase::During(_), Plan::Try) => {
                offer_once(&mut callee).await;
                listen(&mut caller, &mut callee).await;
            }
        }
    };
    outcome.refused_clearly = caller.refusal.or(callee.refusal).is_some();
    if negotiates {
        outcome.renegotiated = renegotiate(&mut caller, &mut callee, since).await;
    }
    outcome.ended = hang_up(&mut caller, &mut callee, since, plan == Plan::HangUp).await;
    for side in [caller, callee] {
        outcome.resumed.extend(side.resumed);
        outcome.gaps += side.gaps;
        outcome.repeated += side.repeated;
        outcome.dropped |= side.dropped;
    }
    outcome
}

async fn listen(caller: &mut Side, callee: &mut Side) {
    tokio::join!(caller.read(MOMENT, |_| false), callee.read(MOMENT, |_| false));
}

/// Two people who talk.
async fn talk(
    index: usize,
    call: &str,
    urls: &Arc<Vec<String>>,
    (here, there): (usize, usize),
) -> (Side, Side) {
    let (a, b) = (format!("a{index}"), format!("b{index}"));
    let mut caller = side(urls, here, (&a, &b), call, true);
    let mut callee = side(urls, there, (&b, &a), call, false);
    caller.connect().await;
    callee.connect().await;
    let start = CallStart {
        to: UserId::new(&b).unwrap(),
        headers: Headers::new(),
        sdp: OFFER.to_owned(),
        commitment: None,
        display_name: None,
    };
    caller.send(ClientMessage::CallStart(start)).await;
    let rings = callee.read(LONG, |message| matches!(message, ServerMessage::CallIncoming(_))).await;
    callee.send(ClientMessage::CallAnswer(Answer { sdp: ANSWER.to_owned(), nonce: None })).await;
    let is_answer = |message: &ServerMessage| matches!(message, ServerMessage::CallAnswered(_));
    let is_up = rings && caller.read(LONG, is_answer).await && callee.read(LONG, is_answer).await;
    assert!(is_up, "{call} could not be set up");
    (caller.talks, callee.talks) = (true, true);
    callee.send(ClientMessage::CallEstablished(Empty {})).await;
    caller.read(LONG, |message| matches!(message, ServerMessage::CallEstablished(_))).await;
    caller.send(ClientMessage::CallCandidate(Candidate::default())).await;
    callee.read(LONG, |message| matches!(message, ServerMessage::CallCandidate(_))).await;
    (caller, callee)
}

async fn offer_once(side: &mut Side) {
    let offer = Update { kind: SdpKind::Offer, sdp: "v=0 again".to_owned() };
    side.send(ClientMessage::CallUpdate(offer)).await;
}

async fn hang_up_once(side: &mut Side) {
    side.send(ClientMessage::CallHangup(Hangup { cause: CallEndCause::HungUp, error: None })).await;
}

async fn renegotiate(caller: &mut Side, callee: &mut Side, since: Instant) -> Option<Duration> {
    while since.elapsed() < PATIENCE && !caller.dropped && !callee.dropped {
        offer_once(caller).await;
        let (heard, _) = tokio::join!(
            callee.read(MOMENT, |message| matches!(message, ServerMessage::CallUpdate(_))),
            caller.read(MOMENT, |message| matches!(message, ServerMessage::Outcome(_))),
        );
        if heard {
            return Some(since.elapsed());
        }
    }
    None
}

/// The callee hangs up, or both do, until both are told that it is over.
async fn hang_up(caller: &mut Side, callee: &mut Side, since: Instant, both: bool) -> Option<Duration> {
    while since.elapsed() < PATIENCE * 2 && !caller.dropped && !callee.dropped {
        if !caller.talks && !callee.talks {
            return Some(since.elapsed());
        }
        if callee.talks {
            hang_up_once(callee).await;
        }
        if both && caller.talks {
            hang_up_once(caller).await;
        }
        let is_end = |message: &ServerMessage| matches!(message, ServerMessage::CallEnded(_));
        tokio::join!(async { !callee.talks || callee.read(MOMENT, is_end).await }, async {
            !caller.talks || caller.read(MOMENT, is_end).await
        },);
    }
    None
}
