//! The certificate a process presents in DTLS, and the fingerprint by which a peer knows it.

use std::fmt;

use dimpl::DtlsCertificate;
use sha2::{Digest, Sha256};

use crate::error::CertificateError;

/// A self-signed ECDSA P-256 certificate with its private key.
///
/// Making one takes milliseconds: make it once per process, before the first call, and share it by `Arc`.
#[derive(Clone)]
pub struct Certificate {
    dtls: DtlsCertificate,
    fingerprint: Fingerprint,
}

impl Certificate {
    /// Makes a new key and certificate, valid for a year.
    ///
    /// # Errors
    /// [`CertificateError`] when the system gives no randomness or the crypto library refuses.
    pub fn generate() -> Result<Self, CertificateError> {
        let dtls = dimpl::certificate::generate_self_signed_certificate()
            .map_err(|error| CertificateError::Generate(error.to_string()))?;
        let fingerprint = Fingerprint::of(&dtls.certificate);
        Ok(Self { dtls, fingerprint })
    }

    /// What the session description says of this certificate.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    pub(crate) fn dtls(&self) -> DtlsCertificate {
        self.dtls.clone()
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Certificate").field("fingerprint", &self.fingerprint).finish_non_exhaustive()
    }
}

/// The SHA-256 digest of a certificate in DER (RFC 8122).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// The digest of a certificate given in DER.
    #[must_use]
    pub fn of(der: &[u8]) -> Self {
        Self(Sha256::digest(der).into())
    }

    /// The 32 bytes of the digest.
    #[must_use]
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Reads 32 pairs of hexadecimal digits between colons, either case (RFC 8122, section 5). `None` for anything else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        let mut pairs = text.split(':');
        for byte in &mut bytes {
            let pair = pairs.next().filter(|pair| pair.len() == 2 && !pair.starts_with('+'))?;
            *byte = u8::from_str_radix(pair, 16).ok()?;
        }
        pairs.next().is_none().then_some(Self(bytes))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, byte) in self.0.iter().enumerate() {
            let colon = if place == 0 { "" } else { ":" };
            write!(formatter, "{colon}{byte:02X}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Fingerprint({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes_in_either_case() {
        let fingerprint = Fingerprint::of(b"a certificate");
        let text = fingerprint.to_string();
        assert_eq!(text.len(), 95);
        assert_eq!(Fingerprint::parse(&text), Some(fingerprint));
        assert_eq!(Fingerprint::parse(&text.to_lowercase()), Some(fingerprint));
    }

    #[test]
    fn refuses_other_lengths_and_signs() {
        let text = Fingerprint::of(b"").to_string();
        assert_eq!(Fingerprint::parse(&text[3..]), None);
        assert_eq!(Fingerprint::parse(&format!("{text}:00")), None);
        assert_eq!(Fingerprint::parse(&text.replacen(&text[..2], "+1", 1)), None);
    }

    #[test]
    fn the_certificate_knows_its_own_fingerprint() {
        let certificate = Certificate::generate().unwrap();
        assert_eq!(Fingerprint::of(&certificate.dtls().certificate), certificate.fingerprint());
        assert_ne!(Certificate::generate().unwrap().fingerprint(), certificate.fingerprint());
    }
}
