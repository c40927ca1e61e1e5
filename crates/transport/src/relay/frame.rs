//! Frames of a connection to a TURN server (RFC 8656, section 12.5 and RFC 8489, section 6.2.2): STUN messages and channel data, padded to
//! four bytes, one after the other.

use std::ops::Range;

use crate::demux::MAX_DATAGRAM;

const STUN_HEADER: usize = 20;
const CHANNEL_HEADER: usize = 4;
const COOKIE: [u8; 4] = [0x21, 0x12, 0xA4, 0x42];

/// The connection carries something else than TURN: it is of no use any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NotTurn;

/// Cuts a stream of bytes into frames. It never holds more than one frame that has not come whole and what came with it.
#[derive(Debug, Default)]
pub(crate) struct FrameReader {
    buffer: Vec<u8>,
    /// What of the buffer has been handed out.
    taken: usize,
}

impl FrameReader {
    /// Takes what has arrived.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.taken);
        self.taken = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// The place of the next whole frame, without its padding; `None` until more arrives.
    pub(crate) fn next_frame(&mut self) -> Result<Option<Range<usize>>, NotTurn> {
        let rest = self.buffer.get(self.taken..).unwrap_or_default();
        let Some(length) = frame_length(rest)? else { return Ok(None) };
        let padded = length.next_multiple_of(4);
        if rest.len() < padded {
            return Ok(None);
        }
        let frame = self.taken..self.taken + length;
        self.taken += padded;
        Ok(Some(frame))
    }

    /// The bytes of a frame. Good until the next [`push`](Self::push).
    pub(crate) fn frame(&self, place: Range<usize>) -> &[u8] {
        self.buffer.get(place).unwrap_or_default()
    }
}

/// How long the frame that begins here is; `None` while that cannot be told.
fn frame_length(bytes: &[u8]) -> Result<Option<usize>, NotTurn> {
    let Some(&[first, _, high, low]) = bytes.first_chunk::<4>() else { return Ok(None) };
    let told = usize::from(u16::from_be_bytes([high, low]));
    let length = match first {
        0..=3 => {
            if bytes.iter().skip(4).zip(COOKIE).any(|(byte, cookie)| *byte != cookie)
                || !told.is_multiple_of(4)
            {
                return Err(NotTurn);
            }
            STUN_HEADER + told
        }
        64..=79 => CHANNEL_HEADER + told,
        _ => return Err(NotTurn),
    };
    if length > MAX_DATAGRAM { Err(NotTurn) } else { Ok(Some(length)) }
}

/// How many bytes make a frame of this length whole.
pub(crate) fn padding(length: usize) -> usize {
    length.next_multiple_of(4) - length
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream() -> Vec<u8> {
        let mut bytes = vec![1, 1, 0, 4, 0x21, 0x12, 0xA4, 0x42];
        bytes.resize(24, 7);
        bytes.extend([0x40, 0, 0, 5, 1, 2, 3, 4, 5, 0, 0, 0]);
        bytes.extend([0x40, 1, 0, 0]);
        bytes
    }

    fn read(reader: &mut FrameReader, into: &mut Vec<Vec<u8>>) {
        while let Some(place) = reader.next_frame().expect("it is TURN") {
            into.push(reader.frame(place).to_vec());
        }
    }

    #[test]
    fn frames_are_the_same_however_the_stream_is_cut() {
        let stream = stream();
        for size in 1..=stream.len() {
            let (mut reader, mut frames) = (FrameReader::default(), Vec::new());
            for chunk in stream.chunks(size) {
                reader.push(chunk);
                read(&mut reader, &mut frames);
            }
            assert_eq!(frames, [&stream[..24], &[0x40, 0, 0, 5, 1, 2, 3, 4, 5], &[0x40, 1, 0, 0]], "{size}");
        }
    }

    #[test]
    fn what_is_not_turn_is_told_at_once() {
        for other in [
            b"HTTP/1.1 400".as_slice(),
            &[0, 1, 0, 3, 0x21, 0x12, 0xA4, 0x42],
            &[0, 1, 0, 0, 9],
            &[0x40, 0, 0xFF, 0xFF],
        ] {
            let mut reader = FrameReader::default();
            reader.push(other);
            assert_eq!(reader.next_frame(), Err(NotTurn), "{other:?}");
        }
    }

    #[test]
    fn padding_fills_four() {
        assert_eq!([0, 1, 2, 3, 4, 5].map(padding), [0, 3, 2, 1, 0, 3]);
    }
}
