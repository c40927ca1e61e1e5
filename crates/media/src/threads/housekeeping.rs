//! | thread | housekeeping |
//! |---|---|
//! | started by | `Engine` |
//! | priority | normal |
//! | period | 200 ms |
//! | may | free memory, tell applications the news, send commands that waited for room |
//! | must not | hold up any other |

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use ringbuf::HeapCons;
use ringbuf::traits::Consumer;

use super::media_thread::MediaThreadCounters;
use crate::control::Control;
use crate::device::Direction;
use crate::processor::{Garbage, News};
use crate::stream::StreamEvent;

/// Between two rounds.
pub(crate) const EVERY: Duration = Duration::from_millis(200);

/// What comes back from the media thread ends here.
pub(crate) struct Housekeeper {
    control: Arc<Control>,
    garbage: HeapCons<Garbage>,
    news: HeapCons<News>,
}

impl Housekeeper {
    pub(crate) fn new(control: Arc<Control>, garbage: HeapCons<Garbage>, news: HeapCons<News>) -> Self {
        Self { control, garbage, news }
    }

    /// One round.
    pub(crate) fn work(&mut self) {
        while let Some(garbage) = self.garbage.try_pop() {
            self.free(garbage);
        }
        while let Some(news) = self.news.try_pop() {
            self.tell(news);
        }
        self.control.flush_commands();
    }

    fn free(&self, garbage: Garbage) {
        match &garbage {
            Garbage::Stream(key, _) => self.control.stream_keys().give_back(*key),
            Garbage::Microphone(key, _) => self.control.device_keys(Direction::Capture).give_back(*key),
            Garbage::Element(key, _) => self.control.device_keys(Direction::Render).give_back(*key),
            Garbage::CaptureEdge(_)
            | Garbage::EnhancePort(_)
            | Garbage::RenderEdge(_)
            | Garbage::SendPipeline(_)
            | Garbage::ReceivePipeline(_) => {}
        }
        drop(garbage);
    }

    fn tell(&self, news: News) {
        let (key, event) = match news {
            News::Digit(key, digit) => (key, StreamEvent::DigitReceived(digit.as_char())),
            News::FirstSound(key, at) => (key, StreamEvent::FirstSound { at }),
        };
        let stream = self.control.streams().get(&key).map(Arc::clone);
        if let Some(stream) = stream {
            stream.events.send(&event);
        }
    }
}

/// The body of the thread; returns when the engine ends.
pub(crate) fn run(mut housekeeper: Housekeeper, counters: &MediaThreadCounters) {
    while !counters.stop.load(Relaxed) {
        housekeeper.work();
        std::thread::park_timeout(EVERY);
    }
    housekeeper.work();
}
