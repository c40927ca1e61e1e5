//! Which application a request comes from.

use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use offhook_signaling::ApplicationKey;
use offhook_signaling::token::ApplicationSecret;
use tokio::time::timeout;

use super::Refusal;
use super::signature::{BodyDigest, Signed};
use crate::accept::Guest;
use crate::environment;
use crate::server::Shared;
use crate::time::parse_iso8601;

const MOST_BODY: usize = 64 * 1024;
/// How far a signed request's time may be from this server's.
const TOLERANCE_SECONDS: u64 = 300;

/// The proof that a request comes from an application's back end.
#[derive(Debug)]
pub(super) struct Access {
    pub(super) application: ApplicationKey,
    pub(super) body: Bytes,
}

impl FromRequest<Arc<Shared>> for Access {
    type Rejection = Refusal;

    async fn from_request(request: Request, shared: &Arc<Shared>) -> Result<Self, Refusal> {
        // Every request comes with its guest; without one nothing could be counted.
        let from = request.extensions().get::<Arc<Guest>>().map(|guest| guest.address());
        let from = from.ok_or(Refusal::Limited)?;
        let now = environment::now();
        if !shared.tolls.may_prove(from, now) {
            return Err(Refusal::Limited);
        }
        let proved = prove(request, shared).await;
        match &proved {
            Ok(access) if !shared.tolls.may_ask(&access.application, now) => return Err(Refusal::Limited),
            Err(Refusal::Credentials | Refusal::Signature) => shared.tolls.note_refusal(from, now),
            _ => {}
        }
        proved
    }
}

async fn prove(request: Request, shared: &Arc<Shared>) -> Result<Access, Refusal> {
    let authorization = text(request.headers(), header::AUTHORIZATION.as_str());
    let (scheme, proof) = authorization.split_once(' ').ok_or(Refusal::Authorization)?;
    if scheme.eq_ignore_ascii_case("basic") {
        let application = basic(shared, proof)?;
        Ok(Access { application, body: body(shared, request.into_body()).await? })
    } else if scheme.eq_ignore_ascii_case("application") {
        let proof = proof.to_owned();
        signed(shared, request, &proof).await
    } else {
        Err(Refusal::Authorization)
    }
}

/// A body that drips in would hold its connection for ever, before anybody has proved anything.
async fn body(shared: &Shared, body: Body) -> Result<Bytes, Refusal> {
    let read = timeout(shared.config.sessions.hello, to_bytes(body, MOST_BODY)).await;
    let read = read.map_err(|_| Refusal::parameter("the body did not come in time"))?;
    read.map_err(|_| Refusal::parameter("the body is too large"))
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

fn basic(shared: &Shared, proof: &str) -> Result<ApplicationKey, Refusal> {
    let decoded = STANDARD.decode(proof.trim()).map_err(|_| Refusal::Authorization)?;
    let decoded = String::from_utf8(decoded).map_err(|_| Refusal::Authorization)?;
    let (key, secret) = decoded.split_once(':').ok_or(Refusal::Authorization)?;
    let key = ApplicationKey::new(key).map_err(|_| Refusal::Credentials)?;
    let matches = |known: &ApplicationSecret| {
        verify_slices_are_equal(known.to_base64().as_bytes(), secret.as_bytes()).is_ok()
    };
    if shared.applications.secrets(&key).iter().any(matches) { Ok(key) } else { Err(Refusal::Credentials) }
}

async fn signed(shared: &Shared, request: Request, proof: &str) -> Result<Access, Refusal> {
    let (key, signature) = proof.trim().split_once(':').ok_or(Refusal::Authorization)?;
    // The published vectors write keys in upper case.
    let key = ApplicationKey::new(key.to_ascii_lowercase()).map_err(|_| Refusal::Credentials)?;
    let (head, unread) = request.into_parts();
    let timestamp = text(&head.headers, "x-timestamp");
    let at = parse_iso8601(timestamp).ok_or(Refusal::Timestamp)?;
    if at.0.abs_diff(environment::wall().0) > TOLERANCE_SECONDS {
        return Err(Refusal::Timestamp);
    }
    let secrets = shared.applications.secrets(&key);
    if secrets.is_empty() {
        return Err(Refusal::Credentials);
    }
    let body = body(shared, unread).await?;
    let request = Signed {
        method: head.method.as_str(),
        content_type: text(&head.headers, header::CONTENT_TYPE.as_str()),
        timestamp,
        path: head.uri.path_and_query().map_or("/", |path| path.as_str()),
        body: &body,
    };
    let holds = |secret: &ApplicationSecret| {
        [BodyDigest::Sha256, BodyDigest::Md5]
            .into_iter()
            .any(|digest| request.verifies(secret, digest, signature))
    };
    if !secrets.iter().any(holds) {
        return Err(Refusal::Signature);
    }
    Ok(Access { application: key, body })
}
