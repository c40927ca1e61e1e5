//! What the media thread does in a tick. A plain machine: time is an argument, so that tests and simulations play the thread.

mod budget;
mod capture;
mod command;
mod edge;
mod pumped_level;
mod render;
mod render_level;
mod stream;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use offhook_media_core::rt_context::RtContext;
use offhook_media_core::units::MediaTime;
use ringbuf::traits::{Consumer, Observer, Producer, Split};
use ringbuf::{HeapCons, HeapProd, HeapRb};

pub(crate) use capture::{MicrophoneSlot, NO_LEVEL};
pub(crate) use command::{Command, ElementChange, Garbage, News, StreamChange};
pub(crate) use edge::{CaptureEdge, RING_SAMPLES, RenderEdge};
pub(crate) use render::ElementSlot;
pub(crate) use stream::{MOST_DIGITS, StreamShared, StreamSlot};

use self::budget::TickBudget;
use crate::enhance::link::ReferenceTap;
use crate::key::{Key, Slots};
use crate::threads::Priority;

/// Streams, and also microphones, and also elements, that can be open at once.
pub(crate) const MOST_OPEN: usize = 256;
/// Commands and news under way.
const MOST_UNDER_WAY: usize = 512;
/// Statistics are published every so many ticks.
const PUBLISH_EVERY: u32 = 4;
/// From one tick to the next, from which on what was enhanced does not wait for the next.
const LONG_TICK: Duration = Duration::from_millis(8);
/// A microphone that is late is looked at again so many times in a tick, a fifth of it apart.
const LOOKS_AGAIN: u32 = 3;
/// Longest time between ticks where nothing needs them sooner: half of what a sound server keeps.
const LONGEST_STEP: Duration = Duration::from_millis(10);
/// A command leaves at most so many things to be freed.
const MOST_GARBAGE: usize = 3;

/// The other ends of a processor's rings.
pub(crate) struct ProcessorEnds {
    pub(crate) commands: HeapProd<Command>,
    pub(crate) garbage: HeapCons<Garbage>,
    pub(crate) news: HeapCons<News>,
}

/// Every stream, microphone and element of an engine, tick by tick.
pub struct MediaProcessor {
    commands: HeapCons<Command>,
    garbage: HeapProd<Garbage>,
    news: NewsSender,
    streams: Slots<StreamSlot>,
    microphones: Slots<MicrophoneSlot>,
    elements: Slots<ElementSlot>,
    reference: ReferenceTap,
    period: Duration,
    /// From the tick before to the one that comes.
    step: Duration,
    margin: Duration,
    budget: TickBudget,
    /// How often what came after the tick was collected.
    collected: u32,
    ticks: u32,
    last_addition: MediaTime,
}

impl MediaProcessor {
    /// A processor that is told `tick` every `period`.
    pub(crate) fn new(
        period: Duration,
        lost_news: Arc<AtomicU64>,
        reference: ReferenceTap,
    ) -> (Self, ProcessorEnds) {
        let (commands, pending) = HeapRb::new(MOST_UNDER_WAY).split();
        let (freed, garbage) = HeapRb::new(MOST_UNDER_WAY).split();
        let (news, told) = HeapRb::new(MOST_UNDER_WAY).split();
        let processor = Self {
            commands: pending,
            garbage: freed,
            news: NewsSender { ring: news, lost: lost_news },
            streams: Slots::new(MOST_OPEN),
            microphones: Slots::new(MOST_OPEN),
            elements: Slots::new(MOST_OPEN),
            reference,
            period,
            step: period,
            budget: TickBudget::new(period),
            margin: margin_of(Priority::Normal, period),
            collected: 0,
            ticks: 0,
            last_addition: MediaTime::ZERO,
        };
        (processor, ProcessorEnds { commands, garbage, news: told })
    }

    /// Once, before the first tick: how late this thread may be woken decides how much sound is kept ready for the devices.
    pub fn expect_lateness_of(&mut self, priority: Priority) {
        self.margin = margin_of(priority, self.period);
    }

    /// How long the last tick took: what it leaves decides how much decoders may do. Real-time safe.
    pub fn tick_took(&mut self, time: Duration) {
        if let Some(ceiling) = self.budget.tick_took(time) {
            self.streams.iter_mut().for_each(|(_, stream)| stream.limit_decoder(ceiling));
        }
    }

    /// When a stream or a device was last added.
    pub fn last_addition(&self) -> MediaTime {
        self.last_addition
    }

    /// Moves everything on to `now`. Real-time safe.
    pub fn tick(&mut self, now: MediaTime) {
        let mut cx = RtContext::new(now);
        self.collected = 0;
        self.obey(now);
        let (passed, period) = (render::samples_in(self.step), render::samples_in(self.period));
        for (_, microphone) in self.microphones.iter_mut() {
            microphone.capture(passed, period);
        }
        for (key, stream) in self.streams.iter_mut() {
            if let Some(microphone) = stream.microphone().and_then(|key| self.microphones.get(key)) {
                stream.send(&mut cx, microphone.block());
            }
            stream.receive(&mut cx);
            stream.tell(key, &mut self.news);
        }
        for (key, element) in self.elements.iter_mut() {
            element.render(key, now, self.step, self.margin, &mut self.streams, &mut self.reference);
        }
        self.step = if self.can_wait() { self.period * 2 } else { self.period };
        self.skip_microphones();
        let publish = self.ticks.is_multiple_of(PUBLISH_EVERY);
        self.ticks = self.ticks.wrapping_add(1);
        for (key, stream) in self.streams.iter_mut() {
            if stream.element().is_none_or(|element| self.elements.get(element).is_none()) {
                stream.discard(now);
            }
            stream.tell_first_sound(key, &mut self.news);
            if publish {
                stream.publish();
            }
        }
    }

    /// How long after this tick the next one is wanted: one period; or two, while all sound is a sound server's, which keeps more than that, and no
    /// packet can be complete sooner. A wake costs as much as all else in a tick that makes no packet.
    pub fn step(&self) -> Duration {
        self.step
    }

    fn can_wait(&self) -> bool {
        let samples = render::samples_in(self.period);
        self.period * 2 <= LONGEST_STEP
            && self.streams.iter().next().is_some()
            && no_packet_within(samples, &self.streams)
            && self.microphones.iter().all(|(_, microphone)| microphone.can_wait())
            && self.elements.iter().all(|(_, element)| element.can_wait())
    }

    /// In the next tick nothing is captured for packets that are not complete with it, nor so soon after it that a longer step would miss them.
    fn skip_microphones(&mut self) {
        let nobody_waits = self.step > self.period
            && no_packet_within(render::samples_in(self.step + self.period), &self.streams);
        for (_, microphone) in self.microphones.iter_mut() {
            microphone.skip_next(nobody_waits);
        }
    }

    /// How long after the tick [`collect`](Self::collect) is to be called, once more; `None` while there is nothing to collect, or the next tick
    /// comes as soon. `now` is when the tick, or the last collecting, began.
    pub fn collects_after(&self, now: MediaTime) -> Option<Duration> {
        let is_late = || self.microphones.iter().any(|(_, microphone)| microphone.is_late(now));
        let is_enhanced = || self.microphones.iter().any(|(_, microphone)| microphone.is_enhanced());
        if self.collected == 0 && self.period >= LONG_TICK && is_enhanced() {
            Some(self.period * 3 / 10)
        } else {
            (self.collected < LOOKS_AGAIN && is_late()).then(|| self.period / 5 * (self.collected + 1))
        }
    }

    /// Sends what was captured too late for the tick, and what was enhanced since. Real-time safe.
    pub fn collect(&mut self, now: MediaTime) {
        let mut cx = RtContext::new(now);
        self.collected += 1;
        self.microphones.iter_mut().for_each(|(_, microphone)| microphone.collect(now));
        for (_, stream) in self.streams.iter_mut() {
            if let Some(microphone) = stream.microphone().and_then(|key| self.microphones.get(key)) {
                stream.send(&mut cx, microphone.block());
            }
        }
    }

    /// Commands wait while there is no room for what they leave to be freed: this thread frees nothing.
    fn obey(&mut self, now: MediaTime) {
        while self.garbage.vacant_len() >= MOST_GARBAGE {
            let Some(command) = self.commands.try_pop() else { return };
            self.carry_out(now, command);
        }
    }

    fn discard(&mut self, garbage: Option<Garbage>) {
        if let Some(garbage) = garbage {
            // Room was made sure of before the command was taken.
            let _ = self.garbage.try_push(garbage);
        }
    }

    fn carry_out(&mut self, now: MediaTime, command: Command) {
        let left = match command {
            Command::AddStream(key, mut stream) => {
                self.last_addition = now;
                stream.limit_decoder(self.budget.ceiling());
                self.streams.insert(key, stream).err().map(|refused| Garbage::Stream(key, refused))
            }
            Command::AddMicrophone(key, microphone) => {
                self.last_addition = now;
                self.microphones
                    .insert(key, microphone)
                    .err()
                    .map(|refused| Garbage::Microphone(key, refused))
            }
            Command::AddElement(key, element) => {
                self.last_addition = now;
                self.elements.insert(key, element).err().map(|refused| Garbage::Element(key, refused))
            }
            Command::RemoveStream(key) => {
                self.unbind(key);
                self.streams.remove(key).map(|gone| Garbage::Stream(key, gone))
            }
            Command::RemoveMicrophone(key) => {
                self.microphones.remove(key).map(|gone| Garbage::Microphone(key, gone))
            }
            Command::RemoveElement(key) => self.elements.remove(key).map(|gone| Garbage::Element(key, gone)),
            Command::ReplaceCapture(key, edge) => {
                self.last_addition = now;
                Some(Garbage::CaptureEdge(match self.microphones.get_mut(key) {
                    Some(microphone) => microphone.replace_edge(edge),
                    None => edge,
                }))
            }
            Command::Enhance(key, port) => match self.microphones.get_mut(key) {
                Some(microphone) => microphone.set_port(port).map(Garbage::EnhancePort),
                None => Some(Garbage::EnhancePort(port)),
            },
            Command::ReplaceRender(key, edge) => {
                self.last_addition = now;
                Some(Garbage::RenderEdge(match self.elements.get_mut(key) {
                    Some(element) => element.replace_edge(edge),
                    None => edge,
                }))
            }
            Command::Element(key, change) => {
                self.change_element(key, change);
                None
            }
            Command::Stream(key, change) => {
                let [one, other] = match self.streams.get_mut(key) {
                    Some(stream) => stream.change(change),
                    None => change.into_garbage(),
                };
                self.discard(one);
                other
            }
        };
        self.discard(left);
    }

    fn change_element(&mut self, key: Key, change: ElementChange) {
        match change {
            ElementChange::Bind(source) => self.bind(key, source),
            ElementChange::BindOnly(source) => {
                self.unbind_all_but(key, Some(source));
                self.bind(key, source);
            }
            ElementChange::Unbind(source) => {
                if self.streams.get(source).is_some_and(|stream| stream.element() == Some(key)) {
                    self.unbind(source);
                }
            }
            ElementChange::UnbindAll => self.unbind_all_but(key, None),
            ElementChange::Gain(gain) => {
                if let Some(element) = self.elements.get_mut(key) {
                    element.set_gain(gain);
                }
            }
        }
    }

    /// A stream sounds in one element: another gives it up.
    fn bind(&mut self, element: Key, source: Key) {
        if self.streams.get(source).is_none_or(|stream| stream.element() == Some(element)) {
            return;
        }
        self.unbind(source);
        let bound = self.elements.get_mut(element).is_some_and(|element| element.add_source(source));
        if bound && let Some(stream) = self.streams.get_mut(source) {
            stream.set_element(Some(element));
        }
    }

    /// The stream sounds nowhere any more.
    fn unbind(&mut self, source: Key) {
        let Some(stream) = self.streams.get_mut(source) else { return };
        if let Some(element) = stream.element().and_then(|element| self.elements.get_mut(element)) {
            element.take_leave_of(source, stream);
        }
        stream.set_element(None);
    }

    fn unbind_all_but(&mut self, element: Key, kept: Option<Key>) {
        while let Some(source) = self.elements.get(element).and_then(|element| element.source_but(kept)) {
            self.unbind(source);
        }
    }
}

impl Drop for MediaProcessor {
    /// What was sent and not taken would live as long as the last handle.
    fn drop(&mut self) {
        while self.commands.try_pop().is_some() {}
    }
}

impl std::fmt::Debug for MediaProcessor {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("MediaProcessor").field("ticks", &self.ticks).finish_non_exhaustive()
    }
}

/// Whether all packets are long, and none can be complete after `samples` more.
fn no_packet_within(samples: usize, streams: &Slots<StreamSlot>) -> bool {
    streams.iter().all(|(_, stream)| stream.can_wait(samples))
}

/// What is always left in a render ring after the device took its part: covers a tick that comes later than any before it.
fn margin_of(priority: Priority, tick: Duration) -> Duration {
    match priority {
        Priority::RealTime(_) => (tick * 3 / 10).min(Duration::from_micros(750)),
        Priority::Denied | Priority::Normal => Duration::from_millis(3),
    }
}

/// News go through one ring; what finds no room is counted.
pub(crate) struct NewsSender {
    ring: HeapProd<News>,
    lost: Arc<AtomicU64>,
}

impl NewsSender {
    pub(crate) fn has_room(&self) -> bool {
        !self.ring.is_full()
    }

    pub(crate) fn send(&mut self, news: News) {
        if self.ring.try_push(news).is_err() {
            self.lost.fetch_add(1, Relaxed);
        }
    }
}
