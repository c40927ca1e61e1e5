//! Sessions go to other nodes, and calls outlive the node that had them.

use std::time::{Duration, Instant};

use offhook_signaling::ClientMessage;
use offhook_signaling::call::CallEndCause;
use offhook_signaling::message::{ByeAction, SdpKind, Update};

use tokio::time::sleep;

use crate::nodes::{across, back, over_both, ringing, talk};
use crate::support::{Phone, candidate, live};

fn offer() -> ClientMessage {
    ClientMessage::CallUpdate(Update { kind: SdpKind::Offer, sdp: "v=0 again".to_owned() })
}

over_both! {
    async fn a_session_is_taken_up_at_another_node_without_a_lost_or_repeated_event(nodes) {
        let (a, b, c) = (nodes.node("a").await, nodes.node("b").await, nodes.node("c").await);
        let (alice, mut bob) = across(&a, &b, "c").await;
        // Alice's connection is gone; what bob says meanwhile waits for her.
        let old = alice.hang_the_line();
        for index in 0..5 {
            bob.send(Some("c"), ClientMessage::CallCandidate(candidate(&index.to_string()))).await;
        }
        assert_eq!(bob.ask("c", offer()).await, None);
        let mut alice = back(&c, ("alice", "a1"), &old, vec![live("c", true, "bob")]).await;
        assert!(alice.welcome.as_ref().unwrap().resumed, "the session goes on");
        for index in 0..5 {
            alice.expect(&format!("candidate {index}")).await;
        }
        alice.expect("update").await;
        // And back again: the call is still a's.
        bob.send(Some("c"), ClientMessage::CallCandidate(candidate("c"))).await;
        alice.expect("candidate c").await;
        let old = alice.hang_the_line();
        bob.send(Some("c"), ClientMessage::CallCandidate(candidate("between"))).await;
        let mut alice = back(&a, ("alice", "a1"), &old, vec![live("c", true, "bob")]).await;
        alice.expect("candidate between").await;
        alice.hang_up("c", CallEndCause::HungUp, None).await;
        alice.expect("ended HungUp").await;
        bob.expect("ended HungUp").await;
        assert_eq!(nodes.records_of("c").await.len(), 1);
    }

    async fn the_callee_goes_to_the_node_of_the_call_and_away_again(nodes) {
        let (a, b) = (nodes.node("a").await, nodes.node("b").await);
        let (mut alice, bob) = across(&a, &b, "c").await;
        let old = bob.hang_the_line();
        alice.send(Some("c"), ClientMessage::CallCandidate(candidate("1"))).await;
        let mut bob = back(&a, ("bob", "b1"), &old, vec![live("c", false, "alice")]).await;
        bob.expect("candidate 1").await;
        alice.send(Some("c"), ClientMessage::CallCandidate(candidate("2"))).await;
        bob.expect("candidate 2").await;
        let old = bob.hang_the_line();
        alice.send(Some("c"), ClientMessage::CallCandidate(candidate("3"))).await;
        let mut bob = back(&b, ("bob", "b1"), &old, vec![live("c", false, "alice")]).await;
        bob.expect("candidate 3").await;
        bob.hang_up("c", CallEndCause::HungUp, None).await;
        alice.expect("ended HungUp").await;
        bob.expect("ended HungUp").await;
    }

    async fn a_call_outlives_its_owner_and_is_hung_up_by_who_was_elsewhere(nodes) {
        let (a, b) = (nodes.node("a").await, nodes.node("b").await);
        let (_alice, mut bob) = across(&a, &b, "c").await;
        drop(a);
        bob.hang_up("c", CallEndCause::HungUp, None).await;
        bob.expect("ended HungUp").await;
        assert_eq!(nodes.records_of("c").await.len(), 1);
    }

    async fn a_call_whose_owner_is_gone_goes_on_at_the_nodes_its_people_come_to(nodes) {
        let (a, b, c) = (nodes.node("a").await, nodes.node("b").await, nodes.node("c").await);
        let (alice, mut bob) = across(&a, &b, "c").await;
        drop(a);
        let mut alice = back(&c, ("alice", "a1"), &alice, vec![live("c", true, "bob")]).await;
        let snapshot = alice.snapshot.clone().unwrap();
        assert_eq!(snapshot.calls.len(), 1, "the call is still there");
        assert_eq!(alice.ask("c", offer()).await, None);
        bob.expect("update").await;
        assert_eq!(bob.ask("c", offer()).await, None);
        alice.expect("update").await;
        bob.hang_up("c", CallEndCause::HungUp, None).await;
        bob.expect("ended HungUp").await;
        alice.expect("ended HungUp").await;
        assert_eq!(nodes.records_of("c").await.len(), 1);
    }

    async fn a_call_within_a_node_that_dies_goes_on_at_two_others(nodes) {
        let (a, b, c) = (nodes.node("a").await, nodes.node("b").await, nodes.node("c").await);
        let (alice, bob) = across(&a, &a, "c").await;
        drop(a);
        let (alice, bob) = tokio::join!(
            back(&b, ("alice", "a1"), &alice, vec![live("c", true, "bob")]),
            back(&c, ("bob", "b1"), &bob, vec![live("c", false, "alice")]),
        );
        let (mut alice, mut bob) = (alice, bob);
        for phone in [&alice, &bob] {
            assert_eq!(phone.snapshot.as_ref().unwrap().calls.len(), 1, "the call is still there");
        }
        assert_eq!(alice.ask("c", offer()).await, None);
        bob.expect("update").await;
        alice.hang_up("c", CallEndCause::HungUp, None).await;
        alice.expect("ended HungUp").await;
        bob.expect("ended HungUp").await;
        assert_eq!(nodes.records_of("c").await.len(), 1);
    }

    async fn a_call_that_rings_when_its_owner_dies_fails_soon(nodes) {
        let (a, b) = (nodes.node("a").await, nodes.node("b").await);
        let (_alice, mut bob) = ringing(&a, &b, "c").await;
        // Its snapshot is written in the background.
        sleep(Duration::from_millis(300)).await;
        let since = Instant::now();
        drop(a);
        bob.expect("ended Failure").await;
        assert!(since.elapsed() < Duration::from_secs(10), "{:?}", since.elapsed());
        assert_eq!(nodes.records_of("c").await.len(), 1);
    }

    /// As a client does that has no outcome of its first start.
    async fn a_call_that_is_started_once_more_after_its_owner_died_is_a_call_like_any(nodes) {
        let (a, b, c) = (nodes.node("a").await, nodes.node("b").await, nodes.node("c").await);
        let (old, mut bob) = ringing(&a, &b, "c").await;
        // Its snapshot is written in the background.
        sleep(Duration::from_millis(300)).await;
        drop(a);
        bob.expect("ended Failure").await;
        let mut alice = back(&c, ("alice", "a1"), &old, vec![]).await;
        alice.call("c", "bob").await;
        alice.expect("progressing").await;
        bob.expect("incoming from alice").await;
        // The end of the first one is said again and again meanwhile, to who did not hear of it.
        sleep(Duration::from_secs(4)).await;
        bob.answer("c").await;
        bob.expect("answered").await;
        alice.expect("answered").await;
        sleep(Duration::from_secs(1)).await;
        assert_eq!(nodes.records_of("c").await.len(), 1, "the first");
        // It is kept as any: another node takes it over.
        drop(c);
        assert_eq!(bob.ask("c", offer()).await, None, "it goes on");
        bob.hang_up("c", CallEndCause::HungUp, None).await;
        bob.expect("ended HungUp").await;
        let causes: Vec<_> = nodes.records_of("c").await.iter().map(|record| record.cause).collect();
        assert_eq!(causes, [CallEndCause::Failure, CallEndCause::HungUp]);
    }

    async fn an_id_of_a_call_that_is_over_may_be_used_again_at_another_node(nodes) {
        let (a, b, c) = (nodes.node("a").await, nodes.node("b").await, nodes.node("c").await);
        let (mut alice, mut bob) = across(&a, &b, "c").await;
        sleep(Duration::from_millis(300)).await;
        alice.hang_up("c", CallEndCause::HungUp, None).await;
        alice.expect("ended HungUp").await;
        bob.expect("ended HungUp").await;
        // What is remembered of it is that it is over.
        sleep(Duration::from_millis(300)).await;
        let mut carol = Phone::register(&c, "carol", "c1").await;
        talk(&mut carol, &mut bob, ("carol", "bob"), "c").await;
        sleep(Duration::from_secs(1)).await;
        drop(c);
        assert_eq!(bob.ask("c", offer()).await, None, "it goes on");
        bob.hang_up("c", CallEndCause::HungUp, None).await;
        bob.expect("ended HungUp").await;
        assert_eq!(nodes.records_of("c").await.len(), 2);
    }

    async fn a_node_that_shuts_down_gives_sessions_and_calls_to_the_others(nodes) {
        let (a, b, c) = (nodes.node("a").await, nodes.node("b").await, nodes.node("c").await);
        let (mut alice, mut bob) = across(&a, &b, "c").await;
        let stopping = tokio::spawn(a.shutdown());
        let (bye, code) = alice.end().await;
        assert_eq!((bye.unwrap().action, code), (ByeAction::Resume, Some(4000)));
        bob.send(Some("c"), ClientMessage::CallCandidate(candidate("meanwhile"))).await;
        let mut alice = back(&c, ("alice", "a1"), &alice, vec![live("c", true, "bob")]).await;
        assert!(alice.welcome.as_ref().unwrap().resumed, "the session goes on");
        alice.expect("candidate meanwhile").await;
        stopping.await.unwrap();
        assert_eq!(alice.ask("c", offer()).await, None);
        bob.expect("update").await;
        bob.hang_up("c", CallEndCause::HungUp, None).await;
        bob.expect("ended HungUp").await;
        alice.expect("ended HungUp").await;
        assert_eq!(nodes.records_of("c").await.len(), 1);
    }
}
