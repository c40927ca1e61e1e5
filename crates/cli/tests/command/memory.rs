//! What a crowd of clients leaves behind in the server's memory.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{Finished, KEY, Running, SECRET, offhook, run};

const CLIENTS: &str = "3000";
const CROWDS: usize = 3;
/// Sessions wait a minute for their clients, limits remember them as long, and the allocator keeps pages for ten seconds.
const SETTLED: Duration = Duration::from_secs(100);
/// How the allocator is set: else each thread keeps freed memory for its next use, which counts as allocated.
const EXACTLY: (&str, &str) = ("_RJEM_MALLOC_CONF", "tcache:false");
/// Six bytes of each client.
const SLACK_BYTES: u64 = 16 << 10;

/// A server's memory now.
#[derive(Debug, Clone, Copy)]
struct Memory {
    /// What it has allocated and not freed.
    allocated: u64,
    /// What it has from the system, without the pages of the program, of which more are read with time: the allocator keeps some of it, and SQLite's
    /// pages are in it. It varies by a megabyte from one crowd to the next.
    anonymous: u64,
}

impl Memory {
    fn of(process: u32, metrics: &str) -> Self {
        let status = Path::new("/proc").join(process.to_string()).join("status");
        let text = std::fs::read_to_string(status).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
        let anonymous = line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10;
        let page = scrape(metrics);
        let sample = page.lines().find_map(|line| line.strip_prefix("process_allocated_bytes "));
        Self { allocated: sample.unwrap_or_else(|| panic!("{page}")).parse().unwrap(), anonymous }
    }

    /// The least of each within the time in which everybody is forgotten.
    fn settled(process: u32, metrics: &str) -> Self {
        let (since, mut least) = (Instant::now(), Self::of(process, metrics));
        while since.elapsed() < SETTLED {
            sleep(Duration::from_secs(1));
            let now = Self::of(process, metrics);
            least.allocated = least.allocated.min(now.allocated);
            least.anonymous = least.anonymous.min(now.anonymous);
        }
        least
    }
}

fn scrape(address: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: offhook\r\nConnection: close\r\n\r\n").unwrap();
    let mut page = String::new();
    stream.read_to_string(&mut page).unwrap();
    page
}

/// Comes, calls, and goes.
fn crowd(url: &str, application: &str) -> Finished {
    let who = ["load", "--json", "--server", url, "--application", application];
    run(&[&who[..], &["--clients", CLIENTS, "--calls-per-second", "40", "--seconds", "10"]].concat())
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
    let mut serve = offhook(&[
        "serve",
        "--json",
        "--log",
        "error",
        "--turn",
        "off",
        "--listen",
        "127.0.0.1:0",
        "--metrics-listen",
        "127.0.0.1:0",
        "--config",
        limits,
        "--data",
        data,
        "--application",
        &application,
    ]);
    let mut server = Running::spawn(serve.env(EXACTLY.0, EXACTLY.1));
    let announced: Value = serde_json::from_str(&server.next_line()).unwrap();
    let (url, metrics) = (announced["url"].as_str().unwrap(), announced["metrics"].as_str().unwrap());
    let mut left = vec![Memory::of(server.id(), metrics)];
    for _ in 0..CROWDS {
        let crowd = crowd(url, &application);
        assert_eq!(crowd.json()["registered"].to_string(), CLIENTS, "{crowd:?}");
        let most = Memory::of(server.id(), metrics);
        let now = Memory::settled(server.id(), metrics);
        println!(
            "{CLIENTS} clients: {} KiB of the system, then {}; {} KiB allocated, then {}",
            most.anonymous >> 10,
            now.anonymous >> 10,
            most.allocated >> 10,
            now.allocated >> 10
        );
        assert!(now.anonymous < most.anonymous / 2, "the system has most of it back: {most:?}, then {now:?}");
        left.push(now);
    }
    println!(
        "before anybody came: {} KiB of the system, {} allocated",
        left[0].anonymous >> 10,
        left[0].allocated >> 10
    );
    // What the first crowd leaves are tables that the next one uses.
    let most = left[2..].iter().map(|memory| memory.allocated).max().unwrap();
    assert!(most <= left[1].allocated + SLACK_BYTES, "{left:?}");
}
