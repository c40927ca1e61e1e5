//! The operator's page: who may see it, and that it shows what there is.

use offhook_server::ServerConfig;
use offhook_signaling::ClientMessage;
use offhook_signaling::call::CallEndCause;
use offhook_signaling::message::{CallReport, Empty, WireError};
use serde_json::{Value, json};

use crate::metrics::{ADMIN, as_admin, counting, scrape, value};
use crate::pages::{ask, get};
use crate::support::{config, serve, talking};

fn body(page: &str) -> Value {
    let (head, body) = page.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200"), "{page}");
    serde_json::from_str(body).unwrap()
}

#[tokio::test]
async fn the_page_and_what_it_shows_are_the_operators() {
    let server = serve(config().admin(ADMIN.parse().ok())).await;
    for path in ["/admin/", "/admin/now", "/admin/admin.js", "/admin/admin.css"] {
        let asked = get(&server, path).await;
        assert!(asked.starts_with("HTTP/1.1 401"), "{path}: {asked}");
        let page = as_admin(&server, path, ADMIN).await;
        assert!(page.starts_with("HTTP/1.1 200"), "{path}: {page}");
    }
    let page = as_admin(&server, "/admin/", ADMIN).await;
    assert!(
        page.contains("content-security-policy: default-src 'none'") && !page.contains("unsafe"),
        "{page}"
    );
    assert!(get(&server, "/admin").await.contains("location: /admin/"));
    assert!(as_admin(&server, "/admin/nothing", ADMIN).await.starts_with("HTTP/1.1 404"));
    let nobody = serve(config()).await;
    for path in ["/admin/", "/admin/now", "/admin/admin.js"] {
        assert!(get(&nobody, path).await.starts_with("HTTP/1.1 404"), "{path}");
    }
}

#[tokio::test]
async fn it_shows_live_calls_and_how_the_last_ones_were() {
    let server = counting(config().admin(ADMIN.parse().ok())).await;
    let (mut alice, mut bob) = talking(&server, "c").await;
    bob.send(Some("c"), ClientMessage::CallEstablished(Empty {})).await;
    alice.expect("established").await;
    let now = body(&as_admin(&server, "/admin/now", ADMIN).await);
    assert_eq!(now["calls"], json!({ "ringing": 0, "answered": 0, "established": 1 }));
    let live = &now["live"][0];
    assert_eq!(
        (&live["caller"], &live["callee"], &live["state"]),
        (&json!("alice"), &json!("bob"), &json!("established"))
    );
    alice.hang_up("c", CallEndCause::HungUp, None).await;
    bob.expect("ended HungUp").await;
    let report = CallReport {
        mos_hundredths: Some(421),
        lost_per_mille: Some(12),
        relayed: Some(true),
        ..CallReport::default()
    };
    assert_eq!(alice.ask("c", ClientMessage::CallReport(report)).await, None);
    let now = body(&as_admin(&server, "/admin/now", ADMIN).await);
    assert_eq!(now["live"], json!([]));
    let recent = &now["recent"][0];
    assert_eq!((&recent["call_id"], &recent["cause"]), (&json!("c"), &json!("hung_up")));
    assert_eq!(
        recent["caller_report"],
        json!({ "mos_hundredths": 421, "lost_per_mille": 12, "relayed": true })
    );
    assert_eq!(recent["callee_report"], Value::Null);
    let page = scrape(&server).await;
    assert_eq!(value(&page, "offhook_call_reports_total"), 1.0);
    assert_eq!(value(&page, "offhook_call_mos_sum"), 4.21);
    assert_eq!(value(&page, r#"offhook_call_paths_total{path="relayed"}"#), 1.0);
}

#[tokio::test]
async fn a_report_that_cannot_be_is_refused_and_changes_nothing() {
    let server = counting(config()).await;
    let (mut alice, _bob) = talking(&server, "c").await;
    let impossible = CallReport { mos_hundredths: Some(501), ..CallReport::default() };
    assert_eq!(alice.ask("c", ClientMessage::CallReport(impossible)).await, Some(WireError::Malformed));
    assert_eq!(value(&scrape(&server).await, "offhook_call_reports_total"), 0.0);
}

#[tokio::test]
async fn a_development_server_shows_it_to_its_own_machine_alone() {
    let server = serve(ServerConfig::default().listen("127.0.0.1:0".parse().unwrap())).await;
    let asked = async |path: &str, headers: &str| {
        ask(&server, &format!("GET {path} HTTP/1.1\r\n{headers}Connection: close\r\n\r\n")).await
    };
    for path in ["/admin/", "/admin/now", "/metrics"] {
        for own in [
            "Host: localhost:7070\r\n",
            "Host: 127.0.0.1\r\n",
            "Host: [::1]:7070\r\nSec-Fetch-Site: none\r\n",
        ] {
            assert!(asked(path, own).await.starts_with("HTTP/1.1 200"), "{path} {own}");
        }
        // A page whose name was made to point here, a page elsewhere, and whoever comes through a proxy.
        for foreign in [
            "Host: evil.example:7070\r\n",
            "Host: localhost\r\nOrigin: http://evil.example\r\n",
            "Host: localhost\r\nX-Forwarded-For: 192.0.2.1\r\n",
            "Host: localhost\r\nVia: 1.1 proxy\r\n",
        ] {
            assert!(asked(path, foreign).await.starts_with("HTTP/1.1 404"), "{path} {foreign}");
        }
    }
}
