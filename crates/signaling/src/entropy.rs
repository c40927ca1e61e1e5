//! Where random bytes come from: the caller, never the operating system.

/// A source of unpredictable bytes. A shell backs it with the operating system, a test with a seed.
pub trait EntropySource {
    /// Fills `bytes` completely.
    fn fill(&mut self, bytes: &mut [u8]);
}

/// 128 random bits in the form of a version 4 UUID (RFC 9562 section 5.4).
pub fn uuid(source: &mut dyn EntropySource) -> String {
    let mut b = [0_u8; 16];
    source.fill(&mut b);
    b[6] = (b[6] & 0x0f) | 0x40;
    b[8] = (b[8] & 0x3f) | 0x80;
    let hex: String = b.iter().map(|x| format!("{x:02x}")).collect();
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

/// 256 random bits as unpadded base64url, for credentials and resume tokens.
pub fn secret(source: &mut dyn EntropySource) -> String {
    use base64::Engine as _;
    let mut b = [0_u8; 32];
    source.fill(&mut b);
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(b)
}
