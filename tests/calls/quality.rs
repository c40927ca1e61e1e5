//! What a call tells of itself: warnings, a measure every second, a report, a recording.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use offhook::{
    Call, CallEvent, CallListener, CallMeasure, CallMeasures, CallReport, CallSnapshot, Client,
    FlightRecording, PacketPath, PacketPathFactory, QualityWarning, SaveRecordingError, Transmit,
    WarningEvent, WarningKind,
};
use offhook_media_core::recording::{Kept, MOST_PAYLOAD, MomentKind, Record, Recording};
use offhook_sim::net::{Link, LinkConfig};
use serde_json::Value;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use crate::support::{ALICE_HUMS, BOB_HUMS, Person, builder, server, talk, until, within};

/// A network that loses while it is told to.
#[derive(Debug, Clone, Default)]
struct Weather(Arc<AtomicBool>);

struct Switched {
    good: Link<Transmit>,
    bad: Link<Transmit>,
    weather: Weather,
}

impl PacketPath for Switched {
    fn submit(&mut self, now: Instant, datagram: Transmit) {
        let link = if self.weather.0.load(Relaxed) { &mut self.bad } else { &mut self.good };
        link.send(now, datagram.contents.len(), datagram);
    }

    fn next_due(&self) -> Option<Instant> {
        self.good.next_due().into_iter().chain(self.bad.next_due()).min()
    }

    fn poll(&mut self, now: Instant) -> Option<Transmit> {
        self.good.poll(now).or_else(|| self.bad.poll(now))
    }
}

fn switched(weather: &Weather) -> PacketPathFactory {
    let weather = weather.clone();
    Arc::new(move || {
        let link = |loss| Link::new(LinkConfig::lossy(7, loss, Duration::ZERO), Instant::now()).unwrap();
        Box::new(Switched { good: link(0.0), bad: link(0.3), weather: weather.clone() })
    })
}

/// Alice, who speaks through this weather, and Bob, who records, in a call.
async fn call(weather: &Weather, recording: FlightRecording) -> (Call, Call, [Client; 2]) {
    let server = server().await;
    let alice = builder(&server, "alice").packet_path(switched(weather));
    let bob = builder(&server, "bob").flight_recording(recording);
    let alice = Person::start_with(alice, "alice", ALICE_HUMS).await;
    let mut bob = Person::start_with(bob, "bob", BOB_HUMS).await;
    let (outgoing, incoming) = talk(&alice, &mut bob).await;
    (outgoing, incoming, [alice.client, bob.client])
}

async fn next_second(measures: &mut CallMeasures) -> CallSnapshot {
    match within("a second", measures.next()).await {
        Some(CallMeasure::Second(snapshot)) => *snapshot,
        other => panic!("{other:?}"),
    }
}

fn warning(kind: WarningKind, event: WarningEvent) -> impl Fn(&CallEvent) -> bool {
    move |news| matches!(news, CallEvent::QualityWarning(found) if *found == QualityWarning { kind, event })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn loss_is_warned_of_while_it_lasts_and_lowers_the_judgement() {
    let weather = Weather::default();
    let (_outgoing, incoming, _clients) = call(&weather, FlightRecording::Arrivals).await;
    let (mut events, mut measures) = (incoming.events(), incoming.measures());
    next_second(&mut measures).await;
    let good = next_second(&mut measures).await;
    let kind = WarningKind::HighInboundPacketLoss;
    weather.0.store(true, Relaxed);
    until(&mut events, "a warning of loss", warning(kind, WarningEvent::Trigger)).await;
    while measures.try_next().is_some() {}
    let bad = next_second(&mut measures).await;
    weather.0.store(false, Relaxed);
    until(&mut events, "the end of the warning", warning(kind, WarningEvent::Recover)).await;

    assert!(good.loss.is_some_and(|loss| loss < 0.01), "{good:?}");
    assert!(bad.loss.is_some_and(|loss| (0.1..0.6).contains(&loss)), "{bad:?}");
    let r = |snapshot: &CallSnapshot| snapshot.recent_quality.map(|quality| quality.r_factor);
    assert!(r(&bad) < r(&good) && r(&bad).is_some(), "{bad:?} {good:?}");
    // The recording tells the same.
    let bytes = incoming.recording().unwrap();
    let moments: Vec<MomentKind> = Recording::parse(&bytes)
        .unwrap()
        .records()
        .filter_map(|record| match record {
            Record::Moment(moment) => Some(moment.kind),
            _ => None,
        })
        .collect();
    let told = [MomentKind::WarningTriggered(kind as u8), MomentKind::WarningRecovered(kind as u8)];
    assert!(told.iter().all(|kind| moments.contains(kind)), "{moments:?}");
}

/// Writes down what it is told.
struct Diary(UnboundedSender<&'static str>);

impl CallListener for Diary {
    fn on_call_snapshot(&self, _call: &Call, _snapshot: &CallSnapshot) {
        let _ = self.0.send("snapshot");
    }

    fn on_call_report(&self, _call: &Call, _report: &CallReport) {
        let _ = self.0.send("report");
    }

    fn on_call_ended(&self, _call: &Call, _details: &offhook::CallDetails) {
        let _ = self.0.send("ended");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_second_is_told_and_in_the_end_a_report() {
    let (outgoing, incoming, _clients) = call(&Weather::default(), FlightRecording::Off).await;
    let mut measures = incoming.measures();
    let (diary, mut told) = unbounded_channel();
    incoming.add_listener(Arc::new(Diary(diary)));
    next_second(&mut measures).await;
    next_second(&mut measures).await;
    let second = next_second(&mut measures).await;
    assert!(
        second.round_trip.is_some() && second.playout_delay.is_some() && second.latency.is_some(),
        "{second:?}"
    );
    assert!(second.target_delay.is_some() && second.jitter.is_some() && second.loss.is_some(), "{second:?}");
    assert!(second.quality.is_some_and(|quality| quality.mos > 3.5), "{second:?}");
    let heard = second.heard.decoded + second.heard.red + second.heard.fec + second.heard.dred;
    assert!(heard > Duration::from_millis(200) && heard < Duration::from_secs(5), "{second:?}");
    assert!(second.sent.payload_bps > 5000.0 && second.sent.packets > 10.0, "{second:?}");
    assert!(second.received_bps > 5000.0 && second.sent.red_bps <= second.sent.payload_bps, "{second:?}");
    let is_humming = |level: Option<f64>| level.is_some_and(|level| (-30.0..-5.0).contains(&level));
    assert!(is_humming(second.inbound_level_db) && is_humming(second.outbound_level_db), "{second:?}");

    outgoing.hang_up();
    let report = loop {
        match within("the report", measures.next()).await {
            Some(CallMeasure::Second(_)) => {}
            Some(CallMeasure::Report(report)) => break report,
            other => panic!("{other:?}"),
        }
    };
    assert!(within("the end", measures.next()).await.is_none());
    let mut diary = Vec::new();
    while diary.last() != Some(&"ended") {
        diary.push(within("the listener's end", told.recv()).await.unwrap());
    }
    assert!(diary.contains(&"snapshot") && diary.ends_with(&["report", "ended"]), "{diary:?}");

    let flat: Value = serde_json::to_value(&*report).unwrap();
    let at = |pointer: &str| flat.pointer(pointer).unwrap_or_else(|| panic!("{pointer} in {flat}"));
    assert_eq!((at("/direction"), at("/end_cause")), (&"inbound".into(), &"HungUp".into()));
    for number in
        ["/r_factor", "/mos", "/latency_percentiles_ms/p50", "/heard_ms/decoded", "/reached_ms/ended"]
    {
        assert!(at(number).as_f64().is_some_and(|value| value > 0.0), "{number} in {flat}");
    }
    assert!(at("/latency_percentiles_ms/p50").as_f64() <= at("/latency_percentiles_ms/most").as_f64());
    assert!(at("/started_unix").is_number() && at("/error").is_null(), "{flat}");
    assert_eq!(serde_json::to_value(incoming.report()).unwrap().pointer("/mos"), Some(at("/mos")));
    // It was not recorded.
    assert!(incoming.recording().is_none());
    let refused = incoming.save_recording(std::env::temp_dir().join("never-written"));
    assert!(matches!(refused, Err(SaveRecordingError::Off)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_is_recorded_and_only_on_demand_with_its_sound() {
    for (wish, kept) in [(FlightRecording::Arrivals, Kept::Arrivals), (FlightRecording::Sound, Kept::Sound)] {
        let (outgoing, incoming, _clients) = call(&Weather::default(), wish).await;
        let mut measures = incoming.measures();
        next_second(&mut measures).await;
        next_second(&mut measures).await;
        outgoing.hang_up();
        within("the end", async { while measures.next().await.is_some() {} }).await;

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("call.offhook");
        incoming.save_recording(&path).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        let recording = Recording::parse(&bytes).unwrap();
        assert_eq!((recording.kept(), recording.forgotten()), (kept, 0));
        let received = incoming.stats().transport.received.packets;
        assert_eq!(recording.packets().count() as u64, received);
        let seconds = recording.records().filter(|record| matches!(record, Record::Second(_))).count();
        assert!(seconds >= 2, "{seconds}");
        // A byte of a sinus is hardly ever zero.
        let mut buffer = [0; MOST_PAYLOAD];
        let mut packets = 0;
        let with_sound = recording.packets().skip(20).filter(|packet| {
            packets += 1;
            let payload = packet.payload(&mut buffer).unwrap();
            payload.iter().filter(|byte| **byte == 0).count() < payload.len() / 2
        });
        let with_sound = with_sound.count();
        match kept {
            Kept::Arrivals => assert_eq!(with_sound, 0),
            Kept::Sound => assert!(with_sound * 10 > packets * 9, "{with_sound} of {packets}"),
        }
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = std::fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o077, 0, "only its user may read it");
        }
        assert!(incoming.save_recording(folder.path()).is_err(), "a folder is no file");
    }
}
