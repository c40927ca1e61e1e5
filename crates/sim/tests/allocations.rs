//! The counting allocator counts the calling thread's uses and no others.

use std::hint::black_box;
use std::sync::mpsc::sync_channel;

use offhook_sim::allocations::{Counting, of_this_thread};

#[global_allocator]
static ALLOCATOR: Counting = Counting(std::alloc::System);

/// How often `act` uses the allocator.
fn uses(act: impl FnOnce()) -> u64 {
    let before = of_this_thread();
    act();
    of_this_thread() - before
}

#[test]
fn every_kind_of_use_counts_once() {
    assert_eq!(uses(|| ()), 0);
    assert_eq!(uses(|| drop(black_box(Box::new(1)))), 2, "taken and given back");
    assert_eq!(uses(|| drop(black_box(vec![0_u8; 1000]))), 2, "zeroed");
    let mut grown = black_box(vec![1_u8; 16]);
    assert_eq!(uses(|| grown.reserve_exact(1000)), 1, "moved to where there is room");
}

#[test]
fn what_another_thread_does_is_counted_there() {
    let (sender, receiver) = sync_channel(1);
    let there = std::thread::spawn(move || {
        sender.send(uses(|| drop(black_box(vec![0_u8; 1000])))).unwrap();
    });
    there.join().unwrap();
    let mut counted = 0;
    assert_eq!(uses(|| counted = receiver.recv().unwrap()), 0);
    assert_eq!(counted, 2);
}
