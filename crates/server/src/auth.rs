//! Who may in: tokens of the application, then the credentials of the device.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use offhook_signaling::call::DeviceAddress;
use offhook_signaling::message::{Credential, IssuedCredential, WireError};
use offhook_signaling::token::{Claims, NonceUse, TokenPolicy, Verifier};
use offhook_signaling::{DeviceCredential, UserId};

use crate::applications::Applications;
use crate::environment::{self, OsEntropy};
use crate::store::{CredentialHash, DeviceRecord, Store, StoreError};
use crate::toll::Tolls;

/// Checks credentials and issues new ones.
#[derive(Debug)]
pub(crate) struct Auth {
    verifier: Verifier,
    clock_tolerance: Duration,
    credential_lifetime: Duration,
    applications: Arc<Applications>,
    /// The echo user: nobody registers under its name.
    reserved: Option<UserId>,
    store: Arc<dyn Store>,
    tolls: Arc<Tolls>,
}

impl Auth {
    pub(crate) fn new(
        applications: Arc<Applications>,
        policy: TokenPolicy,
        credential_lifetime: Duration,
        reserved: Option<UserId>,
        store: Arc<dyn Store>,
        tolls: Arc<Tolls>,
    ) -> Self {
        Self {
            verifier: Verifier::new(policy),
            clock_tolerance: policy.clock_tolerance,
            credential_lifetime,
            applications,
            reserved,
            store,
            tolls,
        }
    }

    /// Lets a device in. A token brings a new credential with it; a credential that is good brings none.
    pub(crate) async fn admit(
        &self,
        address: &DeviceAddress,
        credential: &Credential,
        from: IpAddr,
    ) -> Result<Option<IssuedCredential>, WireError> {
        match credential {
            Credential::Token(token) => self.register(address, token, from).await.map(Some),
            Credential::Device(secret) => {
                let admitted = self.limited(from, self.log_in(address, secret)).await;
                admitted.map(|()| None)
            }
        }
    }

    /// Registers a device by token, or extends its registration.
    pub(crate) async fn register(
        &self,
        address: &DeviceAddress,
        token: &str,
        from: IpAddr,
    ) -> Result<IssuedCredential, WireError> {
        self.limited(from, self.register_unlimited(address, token, from)).await
    }

    /// Looks at what an address shows only as long as it does not guess.
    async fn limited<T>(
        &self,
        from: IpAddr,
        proof: impl Future<Output = Result<T, WireError>>,
    ) -> Result<T, WireError> {
        if !self.tolls.may_prove(from, environment::now()) {
            return Err(WireError::RateLimited);
        }
        let proved = proof.await;
        if proved.as_ref().is_err_and(|error| !matches!(error, WireError::Internal | WireError::RateLimited))
        {
            self.tolls.note_refusal(from, environment::now());
        }
        proved
    }

    async fn register_unlimited(
        &self,
        address: &DeviceAddress,
        token: &str,
        from: IpAddr,
    ) -> Result<IssuedCredential, WireError> {
        let DeviceAddress { application, user, .. } = address;
        let now = environment::wall();
        // An unknown application has no secrets: the same refusal as for a wrong secret.
        let secrets = self.applications.secrets(application);
        let claims = self.verifier.verify(token, application, user, now, &secrets).map_err(|error| {
            tracing::debug!(%application, %error, "token refused");
            error.wire()
        })?;
        self.check_reserved(user)?;
        self.refuse_blocked(address).await?;
        if !self.tolls.may_register(address, from, environment::now()) {
            return Err(WireError::RateLimited);
        }
        self.bind_nonce(address, &claims).await?;
        self.issue(address, &claims).await
    }

    async fn log_in(&self, address: &DeviceAddress, secret: &DeviceCredential) -> Result<(), WireError> {
        self.check_reserved(&address.user)?;
        let record = self.store.device(CredentialHash::of(secret)).await.map_err(failed)?;
        match record {
            Some(record) if record.address == *address && record.expires > environment::wall() => {
                self.refuse_blocked(address).await
            }
            _ => Err(WireError::CredentialRefused),
        }
    }

    fn check_reserved(&self, user: &UserId) -> Result<(), WireError> {
        if self.reserved.as_ref() == Some(user) { Err(WireError::UserReserved) } else { Ok(()) }
    }

    /// Who is blocked, and proved who they are, is told so; a blocked application's users as if their credential were gone.
    async fn refuse_blocked(&self, address: &DeviceAddress) -> Result<(), WireError> {
        let blocked = self.store.blocked_since(&address.application, &address.user).await.map_err(failed)?;
        if !self.applications.contains(&address.application) {
            return Err(WireError::CredentialRefused);
        }
        if blocked.is_some() { Err(WireError::UserBlocked) } else { Ok(()) }
    }

    async fn bind_nonce(&self, address: &DeviceAddress, claims: &Claims) -> Result<(), WireError> {
        let scope = format!("{}/{}", address.application, address.user);
        // The verifier accepts a token until its end plus the tolerance: so long it must be remembered.
        let expires = claims.expires.plus(self.clock_tolerance.as_secs());
        let now = environment::wall();
        let bound = self.store.bind_nonce(&scope, &claims.nonce, &address.device, expires, now);
        match bound.await.map_err(failed)? {
            NonceUse::First | NonceUse::Repeated => Ok(()),
            NonceUse::OtherDevice => Err(WireError::TokenReplayed),
            NonceUse::Full => Err(WireError::RateLimited),
        }
    }

    async fn issue(&self, address: &DeviceAddress, claims: &Claims) -> Result<IssuedCredential, WireError> {
        let now = environment::wall();
        let expires = claims.instance_expires.unwrap_or_else(|| now.plus(self.credential_lifetime.as_secs()));
        if expires <= now {
            return Err(WireError::TokenExpired);
        }
        let secret = DeviceCredential::random(&mut OsEntropy);
        let hash = CredentialHash::of(&secret);
        let record = DeviceRecord { address: address.clone(), hash, issued: now, expires };
        self.store.put_device(&record).await.map_err(failed)?;
        Ok(IssuedCredential { secret, expires })
    }
}

#[expect(clippy::needless_pass_by_value, reason = "fits map_err")]
fn failed(error: StoreError) -> WireError {
    tracing::error!(%error, "store failed");
    WireError::Internal
}
