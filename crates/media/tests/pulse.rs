//! Devices of a real sound server: PulseAudio with sinks that are no hardware, started and killed by this test.
//!
//! Where it cannot be started the test says so and passes; with `OFFHOOK_REQUIRE_PULSE=1` it fails instead. Content, events and counters are
//! asserted, never how long something took.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test by panicking")]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a process of a test says how far it came")]

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use offhook_media::{
    AudioElement, AudioProcessing, Device, DeviceEvent, DeviceId, Direction, Engine, Events, LossCause,
    MediaStream, Microphone, PacketPort, PcmFeeder, PcmTap, StreamConfig, devices, pcm_sink, pcm_source,
};
use offhook_media_core::recv::IncomingPacket;
use offhook_sim::allocations::{Counting, of_this_thread};

/// The media thread moves the sound of a sound server itself, and allocates nothing for it.
#[global_allocator]
static ALLOCATOR: Counting = Counting(std::alloc::System);

/// Says to the process that plays the application that it is one, and where the server's files are.
const INSIDE: &str = "OFFHOOK_PULSE_TEST_DIRECTORY";
const LONGEST: Duration = Duration::from_secs(60);

#[test]
fn a_call_through_a_sound_server_that_dies_and_comes_back() {
    run_with_a_server_of_its_own("application_of_a_server_that_dies");
}

#[test]
fn a_call_whose_devices_vanish_from_the_sound_server_and_come_back() {
    run_with_a_server_of_its_own("application_of_devices_that_vanish");
}

/// Runs one of the tests below in a process of its own: the server is found through the environment, which a running process must not change.
fn run_with_a_server_of_its_own(test: &str) {
    let directory = tempfile::tempdir().unwrap();
    let Some(mut server) = Server::start(directory.path()) else {
        let required = std::env::var_os("OFFHOOK_REQUIRE_PULSE").is_some_and(|value| value != "0");
        assert!(!required, "PulseAudio cannot be started here, and is required");
        eprintln!("SKIPPED: PulseAudio cannot be started here; devices of a sound server are not tested");
        return;
    };
    let application = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--ignored", "--nocapture"])
        .env(INSIDE, directory.path())
        .env("XDG_RUNTIME_DIR", directory.path())
        .env("PULSE_RUNTIME_PATH", directory.path().join("pulse"))
        .env("PULSE_SERVER", socket(directory.path()))
        .env("HOME", directory.path())
        .output()
        .unwrap();
    server.stop();
    let told = String::from_utf8_lossy(&application.stdout).into_owned()
        + &String::from_utf8_lossy(&application.stderr);
    println!("{told}");
    assert!(application.status.success(), "{told}");
    assert!(told.contains("everything was heard"), "{told}");
}

#[test]
#[ignore = "run by a test above, in the environment that it makes"]
fn application_of_a_server_that_dies() {
    let Some(directory) = std::env::var_os(INSIDE) else { return };
    let directory = Path::new(&directory);
    let (speaker, monitor) = (id("pulseaudio:spk"), id("pulseaudio:spk.monitor"));
    assert_listed(&speaker, Direction::Render);
    assert_listed(&monitor, Direction::Capture);
    let mut talk = Talk::through(&speaker, monitor);
    talk.hear("at first");

    let missing = talk.engine.open_element(Device::Id(id("pulseaudio:nothing"))).unwrap_err();
    assert!(matches!(missing, offhook_media::OpenDeviceError::NotFound(_)), "{missing}");
    talk.loudspeaker.set_sink_id(Device::Default).wait(LONGEST).unwrap().unwrap();
    talk.hear("on the default speaker");
    talk.loudspeaker.set_sink_id(Device::Id(speaker)).wait(LONGEST).unwrap().unwrap();

    kill(directory);
    wait_for_both(&mut talk.events, |event| match event {
        DeviceEvent::Lost { direction, now: Device::Null | Device::Default, .. } => Some(direction),
        _ => None,
    });
    let mut server = Server::start(directory).unwrap();
    wait_for_both(&mut talk.events, |event| match event {
        DeviceEvent::Returned { direction, .. } => Some(direction),
        _ => None,
    });
    talk.hear("after the server came back");
    assert_eq!(talk.engine.stats().allocations, Some(0));
    println!("everything was heard: {:?}", talk.engine.stats());
    talk.engine.close();
    server.stop();
}

/// The server carries the sound of a device that vanishes to the default, and tells nobody.
#[test]
#[ignore = "run by a test above, in the environment that it makes"]
fn application_of_devices_that_vanish() {
    if std::env::var_os(INSIDE).is_none() {
        return;
    }
    pactl(&["set-default-sink", "spk"]);
    pactl(&["set-default-source", "spk.monitor"]);
    let (headset, heard) = (id("pulseaudio:headset"), id("pulseaudio:headset.monitor"));
    let mut module = load(HEADSET);
    let mut talk = Talk::through(&headset, heard.clone());
    talk.hear("on the headset");

    unload(&module);
    let both = [(Direction::Render, &headset), (Direction::Capture, &heard)];
    talk.expect(both.map(|(direction, id)| lost(direction, id)));
    talk.hear("on the default speaker, at the default microphone");
    module = load(HEADSET);
    talk.expect(both.map(|(direction, id)| returned(direction, id)));
    talk.hear("on the headset that is there again");

    unload(&module);
    module = load(HEADSET);
    talk.expect(both.into_iter().flat_map(|(direction, id)| [lost(direction, id), returned(direction, id)]));
    talk.hear("on the headset that was away for a moment");

    // What records one source through another is lost alone; who follows the default hears the headset all along.
    pactl(&["set-default-source", "headset.monitor"]);
    let (name, remapped) = ("mic", id("pulseaudio:mic"));
    let remap = ["module-remap-source", "source_name=mic", "master=headset.monitor"];
    let microphone = load(&remap);
    talk.listen_at(Device::Id(remapped.clone()));
    talk.hear(name);
    unload(&microphone);
    talk.expect([lost(Direction::Capture, &remapped)]);
    talk.hear("at the default microphone");
    load(&remap);
    talk.expect([returned(Direction::Capture, &remapped)]);
    talk.hear("at the microphone that is there again");

    // The default is another: what follows it is heard there.
    talk.loudspeaker.set_sink_id(Device::Default).wait(LONGEST).unwrap().unwrap();
    pactl(&["set-default-sink", "headset"]);
    let id = Some(headset);
    talk.expect([DeviceEvent::DefaultChanged { direction: Direction::Render, id }]);
    talk.hear("on the new default");
    assert_eq!(talk.events.try_next(), None);
    assert_eq!(talk.engine.stats().allocations, Some(0));
    println!("everything was heard: {:?}", talk.engine.stats());
    talk.engine.close();
    unload(&module);
}

const HEADSET: &[&str] =
    &["module-null-sink", "sink_name=headset", "norewinds=1", "format=float32le", "rate=48000", "channels=2"];

fn lost(direction: Direction, id: &DeviceId) -> DeviceEvent {
    let (device, now, cause) = (Device::Id(id.clone()), Device::Default, LossCause::Gone);
    DeviceEvent::Lost { direction, device, now, cause }
}

fn returned(direction: Direction, id: &DeviceId) -> DeviceEvent {
    DeviceEvent::Returned { direction, device: Device::Id(id.clone()) }
}

/// The module's number.
fn load(module: &[&str]) -> String {
    pactl(&[&["load-module"], module].concat())
}

fn unload(module: &str) {
    pactl(&["unload-module", module]);
}

fn pactl(arguments: &[&str]) -> String {
    let done = Command::new("pactl").args(arguments).output().expect("pactl comes with PulseAudio");
    assert!(done.status.success(), "{arguments:?}: {done:?}");
    String::from_utf8(done.stdout).unwrap().trim().to_owned()
}

/// A tone that goes from a queue over one stream into a speaker, whose monitor is the microphone of another stream, into a queue.
struct Talk {
    engine: Engine,
    events: Events<DeviceEvent>,
    loudspeaker: AudioElement,
    microphone: Microphone,
    hops: [Hop; 2],
    feeder: PcmFeeder,
    tap: PcmTap,
    _mouth: Microphone,
    _ear: AudioElement,
}

impl Talk {
    fn through(speaker: &DeviceId, monitor: DeviceId) -> Self {
        let engine = Engine::builder().allocation_counter(of_this_thread).build().unwrap();
        let events = engine.device_events();
        let ((source, feeder), (sink, tap)) = (pcm_source(), pcm_sink());
        let mouth = engine.open_microphone(source).unwrap();
        let loudspeaker = engine.open_element(Device::Id(speaker.clone())).unwrap();
        let microphone = engine.open_microphone(Device::Id(monitor)).unwrap();
        // What it listens to is what the speaker plays, which is an echo.
        microphone.set_processing(AudioProcessing::OFF);
        let ear = engine.open_element(sink).unwrap();
        let hops = [Hop::open(&engine), Hop::open(&engine)];
        hops[0].near.attach_microphone(&mouth);
        loudspeaker.set_src_object(Some(&hops[0].far.incoming()));
        hops[1].near.attach_microphone(&microphone);
        ear.set_src_object(Some(&hops[1].far.incoming()));
        Self { engine, events, loudspeaker, microphone, hops, feeder, tap, _mouth: mouth, _ear: ear }
    }

    fn listen_at(&mut self, device: Device) {
        self.microphone = self.engine.open_microphone(device).unwrap();
        self.microphone.set_processing(AudioProcessing::OFF);
        self.hops[1].near.attach_microphone(&self.microphone);
    }

    fn hear(&mut self, what: &str) {
        println!("to be heard: {what}");
        listen(&self.engine, &mut self.hops, &mut self.feeder, &mut self.tap, what);
    }

    /// Waits for these events, of either side in any order and of one side in this order, and no others.
    fn expect(&mut self, events: impl IntoIterator<Item = DeviceEvent>) {
        let mut wanted: Vec<DeviceEvent> = events.into_iter().collect();
        while !wanted.is_empty() {
            let event = self.events.next_within(LONGEST).unwrap_or_else(|| panic!("without {wanted:?}"));
            println!("{event:?}");
            let next = wanted.iter().position(|wanted| direction(wanted) == direction(&event));
            assert_eq!(next.map(|next| wanted.remove(next)), Some(event), "and {wanted:?}");
        }
    }
}

fn direction(event: &DeviceEvent) -> Option<Direction> {
    match event {
        DeviceEvent::Lost { direction, .. }
        | DeviceEvent::Returned { direction, .. }
        | DeviceEvent::DefaultChanged { direction, .. } => Some(*direction),
        _ => None,
    }
}

/// Lets the tone pass until it is heard.
fn listen(engine: &Engine, hops: &mut [Hop], feeder: &mut PcmFeeder, tap: &mut PcmTap, what: &str) {
    let mut block = [0.0; 4800];
    // What waits, and what is on its way, is from before.
    while tap.read(&mut block) > 0 {}
    let mut passed = 0;
    let end = Instant::now() + LONGEST;
    let mut piece = Vec::new();
    loop {
        if feeder.queued() < 48_000 {
            feeder.write(&offhook_sim::sound::tone(1000.0, 0.3, Duration::from_secs(1)));
        }
        hops.iter_mut().for_each(|hop| hop.carry(engine));
        let taken = tap.read(&mut block);
        passed += taken;
        if passed > 24_000 {
            piece.extend_from_slice(&block[..taken]);
        }
        if piece.len() >= 9600 {
            if (0.2..0.4).contains(&amplitude(&piece[..9600])) {
                return;
            }
            piece.clear();
        }
        assert!(Instant::now() < end, "{what}: no tone; {:?}", engine.stats());
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn assert_listed(id: &DeviceId, direction: Direction) {
    let found = devices();
    assert!(found.iter().any(|device| device.id == *id && device.direction == direction), "{found:?}");
}

/// Waits until a device of each side did something.
fn wait_for_both(events: &mut Events<DeviceEvent>, of: impl Fn(DeviceEvent) -> Option<Direction>) {
    let mut seen = Vec::new();
    while seen.len() < 2 {
        let event = events.next_within(LONGEST).expect("it happens in time");
        seen.extend(of(event).filter(|direction| !seen.contains(direction)));
    }
}

/// Two streams with nothing between them.
struct Hop {
    near: MediaStream,
    far: MediaStream,
    out: PacketPort,
    into: PacketPort,
    sequence: u16,
}

impl Hop {
    fn open(engine: &Engine) -> Self {
        let config = StreamConfig::default();
        let (near, far) = (engine.open_stream(&config).unwrap(), engine.open_stream(&config).unwrap());
        let (out, into) = (near.take_packet_port().unwrap(), far.take_packet_port().unwrap());
        Self { near, far, out, into, sequence: 0 }
    }

    fn carry(&mut self, engine: &Engine) {
        while let Some(packet) = self.out.outgoing.pop() {
            self.sequence = self.sequence.wrapping_add(1);
            let incoming = IncomingPacket {
                arrival: engine.clock().now(),
                payload_type: packet.payload_type,
                marker: packet.marker,
                ssrc: 1,
                sequence: self.sequence,
                timestamp: packet.timestamp,
                payload: packet.payload,
            };
            let _ = self.into.incoming.push(&incoming);
        }
    }
}

fn amplitude(sound: &[f32]) -> f64 {
    let (mut sine, mut cosine) = (0.0, 0.0);
    for (n, sample) in sound.iter().enumerate() {
        let phase = n as f64 * 1000.0 / 48_000.0 * std::f64::consts::TAU;
        sine += f64::from(*sample) * phase.sin();
        cosine += f64::from(*sample) * phase.cos();
    }
    2.0 * (sine * sine + cosine * cosine).sqrt() / sound.len() as f64
}

fn id(name: &str) -> DeviceId {
    name.parse().unwrap()
}

fn socket(directory: &Path) -> String {
    format!("unix:{}", directory.join("native").display())
}

fn pid_file(directory: &Path) -> std::path::PathBuf {
    directory.join("server.pid")
}

/// As a crash would.
fn kill(directory: &Path) {
    let pid = std::fs::read_to_string(pid_file(directory)).unwrap();
    assert!(Command::new("kill").args(["-9", pid.trim()]).status().unwrap().success());
}

struct Server(Child);

impl Server {
    fn start(directory: &Path) -> Option<Self> {
        let _ = std::fs::remove_file(directory.join("native"));
        let sink = "norewinds=1 format=float32le rate=48000 channels=2";
        let child = Command::new("pulseaudio")
            .args(["-n", "--daemonize=no", "--exit-idle-time=-1", "--use-pid-file=no", "--disable-shm=no"])
            .args(["--realtime=no", "--high-priority=no", "-L"])
            .arg(format!(
                "module-native-protocol-{} auth-anonymous=1",
                socket(directory).replace(':', " socket=")
            ))
            .args(["-L", &format!("module-null-sink sink_name=spk {sink}")])
            .env("XDG_RUNTIME_DIR", directory)
            .env("PULSE_RUNTIME_PATH", directory.join("pulse"))
            .env("HOME", directory)
            .env_remove("DBUS_SESSION_BUS_ADDRESS")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let mut server = Self(child);
        std::fs::write(pid_file(directory), server.0.id().to_string()).ok()?;
        let end = Instant::now() + Duration::from_secs(20);
        while !directory.join("native").exists() {
            if Instant::now() > end || server.0.try_wait().is_ok_and(|ended| ended.is_some()) {
                server.stop();
                return None;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Some(server)
    }

    fn stop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}
