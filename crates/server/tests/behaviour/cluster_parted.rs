//! A node that is parted from the others for a while: calls across the cut work again soon after it is healed, long before the shared
//! memory has a leader.

use std::time::{Duration, Instant};

use offhook_signaling::call::CallEndCause;
use offhook_signaling::message::{SdpKind, Update};
use offhook_signaling::{ClientMessage, ServerMessage};
use tokio::time::{sleep, timeout};

use crate::nodes::{Carrier, Nodes};
use crate::support::Phone;

/// Longer than it takes to be declared dead.
const CUT: Duration = Duration::from_secs(14);
const PROMISED: Duration = Duration::from_secs(10);

async fn talk(caller: &mut Phone, callee: &mut Phone, (from, to): (&str, &str), call: &str) {
    caller.call(call, to).await;
    caller.expect("progressing").await;
    callee.expect(&format!("incoming from {from}")).await;
    callee.answer(call).await;
    callee.expect("answered").await;
    caller.expect("answered").await;
}

/// Negotiates anew until the other side has heard of it.
async fn renegotiate(from: &mut Phone, to: &mut Phone, call: &str) {
    loop {
        let offer = Update { kind: SdpKind::Offer, sdp: "v=0 again".to_owned() };
        from.send(Some(call), ClientMessage::CallUpdate(offer)).await;
        let heard = async { while !matches!(to.next().await.message, ServerMessage::CallUpdate(_)) {} };
        if timeout(Duration::from_millis(500), heard).await.is_ok() {
            return;
        }
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
    let nodes = Nodes::local();
    let Carrier::Local(bus) = &nodes.carrier else { return };
    let (a, b) = (nodes.node("a").await, nodes.node("b").await);
    let (mut alice, mut carol) =
        (Phone::register(&a, "alice", "d1").await, Phone::register(&a, "carol", "d1").await);
    let (mut bob, mut dora) =
        (Phone::register(&b, "bob", "d1").await, Phone::register(&b, "dora", "d1").await);
    // One is owned by the node that will be parted, one by the other.
    talk(&mut alice, &mut bob, ("alice", "bob"), "out").await;
    talk(&mut dora, &mut carol, ("dora", "carol"), "in").await;
    sleep(Duration::from_secs(8)).await;
    bus.part(1);
    sleep(CUT).await;
    bus.rejoin(1, false);
    let healed = Instant::now();
    let both = async {
        tokio::join!(renegotiate(&mut alice, &mut bob, "out"), renegotiate(&mut dora, &mut carol, "in"));
        tokio::join!(renegotiate(&mut bob, &mut alice, "out"), renegotiate(&mut carol, &mut dora, "in"));
        tokio::join!(hang_up(&mut bob, &mut alice, "out"), hang_up(&mut carol, &mut dora, "in"));
    };
    assert!(timeout(PROMISED, both).await.is_ok(), "not after {:?}", healed.elapsed());
    bus.rejoin(1, true);
    sleep(Duration::from_secs(2)).await;
    for call in ["out", "in"] {
        assert_eq!(nodes.records_of(call).await.len(), 1, "{call}");
    }
}
