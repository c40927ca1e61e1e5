//! Why a server refuses an allocation: the library tells that it does, not why.

use crate::demux::{Protocol, classify};

/// First word of an Allocate request, and of the answer that refuses it (RFC 8656, section 18.1).
const ALLOCATE_REQUEST: [u8; 2] = [0, 3];
const ALLOCATE_REFUSED: [u8; 2] = [1, 0x13];
const ERROR_CODE: [u8; 2] = [0, 9];
const UNAUTHENTICATED: u16 = 401;

/// Follows the requests for one address and the answers to them.
#[derive(Debug, Default)]
pub(super) struct Refusal {
    /// Transaction of the newest request.
    asked: Option<[u8; 12]>,
    /// Transaction of the request without credentials, that every server refuses once.
    challenged: Option<[u8; 12]>,
    /// The newest code that is more than a challenge.
    pub(super) code: Option<u16>,
    /// Asked with credentials, the server asks for them again.
    pub(super) wrong_credentials: bool,
}

impl Refusal {
    /// Looks at what goes to the server.
    pub(super) fn note_request(&mut self, message: &[u8]) {
        if message.starts_with(&ALLOCATE_REQUEST) {
            self.asked = transaction(message);
        }
    }

    /// Looks at what comes from the server.
    pub(super) fn note_answer(&mut self, message: &[u8]) {
        let answered = transaction(message);
        if !message.starts_with(&ALLOCATE_REFUSED) || answered.is_none() || answered != self.asked {
            return;
        }
        match error_code(message) {
            Some(UNAUTHENTICATED) if self.challenged.is_none() => self.challenged = answered,
            Some(UNAUTHENTICATED) if self.challenged != answered => self.wrong_credentials = true,
            Some(UNAUTHENTICATED) | None => {}
            Some(code) => self.code = Some(code),
        }
    }
}

fn transaction(message: &[u8]) -> Option<[u8; 12]> {
    message.get(8..)?.first_chunk().copied()
}

/// Of ERROR-CODE (RFC 8489, section 14.8).
pub(crate) fn error_code(message: &[u8]) -> Option<u16> {
    if classify(message) != Some(Protocol::Stun) {
        return None;
    }
    let mut rest = message.get(20..)?;
    while let Some((head, after)) = rest.split_first_chunk::<4>() {
        let length = usize::from(u16::from_be_bytes([head[2], head[3]]));
        let value = after.get(..length)?;
        if head[..2] == ERROR_CODE {
            let code = value.first_chunk::<4>()?;
            return Some(u16::from(code[2] & 7) * 100 + u16::from(code[3].min(99)));
        }
        rest = after.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(transaction: u8, code: [u8; 2]) -> Vec<u8> {
        let mut message = vec![1, 0x13, 0, 8, 0x21, 0x12, 0xA4, 0x42];
        message.extend([transaction; 12]);
        message.extend([0, 9, 0, 4, 0, 0, code[0], code[1]]);
        message
    }

    fn request(transaction: u8) -> Vec<u8> {
        [&[0, 3, 0, 0, 0x21, 0x12, 0xA4, 0x42][..], &[transaction; 12]].concat()
    }

    #[test]
    fn a_challenge_is_no_refusal_but_a_second_one_is() {
        let mut refusal = Refusal::default();
        refusal.note_request(&request(1));
        refusal.note_answer(&refused(1, [4, 1]));
        refusal.note_answer(&refused(1, [4, 1]));
        refusal.note_request(&request(2));
        refusal.note_answer(&refused(1, [4, 1]));
        assert!(!refusal.wrong_credentials && refusal.code.is_none(), "{refusal:?}");
        refusal.note_answer(&refused(2, [4, 1]));
        assert!(refusal.wrong_credentials);
    }

    #[test]
    fn other_codes_are_kept_and_strangers_passed_over() {
        let mut refusal = Refusal::default();
        refusal.note_request(&request(1));
        refusal.note_answer(&refused(2, [4, 86]));
        assert_eq!(refusal.code, None);
        refusal.note_answer(&refused(1, [4, 86]));
        assert_eq!(refusal.code, Some(486));
        let whole = refused(1, [5, 8]);
        assert_eq!(error_code(&whole), Some(508));
        (0..whole.len()).for_each(|length| assert_eq!(error_code(&whole[..length]), None));
    }
}
