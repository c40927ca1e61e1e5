//! How long to wait before the next connection.

use std::time::Duration;

use crate::entropy::EntropySource;

/// A server that dies has a hundred thousand clients, whose kernels all tell them in the same moment: within this time they come back.
const SPREAD: Duration = Duration::from_secs(1);
const SHORTEST: Duration = Duration::from_millis(50);
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

    /// The delay before the next try: between 50 ms and 1 s, then between half and all of 1 s, 2 s, ... 15 s.
    pub(super) fn next(&mut self, entropy: &mut impl EntropySource) -> Duration {
        let full = SPREAD.saturating_mul(1 << self.tries.saturating_sub(1).min(16)).min(LONGEST);
        let least = if self.tries == 0 { SHORTEST } else { full / 2 };
        self.tries += 1;
        let mut random = [0];
        entropy.fill(&mut random);
        least + (full - least).mul_f64(f64::from(random[0]) / 256.0)
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
        assert_eq!(backoff.next(&mut Constant(0)), SHORTEST);
        assert_eq!(backoff.next(&mut Constant(0)), SPREAD / 2);
        assert_eq!(backoff.next(&mut Constant(0)), SPREAD);
        for _ in 0..40 {
            assert!(backoff.next(&mut Constant(255)) <= LONGEST);
        }
        assert!(backoff.next(&mut Constant(0)) == LONGEST / 2);
        backoff.reset();
        let first = backoff.next(&mut Constant(255));
        assert!(first > SPREAD * 9 / 10 && first <= SPREAD, "the first is spread over all of it: {first:?}");
    }
}
