//! What becomes of clients that come all at once, because the node that had them died: simulated with the client's own machine, the
//! server's own limits and what greeting costs on the machine it runs on.

mod cost;
mod simulation;

use std::time::Duration;

use rcgen::{PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256};

use self::simulation::{Aftermath, Storm, run};
use crate::config::Limits;

const PROMISED: Duration = Duration::from_secs(5);
/// Of a mobile network.
const ROUND_TRIP: Duration = Duration::from_millis(100);

/// Nodes that were not measured: what a processor of a server of this time takes.
fn storm(clients: u32, nodes: usize, processors: usize, tls: u64) -> Storm {
    Storm {
        clients,
        nodes,
        processors,
        tls: Duration::from_micros(tls),
        session: Duration::from_micros(150),
        hub: Duration::from_micros(20),
        accept: Duration::from_micros(15),
        round_trip: ROUND_TRIP,
        limits: Limits { greetings: 1024 * processors, ..Limits::default() },
    }
}

fn all_back(aftermath: &Aftermath, clients: u32) {
    assert_eq!((aftermath.missing, aftermath.back.len()), (0, clients as usize), "nobody is left behind");
}

#[test]
fn a_hundred_thousand_clients_are_back_within_what_was_promised_where_there_are_processors_for_them() {
    let aftermath = run(storm(100_000, 4, 4, 100), Duration::from_secs(60));
    all_back(&aftermath, 100_000);
    assert!(aftermath.at(1000) <= PROMISED, "the last one after {:?}", aftermath.at(1000));
    assert!(aftermath.most_waiting <= Limits::default().waiting);
}

#[test]
fn where_there_are_too_few_processors_they_work_on_and_nobody_starves() {
    let overload = storm(20_000, 1, 1, 1000);
    let aftermath = run(overload, Duration::from_secs(120));
    all_back(&aftermath, 20_000);
    // One processor needs 23 s for all of them. It does hardly anything in vain.
    let needed = (overload.tls + overload.session) * 20_000;
    assert!(
        aftermath.at(1000) < needed * 3 / 2,
        "the last one after {:?}, of {needed:?}",
        aftermath.at(1000)
    );
    assert!(aftermath.wasted < 1000, "{} handshakes in vain", aftermath.wasted);
}

#[test]
fn without_the_lobby_work_is_done_for_clients_who_have_gone() {
    let overload = storm(20_000, 1, 1, 1000);
    let limits = Limits { greetings: usize::MAX, ..Limits::default() };
    let aftermath = run(Storm { limits, ..overload }, Duration::from_secs(120));
    assert!(aftermath.wasted > 5000, "{} handshakes in vain", aftermath.wasted);
}

#[test]
fn the_queue_is_bounded_and_those_beyond_it_come_back_later() {
    let limits = Limits { greetings: 64, waiting: 1000, ..Limits::default() };
    let aftermath = run(Storm { limits, ..storm(10_000, 1, 2, 200) }, Duration::from_secs(120));
    all_back(&aftermath, 10_000);
    assert!(aftermath.most_waiting <= 1000 && aftermath.refused > 0, "{aftermath:?}");
}

/// Prints the table of docs/RELIABILITY.md.
#[test]
#[ignore = "run by `make reliability`"]
fn table() {
    let micros = |name: &str| {
        let given = std::env::var(name).ok().and_then(|text| text.parse().ok());
        given.map(|micros: f64| Duration::from_secs_f64(micros / 1e6))
    };
    let session = micros("OFFHOOK_RESUME_US").expect("what a resume costs, in microseconds");
    let hub = cost::hub();
    let kinds = [("ECDSA P-256", &PKCS_ECDSA_P256_SHA256), ("RSA 2048", &PKCS_RSA_SHA256)];
    let kinds = kinds.map(|(name, kind)| (name, cost::measure(301, kind)));
    let told = kinds.each_ref().map(|(name, costs)| {
        format!("{name} {} µs, with a ticket {} µs", costs.full.as_micros(), costs.resumed.as_micros())
    });
    println!(
        "STORM-COST A TLS handshake costs the server: {}; the rest of a resume {} µs, {} µs of it in the one task of the application",
        told.join("; "),
        session.as_micros(),
        hub.as_micros()
    );
    for (nodes, processors) in [(1, 2), (2, 2), (2, 4), (2, 8), (4, 8)] {
        for (name, costs) in &kinds {
            for (tickets, tls) in [("no", costs.full), ("yes", costs.resumed)] {
                let storm = Storm { tls, session, hub, ..storm(100_000, nodes, processors, 0) };
                println!(
                    "STORM | {nodes} with {processors} | {name} | {tickets} | {} |",
                    line(&run(storm, Duration::from_secs(180)))
                );
            }
        }
    }
}

fn line(aftermath: &Aftermath) -> String {
    let seconds = |per_mille| format!("{:.1}", aftermath.at(per_mille).as_secs_f64());
    let all = match aftermath.missing {
        0 => seconds(1000),
        missing => format!("{missing} not after 180"),
    };
    let Aftermath { most_waiting, refused, most_tries, .. } = aftermath;
    format!("{}, {}, {all} | {most_waiting} | {refused} | {most_tries}", seconds(500), seconds(990))
}
