//! The caller's side of a verification.

use super::{AuthenticationString, CertificateFingerprint, Commitment, Nonce, Part, VerificationError};
use crate::id::CallId;

/// A caller that waits for the answer.
#[derive(Debug)]
pub struct Caller {
    call: CallId,
    own: Part,
}

impl Caller {
    /// Commits to a fresh nonce and to the certificate of the offer.
    #[must_use]
    pub const fn new(call: CallId, nonce: Nonce, fingerprint: CertificateFingerprint) -> Self {
        Self { call, own: Part { nonce, fingerprint } }
    }

    /// What goes with the offer.
    #[must_use]
    pub fn commitment(&self) -> Commitment {
        Commitment::to(&self.call, &self.own)
    }

    /// The answer came, with the callee's nonce: gives the string, and the nonce to be revealed now.
    ///
    /// # Errors
    /// [`VerificationError::Malformed`], [`VerificationError::Fingerprint`]; then nothing may be revealed.
    pub fn answered(
        self,
        nonce: &str,
        answer: &str,
    ) -> Result<(AuthenticationString, Nonce, CertificateFingerprint), VerificationError> {
        let fingerprint =
            CertificateFingerprint::of_description(answer).map_err(|_| VerificationError::Fingerprint)?;
        let callee = Part { nonce: Nonce::parse(nonce)?, fingerprint };
        Ok((AuthenticationString::of(&self.call, &self.own, &callee), self.own.nonce, fingerprint))
    }
}
