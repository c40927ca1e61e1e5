//! NATS that is missing, too old, lost, and back again.

use std::collections::HashSet;
use std::time::Duration;

use futures_util::StreamExt as _;
use offhook_server::{ClusterConfig, ClusterError, Server, StartError};
use offhook_signaling::call::CallEndCause;
use offhook_signaling::message::{Hangup, Outcome, WireError};
use offhook_signaling::{ClientMessage, ServerMessage};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;
use tokio::time::sleep;

use crate::nodes::{Nats, Nodes, reaching, talk};
use crate::support::{Phone, SOON, config, word};

async fn join(url: String) -> ClusterError {
    let cluster = ClusterConfig::nats("a".parse().unwrap(), vec![url]);
    match Server::bind(config().cluster(Some(cluster))).await {
        Err(StartError::Cluster(error)) => error,
        other => panic!("expected another error than {:?}", other.err()),
    }
}

#[tokio::test]
async fn without_nats_a_node_says_so() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    assert!(matches!(join(format!("nats://{address}")).await, ClusterError::Connect(_)));
    let secret = join("nats://me:hush@[not-an-address".to_owned()).await;
    assert!(matches!(&secret, ClusterError::Url { .. }) && !secret.to_string().contains("hush"), "{secret}");
}

/// Speaks just enough of the NATS client protocol to be connected to.
async fn old_server() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (read, mut write) = stream.into_split();
            let info = r#"{"server_id":"A","server_name":"a","version":"2.9.10","proto":1,"host":"127.0.0.1","port":1,"headers":true,"max_payload":1048576,"jetstream":true}"#;
            write.write_all(format!("INFO {info}\r\n").as_bytes()).await.unwrap();
            let mut lines = BufReader::new(read).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                if line.starts_with("PING") {
                    write.write_all(b"PONG\r\n").await.unwrap();
                }
            }
        }
    });
    format!("nats://{address}")
}

#[tokio::test]
async fn a_nats_server_that_is_too_old_is_refused_by_its_version() {
    let error = join(old_server().await).await;
    assert!(matches!(&error, ClusterError::TooOld { found } if found == "2.9.10"), "{error}");
    assert!(error.to_string().contains("2.12"), "{error}");
}

#[tokio::test]
async fn a_nats_server_without_jetstream_is_refused() {
    let Some(nats) = Nats::without_jetstream().await else { return };
    let error = join(nats.urls().remove(0)).await;
    assert!(matches!(&error, ClusterError::JetStream(_)), "{error}");
}

/// A whole call between two phones that have heard nothing yet.
async fn call(caller: &mut Phone, callee: &mut Phone, people: (&str, &str), call: &str) {
    talk(caller, callee, people, call).await;
    caller.hang_up(call, CallEndCause::HungUp, None).await;
    caller.expect("ended HungUp").await;
    callee.expect("ended HungUp").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_nats_calls_within_a_node_go_on_the_rest_fails_clearly_and_all_comes_back() {
    let Some(mut nodes) = Nodes::nats(1).await else { return };
    let (a, b) = (nodes.node("a").await, nodes.node("b").await);
    let mut alice = Phone::register(&a, "alice", "a1").await;
    let mut carol = Phone::register(&a, "carol", "c1").await;
    let mut bob = Phone::register(&b, "bob", "b1").await;
    talk(&mut alice, &mut bob, ("alice", "bob"), "across").await;

    nodes.nats_servers().kill();
    // Both notice that the connection is gone.
    sleep(Duration::from_millis(500)).await;
    call(&mut alice, &mut carol, ("alice", "carol"), "within").await;
    alice.call("lost", "bob").await;
    assert_eq!(alice.until_end().await, ["progressing", "ended Failure Unreachable"]);
    let hang_up = Hangup { cause: CallEndCause::HungUp, error: None };
    let refused = bob.ask("across", ClientMessage::CallHangup(hang_up)).await;
    assert_eq!(refused, Some(WireError::Unreachable));

    nodes.nats_servers().start_again().await;
    // The hang-up goes out as soon as it can.
    alice.expect("ended HungUp").await;
    bob.expect("ended HungUp").await;
    call(&mut alice, &mut bob, ("alice", "bob"), "again").await;
    assert_eq!(nodes.records_of("across").await.len(), 1);
    assert_eq!(nodes.records_of("again").await.len(), 1);
}

/// Says again, a moment later, what nodes say of devices that arrive: as if it had been long on its way.
async fn delay_arrivals(nats: &Nats) {
    let client = async_nats::connect(nats.urls().remove(0)).await.unwrap();
    let mut arrivals = client.subscribe("offhook.1.ring.>").await.unwrap();
    client.flush().await.unwrap();
    tokio::spawn(async move {
        let mut said = HashSet::new();
        while let Some(message) = arrivals.next().await {
            if said.insert(message.payload.clone()) {
                let client = client.clone();
                tokio::spawn(async move {
                    sleep(SOON).await;
                    client.publish(message.subject, message.payload).await.unwrap();
                });
            }
        }
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_found_before_their_arrival_is_heard_of_rings_once() {
    let Some(mut nodes) = Nodes::nats(1).await else { return };
    delay_arrivals(nodes.nats_servers()).await;
    let (a, b) = (nodes.node("a").await, nodes.node("b").await);
    let (_alice, mut bob) = reaching(&a, &b, "c").await;
    sleep(3 * SOON).await;
    assert_eq!(bob.words_so_far().await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_rings_when_nats_goes_and_comes_back_rings_once() {
    let Some(mut nodes) = Nodes::nats(1).await else { return };
    let (a, b) = (nodes.node("a").await, nodes.node("b").await);
    let (mut alice, mut bob) = reaching(&a, &b, "c").await;
    nodes.nats_servers().kill();
    sleep(5 * SOON).await;
    nodes.nats_servers().start_again().await;
    // Nodes come back within a second, and look for each other's devices two seconds after.
    sleep(40 * SOON).await;
    assert_eq!(bob.words_so_far().await, [""; 0]);
    bob.answer("c").await;
    bob.expect("answered").await;
    alice.expect("answered").await;
}

/// Hangs up, until the server says that it is over: while the node changes its NATS server that may be said to be impossible now.
async fn hang_up_sooner_or_later(phone: &mut Phone, call: &str) {
    phone.hang_up(call, CallEndCause::HungUp, None).await;
    loop {
        match phone.next().await.message {
            ServerMessage::Outcome(Outcome { error: None | Some(WireError::Unreachable), .. }) => {}
            ended => return assert_eq!(word(&ended), "ended HungUp"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hang_up_that_was_on_its_way_when_a_nats_server_died_is_told_all_the_same() {
    const CALLS: usize = 12;
    let Some(mut nodes) = Nodes::nats(3).await else { return };
    let (a, b) = (nodes.node("a").await, nodes.node("b").await);
    let mut pairs = Vec::new();
    for index in 0..CALLS {
        let (caller, callee, call) = (format!("a{index}"), format!("b{index}"), format!("c{index}"));
        let mut callee_phone = Phone::register(&b, &callee, "d1").await;
        let mut phone = Phone::register(&a, &caller, "d1").await;
        talk(&mut phone, &mut callee_phone, (&caller, &callee), &call).await;
        pairs.push((call, phone, callee_phone));
    }
    // The two nodes are at some two of the three, or at the same one.
    for server in 0..2 {
        nodes.nats_servers().kill_one(server);
        for (call, caller, callee) in pairs.split_off(pairs.len() - CALLS / 2).iter_mut() {
            // The owner is the caller's node: one way it is told of, the other way it tells.
            let (teller, other) = if server == 0 { (caller, callee) } else { (callee, caller) };
            hang_up_sooner_or_later(teller, call).await;
            other.expect("ended HungUp").await;
            assert_eq!(nodes.records_of(call).await.len(), 1);
        }
        nodes.nats_servers().start_again().await;
    }
}
