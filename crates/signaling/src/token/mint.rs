//! Making a token: for an application's back end, tools, tests and the demo.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::{ApplicationSecret, day_of};
use crate::UnixSeconds;
use crate::id::{ApplicationKey, UserId};

/// What goes into a token.
#[derive(Debug, Clone)]
pub struct MintRequest<'a> {
    /// The application.
    pub application_key: &'a ApplicationKey,
    /// Its secret.
    pub secret: &'a ApplicationSecret,
    /// The user the token is for.
    pub user: &'a UserId,
    /// When it is made.
    pub issued_at: UnixSeconds,
    /// How many seconds it lives; 600 is usual.
    pub ttl_seconds: u64,
    /// A text that is never used twice, for instance [`crate::entropy::uuid`].
    pub nonce: &'a str,
    /// When the registration itself ends (`sinch:rtc:instance:exp`).
    pub instance_expires: Option<UnixSeconds>,
}

/// Makes a token: compact JWS with the members in the published order.
pub fn mint(request: &MintRequest<'_>) -> String {
    let day = day_of(request.issued_at).unwrap_or_else(|| "99991231".to_owned());
    let key = request.application_key;
    let expires = request.issued_at.plus(request.ttl_seconds).0;
    let issued = request.issued_at.0;
    let nonce = serde_json::Value::from(request.nonce);
    let instance = request
        .instance_expires
        .map_or_else(String::new, |t| format!(r#","sinch:rtc:instance:exp":{}"#, t.0));
    let header = format!(r#"{{"alg":"HS256","kid":"hkdfv1-{day}"}}"#);
    let payload = format!(
        r#"{{"iss":"//rtc.sinch.com/applications/{key}","sub":"//rtc.sinch.com/applications/{key}/users/{}","iat":{issued},"exp":{expires},"nonce":{nonce}{instance}}}"#,
        request.user
    );
    let input = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
    let signature = request.secret.sign(&day, input.as_bytes());
    format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature))
}
