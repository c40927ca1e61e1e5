//! A node that is killed: SIGKILL to a process, in the middle of a call.

use std::process::Stdio;
use std::time::{Duration, Instant};

use offhook_server::{ClusterConfig, Server};
use offhook_signaling::ClientMessage;
use offhook_signaling::call::CallEndCause;
use offhook_signaling::message::{Credential, SdpKind, Update};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::nodes::{Nodes, talk};
use crate::support::{Phone, config, hello, live, token};

const URL: &str = "OFFHOOK_TEST_CLUSTER_URL";

#[tokio::test]
#[ignore = "not a test: the node that the next one runs as a process and kills"]
async fn node_that_is_killed() {
    let url = std::env::var(URL).expect("run by the test below");
    let cluster = ClusterConfig::nats("killed".parse().unwrap(), vec![url]);
    let server = Server::bind(config().cluster(Some(cluster))).await.unwrap();
    println!("listening {}", server.signal_url());
    std::future::pending::<()>().await;
}

async fn start(url: &str) -> (Child, String) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "--nocapture", "cluster_killed::node_that_is_killed"])
        .env(URL, url)
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    loop {
        let line = lines.next_line().await.unwrap().expect("the node says where it listens");
        if let Some((_, url)) = line.split_once("listening ") {
            let url = url.to_owned();
            tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
            return (child, url);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_of_a_killed_node_are_taken_over_and_those_that_ring_fail() {
    let Some(mut nodes) = Nodes::nats(1).await else { return };
    let (mut killed, url) = start(&nodes.nats_servers().urls().remove(0)).await;
    let (b, c) = (nodes.node("b").await, nodes.node("c").await);
    let token = token("alice", "alice");
    let mut alice = Phone::try_connect(&url, None).await.unwrap();
    alice.greet(hello("alice", "a1", Credential::Token(token.clone()))).await;
    let mut bob = Phone::register(&b, "bob", "b1").await;
    let mut dora = Phone::register(&b, "dora", "d1").await;
    talk(&mut alice, &mut bob, ("alice", "bob"), "talk").await;
    alice.call("ring", "dora").await;
    alice.expect("progressing").await;
    dora.expect("incoming from alice").await;
    dora.ring("ring").await;
    alice.expect("ringing").await;
    tokio::time::sleep(Duration::from_millis(500)).await;

    let since = Instant::now();
    killed.kill().await.unwrap();
    let mut again = hello("alice", "a1", Credential::Token(token));
    again.resume = Some(alice.resume());
    again.calls = vec![live("talk", true, "bob")];
    let mut alice = Phone::log_in(&c, again).await;
    assert!(since.elapsed() < Duration::from_secs(5), "back after {:?}", since.elapsed());
    assert_eq!(alice.snapshot.as_ref().unwrap().calls.len(), 1, "the call goes on");
    let offer = Update { kind: SdpKind::Offer, sdp: "v=0 again".to_owned() };
    assert_eq!(bob.ask("talk", ClientMessage::CallUpdate(offer)).await, None);
    alice.expect("update").await;
    alice.hang_up("talk", CallEndCause::HungUp, None).await;
    alice.expect("ended HungUp").await;
    bob.expect("ended HungUp").await;
    dora.expect("ended Failure").await;
    assert!(since.elapsed() < Duration::from_secs(10), "ended after {:?}", since.elapsed());
    for call in ["talk", "ring"] {
        assert_eq!(nodes.records_of(call).await.len(), 1, "{call}");
    }
}
