//! SRTP and SRTCP (RFC 3711, RFC 7714) around `rtc-srtp`: sources are let in only after one of their packets was
//! authenticated, lengths are ours, replays are found by the 48-bit index.

mod sources;

use bytes::{Bytes, BytesMut};
use rtc_rtp::header::{Extension, Header};
use rtc_srtp::context::Context;
use rtc_srtp::protection_profile::ProtectionProfile;

use crate::event::SrtpProfile;
use crate::rtp_header::{FIXED_LENGTH, RtpHeader};
use crate::stats::RejectReason;
use sources::Sources;

/// Unknown sources tried on one probe context before it is thrown away: it keeps some state for each.
const MOST_PROBES: u32 = 64;
const EXTENSION_HEAD: usize = 4;
/// Longer than any header that fits a datagram; the library only looks at its length.
static PLACEHOLDER: [u8; crate::demux::MAX_DATAGRAM] = [0; crate::demux::MAX_DATAGRAM];

/// Both directions of one set of keys.
pub(crate) struct Srtp {
    profile: SrtpProfile,
    outbound: Context,
    inbound: Context,
    inbound_keys: Keys,
    probe: Context,
    probes: u32,
    sources: Sources,
}

impl std::fmt::Debug for Srtp {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Srtp").field("profile", &self.profile).finish_non_exhaustive()
    }
}

impl Srtp {
    /// Splits the exporter's bytes (RFC 5764, section 4.2); `active` is whether we were the DTLS client. The error is the
    /// library's text.
    pub(crate) fn new(
        profile: SrtpProfile,
        material: &[u8],
        active: bool,
        announced: &[u32],
    ) -> Result<Self, String> {
        let (client, server) = Keys::split(profile, material).ok_or("keying material of the wrong length")?;
        let (outbound, inbound) = if active { (client, server) } else { (server, client) };
        Ok(Self {
            profile,
            outbound: outbound.context(profile)?,
            inbound: inbound.context(profile)?,
            probe: inbound.context(profile)?,
            inbound_keys: inbound,
            probes: 0,
            sources: Sources::new(announced),
        })
    }

    /// Protects an RTP packet whose header is `header_length` long. `None`: keys used up.
    pub(crate) fn protect_rtp(
        &mut self,
        packet: &[u8],
        header_length: usize,
        ssrc: u32,
        sequence: u16,
    ) -> Option<Bytes> {
        let header = library_header(header_length, ssrc, sequence);
        self.outbound.encrypt_rtp_with_header(packet, &header).ok().map(BytesMut::freeze)
    }

    /// Protects an RTCP packet, plain or compound. `None`: keys used up or a packet without a header.
    pub(crate) fn protect_rtcp(&mut self, packet: &[u8]) -> Option<Bytes> {
        self.outbound.encrypt_rtcp(packet).ok().map(BytesMut::freeze)
    }

    /// Decrypts an RTP packet whose header was read by us.
    pub(crate) fn unprotect_rtp(
        &mut self,
        packet: &[u8],
        header: &RtpHeader<'_>,
    ) -> Result<BytesMut, RejectReason> {
        if packet.len() < header.length + tag_length(self.profile) {
            return Err(RejectReason::MalformedRtp);
        }
        let library = library_header(header.length, header.ssrc, header.sequence);
        self.admit(header.ssrc, |probe| probe.decrypt_rtp_with_header(packet, &library).is_ok())?;
        let source = self.sources.get(header.ssrc).ok_or(RejectReason::TooManySources)?;
        if !source.check_rtp(header.sequence) {
            return Err(RejectReason::Replayed);
        }
        let plain = self
            .inbound
            .decrypt_rtp_with_header(packet, &library)
            .map_err(|_| RejectReason::Unauthenticated)?;
        source.accept_rtp(header.sequence);
        Ok(plain)
    }

    /// Decrypts an RTCP packet.
    pub(crate) fn unprotect_rtcp(&mut self, packet: &[u8]) -> Result<BytesMut, RejectReason> {
        let (ssrc, index) = srtcp_index(self.profile, packet).ok_or(RejectReason::MalformedRtcp)?;
        self.admit(ssrc, |probe| probe.decrypt_rtcp(packet).is_ok())?;
        let source = self.sources.get(ssrc).ok_or(RejectReason::TooManySources)?;
        if !source.check_rtcp(index) {
            return Err(RejectReason::Replayed);
        }
        let plain = self.inbound.decrypt_rtcp(packet).map_err(|_| RejectReason::Unauthenticated)?;
        source.accept_rtcp();
        Ok(plain)
    }

    /// The library makes state for every source it is asked about, so an unknown one is tried on a context of its own
    /// first, and only an authenticated packet opens the door.
    fn admit(&mut self, ssrc: u32, authentic: impl FnOnce(&mut Context) -> bool) -> Result<(), RejectReason> {
        if self.sources.get(ssrc).is_some() {
            return Ok(());
        }
        if self.sources.is_full() {
            return Err(RejectReason::TooManySources);
        }
        self.probes += 1;
        let authentic = authentic(&mut self.probe);
        if authentic || self.probes >= MOST_PROBES {
            self.probes = 0;
            self.probe = self.inbound_keys.context(self.profile).map_err(|_| RejectReason::NoKeys)?;
        }
        if !authentic {
            return Err(RejectReason::Unauthenticated);
        }
        self.sources.add(ssrc);
        Ok(())
    }
}

/// Master key and salt of one direction.
struct Keys {
    key: Vec<u8>,
    salt: Vec<u8>,
}

impl Keys {
    /// Client's and server's, from client key, server key, client salt, server salt.
    fn split(profile: SrtpProfile, material: &[u8]) -> Option<(Self, Self)> {
        let (key, salt) = (library_profile(profile).key_len(), library_profile(profile).salt_len());
        if material.len() != 2 * (key + salt) {
            return None;
        }
        let (keys, salts) = material.split_at(2 * key);
        let side = |place: usize| Self {
            key: keys[place * key..(place + 1) * key].to_vec(),
            salt: salts[place * salt..(place + 1) * salt].to_vec(),
        };
        Some((side(0), side(1)))
    }

    /// A context without the library's own replay protection, which looks at 16 bits of the index only.
    fn context(&self, profile: SrtpProfile) -> Result<Context, String> {
        let crypto = rtc_srtp::crypto::default_provider().map_err(|error| error.to_string())?;
        Context::new(&self.key, &self.salt, library_profile(profile), None, None, crypto.crypto())
            .map_err(|error| error.to_string())
    }
}

fn library_profile(profile: SrtpProfile) -> ProtectionProfile {
    match profile {
        SrtpProfile::Aes128CmSha1_80 => ProtectionProfile::Aes128CmHmacSha1_80,
        SrtpProfile::AeadAes128Gcm => ProtectionProfile::AeadAes128Gcm,
        SrtpProfile::AeadAes256Gcm => ProtectionProfile::AeadAes256Gcm,
    }
}

fn tag_length(profile: SrtpProfile) -> usize {
    match profile {
        SrtpProfile::Aes128CmSha1_80 => 10,
        SrtpProfile::AeadAes128Gcm | SrtpProfile::AeadAes256Gcm => 16,
    }
}

/// The library takes source, sequence number and header length from its header type, and its own count of the length goes
/// wrong with unusual extensions: it gets a header that has the length we found.
fn library_header(length: usize, ssrc: u32, sequence_number: u16) -> Header {
    let extension_length = length.saturating_sub(FIXED_LENGTH + EXTENSION_HEAD).min(PLACEHOLDER.len());
    let extension = Extension { id: 0, payload: Bytes::from_static(&PLACEHOLDER[..extension_length]) };
    let extension = (length > FIXED_LENGTH).then_some(extension);
    Header {
        version: 2,
        sequence_number,
        ssrc,
        extension: extension.is_some(),
        extensions: extension.into_iter().collect(),
        ..Header::default()
    }
}

/// Source and 31-bit index of an encrypted SRTCP packet that is long enough (RFC 3711, section 3.4; RFC 7714, section 9). One
/// that says it is not encrypted is refused: no profile of ours allows it, and the library does not authenticate it.
fn srtcp_index(profile: SrtpProfile, packet: &[u8]) -> Option<(u32, u64)> {
    let ssrc = u32::from_be_bytes(*packet.get(4..)?.first_chunk()?);
    let after_index = match profile {
        SrtpProfile::Aes128CmSha1_80 => 10,
        SrtpProfile::AeadAes128Gcm | SrtpProfile::AeadAes256Gcm => 0,
    };
    if packet.len() < 8 + tag_length(profile) + 4 {
        return None;
    }
    let word = u32::from_be_bytes(*packet[..packet.len() - after_index].last_chunk::<4>()?);
    (word >> 31 == 1).then_some((ssrc, u64::from(word & 0x7FFF_FFFF)))
}

#[cfg(test)]
mod tests;
