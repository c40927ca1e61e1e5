//! One connection to the server: a task that owns the socket, bounded both ways.

use std::io::ErrorKind;
use std::net::{IpAddr, UdpSocket};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use offhook_signaling::SUBPROTOCOL;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use tokio::net::TcpStream;
use tokio::sync::{OnceCell, mpsc};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{Connector, MaybeTlsStream, WebSocketStream, client_async_tls_with_config};

use crate::endpoint::Endpoint;

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Frames that wait to be sent; when it is full the connection is as good as dead.
const MOST_OUTGOING: usize = 64;
/// A frame of the server's, as the protocol limits it.
const MOST_FRAME: usize = 65_536;
/// Frames that wait are sent together up to this size.
const TOGETHER: usize = 4096;
/// How long frames that go together may take to be sent.
const WRITE: Duration = Duration::from_secs(10);
/// How long a farewell may take.
const CLOSE: Duration = Duration::from_millis(300);

/// What a connection reports, with its number.
pub(crate) type LinkNews = (u64, LinkEvent);

/// News of a connection. `Closed` comes last, once.
#[derive(Debug)]
pub(crate) enum LinkEvent {
    Open,
    Text(String),
    Closed(String),
}

/// How to reach the server.
#[derive(Debug)]
pub(crate) struct Dialer {
    pub(crate) endpoint: Endpoint,
    /// Trusted in place of the system's roots, when there are any.
    pub(crate) roots: Vec<CertificateDer<'static>>,
    pub(crate) connect_timeout: Duration,
    tls: OnceCell<Arc<ClientConfig>>,
}

impl Dialer {
    pub(crate) fn new(
        endpoint: Endpoint,
        roots: Vec<CertificateDer<'static>>,
        connect_timeout: Duration,
    ) -> Self {
        Self { endpoint, roots, connect_timeout, tls: OnceCell::new() }
    }

    /// Connects; `from` is told the address of this end.
    async fn connect(&self, from: &OnceLock<IpAddr>) -> Result<Socket, String> {
        let Endpoint { host, port, tls } = &self.endpoint;
        let tcp = TcpStream::connect((host.as_str(), *port)).await.map_err(|error| error.to_string())?;
        let _ = tcp.local_addr().map(|local| from.set(local.ip()));
        // Nagle's algorithm would hold a candidate back for the answer to the one before.
        tcp.set_nodelay(true).map_err(|error| error.to_string())?;
        let connector = if *tls { Connector::Rustls(self.tls_config().await?) } else { Connector::Plain };
        let mut request =
            self.endpoint.to_string().into_client_request().map_err(|error| error.to_string())?;
        let protocol = HeaderValue::from_static(SUBPROTOCOL);
        request.headers_mut().insert("sec-websocket-protocol", protocol);
        let config = WebSocketConfig::default()
            .read_buffer_size(8192)
            .write_buffer_size(TOGETHER)
            .max_write_buffer_size(256 * 1024)
            .max_message_size(Some(MOST_FRAME))
            .max_frame_size(Some(MOST_FRAME));
        let connected = client_async_tls_with_config(request, tcp, Some(config), Some(connector)).await;
        connected.map(|(socket, _)| socket).map_err(|error| unanswered(&error))
    }

    /// Trust and TLS versions, made once.
    pub(crate) async fn tls_config(&self) -> Result<Arc<ClientConfig>, String> {
        let make = || async {
            let own = self.roots.clone();
            // The system's roots are files.
            let made = tokio::task::spawn_blocking(move || make_tls_config(own)).await;
            made.map_err(|error| error.to_string())?
        };
        self.tls.get_or_try_init(make).await.cloned()
    }
}

/// Why the server was reached and yet did not take the connection.
fn unanswered(error: &Error) -> String {
    let is_cut = match error {
        Error::ConnectionClosed | Error::Protocol(ProtocolError::HandshakeIncomplete) => true,
        Error::Io(error) => matches!(
            error.kind(),
            ErrorKind::UnexpectedEof
                | ErrorKind::ConnectionReset
                | ErrorKind::BrokenPipe
                | ErrorKind::ConnectionAborted
        ),
        _ => false,
    };
    if is_cut {
        // So servers turn away, before TLS and without a word, whom their limits exclude.
        "it closed the connection at once, as for too many connections or attempts from this address: try again in a minute".to_owned()
    } else {
        error.to_string()
    }
}

fn make_tls_config(own: Vec<CertificateDer<'static>>) -> Result<Arc<ClientConfig>, String> {
    let mut roots = RootCertStore::empty();
    if own.is_empty() {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if roots.is_empty() {
            return Err("this machine has no root certificates".to_owned());
        }
    } else {
        for certificate in own {
            roots.add(certificate).map_err(|error| error.to_string())?;
        }
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    Ok(Arc::new(config.with_root_certificates(roots).with_no_client_auth()))
}

/// A connection that is open or being opened. Dropping it sends what waits, says good-bye and closes, in bounded time.
#[derive(Debug)]
pub(crate) struct Connection {
    number: u64,
    /// The address of this end, once there is one.
    from: Arc<OnceLock<IpAddr>>,
    outgoing: mpsc::Sender<String>,
    task: JoinHandle<()>,
}

/// The connection takes no more: it is dead or far too slow.
#[derive(Debug)]
pub(crate) struct LinkFull;

impl Connection {
    /// Begins to open a connection; `news` is told what becomes of it.
    pub(crate) fn open(dialer: Arc<Dialer>, number: u64, news: mpsc::Sender<LinkNews>) -> Self {
        let (outgoing, queue) = mpsc::channel(MOST_OUTGOING);
        let from = Arc::new(OnceLock::new());
        let own = Arc::clone(&from);
        let task = tokio::spawn(async move {
            let why = run(&dialer, number, &own, queue, &news).await;
            // A driver that is gone needs no news.
            let _ = news.send((number, LinkEvent::Closed(why))).await;
        });
        Self { number, from, outgoing, task }
    }

    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// Whether this machine no longer has the address that the connection comes from: nothing tells so, it is only silent.
    pub(crate) fn is_stranded(&self) -> bool {
        self.from.get().is_some_and(|ip| {
            let bound = UdpSocket::bind((*ip, 0));
            bound.is_err_and(|error| error.kind() == ErrorKind::AddrNotAvailable)
        })
    }

    pub(crate) fn send(&self, text: String) -> Result<(), LinkFull> {
        self.outgoing.try_send(text).map_err(|_| LinkFull)
    }

    /// Closes; the task ends within the time of a farewell.
    pub(crate) fn close(self) -> JoinHandle<()> {
        self.task
    }
}

async fn run(
    dialer: &Dialer,
    number: u64,
    from: &OnceLock<IpAddr>,
    mut queue: mpsc::Receiver<String>,
    news: &mpsc::Sender<LinkNews>,
) -> String {
    let connecting = timeout(dialer.connect_timeout, dialer.connect(from));
    tokio::pin!(connecting);
    // Nothing is sent before `Open`: the queue only tells here that nobody wants the connection any more.
    let connected = tokio::select! {
        connected = &mut connecting => connected,
        None = queue.recv() => return "not wanted any more".to_owned(),
    };
    let mut socket = match connected {
        Ok(Ok(socket)) => socket,
        Ok(Err(why)) => return why,
        Err(_) => return "no answer in time".to_owned(),
    };
    if news.send((number, LinkEvent::Open)).await.is_err() {
        return "not wanted any more".to_owned();
    }
    loop {
        tokio::select! {
            text = queue.recv() => {
                let Some(text) = text else { break };
                match timeout(WRITE, send(&mut socket, text, &mut queue)).await {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => return error.to_string(),
                    Err(_) => return "a frame could not be sent in time".to_owned(),
                }
            }
            message = socket.next() => match message {
                Some(Ok(Message::Text(text))) => {
                    if news.send((number, LinkEvent::Text(text.as_str().to_owned()))).await.is_err() {
                        break;
                    }
                }
                Some(Ok(Message::Close(_))) | None => return "closed by the server".to_owned(),
                Some(Ok(_)) => {}
                Some(Err(Error::ConnectionClosed)) => return "closed".to_owned(),
                Some(Err(error)) => return error.to_string(),
            }
        }
    }
    let _ = timeout(CLOSE, socket.close(None)).await;
    "closed by this side".to_owned()
}

/// Sends a frame and those that wait behind it.
async fn send(
    socket: &mut Socket,
    mut text: String,
    queue: &mut mpsc::Receiver<String>,
) -> Result<(), Error> {
    let mut together = 0;
    loop {
        together += text.len();
        socket.feed(Message::text(text)).await?;
        let next = if together < TOGETHER { queue.try_recv().ok() } else { None };
        match next {
            Some(next) => text = next,
            None => return socket.flush().await,
        }
    }
}
