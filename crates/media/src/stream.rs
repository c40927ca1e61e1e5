//! The sound of one call, both ways.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use offhook_media_core::codec::telephone_event::DtmfDigit;
use offhook_media_core::recv::{ReceiveConfig, ReceiveError, ReceivePipeline, ReceiveStats};
use offhook_media_core::send::{SendConfig, SendError, SendPipeline, SendStats};
use offhook_media_core::units::{BitsPerSecond, MediaTime};
use thiserror::Error;

use crate::control::lock;
use crate::engine::Engine;
use crate::event_queue::Events;
use crate::key::Key;
use crate::microphone::Microphone;
use crate::packet::PacketPort;
use crate::processor::{Command, MOST_DIGITS, StreamChange, StreamShared, StreamSlot};

/// Loudest a stream can be made: four times as large as it came, 12 dB.
pub const MOST_VOLUME: f32 = 4.0;

/// How a stream sends and receives.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct StreamConfig {
    /// Microphone to network.
    pub send: SendConfig,
    /// Network to speaker.
    pub receive: ReceiveConfig,
}

/// What happens in a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum StreamEvent {
    /// The far end pressed a key.
    DigitReceived(char),
    /// The far end's first sound was put before the device.
    FirstSound {
        /// When, on the engine's clock.
        at: MediaTime,
    },
}

/// What a stream did since it was opened, or last [reconfigured](MediaStream::reconfigure).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StreamStats {
    /// Microphone to network.
    pub send: SendStats,
    /// Network to speaker.
    pub receive: ReceiveStats,
    /// Packets that were made and found nobody to take them to the network. Not in `send`'s loss: there is none.
    pub unsent: u64,
}

/// Why a stream could not be opened or reconfigured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum OpenStreamError {
    /// The encoder refused its settings: choose others.
    #[error(transparent)]
    Send(#[from] SendError),
    /// The decoder refused its settings: choose others.
    #[error(transparent)]
    Receive(#[from] ReceiveError),
    /// More streams are open than the engine has room for: close some.
    #[error("too many streams are open")]
    TooMany,
    /// The engine, or the stream, was closed.
    #[error("the engine or the stream is closed")]
    Closed,
}

/// Why keys were not sent; none of them was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SendDtmfError {
    /// Only 0-9, *, #, A-D are keys.
    #[error("{0:?} is no key")]
    NoKey(char),
    /// Too many keys wait already: try again when some were sent.
    #[error("too many keys wait to be sent")]
    TooMany,
    /// The far end takes no keys: say so to the user.
    #[error("the far end takes no keys")]
    NotNegotiated,
    /// The stream is closed.
    #[error("the stream is closed")]
    Closed,
}

/// The far end's sound of a stream, to be given to an element. Copies are the same; one of a closed stream is silence.
#[derive(Debug, Clone)]
pub struct StreamSource {
    key: Key,
    engine: std::sync::Weak<crate::control::Control>,
}

impl StreamSource {
    pub(crate) fn key(&self) -> Key {
        self.key
    }

    pub(crate) fn is_of(&self, engine: &Engine) -> bool {
        std::ptr::eq(self.engine.as_ptr(), Arc::as_ptr(engine.control()))
    }
}

impl PartialEq for StreamSource {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key && self.engine.ptr_eq(&other.engine)
    }
}

impl Eq for StreamSource {}

/// One call's sound: a microphone to packets, packets to an element. Closed when dropped.
#[derive(Debug)]
pub struct MediaStream {
    key: Key,
    engine: Engine,
    shared: Arc<StreamShared>,
    port: Mutex<Option<PacketPort>>,
    settings: Mutex<Settings>,
    closed: AtomicBool,
}

#[derive(Debug)]
struct Settings {
    config: StreamConfig,
    muted: bool,
    volume: f32,
    sending: bool,
    /// Held so that it stays open.
    microphone: Option<Microphone>,
}

impl MediaStream {
    pub(crate) fn open(engine: &Engine, config: &StreamConfig) -> Result<Self, OpenStreamError> {
        let control = engine.control();
        let send = Box::new(SendPipeline::new(&config.send)?);
        let receive = Box::new(ReceivePipeline::new(&config.receive)?);
        if control.is_closed() {
            return Err(OpenStreamError::Closed);
        }
        let key = control.stream_keys().take().ok_or(OpenStreamError::TooMany)?;
        let shared = Arc::new(StreamShared::new(&send.stats()));
        let (port, inside) = PacketPort::pair();
        let slot = StreamSlot::new(send, receive, inside, Arc::clone(&shared));
        control.streams().insert(key, Arc::clone(&shared));
        control.send(Command::AddStream(key, Box::new(slot)));
        Ok(Self {
            key,
            engine: engine.clone(),
            shared,
            port: Mutex::new(Some(port)),
            settings: Mutex::new(Settings {
                config: *config,
                muted: false,
                volume: 1.0,
                sending: true,
                microphone: None,
            }),
            closed: AtomicBool::new(false),
        })
    }

    /// The far end's sound, also before there is any.
    pub fn incoming(&self) -> StreamSource {
        StreamSource { key: self.key, engine: Arc::downgrade(self.engine.control()) }
    }

    /// The network's end, for whoever asks first.
    pub fn take_packet_port(&self) -> Option<PacketPort> {
        lock(&self.port).take()
    }

    /// Sends what this microphone captures, instead of what another does. One of another engine is refused, with a warning in the log; a
    /// stream that is closed holds none open.
    pub fn attach_microphone(&self, microphone: &Microphone) {
        if !Arc::ptr_eq(microphone.engine().control(), self.engine.control()) {
            tracing::warn!("a microphone of another engine cannot be attached");
            return;
        }
        let mut settings = lock(&self.settings);
        // Whoever closes it says so before it takes the lock.
        if self.closed.load(Relaxed) {
            return;
        }
        self.change(StreamChange::Microphone(Some(microphone.key())));
        settings.microphone = Some(microphone.clone());
    }

    /// Sends nothing more, until a microphone is attached.
    pub fn detach_microphone(&self) {
        let mut settings = lock(&self.settings);
        self.change(StreamChange::Microphone(None));
        settings.microphone = None;
    }

    /// Sends silence instead of the microphone's sound, without a click either way.
    pub fn set_muted(&self, muted: bool) {
        let mut settings = lock(&self.settings);
        settings.muted = muted;
        self.change(StreamChange::Muted(muted));
    }

    /// Whether it is muted.
    pub fn muted(&self) -> bool {
        lock(&self.settings).muted
    }

    /// How loud the far end is, beside the volume of the element it sounds in: a factor of 0 (silent) to [`MOST_VOLUME`]; 1 is as it came. Led
    /// there in 5 ms, without a click. What is outside is brought inside, and what is no number changes nothing.
    pub fn set_volume(&self, volume: f32) {
        if volume.is_nan() {
            return;
        }
        let mut settings = lock(&self.settings);
        settings.volume = volume.clamp(0.0, MOST_VOLUME);
        self.change(StreamChange::Volume(settings.volume));
    }

    /// How loud the far end is, 0..=[`MOST_VOLUME`].
    pub fn volume(&self) -> f32 {
        lock(&self.settings).volume
    }

    /// Whether packets are sent at all: not while on hold, nor before it is known what the far end takes. The pause is announced to the far
    /// end, which so counts no loss; keys wait meanwhile.
    pub fn set_sending(&self, sending: bool) {
        let mut settings = lock(&self.settings);
        settings.sending = sending;
        self.change(StreamChange::Sending(sending));
    }

    /// Whether packets are sent.
    pub fn sending(&self) -> bool {
        lock(&self.settings).sending
    }

    /// Sends keys, one after the other: 100 ms each, 60 ms apart. Needs an attached microphone, whose sound sets the pace.
    ///
    /// # Errors
    /// Every [`SendDtmfError`].
    pub fn send_dtmf(&self, keys: &str) -> Result<(), SendDtmfError> {
        let settings = lock(&self.settings);
        if self.closed.load(Relaxed) {
            return Err(SendDtmfError::Closed);
        }
        if settings.config.send.dtmf_payload_type.is_none() {
            return Err(SendDtmfError::NotNegotiated);
        }
        if let Some(wrong) = keys.chars().find(|key| DtmfDigit::from_char(*key).is_none()) {
            return Err(SendDtmfError::NoKey(wrong));
        }
        // The settings are held: nobody else counts up.
        let waiting = self.shared.digits.load(Relaxed) as usize;
        if waiting + keys.len() > MOST_DIGITS {
            return Err(SendDtmfError::TooMany);
        }
        for digit in keys.chars().filter_map(DtmfDigit::from_char) {
            self.shared.digits.fetch_add(1, Relaxed);
            self.change(StreamChange::Digit(digit));
        }
        Ok(())
    }

    /// Changes the loss the encoder is to be ready for, in percent.
    pub fn set_expected_loss(&self, percent: u8) {
        let mut settings = lock(&self.settings);
        settings.config.send.encoder.expected_loss_percent = percent.min(100);
        self.change(StreamChange::ExpectedLoss(percent.min(100)));
    }

    /// Changes the rate of the encoder.
    pub fn set_bitrate(&self, bitrate: BitsPerSecond) {
        let mut settings = lock(&self.settings);
        settings.config.send.encoder.bitrate = bitrate;
        self.change(StreamChange::Bitrate(bitrate));
    }

    /// Sends and receives another way, as an answer says. A direction whose configuration is the same goes on as it is; one that changes
    /// gets a new codec, with its counters at zero. What is sent goes on in RTP time, so that the far end hears no break in it.
    ///
    /// # Errors
    /// Every [`OpenStreamError`] but [`OpenStreamError::TooMany`].
    pub fn reconfigure(&self, config: &StreamConfig) -> Result<(), OpenStreamError> {
        let mut settings = lock(&self.settings);
        if self.closed.load(Relaxed) || self.engine.is_closed() {
            return Err(OpenStreamError::Closed);
        }
        let send = match settings.config.send == config.send {
            true => None,
            false => Some(Box::new(SendPipeline::new(&config.send)?)),
        };
        let receive = match settings.config.receive == config.receive {
            true => None,
            false => Some(Box::new(ReceivePipeline::new(&config.receive)?)),
        };
        settings.config = *config;
        if send.is_some() || receive.is_some() {
            self.change(StreamChange::Pipelines(send, receive));
        }
        Ok(())
    }

    /// A reader of what happens from now on.
    pub fn events(&self) -> Events<StreamEvent> {
        self.shared.events.subscribe()
    }

    /// What it did so far; the media thread publishes it every few ticks.
    pub fn stats(&self) -> StreamStats {
        StreamStats {
            send: self.shared.send.read(),
            receive: self.shared.receive.read(),
            unsent: self.shared.unsent.load(Relaxed),
        }
    }

    /// Ends it: nothing more is sent or heard, readers of its events learn the end. Dropping it does the same.
    pub fn close(&self) {
        if self.closed.swap(true, Relaxed) {
            return;
        }
        let control = self.engine.control();
        control.send(Command::RemoveStream(self.key));
        if let Some(shared) = control.streams().remove(&self.key) {
            shared.events.close();
        }
        lock(&self.settings).microphone = None;
    }

    fn change(&self, change: StreamChange) {
        self.engine.control().send(Command::Stream(self.key, change));
    }
}

impl Drop for MediaStream {
    fn drop(&mut self) {
        self.close();
    }
}
