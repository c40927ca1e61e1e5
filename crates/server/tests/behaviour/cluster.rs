//! Calls between users of different nodes are calls like any others.

use offhook_signaling::ClientMessage;
use offhook_signaling::call::{CallEndCause, CallTimers};
use offhook_signaling::message::{Empty, SdpKind, ServerMessage, Update, WireError};

use crate::nodes::{over_both, reaching};
use crate::support::{Phone, SOON, candidate, config};

over_both! {
    async fn a_call_across_two_nodes_rings_is_answered_goes_on_and_ends(nodes) {
        let (a, b) = (nodes.node("a").await, nodes.node("b").await);
        let (mut alice, mut bob) = reaching(&a, &b, "c").await;
        alice.send(Some("c"), ClientMessage::CallCandidate(candidate("early"))).await;
        bob.expect("candidate early").await;
        bob.ring("c").await;
        alice.expect("ringing").await;
        bob.answer("c").await;
        bob.expect("answered").await;
        alice.expect("answered").await;
        bob.send(Some("c"), ClientMessage::CallCandidate(candidate("late"))).await;
        alice.expect("candidate late").await;
        assert_eq!(bob.ask("c", ClientMessage::CallEstablished(Empty {})).await, None);
        alice.expect("established").await;
        let offer = Update { kind: SdpKind::Offer, sdp: "v=0 again".to_owned() };
        alice.send(Some("c"), ClientMessage::CallUpdate(offer)).await;
        bob.expect("update").await;
        bob.hang_up("c", CallEndCause::HungUp, None).await;
        alice.expect("ended HungUp").await;
        bob.expect("ended HungUp").await;
        assert_eq!(nodes.records_of("c").await.len(), 1);
        assert_eq!(bob.ask("c", ClientMessage::CallEstablished(Empty {})).await, Some(WireError::UnknownCall));
    }

    async fn of_devices_on_several_nodes_one_wins(nodes) {
        let (a, b, c) = (nodes.node("a").await, nodes.node("b").await, nodes.node("c").await);
        let mut alice = Phone::register(&a, "alice", "a1").await;
        let mut here = Phone::register(&a, "bob", "here").await;
        let mut there = Phone::register(&b, "bob", "there").await;
        let mut yonder = Phone::register(&c, "bob", "yonder").await;
        for round in 0..8 {
            let call = format!("c{round}");
            alice.call(&call, "bob").await;
            alice.expect("progressing").await;
            for phone in [&mut here, &mut there, &mut yonder] {
                phone.expect("incoming from alice").await;
            }
            for phone in [&mut here, &mut there, &mut yonder] {
                phone.answer(&call).await;
            }
            alice.expect("answered").await;
            let mut winners = 0;
            for phone in [&mut here, &mut there, &mut yonder] {
                match phone.call_event().await {
                    ServerMessage::CallAnswered(_) => winners += 1,
                    ServerMessage::CallEnded(ended) => {
                        assert_eq!(ended.cause, CallEndCause::OtherDeviceAnswered);
                    }
                    other => panic!("unexpected {other:?}"),
                }
            }
            assert_eq!(winners, 1, "exactly one device wins");
            alice.hang_up(&call, CallEndCause::HungUp, None).await;
            alice.expect("ended HungUp").await;
            let mut ended = 0;
            for phone in [&mut here, &mut there, &mut yonder] {
                // Losers have nothing more to hear of this call.
                if phone.quiet_or_event().await.is_some_and(|message| matches!(message, ServerMessage::CallEnded(_))) {
                    ended += 1;
                }
            }
            assert_eq!(ended, 1, "the winner is told the end");
        }
    }

    async fn who_is_nowhere_is_not_reached(nodes) {
        let timers = CallTimers { progress: SOON, ..CallTimers::default() };
        let a = nodes.node_with("a", config().call_timers(timers)).await;
        let _b = nodes.node("b").await;
        let mut alice = Phone::register(&a, "alice", "a1").await;
        alice.call("c", "nobody").await;
        assert_eq!(alice.until_end().await, ["progressing", "ended Timeout"]);
    }

    async fn who_arrives_while_it_rings_rings_too(nodes) {
        let (a, b) = (nodes.node("a").await, nodes.node("b").await);
        let mut alice = Phone::register(&a, "alice", "a1").await;
        alice.call("c", "bob").await;
        alice.expect("progressing").await;
        let mut bob = Phone::register(&b, "bob", "b1").await;
        bob.expect("incoming from alice").await;
        alice.hang_up("c", CallEndCause::Canceled, None).await;
        bob.expect("ended Canceled").await;
    }

    async fn a_refusal_reaches_the_caller(nodes) {
        let (a, b) = (nodes.node("a").await, nodes.node("b").await);
        let (mut alice, mut bob) = reaching(&a, &b, "c").await;
        bob.hang_up("c", CallEndCause::Denied, None).await;
        alice.expect("ended Denied").await;
        bob.expect("ended Denied").await;
    }

    async fn people_who_call_each_other_across_nodes_get_one_call(nodes) {
        let (a, b) = (nodes.node("a").await, nodes.node("b").await);
        let mut alice = Phone::register(&a, "alice", "a1").await;
        let mut bob = Phone::register(&b, "bob", "b1").await;
        for round in 0..8 {
            let (first, second) = (format!("1-{round}"), format!("2-{round}"));
            alice.call(&second, "bob").await;
            bob.call(&first, "alice").await;
            // One of the two ends by glare, and whoever made it is called by the other.
            tokio::time::sleep(SOON * 3).await;
            let (of_alice, of_bob) = (alice.words_so_far().await, bob.words_so_far().await);
            let ended = |words: &[String]| words.iter().any(|word| word == "ended Canceled Glare");
            let rings = |words: &[String]| words.iter().any(|word| word.starts_with("incoming"));
            let alice_lost = ended(&of_alice);
            assert_eq!((ended(&of_bob), rings(&of_bob)), (!alice_lost, !alice_lost), "{of_alice:?} {of_bob:?}");
            assert_eq!(rings(&of_alice), alice_lost, "{of_alice:?} {of_bob:?}");
            let (caller, callee, call) =
                if alice_lost { (&mut bob, &mut alice, &first) } else { (&mut alice, &mut bob, &second) };
            callee.answer(call).await;
            callee.expect("answered").await;
            caller.expect("answered").await;
            caller.hang_up(call, CallEndCause::HungUp, None).await;
            caller.expect("ended HungUp").await;
            callee.expect("ended HungUp").await;
        }
    }

    async fn a_device_that_goes_to_another_node_leaves_the_one_before(nodes) {
        let (a, b) = (nodes.node("a").await, nodes.node("b").await);
        let mut before = Phone::register(&a, "bob", "b1").await;
        let token = crate::support::token("bob", "again");
        let mut now = Phone::log_in(&b, crate::support::hello("bob", "b1", offhook_signaling::message::Credential::Token(token))).await;
        assert_eq!(before.end().await.1, Some(4004), "replaced");
        let mut alice = Phone::register(&a, "alice", "a1").await;
        alice.call("c", "bob").await;
        now.expect("incoming from alice").await;
    }

    async fn a_blocked_user_is_gone_from_every_node(nodes) {
        let (a, b) = (nodes.node("a").await, nodes.node("b").await);
        let mut bob = Phone::register(&b, "bob", "b1").await;
        assert!(a.revoke_device(&crate::support::address("bob", "b1")).await.unwrap());
        assert_eq!(bob.end().await.1, Some(4008), "revoked");
    }
}
