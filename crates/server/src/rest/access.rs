//! Which application a request comes from.

use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use axum::body::to_bytes;
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use offhook_signaling::token::ApplicationSecret;
use offhook_signaling::{ApplicationKey, UnixSeconds};

use super::Refusal;
use super::signature::{BodyDigest, Signed};
use crate::environment;
use crate::server::Shared;

const MOST_BODY: usize = 64 * 1024;
/// How far a signed request's time may be from this server's.
const TOLERANCE_SECONDS: u64 = 300;

/// The proof that a request comes from an application's back end.
#[derive(Debug)]
pub(super) struct Access {
    pub(super) application: ApplicationKey,
}

impl FromRequest<Arc<Shared>> for Access {
    type Rejection = Refusal;

    async fn from_request(request: Request, shared: &Arc<Shared>) -> Result<Self, Refusal> {
        let authorization = text(request.headers(), header::AUTHORIZATION.as_str());
        let (scheme, proof) = authorization.split_once(' ').ok_or(Refusal::Authorization)?;
        let application = if scheme.eq_ignore_ascii_case("basic") {
            basic(shared, proof)?
        } else if scheme.eq_ignore_ascii_case("application") {
            let proof = proof.to_owned();
            signed(shared, request, &proof).await?
        } else {
            return Err(Refusal::Authorization);
        };
        Ok(Self { application })
    }
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

async fn signed(shared: &Shared, request: Request, proof: &str) -> Result<ApplicationKey, Refusal> {
    let (key, signature) = proof.trim().split_once(':').ok_or(Refusal::Authorization)?;
    // The published vectors write keys in upper case.
    let key = ApplicationKey::new(key.to_ascii_lowercase()).map_err(|_| Refusal::Credentials)?;
    let (head, body) = request.into_parts();
    let timestamp = text(&head.headers, "x-timestamp");
    let at = parse_time(timestamp).ok_or(Refusal::Timestamp)?;
    if at.0.abs_diff(environment::wall().0) > TOLERANCE_SECONDS {
        return Err(Refusal::Timestamp);
    }
    let secrets = shared.applications.secrets(&key);
    if secrets.is_empty() {
        return Err(Refusal::Credentials);
    }
    let body = to_bytes(body, MOST_BODY).await.map_err(|_| Refusal::Parameter("the body is too large"))?;
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
    if secrets.iter().any(holds) { Ok(key) } else { Err(Refusal::Signature) }
}

/// Reads `2014-06-04T13:41:58Z`, with or without a fraction of a second (ISO 8601, UTC only).
fn parse_time(text: &str) -> Option<UnixSeconds> {
    let whole = text.strip_suffix('Z')?;
    let (whole, fraction) = whole.split_once('.').unwrap_or((whole, "0"));
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let shape = whole.bytes().enumerate().all(|(index, byte)| match index {
        4 | 7 => byte == b'-',
        10 => byte == b'T',
        13 | 16 => byte == b':',
        _ => byte.is_ascii_digit(),
    });
    if whole.len() != 19 || !shape || !is_number(fraction) {
        return None;
    }
    let number = |range: std::ops::Range<usize>| whole.get(range)?.parse::<u64>().ok();
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    let (hour, minute, second) = (number(11..13)?, number(14..16)?, number(17..19)?);
    if year < 1970
        || !(1..=12).contains(&month)
        || !(1..=31).contains(&day)
        || hour > 23
        || minute > 59
        || second > 60
    {
        return None;
    }
    // Days since the beginning of 1970, with years that begin in March (the Gregorian calendar repeats after 400 years).
    let year = if month <= 2 { year - 1 } else { year };
    let month = (month + 9) % 12;
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1;
    let days = days.checked_sub(719_468)?;
    Some(UnixSeconds(days * 86_400 + hour * 3600 + minute * 60 + second))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_and_other_texts_are_not() {
        let seconds = |text| parse_time(text).map(|time| time.0);
        assert_eq!(seconds("1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(seconds("2014-06-04T13:41:58Z"), Some(1_401_889_318));
        assert_eq!(seconds("2018-01-02T03:04:05.678Z"), Some(1_514_862_245));
        assert_eq!(seconds("2024-02-29T00:00:00Z"), Some(1_709_164_800));
        for wrong in [
            "",
            "Z",
            "2014-06-04T13:41:58",
            "2014-06-04 13:41:58Z",
            "2014-13-04T13:41:58Z",
            "2014-06-04T13:41:58.Z",
            "é014-06-04T13:41:5Z",
        ] {
            assert_eq!(seconds(wrong), None, "{wrong}");
        }
    }
}
