//! How long to wait before the next connection.

use std::time::Duration;

use crate::entropy::EntropySource;

const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(15);

/// Doubling delays with full jitter, so that many clients of one server do not come back at once.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    tries: u32,
}

impl Backoff {
    /// The connection is good again.
    pub(super) fn reset(&mut self) {
        self.tries = 0;
    }

    /// The delay before the next try: between half and all of 100 ms, 200 ms, ... 15 s.
    pub(super) fn next(&mut self, entropy: &mut impl EntropySource) -> Duration {
        let full = FIRST.saturating_mul(1 << self.tries.min(16)).min(LONGEST);
        self.tries += 1;
        let mut random = [0];
        entropy.fill(&mut random);
        full / 2 + full.mul_f64(f64::from(random[0]) / 512.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Constant(u8);
    impl EntropySource for Constant {
        fn fill(&mut self, bytes: &mut [u8]) {
            bytes.fill(self.0);
        }
    }

    #[test]
    fn delays_double_up_to_a_bound_and_begin_again() {
        let mut backoff = Backoff::default();
        assert_eq!(backoff.next(&mut Constant(0)), Duration::from_millis(50));
        assert_eq!(backoff.next(&mut Constant(0)), Duration::from_millis(100));
        for _ in 0..40 {
            assert!(backoff.next(&mut Constant(255)) <= LONGEST);
        }
        assert!(backoff.next(&mut Constant(0)) == LONGEST / 2);
        backoff.reset();
        assert_eq!(backoff.next(&mut Constant(0)), Duration::from_millis(50));
    }
}
