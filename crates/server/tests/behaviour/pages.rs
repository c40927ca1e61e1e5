//! The pages for those who watch the server, the softphone and the scripts for browsers.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use offhook_server::{RunningServer, ServerConfig};

use crate::support::{config, serve};

pub(crate) async fn get(server: &RunningServer, path: &str) -> String {
    ask(server, &format!("GET {path} HTTP/1.1\r\nHost: offhook\r\nConnection: close\r\n\r\n")).await
}

pub(crate) async fn ask(server: &RunningServer, request: &str) -> String {
    let mut stream = TcpStream::connect(server.local_addr()).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut page = String::new();
    stream.read_to_string(&mut page).await.unwrap();
    page
}

#[tokio::test]
async fn health_readiness_and_version() {
    let folder = tempfile::tempdir().unwrap();
    let server = serve(config().data(folder.path())).await;
    for (path, status, text) in [
        ("/healthz", "HTTP/1.1 200", "ok"),
        ("/readyz", "HTTP/1.1 200", "ready"),
        ("/version", "HTTP/1.1 200", "offhook.v1.json"),
        ("/v1/push", "HTTP/1.1 404", "push_off"),
        ("/nothing", "HTTP/1.1 404", ""),
        ("/v1/signal", "HTTP/1.1 400", ""),
    ] {
        let page = get(&server, path).await;
        assert!(page.starts_with(status) && page.contains(text), "{path}: {page}");
    }
}

#[tokio::test]
async fn a_client_of_another_protocol_is_told_which_one_is_spoken() {
    let server = serve(config()).await;
    let refused = tokio_tungstenite::connect_async(server.signal_url()).await;
    assert!(refused.is_err());
}

#[tokio::test]
async fn scripts_are_for_everybody_and_the_page_is_strict() {
    let server = serve(config()).await;
    for path in
        ["/offhook.js", "/sinch-rtc.js", "/offhook-sw.js", "/source/offhook.js", "/source/signaling.js"]
    {
        let script = get(&server, path).await;
        assert!(script.starts_with("HTTP/1.1 200"), "{path}");
        assert!(
            script.contains("access-control-allow-origin: *") && script.contains("text/javascript"),
            "{path}"
        );
    }
    let page = get(&server, "/").await;
    assert!(page.contains("content-security-policy: default-src 'none'"));
    let tag = page.lines().find_map(|line| line.strip_prefix("etag: ")).unwrap();
    let again = format!("GET / HTTP/1.1\r\nHost: x\r\nIf-None-Match: {tag}\r\nConnection: close\r\n\r\n");
    let unchanged = ask(&server, &again).await;
    assert!(unchanged.starts_with("HTTP/1.1 304") && !unchanged.contains("<html"), "{unchanged}");
    assert!(get(&server, "/../Cargo.toml").await.starts_with("HTTP/1.1 404"));
}

fn development(host: &str, more: &str, body: &str) -> String {
    format!(
        "POST /v1/development HTTP/1.1\r\nHost: {host}\r\n{more}Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}

const JSON: &str = "Content-Type: application/json\r\n";

#[tokio::test]
async fn tokens_are_given_for_the_development_application_alone() {
    let server = serve(ServerConfig::default().listen("127.0.0.1:0".parse().unwrap())).await;
    let made = server.development_application().unwrap().key().to_string();
    let alice = r#"{"user": "alice"}"#;
    let given = ask(&server, &development("localhost", JSON, alice)).await;
    assert!(
        given.starts_with("HTTP/1.1 200") && given.contains(&made) && given.contains("\"token\":\"ey"),
        "{given}"
    );
    assert!(!given.contains(&server.development_application().unwrap().secret_base64()));
    for (status, request) in [
        ("404", development("evil.example", JSON, alice)),
        ("404", development("localhost", &format!("{JSON}Origin: http://evil.example\r\n"), alice)),
        ("404", development("localhost", &format!("{JSON}X-Forwarded-For: 192.0.2.1\r\n"), alice)),
        ("400", development("localhost", "Content-Type: text/plain\r\n", alice)),
        ("400", development("localhost", JSON, r#"{"user": "a b"}"#)),
        ("400", development("localhost", JSON, &" ".repeat(2000))),
    ] {
        let answer = ask(&server, &request).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{request}: {answer}");
    }
    let configured = serve(config()).await;
    assert!(ask(&configured, &development("localhost", JSON, alice)).await.starts_with("HTTP/1.1 404"));
}

#[tokio::test]
async fn beyond_loopback_nobody_is_given_a_token() {
    let server = serve(ServerConfig::default().listen("0.0.0.0:0".parse().unwrap())).await;
    let answer = ask(&server, &development("localhost", JSON, r#"{"user": "alice"}"#)).await;
    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
}
