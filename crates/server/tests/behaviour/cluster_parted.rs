//! A node that is parted from the others for a while: nobody is told that something arrived which did not, and calls across the cut work
//! again soon after it is healed, long before the shared memory has a leader.

use std::time::{Duration, Instant};

use offhook_server::RunningServer;
use offhook_signaling::call::CallEndCause;
use offhook_signaling::message::{Reveal, SdpKind, Update, WireError};
use offhook_signaling::{ClientMessage, ServerMessage};
use tokio::time::{sleep, timeout};

use crate::nodes::{Nodes, back, talk};
use crate::rest::{ask, own};
use crate::support::{Phone, candidate, live};

/// Longer than it takes to be declared dead.
const CUT: Duration = Duration::from_secs(14);
const PROMISED: Duration = Duration::from_secs(10);
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(200);

fn offer(sdp: &str) -> ClientMessage {
    ClientMessage::CallUpdate(Update { kind: SdpKind::Offer, sdp: sdp.to_owned() })
}

/// Two calls between two nodes, the first of which can be parted: one is owned by it, one by the other.
struct Parting {
    nodes: Nodes,
    _servers: [RunningServer; 2],
    alice: Phone,
    bob: Phone,
    carol: Phone,
    dora: Phone,
}

impl Parting {
    async fn set_up() -> Self {
        let nodes = Nodes::local();
        let (a, b) = (nodes.node("a").await, nodes.node("b").await);
        let (mut alice, mut carol) =
            (Phone::register(&a, "alice", "d1").await, Phone::register(&a, "carol", "d1").await);
        let (mut bob, mut dora) =
            (Phone::register(&b, "bob", "d1").await, Phone::register(&b, "dora", "d1").await);
        talk(&mut alice, &mut bob, ("alice", "bob"), "out").await;
        talk(&mut dora, &mut carol, ("dora", "carol"), "in").await;
        // Who has just come is not declared dead.
        sleep(Duration::from_secs(8)).await;
        Self { nodes, _servers: [a, b], alice, bob, carol, dora }
    }
}

/// Negotiates anew until that is accepted: then it must arrive, at once or when it is known where the other side is.
async fn renegotiate(from: &mut Phone, to: &mut Phone, call: &str) {
    for round in 0.. {
        let sdp = format!("v=0 again {round}");
        match from.ask(call, offer(&sdp)).await {
            None => {
                let is_it =
                    |message| matches!(message, ServerMessage::CallUpdate(update) if update.sdp == sdp);
                let heard = async { while !is_it(to.next().await.message) {} };
                return timeout(PROMISED, heard).await.expect("what was accepted arrives");
            }
            Some(error) => assert_eq!(error, WireError::Unreachable, "{call}"),
        }
        sleep(PAUSE).await;
    }
}

async fn hang_up(from: &mut Phone, to: &mut Phone, call: &str) {
    from.hang_up(call, CallEndCause::HungUp, None).await;
    for phone in [from, to] {
        while !matches!(phone.next().await.message, ServerMessage::CallEnded(_)) {}
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_across_a_healed_partition_go_on_while_the_shared_memory_is_away() {
    let Parting { nodes, _servers, mut alice, mut bob, mut carol, mut dora } = Parting::set_up().await;
    nodes.local_bus().part(1);
    // The owner does not know that it is parted: what it cannot pass on it does not accept.
    for said in [offer("v=0 lost"), ClientMessage::CallCandidate(candidate("lost"))] {
        assert_eq!(alice.ask("out", said.clone()).await, Some(WireError::Unreachable), "{said:?}");
    }
    sleep(CUT).await;
    nodes.local_bus().rejoin(1, false);
    let healed = Instant::now();
    let both = async {
        // The owner of before has not heard yet that the call is another node's.
        tokio::join!(renegotiate(&mut alice, &mut bob, "out"), renegotiate(&mut dora, &mut carol, "in"));
        tokio::join!(renegotiate(&mut bob, &mut alice, "out"), renegotiate(&mut carol, &mut dora, "in"));
        tokio::join!(hang_up(&mut bob, &mut alice, "out"), hang_up(&mut carol, &mut dora, "in"));
    };
    both.await;
    assert!(healed.elapsed() < PROMISED, "after {:?}", healed.elapsed());
    nodes.local_bus().rejoin(1, true);
    sleep(Duration::from_secs(2)).await;
    for call in ["out", "in"] {
        assert_eq!(nodes.records_of(call).await.len(), 1, "{call}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_was_blocked_or_unblocked_meanwhile_is_so_at_a_node_that_did_not_hear_of_it() {
    let nodes = Nodes::local();
    let (a, b) = (nodes.node("a").await, nodes.node("b").await);
    let mut alice = Phone::register(&a, "alice", "d1").await;
    let mut carol = Phone::register(&a, "carol", "d1").await;
    assert_eq!(ask(&b, "PUT /v1/users/carol/block", &own()).await.0, 204);
    assert_eq!(carol.end().await.0.and_then(|bye| bye.error), Some(WireError::UserBlocked));
    sleep(Duration::from_secs(8)).await;
    nodes.local_bus().part(1);
    sleep(CUT).await;
    assert_eq!(ask(&b, "PUT /v1/users/alice/block", &own()).await.0, 204);
    assert_eq!(ask(&b, "DELETE /v1/users/carol/block", &own()).await.0, 204);
    alice.expect_silence().await;
    nodes.local_bus().rejoin(1, true);
    let (bye, _) = alice.end().await;
    assert_eq!(bye.and_then(|bye| bye.error), Some(WireError::UserBlocked));
    Phone::register(&a, "carol", "d2").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whose_registration_was_ended_meanwhile_is_thrown_out_by_a_node_that_did_not_hear_of_it() {
    let nodes = Nodes::local();
    let (a, b) = (nodes.node("a").await, nodes.node("b").await);
    let mut alice = Phone::register(&a, "alice", "d1").await;
    let mut other = Phone::register(&a, "alice", "d2").await;
    let mut carol = Phone::register(&a, "carol", "d1").await;
    sleep(Duration::from_secs(8)).await;
    nodes.local_bus().part(1);
    sleep(CUT).await;
    assert_eq!(ask(&b, "DELETE /v1/devices/alice/d1", &own()).await.0, 204);
    assert_eq!(ask(&b, "DELETE /v1/users/carol", &own()).await.0, 204);
    alice.expect_silence().await;
    nodes.local_bus().rejoin(1, true);
    for phone in [&mut alice, &mut carol] {
        let (bye, code) = phone.end().await;
        assert_eq!(bye.and_then(|bye| bye.error), Some(WireError::CredentialRefused));
        assert_eq!(code, Some(4008));
    }
    other.expect_silence().await;
}

/// A call that the first of three nodes owns: the callee is at the second, the caller at the first or, where she `moves`, at the third.
struct Between {
    nodes: Nodes,
    _servers: [RunningServer; 3],
    alice: Phone,
    bob: Phone,
}

impl Between {
    async fn set_up(moves: bool) -> Self {
        let nodes = Nodes::local();
        let (a, b, c) = (nodes.node("a").await, nodes.node("b").await, nodes.node("c").await);
        let mut alice = Phone::register(&a, "alice", "d1").await;
        let mut bob = Phone::register(&b, "bob", "d1").await;
        talk(&mut alice, &mut bob, ("alice", "bob"), "c").await;
        if moves {
            alice = back(&c, ("alice", "d1"), &alice, vec![live("c", true, "bob")]).await;
        }
        Self { nodes, _servers: [a, b, c], alice, bob }
    }
}

async fn reveal_across_a_cut(moves: bool) {
    let Between { nodes, _servers, mut alice, mut bob } = Between::set_up(moves).await;
    nodes.local_bus().part(2);
    let reveal = ClientMessage::CallReveal(Reveal { nonce: "the caller's".to_owned() });
    let said = alice.send(Some("c"), reveal).await;
    // Longer than a node waits for another one.
    sleep(Duration::from_secs(4)).await;
    alice.expect_silence().await;
    nodes.local_bus().rejoin(2, true);
    let (_, ServerMessage::CallReveal(told)) = bob.event().await else { panic!("it is revealed") };
    assert_eq!(told.nonce, "the caller's");
    loop {
        if let ServerMessage::Outcome(outcome) = alice.next().await.message
            && outcome.of.as_ref() == Some(&said)
        {
            break assert_eq!(outcome.error, None);
        }
    }
    bob.expect_silence().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_caller_reveals_during_a_cut_is_told_the_callee_after_it() {
    reveal_across_a_cut(false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_caller_reveals_through_a_third_node_during_a_cut_is_told_the_callee_after_it() {
    reveal_across_a_cut(true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_owner_between_two_other_nodes_cannot_pass_on_is_refused_until_it_can() {
    let Between { nodes, _servers, mut alice, mut bob } = Between::set_up(true).await;
    nodes.local_bus().part(3);
    assert_eq!(bob.ask("c", offer("v=0 lost")).await, Some(WireError::Unreachable));
    nodes.local_bus().rejoin(3, true);
    renegotiate(&mut bob, &mut alice, "c").await;
    renegotiate(&mut alice, &mut bob, "c").await;
}

/// The callee hangs up while the owner cannot be reached: their node takes the call over and ends it. The owner, which is back after `cut`,
/// was not heard meanwhile.
async fn hang_up_across_a_cut(cut: Duration) {
    let nodes = Nodes::local();
    let (a, b) = (nodes.node("a").await, nodes.node("b").await);
    let mut alice = Phone::register(&a, "alice", "d1").await;
    let mut bob = Phone::register(&b, "bob", "d1").await;
    talk(&mut alice, &mut bob, ("alice", "bob"), "c").await;
    // What is written in the background is written.
    sleep(Duration::from_secs(1)).await;
    let cut_at = Instant::now();
    nodes.local_bus().part(1);
    bob.hang_up("c", CallEndCause::HungUp, None).await;
    while !matches!(bob.next().await.message, ServerMessage::CallEnded(_)) {}
    sleep(cut.saturating_sub(cut_at.elapsed())).await;
    alice.expect_silence().await;
    nodes.local_bus().rejoin(1, true);
    let told = timeout(PROMISED, alice.event()).await.expect("the caller is told, too");
    let (_, ServerMessage::CallEnded(ended)) = told else { panic!("it is over: {told:?}") };
    assert_eq!(ended.cause, CallEndCause::HungUp);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(nodes.records_of("c").await.len(), 1);
    alice.expect_silence().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_hangs_up_during_a_short_cut_ends_the_call_for_the_other_soon_after_it() {
    hang_up_across_a_cut(Duration::from_secs(4)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_hangs_up_during_a_long_cut_ends_the_call_for_the_other_soon_after_it() {
    hang_up_across_a_cut(CUT + Duration::from_secs(6)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_that_has_let_go_of_a_call_does_not_end_it_for_a_third_node() {
    let Between { nodes, _servers, mut alice, mut bob } = Between::set_up(true).await;
    // What is written in the background is written.
    sleep(Duration::from_secs(1)).await;
    for parted in [1, 3] {
        nodes.local_bus().part(parted);
    }
    // Bob's node hears of neither and takes the call over.
    assert_eq!(bob.ask("c", ClientMessage::CallCandidate(candidate("meanwhile"))).await, None);
    for parted in [1, 3] {
        nodes.local_bus().rejoin(parted, true);
    }
    renegotiate(&mut alice, &mut bob, "c").await;
    hang_up(&mut alice, &mut bob, "c").await;
    sleep(Duration::from_secs(1)).await;
    assert_eq!(nodes.records_of("c").await.len(), 1);
}
