//! One message to one device: encrypted, signed, sent, and tried again where that may help.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use offhook_signaling::message::PushSubscription;
use sha2::{Digest as _, Sha256};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use web_push_native::{Auth, p256};

use super::vapid::Vapid;
use crate::endpoint::{Endpoint, EndpointError};
use crate::environment;
use crate::fetch::{FetchError, Fetcher};
use crate::metrics::Metrics;

/// For name, connection, TLS, request and answer together.
const PATIENCE: Duration = Duration::from_secs(10);
/// Requests at once.
const MOST_REQUESTS: usize = 64;
/// Before each further try.
const PAUSES: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(4)];

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Where a device is woken and how it reads; checked.
#[derive(Clone)]
pub(super) struct Target {
    endpoint: Endpoint,
    key: p256::PublicKey,
    auth: Auth,
}

/// A message.
#[derive(Debug, Clone)]
pub(super) struct Message {
    pub(super) text: String,
    /// For how long it is of use, in seconds.
    pub(super) ttl: u64,
    /// A newer message of a topic takes the place of one that is not delivered.
    pub(super) topic: String,
}

/// Why a message was not taken.
#[derive(Debug, thiserror::Error)]
pub(super) enum SendError {
    /// The push service does not know the device any more: forget the subscription.
    #[error("the push service does not know the subscription any more")]
    Gone,
    /// The push service refuses, and would again.
    #[error("the push service answers {0}")]
    Refused(StatusCode),
    /// The push service cannot now.
    #[error("the push service answers {0} for now")]
    Busy(StatusCode),
    /// Its address may not be used or is not known.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// It cannot be reached.
    #[error("the push service cannot be reached: {0}")]
    Network(String),
    /// The message cannot be encrypted for this device.
    #[error("the message cannot be encrypted")]
    Encrypt,
}

impl SendError {
    const fn may_pass(&self) -> bool {
        matches!(self, Self::Busy(_) | Self::Network(_) | Self::Endpoint(EndpointError::Unknown))
    }
}

impl Target {
    /// `None`: the subscription cannot be used.
    pub(super) fn new(subscription: &PushSubscription, any: bool) -> Option<Self> {
        let endpoint = Endpoint::parse(&subscription.endpoint, any).ok()?;
        let key = BASE64.decode(&subscription.p256dh).ok().filter(|key| key.len() == 65)?;
        let key = p256::PublicKey::from_sec1_bytes(&key).ok()?;
        let auth = BASE64.decode(&subscription.auth).ok().filter(|auth| auth.len() == 16)?;
        Some(Self { endpoint, key, auth: Auth::clone_from_slice(&auth) })
    }
}

/// The topic of a call: at most 32 characters of base64url (RFC 8030, section 5.4).
pub(super) fn topic(call_id: &str) -> String {
    URL_SAFE_NO_PAD.encode(&Sha256::digest(call_id)[..24])
}

/// Sends, a bounded number at once.
#[derive(Debug)]
pub(super) struct Sender {
    vapid: Vapid,
    any_endpoint: bool,
    fetcher: Fetcher,
    places: Semaphore,
    metrics: Arc<Metrics>,
}

impl Sender {
    /// `any_endpoint` allows http and addresses that are not public.
    pub(super) fn new(vapid: Vapid, any_endpoint: bool, fetcher: Fetcher, metrics: Arc<Metrics>) -> Self {
        Self { vapid, any_endpoint, fetcher, places: Semaphore::new(MOST_REQUESTS), metrics }
    }

    pub(super) const fn vapid(&self) -> &Vapid {
        &self.vapid
    }

    pub(super) const fn any_endpoint(&self) -> bool {
        self.any_endpoint
    }

    /// Sends `message`, again after a pause where that may help.
    pub(super) async fn send(&self, target: &Target, message: &Message) -> Result<(), SendError> {
        let sent = self.try_often(target, message).await;
        self.metrics.note_push(match sent {
            Ok(()) => "delivered",
            Err(SendError::Gone) => "gone",
            Err(_) => "failed",
        });
        sent
    }

    async fn try_often(&self, target: &Target, message: &Message) -> Result<(), SendError> {
        let mut pauses = PAUSES.iter();
        loop {
            let error = match self.try_once(target, message).await {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            match pauses.next().filter(|_| error.may_pass()) {
                Some(pause) => sleep(*pause).await,
                None => return Err(error),
            }
        }
    }

    async fn try_once(&self, target: &Target, message: &Message) -> Result<(), SendError> {
        let body = web_push_native::encrypt(message.text.clone().into_bytes(), &target.key, &target.auth)
            .map_err(|_| SendError::Encrypt)?;
        let request = self.request(&target.endpoint, message, body)?;
        // The semaphore is never closed.
        let _place = self.places.acquire().await;
        let sent = timeout(PATIENCE, self.exchange(&target.endpoint, request)).await;
        match sent.unwrap_or_else(|_| Err(SendError::Network("no answer in time".to_owned())))? {
            status if status.is_success() => Ok(()),
            StatusCode::NOT_FOUND | StatusCode::GONE => Err(SendError::Gone),
            status if status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error() => {
                Err(SendError::Busy(status))
            }
            // Redirections too: whoever is sent elsewhere could be sent inside.
            status => Err(SendError::Refused(status)),
        }
    }

    fn request(
        &self,
        endpoint: &Endpoint,
        message: &Message,
        body: Vec<u8>,
    ) -> Result<Request<Body>, SendError> {
        let authorization = self.vapid.authorization(&endpoint.origin(), environment::wall());
        Request::post(endpoint.path())
            .header(header::HOST, endpoint.authority())
            .header(header::AUTHORIZATION, authorization)
            .header(header::CONTENT_TYPE, "application/octet-stream")
            .header(header::CONTENT_ENCODING, "aes128gcm")
            .header("ttl", message.ttl)
            .header("urgency", "high")
            .header("topic", &message.topic)
            .body(Body::from(body))
            .map_err(|_| SendError::Endpoint(EndpointError::Form))
    }

    async fn exchange(&self, endpoint: &Endpoint, request: Request<Body>) -> Result<StatusCode, SendError> {
        // The status is all that is read.
        let answer = self.fetcher.send(endpoint, self.any_endpoint, request, 0).await?;
        Ok(answer.status)
    }
}

impl From<FetchError> for SendError {
    fn from(error: FetchError) -> Self {
        match error {
            FetchError::Endpoint(error) => Self::Endpoint(error),
            FetchError::Network(reason) => Self::Network(reason),
            FetchError::TooLong => Self::Network(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use rustls::RootCertStore;
    use rustls::crypto::aws_lc_rs;
    use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;
    use tokio_rustls::TlsAcceptor;

    use super::*;
    use crate::push::vapid;

    fn sender(roots: RootCertStore) -> Sender {
        let vapid = Vapid::new(&vapid::fresh_key(), "mailto:admin@example.com".to_owned()).unwrap();
        Sender::new(vapid, true, Fetcher::new(roots).unwrap(), Arc::new(Metrics::new()))
    }

    fn target(port: u16) -> Target {
        let subscription = PushSubscription {
            endpoint: format!("https://localhost:{port}/push"),
            p256dh: "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4"
                .to_owned(),
            auth: "BTBZMqHH6r4Tts7J_aSIgg".to_owned(),
        };
        Target::new(&subscription, true).unwrap()
    }

    /// Speaks TLS with `answer` to every request; gives its port and its certificate.
    async fn service(answer: &'static str) -> (u16, RootCertStore) {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialized_der().to_vec()));
        let mut roots = RootCertStore::empty();
        roots.add(made.cert.der().clone()).unwrap();
        let config = rustls::ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
        let listener = TcpListener::bind("localhost:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            let acceptor = TlsAcceptor::from(Arc::new(config));
            while let Ok((stream, _)) = listener.accept().await {
                let Ok(mut stream) = acceptor.accept(stream).await else { continue };
                let mut request = [0; 4096];
                let _ = stream.read(&mut request).await;
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        (port, roots)
    }

    fn message() -> Message {
        Message { text: "{}".to_owned(), ttl: 1, topic: topic("c1") }
    }

    #[tokio::test]
    async fn a_push_goes_over_tls_and_a_redirection_is_not_followed() {
        let (port, roots) = service("HTTP/1.1 201 Created\r\ncontent-length: 0\r\n\r\n").await;
        sender(roots).send(&target(port), &message()).await.unwrap();
        let (port, roots) =
            service("HTTP/1.1 307 Temporary Redirect\r\nlocation: http://127.0.0.1/\r\n\r\n").await;
        let error = sender(roots).send(&target(port), &message()).await.unwrap_err();
        assert!(matches!(error, SendError::Refused(StatusCode::TEMPORARY_REDIRECT)), "{error}");
    }

    #[tokio::test]
    async fn a_service_that_cannot_prove_its_name_gets_nothing() {
        let (port, _) = service("HTTP/1.1 201 Created\r\ncontent-length: 0\r\n\r\n").await;
        let error = sender(RootCertStore::empty()).try_once(&target(port), &message()).await.unwrap_err();
        assert!(matches!(error, SendError::Network(_)), "{error}");
    }
}
