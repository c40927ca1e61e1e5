//! A server and people with synthetic mouths and ears, for tests of whole calls over loopback. Every wait has a bound.

use std::f64::consts::TAU;
use std::fmt::Debug;
use std::future::Future;
use std::sync::Mutex;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use offhook::{
    AudioElement, Call, CallDetails, CallEndCause, CallEvent, CallEvents, Client, ClientBuilder, ClientEvent,
    ClientEvents, Device, Engine, PcmTap, Timeouts, pcm_sink,
};
use offhook_server::{Application, RunningServer, Server, ServerConfig};
use offhook_signaling::token::{ApplicationSecret, MintRequest, mint};
use offhook_signaling::{ApplicationKey, UnixSeconds, UserId};
use offhook_sim::sound::{save_wav, tone};

pub(crate) const KEY: &str = "a32e5a8d-f7d8-411c-9645-9038e8dd051d";
pub(crate) const SECRET: &str = "ax8hTTQJF0OPXL32r1LHMA==";
pub(crate) const OTHER_SECRET: &str = "AAECAwQFBgcICQoLDA0ODw==";
/// Nothing that is expected takes longer, however busy the machine is.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);
/// The tone a person hums, in hertz.
pub(crate) const ALICE_HUMS: f64 = 500.0;
pub(crate) const BOB_HUMS: f64 = 1100.0;
pub(crate) const CAROL_HUMS: f64 = 1700.0;
const SAMPLE_RATE: f64 = 48_000.0;

/// Awaits what must happen.
pub(crate) async fn within<F: Future>(what: &str, future: F) -> F::Output {
    tokio::time::timeout(LIMIT, future).await.unwrap_or_else(|_| panic!("{what} did not happen"))
}

pub(crate) fn application() -> Application {
    Application::from_parts(KEY, SECRET).unwrap()
}

/// Free port, in memory, one application.
pub(crate) fn server_config() -> ServerConfig {
    ServerConfig::default().listen("127.0.0.1:0".parse().unwrap()).application(application())
}

pub(crate) async fn server() -> RunningServer {
    Server::bind(server_config()).await.unwrap()
}

/// A token for `user`, as an application's back end signs it.
pub(crate) fn token(user: &str) -> String {
    token_with(user, SECRET, now(), 600)
}

pub(crate) fn now() -> UnixSeconds {
    UnixSeconds(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs())
}

pub(crate) fn token_with(user: &str, secret: &str, issued_at: UnixSeconds, ttl_seconds: u64) -> String {
    static NONCE: Mutex<u64> = Mutex::new(0);
    let mut counter = NONCE.lock().unwrap();
    *counter += 1;
    mint(&MintRequest {
        application_key: &ApplicationKey::new(KEY).unwrap(),
        secret: &ApplicationSecret::from_base64(secret).unwrap(),
        user: &UserId::new(user).unwrap(),
        issued_at,
        ttl_seconds,
        nonce: &format!("{}-{counter}", std::process::id()),
        instance_expires: None,
    })
}

/// A client of `user` without a sound card.
pub(crate) fn builder(server: &RunningServer, user: &str) -> ClientBuilder {
    Client::builder()
        .application_key(KEY)
        .user_id(user)
        .environment_host(server.url())
        .microphone(Device::null())
}

/// Somebody with a started client, who hums a tone and whose ear a test can look into.
pub(crate) struct Person {
    pub(crate) client: Client,
    pub(crate) events: ClientEvents,
    pub(crate) ear: Ear,
    _voice: tempfile::TempDir,
}

impl Person {
    /// Registered and ready.
    pub(crate) async fn start(server: &RunningServer, user: &str, hum: f64) -> Self {
        Self::start_with(builder(server, user), user, hum).await
    }

    pub(crate) async fn start_with(builder: ClientBuilder, user: &str, hum: f64) -> Self {
        Self::start_saying(builder, user, &tone(hum, 0.3, Duration::from_secs(40))).await
    }

    /// Somebody who says `sound`.
    pub(crate) async fn start_saying(builder: ClientBuilder, user: &str, sound: &[f32]) -> Self {
        let voice = tempfile::tempdir().unwrap();
        let path = voice.path().join("voice.wav");
        save_wav(&path, sound).unwrap();
        let client = builder.microphone(Device::wav(path)).build().unwrap();
        let mut events = client.start().await.unwrap();
        register(&mut events, &token(user)).await;
        Self { client, events, ear: Ear::open(), _voice: voice }
    }

    pub(crate) async fn event<T>(&mut self, what: &str, pick: impl FnMut(ClientEvent) -> Option<T>) -> T {
        client_event(&mut self.events, what, pick).await
    }

    pub(crate) async fn incoming(&mut self) -> Call {
        self.event("an incoming call", |event| match event {
            ClientEvent::IncomingCall(call) => Some(call),
            _ => None,
        })
        .await
    }
}

/// Gives the token when it is asked for, and waits for `Started`.
pub(crate) async fn register(events: &mut ClientEvents, token: &str) {
    let registration = client_event(events, "CredentialsRequired", |event| match event {
        ClientEvent::CredentialsRequired(registration) => Some(registration),
        _ => None,
    })
    .await;
    within("register", registration.register(token)).await.unwrap();
    client_event(events, "Started", |event| matches!(event, ClientEvent::Started).then_some(())).await;
}

pub(crate) async fn client_event<T>(
    events: &mut ClientEvents,
    what: &str,
    mut pick: impl FnMut(ClientEvent) -> Option<T>,
) -> T {
    within(what, async {
        loop {
            let event = events.next().await.unwrap_or_else(|| panic!("the client ended before {what}"));
            if let Some(found) = pick(event) {
                return found;
            }
        }
    })
    .await
}

/// Reads a call's events until one is the wanted; returns all that came, the wanted last.
pub(crate) async fn until(
    events: &mut CallEvents,
    what: &str,
    is: impl Fn(&CallEvent) -> bool,
) -> Vec<CallEvent> {
    let mut seen = Vec::new();
    within(what, async {
        loop {
            let event =
                events.next().await.unwrap_or_else(|| panic!("the call ended before {what}: {seen:?}"));
            let found = is(&event);
            seen.push(event);
            if found {
                return;
            }
        }
    })
    .await;
    seen
}

pub(crate) async fn established(events: &mut CallEvents) -> Vec<CallEvent> {
    until(events, "Established", |event| matches!(event, CallEvent::Established)).await
}

/// The end of a call, and that nothing comes after it.
pub(crate) async fn ended(events: &mut CallEvents) -> CallDetails {
    let mut seen = until(events, "Ended", |event| matches!(event, CallEvent::Ended(_))).await;
    let Some(CallEvent::Ended(details)) = seen.pop() else { unreachable!("it was looked for") };
    assert!(within("the end of events", events.next()).await.is_none());
    details
}

pub(crate) async fn assert_ended(call: &Call, cause: CallEndCause) -> CallDetails {
    let details = ended(&mut call.events()).await;
    assert_eq!(details.end_cause, cause, "{details:?}");
    details
}

/// The names of events, for comparing their order.
pub(crate) fn names(events: &[CallEvent]) -> Vec<&'static str> {
    // When it comes depends on the other side.
    let events = events.iter().filter(|event| !matches!(event, CallEvent::Verification(_)));
    let name = |event: &CallEvent| match event {
        CallEvent::Progressing => "Progressing",
        CallEvent::Ringing => "Ringing",
        CallEvent::Answered => "Answered",
        CallEvent::Established => "Established",
        CallEvent::Ended(_) => "Ended",
        _ => "other",
    };
    events.map(name).collect()
}

/// `caller` calls, `callee` answers, both are established and listen to each other.
pub(crate) async fn talk(caller: &Person, callee: &mut Person) -> (Call, Call) {
    let user = callee.client.user_id().to_owned();
    let outgoing = within("calling", caller.client.call_client().call_user(user)).await.unwrap();
    caller.ear.listen(&outgoing);
    let incoming = callee.incoming().await;
    callee.ear.listen(&incoming);
    within("answering", incoming.answer()).await.unwrap();
    for call in [&outgoing, &incoming] {
        established(&mut call.events()).await;
    }
    (outgoing, incoming)
}

/// A speaker whose samples a test reads.
pub(crate) struct Ear {
    pub(crate) element: AudioElement,
    pub(crate) tap: PcmTap,
}

impl Ear {
    pub(crate) fn open() -> Self {
        let (device, tap) = pcm_sink();
        Self { element: Engine::shared().unwrap().open_element(device).unwrap(), tap }
    }

    pub(crate) fn listen(&self, call: &Call) {
        self.element.set_src_object(Some(&call.incoming_stream()));
    }

    /// Waits until 100 ms of nearly nothing but this tone were heard.
    pub(crate) async fn hears(&mut self, hertz: f64) {
        self.wait_for(&format!("a tone of {hertz} Hz"), |sound| purity(sound, hertz) > 0.8).await;
    }

    /// Waits until 100 ms of these tones, each of a good part, and of nearly nothing else were heard.
    pub(crate) async fn hears_all(&mut self, tones: &[f64]) {
        self.wait_for(&format!("tones of {tones:?} Hz"), |sound| {
            let purities: Vec<f64> = tones.iter().map(|hertz| purity(sound, *hertz)).collect();
            purities.iter().sum::<f64>() > 0.8 && purities.iter().all(|part| *part > 0.5 / tones.len() as f64)
        })
        .await;
    }

    /// Waits until 100 ms of silence were heard.
    pub(crate) async fn hears_silence(&mut self) {
        self.wait_for("silence", |sound| power(sound) < 1e-7).await;
    }

    async fn wait_for(&mut self, what: &str, is: impl Fn(&[f32]) -> bool) {
        // What was heard before is not what is asked for.
        let mut old = [0.0; 4800];
        while self.tap.read(&mut old) > 0 {}
        within(what, async {
            let (mut sound, mut piece) = (Vec::new(), [0.0; 480]);
            loop {
                let count = self.tap.read(&mut piece);
                sound.extend_from_slice(&piece[..count]);
                if sound.len() >= 4800 {
                    if is(&sound[..4800]) {
                        return;
                    }
                    sound.drain(..2400);
                }
                if count == 0 {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            }
        })
        .await;
    }
}

fn power(sound: &[f32]) -> f64 {
    sound.iter().map(|sample| f64::from(*sample) * f64::from(*sample)).sum::<f64>() / sound.len() as f64
}

/// Share of the power that is in the tone (by its Fourier coefficient).
fn purity(sound: &[f32], hertz: f64) -> f64 {
    let total = power(sound);
    if total < 1e-5 {
        return 0.0;
    }
    let (mut re, mut im) = (0.0, 0.0);
    for (n, sample) in sound.iter().enumerate() {
        let angle = TAU * hertz * n as f64 / SAMPLE_RATE;
        re += f64::from(*sample) * angle.cos();
        im += f64::from(*sample) * angle.sin();
    }
    2.0 * (re * re + im * im) / (sound.len() * sound.len()) as f64 / total
}

/// Waits until something that has no event of its own is so.
pub(crate) async fn becomes<T: Debug>(what: &str, look: impl Fn() -> T, is: impl Fn(&T) -> bool) -> T {
    within(what, async {
        loop {
            let found = look();
            if is(&found) {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await
}

/// Gives up on a silent peer within seconds instead of half a minute.
pub(crate) fn impatient() -> Timeouts {
    Timeouts { silence: Duration::from_secs(1), recovery: Duration::from_secs(2), ..Timeouts::default() }
}
