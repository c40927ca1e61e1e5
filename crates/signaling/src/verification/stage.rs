//! Where the verification of one call stands.

use super::{
    AuthenticationString, Callee, Caller, CertificateFingerprint, Commitment, Committed, Nonce, Verification,
    VerificationError,
};
use crate::entropy::EntropySource;
use crate::id::CallId;

/// Where it stands, by role.
#[derive(Debug)]
enum Step {
    Unavailable,
    Calling(Caller),
    Ringing(Callee),
    Answered(Committed),
    Done(AuthenticationString, Nonce),
    Failed(VerificationError),
}

/// The verification of one call, driven by its messages.
#[derive(Debug)]
pub(crate) struct Stage {
    step: Step,
    outgoing: bool,
    /// The other side's certificate, which stays.
    remote: Option<CertificateFingerprint>,
    told: Option<Verification>,
}

impl Stage {
    /// Of an outgoing call, and what goes with its offer. An offer without one certificate has none.
    pub(crate) fn calling(
        call: &CallId,
        offer: &str,
        entropy: &mut dyn EntropySource,
    ) -> (Self, Option<Commitment>) {
        let caller = CertificateFingerprint::of_description(offer)
            .map(|own| Caller::new(call.clone(), Nonce::random(entropy), own));
        let commitment = caller.as_ref().ok().map(Caller::commitment);
        let step = caller.map_or(Step::Unavailable, Step::Calling);
        (Self { step, outgoing: true, remote: None, told: None }, commitment)
    }

    /// Of an incoming call.
    pub(crate) fn ringing(call: &CallId, commitment: Option<&str>, offer: &str) -> Self {
        let callee = commitment.map(|commitment| Callee::new(call.clone(), commitment, offer));
        let remote = callee.as_ref().and_then(|callee| Some(callee.as_ref().ok()?.caller()));
        let step = match callee {
            None => Step::Unavailable,
            Some(Ok(callee)) => Step::Ringing(callee),
            Some(Err(error)) => Step::Failed(error),
        };
        Self { step, outgoing: false, remote, told: None }
    }

    /// How it stands, for the application.
    pub(crate) const fn view(&self) -> Verification {
        match &self.step {
            Step::Unavailable => Verification::Unavailable,
            Step::Calling(_) | Step::Ringing(_) | Step::Answered(_) => Verification::Pending,
            Step::Done(string, _) => Verification::Ready(*string),
            Step::Failed(error) => Verification::Failed(*error),
        }
    }

    /// This side answers: the nonce that goes with the answer.
    pub(crate) fn answer(&mut self, answer: &str, entropy: &mut dyn EntropySource) -> Option<Nonce> {
        match std::mem::replace(&mut self.step, Step::Unavailable) {
            Step::Ringing(callee) => {
                let own = CertificateFingerprint::of_description(answer).ok()?;
                let nonce = Nonce::random(entropy);
                self.step = Step::Answered(callee.answer(nonce, own));
                Some(nonce)
            }
            other => {
                self.step = other;
                None
            }
        }
    }

    /// The other side answered: the nonce that this side reveals.
    pub(crate) fn answered(&mut self, nonce: Option<&str>, answer: &str) -> Option<Nonce> {
        match std::mem::replace(&mut self.step, Step::Unavailable) {
            // Without a nonce the other side does not know of all this.
            Step::Calling(caller) => match caller.answered(nonce?, answer) {
                Ok((string, own, remote)) => {
                    self.step = Step::Done(string, own);
                    self.remote = Some(remote);
                    Some(own)
                }
                Err(error) => {
                    self.step = Step::Failed(error);
                    None
                }
            },
            other => {
                self.step = other;
                None
            }
        }
    }

    /// How it ended, once for each end.
    pub(crate) fn take_news(&mut self) -> Option<Verification> {
        let now = Some(self.view());
        let is_end = matches!(now, Some(Verification::Ready(_) | Verification::Failed(_)));
        if !is_end || self.told == now {
            return None;
        }
        self.told = now;
        now
    }

    /// The caller's nonce came.
    pub(crate) fn revealed(&mut self, nonce: &str) {
        self.step = match std::mem::replace(&mut self.step, Step::Unavailable) {
            Step::Answered(committed) => match committed.revealed(nonce) {
                Ok((string, nonce)) => Step::Done(string, nonce),
                Err(error) => Step::Failed(error),
            },
            // Said again after a reconnect.
            Step::Done(string, known) if !self.outgoing && Nonce::parse(nonce) == Ok(known) => {
                Step::Done(string, known)
            }
            Step::Done(..) if !self.outgoing => Step::Failed(VerificationError::RevealChanged),
            Step::Calling(_) | Step::Ringing(_) | Step::Done(..) => {
                Step::Failed(VerificationError::OutOfOrder)
            }
            // Nothing follows an end.
            end @ (Step::Unavailable | Step::Failed(_)) => end,
        };
    }

    /// A later description of the other side: whether it may be followed. Where it may not, the verification has failed.
    pub(crate) fn allows(&mut self, description: &str) -> bool {
        let Some(remote) = self.remote else { return true };
        let stays = CertificateFingerprint::of_description(description) == Ok(remote);
        if !stays {
            self.step = Step::Failed(VerificationError::FingerprintChanged);
        }
        stays
    }

    /// The caller's nonce was waited for long enough.
    pub(crate) fn expire(&mut self) {
        if self.awaits_reveal() {
            self.step = Step::Failed(VerificationError::RevealMissing);
        }
    }

    /// Whether the caller's nonce is waited for.
    pub(crate) const fn awaits_reveal(&self) -> bool {
        matches!(self.step, Step::Answered(_))
    }

    /// The nonce that this side, the caller, has revealed.
    pub(crate) const fn own_reveal(&self) -> Option<Nonce> {
        match &self.step {
            Step::Done(_, nonce) if self.outgoing => Some(*nonce),
            _ => None,
        }
    }
}
