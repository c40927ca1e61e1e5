//! One stage of the chain, and how it is switched without a click.

/// Samples of a block at 48 kHz: 10 ms.
pub const BLOCK: usize = 480;

/// A stage that is switched on hears so many blocks before it is heard, so that its filters are full.
const WARM_UP: u8 = 2;

/// Changes sound block by block, in place.
pub(super) trait Stage {
    /// What it needs beside the block.
    type Beside<'a>: Copy;

    fn process(&mut self, block: &mut [f32; BLOCK], beside: Self::Beside<'_>);

    /// Forgets what it heard.
    fn reset(&mut self);
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Off,
    WarmingUp(u8),
    On,
}

/// A stage with a switch: off, it is not run and changes no sample; between off and on one block is faded over.
#[derive(Debug)]
pub(super) struct Switched<S> {
    pub(super) stage: S,
    state: State,
}

impl<S: Stage> Switched<S> {
    pub(super) fn new(stage: S) -> Self {
        Self { stage, state: State::Off }
    }

    /// Whether what comes out is what the stage made.
    pub(super) fn is_heard(&self) -> bool {
        self.state == State::On
    }

    /// Whether the stage ran in the last block.
    pub(super) fn is_running(&self) -> bool {
        self.state != State::Off
    }

    pub(super) fn process(&mut self, on: bool, block: &mut [f32; BLOCK], beside: S::Beside<'_>) {
        if !on && self.state == State::Off {
            return;
        }
        let dry = *block;
        if self.state == State::Off {
            self.stage.reset();
            self.state = State::WarmingUp(WARM_UP);
        }
        self.stage.process(block, beside);
        match (self.state, on) {
            (State::On, true) => {}
            (State::On, false) => {
                fade(block, &dry);
                self.state = State::Off;
            }
            // It was not heard yet.
            (_, false) => {
                *block = dry;
                self.state = State::Off;
            }
            (State::WarmingUp(0), true) => {
                let wet = *block;
                *block = dry;
                fade(block, &wet);
                self.state = State::On;
            }
            (State::WarmingUp(left), true) => {
                *block = dry;
                self.state = State::WarmingUp(left - 1);
            }
            // It was switched on above.
            (State::Off, true) => {}
        }
    }

    pub(super) fn reset(&mut self) {
        self.state = State::Off;
    }
}

/// From what is in `block` to `other`.
fn fade(block: &mut [f32; BLOCK], other: &[f32; BLOCK]) {
    for (n, (sample, other)) in block.iter_mut().zip(other).enumerate() {
        let share = (n as f32 + 0.5) / BLOCK as f32;
        *sample += (other - *sample) * share;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Half {
        resets: u32,
        ran: u32,
    }

    impl Stage for Half {
        type Beside<'a> = ();

        fn process(&mut self, block: &mut [f32; BLOCK], (): ()) {
            self.ran += 1;
            block.iter_mut().for_each(|sample| *sample *= 0.5);
        }

        fn reset(&mut self) {
            self.resets += 1;
        }
    }

    #[test]
    fn it_is_faded_in_after_a_warm_up_and_out_at_once_and_rests_when_off() {
        let mut switched = Switched::new(Half { resets: 0, ran: 0 });
        let mut heard = Vec::new();
        for on in [false, true, true, true, true, false, false] {
            let mut block = [1.0; BLOCK];
            switched.process(on, &mut block, ());
            heard.extend_from_slice(&block);
        }
        let steepest = heard.windows(2).map(|pair| (pair[1] - pair[0]).abs()).fold(0.0, f32::max);
        assert!(steepest < 1.5 / BLOCK as f32, "{steepest}");
        assert!(heard[..3 * BLOCK].iter().all(|sample| *sample == 1.0));
        assert!(heard[4 * BLOCK..5 * BLOCK].iter().all(|sample| *sample == 0.5));
        assert!(heard[6 * BLOCK..].iter().all(|sample| *sample == 1.0));
        assert_eq!((switched.stage.ran, switched.stage.resets), (5, 1));
    }
}
