//! SRTP and SRTCP between two honest ends, with everything an attacker on the path may do.

use bytes::Bytes;

use super::input::Input;
use crate::event::SrtpProfile;
use crate::rtp_header::RtpHeader;
use crate::srtp::Srtp;

const PROFILES: [SrtpProfile; 3] =
    [SrtpProfile::Aes128CmSha1_80, SrtpProfile::AeadAes128Gcm, SrtpProfile::AeadAes256Gcm];
const MOST_OPERATIONS: usize = 64;
const SOURCES: [u32; 3] = [1, 0x8000_0000, u32::MAX];
/// No, one, unusual and padded extension blocks.
const BLOCKS: [&[u8]; 4] = [
    &[],
    &[0xBE, 0xDE, 0, 1, 0x10, 0x9E, 0, 0],
    &[0xBE, 0xDE, 0, 2, 0x10, 1, 0xF3, 9, 9, 9, 9, 9],
    &[0x10, 0x05, 0, 1, 1, 1, 7, 0],
];

/// Operations on the receiving end: what was sent arrives once and whole, nothing else ever does.
///
/// # Panics
/// When an invariant does not hold.
pub fn srtp_unprotect(data: &[u8]) {
    let mut input = Input::new(data);
    let Some(profile) = input.byte().map(|byte| PROFILES[usize::from(byte) % PROFILES.len()]) else { return };
    let Some(mut wire) = Wire::new(profile) else { return };
    for _ in 0..MOST_OPERATIONS {
        if wire.operate(&mut input).is_none() {
            return;
        }
    }
}

struct Sent {
    plain: Vec<u8>,
    protected: Bytes,
    arrived: bool,
}

struct Wire {
    alice: Srtp,
    bob: Srtp,
    sequences: [u16; SOURCES.len()],
    /// Whether a packet of the source has arrived.
    heard: [bool; SOURCES.len()],
    rtp: Vec<Sent>,
    rtcp: Vec<Sent>,
}

impl Wire {
    fn new(profile: SrtpProfile) -> Option<Self> {
        let length = match profile {
            SrtpProfile::Aes128CmSha1_80 => 60,
            SrtpProfile::AeadAes128Gcm => 56,
            SrtpProfile::AeadAes256Gcm => 88,
        };
        let material: Vec<u8> = (0..length).collect();
        let alice = Srtp::new(profile, &material, true, &[]).ok()?;
        let bob = Srtp::new(profile, &material, false, &SOURCES[..1]).ok()?;
        let (sequences, heard) = ([0, 32_000, 65_500], [false; SOURCES.len()]);
        Some(Self { alice, bob, sequences, heard, rtp: Vec::new(), rtcp: Vec::new() })
    }

    /// One operation; `None` at the end of the input.
    fn operate(&mut self, input: &mut Input<'_>) -> Option<()> {
        match input.byte()? % 6 {
            0 => self.send_rtp(input.byte()?, input.byte()?, input.chunk()?),
            1 => self.send_rtcp(input.chunk()?),
            2 => self.deliver_again(input.byte()?),
            3 => self.deliver_changed(input.byte()?, input.word()?, input.byte()?),
            4 => self.deliver_forged(input.chunk()?),
            _ => self.deliver_cut(input.byte()?, input.byte()?),
        }
        Some(())
    }

    /// `how`: source, extension block, whether it arrives at once. `step`: packets the sender left out.
    fn send_rtp(&mut self, how: u8, step: u8, payload: &[u8]) {
        let source = usize::from(how & 3) % SOURCES.len();
        let block = BLOCKS[usize::from(how >> 2 & 3)];
        let sequence = self.sequences[source].wrapping_add(u16::from(step)).wrapping_add(1);
        self.sequences[source] = sequence;
        let mut plain = vec![if block.is_empty() { 0x80 } else { 0x90 }, how];
        plain.extend_from_slice(&sequence.to_be_bytes());
        plain.extend_from_slice(&[0, 0, 0, 1]);
        plain.extend_from_slice(&SOURCES[source].to_be_bytes());
        plain.extend_from_slice(block);
        plain.extend_from_slice(payload);
        let header = RtpHeader::parse(&plain).map(|header| header.length);
        let header = header.expect("this header is made by the rules");
        let protected = self.alice.protect_rtp(&plain, header, SOURCES[source], sequence);
        let protected = protected.expect("the keys are not used up");
        // Nobody can know of a wrap before the first packet.
        let known = std::mem::replace(&mut self.heard[source], true);
        let arrived = how & 0x10 == 0 || !known;
        if arrived {
            assert_eq!(self.receive_rtp(&protected).as_deref(), Some(&plain[..]));
        }
        self.rtp.push(Sent { plain, protected, arrived });
    }

    fn send_rtcp(&mut self, body: &[u8]) {
        let mut plain = vec![0x80, 201, 0, 1];
        plain.extend_from_slice(&SOURCES[0].to_be_bytes());
        plain.extend_from_slice(body);
        let protected = self.alice.protect_rtcp(&plain).expect("the keys are not used up");
        assert_eq!(self.bob.unprotect_rtcp(&protected).ok().as_deref(), Some(&plain[..]));
        self.rtcp.push(Sent { plain, protected, arrived: true });
    }

    fn receive_rtp(&mut self, packet: &[u8]) -> Option<Vec<u8>> {
        let header = RtpHeader::parse(packet).ok()?;
        self.bob.unprotect_rtp(packet, &header).ok().map(|plain| plain.to_vec())
    }

    /// A late or a repeated packet: whole, and only once.
    fn deliver_again(&mut self, which: u8) {
        if let Some(place) = place(which, self.rtp.len()) {
            let arrived = self.receive_rtp(&self.rtp[place].protected.clone());
            let sent = &mut self.rtp[place];
            assert!(arrived.is_none() || (!sent.arrived && arrived.as_deref() == Some(&sent.plain[..])));
            sent.arrived |= arrived.is_some();
        }
        if let Some(place) = place(which, self.rtcp.len()) {
            let sent = &self.rtcp[place];
            assert!(sent.arrived && self.bob.unprotect_rtcp(&sent.protected).is_err());
        }
    }

    fn deliver_changed(&mut self, which: u8, at: u16, change: u8) {
        let change = change.max(1);
        for (rtcp, sent) in [(false, &self.rtp), (true, &self.rtcp)] {
            let Some(place) = place(which, sent.len()) else { continue };
            let mut packet = sent[place].protected.to_vec();
            let at = usize::from(at) % packet.len();
            packet[at] ^= change;
            let refused = if rtcp {
                self.bob.unprotect_rtcp(&packet).is_err()
            } else {
                RtpHeader::parse(&packet)
                    .is_ok_and(|header| self.bob.unprotect_rtp(&packet, &header).is_ok())
                    .eq(&false)
            };
            assert!(refused, "a changed packet was taken for authentic");
        }
    }

    fn deliver_forged(&mut self, packet: &[u8]) {
        assert!(self.receive_rtp(packet).is_none());
        assert!(self.bob.unprotect_rtcp(packet).is_err());
    }

    fn deliver_cut(&mut self, which: u8, by: u8) {
        let by = usize::from(by).max(1);
        if let Some(place) = place(which, self.rtp.len()) {
            let packet = self.rtp[place].protected.clone();
            self.deliver_forged(&packet[..packet.len().saturating_sub(by)]);
        }
        if let Some(place) = place(which, self.rtcp.len()) {
            let packet = self.rtcp[place].protected.clone();
            self.deliver_forged(&packet[..packet.len().saturating_sub(by)]);
        }
    }
}

fn place(which: u8, length: usize) -> Option<usize> {
    usize::from(which).checked_rem(length)
}
