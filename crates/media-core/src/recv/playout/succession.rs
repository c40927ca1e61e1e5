//! Which packet comes right after the one that was played last: no sound was left out between the two, however long the time between them.

/// The number that was played last, and those after it that were no sound.
#[derive(Debug)]
pub(super) struct Succession {
    played: i64,
    /// The first and the last of the newest numbers in a row that were no sound; they may come before the packet they follow is played.
    soundless: (i64, i64),
}

impl Succession {
    /// Nothing was played; `first` is the number that comes next.
    pub(super) const fn before(first: i64) -> Self {
        Self { played: first - 1, soundless: (first - 1, first - 1) }
    }

    /// Packet `sequence` was played.
    pub(super) fn played(&mut self, sequence: i64) {
        self.played = self.played.max(sequence);
        self.pass_soundless();
    }

    /// Packet `sequence` is no sound.
    pub(super) fn soundless(&mut self, sequence: i64) {
        let (first, last) = self.soundless;
        self.soundless = (if sequence == last + 1 { first } else { sequence }, sequence);
        self.pass_soundless();
    }

    /// Whether packet `sequence` comes right after the last.
    pub(super) const fn is_next(&self, sequence: i64) -> bool {
        sequence == self.played + 1
    }

    fn pass_soundless(&mut self) {
        let (first, last) = self.soundless;
        if (first..=last).contains(&(self.played + 1)) {
            self.played = last;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_without_sound_are_passed_whenever_they_come() {
        let mut succession = Succession::before(7);
        assert!(succession.is_next(7) && !succession.is_next(8));
        succession.soundless(8);
        succession.soundless(9);
        assert!(succession.is_next(7));
        succession.played(7);
        assert!(succession.is_next(10));
        succession.soundless(10);
        assert!(succession.is_next(11));
        succession.soundless(12);
        assert!(succession.is_next(11), "11 is missing");
        succession.played(6);
        assert!(succession.is_next(11));
    }
}
