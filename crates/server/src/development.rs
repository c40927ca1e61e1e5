//! Tokens for the softphone page, from the development application alone.
//!
//! A real application's back end signs tokens for people it knows. Whoever tries Offhook on their own machine has none, so
//! the server signs for any user name, and only where that gives nobody anything: the application was made by this server
//! because none is configured, the listening address is loopback, the request was not passed on by a proxy, and it comes
//! from our own page. A foreign page cannot ask: the content type makes its browser ask for leave first, which nobody gives,
//! its `Origin` is another, and a name that was made to point at this machine is not a loopback name in `Host`.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, State};
use axum::http::header::{self, HeaderMap};
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse as _, Json, Response};
use axum::routing::{MethodRouter, get};
use offhook_signaling::token::{MintRequest, mint};
use offhook_signaling::{UserId, entropy};
use serde::Deserialize;

use crate::application::DevelopmentApplication;
use crate::environment::{self, OsEntropy};
use crate::server::Shared;

/// Long enough to register, no longer.
const TOKEN_SECONDS: u64 = 600;
const MOST_BODY: usize = 1024;
/// A proxy speaks for others: its requests are not from this machine, wherever they seem to come from.
const PROXY_HEADERS: [&str; 5] = ["forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-real-ip"];

#[derive(Debug, Deserialize)]
struct TokenRequest {
    user: UserId,
}

/// `GET` tells the application's key, `POST {"user": "alice"}` brings a token too; 404 for everybody else.
pub(crate) fn routes() -> MethodRouter<Arc<Shared>> {
    get(key).post(token).layer(DefaultBodyLimit::max(MOST_BODY))
}

async fn key(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Response {
    match granted(&shared, &headers) {
        Some(application) => answer(serde_json::json!({ "application_key": application.key() })),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

async fn token(
    State(shared): State<Arc<Shared>>,
    uri: Uri,
    headers: HeaderMap,
    request: Result<Json<TokenRequest>, axum::extract::rejection::JsonRejection>,
) -> Response {
    let Some(application) = granted(&shared, &headers) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let Ok(Json(TokenRequest { user })) = request else {
        let text = format!("send JSON like {{\"user\": \"alice\"}} to {}\n", uri.path());
        return (StatusCode::BAD_REQUEST, text).into_response();
    };
    let token = mint(&MintRequest {
        application_key: application.key(),
        secret: &application.application().secrets()[0],
        user: &user,
        issued_at: environment::wall(),
        ttl_seconds: TOKEN_SECONDS,
        nonce: &entropy::uuid(&mut OsEntropy),
        instance_expires: None,
    });
    answer(serde_json::json!({ "application_key": application.key(), "token": token }))
}

fn answer(value: serde_json::Value) -> Response {
    ([(header::CACHE_CONTROL, "no-store")], Json(value)).into_response()
}

fn granted<'a>(shared: &'a Shared, headers: &HeaderMap) -> Option<&'a DevelopmentApplication> {
    shared.page_application.as_ref().filter(|_| is_own(headers))
}

/// Whether a request comes from our page in a browser on this machine, or from a tool on it.
fn is_own(headers: &HeaderMap) -> bool {
    is_of_this_machine(headers) && text(headers, "sec-fetch-site").is_none_or(|site| site == "same-origin")
}

/// Whether a request comes from this machine, and no page of somebody else could read what is answered.
pub(crate) fn is_of_this_machine(headers: &HeaderMap) -> bool {
    let Some(host) = text(headers, "host").filter(|host| is_loopback(host)) else { return false };
    let same_origin = text(headers, "origin").is_none_or(|origin| {
        ["http://", "https://"].iter().any(|scheme| origin.strip_prefix(scheme) == Some(host))
    });
    same_origin && PROXY_HEADERS.iter().all(|name| !headers.contains_key(*name))
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).map(|value| value.to_str().unwrap_or("?"))
}

/// Reads `Host`: a loopback address or `localhost`, with or without a port.
fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn only_our_own_page_and_tools_of_this_machine_are_served() {
        for own in [
            &[
                ("host", "127.0.0.1:7070"),
                ("origin", "http://127.0.0.1:7070"),
                ("sec-fetch-site", "same-origin"),
            ][..],
            &[("host", "localhost")],
            &[("host", "[::1]:7070"), ("origin", "https://[::1]:7070")],
        ] {
            assert!(is_own(&headers(own)), "{own:?}");
        }
        for foreign in [
            &[][..],
            &[("host", "evil.example")],
            &[("host", "127.0.0.1.evil.example:7070")],
            &[("host", "localhost:7070"), ("origin", "http://evil.example")],
            &[("host", "localhost:7070"), ("origin", "http://localhost:8080")],
            &[("host", "localhost:7070"), ("origin", "null")],
            &[("host", "localhost:7070"), ("sec-fetch-site", "cross-site")],
            &[("host", "localhost:7070"), ("sec-fetch-site", "same-site")],
            &[("host", "localhost:7070"), ("x-forwarded-for", "192.0.2.1")],
            &[("host", "localhost:7070"), ("via", "1.1 proxy")],
        ] {
            assert!(!is_own(&headers(foreign)), "{foreign:?}");
        }
    }
}
