//! What sounds where: several streams in one element, one stream in one element at a time, volume, mute and pause.

use crate::support::{End, amplitude, drain, ms, simulation, tone};
use offhook_media::simulation::Simulation;
use offhook_media::{AudioElement, PcmTap, pcm_sink, pcm_source};

struct Conference {
    simulation: Simulation,
    ends: Vec<(End, End)>,
    feeders: Vec<offhook_media::PcmFeeder>,
}

impl Conference {
    /// Two people who say one tone each.
    fn begin() -> Self {
        let mut conference = Self { simulation: simulation(), ends: Vec::new(), feeders: Vec::new() };
        for hertz in [500.0, 800.0] {
            let (source, mut feeder) = pcm_source();
            let microphone = conference.simulation.open_microphone(source).expect("a queue opens");
            let far = End::open(&conference.simulation);
            far.stream.attach_microphone(&microphone);
            feeder.write(&tone(hertz, 0.2, ms(10_000)));
            conference.ends.push((far, End::open(&conference.simulation)));
            conference.feeders.push(feeder);
        }
        conference
    }

    fn element(&mut self) -> (AudioElement, PcmTap) {
        let (sink, tap) = pcm_sink();
        (self.simulation.open_element(sink).expect("a queue opens"), tap)
    }

    /// Amplitudes of both tones in what `tap` gives after things have settled.
    fn heard(&mut self, tap: &mut PcmTap) -> [f64; 2] {
        self.run(300);
        drain(tap);
        self.run(500);
        let heard = drain(tap);
        let heard = &heard[..heard.len() / 480 * 480];
        [amplitude(heard, 500.0), amplitude(heard, 800.0)]
    }

    fn run(&mut self, milliseconds: u64) {
        for _ in 0..milliseconds {
            self.simulation.advance(ms(1));
            let now = self.simulation.now();
            for (far, near) in &mut self.ends {
                far.carry(near, now, |_| true);
            }
        }
    }
}

fn near(heard: [f64; 2], wanted: [f64; 2]) {
    for (heard, wanted) in heard.into_iter().zip(wanted) {
        assert!((heard - wanted).abs() < 0.03, "{heard} for {wanted}");
    }
}

#[test]
fn two_streams_sound_together_and_one_goes() {
    let mut conference = Conference::begin();
    let (element, mut tap) = conference.element();
    let sources = [conference.ends[0].1.stream.incoming(), conference.ends[1].1.stream.incoming()];
    element.set_src_object(Some(&sources[0]));
    element.add_source(&sources[1]);
    near(conference.heard(&mut tap), [0.2, 0.2]);
    element.remove_source(&sources[0]);
    assert_eq!(element.src_object(), None);
    near(conference.heard(&mut tap), [0.0, 0.2]);
    element.set_src_object(Some(&sources[0]));
    near(conference.heard(&mut tap), [0.2, 0.0]);
    conference.ends[0].1.stream.close();
    near(conference.heard(&mut tap), [0.0, 0.0]);
}

#[test]
fn a_stream_sounds_where_it_was_bound_last() {
    let mut conference = Conference::begin();
    let (one, mut one_tap) = conference.element();
    let (other, mut other_tap) = conference.element();
    let source = conference.ends[0].1.stream.incoming();
    one.set_src_object(Some(&source));
    near(conference.heard(&mut one_tap), [0.2, 0.0]);
    other.set_src_object(Some(&source));
    near(conference.heard(&mut one_tap), [0.0, 0.0]);
    near(conference.heard(&mut other_tap), [0.2, 0.0]);
}

#[test]
fn volume_mute_and_pause_are_live() {
    let mut conference = Conference::begin();
    let (element, mut tap) = conference.element();
    element.set_src_object(Some(&conference.ends[0].1.stream.incoming()));
    element.set_volume(0.5);
    near(conference.heard(&mut tap), [0.1, 0.0]);
    element.set_muted(true);
    near(conference.heard(&mut tap), [0.0, 0.0]);
    element.set_muted(false);
    element.pause();
    near(conference.heard(&mut tap), [0.0, 0.0]);
    element.play();
    element.set_volume(7.0);
    assert_eq!((element.volume(), element.muted(), element.paused()), (1.0, false, false));
    near(conference.heard(&mut tap), [0.2, 0.0]);
    let stats = conference.ends[0].1.stream.stats().receive;
    assert_eq!(stats.concealed, 0, "{stats:?}");
}

#[test]
fn a_stream_that_nobody_hears_stays_live() {
    let mut conference = Conference::begin();
    conference.run(3000);
    let (element, mut tap) = conference.element();
    element.set_src_object(Some(&conference.ends[0].1.stream.incoming()));
    near(conference.heard(&mut tap), [0.2, 0.0]);
    let stats = conference.ends[0].1.stream.stats().receive;
    assert!(stats.playout_delay.unwrap() < ms(15), "{stats:?}");
    assert_eq!(stats.packets_late, 0, "{stats:?}");
}
