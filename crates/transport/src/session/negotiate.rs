//! Offer and answer (RFC 9429): descriptions in both directions, ICE restarts, glare, rollback.

use std::sync::Arc;
use std::time::Instant;

use is::IceCreds;

use super::{Session, Stage};
use crate::config::{Direction, DtlsPart, Role};
use crate::dtls::DtlsEndpoint;
use crate::error::SessionError;
use crate::ice::Ice;
use crate::sdp::{
    LocalDescription, Media, RemoteDescription, SdpError, Section, Setup, media_from_answer,
    media_from_offer, media_to_offer, write,
};

/// Where offer and answer stand.
#[derive(Debug)]
pub(super) struct Negotiation {
    session_id: u64,
    version: u64,
    /// What the next description asks for.
    pub(super) wanted: Direction,
    /// Agreed.
    pub(super) media: Option<Media>,
    /// The sections of all descriptions of this session, ours and the peer's.
    sections: Vec<Section>,
    audio_section: usize,
    bundle: bool,
    offered: Option<PendingOffer>,
    /// Sources the peer announced.
    pub(super) sources: Vec<u32>,
}

/// Our offer while the answer is on its way.
#[derive(Debug)]
struct PendingOffer {
    media: Media,
    /// New ICE credentials, used once the answer is here: until then the old path goes on.
    restart: Option<IceCreds>,
}

impl Negotiation {
    pub(super) fn new(session_id: u64, wanted: Direction) -> Self {
        let formats = vec!["0".to_owned()];
        let protocol = "UDP/TLS/RTP/SAVPF".to_owned();
        let audio = Section { kind: "audio".to_owned(), protocol, formats, mid: Some("0".to_owned()) };
        Self {
            session_id,
            version: 0,
            wanted,
            media: None,
            sections: vec![audio],
            audio_section: 0,
            bundle: true,
            offered: None,
            sources: Vec::new(),
        }
    }

    /// The ICE generation our candidates belong to.
    pub(super) fn ufrag<'a>(&'a self, ice: &'a Ice) -> &'a str {
        &self.credentials(ice).ufrag
    }

    fn credentials<'a>(&'a self, ice: &'a Ice) -> &'a IceCreds {
        let restart = self.offered.as_ref().and_then(|offer| offer.restart.as_ref());
        restart.unwrap_or_else(|| ice.credentials())
    }
}

impl Session {
    /// Makes an offer: the first one, or one for a new [`set_direction`](Self::set_direction). All candidates known so far are
    /// in it.
    ///
    /// # Errors
    /// [`SessionError::WrongState`] while an answer is awaited, [`SessionError::Ended`].
    pub fn create_offer(&mut self) -> Result<String, SessionError> {
        self.offer(None)
    }

    /// Makes an offer with new ICE credentials, after the machine's address changed or the peer was lost. Media keeps the old
    /// path until a new one is found; DTLS and its keys stay. TURN servers whose address has ended are asked again.
    ///
    /// # Errors
    /// [`SessionError::WrongState`] while an answer is awaited, [`SessionError::Ended`].
    pub fn restart_ice(&mut self, now: Instant) -> Result<String, SessionError> {
        let offer = self.offer(Some(IceCreds::new()))?;
        self.ask_relays_again(now);
        self.drive(now);
        Ok(offer)
    }

    fn offer(&mut self, restart: Option<IceCreds>) -> Result<String, SessionError> {
        self.check_state("an offer")?;
        let negotiation = &self.negotiation;
        let media = media_to_offer(&self.config, negotiation.media.as_ref(), negotiation.wanted);
        self.negotiation.offered = Some(PendingOffer { media: media.clone(), restart });
        Ok(self.describe(&media, Setup::ActPass))
    }

    /// Takes the peer's offer and makes the answer. When our own offer is on its way (glare), [`Role::Answerer`] gives way and
    /// rolls its own back.
    ///
    /// # Errors
    /// [`SessionError::Sdp`]: refused, nothing changed. [`SessionError::Glare`]: ignore it. [`SessionError::Ended`].
    pub fn handle_offer(&mut self, now: Instant, sdp: &str) -> Result<String, SessionError> {
        if self.stage == Stage::Ended {
            return Err(SessionError::Ended);
        }
        let offer = RemoteDescription::parse(sdp)?;
        if self.negotiation.offered.is_some() && self.config.role == Role::Offerer {
            return Err(SessionError::Glare);
        }
        self.check_fingerprint(&offer)?;
        self.rollback();
        let media = media_from_offer(&offer, &self.config, self.negotiation.wanted);
        let active = self.part(match offer.setup {
            Setup::ActPass => self.config.dtls_part == DtlsPart::Active,
            Setup::Active => false,
            Setup::Passive => true,
        });
        let restart = self.is_restart(&offer).then(IceCreds::new);
        self.negotiation.sections.clone_from(&offer.sections);
        self.negotiation.audio_section = offer.audio_section;
        self.negotiation.bundle = offer.bundle;
        self.apply(now, &offer, restart, active)?;
        let answer = self.describe(&media, if active { Setup::Active } else { Setup::Passive });
        self.negotiation.media = Some(media);
        self.drive(now);
        Ok(answer)
    }

    /// Takes the answer to our offer.
    ///
    /// # Errors
    /// [`SessionError::Sdp`]: refused, the offer still stands. [`SessionError::WrongState`] without an offer,
    /// [`SessionError::Ended`].
    pub fn handle_answer(&mut self, now: Instant, sdp: &str) -> Result<(), SessionError> {
        if self.stage == Stage::Ended {
            return Err(SessionError::Ended);
        }
        let Some(offered) = &self.negotiation.offered else {
            return Err(SessionError::WrongState { operation: "an answer", state: "no offer is out" });
        };
        let answer = RemoteDescription::parse(sdp)?;
        self.check_fingerprint(&answer)?;
        let media = media_from_answer(&answer, &offered.media, self.negotiation.sections.len())?;
        let active = match answer.setup {
            Setup::Active => false,
            Setup::Passive => true,
            Setup::ActPass => return Err(SdpError::Attribute("setup").into()),
        };
        let changed = self.is_restart(&answer);
        let ours = self.negotiation.offered.take().and_then(|offer| offer.restart);
        // A peer that keeps its credentials did not restart: then neither do we.
        let restart = changed.then(|| ours.unwrap_or_else(|| self.ice.credentials().clone()));
        self.apply(now, &answer, restart, self.part(active))?;
        self.negotiation.media = Some(media);
        self.drive(now);
        Ok(())
    }

    /// Takes our offer back (the peer will not answer it). Nothing else changes.
    pub fn rollback(&mut self) {
        self.negotiation.offered = None;
    }

    fn check_state(&self, operation: &'static str) -> Result<(), SessionError> {
        if self.stage == Stage::Ended {
            return Err(SessionError::Ended);
        }
        if self.negotiation.offered.is_some() {
            return Err(SessionError::WrongState { operation, state: "an answer is awaited" });
        }
        Ok(())
    }

    fn check_fingerprint(&self, remote: &RemoteDescription) -> Result<(), SdpError> {
        let changed = self.dtls.as_ref().is_some_and(|dtls| dtls.expects() != remote.fingerprint);
        if changed { Err(SdpError::FingerprintChanged) } else { Ok(()) }
    }

    /// A running association keeps its parts whatever a later description says.
    fn part(&self, active: bool) -> bool {
        self.dtls.as_ref().map_or(active, DtlsEndpoint::is_active)
    }

    fn is_restart(&self, remote: &RemoteDescription) -> bool {
        self.ice
            .remote_credentials()
            .is_some_and(|known| known.ufrag != remote.ufrag || known.pass != remote.password)
    }

    fn apply(
        &mut self,
        now: Instant,
        remote: &RemoteDescription,
        restart: Option<IceCreds>,
        active: bool,
    ) -> Result<(), SessionError> {
        if self.dtls.is_none() {
            let certificate = Arc::clone(&self.config.certificate);
            let dtls = DtlsEndpoint::new(certificate, self.config.dtls, active, remote.fingerprint, now)?;
            self.dtls = Some(dtls);
            self.timers.described = Some(now);
            self.timers.connect = Some(now + self.config.connect_timeout);
        }
        self.negotiation.sources.clone_from(&remote.sources);
        if remote.ice_lite && !self.config.ice_lite {
            self.ice.take_control();
        }
        let credentials = IceCreds { ufrag: remote.ufrag.clone(), pass: remote.password.clone() };
        self.ice.set_remote(restart, credentials);
        for line in &remote.candidates {
            // A candidate that cannot be used does not make the description unusable.
            let _unusable = self.add_remote_candidate(now, line);
        }
        Ok(())
    }

    fn describe(&mut self, media: &Media, setup: Setup) -> String {
        self.negotiation.version += 1;
        let negotiation = &self.negotiation;
        let credentials = negotiation.credentials(&self.ice);
        write(&LocalDescription {
            session_id: negotiation.session_id,
            version: negotiation.version,
            ufrag: &credentials.ufrag,
            password: &credentials.pass,
            ice_lite: self.config.ice_lite,
            fingerprint: self.config.certificate.fingerprint(),
            setup,
            sections: &negotiation.sections,
            audio_section: negotiation.audio_section,
            bundle: negotiation.bundle,
            media,
            opus: &self.config.opus,
            ssrc: self.outbound.ssrc,
            cname: &self.outbound.cname,
            candidates: self.ice.local_lines(&credentials.ufrag),
        })
    }
}
