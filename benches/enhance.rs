//! What 10 ms of a microphone cost: each stage of the enhancement, all of it, and a second of it at once.
//!
//! A microphone costs the figure of "everything" a hundred times a second: 400 us are 2.4 CPU seconds a minute.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use offhook_media::AudioProcessing;
use offhook_media::enhance::{BLOCK, Enhancer};
use offhook_sim::room::{Room, RoomConfig};
use offhook_sim::sound::synthetic_speech;

fn enhance(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("enhance 10 ms");
    let long = Duration::from_secs(10);
    let (far, near) = (synthetic_speech(long, 1), synthetic_speech(long, 2));
    let mic = Room::new(RoomConfig::default()).record(&far, &near);
    let off = AudioProcessing::OFF;
    let kinds = [
        ("nothing", off),
        ("high-pass", AudioProcessing { high_pass_filter: true, ..off }),
        ("echo", AudioProcessing { echo_cancellation: true, ..off }),
        ("noise", AudioProcessing { noise_suppression: true, ..off }),
        ("gain", AudioProcessing { auto_gain_control: true, ..off }),
        ("everything", AudioProcessing::ON),
    ];
    for (name, settings) in kinds {
        let blocks: Vec<_> = mic.as_chunks::<BLOCK>().0.iter().zip(far.as_chunks::<BLOCK>().0).collect();
        let (mut chain, mut next) = (Enhancer::new(), blocks.iter().cycle());
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                if let Some((near, far)) = next.next() {
                    let mut block = **near;
                    black_box(chain.process(settings, &mut block, far));
                    black_box(block);
                }
            });
        });
    }
    let (mut chain, silence) = (Enhancer::new(), [0.0; BLOCK]);
    group.bench_function("everything, of silence", |bencher| {
        bencher.iter(|| black_box(chain.process(AudioProcessing::ON, &mut silence.clone(), &silence)));
    });
    group.finish();
}

criterion_group!(benches, enhance);
criterion_main!(benches);
