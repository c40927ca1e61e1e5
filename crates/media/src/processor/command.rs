//! What crosses the border of the media thread, each way.

use offhook_media_core::codec::telephone_event::DtmfDigit;
use offhook_media_core::recv::ReceivePipeline;
use offhook_media_core::send::SendPipeline;
use offhook_media_core::units::{BitsPerSecond, MediaTime};

use super::{CaptureEdge, ElementSlot, MicrophoneSlot, RenderEdge, StreamSlot};
use crate::enhance::port::EnhancePort;
use crate::key::Key;

/// To the media thread.
pub(crate) enum Command {
    AddStream(Key, Box<StreamSlot>),
    AddMicrophone(Key, Box<MicrophoneSlot>),
    AddElement(Key, Box<ElementSlot>),
    RemoveStream(Key),
    RemoveMicrophone(Key),
    RemoveElement(Key),
    /// What the microphone captures goes this way to be enhanced.
    Enhance(Key, Box<EnhancePort>),
    /// The microphone is another device now.
    ReplaceCapture(Key, Box<CaptureEdge>),
    /// The element is another device now.
    ReplaceRender(Key, Box<RenderEdge>),
    Element(Key, ElementChange),
    Stream(Key, StreamChange),
}

/// What can be changed in an element.
pub(crate) enum ElementChange {
    Bind(Key),
    /// Unbinds all others.
    BindOnly(Key),
    Unbind(Key),
    UnbindAll,
    Gain(f32),
}

/// What can be changed in a stream.
pub(crate) enum StreamChange {
    Microphone(Option<Key>),
    Muted(bool),
    Volume(f32),
    Sending(bool),
    Digit(DtmfDigit),
    ExpectedLoss(u8),
    Bitrate(BitsPerSecond),
    Pipelines(Option<Box<SendPipeline>>, Option<Box<ReceivePipeline>>),
}

impl StreamChange {
    /// What is left of a change to a stream that is gone.
    pub(crate) fn into_garbage(self) -> [Option<Garbage>; 2] {
        match self {
            Self::Pipelines(send, receive) => {
                [send.map(Garbage::SendPipeline), receive.map(Garbage::ReceivePipeline)]
            }
            _ => [None, None],
        }
    }
}

/// From the media thread to who frees memory.
#[expect(dead_code, reason = "what is inside is dropped, that is all")]
pub(crate) enum Garbage {
    Stream(Key, Box<StreamSlot>),
    Microphone(Key, Box<MicrophoneSlot>),
    Element(Key, Box<ElementSlot>),
    CaptureEdge(Box<CaptureEdge>),
    EnhancePort(Box<EnhancePort>),
    RenderEdge(Box<RenderEdge>),
    SendPipeline(Box<SendPipeline>),
    ReceivePipeline(Box<ReceivePipeline>),
}

/// From the media thread to who tells applications.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum News {
    /// The far end pressed a key.
    Digit(Key, DtmfDigit),
    /// The far end's first sound was put before the device.
    FirstSound(Key, MediaTime),
}
