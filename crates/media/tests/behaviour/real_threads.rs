//! The engine on its own threads. Content and counters are asserted, never how long something took.

use std::time::{Duration, Instant};

use crate::allocations::count;
use crate::support::{self, amplitude, config, ms, tone};
use offhook_media::{Device, Engine, OpenDeviceError, OpenStreamError, pcm_sink, pcm_source};

/// Waits for something that happens, but not for ever.
fn until(mut happened: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while !happened() {
        assert!(Instant::now() < end, "it did not happen");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_tone_passes_from_a_queue_through_two_streams_into_a_queue() {
    let engine = Engine::builder().allocation_counter(count).build().unwrap();
    let ((source, mut feeder), (sink, mut tap)) = (pcm_source(), pcm_sink());
    let microphone = engine.open_microphone(source).unwrap();
    let element = engine.open_element(sink).unwrap();
    let (near, far) = (engine.open_stream(&config()).unwrap(), engine.open_stream(&config()).unwrap());
    element.set_src_object(Some(&far.incoming()));
    near.attach_microphone(&microphone);
    let (mut out, mut into) = (near.take_packet_port().unwrap(), far.take_packet_port().unwrap());
    assert!(near.take_packet_port().is_none());
    feeder.write(&tone(500.0, 0.3, ms(9000)));
    let mut sequence = 0;
    let mut heard = Vec::new();
    until(|| {
        while let Some(packet) = out.outgoing.pop() {
            sequence += 1;
            let incoming = offhook_media_core::recv::IncomingPacket {
                arrival: engine.clock().now(),
                payload_type: packet.payload_type,
                marker: packet.marker,
                ssrc: 1,
                sequence,
                timestamp: packet.timestamp,
                payload: packet.payload,
            };
            let _ = into.incoming.push(&incoming);
        }
        heard.extend(support::drain(&mut tap));
        heard.iter().filter(|sample| sample.abs() > 0.05).count() > 48_000
    });
    let loudest = heard.chunks_exact(4800).map(|piece| amplitude(piece, 500.0)).fold(0.0, f64::max);
    assert!((0.25..0.35).contains(&loudest), "{loudest}");
    let stats = engine.stats();
    assert!(stats.ticks > 0 && stats.priority.is_some() && stats.tick_time.is_some(), "{stats:?}");
    assert_eq!(stats.allocations, Some(0));
    assert_eq!(stats.devices.len(), 2);
    assert!(stats.devices.iter().all(|device| device.callbacks > 0));
    assert!(microphone.started_at().is_some() && element.started_at().is_some());
}

#[test]
fn a_closed_engine_says_so_and_ends_everything() {
    let engine = Engine::builder().real_time(false).build().unwrap();
    let stream = engine.open_stream(&config()).unwrap();
    let port = stream.take_packet_port().unwrap();
    let element = engine.open_element(Device::Null).unwrap();
    let (mut events, mut device_events) = (stream.events(), engine.device_events());
    // One that the media thread may not have seen yet.
    let late = engine.open_stream(&config()).unwrap().take_packet_port().unwrap();
    engine.close();
    assert!(engine.is_closed());
    assert!(late.outgoing.is_closed() && late.incoming.is_closed());
    assert!(port.outgoing.is_closed() && port.incoming.is_closed());
    assert_eq!(events.next_within(Duration::from_secs(10)), None);
    assert_eq!(device_events.next_within(Duration::from_secs(10)), None);
    assert_eq!(engine.open_microphone(Device::Null).unwrap_err(), OpenDeviceError::EngineClosed);
    assert_eq!(engine.open_stream(&config()).unwrap_err(), OpenStreamError::Closed);
    let refused = element.set_sink_id(Device::Null).wait(Duration::from_secs(10));
    assert_eq!(refused, Some(Err(OpenDeviceError::EngineClosed)));
    engine.close();
}

#[test]
fn what_is_dropped_is_closed_and_its_place_is_free() {
    let engine = Engine::builder().real_time(false).build().unwrap();
    for _ in 0..3 {
        let elements: Vec<_> = (0..40).map(|_| engine.open_element(Device::Null).unwrap()).collect();
        let streams: Vec<_> = (0..120).map(|_| engine.open_stream(&config()).unwrap()).collect();
        assert_eq!(engine.stats().devices.len(), 40);
        drop((elements, streams));
        until(|| engine.stats().devices.is_empty());
    }
}

#[test]
fn the_shared_engine_is_one() {
    let (one, other) = (Engine::shared().unwrap(), Engine::shared().unwrap());
    let before = one.stats().ticks;
    until(|| other.stats().ticks > before);
}
