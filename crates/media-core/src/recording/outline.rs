//! A payload without what was said.

use super::wire::Settings;
use crate::codec::{opus_toc, red};

/// Sets everything in `payload` to zero but what says how long its sound is, whether somebody speaks and which copies it holds. What is
/// neither Opus nor redundant audio (RFC 2198) may be a key (RFC 4733) that somebody typed a number with: all of it goes.
pub(super) fn blank_sound(settings: &Settings, payload_type: u8, payload: &mut [u8]) {
    if payload_type == settings.opus_payload_type {
        opus_toc::blank(payload);
    } else if settings.red_payload_type == Some(payload_type) {
        blank_blocks(settings.opus_payload_type, payload);
    } else {
        payload.fill(0);
    }
}

fn blank_blocks(opus: u8, payload: &mut [u8]) {
    let mut blocks = [(0_u8, 0_usize); red::MOST_BLOCKS];
    let mut count = 0;
    for (slot, block) in blocks.iter_mut().zip(red::parse(payload).into_iter().flatten()) {
        *slot = (block.payload_type, block.payload.len());
        count += 1;
    }
    let blocks = &blocks[..count];
    // Of what cannot be read no block is known: all of it goes.
    let sound = blocks.iter().map(|(_, length)| length).sum::<usize>();
    let mut at = if count == 0 { 0 } else { payload.len() - sound };
    if count == 0 {
        payload.fill(0);
    }
    for (payload_type, length) in blocks {
        let block = &mut payload[at..at + length];
        if *payload_type == opus {
            opus_toc::blank(block)
        } else {
            block.fill(0)
        }
        at += length;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: Settings = Settings {
        opus_payload_type: 111,
        red_payload_type: Some(63),
        dtmf_payload_types: [Some(110), None],
        price_per_percent: 40.0,
    };

    fn blanked(payload_type: u8, bytes: &[u8]) -> Vec<u8> {
        let mut payload = bytes.to_vec();
        blank_sound(&SETTINGS, payload_type, &mut payload);
        payload
    }

    #[test]
    fn copies_are_known_by_their_headers_and_are_blank() {
        let header = [0x80 | 111, 0x0f, 0x00, 0x03, 111];
        let payload = [&header[..], &[0x48, 0xff, 9], &[0x48, 0x7f, 8, 7]].concat();
        let expected = [&header[..], &[0x48, 0xc0, 0], &[0x48, 0x40, 0, 0]].concat();
        assert_eq!(blanked(63, &payload), expected);
    }

    #[test]
    fn keys_and_what_cannot_be_read_are_gone() {
        assert_eq!(blanked(110, &[7, 0x8a, 1, 2]), [0; 4]);
        assert_eq!(blanked(63, &[0x80 | 111, 0xff, 0xff]), [0; 3]);
        assert_eq!(blanked(12, &[1, 2, 3]), [0; 3]);
    }
}
