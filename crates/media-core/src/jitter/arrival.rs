//! Numbers of the wire without their wraps.

/// Unwraps numbers of `BITS` bits: each value is the nearest one to the last.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unwrapper<const BITS: u32> {
    last: Option<i64>,
}

impl<const BITS: u32> Unwrapper<BITS> {
    /// The number nearest to the last accepted one; does not move the last.
    pub fn peek(&self, wire: u32) -> i64 {
        let Some(last) = self.last else { return i64::from(wire) };
        let modulus = 1_i64 << BITS;
        let forward = (i64::from(wire) - last).rem_euclid(modulus);
        last + if forward >= modulus / 2 { forward - modulus } else { forward }
    }

    /// Unwraps and remembers.
    pub fn accept(&mut self, wire: u32) -> i64 {
        let value = self.peek(wire);
        self.last = Some(value);
        value
    }
}

/// Sequence numbers that are remembered.
const REMEMBERED: i64 = 2048;

/// Which of the last numbers were seen.
#[derive(Debug, Clone, Copy)]
pub struct SeenWindow {
    newest: i64,
    seen: [u64; REMEMBERED as usize / 64],
}

impl SeenWindow {
    /// Only `first` was seen.
    pub const fn starting_with(first: i64) -> Self {
        let mut window = Self { newest: first, seen: [0; REMEMBERED as usize / 64] };
        let (word, bit) = Self::place(first);
        window.seen[word] = bit;
        window
    }

    /// Remembers `sequence`; false when it was seen before, or is older than what is remembered.
    pub fn insert(&mut self, sequence: i64) -> bool {
        if sequence <= self.newest - REMEMBERED {
            return false;
        }
        if sequence > self.newest + REMEMBERED {
            self.seen = [0; REMEMBERED as usize / 64];
        } else {
            for skipped in self.newest + 1..=sequence {
                let (word, bit) = Self::place(skipped);
                self.seen[word] &= !bit;
            }
        }
        self.newest = self.newest.max(sequence);
        let (word, bit) = Self::place(sequence);
        let is_new = self.seen[word] & bit == 0;
        self.seen[word] |= bit;
        is_new
    }

    const fn place(sequence: i64) -> (usize, u64) {
        let index = sequence.rem_euclid(REMEMBERED) as usize;
        (index / 64, 1 << (index % 64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_new_once() {
        let mut window = SeenWindow::starting_with(5);
        assert!(!window.insert(5));
        assert!(window.insert(9) && window.insert(7) && !window.insert(9) && !window.insert(7));
        assert!(window.insert(9 + REMEMBERED) && window.insert(10) && !window.insert(9));
        assert!(window.insert(1_000_000) && window.insert(999_999) && !window.insert(1_000_000));
    }

    #[test]
    fn wraps_forward_and_back() {
        let mut sequence = Unwrapper::<16>::default();
        assert_eq!(sequence.accept(65_534), 65_534);
        assert_eq!(sequence.accept(1), 65_537);
        assert_eq!(sequence.accept(65_535), 65_535);
        let mut timestamp = Unwrapper::<32>::default();
        assert_eq!(timestamp.accept(u32::MAX), i64::from(u32::MAX));
        assert_eq!(timestamp.accept(479), i64::from(u32::MAX) + 480);
    }
}
