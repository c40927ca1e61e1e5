//! Bodies of the fuzz targets; they also assert what must hold.
#![doc(hidden)]

mod call_machines;
mod device;
mod exchange;
mod world;

pub use call_machines::{Operation, call_machines, operations, run};

use crate::token::{TokenPolicy, Verifier};
use crate::verification::{Callee, Caller, CertificateFingerprint, Nonce};
use crate::wire::{self, Message};
use crate::{ApplicationKey, CallId, ClientMessage, ServerMessage, UnixSeconds, UserId};

/// Frames of both directions: what parses is written and parsed to the same again.
pub fn signaling_wire(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        round_trip::<ClientMessage>(text);
        round_trip::<ServerMessage>(text);
    }
}

fn round_trip<M: Message + PartialEq + std::fmt::Debug>(text: &str) {
    if let Ok(frame) = wire::parse::<M>(text) {
        // Escapes may grow a frame that was just within the limit.
        if let Ok(again) = wire::parse::<M>(&wire::write(&frame)) {
            assert_eq!(again, frame);
        }
    }
}

/// Descriptions and parts of the authentication string: one certificate or none, which the text has; what fits nothing gives nothing.
pub fn authentication_string(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(call) = CallId::new("call") else { return };
    let (part, sdp) = text.split_at_checked(64).unwrap_or((text, text));
    if let Ok(fingerprint) = CertificateFingerprint::of_description(sdp) {
        assert!(sdp.to_uppercase().contains(&fingerprint.to_string()));
        let own = Nonce::random(&mut world::Dice(1));
        if let Ok((string, revealed, _)) = Caller::new(call.clone(), own, fingerprint).answered(part, sdp) {
            assert!(revealed == own && string.to_string().len() == 9);
        }
        if let Ok(callee) = Callee::new(call, part, sdp) {
            // A hash whose origin is not known.
            assert!(callee.answer(own, fingerprint).revealed(part).is_err());
        }
    }
}

/// Tokens: none is accepted without a secret.
pub fn signaling_token(data: &[u8]) {
    let (Ok(text), Ok(key), Ok(user)) = (
        std::str::from_utf8(data),
        ApplicationKey::new("a32e5a8d-f7d8-411c-9645-9038e8dd051d"),
        UserId::new("foo"),
    ) else {
        return;
    };
    let verifier = Verifier::new(TokenPolicy::default());
    assert!(verifier.verify(text, &key, &user, UnixSeconds(1_514_862_245), &[]).is_err());
}
