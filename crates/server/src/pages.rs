//! The softphone page and the scripts for browsers, carried in the binary.

use std::fmt::Write as _;
use std::sync::LazyLock;

use axum::http::header::{self, HeaderMap, HeaderName};
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use sha2::{Digest as _, Sha256};

const SIGNALING: &str = include_str!("../../web/signaling.js");
const OFFHOOK: &str = include_str!("../../web/offhook.js");

/// What the page may load and reach: itself and its server.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; media-src 'self' blob:; \
    connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Who may load a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Audience {
    /// Our own page.
    Own,
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
    vec![
        own("/", "text/html; charset=utf-8", include_str!("../../web/index.html")),
        own("/softphone.css", "text/css; charset=utf-8", include_str!("../../web/softphone.css")),
        own("/softphone.js", SCRIPT, include_str!("../../web/softphone.js")),
        own("/sound.js", SCRIPT, include_str!("../../web/sound.js")),
        own("/icon.svg", "image/svg+xml", include_str!("../../web/icon.svg")),
        page("/signaling.js", SCRIPT, Audience::Anyone, SIGNALING.to_owned()),
        page("/offhook.js", SCRIPT, Audience::Anyone, OFFHOOK.to_owned()),
        page("/offhook.d.ts", SCRIPT, Audience::Anyone, include_str!("../../web/offhook.d.ts").to_owned()),
        page("/sinch-rtc.js", SCRIPT, Audience::Anyone, classic()),
    ]
});

/// Both modules as one classic script that defines the global `Sinch`.
fn classic() -> String {
    let body = |module: &str| {
        let lines =
            module.lines().filter(|line| !line.starts_with("import {") && !line.starts_with("export {"));
        lines.collect::<Vec<_>>().join("\n")
    };
    format!(
        "(() => {{\n'use strict';\n{}\n{}\nglobalThis.Sinch = Sinch;\n}})();\n",
        body(SIGNALING),
        body(OFFHOOK)
    )
}

/// The file at this path, or 404.
pub(crate) async fn serve(uri: Uri, headers: HeaderMap) -> Response {
    let Some(page) = PAGES.iter().find(|page| page.path == uri.path()) else {
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
        Audience::Own => {
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

    #[test]
    fn the_scripts_are_of_this_release_and_small() {
        assert!(OFFHOOK.contains(&format!("const VERSION = '{}';", env!("CARGO_PKG_VERSION"))));
        assert!(OFFHOOK.len() < 40 * 1024, "{}", OFFHOOK.len());
        let first_visit: usize = PAGES
            .iter()
            .filter(|page| !["/sinch-rtc.js", "/offhook.d.ts"].contains(&page.path))
            .map(|page| page.text.len())
            .sum();
        assert!(first_visit < 100 * 1024, "{first_visit}");
    }

    #[test]
    fn the_classic_script_is_the_same_code_without_modules() {
        let script = classic();
        assert!(!script.lines().any(|line| line.starts_with("import ") || line.starts_with("export ")));
        for module in [SIGNALING, OFFHOOK] {
            let code = module.lines().filter(|line| line.starts_with("class "));
            assert!(code.clone().count() > 2 && code.into_iter().all(|line| script.contains(line)));
        }
    }

    #[test]
    fn the_page_has_no_inline_script_and_no_inline_style() {
        let page = &PAGES[0].text;
        assert!(page.contains("<script type=\"module\" src=\"/softphone.js\"></script>"));
        assert_eq!(page.matches("<script").count(), 1);
        assert!(!page.contains("style=") && !page.contains("<style") && !page.contains("onclick="));
    }
}
