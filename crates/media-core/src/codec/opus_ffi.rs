//! The one place that talks to libopus in C: encoder and decoder handles with the controls the safe crate lacks.
//!
//! libopus takes memory in its constructors and in the reader of weight files, which is not used; scratch of encode and decode lies on the
//! stack (`OPUS_VAR_ARRAYS`).
#![expect(unsafe_code, reason = "libopus is C; every call is wrapped here, once")]

use std::ffi::c_int;
use std::ptr::NonNull;

use opusic_sys as sys;
use thiserror::Error;

use crate::units::SAMPLE_RATE;

/// What libopus answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum OpusError {
    /// An argument is out of range: a defect of the caller.
    #[error("libopus refused an argument")]
    BadArgument,
    /// The output buffer is too small for the packet.
    #[error("the buffer is too small")]
    BufferTooSmall,
    /// The packet is damaged: drop it and conceal.
    #[error("the Opus packet is invalid")]
    InvalidPacket,
    /// libopus could not get memory; only constructors return it.
    #[error("libopus could not allocate")]
    Allocation,
    /// Any other failure, with libopus' code.
    #[error("libopus failed with code {0}")]
    Internal(i32),
}

impl OpusError {
    fn of(code: c_int) -> Self {
        match code {
            sys::OPUS_BAD_ARG => Self::BadArgument,
            sys::OPUS_BUFFER_TOO_SMALL => Self::BufferTooSmall,
            sys::OPUS_INVALID_PACKET => Self::InvalidPacket,
            sys::OPUS_ALLOC_FAIL => Self::Allocation,
            other => Self::Internal(other),
        }
    }
}

fn count(code: c_int) -> Result<usize, OpusError> {
    usize::try_from(code).map_err(|_| OpusError::of(code))
}

fn length(len: usize) -> Result<c_int, OpusError> {
    c_int::try_from(len).map_err(|_| OpusError::BadArgument)
}

/// An encoder of one channel at 48 kHz.
#[derive(Debug)]
pub(super) struct RawEncoder(NonNull<sys::OpusEncoder>);

// SAFETY: libopus keeps no thread-local state in the handle; `&mut self` on every call makes access exclusive.
unsafe impl Send for RawEncoder {}

impl RawEncoder {
    pub(super) fn new(application: c_int) -> Result<Self, OpusError> {
        let mut error = 0;
        // SAFETY: plain values and a pointer to a live integer; the result is checked for null.
        let encoder = unsafe { sys::opus_encoder_create(SAMPLE_RATE as i32, 1, application, &raw mut error) };
        NonNull::new(encoder).map(Self).ok_or_else(|| OpusError::of(error))
    }

    pub(super) fn set(&mut self, request: c_int, value: c_int) -> Result<(), OpusError> {
        // SAFETY: every request this crate passes takes one int by value.
        count(unsafe { sys::opus_encoder_ctl(self.0.as_ptr(), request, value) }).map(drop)
    }

    pub(super) fn get(&mut self, request: c_int) -> Result<c_int, OpusError> {
        let mut value: c_int = 0;
        // SAFETY: every get request this crate passes writes one int to the pointer.
        count(unsafe { sys::opus_encoder_ctl(self.0.as_ptr(), request, &raw mut value) })?;
        Ok(value)
    }

    pub(super) fn reset(&mut self) {
        // SAFETY: OPUS_RESET_STATE takes no argument.
        unsafe { sys::opus_encoder_ctl(self.0.as_ptr(), sys::OPUS_RESET_STATE) };
    }

    pub(super) fn encode(&mut self, samples: &[f32], packet: &mut [u8]) -> Result<usize, OpusError> {
        let (frame, room) = (length(samples.len())?, length(packet.len())?);
        // SAFETY: the pointers are valid for the lengths passed with them; libopus reads `frame` samples of one channel.
        count(unsafe {
            sys::opus_encode_float(self.0.as_ptr(), samples.as_ptr(), frame, packet.as_mut_ptr(), room)
        })
    }
}

impl Drop for RawEncoder {
    fn drop(&mut self) {
        // SAFETY: created by opus_encoder_create, destroyed once.
        unsafe { sys::opus_encoder_destroy(self.0.as_ptr()) }
    }
}

/// A decoder to one channel at 48 kHz.
#[derive(Debug)]
pub(super) struct RawDecoder(NonNull<sys::OpusDecoder>);

// SAFETY: as for RawEncoder.
unsafe impl Send for RawDecoder {}

impl RawDecoder {
    pub(super) fn new() -> Result<Self, OpusError> {
        let mut error = 0;
        // SAFETY: plain values and a pointer to a live integer; the result is checked for null.
        let decoder = unsafe { sys::opus_decoder_create(SAMPLE_RATE as i32, 1, &raw mut error) };
        NonNull::new(decoder).map(Self).ok_or_else(|| OpusError::of(error))
    }

    pub(super) fn set(&mut self, request: c_int, value: c_int) -> Result<(), OpusError> {
        // SAFETY: every request this crate passes takes one int by value.
        count(unsafe { sys::opus_decoder_ctl(self.0.as_ptr(), request, value) }).map(drop)
    }

    pub(super) fn reset(&mut self) {
        // SAFETY: OPUS_RESET_STATE takes no argument.
        unsafe { sys::opus_decoder_ctl(self.0.as_ptr(), sys::OPUS_RESET_STATE) };
    }

    /// Becomes as `other` is.
    pub(super) fn copy_from(&mut self, other: &Self) {
        // SAFETY: takes a plain channel count.
        let size = usize::try_from(unsafe { sys::opus_decoder_get_size(1) }).unwrap_or(0);
        // SAFETY: both handles are live allocations of that size, of one channel each, made by opus_decoder_create, and differ because one
        // is borrowed mutably. The state is one block without pointers into itself, made to be copied (opus.h, "Opus Decoder").
        unsafe {
            std::ptr::copy_nonoverlapping(other.0.as_ptr().cast::<u8>(), self.0.as_ptr().cast::<u8>(), size);
        }
    }

    /// `None` conceals `out.len()` samples; `fec` decodes the copy of the frame before `packet`.
    pub(super) fn decode(
        &mut self,
        packet: Option<&[u8]>,
        out: &mut [f32],
        fec: bool,
    ) -> Result<usize, OpusError> {
        let (data, len) = match packet {
            Some([]) => return Err(OpusError::InvalidPacket),
            Some(packet) => {
                (packet.as_ptr(), i32::try_from(packet.len()).map_err(|_| OpusError::BadArgument)?)
            }
            None => (std::ptr::null(), 0),
        };
        let frame = length(out.len())?;
        // SAFETY: data is null with length 0 or valid for len bytes; out has room for frame samples of one channel.
        count(unsafe {
            sys::opus_decode_float(self.0.as_ptr(), data, len, out.as_mut_ptr(), frame, c_int::from(fec))
        })
    }

    /// Decodes redundancy that was parsed and processed, from `before` samples before the packet it came in.
    pub(super) fn decode_dred(
        &mut self,
        dred: &RawDred,
        before: usize,
        out: &mut [f32],
    ) -> Result<usize, OpusError> {
        let (offset, frame) = (length(before)?, length(out.len())?);
        // SAFETY: the handles are live; out has room for frame samples of one channel.
        count(unsafe {
            sys::opus_decoder_dred_decode_float(
                self.0.as_ptr(),
                dred.redundancy.as_ptr(),
                offset,
                out.as_mut_ptr(),
                frame,
            )
        })
    }
}

impl Drop for RawDecoder {
    fn drop(&mut self) {
        // SAFETY: created by opus_decoder_create, destroyed once.
        unsafe { sys::opus_decoder_destroy(self.0.as_ptr()) }
    }
}

/// The reader of deep redundancy and what it last read.
#[derive(Debug)]
pub(super) struct RawDred {
    reader: NonNull<sys::OpusDREDDecoder>,
    redundancy: NonNull<sys::OpusDRED>,
}

// SAFETY: as for RawEncoder; the weights both point to are constants of the library.
unsafe impl Send for RawDred {}

impl RawDred {
    pub(super) fn new() -> Result<Self, OpusError> {
        let mut error = 0;
        // SAFETY: a pointer to a live integer; the result is checked for null.
        let reader = unsafe { sys::opus_dred_decoder_create(&raw mut error) };
        let reader = NonNull::new(reader).ok_or_else(|| OpusError::of(error))?;
        // SAFETY: as above.
        let Some(redundancy) = NonNull::new(unsafe { sys::opus_dred_alloc(&raw mut error) }) else {
            // SAFETY: created above, destroyed once.
            unsafe { sys::opus_dred_decoder_destroy(reader.as_ptr()) };
            return Err(OpusError::of(error));
        };
        Ok(Self { reader, redundancy })
    }

    /// Reads the redundancy of `packet`, at most `most` samples of it, without running the network; returns how far it reaches back.
    pub(super) fn parse(&mut self, packet: &[u8], most: i32) -> Result<usize, OpusError> {
        let (len, mut end) = (length(packet.len())?, 0);
        // SAFETY: both handles are live; the bytes are valid for len; end is a live integer.
        count(unsafe {
            sys::opus_dred_parse(
                self.reader.as_ptr(),
                self.redundancy.as_ptr(),
                packet.as_ptr(),
                len,
                most,
                SAMPLE_RATE as i32,
                &raw mut end,
                1,
            )
        })
    }

    /// Runs the network on what was parsed.
    pub(super) fn process(&mut self) -> Result<(), OpusError> {
        // SAFETY: both handles are live; libopus allows source and destination to be one.
        count(unsafe {
            sys::opus_dred_process(self.reader.as_ptr(), self.redundancy.as_ptr(), self.redundancy.as_ptr())
        })
        .map(drop)
    }
}

impl Drop for RawDred {
    fn drop(&mut self) {
        // SAFETY: both created in new, destroyed once.
        unsafe {
            sys::opus_dred_free(self.redundancy.as_ptr());
            sys::opus_dred_decoder_destroy(self.reader.as_ptr());
        }
    }
}
