//! The one certificate that a session description names.

use std::fmt;

/// The word by which any reader of descriptions finds a fingerprint.
const WORD: &[u8] = b"fingerprint";
const LINE: &[u8] = b"a=fingerprint:sha-256 ";
/// 32 pairs and the colons between.
const DIGITS: usize = 95;

/// SHA-256 of a DTLS certificate (RFC 8122 section 5). `Display` writes it as in a description, in upper case.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct CertificateFingerprint([u8; 32]);

/// Why a description names no one certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FingerprintError {
    /// It names none.
    #[error("the description names no certificate")]
    Missing,
    /// It names several, or one in a way that two readers could understand differently.
    #[error("the description does not name one certificate in the one way")]
    Ambiguous,
}

impl CertificateFingerprint {
    /// Reads a description (RFC 8866). All of its `a=fingerprint` lines must be alike, of SHA-256, and nothing else in it may look like one:
    /// whoever reads it for DTLS cannot come to another certificate.
    ///
    /// # Errors
    /// [`FingerprintError`].
    pub fn of_description(sdp: &str) -> Result<Self, FingerprintError> {
        let text = sdp.as_bytes();
        let mentioned = text.windows(WORD.len()).filter(|word| word.eq_ignore_ascii_case(WORD)).count();
        if mentioned == 0 {
            return Err(FingerprintError::Missing);
        }
        let mut named = text.split(|byte| *byte == b'\n').filter_map(Self::of_line);
        let first = named.next().ok_or(FingerprintError::Ambiguous)?;
        let mut count = 1;
        for other in named {
            count += 1;
            if other != first {
                return Err(FingerprintError::Ambiguous);
            }
        }
        if count == mentioned { Ok(first) } else { Err(FingerprintError::Ambiguous) }
    }

    fn of_line(line: &[u8]) -> Option<Self> {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let (head, digits) = line.split_at_checked(LINE.len())?;
        if !head.eq_ignore_ascii_case(LINE) || digits.len() != DIGITS {
            return None;
        }
        let digit = |byte: u8| (byte as char).to_digit(16).and_then(|value| u8::try_from(value).ok());
        let mut bytes = [0; 32];
        for (place, byte) in bytes.iter_mut().enumerate() {
            let pair = &digits[3 * place..];
            if pair.get(2).is_some_and(|colon| *colon != b':') {
                return None;
            }
            *byte = digit(pair[0])? << 4 | digit(pair[1])?;
        }
        Some(Self(bytes))
    }
}

impl fmt::Display for CertificateFingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, byte) in self.0.iter().enumerate() {
            let colon = if place == 0 { "" } else { ":" };
            write!(f, "{colon}{byte:02X}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for CertificateFingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CertificateFingerprint({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(byte: u8) -> String {
        format!("a=fingerprint:sha-256 {}\r\n", CertificateFingerprint([byte; 32]))
    }

    fn read(sdp: &str) -> Result<CertificateFingerprint, FingerprintError> {
        CertificateFingerprint::of_description(sdp)
    }

    #[test]
    fn one_or_several_lines_that_are_alike_name_a_certificate() {
        let wanted = Ok(CertificateFingerprint([0xab; 32]));
        assert_eq!(read(&format!("v=0\r\n{}m=audio", line(0xab))), wanted);
        assert_eq!(read(&format!("{}m=video\r\n{}", line(0xab), line(0xab).to_lowercase())), wanted);
        assert_eq!(read(line(0xab).trim_end()), wanted);
        assert_eq!(read("v=0\r\n"), Err(FingerprintError::Missing));
    }

    #[test]
    fn whatever_could_be_read_in_two_ways_names_none() {
        let good = line(0xab);
        for sdp in [
            format!("{good}{}", line(0xac)),
            format!("{good}a=fingerprint:sha-1 00:11\r\n"),
            format!("{good}s=fingerprint\r\n"),
            good.replace("a=", " a="),
            good.replace("sha-256 ", "sha-256  "),
            good.replacen("AB:", "AB ", 1),
            good.replace('\n', "\r\n"),
            good.replacen(":AB", "", 1),
            format!("x\r{good}{good}"),
            good.replace("AB:AB", "+B:AB"),
        ] {
            assert_eq!(read(&sdp), Err(FingerprintError::Ambiguous), "{sdp:?}");
        }
    }
}
