//! A bare WebSocket echo server beside: what connections and messages cost before anything is done with them, on the same machine at the
//! same time.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{ChildStdout, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::ws::{WebSocket, WebSocketUpgrade};
use axum::routing::get;
use futures_util::{SinkExt as _, StreamExt as _};
use offhook_signaling::{PATH, SUBPROTOCOL};
use serde::Serialize;
use tokio::net::TcpListener;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{sleep, timeout};
use tokio_tungstenite::tungstenite::Message;

use super::plan::source;
use super::process::{Process, Sample};
use super::target::{Socket, Target};
use crate::failure::Failure;

/// Connections that are opened at once.
const AT_ONCE: usize = 64;
/// Messages that are echoed, and how long they are: about an outcome or a candidate.
const MESSAGES: usize = 20_000;
const MESSAGE_BYTES: usize = 200;
/// Connections that carry them.
const TALKERS: usize = 100;
/// Longest wait for the server to start, and for one echo.
const PATIENCE: Duration = Duration::from_secs(20);
/// Until memory has come to rest.
const REST: Duration = Duration::from_secs(1);

/// What a bare server costs.
#[derive(Debug, Serialize)]
pub(super) struct Bare {
    connections: usize,
    kib_per_connection: f64,
    accept_cpu_us: f64,
    echo_cpu_us: f64,
}

impl Bare {
    /// For a person.
    pub(super) fn text(&self) -> String {
        format!(
            "bare echo    {:.1} KiB per idle connection   CPU: connection {:.1} µs, echo {:.1} µs",
            self.kib_per_connection, self.accept_cpu_us, self.echo_cpu_us
        )
    }
}

/// Serves until standard input closes: nothing is left running when whoever started it dies.
pub(crate) async fn serve() -> Result<ExitCode, Failure> {
    let failed = |error: std::io::Error| Failure::failed(format!("the bare server does not start: {error}"));
    crate::descriptors::raise();
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    let router = Router::new().route(PATH, get(upgrade));
    let mut out = std::io::stdout();
    writeln!(out, "{address}").and_then(|()| out.flush()).map_err(failed)?;
    let end = spawn_blocking(|| std::io::stdin().read(&mut [0; 1]));
    tokio::select! {
        served = axum::serve(listener, router) => served.map_err(failed)?,
        _ = end => {}
    }
    Ok(ExitCode::SUCCESS)
}

/// With the buffers that the signaling server has.
async fn upgrade(upgrade: WebSocketUpgrade) -> axum::response::Response {
    upgrade.protocols([SUBPROTOCOL]).read_buffer_size(4096).write_buffer_size(0).on_upgrade(echo)
}

async fn echo(mut socket: WebSocket) {
    while let Some(Ok(message)) = socket.recv().await {
        if socket.send(message).await.is_err() {
            return;
        }
    }
}

/// Starts a bare server and puts as many connections on it.
pub(super) async fn measure(connections: usize) -> Result<Bare, Failure> {
    let failed = |why: String| Failure::failed(format!("the bare server: {why}"));
    let program = std::env::current_exe().map_err(|error| failed(error.to_string()))?;
    let mut server = Command::new(program)
        .arg("bare-websocket-server")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map(Server)
        .map_err(|error| failed(error.to_string()))?;
    let output = server.0.stdout.take().ok_or_else(|| failed("its output is not there".to_owned()))?;
    let address = address(output).await.map_err(failed)?;
    let process = Process(server.0.id());
    let target = Arc::new(Target::find(&format!("ws://{address}"), None).await?);
    let before = process.sample(0)?;
    let mut sockets = open(&target, connections).await.map_err(failed)?;
    sleep(REST).await;
    let opened = process.sample(0)?;
    talk(&mut sockets).await.map_err(failed)?;
    let talked = process.sample(MESSAGES as u64)?;
    Ok(Bare {
        connections,
        kib_per_connection: Sample::grown_kib(&before, &opened) / connections as f64,
        accept_cpu_us: Sample::cpu_micros(&before, &opened) / connections as f64,
        echo_cpu_us: Sample::cpu_micros(&opened, &talked) / MESSAGES as f64,
    })
}

/// The server's process, which ends with it.
struct Server(std::process::Child);

impl Drop for Server {
    fn drop(&mut self) {
        // One that has ended needs no end.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Its first line. Whoever reads that ends with the server, too.
async fn address(output: ChildStdout) -> Result<String, String> {
    let reading = spawn_blocking(move || {
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line).map(|_| line)
    });
    match timeout(PATIENCE, reading).await {
        Ok(Ok(Ok(line))) if !line.is_empty() => Ok(line.trim().to_owned()),
        _ => Err("it does not start".to_owned()),
    }
}

async fn open(target: &Arc<Target>, connections: usize) -> Result<Vec<Socket>, String> {
    let (mut sockets, mut opening) = (Vec::with_capacity(connections), JoinSet::new());
    let take = |opened: Option<Result<Result<Socket, String>, tokio::task::JoinError>>| match opened {
        Some(Ok(opened)) => opened,
        _ => Err("a connection was given up".to_owned()),
    };
    for index in 0..connections {
        let (target, from) = (Arc::clone(target), source(&[], target.address.ip(), index));
        opening.spawn(async move { target.connect(from).await });
        if opening.len() == AT_ONCE {
            sockets.push(take(opening.join_next().await)?);
        }
    }
    while !opening.is_empty() {
        sockets.push(take(opening.join_next().await)?);
    }
    Ok(sockets)
}

/// Every message waits for its echo; a hundred are on their way at once.
async fn talk(sockets: &mut Vec<Socket>) -> Result<(), String> {
    let mut talkers = JoinSet::new();
    let count = TALKERS.min(sockets.len());
    for mut socket in sockets.drain(..count) {
        talkers.spawn(async move {
            for _ in 0..MESSAGES / count {
                socket.send(Message::text("x".repeat(MESSAGE_BYTES))).await.ok()?;
                timeout(PATIENCE, socket.next()).await.ok()??.ok()?;
            }
            Some(socket)
        });
    }
    while let Some(talked) = talkers.join_next().await {
        sockets.push(talked.ok().flatten().ok_or("an echo did not come")?);
    }
    Ok(())
}
