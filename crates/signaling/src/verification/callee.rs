//! The callee's side of a verification.

use super::{AuthenticationString, CertificateFingerprint, Commitment, Nonce, Part, VerificationError};
use crate::id::CallId;

/// A callee that rings.
#[derive(Debug)]
pub struct Callee {
    call: CallId,
    commitment: Commitment,
    caller: CertificateFingerprint,
}

impl Callee {
    /// The offer came, with the caller's commitment.
    ///
    /// # Errors
    /// [`VerificationError::Malformed`], [`VerificationError::Fingerprint`].
    pub fn new(call: CallId, commitment: &str, offer: &str) -> Result<Self, VerificationError> {
        let caller =
            CertificateFingerprint::of_description(offer).map_err(|_| VerificationError::Fingerprint)?;
        Ok(Self { call, commitment: Commitment::parse(commitment)?, caller })
    }

    /// The certificate of the offer.
    #[must_use]
    pub const fn caller(&self) -> CertificateFingerprint {
        self.caller
    }

    /// The person accepted: `nonce` goes with the answer, whose certificate this is. Once per call.
    #[must_use]
    pub const fn answer(self, nonce: Nonce, fingerprint: CertificateFingerprint) -> Committed {
        Committed { callee: self, own: Part { nonce, fingerprint } }
    }
}

/// A callee whose nonce is out: everything that makes the string is fixed, the caller's nonce is not known yet.
#[derive(Debug)]
pub struct Committed {
    callee: Callee,
    own: Part,
}

impl Committed {
    /// The caller's nonce came.
    ///
    /// # Errors
    /// [`VerificationError::Malformed`]; [`VerificationError::CommitmentBroken`] when it is not what the caller had committed to.
    pub fn revealed(self, nonce: &str) -> Result<(AuthenticationString, Nonce), VerificationError> {
        let Self { callee: Callee { call, commitment, caller }, own } = self;
        let caller = Part { nonce: Nonce::parse(nonce)?, fingerprint: caller };
        if Commitment::to(&call, &caller) != commitment {
            return Err(VerificationError::CommitmentBroken);
        }
        Ok((AuthenticationString::of(&call, &caller, &own), caller.nonce))
    }
}
