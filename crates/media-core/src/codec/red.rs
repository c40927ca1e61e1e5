//! Redundant audio (RFC 2198): earlier payloads ride along with the newest.

use thiserror::Error;
use webrtc_util::Error as MarshalError;
use webrtc_util::marshal::{Marshal, MarshalSize, Unmarshal};

/// Most blocks of a payload that is read or written; more is refused.
pub const MOST_BLOCKS: usize = 16;
/// Furthest a block lies back, in units of the RTP clock: 14 bits.
pub const MOST_OFFSET: u16 = 0x3fff;
/// Most bytes of a redundant block: 10 bits.
pub const MOST_BLOCK_BYTES: usize = 0x3ff;

/// Why bytes are no redundant payload, or blocks do not make one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum RedError {
    /// The headers or blocks end too early: drop the packet.
    #[error("the payload is shorter than its headers say")]
    Truncated,
    /// More than [`MOST_BLOCKS`] blocks, or none.
    #[error("the payload has no block, or too many")]
    BlockCount,
    /// A block does not fit its header: its payload type, offset or length is too large. Leave it out.
    #[error("a block does not fit its header")]
    BlockTooLarge,
    /// The output has no room: leave the oldest block out.
    #[error("the output buffer is too small")]
    BufferTooSmall,
}

/// The header of one block: four bytes for a redundant one, one byte for the newest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RedHeader {
    /// RTP payload type of the block, 7 bits.
    pub payload_type: u8,
    /// Where the block lies and its length; `None` for the newest, which takes what is left.
    pub redundant: Option<Redundant>,
}

/// The part of the header that only redundant blocks have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Redundant {
    /// Units of the RTP clock before the packet's timestamp, at most [`MOST_OFFSET`].
    pub offset: u16,
    /// Bytes, at most [`MOST_BLOCK_BYTES`].
    pub length: u16,
}

impl MarshalSize for RedHeader {
    fn marshal_size(&self) -> usize {
        if self.redundant.is_some() { 4 } else { 1 }
    }
}

impl Marshal for RedHeader {
    fn marshal_to(&self, buf: &mut [u8]) -> Result<usize, MarshalError> {
        let size = self.marshal_size();
        let out = buf.get_mut(..size).ok_or(MarshalError::ErrBufferShort)?;
        let payload_type = self.payload_type & 0x7f;
        match self.redundant {
            None => out.copy_from_slice(&[payload_type]),
            Some(Redundant { offset, length }) => {
                let word = u32::from(offset & MOST_OFFSET) << 10 | u32::from(length & 0x3ff);
                let [_, high, middle, low] = word.to_be_bytes();
                out.copy_from_slice(&[0x80 | payload_type, high, middle, low]);
            }
        }
        Ok(size)
    }
}

impl Unmarshal for RedHeader {
    fn unmarshal<B: bytes::Buf>(buf: &mut B) -> Result<Self, MarshalError> {
        if !buf.has_remaining() {
            return Err(MarshalError::ErrBufferShort);
        }
        let first = buf.get_u8();
        let payload_type = first & 0x7f;
        if first & 0x80 == 0 {
            return Ok(Self { payload_type, redundant: None });
        }
        if buf.remaining() < 3 {
            return Err(MarshalError::ErrBufferShort);
        }
        let word = u32::from(buf.get_u16()) << 8 | u32::from(buf.get_u8());
        let redundant = Redundant { offset: (word >> 10) as u16, length: (word & 0x3ff) as u16 };
        Ok(Self { payload_type, redundant: Some(redundant) })
    }
}

/// One block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RedBlock<'a> {
    /// RTP payload type.
    pub payload_type: u8,
    /// Units of the RTP clock before the packet's timestamp; 0 for the newest.
    pub offset: u16,
    /// The payload it repeats.
    pub payload: &'a [u8],
}

/// The blocks of a payload, oldest first as they were sent; the last is the newest. Made by [`parse`].
#[derive(Debug, Clone)]
pub struct RedBlocks<'a> {
    headers: &'a [u8],
    payloads: &'a [u8],
}

/// Reads a payload; all lengths are checked before the first block comes out.
///
/// # Errors
/// [`RedError::Truncated`], [`RedError::BlockCount`].
pub fn parse(payload: &[u8]) -> Result<RedBlocks<'_>, RedError> {
    let (mut rest, mut total) = (payload, 0);
    for _ in 0..MOST_BLOCKS {
        let header = RedHeader::unmarshal(&mut rest).map_err(|_| RedError::Truncated)?;
        if let Some(redundant) = header.redundant {
            total += usize::from(redundant.length);
            continue;
        }
        if total > rest.len() {
            return Err(RedError::Truncated);
        }
        return Ok(RedBlocks { headers: &payload[..payload.len() - rest.len()], payloads: rest });
    }
    Err(RedError::BlockCount)
}

impl<'a> Iterator for RedBlocks<'a> {
    type Item = RedBlock<'a>;

    fn next(&mut self) -> Option<RedBlock<'a>> {
        let RedHeader { payload_type, redundant } = RedHeader::unmarshal(&mut self.headers).ok()?;
        let length = redundant.map_or(self.payloads.len(), |redundant| usize::from(redundant.length));
        let (payload, rest) = self.payloads.split_at_checked(length)?;
        self.payloads = rest;
        Some(RedBlock { payload_type, offset: redundant.map_or(0, |redundant| redundant.offset), payload })
    }
}

/// Writes blocks, oldest first and the newest (offset 0) last; returns the length.
///
/// # Errors
/// [`RedError::BlockCount`], [`RedError::BlockTooLarge`], [`RedError::BufferTooSmall`].
pub fn build(blocks: &[RedBlock<'_>], out: &mut [u8]) -> Result<usize, RedError> {
    let Some((newest, redundant)) = blocks.split_last().filter(|_| blocks.len() <= MOST_BLOCKS) else {
        return Err(RedError::BlockCount);
    };
    let mut at = 0;
    for block in redundant {
        at += write(&redundant_header(block)?, &mut out[at..])?;
    }
    if newest.payload_type > 0x7f || newest.offset != 0 {
        return Err(RedError::BlockTooLarge);
    }
    at += write(&RedHeader { payload_type: newest.payload_type, redundant: None }, &mut out[at..])?;
    for block in blocks {
        let end = at + block.payload.len();
        out.get_mut(at..end).ok_or(RedError::BufferTooSmall)?.copy_from_slice(block.payload);
        at = end;
    }
    Ok(at)
}

fn redundant_header(block: &RedBlock<'_>) -> Result<RedHeader, RedError> {
    let RedBlock { payload_type, offset, payload } = *block;
    if payload_type > 0x7f || offset > MOST_OFFSET || payload.len() > MOST_BLOCK_BYTES {
        return Err(RedError::BlockTooLarge);
    }
    let redundant = Redundant { offset, length: payload.len() as u16 };
    Ok(RedHeader { payload_type, redundant: Some(redundant) })
}

fn write(header: &RedHeader, out: &mut [u8]) -> Result<usize, RedError> {
    header.marshal_to(out).map_err(|_| RedError::BufferTooSmall)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layout_is_that_of_the_rfc() {
        let blocks = [
            RedBlock { payload_type: 111, offset: 960, payload: &[1, 2, 3] },
            RedBlock { payload_type: 111, offset: 0, payload: &[4, 5] },
        ];
        let mut bytes = [0; 16];
        let len = build(&blocks, &mut bytes).unwrap();
        // 960 << 10 | 3 is 0x0f0003.
        assert_eq!(bytes[..len], [0x80 | 111, 0x0f, 0x00, 0x03, 111, 1, 2, 3, 4, 5]);
        assert!(parse(&bytes[..len]).unwrap().eq(blocks));
    }

    #[test]
    fn what_does_not_add_up_is_refused() {
        assert_eq!(parse(&[]).unwrap_err(), RedError::Truncated);
        assert_eq!(parse(&[0x80 | 111, 0, 0]).unwrap_err(), RedError::Truncated);
        assert_eq!(parse(&[0x80 | 111, 0, 0, 2, 111, 1]).unwrap_err(), RedError::Truncated);
        assert_eq!(parse(&[0x80; 400]).unwrap_err(), RedError::BlockCount);
    }

    #[test]
    fn blocks_that_do_not_fit_are_refused() {
        let (mut bytes, big) = ([0; 8], [0; 1024]);
        let newest = RedBlock { payload_type: 111, offset: 0, payload: &[] };
        assert_eq!(build(&[], &mut bytes), Err(RedError::BlockCount));
        assert_eq!(build(&[newest; MOST_BLOCKS + 1], &mut bytes), Err(RedError::BlockCount));
        let far = RedBlock { offset: MOST_OFFSET + 1, ..newest };
        let large = RedBlock { payload: &big, ..newest };
        for block in [far, large] {
            assert_eq!(build(&[block, newest], &mut bytes), Err(RedError::BlockTooLarge));
        }
        assert_eq!(build(&[newest; 3], &mut bytes), Err(RedError::BufferTooSmall));
    }
}
