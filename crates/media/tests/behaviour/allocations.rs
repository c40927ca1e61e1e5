//! What this thread asks of the allocator, counted.

use offhook_sim::allocations::Counting;
pub(crate) use offhook_sim::allocations::of_this_thread as count;

#[global_allocator]
static ALLOCATOR: Counting = Counting(std::alloc::System);
