//! A stream on the media thread: one send path, one receive path, and the packet rings between them and the network.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use offhook_media_core::codec::telephone_event::DtmfDigit;
use offhook_media_core::dsp::RampedGain;
use offhook_media_core::recv::{ReceivePipeline, ReceiveStats};
use offhook_media_core::rt_context::RtContext;
use offhook_media_core::send::{QueueDtmfError, SendPipeline, SendStats};
use offhook_media_core::units::{MediaTime, PacketTime, SampleCount};
use ringbuf::traits::{Consumer, Producer};

use super::NewsSender;
use super::command::{Garbage, News, StreamChange};
use crate::event_queue::EventHub;
use crate::key::Key;
use crate::packet::StreamPort;
use crate::snapshot::{RECEIVE_WORDS, SEND_WORDS, Snapshot};
use crate::stream::StreamEvent;

/// Keys that can wait on this side; as many again wait in the pipeline.
pub(crate) const MOST_DIGITS: usize = 64;
/// Sound nobody listens to is discarded in pieces of 2.5 ms.
const PIECE: usize = 120;
/// What leaves an element fades out over 5 ms.
pub(super) const FADE: usize = 240;
/// After a longer stop it is not made up for.
const MOST_OWED: i64 = 100_000;

/// What both sides of a stream know.
#[derive(Debug)]
pub(crate) struct StreamShared {
    pub(crate) events: EventHub<StreamEvent>,
    pub(crate) send: Snapshot<SEND_WORDS>,
    pub(crate) receive: Snapshot<RECEIVE_WORDS>,
    /// Packets made that found no room on their way to the network.
    pub(crate) unsent: AtomicU64,
    /// Keys on their way to the pipeline.
    pub(crate) digits: AtomicU32,
}

impl StreamShared {
    pub(crate) fn new(send: &SendStats) -> Self {
        Self {
            events: EventHub::default(),
            send: Snapshot::of(send),
            receive: Snapshot::of(&ReceiveStats::default()),
            unsent: AtomicU64::new(0),
            digits: AtomicU32::new(0),
        }
    }
}

/// The media thread's part of a stream.
pub(crate) struct StreamSlot {
    send: Box<SendPipeline>,
    receive: Box<ReceivePipeline>,
    port: StreamPort,
    shared: Arc<StreamShared>,
    microphone: Option<Key>,
    element: Option<Key>,
    digits: DigitQueue,
    first_sound_told: bool,
    discarded_until: Option<MediaTime>,
    volume: f32,
    /// Led to the volume, from silence where the sound begins.
    gain: RampedGain,
    /// What was heard last where it sounds.
    recent: [f32; FADE],
    decoder_ceiling: u8,
}

impl StreamSlot {
    /// Not for the real-time thread.
    pub(crate) fn new(
        send: Box<SendPipeline>,
        receive: Box<ReceivePipeline>,
        port: StreamPort,
        shared: Arc<StreamShared>,
    ) -> Self {
        Self {
            send,
            receive,
            port,
            shared,
            microphone: None,
            element: None,
            digits: DigitQueue::default(),
            first_sound_told: false,
            discarded_until: None,
            volume: 1.0,
            gain: RampedGain::new(1.0),
            recent: [0.0; FADE],
            decoder_ceiling: u8::MAX,
        }
    }

    pub(super) fn microphone(&self) -> Option<Key> {
        self.microphone
    }

    pub(super) fn element(&self) -> Option<Key> {
        self.element
    }

    /// Where it sounds from now on: it fades in there.
    pub(super) fn set_element(&mut self, element: Option<Key>) {
        self.element = element;
        self.discarded_until = None;
        self.gain = RampedGain::new(0.0);
        self.gain.set(self.volume);
        self.recent.fill(0.0);
    }

    /// Whether its packets are long, and none can be complete after `samples` more.
    pub(super) fn can_wait(&self, samples: usize) -> bool {
        let (packet_time, lacking) = self.send.filling();
        packet_time >= PacketTime::Ms20 && (self.microphone.is_none() || lacking > samples)
    }

    /// Microphone sound to packets.
    pub(super) fn send(&mut self, cx: &mut RtContext, samples: &[f32]) {
        self.digits.feed(&mut self.send, &self.shared.digits);
        let Self { send, port, shared, .. } = self;
        send.push(cx, samples, &mut |packet| {
            if port.outgoing.push(packet).is_err() {
                shared.unsent.fetch_add(1, Relaxed);
            }
        });
    }

    /// Packets off the network into the jitter buffer; reports of the far end to the send path, those for it to the network.
    pub(super) fn receive(&mut self, cx: &mut RtContext) {
        while let Some(packet) = self.port.incoming.pop() {
            self.receive.insert(cx, &packet);
        }
        while let Some(report) = self.port.feedback.try_pop() {
            self.send.network_report(cx, &report);
        }
        if let Some(report) = self.receive.poll_report(cx) {
            // Where nobody takes them, nobody misses one.
            let _ = self.port.reports.try_push(report);
        }
    }

    /// Keys the far end pressed; they wait here while there is no room for news.
    pub(super) fn tell(&mut self, key: Key, news: &mut NewsSender) {
        while news.has_room()
            && let Some(digit) = self.receive.poll_digit()
        {
            news.send(News::Digit(key, digit));
        }
    }

    pub(super) fn tell_first_sound(&mut self, key: Key, news: &mut NewsSender) {
        if !self.first_sound_told
            && let Some(at) = self.receive.stats().first_sound
        {
            self.first_sound_told = true;
            news.send(News::FirstSound(key, at));
        }
    }

    /// Whatever is configured, its decoder does no more than this.
    pub(super) fn limit_decoder(&mut self, ceiling: u8) {
        self.decoder_ceiling = ceiling;
        self.receive.limit_decoder(ceiling);
    }

    /// Sound of the far end, for an element.
    pub(super) fn pull(&mut self, cx: &mut RtContext, out: &mut [f32]) {
        self.receive.pull(cx, out);
        self.gain.apply(out);
        let new = out.len().min(FADE);
        self.recent.copy_within(new.., 0);
        self.recent[FADE - new..].copy_from_slice(&out[out.len() - new..]);
    }

    /// How the sound ends in an element it leaves: what was heard last, mirrored at its last sample, fades out. What comes next is left for
    /// where it goes on.
    pub(super) fn ending(&self) -> [f32; FADE] {
        let last = self.recent[FADE - 1];
        std::array::from_fn(|n| {
            let mirrored = 2.0 * last - self.recent[(FADE - 2).saturating_sub(n)];
            mirrored * (1.0 - (n + 1) as f32 / FADE as f32)
        })
    }

    /// Without an element the far end's sound passes unheard, at the pace of the clock.
    pub(super) fn discard(&mut self, now: MediaTime) {
        let mut until = self.discarded_until.unwrap_or(now);
        if now.micros_since(until) > MOST_OWED {
            until = now;
        }
        let mut unheard = [0.0; PIECE];
        while until + piece_time() <= now {
            until += piece_time();
            self.receive.pull(&mut RtContext::new(until), &mut unheard);
        }
        self.discarded_until = Some(until);
    }

    pub(super) fn publish(&self) {
        self.shared.send.write(&self.send.stats());
        self.shared.receive.write(&self.receive.stats());
    }

    /// Returns what is to be freed.
    pub(super) fn change(&mut self, change: StreamChange) -> [Option<Garbage>; 2] {
        match change {
            StreamChange::Microphone(microphone) => self.microphone = microphone,
            StreamChange::Sending(sending) => self.send.set_sending(sending),
            StreamChange::Digit(digit) => self.digits.push(digit),
            StreamChange::ExpectedLoss(percent) => self.send.set_expected_loss(percent),
            StreamChange::Bitrate(bitrate) => self.send.set_bitrate(bitrate),
            StreamChange::Muted(muted) => self.send.set_muted(muted),
            StreamChange::Volume(volume) => {
                self.volume = volume;
                self.gain.set(volume);
            }
            StreamChange::Pipelines(send, receive) => {
                let send = send.map(|mut new| {
                    new.continue_from(&mut self.send);
                    Garbage::SendPipeline(std::mem::replace(&mut self.send, new))
                });
                let receive = receive.map(|mut new| {
                    new.limit_decoder(self.decoder_ceiling);
                    Garbage::ReceivePipeline(std::mem::replace(&mut self.receive, new))
                });
                return [send, receive];
            }
        }
        [None, None]
    }
}

fn piece_time() -> Duration {
    SampleCount(PIECE).duration()
}

/// Keys that wait until the pipeline has room.
#[derive(Debug)]
struct DigitQueue {
    digits: [Option<DtmfDigit>; MOST_DIGITS],
    head: usize,
    count: usize,
}

impl Default for DigitQueue {
    fn default() -> Self {
        Self { digits: [None; MOST_DIGITS], head: 0, count: 0 }
    }
}

impl DigitQueue {
    /// Who sends keys counts them: there is room.
    fn push(&mut self, digit: DtmfDigit) {
        if self.count < MOST_DIGITS {
            self.digits[(self.head + self.count) % MOST_DIGITS] = Some(digit);
            self.count += 1;
        }
    }

    fn feed(&mut self, send: &mut SendPipeline, waiting: &AtomicU32) {
        while let Some(digit) = self.digits[self.head] {
            match send.queue_dtmf(digit) {
                Err(QueueDtmfError::Full) => return,
                // A peer that takes no keys any more gets none.
                Ok(()) | Err(QueueDtmfError::NotNegotiated) => {
                    self.digits[self.head] = None;
                    self.head = (self.head + 1) % MOST_DIGITS;
                    self.count -= 1;
                    waiting.fetch_sub(1, Relaxed);
                }
            }
        }
    }
}
