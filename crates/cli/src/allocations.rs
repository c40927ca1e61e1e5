//! The system's allocator, counted per thread: so the engine can show that its real-time threads never use it.
#![expect(
    unsafe_code,
    reason = "`GlobalAlloc` is an unsafe trait; each method hands its arguments to the system's allocator unchanged"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

thread_local! {
    /// Without a destructor and made at compile time, so that reading it never allocates.
    static USES: Cell<u64> = const { Cell::new(0) };
}

/// How often the calling thread has allocated or freed memory so far.
pub(crate) fn of_this_thread() -> u64 {
    USES.with(Cell::get)
}

fn count() {
    USES.with(|uses| uses.set(uses.get().wrapping_add(1)));
}

struct Counting;

// SAFETY: every method only counts, which neither allocates nor unwinds, and then does what `System`, a correct allocator, does for the
// same arguments. The caller's obligations are those of `System`'s method of the same name and are passed on as they are.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the contract of `alloc_zeroed`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the contract of `realloc`; `memory` came from `System`, as all memory here does.
        unsafe { System.realloc(memory, layout, size) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        count();
        // SAFETY: the caller keeps the contract of `dealloc`; `memory` came from `System`, as all memory here does.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_threads_uses_are_counted_and_no_others() {
        let before = of_this_thread();
        let boxed = std::hint::black_box(Box::new(1));
        drop(boxed);
        assert_eq!(of_this_thread() - before, 2);
        let before = of_this_thread();
        std::thread::scope(|scope| {
            let (sender, receiver) = std::sync::mpsc::sync_channel::<u64>(1);
            scope.spawn(move || {
                let own = of_this_thread();
                drop(std::hint::black_box(vec![0_u8; 1000]));
                sender.send(of_this_thread() - own).unwrap();
            });
            assert_eq!(receiver.recv().unwrap(), 2);
        });
        assert!(of_this_thread() >= before);
    }
}
