//! An element on the media thread.

use std::time::Duration;

use offhook_media_core::dsp::{Limiter, RampedGain};
use offhook_media_core::recv::mix_into;
use offhook_media_core::rt_context::RtContext;
use offhook_media_core::units::{MediaTime, SAMPLE_RATE, SampleCount};

use super::stream::FADE;
use super::{RenderEdge, StreamSlot};
use crate::enhance::link::ReferenceTap;
use crate::key::{Key, Slots};

/// Streams that sound together in one element.
pub(crate) const MOST_SOURCES: usize = 16;
/// Sound is pulled in pieces of about a tick, of half as much again at most, and of so much: 15 ms.
const MOST_PIECE: usize = 720;
/// A device that asks for more gets the rest in the next tick, so that no tick takes long: 60 ms.
const MOST_IN_A_TICK: usize = 4 * MOST_PIECE;

/// What a device renders.
pub(crate) struct ElementSlot {
    edge: Box<RenderEdge>,
    sources: [Option<Key>; MOST_SOURCES],
    gain: RampedGain,
    limiter: Limiter,
    /// The end of what does not sound here any more.
    tail: [f32; FADE],
    tail_left: usize,
    sum: [f32; MOST_PIECE],
    one: [f32; MOST_PIECE],
}

impl ElementSlot {
    /// Not for the real-time thread.
    pub(crate) fn new(edge: Box<RenderEdge>) -> Self {
        Self {
            edge,
            sources: [None; MOST_SOURCES],
            gain: RampedGain::new(1.0),
            limiter: Limiter::default(),
            tail: [0.0; FADE],
            tail_left: 0,
            sum: [0.0; MOST_PIECE],
            one: [0.0; MOST_PIECE],
        }
    }

    pub(super) fn can_wait(&self) -> bool {
        self.edge.is_asked_for()
    }

    /// Fills the device's ring as far as it is to be filled now, and tells `reference` what is played.
    pub(super) fn render(
        &mut self,
        key: Key,
        now: MediaTime,
        period: Duration,
        margin: Duration,
        streams: &mut Slots<StreamSlot>,
        reference: &mut ReferenceTap,
    ) {
        let mut left = self.edge.wanted(now, period, margin).min(MOST_IN_A_TICK);
        let usual = samples_in(period).clamp(1, MOST_PIECE * 2 / 3);
        while left > 0 {
            let piece = if left <= usual + usual / 2 { left } else { usual };
            left -= piece;
            // Several pieces in a tick make up for ticks, or a device, that came late: each is pulled as of the time it was due.
            let due = now - SampleCount(left).duration();
            self.render_piece(&mut RtContext::new(due), piece, streams);
            self.edge.give(key, &self.sum[..piece], reference);
        }
        self.edge.finish_tick();
    }

    fn render_piece(&mut self, cx: &mut RtContext, samples: usize, streams: &mut Slots<StreamSlot>) {
        let (sum, one) = (&mut self.sum[..samples], &mut self.one[..samples]);
        sum.fill(0.0);
        for source in self.sources.iter().flatten() {
            if let Some(stream) = streams.get_mut(*source) {
                stream.pull(cx, one);
                mix_into(sum, one);
            }
        }
        let ending = self.tail_left.min(samples);
        mix_into(&mut sum[..ending], &self.tail);
        self.tail.copy_within(ending.., 0);
        self.tail[FADE - ending..].fill(0.0);
        self.tail_left -= ending;
        self.gain.apply(sum);
        self.limiter.apply(sum);
    }

    /// A stream that sounds here does not any more: its end is still heard.
    pub(super) fn take_leave_of(&mut self, source: Key, stream: &StreamSlot) {
        self.sources.iter_mut().filter(|place| **place == Some(source)).for_each(|place| *place = None);
        mix_into(&mut self.tail, &stream.ending());
        self.tail_left = FADE;
    }

    pub(super) fn set_gain(&mut self, gain: f32) {
        self.gain.set(gain);
    }

    pub(super) fn replace_edge(&mut self, edge: Box<RenderEdge>) -> Box<RenderEdge> {
        std::mem::replace(&mut self.edge, edge)
    }

    /// Whether it sounds here now; not when too many do.
    pub(super) fn add_source(&mut self, source: Key) -> bool {
        if self.sources.contains(&Some(source)) {
            return true;
        }
        match self.sources.iter_mut().find(|place| place.is_none()) {
            Some(place) => {
                *place = Some(source);
                true
            }
            None => false,
        }
    }

    /// One that sounds here and is not `kept`.
    pub(super) fn source_but(&self, kept: Option<Key>) -> Option<Key> {
        self.sources.iter().flatten().copied().find(|source| Some(*source) != kept)
    }
}

/// Samples of a tick.
pub(super) fn samples_in(period: Duration) -> usize {
    let micros = u64::try_from(period.as_micros()).unwrap_or(u64::MAX);
    usize::try_from(micros.saturating_mul(u64::from(SAMPLE_RATE)) / 1_000_000).unwrap_or(MOST_PIECE)
}
