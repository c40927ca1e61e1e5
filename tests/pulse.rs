//! A call whose microphones and speakers are devices of a sound system: null sinks of a PulseAudio server that the test starts for itself.
//!
//! Where such a server cannot be started the test says so and is skipped; with `OFFHOOK_REQUIRE_PULSE=1` it fails instead.
#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test by panicking")]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a process of a test says how far it came")]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use offhook::{
    AudioElement, AudioProcessing, Call, CallEvent, Client, ClientEvent, ClientEvents, Device,
    DeviceDirection, DeviceEvent, Engine, LossCause, MachineAddresses, devices,
};
use offhook_server::{DevelopmentApplication, RunningServer, Server, ServerConfig};
use offhook_sim::measure::{DelaySearch, correlation, delay_track};
use offhook_sim::sound::{load_wav, save_wav, synthetic_speech};
use tokio::time::timeout;

/// Longest wait for one step, far more than is needed.
const STEP: Duration = Duration::from_secs(20);
/// Where the second process finds the files.
const FOLDER: &str = "OFFHOOK_PULSE_TEST_FOLDER";
const PEOPLE: [&str; 2] = ["alice", "bob"];
const TALK: Duration = Duration::from_secs(5);

/// A sound server of its own; it ends with the test.
struct SoundServer {
    process: Child,
    folder: tempfile::TempDir,
}

impl SoundServer {
    /// Each person has a speaker (`alice_speaker`, recorded from its monitor) and a microphone (`alice_microphone`, fed by playing to
    /// `alice_mouth`).
    fn start() -> Result<Self, String> {
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let mut command = Command::new("pulseaudio");
        command.args([
            "-n",
            "--daemonize=no",
            "--exit-idle-time=-1",
            "--use-pid-file=no",
            "--disable-shm=no",
        ]);
        command.args(["--realtime=no", "--high-priority=no"]);
        let socket = folder.path().join("native");
        let mut load = |module: String| {
            command.args(["-L", &module]);
        };
        load(format!("module-native-protocol-unix socket={} auth-anonymous=1", socket.display()));
        let sink = |name: String| {
            format!("module-null-sink sink_name={name} norewinds=1 format=float32le rate=48000 channels=2")
        };
        for person in PEOPLE {
            load(sink(format!("{person}_speaker")));
            load(sink(format!("{person}_mouth")));
            load(format!(
                "module-remap-source source_name={person}_microphone master={person}_mouth.monitor"
            ));
        }
        let log = std::fs::File::create(folder.path().join("log")).map_err(|error| error.to_string())?;
        environment(&mut command, folder.path());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let process = command.spawn().map_err(|error| format!("pulseaudio does not start: {error}"))?;
        let mut server = Self { process, folder };
        server.wait_until_it_answers()?;
        Ok(server)
    }

    fn wait_until_it_answers(&mut self) -> Result<(), String> {
        let begun = Instant::now();
        while begun.elapsed() < STEP {
            if self.process.try_wait().is_ok_and(|ended| ended.is_some()) {
                let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
                return Err(format!("pulseaudio ended at once: {log}"));
            }
            let mut ask = Command::new("pactl");
            environment(ask.arg("info").stdout(Stdio::null()).stderr(Stdio::null()), self.folder.path());
            match ask.status() {
                Ok(status) if status.success() => return Ok(()),
                Ok(_) => std::thread::yield_now(),
                Err(error) => return Err(format!("pactl does not run: {error}")),
            }
        }
        Err("pulseaudio does not answer".to_owned())
    }
}

impl Drop for SoundServer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Makes a process use the server in `folder` and nothing of the user's.
fn environment<'a>(command: &'a mut Command, folder: &Path) -> &'a mut Command {
    command
        .env_remove("DBUS_SESSION_BUS_ADDRESS")
        .env("HOME", folder)
        .env("XDG_RUNTIME_DIR", folder)
        .env("PULSE_RUNTIME_PATH", folder.join("pulse"))
        .env("PULSE_SERVER", format!("unix:{}", folder.join("native").display()))
}

/// The sound server's address is part of a process's environment: the call is made in a process of its own.
fn run_with_a_sound_server(test: &str) {
    let server = match SoundServer::start() {
        Ok(server) => server,
        Err(why) if std::env::var_os("OFFHOOK_REQUIRE_PULSE").is_some_and(|value| value != "0") => {
            panic!("{why}")
        }
        Err(why) => {
            eprintln!("SKIPPED: no call on devices of a sound system was made: {why}");
            return;
        }
    };
    let mut call = Command::new(std::env::current_exe().unwrap());
    call.args([test, "--exact", "--ignored", "--nocapture"]).env(FOLDER, server.folder.path());
    let done = environment(&mut call, server.folder.path()).output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    println!("{said}");
    assert!(done.status.success() && said.contains("1 passed"), "{said}");
}

#[test]
fn a_call_on_devices_of_the_sound_system_is_heard() {
    run_with_a_sound_server("the_call");
}

#[test]
fn a_speaker_that_vanishes_in_a_call_is_told_of_and_another_takes_its_place() {
    run_with_a_sound_server("the_call_whose_speaker_vanishes");
}

#[test]
#[ignore = "run by a test above, with a sound server of its own"]
fn the_call() {
    let folder = folder();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async { timeout(STEP * 3, call(&folder)).await.expect("within its time") });
    for (speaker, listener) in [("alice", "bob"), ("bob", "alice")] {
        assert_heard(&folder, speaker, &format!("{listener}_speaker"));
    }
}

#[test]
#[ignore = "run by a test above, with a sound server of its own"]
fn the_call_whose_speaker_vanishes() {
    let folder = folder();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async { timeout(STEP * 6, call_of_a_headset(&folder)).await.expect("within its time") });
}

fn folder() -> PathBuf {
    PathBuf::from(std::env::var_os(FOLDER).expect("run by a test above"))
}

/// Whether what a person said is in what a speaker played.
fn assert_heard(folder: &Path, person: &str, speaker: &str) {
    let said = load_wav(&folder.join(format!("{person}-said.wav"))).unwrap();
    let heard = load_wav(&folder.join(format!("{speaker}-played.wav"))).unwrap();
    // Its beginning and end may lie outside of the recording.
    let said = &said[48_000..4 * 48_000];
    let anywhere = DelaySearch { max_delay: STEP, ..DelaySearch::default() };
    let track = delay_track(said, &heard, &anywhere);
    let found = track.found_share().unwrap_or_default();
    let likeness = correlation(said, &heard, &track).unwrap_or_default();
    println!("{speaker} played {:.0} % of {person}, likeness {likeness:.2}", found * 100.0);
    assert!(found > 0.5 && likeness > 0.5, "{speaker} did not play {person}: {found}, {likeness}");
}

/// Both talk, what their speakers play is recorded.
async fn call(folder: &Path) {
    let config = ServerConfig::default().listen(([127, 0, 0, 1], 0).into());
    let server = Server::bind(config).await.unwrap();
    let (alice, bob, [calling, _incoming]) = established(&server).await;
    let speakers = PEOPLE.map(|person| format!("{person}_speaker"));
    talk(folder, &PEOPLE, &speakers.each_ref().map(String::as_str)).await;
    for engine in [&alice.engine, &bob.engine] {
        let devices = engine.stats().devices;
        assert!(
            devices.iter().all(|device| device.callbacks > 10 && device.current == device.wanted),
            "{devices:?}"
        );
    }
    calling.hang_up();
    while !matches!(alice.next_call_event(&calling).await, CallEvent::Ended(_)) {}
    server.shutdown().await;
}

/// The sound server carries what plays on a sink that is unloaded to another one and tells nobody.
async fn call_of_a_headset(folder: &Path) {
    let module = ["module-null-sink", "sink_name=builtin", "norewinds=1", "format=float32le", "rate=48000"];
    pactl(&[&["load-module"][..], &module].concat());
    pactl(&["set-default-sink", "builtin"]);
    let config = ServerConfig::default().listen(([127, 0, 0, 1], 0).into());
    let server = Server::bind(config).await.unwrap();
    let (alice, mut bob, [calling, _incoming]) = established(&server).await;
    let headset = device("bob_speaker", DeviceDirection::Render);
    let direction = DeviceDirection::Render;

    let (number, loading) = module_of("bob_speaker");
    pactl(&["unload-module", &number]);
    let (now, cause) = (Device::Default, LossCause::Gone);
    let lost = DeviceEvent::Lost { direction, device: headset.clone(), now, cause };
    assert_eq!(bob.next_device_event().await, lost);
    talk(folder, &["alice"], &["builtin"]).await;
    assert_heard(folder, "alice", "builtin");

    let loading: Vec<&str> = loading.iter().map(String::as_str).collect();
    pactl(&[&["load-module"][..], &loading].concat());
    assert_eq!(bob.next_device_event().await, DeviceEvent::Returned { direction, device: headset });
    talk(folder, &["alice"], &["bob_speaker"]).await;
    assert_heard(folder, "alice", "bob_speaker");

    calling.hang_up();
    while !matches!(alice.next_call_event(&calling).await, CallEvent::Ended(_)) {}
    server.shutdown().await;
}

/// Alice calls Bob, who answers.
async fn established(server: &RunningServer) -> (Person, Person, [Call; 2]) {
    let application = server.development_application().unwrap().clone();
    let (alice, mut bob) = (
        Person::register("alice", server, &application).await,
        Person::register("bob", server, &application).await,
    );
    let calling = alice.client.call_client().call_user("bob").await.unwrap();
    alice.speaker.set_src_object(Some(&calling.incoming_stream()));
    let incoming = bob.incoming_call().await;
    bob.speaker.set_src_object(Some(&incoming.incoming_stream()));
    incoming.answer().await.unwrap();
    until_established(&calling).await;
    until_established(&incoming).await;
    (alice, bob, [calling, incoming])
}

/// These people say their piece, and what these speakers play meanwhile is recorded.
async fn talk(folder: &Path, people: &[&str], speakers: &[&str]) {
    let recorders: Vec<Child> = speakers.iter().map(|speaker| record(folder, speaker)).collect();
    let players: Vec<Child> = people.iter().map(|person| speak(folder, person)).collect();
    for mut player in players {
        let ended = tokio::task::spawn_blocking(move || player.wait()).await.unwrap().unwrap();
        assert!(ended.success(), "paplay failed");
    }
    for mut recorder in recorders {
        // A recorder ends its file only when asked to.
        let asked = Command::new("kill").args(["-INT", &recorder.id().to_string()]).status().unwrap();
        assert!(asked.success());
        recorder.wait().unwrap();
    }
}

/// The number of the module that makes this sink, and what it is loaded with.
fn module_of(sink: &str) -> (String, Vec<String>) {
    let named = format!("sink_name={sink}");
    let listed = pactl(&["list", "short", "modules"]);
    let mut words = listed
        .lines()
        .map(|line| line.split_whitespace().map(str::to_owned))
        .find(|words| words.clone().any(|word| word == named))
        .unwrap_or_else(|| panic!("nothing makes {sink}: {listed}"));
    (words.next().unwrap(), words.collect())
}

fn pactl(arguments: &[&str]) -> String {
    let done = Command::new("pactl").args(arguments).output().expect("pactl is installed");
    assert!(done.status.success(), "{arguments:?}: {done:?}");
    String::from_utf8(done.stdout).unwrap()
}

/// One end of the call, on its own two devices.
struct Person {
    client: Client,
    events: ClientEvents,
    engine: Engine,
    speaker: AudioElement,
}

impl Person {
    async fn register(
        name: &'static str,
        server: &RunningServer,
        application: &DevelopmentApplication,
    ) -> Self {
        let engine = Engine::builder().build().unwrap();
        let speaker =
            engine.open_element(device(&format!("{name}_speaker"), DeviceDirection::Render)).unwrap();
        // The sound is synthetic and comes back through monitors: what keeps noise and echo from others would keep it too.
        let client = Client::builder()
            .audio_processing(AudioProcessing::OFF)
            .application_key(application.key().as_str())
            .user_id(name)
            .environment_host(server.url())
            .engine(engine.clone())
            .microphone(device(&format!("{name}_microphone"), DeviceDirection::Capture))
            .addresses(Arc::new(MachineAddresses::with_loopback()))
            .build()
            .unwrap();
        let events = client.start().await.unwrap();
        let mut person = Self { client, events, engine, speaker };
        loop {
            match person.next_event().await {
                ClientEvent::CredentialsRequired(registration) => {
                    registration.register(token(application, name)).await.unwrap();
                }
                ClientEvent::Started => return person,
                ClientEvent::Failed(error) => panic!("{name}: {error}"),
                _ => {}
            }
        }
    }

    async fn next_event(&mut self) -> ClientEvent {
        timeout(STEP, self.events.next()).await.expect("an event in time").expect("the client runs")
    }

    async fn incoming_call(&mut self) -> Call {
        loop {
            if let ClientEvent::IncomingCall(call) = self.next_event().await {
                return call;
            }
        }
    }

    async fn next_device_event(&mut self) -> DeviceEvent {
        loop {
            if let ClientEvent::Device(event) = self.next_event().await {
                return event;
            }
        }
    }

    async fn next_call_event(&self, call: &Call) -> CallEvent {
        timeout(STEP, call.next_event()).await.expect("an event in time").expect("the call has not ended")
    }
}

async fn until_established(call: &Call) {
    loop {
        let event = timeout(STEP, call.next_event()).await.expect("an event in time");
        match event.expect("the call has not ended") {
            CallEvent::Established => return,
            CallEvent::Ended(details) => panic!("{details:?}"),
            _ => {}
        }
    }
}

/// The system's device of this name.
fn device(name: &str, direction: DeviceDirection) -> Device {
    let listed = devices();
    let of_that_name =
        listed.iter().find(|info| info.direction == direction && info.id.as_str().ends_with(name));
    Device::Id(of_that_name.unwrap_or_else(|| panic!("{name} is not among {listed:?}")).id.clone())
}

fn token(application: &DevelopmentApplication, user: &str) -> String {
    use offhook_signaling::token::{MintRequest, mint};
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    mint(&MintRequest {
        application_key: application.key(),
        secret: &application.application().secrets()[0],
        user: &user.parse().unwrap(),
        issued_at: offhook_signaling::UnixSeconds(now.as_secs()),
        ttl_seconds: 600,
        nonce: user,
        instance_expires: None,
    })
}

/// Plays what a person says into their microphone.
fn speak(folder: &Path, person: &str) -> Child {
    let file = folder.join(format!("{person}-said.wav"));
    save_wav(&file, &synthetic_speech(TALK, u64::from(person.as_bytes()[0]))).unwrap();
    Command::new("paplay")
        .arg(format!("--device={person}_mouth"))
        .arg(file)
        .spawn()
        .expect("paplay is installed")
}

/// Records what a speaker plays, until interrupted.
fn record(folder: &Path, speaker: &str) -> Child {
    let file = folder.join(format!("{speaker}-played.wav"));
    Command::new("parec")
        .args(["--file-format=wav", "--rate=48000", "--channels=1", "--format=s16le"])
        .arg(format!("--device={speaker}.monitor"))
        .arg(file)
        .spawn()
        .expect("parec is installed")
}
