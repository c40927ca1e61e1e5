//! What a sender does about a network that loses, and about one that is narrow.

use std::time::{Duration, Instant};

use offhook::{Call, Client, ClientBuilder, StreamStats};
use offhook_sim::net::{Bottleneck, LinkConfig};
use offhook_sim::sound::synthetic_speech;

use crate::network::{Log, emulated};
use crate::support::{Person, builder, server, talk, within};

const LOSS: f64 = 0.15;
const SAMPLE_RATE: u64 = 48_000;

/// A call between two people whose packets both pass such a network.
async fn call(link: fn(u64) -> LinkConfig, bob_is: fn(ClientBuilder) -> ClientBuilder) -> (Talk, Log) {
    let server = server().await;
    let log = Log::default();
    let alice = builder(&server, "alice").packet_path(emulated(link(1), &log));
    let bob = bob_is(builder(&server, "bob").packet_path(emulated(link(2), &Log::default())));
    // Opus copies what it takes for speech, a hum it does not.
    let length = Duration::from_secs(40);
    let alice = Person::start_saying(alice, "alice", &synthetic_speech(length, 1)).await;
    let mut bob = Person::start_saying(bob, "bob", &synthetic_speech(length, 2)).await;
    let (outgoing, incoming) = talk(&alice, &mut bob).await;
    (Talk { outgoing, incoming, _clients: [alice.client, bob.client] }, log)
}

struct Talk {
    outgoing: Call,
    incoming: Call,
    _clients: [Client; 2],
}

impl Talk {
    /// What alice sends.
    fn sender(&self) -> StreamStats {
        self.outgoing.stats().stream
    }

    /// What bob hears.
    fn listener(&self) -> StreamStats {
        self.incoming.stats().stream
    }

    /// Lets bob hear so much more, and returns what it was: shares that were lost and made up, and samples from RED.
    async fn hear(&self, seconds: u64) -> (f64, f64, u64) {
        let before = self.listener().receive;
        let enough = before.pulled + seconds * SAMPLE_RATE;
        within("more sound", async {
            while self.listener().receive.pulled < enough {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await;
        let now = self.listener().receive;
        let lost = (now.packets_lost - before.packets_lost) as f64;
        let received = (now.packets_received - before.packets_received) as f64;
        let concealed = (now.concealed - before.concealed) as f64;
        let heard = (now.pulled - before.pulled) as f64;
        (lost / (lost + received), concealed / heard, now.red - before.red)
    }
}

fn lossy(seed: u64) -> LinkConfig {
    LinkConfig::lossy(seed, LOSS, Duration::ZERO)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn losses_that_are_reported_are_made_good_by_copies() {
    let (talk, _) = call(lossy, |bob| bob).await;
    within("copies in alice's packets", async {
        while talk.sender().send.red_bytes == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    // The playout follows what it sees of the copies.
    talk.hear(3).await;
    let (lost, concealed, red) = talk.hear(5).await;
    assert!((0.05..0.3).contains(&lost), "{lost}");
    assert!(red > 0 && concealed < lost / 3.0, "{lost} lost, {concealed} made up, {red} samples from copies");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_knows_neither_copies_nor_reports_hears_what_opus_carries() {
    let (talk, _) = call(lossy, |bob| bob.plain_rtp(true)).await;
    talk.hear(3).await;
    let (lost, concealed, red) = talk.hear(5).await;
    assert!((0.05..0.3).contains(&lost), "{lost}");
    assert!(concealed < lost, "{lost} lost, {concealed} made up");
    let receive = talk.listener().receive;
    assert_eq!((red, talk.sender().send.red_bytes), (0, 0));
    assert!(receive.fec + receive.dred > 0, "{receive:?}");
}

fn narrow(seed: u64) -> LinkConfig {
    let bottleneck = Bottleneck { bits_per_second: 40_000, queue: Duration::from_millis(500) };
    LinkConfig {
        seed,
        bottleneck: Some(bottleneck),
        delay: Duration::from_millis(20),
        ..LinkConfig::default()
    }
}

/// Of ten-millisecond packets the headers alone fill such a link.
#[ignore = "open defect: fails in some runs on a busy machine, the cause is not known; run by name"]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_narrow_link_is_left_without_a_standing_queue() {
    let kinds: [fn(ClientBuilder) -> ClientBuilder; 2] = [|bob| bob, |bob| bob.plain_rtp(true)];
    for bob_is in kinds {
        let (talk, log) = call(narrow, bob_is).await;
        talk.hear(8).await;
        let begin = Instant::now();
        talk.hear(5).await;
        let passages = log.since(begin);
        let mut took: Vec<Duration> = passages.iter().filter_map(|passage| passage.took).collect();
        took.sort_unstable();
        let bits: usize = passages.iter().map(|passage| 8 * passage.bytes).sum();
        let lost = passages.len() - took.len();
        assert!(
            took.len() > 50 && lost * 50 < took.len(),
            "{lost} of {} dropped, {bits} bits in 5 s",
            passages.len()
        );
        let (median, worst) = (took[took.len() / 2], took[took.len() * 95 / 100]);
        assert!(median < Duration::from_millis(100), "{median:?} in the middle, 95 % within {worst:?}");
    }
}
