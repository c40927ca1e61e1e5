//! An allocator, counted per thread: so a program or a test can show that what must not allocate does not.
//!
//! ```
//! use std::alloc::System;
//!
//! use offhook_sim::allocations::{Counting, of_this_thread};
//!
//! #[global_allocator]
//! static ALLOCATOR: Counting = Counting(System);
//!
//! let before = of_this_thread();
//! drop(std::hint::black_box(Box::new(1)));
//! assert_eq!(of_this_thread() - before, 2);
//! ```
//!
//! The one module of this crate with `unsafe` in it: an allocator cannot be written without.
#![expect(
    unsafe_code,
    reason = "`GlobalAlloc` is an unsafe trait; each method hands its arguments to another allocator unchanged"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    /// Without a destructor and made at compile time, so that reading it never allocates.
    static USES: Cell<u64> = const { Cell::new(0) };
}

/// How often the calling thread has allocated or freed memory so far; 0 unless [`Counting`] is the program's allocator.
#[must_use]
pub fn of_this_thread() -> u64 {
    USES.with(Cell::get)
}

fn count() {
    USES.with(|uses| uses.set(uses.get().wrapping_add(1)));
}

/// The allocator to put behind `#[global_allocator]`: counts, and leaves the rest to the one it holds.
#[derive(Debug)]
pub struct Counting<A = System>(pub A);

// SAFETY: every method only counts, which neither allocates nor unwinds, and then does what `A`, a correct allocator, does for the
// same arguments. The caller's obligations are those of `A`'s method of the same name and are passed on as they are.
unsafe impl<A: GlobalAlloc> GlobalAlloc for Counting<A> {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { self.0.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the contract of `alloc_zeroed`.
        unsafe { self.0.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the contract of `realloc`; `memory` came from `A`, as all memory here does.
        unsafe { self.0.realloc(memory, layout, size) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        count();
        // SAFETY: the caller keeps the contract of `dealloc`; `memory` came from `A`, as all memory here does.
        unsafe { self.0.dealloc(memory, layout) }
    }
}
