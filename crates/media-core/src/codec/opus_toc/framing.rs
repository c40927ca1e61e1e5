//! How frames lie in a packet (RFC 6716 section 3.2).

use std::ops::Range;

use super::TocError;

/// Most frames of a packet: 48 of 2.5 ms.
const MOST_FRAMES: usize = 48;
/// Most bytes of a frame (R2).
const MOST_FRAME_BYTES: usize = 1275;

/// What the framing says.
pub(super) struct Framing {
    pub(super) frames: usize,
    /// First byte of the first frame, when that is not empty.
    pub(super) first_frame: Option<u8>,
    /// Bytes of all frames together.
    pub(super) coded_bytes: usize,
}

pub(super) fn parse(packet: &[u8]) -> Result<Framing, TocError> {
    let (toc, rest) = packet.split_first().ok_or(TocError::Empty)?;
    match toc & 3 {
        0 => equal_frames(rest, 1),
        1 => equal_frames(rest, 2),
        2 => different_frames(rest, 2),
        _ => counted_frames(rest),
    }
}

/// Code 3: a byte with the number of frames, and flags for padding and for different lengths.
fn counted_frames(bytes: &[u8]) -> Result<Framing, TocError> {
    let (header, rest) = bytes.split_first().ok_or(TocError::Framing)?;
    let frames = usize::from(header & 0x3f);
    if frames == 0 || frames > MOST_FRAMES {
        return Err(TocError::Duration);
    }
    let coded = if header & 0x40 != 0 { without_padding(rest)? } else { rest };
    if header & 0x80 != 0 { different_frames(coded, frames) } else { equal_frames(coded, frames) }
}

/// Each byte of 255 stands for 254 bytes of padding and another length byte; padding lies at the end.
fn without_padding(mut bytes: &[u8]) -> Result<&[u8], TocError> {
    let mut padding = 0_usize;
    loop {
        let (length, rest) = bytes.split_first().ok_or(TocError::Framing)?;
        bytes = rest;
        if *length < 255 {
            padding = padding.saturating_add(usize::from(*length));
            break;
        }
        padding = padding.saturating_add(254);
    }
    bytes.len().checked_sub(padding).and_then(|coded| bytes.get(..coded)).ok_or(TocError::Framing)
}

/// Where the frames of a valid packet begin: behind the table of contents and all lengths.
pub(super) fn first_frame(packet: &[u8]) -> Option<usize> {
    let (toc, rest) = packet.split_first()?;
    let behind = |bytes: &[u8], frames: usize| {
        let mut frames_left = bytes;
        for _ in 1..frames {
            frames_left = frame_length(frames_left).ok()?.1;
        }
        Some(packet.len() - frames_left.len())
    };
    match toc & 3 {
        0 | 1 => Some(1),
        2 => behind(rest, 2),
        _ => {
            let (header, rest) = rest.split_first()?;
            let padding = rest.iter().take_while(|length| **length == 255).count() + 1;
            let rest = if header & 0x40 != 0 { rest.get(padding..)? } else { rest };
            behind(rest, if header & 0x80 != 0 { usize::from(header & 0x3f) } else { 1 })
        }
    }
}

/// A packet without its padding: its first bytes anew, and where its lengths and frames lie in it.
pub(super) struct Bare {
    pub(super) head: Head,
    pub(super) coded: Range<usize>,
}

/// What comes before lengths and frames.
pub(super) enum Head {
    Toc(u8),
    TocAndCount([u8; 2]),
}

impl Head {
    pub(super) const fn len(&self) -> usize {
        match self {
            Self::Toc(_) => 1,
            Self::TocAndCount(_) => 2,
        }
    }
}

/// `None` for a packet that is invalid or has no padding.
pub(super) fn bare(packet: &[u8]) -> Option<Bare> {
    let [toc, header, rest @ ..] = packet else {
        return None;
    };
    if toc & 3 != 3 || header & 0x40 == 0 || parse(packet).is_err() {
        return None;
    }
    let coded = without_padding(rest).ok()?;
    // The frames begin behind the length bytes: all of 255 but the last.
    let begin = 3 + rest.iter().take_while(|length| **length == 255).count();
    // One frame needs no count.
    let head =
        if header & 0x3f == 1 { Head::Toc(toc & !3) } else { Head::TocAndCount([*toc, header & !0x40]) };
    Some(Bare { head, coded: begin..begin + coded.len() })
}

/// Moves the frames over the padding's length bytes and drops the padding; returns the new length. A packet that is invalid or has no
/// padding stays as it is.
pub(super) fn strip_padding(packet: &mut [u8]) -> usize {
    let Some(Bare { head, coded }) = bare(packet) else {
        return packet.len();
    };
    let length = coded.len();
    packet.copy_within(coded, head.len());
    match head {
        Head::Toc(toc) => packet[0] = toc,
        Head::TocAndCount(bytes) => packet[..2].copy_from_slice(&bytes),
    }
    head.len() + length
}

fn equal_frames(bytes: &[u8], frames: usize) -> Result<Framing, TocError> {
    let each = bytes.len() / frames;
    if each * frames != bytes.len() || each > MOST_FRAME_BYTES {
        return Err(TocError::Framing);
    }
    Ok(Framing { frames, first_frame: bytes.first().copied(), coded_bytes: bytes.len() })
}

/// Lengths of all frames but the last come first; the last takes what is left.
fn different_frames(mut bytes: &[u8], frames: usize) -> Result<Framing, TocError> {
    let (mut first_length, mut before_last) = (None, 0);
    for _ in 1..frames {
        let (length, rest) = frame_length(bytes)?;
        bytes = rest;
        before_last += length;
        first_length.get_or_insert(length);
    }
    let last = bytes.len().checked_sub(before_last).ok_or(TocError::Framing)?;
    if last > MOST_FRAME_BYTES {
        return Err(TocError::Framing);
    }
    let first_frame = bytes.first().copied().filter(|_| first_length.unwrap_or(last) > 0);
    Ok(Framing { frames, first_frame, coded_bytes: bytes.len() })
}

/// One byte up to 251, else two (section 3.2.1).
fn frame_length(bytes: &[u8]) -> Result<(usize, &[u8]), TocError> {
    match bytes {
        [short @ 0..=251, rest @ ..] => Ok((usize::from(*short), rest)),
        [first, second, rest @ ..] => Ok((usize::from(*second) * 4 + usize::from(*first), rest)),
        _ => Err(TocError::Framing),
    }
}
