//! Gets the metrics of a server.

use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::http1;
use hyper::{Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::failure::{Exit, Failure};
use crate::load::trust;

/// For connection, TLS and answer together.
const PATIENCE: Duration = Duration::from_secs(5);
/// A hundred times what a server says.
const MOST_BYTES: usize = 4 * 1024 * 1024;

/// A server, and who asks.
#[derive(Debug)]
pub(super) struct Source {
    server: String,
    host: String,
    authority: String,
    path: String,
    tls: Option<Arc<ClientConfig>>,
    proof: Option<String>,
}

impl Source {
    /// Reads a URL; without a path it is `/metrics`.
    pub(super) fn new(server: &str, admin: Option<&str>, ca: Option<&Path>) -> Result<Self, Failure> {
        let wrong = || {
            Failure::usage(format!("--server {server:?} is not an http, https, ws or wss URL"))
                .advice("write it as `offhook serve` prints it, e.g. ws://127.0.0.1:7070")
        };
        let (scheme, rest) = server.trim().split_once("://").unwrap_or_else(|| ("http", server.trim()));
        let (is_tls, port) = match scheme {
            "ws" | "http" => (false, 80),
            "wss" | "https" => (true, 443),
            _ => return Err(wrong()),
        };
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let parsed: hyper::http::uri::Authority = authority.parse().map_err(|_| wrong())?;
        if parsed.host().is_empty() || authority.contains('@') {
            return Err(wrong());
        }
        let path = if path.is_empty() { "/metrics".to_owned() } else { format!("/{path}") };
        Ok(Self {
            server: server.to_owned(),
            host: parsed.host().trim_matches(['[', ']']).to_owned(),
            authority: format!("{}:{}", parsed.host(), parsed.port_u16().unwrap_or(port)),
            path,
            tls: is_tls.then(|| trust(ca)).transpose()?,
            proof: admin.map(|admin| format!("Basic {}", STANDARD.encode(admin))),
        })
    }

    /// As it was given.
    pub(super) fn server(&self) -> &str {
        &self.server
    }

    /// The text of the metrics.
    pub(super) async fn fetch(&self) -> Result<String, Failure> {
        let unreachable = |why: String| {
            Failure::new(Exit::Unreachable, format!("{}: {why}", self.server))
                .advice("check the address, and that the server runs")
        };
        let asked = async {
            let stream =
                TcpStream::connect(&self.authority).await.map_err(|error| unreachable(error.to_string()))?;
            let Some(tls) = &self.tls else { return self.ask(stream).await };
            let name =
                ServerName::try_from(self.host.clone()).map_err(|error| unreachable(error.to_string()))?;
            let connecting = TlsConnector::from(Arc::clone(tls)).connect(name, stream).await;
            self.ask(connecting.map_err(|error| unreachable(error.to_string()))?).await
        };
        timeout(PATIENCE, asked).await.unwrap_or_else(|_| Err(unreachable("no answer in time".to_owned())))
    }

    async fn ask(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    ) -> Result<String, Failure> {
        let failed = |why: String| Failure::failed(format!("{}: {why}", self.server));
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|error| failed(error.to_string()))?;
        // It ends with the answer; an error is also the request's.
        let running = tokio::spawn(async move { drop(connection.await) });
        let mut request = Request::get(&self.path).header(header::HOST, &self.authority);
        if let Some(proof) = &self.proof {
            request = request.header(header::AUTHORIZATION, proof);
        }
        let request = request.body(String::new()).map_err(|error| failed(error.to_string()))?;
        let answer = sender.send_request(request).await.map_err(|error| failed(error.to_string()))?;
        let status = answer.status();
        let text = read(answer.into_body()).await.map_err(failed);
        running.abort();
        match status {
            StatusCode::OK => text,
            StatusCode::UNAUTHORIZED => Err(Failure::new(
                Exit::Refused,
                format!("{}: the operator's password is required", self.server),
            )
            .advice("give --admin NAME:PASSWORD, or set OFFHOOK_ADMIN, as the server has it")),
            StatusCode::NOT_FOUND => Err(failed("there are no metrics".to_owned())
                .advice("start the server with --admin or --metrics-listen, and name that address")),
            other => Err(failed(format!("the server answers {other}"))),
        }
    }
}

async fn read(mut body: Incoming) -> Result<String, String> {
    let mut bytes = Vec::new();
    while let Some(frame) = std::future::poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        let frame = frame.map_err(|error| error.to_string())?;
        if let Ok(data) = frame.into_data() {
            bytes.extend_from_slice(&data);
        }
        if bytes.len() > MOST_BYTES {
            return Err("the answer is too long for metrics".to_owned());
        }
    }
    String::from_utf8(bytes).map_err(|_| "the answer is not text".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_named_as_they_print_themselves() {
        for (text, authority, path) in [
            ("ws://127.0.0.1:7070", "127.0.0.1:7070", "/metrics"),
            ("127.0.0.1:7070/", "127.0.0.1:7070", "/metrics"),
            ("http://[::1]:9464/metrics", "[::1]:9464", "/metrics"),
            ("http://example.org/x/y", "example.org:80", "/x/y"),
        ] {
            let source = Source::new(text, None, None).unwrap();
            assert_eq!((source.authority.as_str(), source.path.as_str()), (authority, path), "{text}");
        }
        for text in ["ftp://x", "http://", "http://ada:secret@example.org", "http://a b"] {
            assert_eq!(Source::new(text, None, None).unwrap_err().exit(), Exit::Usage, "{text}");
        }
    }

    #[tokio::test]
    async fn a_server_without_metrics_for_us_says_what_to_do() {
        use offhook_server::{Application, Server, ServerConfig};
        let application =
            Application::from_parts("a32e5a8d-f7d8-411c-9645-9038e8dd051d", "ax8hTTQJF0OPXL32r1LHMA==")
                .unwrap();
        let config = || {
            ServerConfig::default().listen("127.0.0.1:0".parse().unwrap()).application(application.clone())
        };
        let silent = Server::bind(config()).await.unwrap();
        let told = Source::new(&silent.url(), None, None).unwrap().fetch().await.unwrap_err().to_string();
        assert!(told.contains("--metrics-listen"), "{told}");
        let admin = "ada:correct horse battery";
        let server = Server::bind(config().admin(admin.parse().ok())).await.unwrap();
        let refused = Source::new(&server.url(), None, None).unwrap().fetch().await.unwrap_err();
        assert_eq!(refused.exit(), Exit::Refused);
        let text = Source::new(&server.url(), Some(admin), None).unwrap().fetch().await.unwrap();
        assert!(text.contains("# EOF"), "{text}");
    }
}
