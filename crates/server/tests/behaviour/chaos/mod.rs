//! Many devices, a bad network, servers that die: what must hold does.
//!
//! A conductor draws what happens from a seed: calls, answers, refusals and hang-ups in every state, several devices of a user, connections
//! that are cut, that hang, that read slowly, frames that come twice, applications that are killed, users that are blocked, servers that stop
//! or are dropped and come back on the same database. After each round everybody rests, and then: at most one device has won each call, both
//! ends were told the same end, every end that somebody was told has one record, no event was lost or repeated, and nothing is left in the
//! server. `SEED` repeats what is drawn; what the scheduler makes of it may differ.

mod conductor;
mod fleet;
mod ledger;
mod person;

use std::time::{Duration, Instant};

use offhook_signaling::EntropySource;

use self::conductor::Round;
use self::fleet::Fleet;

/// As long as a run within all tests may take.
const SHORT: Duration = Duration::from_secs(12);
/// Of a long run: between two of these, all has to be as it was.
const ROUND: Duration = Duration::from_secs(30);
/// Rounds until caches and pools have the size they keep.
const WARM_UP: usize = 3;
/// Of memory that an allocator keeps, which comes and goes.
const SLACK_BYTES: u64 = 8 << 20;

/// What is drawn from a seed.
#[derive(Debug, Clone)]
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// SplitMix64: any seed is a good one.
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(super) fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end.max(1) as u64).unwrap()
    }

    pub(super) fn millis(&mut self, most: u64) -> Duration {
        Duration::from_millis(self.next() % (most + 1))
    }
}

impl EntropySource for Dice {
    fn fill(&mut self, bytes: &mut [u8]) {
        bytes.iter_mut().for_each(|byte| *byte = self.next() as u8);
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

fn seed() -> u64 {
    number("SEED").unwrap_or_else(|| {
        let mut bytes = [0; 8];
        getrandom::fill(&mut bytes).unwrap();
        u64::from_le_bytes(bytes)
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_promise_holds_for_a_while() {
    let seed = seed();
    println!("SEED={seed} repeats this");
    let folder = tempfile::tempdir().unwrap();
    let mut fleet = Fleet::start(folder.path()).await;
    let round = Round::run(&mut fleet, seed, SHORT).await;
    println!("{round}");
    round.check_that_enough_happened();
    fleet.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "half an hour: make soak"]
async fn every_promise_holds_for_long_and_memory_comes_back() {
    let (seed, seconds) = (seed(), number("SOAK_SECONDS").unwrap_or(1800));
    println!("SEED={seed} SOAK_SECONDS={seconds} repeats this");
    let folder = tempfile::tempdir().unwrap();
    let mut fleet = Fleet::start(folder.path()).await;
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut memory = Vec::new();
    let mut dice = Dice::new(seed);
    while Instant::now() < end {
        let round =
            Round::run(&mut fleet, dice.next(), ROUND.min(end.saturating_duration_since(Instant::now())))
                .await;
        memory.push(resident_bytes());
        println!("round {}, {} MiB: {round}", memory.len(), memory[memory.len() - 1] >> 20);
    }
    fleet.stop().await;
    if memory.len() >= 2 * WARM_UP {
        // Rounds are alike: the later half needs what the earlier half needed.
        let (earlier, later) = memory[WARM_UP..].split_at((memory.len() - WARM_UP) / 2);
        let (before, after) = (median(earlier), median(later));
        assert!(after <= before + SLACK_BYTES, "{before} bytes became {after}: {memory:?}");
    }
}

fn median(of: &[u64]) -> u64 {
    let mut sorted = of.to_vec();
    sorted.sort_unstable();
    sorted[sorted.len() / 2]
}

/// This process: the servers and all of their clients, without the pages of the program itself.
fn resident_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}
