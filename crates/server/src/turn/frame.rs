//! STUN messages and ChannelData in a byte stream (RFC 8656 section 2.1): where one ends and the next begins.

/// The longest frame: what fits a datagram of an Ethernet, with room for a header.
const LONGEST: usize = 2048;

/// The stream holds something else, or something too long: close the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the stream does not hold STUN messages or ChannelData of at most {LONGEST} bytes")]
pub(crate) struct FrameError;

/// Cuts a stream into frames. It never holds more than one frame and what was just read.
#[derive(Debug, Default)]
pub(crate) struct Framer {
    bytes: Vec<u8>,
    /// What has been given out already.
    taken: usize,
}

impl Framer {
    /// Takes what was read from the stream.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.bytes.drain(..self.taken);
        self.taken = 0;
        self.bytes.extend_from_slice(bytes);
    }

    /// The next whole frame, without its padding; `None` until more is read.
    ///
    /// # Errors
    /// [`FrameError`]; the stream cannot be followed any further.
    pub(crate) fn next(&mut self) -> Result<Option<&[u8]>, FrameError> {
        let rest = &self.bytes[self.taken..];
        let Some(head) = rest.first_chunk::<4>() else { return Ok(None) };
        let length = usize::from(u16::from_be_bytes([head[2], head[3]]));
        let (frame, padded) = match head[0] {
            0x00..=0x3f if length % 4 == 0 => (20 + length, 20 + length),
            // RFC 5766 had channels up to 0x7fff, and coturn's client still takes them.
            0x40..=0x7f => (4 + length, 4 + length.next_multiple_of(4)),
            _ => return Err(FrameError),
        };
        if padded > LONGEST {
            return Err(FrameError);
        }
        if rest.len() < padded {
            return Ok(None);
        }
        let start = self.taken;
        self.taken += padded;
        Ok(Some(&self.bytes[start..start + frame]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(chunks: &[&[u8]]) -> Result<Vec<Vec<u8>>, FrameError> {
        let (mut framer, mut frames) = (Framer::default(), Vec::new());
        for chunk in chunks {
            framer.push(chunk);
            while let Some(frame) = framer.next()? {
                frames.push(frame.to_vec());
            }
        }
        Ok(frames)
    }

    fn stream() -> Vec<u8> {
        let mut stream = vec![0, 1, 0, 4];
        stream.extend([9; 20]);
        stream.extend([0x40, 1, 0, 5, 1, 2, 3, 4, 5, 0, 0, 0]);
        stream.extend([0x4f, 0, 0, 0]);
        stream
    }

    #[test]
    fn frames_are_found_however_the_stream_is_cut() {
        let stream = stream();
        let whole = frames(&[&stream]).unwrap();
        assert_eq!(whole.iter().map(Vec::len).collect::<Vec<_>>(), [24, 9, 4], "padding is left out");
        for cut in 0..=stream.len() {
            assert_eq!(frames(&[&stream[..cut], &stream[cut..]]).unwrap(), whole);
        }
        let bytes: Vec<&[u8]> = stream.chunks(1).collect();
        assert_eq!(frames(&bytes).unwrap(), whole);
    }

    #[test]
    fn other_streams_are_refused() {
        for stream in [
            &b"GET / HTTP/1.1"[..],
            &[0x80, 0, 0, 0],
            &[0x80, 0, 0, 1],
            &[0, 1, 0, 3],
            &[0x40, 0, 0xff, 0xff],
        ] {
            assert_eq!(frames(&[stream]), Err(FrameError), "{stream:?}");
        }
    }
}
