//! What a back end and the operator see of a cluster is the same at every node, and says so when a node does not answer.

use std::time::{Duration, Instant};

use offhook_server::{Limits, Rate, RunningServer};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::nodes::{Nodes, over_both, talk};
use crate::rest::{ask, json, own};
use crate::support::{Phone, config};

/// A second for the other nodes, and what a busy machine takes.
const DEADLINE: Duration = Duration::from_millis(2500);
/// Longer than it takes to be declared dead.
const GONE: Duration = Duration::from_secs(12);

async fn get(server: &RunningServer, path: &str) -> Value {
    let since = Instant::now();
    let (status, body) = ask(server, &format!("GET {path}"), &own()).await;
    assert_eq!(status, 200, "{path}: {body}");
    assert!(since.elapsed() < DEADLINE, "{path} took {:?}", since.elapsed());
    json(&body)
}

/// The texts at `name` of the entries of a list.
fn names<'a>(answer: &'a Value, list: &str, name: &str) -> Vec<&'a str> {
    answer[list].as_array().unwrap().iter().map(|entry| entry[name].as_str().unwrap()).collect()
}

/// Until all nodes know of each other, and of a call that was just made.
async fn settled(nodes: &[&RunningServer], path: &str, is_so: impl Fn(&Value) -> bool) {
    for node in nodes {
        let since = Instant::now();
        while !is_so(&get(node, path).await) {
            assert!(since.elapsed() < DEADLINE, "{path}: {}", get(node, path).await);
            sleep(Duration::from_millis(20)).await;
        }
    }
}

over_both! {
    async fn live_calls_and_users_of_all_nodes_are_listed_at_each(nodes) {
        let (a, b, c) = (nodes.node("a").await, nodes.node("b").await, nodes.node("c").await);
        let mut alice = Phone::register(&a, "alice", "a1").await;
        let _second = Phone::register(&b, "alice", "a2").await;
        let mut bob = Phone::register(&b, "bob", "b1").await;
        let mut carol = Phone::register(&c, "carol", "c1").await;
        let mut dora = Phone::register(&c, "dora", "d1").await;
        talk(&mut alice, &mut bob, ("alice", "bob"), "call-2").await;
        talk(&mut dora, &mut carol, ("dora", "carol"), "call-1").await;
        let all = [&a, &b, &c];
        settled(&all, "/v1/users", |answer| answer["users"].as_array().unwrap().len() == 4).await;
        for node in all {
            let calls = get(node, "/v1/calls").await;
            assert_eq!(names(&calls, "calls", "call_id"), ["call-1", "call-2"], "{calls}");
            assert!(calls["next"].is_null() && calls.get("unreachable_nodes").is_none(), "{calls}");
            let of_bob = get(node, "/v1/calls?user=bob").await;
            assert_eq!(names(&of_bob, "calls", "call_id"), ["call-2"]);
            let users = get(node, "/v1/users").await;
            assert_eq!(names(&users, "users", "user"), ["alice", "bob", "carol", "dora"], "{users}");
            assert_eq!(names(&users["users"][0], "devices", "device").len(), 2, "{users}");
            assert!(users.get("unreachable_nodes").is_none(), "{users}");
            let alice = get(node, "/v1/users/alice").await;
            assert_eq!((&alice["online"], alice.get("unreachable_nodes")), (&true.into(), None));
            let online = alice["devices"].as_array().unwrap().iter().filter(|device| device["online"] == true);
            assert_eq!(online.count(), 2, "{alice}");
            assert_eq!(ask(node, "GET /v1/users/nobody", &own()).await.0, 404);
        }
    }

    async fn pages_of_one_entry_walk_over_all_nodes_in_order(nodes) {
        let (a, b, c) = (nodes.node("a").await, nodes.node("b").await, nodes.node("c").await);
        let mut phones = Vec::new();
        for (node, user) in [(&c, "u1"), (&a, "u2"), (&b, "u3"), (&a, "u4"), (&c, "u5")] {
            phones.push(Phone::register(node, user, "d").await);
        }
        settled(&[&b], "/v1/users", |answer| answer["users"].as_array().unwrap().len() == 5).await;
        let (mut seen, mut path) = (Vec::new(), "/v1/users?limit=1".to_owned());
        loop {
            let page = get(&b, &path).await;
            seen.extend(names(&page, "users", "user").iter().map(|user| (*user).to_owned()));
            let Some(next) = page["next"].as_str() else { break };
            path = format!("/v1/users?limit=1&after={next}");
        }
        assert_eq!(seen, ["u1", "u2", "u3", "u4", "u5"]);
    }

    /// With it go its entries: its clients come back elsewhere. Until somebody knows that, the answer says who is missing.
    async fn a_node_that_is_killed_is_named_and_one_that_is_stopped_is_not(nodes) {
        let (a, b, c) = (nodes.node("a").await, nodes.node("b").await, nodes.node("c").await);
        let _alice = Phone::register(&a, "alice", "d").await;
        let _bob = Phone::register(&b, "bob", "d").await;
        settled(&[&b], "/v1/users", |answer| answer["users"].as_array().unwrap().len() == 2).await;
        c.shutdown().await;
        let users = get(&b, "/v1/users").await;
        assert!(users.get("unreachable_nodes").is_none(), "it said that it leaves: {users}");
        drop(a);
        settled(&[&b], "/v1/users", |answer| answer["unreachable_nodes"] == json!(["a"])).await;
        for path in ["/v1/users", "/v1/calls", "/v1/users/bob"] {
            assert_eq!(get(&b, path).await["unreachable_nodes"], json!(["a"]), "{path}");
        }
        assert_eq!(ask(&b, "GET /v1/users/nobody", &own()).await.0, 503, "who knows");
        let a = nodes.node("a").await;
        settled(&[&b, &a], "/v1/users", |answer| answer.get("unreachable_nodes").is_none()).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_parted_is_named_while_it_is_and_every_call_stands_once_after_that() {
    let nodes = Nodes::local();
    let (a, b, c) = (nodes.node("a").await, nodes.node("b").await, nodes.node("c").await);
    let mut alice = Phone::register(&a, "alice", "d1").await;
    let mut bob = Phone::register(&b, "bob", "d1").await;
    talk(&mut alice, &mut bob, ("alice", "bob"), "c").await;
    // Who has just come is not declared dead.
    sleep(Duration::from_secs(8)).await;
    nodes.local_bus().part(1);
    for _ in 0..2 {
        for (node, missing) in [(&a, json!(["b", "c"])), (&b, json!(["a"])), (&c, json!(["a"]))] {
            for path in ["/v1/calls", "/v1/users", "/v1/users/bob"] {
                assert_eq!(get(node, path).await["unreachable_nodes"], missing, "{path}");
            }
        }
        // A node that is taken for dead is missed still.
        sleep(GONE).await;
    }
    // Either side goes on with it.
    assert_eq!(names(&get(&a, "/v1/calls").await, "calls", "call_id"), ["c"]);
    nodes.local_bus().rejoin(1, true);
    settled(&[&a, &b, &c], "/v1/calls", |answer| {
        answer.get("unreachable_nodes").is_none() && names(answer, "calls", "call_id") == ["c"]
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_page_of_another_node_is_cut_and_goes_on() {
    let nodes = Nodes::local();
    let plenty = Rate { interval: Duration::from_micros(1), burst: 100_000 };
    let limits =
        Limits { attempts_per_address: plenty, registrations_per_address: plenty, ..Limits::default() };
    let (a, b) = (nodes.node_with("a", config().limits(limits)).await, nodes.node("b").await);
    // Long identifiers: all of them are more than goes into one message.
    let user = |index: usize| format!("{index:0250}");
    let mut phones = Vec::new();
    for index in 0..900 {
        phones.push(Phone::register(&a, &user(index), "d").await);
    }
    let (mut seen, mut pages, mut path) = (0, 0, "/v1/users?limit=1000".to_owned());
    loop {
        let page = get(&b, &path).await;
        let users = names(&page, "users", "user");
        assert!(!users.is_empty() && page.get("unreachable_nodes").is_none());
        for name in users {
            assert_eq!(name, user(seen));
            seen += 1;
        }
        pages += 1;
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/v1/users?limit=1000&after={next}");
    }
    assert!(seen == 900 && pages > 1, "{seen} users on {pages} pages");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_operator_sees_all_nodes_together() {
    const ADMIN: &str = "ada:correct horse battery";
    let nodes = Nodes::local();
    let admin = || config().admin(ADMIN.parse().ok());
    let (a, b) = (nodes.node_with("a", admin()).await, nodes.node_with("b", admin()).await);
    let mut alice = Phone::register(&a, "alice", "d").await;
    let mut bob = Phone::register(&b, "bob", "d").await;
    talk(&mut alice, &mut bob, ("alice", "bob"), "c").await;
    let (name, password) = ADMIN.split_once(':').unwrap();
    let now = async |node: &RunningServer| {
        let (status, body) = ask(node, "GET /admin/now", &crate::rest::basic(name, password)).await;
        assert_eq!(status, 200, "{body}");
        json(&body)
    };
    for node in [&a, &b] {
        let since = Instant::now();
        let seen = loop {
            let seen = now(node).await;
            if seen["nodes"] == json!(["a", "b"]) {
                break seen;
            }
            assert!(since.elapsed() < DEADLINE, "{seen}");
        };
        // The echo users have sessions, too.
        assert_eq!(
            (&seen["sessions"]["connected"], &seen["calls"]["answered"]),
            (&4.into(), &1.into()),
            "{seen}"
        );
        assert_eq!(names(&seen, "live", "call_id"), ["c"]);
    }
    drop(b);
    let since = Instant::now();
    loop {
        let seen = now(&a).await;
        if (&seen["nodes"], &seen["unreachable_nodes"]) == (&json!(["a"]), &json!(["b"])) {
            break;
        }
        assert!(since.elapsed() < DEADLINE, "{seen}");
    }
}
