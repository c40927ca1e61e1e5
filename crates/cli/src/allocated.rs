//! What the program has allocated, as its allocator counts it.

use tikv_jemalloc_ctl::{epoch, stats};

/// Bytes allocated and not freed; `None` when the allocator does not say. It counts by pages and sizes of its own, so a little more than was
/// asked for, and what each thread keeps of freed memory for its next use.
pub(crate) fn bytes() -> Option<u64> {
    epoch::advance().ok()?;
    stats::allocated::read().ok().and_then(|bytes| u64::try_from(bytes).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_allocated_counts_until_it_is_freed() {
        const MANY: usize = 64 << 20;
        let before = bytes().unwrap();
        let much = std::hint::black_box(vec![1_u8; MANY]);
        let during = bytes().unwrap();
        drop(much);
        let after = bytes().unwrap();
        let grown = during.saturating_sub(before);
        assert!(grown > MANY as u64 / 2, "{before} {during} {after}");
        assert!(during.saturating_sub(after) > MANY as u64 / 2, "{before} {during} {after}");
    }
}
