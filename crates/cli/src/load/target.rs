//! The server under load: its address, and connections to it from chosen addresses.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use offhook_signaling::{PATH, SUBPROTOCOL};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use tokio::net::{TcpSocket, TcpStream, lookup_host};
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{Connector, MaybeTlsStream, WebSocketStream, client_async_tls_with_config};

use crate::failure::{Exit, Failure};

pub(super) type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Thousands of clients are in one process: what a frame needs and no more.
const READ_BUFFER: usize = 4096;
/// What is said together goes out at once up to this size.
const WRITE_BUFFER: usize = 4096;

/// Where everybody connects.
#[derive(Debug)]
pub(super) struct Target {
    url: String,
    pub(super) address: SocketAddr,
    tls: Option<Arc<ClientConfig>>,
}

impl Target {
    /// Looks up the server once, so that a name server is not what is measured.
    pub(super) async fn find(server: &str, ca: Option<&Path>) -> Result<Self, Failure> {
        let wrong = || {
            Failure::usage(format!("--server {server:?} is not a ws, wss, http or https URL"))
                .advice("write it as `offhook serve` prints it, e.g. ws://127.0.0.1:7070")
        };
        let (scheme, rest) = server.trim().split_once("://").unwrap_or_else(|| ("ws", server.trim()));
        let (is_tls, usual) = match scheme {
            "ws" | "http" => (false, 80),
            "wss" | "https" => (true, 443),
            _ => return Err(wrong()),
        };
        let authority = rest.trim_end_matches('/');
        let has_port = authority
            .rsplit_once(':')
            .is_some_and(|(_, port)| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()));
        let authority = if has_port { authority.to_owned() } else { format!("{authority}:{usual}") };
        if authority.starts_with(':') || authority.contains('/') {
            return Err(wrong());
        }
        let unreachable = |why: String| {
            Failure::new(Exit::Unreachable, format!("{server}: {why}"))
                .advice("check the name, and that the server runs")
        };
        let mut found = lookup_host(&authority).await.map_err(|error| unreachable(error.to_string()))?;
        let address = found.next().ok_or_else(|| unreachable("it has no address".to_owned()))?;
        let scheme = if is_tls { "wss" } else { "ws" };
        let tls = is_tls.then(|| trust(ca)).transpose()?;
        Ok(Self { url: format!("{scheme}://{authority}{PATH}"), address, tls })
    }

    /// Opens a connection, from an address of this machine if one is named.
    ///
    /// # Errors
    /// Why not, in few words that repeat when it happens again.
    pub(super) async fn connect(&self, from: Option<IpAddr>) -> Result<Socket, String> {
        let say = |error: std::io::Error| error.kind().to_string();
        let socket = match self.address {
            SocketAddr::V4(_) => TcpSocket::new_v4(),
            SocketAddr::V6(_) => TcpSocket::new_v6(),
        }
        .map_err(say)?;
        if let Some(from) = from {
            socket.bind(SocketAddr::new(from, 0)).map_err(say)?;
        }
        let stream = socket.connect(self.address).await.map_err(say)?;
        stream.set_nodelay(true).map_err(say)?;
        let mut request = self.url.as_str().into_client_request().map_err(|error| error.to_string())?;
        request.headers_mut().insert("sec-websocket-protocol", HeaderValue::from_static(SUBPROTOCOL));
        let config = WebSocketConfig::default().read_buffer_size(READ_BUFFER).write_buffer_size(WRITE_BUFFER);
        let connector = match &self.tls {
            Some(tls) => Connector::Rustls(Arc::clone(tls)),
            None => Connector::Plain,
        };
        let opened = client_async_tls_with_config(request, stream, Some(config), Some(connector)).await;
        opened.map(|(socket, _)| socket).map_err(|error| error.to_string())
    }
}

/// Trusts the certificates of a file, else those of the system.
pub(crate) fn trust(ca: Option<&Path>) -> Result<Arc<ClientConfig>, Failure> {
    let mut roots = RootCertStore::empty();
    match ca {
        Some(path) => {
            let wrong = |why: String| Failure::usage(format!("--ca {}: {why}", path.display()));
            let certificates =
                CertificateDer::pem_file_iter(path).map_err(|error| wrong(error.to_string()))?;
            for certificate in certificates {
                let certificate = certificate.map_err(|error| wrong(error.to_string()))?;
                roots.add(certificate).map_err(|error| wrong(error.to_string()))?;
            }
            if roots.is_empty() {
                return Err(wrong("no certificate in it".to_owned()));
            }
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Failure::failed(format!("TLS cannot be set up: {error}")))?;
    Ok(Arc::new(config.with_root_certificates(roots).with_no_client_auth()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn addresses_are_read_as_servers_print_them() {
        for (text, url) in [
            ("ws://127.0.0.1:7070", "ws://127.0.0.1:7070/v1/signal"),
            ("127.0.0.1:7070/", "ws://127.0.0.1:7070/v1/signal"),
            ("http://127.0.0.1", "ws://127.0.0.1:80/v1/signal"),
            ("wss://[::1]:9", "wss://[::1]:9/v1/signal"),
            ("wss://[::1]", "wss://[::1]:443/v1/signal"),
        ] {
            assert_eq!(Target::find(text, None).await.unwrap().url, url, "{text}");
        }
        for text in ["ftp://127.0.0.1", "ws://", "ws://127.0.0.1/path"] {
            assert_eq!(Target::find(text, None).await.unwrap_err().exit(), Exit::Usage, "{text}");
        }
        let missing = Target::find("wss://127.0.0.1", Some(Path::new("no-such.pem"))).await;
        assert!(missing.unwrap_err().to_string().contains("no-such.pem"));
    }
}
