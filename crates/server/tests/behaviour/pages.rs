//! The pages for those who watch the server.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::{config, serve};

async fn get(server: &offhook_server::RunningServer, path: &str) -> String {
    let mut stream = TcpStream::connect(server.local_addr()).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: offhook\r\nConnection: close\r\n\r\n");
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
