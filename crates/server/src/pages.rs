//! The softphone page and the scripts for browsers, carried in the binary.

use std::fmt::Write as _;
use std::sync::LazyLock;

use axum::http::header::{self, HeaderMap, HeaderName};
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use sha2::{Digest as _, Sha256};

use crate::admin::Admin;

/// The script for browsers as it is written: modules.
const SOURCES: [(&str, &str); 13] = [
    ("/source/errors.js", include_str!("../../web/errors.js")),
    ("/source/frames.js", include_str!("../../web/frames.js")),
    ("/source/refusals.js", include_str!("../../web/refusals.js")),
    ("/source/verification.js", include_str!("../../web/verification.js")),
    ("/source/call.js", include_str!("../../web/call.js")),
    ("/source/link.js", include_str!("../../web/link.js")),
    ("/source/connection.js", include_str!("../../web/connection.js")),
    ("/source/signaling.js", include_str!("../../web/signaling.js")),
    ("/source/quality.js", include_str!("../../web/quality.js")),
    ("/source/media.js", include_str!("../../web/media.js")),
    ("/source/push.js", include_str!("../../web/push.js")),
    ("/source/listeners.js", include_str!("../../web/listeners.js")),
    ("/source/offhook.js", include_str!("../../web/offhook.js")),
];

/// What the page may load and reach: itself and its server.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; media-src 'self' blob:; \
    connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Who may load a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Audience {
    /// Our own page.
    Own,
    /// Our own page, for the operator alone.
    Operator,
    /// The pages of any application.
    Anyone,
}

#[derive(Debug)]
struct Page {
    path: &'static str,
    kind: &'static str,
    audience: Audience,
    text: String,
    tag: String,
}

const SCRIPT: &str = "text/javascript; charset=utf-8";

static PAGES: LazyLock<Vec<Page>> = LazyLock::new(|| {
    let page = |path, kind, audience, text: String| {
        let mut tag = String::from("\"");
        for byte in &Sha256::digest(&text)[..12] {
            // Writing to a string cannot fail.
            let _ = write!(tag, "{byte:02x}");
        }
        tag.push('"');
        Page { path, kind, audience, text, tag }
    };
    let own = |path, kind, text: &str| page(path, kind, Audience::Own, text.to_owned());
    let operator = |path, kind, text: &str| page(path, kind, Audience::Operator, text.to_owned());
    let anyone = |path, text: String| page(path, SCRIPT, Audience::Anyone, text);
    let mut pages = vec![
        own("/", "text/html; charset=utf-8", include_str!("../../web/index.html")),
        own("/softphone.css", "text/css; charset=utf-8", include_str!("../../web/softphone.css")),
        own("/softphone.js", SCRIPT, include_str!("../../web/softphone.js")),
        own("/sound.js", SCRIPT, include_str!("../../web/sound.js")),
        operator("/admin/", "text/html; charset=utf-8", include_str!("../../web/admin.html")),
        operator("/admin/admin.css", "text/css; charset=utf-8", include_str!("../../web/admin.css")),
        operator("/admin/admin.js", SCRIPT, include_str!("../../web/admin.js")),
        own("/icon.svg", "image/svg+xml", include_str!("../../web/icon.svg")),
        anyone("/offhook.d.ts", include_str!("../../web/offhook.d.ts").to_owned()),
        anyone("/offhook-sw.js", include_str!("../../web/offhook-sw.js").to_owned()),
        anyone("/offhook.js", include_str!(concat!(env!("OUT_DIR"), "/offhook.js")).to_owned()),
        anyone("/sinch-rtc.js", include_str!(concat!(env!("OUT_DIR"), "/sinch-rtc.js")).to_owned()),
    ];
    pages.extend(SOURCES.iter().map(|(path, text)| anyone(path, (*text).to_owned())));
    pages
});

/// The operator's page and what belongs to it, or 404.
pub(crate) async fn operator(_admin: Admin, uri: Uri, headers: HeaderMap) -> Response {
    send(&uri, &headers, |audience| audience == Audience::Operator)
}

/// The file at this path, or 404.
pub(crate) async fn serve(uri: Uri, headers: HeaderMap) -> Response {
    send(&uri, &headers, |audience| audience != Audience::Operator)
}

fn send(uri: &Uri, headers: &HeaderMap, may: impl Fn(Audience) -> bool) -> Response {
    let Some(page) = PAGES.iter().find(|page| page.path == uri.path() && may(page.audience)) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let known = headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    let is_known = known.is_some_and(|tags| tags.split(',').any(|tag| tag.trim() == page.tag));
    let mut response =
        if is_known { StatusCode::NOT_MODIFIED.into_response() } else { page.text.clone().into_response() };
    let mut set = |name: HeaderName, value: &'static str| {
        response.headers_mut().insert(name, header::HeaderValue::from_static(value));
    };
    set(header::CONTENT_TYPE, page.kind);
    // Asked for at each visit, sent again only when it changed.
    set(header::CACHE_CONTROL, "no-cache");
    set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(header::REFERRER_POLICY, "no-referrer");
    match page.audience {
        Audience::Own | Audience::Operator => {
            set(header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY);
            set(HeaderName::from_static("cross-origin-opener-policy"), "same-origin");
            set(
                HeaderName::from_static("permissions-policy"),
                "microphone=(self), camera=(self), speaker-selection=(self)",
            );
        }
        Audience::Anyone => {
            set(header::ACCESS_CONTROL_ALLOW_ORIGIN, "*");
            set(HeaderName::from_static("cross-origin-resource-policy"), "cross-origin");
        }
    }
    if let Ok(tag) = page.tag.parse() {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(path: &str) -> &'static str {
        &PAGES.iter().find(|page| page.path == path).unwrap().text
    }

    #[test]
    fn the_scripts_are_of_this_release_and_small() {
        assert!(
            text("/source/offhook.js").contains(&format!("const VERSION = '{}';", env!("CARGO_PKG_VERSION")))
        );
        for path in ["/offhook.js", "/sinch-rtc.js"] {
            assert!(text(path).len() < 40 * 1024, "{path}: {}", text(path).len());
            let imports = text(path).replace("import.meta.url", "");
            assert!(!imports.contains("import"), "{path} is all there is to load");
        }
        let first_visit = ["/", "/softphone.css", "/softphone.js", "/sound.js", "/icon.svg", "/offhook.js"];
        let bytes: usize = first_visit.iter().map(|path| text(path).len()).sum();
        assert!(bytes < 80 * 1024, "{bytes}");
    }

    #[test]
    fn both_scripts_keep_the_names_of_the_api_and_say_where_they_are_written() {
        for path in ["/offhook.js", "/sinch-rtc.js"] {
            let script = text(path);
            assert!(script.starts_with("/* Offhook ") && script.contains("/source/offhook.js"), "{path}");
            for name in
                ["SinchClient", "CallClient", "Call", "SinchError", "ArgumentError", "InvalidOperationError"]
            {
                assert!(script.contains(&format!("class {name} ")), "{path}: {name}");
            }
        }
        assert!(text("/offhook.js").contains("as default"));
        assert!(text("/sinch-rtc.js").contains("globalThis.Sinch="));
    }

    #[test]
    fn the_page_has_no_inline_script_and_no_inline_style() {
        let page = &PAGES[0].text;
        assert!(page.contains("<script type=\"module\" src=\"/softphone.js\"></script>"));
        assert_eq!(page.matches("<script").count(), 1);
        assert!(!page.contains("style=") && !page.contains("<style") && !page.contains("onclick="));
    }
}
