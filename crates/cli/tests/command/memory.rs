//! What a crowd of clients leaves behind in the server's memory.

use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{KEY, Running, SECRET, run};

const CLIENTS: &str = "3000";
/// Sessions wait a minute for their clients, limits remember them, and the allocator keeps pages for ten seconds.
const SETTLED: Duration = Duration::from_secs(100);
/// Of memory that the allocator keeps, and of what the kernel counts late.
const SLACK_BYTES: u64 = 1 << 20;

/// What the process has for itself, without the pages of the program, of which more are read with time.
fn anonymous_bytes(process: u32) -> u64 {
    let text = std::fs::read_to_string(Path::new("/proc").join(process.to_string()).join("status")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

/// The least within the time in which everybody is forgotten.
fn settled(process: u32) -> u64 {
    let (since, mut least) = (Instant::now(), u64::MAX);
    while since.elapsed() < SETTLED {
        sleep(Duration::from_secs(1));
        least = least.min(anonymous_bytes(process));
    }
    least
}

#[test]
#[ignore = "some minutes: make soak"]
fn a_second_crowd_leaves_no_more_behind_than_the_first() {
    let folder = tempfile::tempdir().unwrap();
    let (limits, data) = (folder.path().join("limits.toml"), folder.path().join("data"));
    let text = "[limits]\nconnections_per_address = 100000\nattempts_per_address = { interval_seconds = 0.0001, burst = 100000 }\n";
    std::fs::write(&limits, text).unwrap();
    let (limits, data) = (limits.to_str().unwrap(), data.to_str().unwrap());
    let application = format!("{KEY}:{SECRET}");
    let mut server = Running::start(&[
        "serve",
        "--json",
        "--log",
        "error",
        "--turn",
        "off",
        "--listen",
        "127.0.0.1:0",
        "--config",
        limits,
        "--data",
        data,
        "--application",
        &application,
    ]);
    let announced: Value = serde_json::from_str(&server.next_line()).unwrap();
    let url = announced["url"].as_str().unwrap();
    let mut left = vec![anonymous_bytes(server.id())];
    for _ in 0..3 {
        let crowd = run(&[
            "load",
            "--json",
            "--server",
            url,
            "--application",
            &application,
            "--clients",
            CLIENTS,
            "--calls-per-second",
            "40",
            "--seconds",
            "10",
        ]);
        assert_eq!(crowd.json()["registered"].to_string(), CLIENTS, "{crowd:?}");
        let most = anonymous_bytes(server.id());
        left.push(settled(server.id()));
        println!("{CLIENTS} clients: {} KiB, then {} KiB left", most >> 10, left[left.len() - 1] >> 10);
        assert!(left[left.len() - 1] < most, "it gives memory back");
    }
    println!("before anybody came: {} KiB", left[0] >> 10);
    // What the first crowd leaves are tables, caches and threads that the next one uses.
    assert!(left[2].max(left[3]) <= left[1] + SLACK_BYTES, "{left:?}");
}
