//! DTLS 1.2 and 1.3 (RFC 6347, RFC 9147) around `dimpl`: the certificate is compared before any key is handed out, and a
//! broken handshake is begun again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use dimpl::{Config, Dtls, KeyingMaterial, Output, ProtocolVersion};

use crate::certificate::{Certificate, Fingerprint};
use crate::config::DtlsVersions;
use crate::error::{SessionError, TransportError};
use crate::event::{DtlsVersion, SrtpProfile};

const FIRST_RETRY: Duration = Duration::from_millis(200);
/// The library doubles the wait for an answer without end, and after seven lost ones a caller has hung up long ago. No wait is
/// longer than this: the library's clock is put forward to the end of it.
const LONGEST_WAIT: Duration = Duration::from_secs(1);
/// Of one flight: as many seconds, about. The connect time-out ends it before.
const RETRIES: usize = 24;
const YEAR: Duration = Duration::from_secs(365 * 86_400);
/// The connect time-out is the session's; this one is beyond every wait the doubling can lead to.
const NEVER: Duration = YEAR.saturating_mul(2);
/// Handshakes that may be begun again before the session fails.
const MOST_RESTARTS: u32 = 8;
const HANDSHAKE_RECORD: u8 = 22;

/// What DTLS wants done.
#[derive(Debug)]
pub(crate) enum DtlsOutput {
    /// Send this to the nominated address.
    Packet(Bytes),
    /// The handshake is complete and the peer is who signaling says.
    Keys { material: KeyingMaterial, profile: SrtpProfile, version: DtlsVersion },
    /// The peer closed the association.
    Closed,
    /// For good.
    Failed(TransportError),
}

/// One association, from the moment the peer's fingerprint and both parts are known.
#[derive(Debug)]
pub(crate) struct DtlsEndpoint {
    config: Arc<Config>,
    certificate: Arc<Certificate>,
    versions: DtlsVersions,
    active: bool,
    expected: Fingerprint,
    dtls: Dtls,
    stage: Stage,
    restarts: u32,
    /// How far the library's clock is ahead of ours.
    ahead: Duration,
    /// The library's next time-out, by its clock, and when we first heard of it.
    awaited: Option<(Instant, Instant)>,
    buffer: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// No certificate seen yet.
    Handshake,
    /// The certificate is the signaled one.
    Verified,
    /// Keys were handed out.
    Done,
    /// Nothing more goes in or out.
    Dead,
}

impl DtlsEndpoint {
    pub(crate) fn new(
        certificate: Arc<Certificate>,
        versions: DtlsVersions,
        active: bool,
        expected: Fingerprint,
        now: Instant,
    ) -> Result<Self, SessionError> {
        let config = Config::builder()
            .flight_start_rto(FIRST_RETRY)
            .flight_retries(RETRIES)
            .handshake_timeout(NEVER)
            .build()
            .map_err(|_| SessionError::Config("DTLS retry times"))?;
        let config = Arc::new(config);
        let dtls = new_dtls(&config, &certificate, versions, active, now);
        let stage = Stage::Handshake;
        Ok(Self {
            config,
            certificate,
            versions,
            active,
            expected,
            dtls,
            stage,
            restarts: 0,
            ahead: Duration::ZERO,
            awaited: None,
            buffer: vec![0; 2048],
        })
    }

    pub(crate) fn is_active(&self) -> bool {
        self.active
    }

    pub(crate) fn expects(&self) -> Fingerprint {
        self.expected
    }

    pub(crate) fn restarts(&self) -> u32 {
        self.restarts
    }

    /// Takes a datagram from an address that passed a connectivity check. `false`: it cannot belong to this association.
    pub(crate) fn handle(&mut self, now: Instant, datagram: &[u8], out: &mut Vec<DtlsOutput>) -> bool {
        // A client that does not know the version yet takes anything but a handshake record for a fatal answer.
        let unexpected =
            self.active && self.dtls.protocol_version().is_none() && datagram[0] != HANDSHAKE_RECORD;
        if self.stage == Stage::Dead || unexpected {
            return false;
        }
        let ahead = now + self.ahead;
        let result = self.dtls.handle_timeout(ahead).and_then(|()| self.dtls.handle_packet(datagram));
        self.settle(ahead, result, out);
        true
    }

    /// Lets time pass and collects what is to be done. Call it only when there is an address to send to: packets do not wait.
    pub(crate) fn poll(&mut self, now: Instant, out: &mut Vec<DtlsOutput>) -> Option<Instant> {
        if self.stage == Stage::Dead {
            return None;
        }
        self.put_clock_forward(now);
        let ahead = now + self.ahead;
        let result = self.dtls.handle_timeout(ahead);
        self.settle(ahead, result, out);
        let due = self.drain(out)?;
        if self.awaited.is_none_or(|(known, _)| known != due) {
            self.awaited = Some((due, now));
        }
        let since = self.awaited.map_or(now, |(_, since)| since);
        let at = now + due.saturating_duration_since(ahead);
        Some(if self.is_retry(due, ahead) { at.min(since + LONGEST_WAIT) } else { at })
    }

    fn put_clock_forward(&mut self, now: Instant) {
        let Some((due, since)) = self.awaited else { return };
        if self.is_retry(due, now + self.ahead) && now >= since + LONGEST_WAIT {
            self.ahead += due.saturating_duration_since(now + self.ahead);
        }
    }

    /// Whether a time-out is the repetition of a flight: the others are years away, or come after the handshake.
    fn is_retry(&self, due: Instant, now: Instant) -> bool {
        self.stage != Stage::Done && due.saturating_duration_since(now) < YEAR
    }

    /// Tells the peer that this is the end.
    pub(crate) fn close(&mut self, now: Instant, out: &mut Vec<DtlsOutput>) {
        let ahead = now + self.ahead;
        if self.stage == Stage::Done && self.dtls.handle_timeout(ahead).is_ok() && self.dtls.close().is_ok() {
            self.drain(out);
        }
        self.stage = Stage::Dead;
    }

    /// Every error of the library is the end of its instance: before the keys a new one begins, after them none is needed.
    fn settle(&mut self, now: Instant, result: Result<(), dimpl::Error>, out: &mut Vec<DtlsOutput>) {
        let Err(error) = result else { return };
        if self.stage == Stage::Done {
            self.stage = Stage::Dead;
        } else if self.restarts >= MOST_RESTARTS {
            self.stage = Stage::Dead;
            out.push(DtlsOutput::Failed(TransportError::Dtls(error.to_string())));
        } else {
            self.restarts += 1;
            self.stage = Stage::Handshake;
            self.dtls = new_dtls(&self.config, &self.certificate, self.versions, self.active, now);
        }
    }

    fn drain(&mut self, out: &mut Vec<DtlsOutput>) -> Option<Instant> {
        loop {
            let output = match self.dtls.poll_output(&mut self.buffer) {
                Output::Timeout(at) => return (self.stage != Stage::Dead).then_some(at),
                Output::BufferTooSmall { needed } => {
                    self.buffer.resize(needed, 0);
                    continue;
                }
                Output::Packet(packet) => DtlsOutput::Packet(Bytes::copy_from_slice(packet)),
                Output::CloseNotify => DtlsOutput::Closed,
                Output::PeerCert(der) if Fingerprint::of(der) == self.expected => {
                    self.stage = Stage::Verified;
                    continue;
                }
                Output::PeerCert(_) => return self.refuse(out),
                Output::KeyingMaterial(..) if self.stage != Stage::Verified => return self.refuse(out),
                Output::KeyingMaterial(material, profile) => match self.negotiated(profile) {
                    Some((profile, version)) => {
                        self.stage = Stage::Done;
                        DtlsOutput::Keys { material, profile, version }
                    }
                    None => {
                        self.stage = Stage::Dead;
                        let unknown = TransportError::Dtls("unknown version or SRTP profile".to_owned());
                        out.push(DtlsOutput::Failed(unknown));
                        return None;
                    }
                },
                _ => continue,
            };
            out.push(output);
        }
    }

    fn refuse(&mut self, out: &mut Vec<DtlsOutput>) -> Option<Instant> {
        self.stage = Stage::Dead;
        out.push(DtlsOutput::Failed(TransportError::FingerprintMismatch));
        None
    }

    fn negotiated(&self, profile: dimpl::SrtpProfile) -> Option<(SrtpProfile, DtlsVersion)> {
        let profile = match profile {
            dimpl::SrtpProfile::AES128_CM_SHA1_80 => SrtpProfile::Aes128CmSha1_80,
            dimpl::SrtpProfile::AEAD_AES_128_GCM => SrtpProfile::AeadAes128Gcm,
            dimpl::SrtpProfile::AEAD_AES_256_GCM => SrtpProfile::AeadAes256Gcm,
            _ => return None,
        };
        let version = match self.dtls.protocol_version()? {
            ProtocolVersion::DTLS1_2 => DtlsVersion::V12,
            ProtocolVersion::DTLS1_3 => DtlsVersion::V13,
            _ => return None,
        };
        Some((profile, version))
    }
}

fn new_dtls(
    config: &Arc<Config>,
    certificate: &Certificate,
    versions: DtlsVersions,
    active: bool,
    now: Instant,
) -> Dtls {
    let config = Arc::clone(config);
    let mut dtls = match versions {
        DtlsVersions::Auto => Dtls::new_auto(config, certificate.dtls(), now),
        DtlsVersions::Only12 => Dtls::new_12(config, certificate.dtls(), now),
    };
    if active {
        dtls.set_active(true);
    }
    dtls
}
