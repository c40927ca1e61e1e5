//! What it costs to hand 10 ms of sound, or one packet, from one thread to another.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use offhook_media_core::units::FRAME_SAMPLES;
use ringbuf::HeapRb;
use ringbuf::traits::{Consumer, Producer, Split};
use std::hint::black_box;

fn rings(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("ring");
    group.throughput(Throughput::Elements(FRAME_SAMPLES as u64));
    let frame = [0.1_f32; FRAME_SAMPLES];
    let (mut producer, mut consumer) = HeapRb::<f32>::new(4 * FRAME_SAMPLES).split();
    let mut out = [0.0_f32; FRAME_SAMPLES];
    group.bench_function("frame in one slice", |bencher| {
        bencher.iter(|| {
            producer.push_slice(black_box(&frame));
            black_box(consumer.pop_slice(&mut out))
        });
    });
    group.bench_function("frame sample by sample", |bencher| {
        bencher.iter(|| {
            for sample in black_box(&frame) {
                let _ = producer.try_push(*sample);
            }
            for sample in &mut out {
                *sample = consumer.try_pop().unwrap_or(0.0);
            }
            black_box(out[0])
        });
    });
    let queue = crossbeam::queue::ArrayQueue::<[f32; FRAME_SAMPLES]>::new(4);
    group.bench_function("frame through an ArrayQueue", |bencher| {
        bencher.iter(|| {
            let _ = queue.push(black_box(frame));
            black_box(queue.pop())
        });
    });
    group.finish();
}

criterion_group!(benches, rings);
criterion_main!(benches);
