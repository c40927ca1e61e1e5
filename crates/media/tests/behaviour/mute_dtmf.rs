//! Mute, hold and keys.

use crate::support::{End, amplitude, config, drain, ms, run, simulation, tone};
use offhook_media::{Device, SendDtmfError, StreamConfig, StreamEvent, pcm_sink, pcm_source};
use offhook_media_core::recv::ReceiveStats;

#[test]
fn keys_arrive_once_each_and_in_order() {
    let mut simulation = simulation();
    let microphone = simulation.open_microphone(Device::Null).unwrap();
    let element = simulation.open_element(Device::Null).unwrap();
    let (mut alice, mut bob) = (End::open(&simulation), End::open(&simulation));
    let mut events = bob.stream.events();
    alice.stream.attach_microphone(&microphone);
    element.set_src_object(Some(&bob.stream.incoming()));
    assert_eq!(alice.stream.send_dtmf("12x"), Err(SendDtmfError::NoKey('x')));
    assert_eq!(alice.stream.send_dtmf(&"1".repeat(65)), Err(SendDtmfError::TooMany));
    // More than the send path queues at once.
    let keys = "0123456789*#ABCD0123456789*#ABCD0123456789";
    alice.stream.send_dtmf(keys).unwrap();
    run(&mut simulation, &mut alice, &mut bob, ms(10_000));
    let mut received = String::new();
    let mut first_sounds = 0;
    while let Some(event) = events.try_next() {
        match event {
            StreamEvent::DigitReceived(key) => received.push(key),
            StreamEvent::FirstSound { at } => {
                first_sounds += 1;
                assert_eq!(bob.stream.stats().receive.first_sound, Some(at));
            }
            _ => {}
        }
    }
    assert_eq!((received.as_str(), first_sounds), (keys, 1));
}

#[test]
fn keys_need_a_far_end_that_takes_them() {
    let simulation = simulation();
    let stream = simulation.engine().open_stream(&StreamConfig::default()).unwrap();
    assert_eq!(stream.send_dtmf("1"), Err(SendDtmfError::NotNegotiated));
    stream.close();
    assert_eq!(stream.send_dtmf("1"), Err(SendDtmfError::Closed));
}

#[test]
fn muted_is_silence_and_held_is_nothing_and_both_come_back_in_time() {
    let mut simulation = simulation();
    let ((source, mut feeder), (sink, mut tap)) = (pcm_source(), pcm_sink());
    let microphone = simulation.open_microphone(source).unwrap();
    let element = simulation.open_element(sink).unwrap();
    let (mut alice, mut bob) = (End::open(&simulation), End::open(&simulation));
    element.set_src_object(Some(&bob.stream.incoming()));
    alice.stream.attach_microphone(&microphone);
    feeder.write(&tone(500.0, 0.3, ms(9000)));
    let mut loudness = |alice: &mut End, bob: &mut End| {
        run(&mut simulation, alice, bob, ms(500));
        drain(&mut tap);
        run(&mut simulation, alice, bob, ms(500));
        amplitude(&drain(&mut tap)[..23_520], 500.0)
    };
    assert!(loudness(&mut alice, &mut bob) > 0.25);
    alice.stream.set_muted(true);
    let before = bob.stream.stats().receive.packets_received;
    assert!(loudness(&mut alice, &mut bob) < 0.01 && alice.stream.muted());
    assert!(bob.stream.stats().receive.packets_received >= before + 95);
    alice.stream.set_muted(false);
    assert!(loudness(&mut alice, &mut bob) > 0.25);

    alice.stream.set_sending(false);
    let (sent, before) = (alice.stream.stats().send.packets, bob.stream.stats().receive.packets_received);
    assert!(loudness(&mut alice, &mut bob) < 0.01 && !alice.stream.sending());
    assert!(bob.stream.stats().receive.packets_received <= before + 4);
    assert!(alice.stream.stats().send.packets <= sent + 4);
    alice.stream.set_sending(true);
    assert!(loudness(&mut alice, &mut bob) > 0.25);
    let stats = bob.stream.stats().receive;
    assert!(stats.playout_delay.unwrap() < ms(30), "{stats:?}");
}

#[test]
fn hold_and_keys_are_pauses_and_no_loss_for_the_far_end() {
    let mut simulation = simulation();
    let ((source, mut feeder), (sink, mut tap)) = (pcm_source(), pcm_sink());
    let microphone = simulation.open_microphone(source).unwrap();
    let element = simulation.open_element(sink).unwrap();
    let (mut alice, mut bob) = (End::open(&simulation), End::open(&simulation));
    element.set_src_object(Some(&bob.stream.incoming()));
    alice.stream.attach_microphone(&microphone);
    feeder.write(&tone(500.0, 0.3, ms(9000)));
    run(&mut simulation, &mut alice, &mut bob, ms(1000));
    let before = bob.stream.stats().receive;
    for pause in 0..4 {
        match pause {
            0 | 2 => alice.stream.set_sending(false),
            _ => alice.stream.send_dtmf("159#").unwrap(),
        }
        run(&mut simulation, &mut alice, &mut bob, ms(600));
        alice.stream.set_sending(true);
        run(&mut simulation, &mut alice, &mut bob, ms(200));
        drain(&mut tap);
        run(&mut simulation, &mut alice, &mut bob, ms(100));
        assert!(amplitude(&drain(&mut tap)[..4320], 500.0) > 0.25, "pause {pause}");
    }
    let after = bob.stream.stats().receive;
    let counted =
        |stats: ReceiveStats| (stats.concealed, stats.interruptions, stats.skipped, stats.packets_lost);
    assert_eq!(counted(after), counted(before), "{after:?}");
    assert!(after.playout_delay.unwrap() < ms(30), "{after:?}");
}

#[test]
fn the_first_word_after_a_hold_is_whole() {
    let mut simulation = simulation();
    let ((source, mut feeder), (sink, mut tap)) = (pcm_source(), pcm_sink());
    let microphone = simulation.open_microphone(source).unwrap();
    let element = simulation.open_element(sink).unwrap();
    let (mut alice, mut bob) = (End::open(&simulation), End::open(&simulation));
    element.set_src_object(Some(&bob.stream.incoming()));
    alice.stream.attach_microphone(&microphone);
    feeder.write(&tone(500.0, 0.3, ms(3000)));
    run(&mut simulation, &mut alice, &mut bob, ms(1000));
    alice.stream.set_sending(false);
    run(&mut simulation, &mut alice, &mut bob, ms(600));
    alice.stream.set_sending(true);
    drain(&mut tap);
    run(&mut simulation, &mut alice, &mut bob, ms(400));
    let heard = drain(&mut tap);
    let begins = heard.iter().position(|sample| sample.abs() > 0.1).unwrap();
    assert!(begins < 48 * 60, "it begins after {begins} samples");
    // What follows is whole when the fade is over and the codec, which begins anew, has come up to it; there is no second hole.
    let loudness: Vec<f64> = heard[begins..].chunks_exact(480).map(|part| amplitude(part, 500.0)).collect();
    assert!(loudness[2] > 0.15 && loudness[3..].iter().all(|part| *part > 0.25), "{loudness:?}");
}

#[test]
fn payload_types_that_become_known_later_are_used_from_then_on() {
    let mut simulation = simulation();
    let microphone = simulation.open_microphone(Device::Null).unwrap();
    let mut alice = End::open(&simulation);
    alice.stream.set_sending(false);
    alice.stream.set_muted(true);
    alice.stream.attach_microphone(&microphone);
    simulation.advance(ms(200));
    assert!(alice.port.outgoing.pop().is_none());
    let mut answered = config();
    answered.send.opus_payload_type = 96;
    alice.stream.reconfigure(&answered).unwrap();
    alice.stream.set_sending(true);
    simulation.advance(ms(200));
    let packet = alice.port.outgoing.pop().unwrap();
    assert_eq!(packet.payload_type, 96);
    let stats = alice.stream.stats().send;
    assert!(stats.muted && (19..=21).contains(&stats.packets), "{stats:?}");
}

#[test]
fn another_encoder_in_a_call_makes_no_break_in_rtp_time() {
    let mut simulation = simulation();
    let microphone = simulation.open_microphone(Device::Null).unwrap();
    let (mut alice, mut bob) = (End::open(&simulation), End::open(&simulation));
    let mut events = bob.stream.events();
    alice.stream.attach_microphone(&microphone);
    run(&mut simulation, &mut alice, &mut bob, ms(2000));
    alice.stream.send_dtmf("12").unwrap();
    let mut changed = config();
    changed.send.encoder.in_band_fec = false;
    alice.stream.reconfigure(&changed).unwrap();
    run(&mut simulation, &mut alice, &mut bob, ms(2000));
    let keys: Vec<_> = std::iter::from_fn(|| events.try_next())
        .filter(|event| matches!(event, StreamEvent::DigitReceived(_)))
        .collect();
    assert_eq!(keys, [StreamEvent::DigitReceived('1'), StreamEvent::DigitReceived('2')]);
    // A time that jumped back would be a stranger's, believed at the third packet only.
    assert_eq!(bob.stream.stats().receive.packets_discarded, 0);
}

#[test]
fn keys_are_taken_at_each_payload_type_that_was_agreed_on() {
    let mut simulation = simulation();
    let microphone = simulation.open_microphone(Device::Null).unwrap();
    let (mut alice, mut bob) = (End::open(&simulation), End::open(&simulation));
    let mut events = bob.stream.events();
    alice.stream.attach_microphone(&microphone);
    // As browsers do: 48 kHz and 8 kHz are agreed on, and the keys come as the second.
    let mut sending = config();
    sending.send.dtmf_payload_type = Some(126);
    alice.stream.reconfigure(&sending).unwrap();
    alice.stream.send_dtmf("5").unwrap();
    run(&mut simulation, &mut alice, &mut bob, ms(500));
    assert!(std::iter::from_fn(|| events.try_next()).any(|event| event == StreamEvent::DigitReceived('5')));
}
