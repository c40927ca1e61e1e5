//! A whole call over loopback with timer-paced devices: how long until it rings and until it is established, and how long a sound takes
//! from one microphone to the other speaker. A mouth-to-ear sample is the delay measured on the sound, not the time the run took.

use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use criterion::{Criterion, SamplingMode, criterion_group, criterion_main};
use offhook::{AudioElement, Call, CallEvent, CallEvents, Client, ClientEvent, ClientEvents, Device, Engine};
use offhook_server::{Application, Limits, Rate, RunningServer, Server, ServerConfig};
use offhook_signaling::token::{ApplicationSecret, MintRequest, mint};
use offhook_signaling::{ApplicationKey, UnixSeconds, UserId};
use offhook_sim::measure::compare;
use offhook_sim::sound::{load_wav, save_wav, synthetic_speech};
use tokio::runtime::Runtime;

const KEY: &str = "a32e5a8d-f7d8-411c-9645-9038e8dd051d";
const SECRET: &str = "ax8hTTQJF0OPXL32r1LHMA==";
/// Talking time of one mouth-to-ear sample.
const TALK: Duration = Duration::from_secs(3);

/// A registered client and its engine.
struct Person {
    client: Client,
    events: ClientEvents,
    engine: Engine,
}

impl Person {
    async fn start(server: &RunningServer, user: &str, microphone: Device) -> Self {
        let engine = Engine::builder().build().expect("an engine starts");
        let client = Client::builder()
            .application_key(KEY)
            .user_id(user)
            .environment_host(server.url())
            .engine(engine.clone())
            .microphone(microphone)
            .build()
            .expect("a complete configuration");
        let mut events = client.start().await.expect("a fresh client starts");
        loop {
            match events.next().await.expect("the client goes on") {
                ClientEvent::CredentialsRequired(registration) => {
                    registration.register(token(user)).await.expect("a good token");
                }
                ClientEvent::Started => return Self { client, events, engine },
                _ => {}
            }
        }
    }

    async fn incoming(&mut self) -> Call {
        loop {
            if let ClientEvent::IncomingCall(call) = self.events.next().await.expect("the client goes on") {
                return call;
            }
        }
    }
}

fn token(user: &str) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is past 1970");
    mint(&MintRequest {
        application_key: &ApplicationKey::new(KEY).expect("a UUID"),
        secret: &ApplicationSecret::from_base64(SECRET).expect("base64"),
        user: &UserId::new(user).expect("a user's name"),
        issued_at: UnixSeconds(now.as_secs()),
        ttl_seconds: 600,
        nonce: &format!("{}-{user}", now.as_nanos()),
        instance_expires: None,
    })
}

async fn server() -> RunningServer {
    let application = Application::from_parts(KEY, SECRET).expect("a key and a secret");
    let listen = "127.0.0.1:0".parse().expect("an address");
    // A benchmark makes more calls and registrations than a person may.
    let often = Rate { interval: Duration::from_micros(1), burst: 1_000_000 };
    let limits = Limits {
        attempts_per_address: often,
        registrations_per_user: often,
        calls_per_user: often,
        messages_per_connection: often,
        ..Limits::default()
    };
    let config = ServerConfig::default().listen(listen).application(application).limits(limits);
    Server::bind(config).await.expect("a free port")
}

async fn until(events: &mut CallEvents, wanted: impl Fn(&CallEvent) -> bool) {
    while let Some(event) = events.next().await {
        if wanted(&event) {
            return;
        }
    }
    panic!("the call ended early");
}

/// One call: the time until it rang, and from the answer until both ends were established.
async fn set_up(alice: &Person, bob: &mut Person) -> (Duration, Duration) {
    let begin = Instant::now();
    let call = alice.client.call_client().call_user("bob").await.expect("the client is started");
    let mut events = call.events();
    until(&mut events, |event| matches!(event, CallEvent::Ringing)).await;
    let ringing = begin.elapsed();
    let incoming = bob.incoming().await;
    let mut incoming_events = incoming.events();
    let begin = Instant::now();
    incoming.answer().await.expect("it rings");
    until(&mut events, |event| matches!(event, CallEvent::Established)).await;
    until(&mut incoming_events, |event| matches!(event, CallEvent::Established)).await;
    let established = begin.elapsed();
    call.hang_up();
    until(&mut events, |event| matches!(event, CallEvent::Ended(_))).await;
    until(&mut incoming_events, |event| matches!(event, CallEvent::Ended(_))).await;
    (ringing, established)
}

/// One call in which alice speaks the file: the median delay of what bob heard.
async fn mouth_to_ear(server: &RunningServer, spoken: &Path, heard: &Path) -> Duration {
    let alice = Person::start(server, "alice", Device::wav(spoken)).await;
    let mut bob = Person::start(server, "bob", Device::null()).await;
    let call = alice.client.call_client().call_user("bob").await.expect("the client is started");
    let speaker = bob.engine.request_element(Device::wav(heard)).await.expect("a file opens");
    let incoming = bob.incoming().await;
    speaker.set_src_object(Some(&incoming.incoming_stream()));
    let mut events = call.events();
    incoming.answer().await.expect("it rings");
    until(&mut events, |event| matches!(event, CallEvent::Established)).await;
    tokio::time::sleep(TALK).await;
    let delay = delay(&alice, (&bob, &speaker), spoken, heard);
    alice.client.terminate().await;
    bob.client.terminate().await;
    delay
}

fn delay(alice: &Person, (bob, speaker): (&Person, &AudioElement), spoken: &Path, heard: &Path) -> Duration {
    let microphone = alice.client.microphone().expect("it was opened for the call");
    let captured = alice.engine.clock().instant(microphone.started_at().expect("it has captured"));
    let played = bob.engine.clock().instant(speaker.started_at().expect("it has played"));
    let spoken = load_wav(spoken).expect("what was written is read");
    let heard = load_wav(heard).expect("a recording in progress is readable");
    let skip = |late: Duration| (late.as_secs_f64() * 48_000.0).round() as usize;
    let spoken = &spoken[skip(played.saturating_duration_since(captured)).min(spoken.len())..];
    let heard = &heard[skip(captured.saturating_duration_since(played)).min(heard.len())..];
    compare(spoken, heard).mouth_to_ear.expect("speech is found").p50
}

fn call(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let server = runtime.block_on(server());
    let alice = runtime.block_on(Person::start(&server, "alice", Device::null()));
    let mut bob = runtime.block_on(Person::start(&server, "bob", Device::null()));
    let mut group = criterion.benchmark_group("call");
    group.sampling_mode(SamplingMode::Flat).sample_size(10);
    for (name, of) in [("call to ringing", 0), ("answer to established at both ends", 1)] {
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|iterations| {
                let calls = (0..iterations).map(|_| runtime.block_on(set_up(&alice, &mut bob)));
                calls.map(|(ringing, established)| [ringing, established][of]).sum()
            });
        });
    }
    runtime.block_on(async { tokio::join!(alice.client.terminate(), bob.client.terminate()) });
    let folder = tempfile::tempdir().expect("a scratch folder");
    let (spoken, heard) = (folder.path().join("spoken.wav"), folder.path().join("heard.wav"));
    save_wav(&spoken, &synthetic_speech(TALK + Duration::from_secs(2), 1)).expect("room for a file");
    // A run takes seconds and counts as milliseconds: little warm-up and few samples, or it would take an hour.
    group.warm_up_time(Duration::from_millis(1)).measurement_time(Duration::from_millis(100));
    group.bench_function("mouth to ear, null devices", |bencher| {
        bencher.iter_custom(|iterations| {
            (0..iterations).map(|_| runtime.block_on(mouth_to_ear(&server, &spoken, &heard))).sum()
        });
    });
    group.finish();
    runtime.block_on(server.shutdown());
}

criterion_group!(benches, call);
criterion_main!(benches);
