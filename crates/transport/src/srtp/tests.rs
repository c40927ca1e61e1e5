use super::*;

const PROFILES: [SrtpProfile; 3] =
    [SrtpProfile::Aes128CmSha1_80, SrtpProfile::AeadAes128Gcm, SrtpProfile::AeadAes256Gcm];

fn pair(profile: SrtpProfile) -> (Srtp, Srtp) {
    let length = 2 * (library_profile(profile).key_len() + library_profile(profile).salt_len());
    let material: Vec<u8> = (0..length).map(|byte| byte as u8).collect();
    let side = |active| Srtp::new(profile, &material, active, &[]).unwrap();
    (side(true), side(false))
}

fn packet(ssrc: u32, sequence: u16, extension: &[u8]) -> Vec<u8> {
    let mut packet = vec![if extension.is_empty() { 0x80 } else { 0x90 }, 111];
    packet.extend_from_slice(&sequence.to_be_bytes());
    packet.extend_from_slice(&[0, 0, 0, 1]);
    packet.extend_from_slice(&ssrc.to_be_bytes());
    packet.extend_from_slice(extension);
    packet.extend_from_slice(b"what alice said");
    packet
}

fn protect(srtp: &mut Srtp, packet: &[u8]) -> Bytes {
    let header = RtpHeader::parse(packet).unwrap();
    srtp.protect_rtp(packet, header.length, header.ssrc, header.sequence).unwrap()
}

fn unprotect(srtp: &mut Srtp, packet: &[u8]) -> Result<BytesMut, RejectReason> {
    srtp.unprotect_rtp(packet, &RtpHeader::parse(packet).unwrap())
}

/// Padding between elements, an element 15, application bits: where the library counts the header's length wrong.
#[test]
fn all_profiles_carry_all_header_forms() {
    let blocks: [&[u8]; 5] = [
        &[],
        &[0xBE, 0xDE, 0, 1, 0x10, 0x9E, 0, 0],
        &[0xBE, 0xDE, 0, 2, 0x10, 1, 0, 0, 0x20, 2, 0, 0],
        &[0xBE, 0xDE, 0, 2, 0x10, 1, 0xF3, 9, 9, 9, 9, 9],
        &[0x10, 0x05, 0, 1, 1, 1, 7, 0],
    ];
    for profile in PROFILES {
        let (mut alice, mut bob) = pair(profile);
        for (sequence, block) in blocks.into_iter().enumerate() {
            let plain = packet(5, sequence as u16, block);
            let protected = protect(&mut alice, &plain);
            assert_eq!(protected.len(), plain.len() + tag_length(profile));
            assert!(!protected.windows(4).any(|bytes| bytes == b"alic"));
            assert_eq!(unprotect(&mut bob, &protected).unwrap(), plain);
        }
    }
}

#[test]
fn replays_and_forgeries_are_told_apart() {
    for profile in PROFILES {
        let (mut alice, mut bob) = pair(profile);
        let first = protect(&mut alice, &packet(5, 65_535, &[]));
        assert!(unprotect(&mut bob, &first).is_ok());
        assert_eq!(unprotect(&mut bob, &first), Err(RejectReason::Replayed));
        let second = protect(&mut alice, &packet(5, 0, &[]));
        let mut forged = second.to_vec();
        forged[14] ^= 1;
        assert_eq!(unprotect(&mut bob, &forged), Err(RejectReason::Unauthenticated));
        assert!(unprotect(&mut bob, &second).is_ok(), "over the wrap, after a forgery");
        assert_eq!(unprotect(&mut bob, &first), Err(RejectReason::Replayed), "of the cycle before");
    }
}

#[test]
fn forged_sources_leave_no_room_taken() {
    for profile in PROFILES {
        let (mut alice, mut bob) = pair(profile);
        for ssrc in 100..400 {
            let mut forged = protect(&mut alice, &packet(ssrc, 1, &[])).to_vec();
            forged[13] ^= 1;
            assert_eq!(unprotect(&mut bob, &forged), Err(RejectReason::Unauthenticated));
            assert!(bob.probes < MOST_PROBES);
        }
        assert!(unprotect(&mut bob, &protect(&mut alice, &packet(7, 1, &[]))).is_ok());
    }
}

#[test]
fn a_peer_may_not_use_sources_without_end() {
    let (mut alice, mut bob) = pair(SrtpProfile::AeadAes128Gcm);
    let taken = (0..100)
        .filter(|ssrc| unprotect(&mut bob, &protect(&mut alice, &packet(*ssrc, 1, &[]))).is_ok())
        .count();
    assert_eq!(taken, 16);
    assert!(unprotect(&mut bob, &protect(&mut alice, &packet(3, 2, &[]))).is_ok(), "the known ones go on");
}

#[test]
fn rtcp_goes_through_once() {
    let plain = [0x80, 201, 0, 1, 0, 0, 0, 5];
    for profile in PROFILES {
        let (mut alice, mut bob) = pair(profile);
        for _ in 0..3 {
            let protected = alice.protect_rtcp(&plain).unwrap();
            assert_eq!(bob.unprotect_rtcp(&protected).unwrap(), plain[..]);
            assert_eq!(bob.unprotect_rtcp(&protected), Err(RejectReason::Replayed));
            let mut forged = alice.protect_rtcp(&plain).unwrap().to_vec();
            forged[7] ^= 1;
            assert_eq!(bob.unprotect_rtcp(&forged), Err(RejectReason::Unauthenticated));
        }
        for length in 0..protected_length(profile) {
            assert!(bob.unprotect_rtcp(&vec![0x80; length]).is_err());
        }
    }
}

/// Found by fuzzing: with the encryption flag off, the library hands out the counter-mode profile's RTCP without a look at the
/// tag.
#[test]
fn rtcp_that_claims_not_to_be_encrypted_is_refused() {
    let bye = [0x81, 203, 0, 1, 0, 0, 0, 5];
    for profile in PROFILES {
        let (mut alice, mut bob) = pair(profile);
        assert!(bob.unprotect_rtcp(&alice.protect_rtcp(&bye).unwrap()).is_ok(), "the source is known");
        let mut forged = bye.to_vec();
        forged.extend_from_slice(&[0; 40]);
        assert_eq!(bob.unprotect_rtcp(&forged), Err(RejectReason::MalformedRtcp));
    }
}

fn protected_length(profile: SrtpProfile) -> usize {
    8 + 4 + tag_length(profile)
}

#[test]
fn keying_material_of_another_length_is_refused() {
    assert!(Srtp::new(SrtpProfile::AeadAes256Gcm, &[0; 60], true, &[]).is_err());
}
