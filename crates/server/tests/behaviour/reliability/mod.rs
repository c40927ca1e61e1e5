//! `make reliability`: three nodes and three NATS servers as processes, calls running, one fault, and what became of every call. Not a
//! test of `make test`: it takes minutes and needs the built command.

mod call;
mod machines;
mod side;
mod stand;
mod tally;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::sleep;

use self::call::{Phase, one};
use self::machines::Machines;
use self::stand::{Fault, NODES, Stand};

/// The namespaces of the machines, for the process that is run among them.
const MACHINES: &str = "OFFHOOK_RELIABILITY_MACHINES";
/// With only these faults, by name and separated by commas.
const ONLY: &str = "OFFHOOK_RELIABILITY_FAULTS";

/// For `scripts/reliability_table.py`.
#[expect(clippy::print_stdout, reason = "the lines are what it is for")]
fn say(line: &str) {
    println!("{line}");
}

async fn count(fault: Fault, machines: Option<Machines>) {
    let program = PathBuf::from(std::env::var_os("OFFHOOK_PROGRAM").expect("the built command"));
    let calls =
        std::env::var("OFFHOOK_RELIABILITY_CALLS").ok().and_then(|calls| calls.parse().ok()).unwrap_or(1000);
    let mut stand = Stand::start(&program, machines).await;
    let urls = Arc::new(stand.urls());
    let (phase, seen) = watch::channel(Phase::Before);
    let (up, mut ups) = mpsc::channel(calls);
    let mut tasks = JoinSet::new();
    for index in 0..calls {
        tasks.spawn(one(fault, index, urls.clone(), up.clone(), seen.clone()));
        // Registrations spread over some seconds.
        sleep(Duration::from_millis(5)).await;
    }
    for _ in 0..calls {
        ups.recv().await.unwrap();
    }
    // What is written in the background is written.
    sleep(Duration::from_secs(2)).await;
    if matches!(fault, Fault::KillNode | Fault::KillLeader) {
        phase.send_replace(Phase::After(Instant::now()));
        stand.inflict(fault).await;
    } else {
        phase.send_replace(Phase::During(Instant::now()));
        stand.inflict(fault).await;
        phase.send_replace(Phase::After(Instant::now()));
    }
    let mut outcomes = Vec::new();
    while let Some(outcome) = tasks.join_next().await {
        outcomes.push(outcome.unwrap());
    }
    let records = tally::records(&stand.database, calls).await;
    for line in tally::lines(&outcomes, &records) {
        say(&format!("RELIABILITY {line}"));
    }
    for outcome in tally::strange(&outcomes, &records) {
        say(&format!("STRANGE {outcome:?}, records: {:?}", records.get(&outcome.call)));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "run by `make reliability`"]
async fn table() {
    let only = std::env::var(ONLY).unwrap_or_default();
    let is_wanted = |name: &str| only.is_empty() || only.split(',').any(|wanted| wanted == name);
    for (name, fault) in [
        ("node", Fault::KillNode),
        ("leader", Fault::KillLeader),
        ("restart", Fault::RollingRestart),
        ("nats", Fault::LoseNats),
    ] {
        if is_wanted(name) {
            count(fault, None).await;
        }
    }
    if is_wanted("partition") {
        match Machines::make(NODES) {
            Ok(machines) => among(&machines).await,
            Err(reason) => say(&format!("NOT RUN: partition, because {reason}")),
        }
    }
}

/// Runs [`parted`] where the clients are.
async fn among(machines: &Machines) {
    let mut child = Command::new("ip")
        .args(["netns", "exec", &machines.people()])
        .arg(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "--nocapture", "reliability::parted"])
        .env(MACHINES, machines.prefix())
        .stdout(std::process::Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    while let Some(line) = lines.next_line().await.unwrap() {
        say(&line);
    }
    assert!(child.wait().await.unwrap().success(), "the calls through a partition");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "run by `table` in a network namespace"]
async fn parted() {
    let Ok(prefix) = std::env::var(MACHINES) else { return };
    count(Fault::Partition, Some(Machines::join(prefix, NODES))).await;
}
