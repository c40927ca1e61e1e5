//! Two people, both hands-free, in rooms that give back more than is played: the loop must not close.

use std::time::Duration;

use offhook_media::AudioProcessing;
use offhook_media::enhance::{BLOCK, Enhancer};
use offhook_sim::measure::Decibels;
use offhook_sim::room::{Room, RoomConfig};
use offhook_sim::sound::synthetic_speech;

use crate::level;

/// The way between two ends: 100 ms.
const UNDER_WAY: usize = 10;

struct End {
    room: Room,
    chain: Enhancer,
    /// What comes from the other end, oldest first.
    arriving: std::collections::VecDeque<[f32; BLOCK]>,
}

impl End {
    fn new(seed: u64) -> Self {
        let config = RoomConfig {
            seed,
            echo_gain: Decibels(3.0),
            delay: Duration::from_millis(40),
            ..RoomConfig::default()
        };
        Self { room: Room::new(config), chain: Enhancer::new(), arriving: [[0.0; BLOCK]; UNDER_WAY].into() }
    }

    fn block(&mut self, settings: AudioProcessing, said: &[f32]) -> [f32; BLOCK] {
        let played = self.arriving.pop_front().expect("as many come as go");
        self.room.play(&played);
        let mut microphone = [0.0; BLOCK];
        self.room.capture(said, &mut microphone);
        self.chain.process(settings, &mut microphone, &played);
        microphone
    }
}

/// Levels of each second at the loudspeaker of the one who listens; the other speaks for two seconds.
fn levels(settings: AudioProcessing, seconds: usize) -> Vec<f64> {
    let said = synthetic_speech(Duration::from_secs(2), 4);
    let (mut one, mut other) = (End::new(1), End::new(2));
    let mut heard = Vec::new();
    for block in 0..seconds * 100 {
        let said = said.get(block * BLOCK..(block + 1) * BLOCK).unwrap_or_default();
        let sent = one.block(settings, said);
        heard.extend_from_slice(&sent);
        let answer = other.block(settings, &[]);
        other.arriving.push_back(sent);
        one.arriving.push_back(answer);
    }
    heard.chunks(48_000).map(level).collect()
}

#[test]
fn with_echo_cancellation_the_loop_dies_away_and_without_it_it_howls() {
    for settings in [AudioProcessing::ON, AudioProcessing { auto_gain_control: false, ..AudioProcessing::ON }]
    {
        let levels = levels(settings, 10);
        // Three seconds after the last word nothing is left, and nothing comes back.
        assert!(levels[5..].iter().all(|level| *level < -60.0), "{levels:?} {settings:?}");
    }
    let howling = levels(AudioProcessing::OFF, 10);
    assert!(howling[7] > -12.0, "{howling:?}");
}
