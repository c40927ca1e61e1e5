//! `offhook serve`: the signaling server until a signal ends it.

use std::fmt::Write as _;
use std::io::{ErrorKind, IsTerminal as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::ExitCode;

use offhook_server::{
    AdminCredentials, Application, DevelopmentApplication, PushConfig, RunningServer, Server, ServerConfig,
    StartError, StoreKeySource,
};
use offhook_signaling::ApplicationKey;
use sd_notify::NotifyState;
use serde::Serialize;
use tokio::signal::unix::{SignalKind, signal};

use crate::allocated;
use crate::app::store_advice;
use crate::args::{ServeArguments, TurnListen, store};
use crate::descriptors;
use crate::failure::Failure;
use crate::stop::StopSignals;
use crate::terminal;

/// Where clients look without `--server`.
const USUAL_ADDRESS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 7070);

/// Serves until SIGINT or SIGTERM; a second one ends it without waiting for the clients. SIGHUP has the certificate read again.
pub(crate) async fn run(arguments: &ServeArguments) -> Result<ExitCode, Failure> {
    // As many clients as the system allows, whatever the shell does.
    descriptors::raise();
    let config = config(arguments, applications(arguments)?)?;
    let mut signals = StopSignals::listen()?;
    let server = Server::bind(config).await.map_err(|error| not_started(&error))?;
    if arguments.json {
        terminal::print_json(&Announcement::of(&server));
    } else {
        terminal::print(&welcome(&server));
    }
    tell_supervisor(NotifyState::Ready);
    tokio::select! {
        () = signals.next() => {}
        () = read_again(&server) => {}
    }
    tell_supervisor(NotifyState::Stopping);
    if !arguments.json {
        terminal::say("Stopping: clients are told to come back later.");
    }
    tokio::select! {
        () = server.shutdown() => {}
        () = signals.next() => {}
    }
    Ok(ExitCode::SUCCESS)
}

/// Reads the certificate again with each SIGHUP. From a terminal SIGHUP means that it was closed: there it ends the server as ever.
async fn read_again(server: &RunningServer) {
    let hang_ups = (!std::io::stderr().is_terminal()).then(|| signal(SignalKind::hangup()));
    let Some(Ok(mut hang_ups)) = hang_ups else { return std::future::pending().await };
    while hang_ups.recv().await.is_some() {
        // What is wrong with it is in the log.
        let _ = server.reload_certificate().await;
    }
}

/// Where systemd started it (`Type=notify`) it is told: `systemctl start` waits until the server listens, and fails when it does not.
fn tell_supervisor(state: NotifyState<'_>) {
    // Nobody is told where nobody asked; one that does not listen ends us after its own time.
    let _ = sd_notify::notify(&[state]);
}

fn applications(arguments: &ServeArguments) -> Result<Vec<Application>, Failure> {
    let read = |text: &String| {
        text.parse().map_err(|error| {
            // The secret is not repeated: logs are read by more people than secrets should be.
            let key = text.split_once(':').map_or("", |(key, _)| key);
            Failure::usage(format!("--application {key}…: {error}"))
                .advice("KEY is a lower-case UUID, SECRET the base64 of 16 to 64 bytes; leave the option out to have both made")
        })
    };
    arguments.application.iter().map(read).collect()
}

fn config(arguments: &ServeArguments, applications: Vec<Application>) -> Result<ServerConfig, Failure> {
    let mut config = match &arguments.config {
        Some(path) => ServerConfig::load(path).map_err(|error| {
            Failure::usage(format!("--config {}: {error}", path.display()))
                .advice("correct the file or leave the option out")
        })?,
        None => ServerConfig::default(),
    };
    config = config.allocated_bytes(allocated::bytes);
    if let Some(address) = arguments.listen {
        config = config.listen(address);
    }
    if let Some(folder) = &arguments.data {
        config = config.data(folder);
    }
    if let Some(url) = arguments.database.url()? {
        config = config.store(url);
    }
    if let Some(password) = store::password() {
        config = config.store_password(&password);
    }
    let source = arguments.store_key.source()?;
    if source != StoreKeySource::DataFolder {
        config = config.store_key(source);
    }
    if !applications.is_empty() {
        config = config.applications(applications);
    }
    if let Some(admin) = &arguments.admin {
        config = config.admin(Some(operator(admin)?));
    }
    if arguments.metrics_listen.is_some() {
        config = config.metrics_listen(arguments.metrics_listen);
    }
    if arguments.otlp_endpoint.is_some() {
        config = config.otlp_endpoint(arguments.otlp_endpoint.clone());
    }
    if let Some(cluster) = arguments.cluster.config() {
        config = config.cluster(Some(cluster));
    } else if let Some(name) = &arguments.cluster.node_name {
        config = config.node_name(name.clone()).ok_or_else(|| {
            Failure::usage("--node-name: this server is alone")
                .advice("name the cluster with --cluster nats://… or [cluster] of the configuration file")
        })?;
    }
    if let Some(subject) = &arguments.push_subject {
        config = config.push(Some(PushConfig::new(subject)));
    }
    if arguments.no_echo_user {
        config = config.echo_user(None);
    }
    if let (Some(certificate), Some(key)) = (&arguments.tls_cert, &arguments.tls_key) {
        config = config.tls(certificate, key);
    }
    Ok(with_turn(config, arguments))
}

fn operator(text: &str) -> Result<AdminCredentials, Failure> {
    // What was given is not repeated, as with applications.
    text.parse().map_err(|error| {
        Failure::usage(format!("--admin or OFFHOOK_ADMIN: {error}")).advice("write it NAME:PASSWORD")
    })
}

/// The options of the relay over what the file says. An option about it asks for one.
fn with_turn(config: ServerConfig, arguments: &ServeArguments) -> ServerConfig {
    if arguments.turn == Some(TurnListen::Off) {
        return config.without_turn();
    }
    if arguments.turn.is_none()
        && arguments.turn_external_ip.is_none()
        && arguments.turn_allow_peers.is_empty()
    {
        return config;
    }
    let mut turn = config.turn_config();
    if let Some(TurnListen::At(address)) = arguments.turn {
        turn.listen = address;
    }
    turn.external_ip = arguments.turn_external_ip.or(turn.external_ip);
    turn.allow_peers.extend(&arguments.turn_allow_peers);
    config.turn(turn)
}

fn not_started(error: &StartError) -> Failure {
    let what = error.to_string();
    match error {
        StartError::Listen { address, source } => {
            Failure::failed(what).advice(listen_advice("--listen", *address, source.kind()))
        }
        StartError::ListenForMetrics { address, source } => {
            Failure::failed(what).advice(listen_advice("--metrics-listen", *address, source.kind()))
        }
        StartError::Tls(_) => {
            Failure::usage(what).advice("--tls-cert and --tls-key take PEM files that belong together")
        }
        StartError::Store(error) => Failure::failed(what).advice(store_advice(error)),
        StartError::Turn(_) => Failure::failed(what)
            .advice("choose another address with --turn ADDRESS:PORT, or --turn off to do without a relay"),
        StartError::Config(_) | StartError::Traces(_) => Failure::usage(what),
        StartError::Cluster(_) => Failure::failed(what)
            .advice("--cluster takes the addresses of nats-server 2.12 or later, started with -js"),
        StartError::Echo(_) => Failure::failed(what).advice("start with --no-echo-user"),
        StartError::Push(_) | StartError::Entropy => Failure::failed(what),
    }
}

fn listen_advice(option: &str, address: SocketAddr, why: ErrorKind) -> String {
    match why {
        ErrorKind::AddrNotAvailable => format!(
            "{} is no address of this machine: `ip address` lists them, and 0.0.0.0 or [::] means all of them",
            address.ip()
        ),
        ErrorKind::PermissionDenied => {
            "ports below 1024 are for root, or for a service with CAP_NET_BIND_SERVICE like that of the package".to_owned()
        }
        _ => format!(
            "another program may use port {}: stop it, or choose another with {option} {}:0",
            address.port(),
            address.ip()
        ),
    }
}

/// What `--json` prints, once the server listens.
#[derive(Debug, Serialize)]
struct Announcement {
    url: String,
    listen: SocketAddr,
    /// Where metrics are fetched without credentials, when they have a listener of their own.
    #[serde(skip_serializing_if = "Option::is_none")]
    metrics: Option<SocketAddr>,
    /// Where the relay listens, when there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    turn: Option<SocketAddr>,
    /// Whether the application was made here because none was configured.
    development: bool,
    applications: Vec<AnnouncedApplication>,
}

#[derive(Debug, Serialize)]
struct AnnouncedApplication {
    key: String,
    /// Only of an application that was made here: who configured one knows its secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
}

impl Announcement {
    fn of(server: &RunningServer) -> Self {
        let made = server.development_application();
        let announced = |key: ApplicationKey| AnnouncedApplication {
            key: key.to_string(),
            secret: made.filter(|made| *made.key() == key).map(DevelopmentApplication::secret_base64),
        };
        Self {
            url: server.url(),
            listen: server.local_addr(),
            metrics: server.metrics_addr(),
            turn: server.turn_addr(),
            development: made.is_some(),
            applications: server.application_keys().into_iter().map(announced).collect(),
        }
    }
}

/// What a person reads once the server listens.
fn welcome(server: &RunningServer) -> String {
    let mut text = format!("Offhook listens on {}\n", server.url());
    let mut commands = |key: &str, secret: &str| {
        let program = program();
        let account =
            format!("{}--application-key {key} --application-secret {secret}", server_option(server));
        if let Some(echo) = server.echo_user() {
            let _ = write!(
                text,
                "\nAlone, to hear your own voice come back:\n\n  {program} call {echo} {account} --user alice\n"
            );
        }
        let _ = write!(
            text,
            "\nTwo users, each in a terminal of its own:\n\n  {program} answer {account} --user bob\n  {program} call bob {account} --user alice\n\
             \nWithout microphone and speaker, add --input SPEECH.wav --output HEARD.wav to each.\n"
        );
    };
    if let Some(made) = server.development_application() {
        let (key, secret) = (made.key().to_string(), made.secret_base64());
        commands(&key, &secret);
        let kept = match server.data_folder().filter(|_| !server.has_database()) {
            Some(folder) => format!("kept in {}", folder.display()),
            None if server.has_database() => "kept in the database".to_owned(),
            None => "new at each start; --data DIR keeps it".to_owned(),
        };
        let _ = write!(text, "\nDevelopment application ({kept}):\n  key     {key}\n  secret  {secret}\n");
    } else if let Some(first) = server.application_keys().first() {
        commands(first.as_str(), "SECRET");
        text += "\nPut the application's secret in the place of SECRET.\n";
    }
    if let Some(relay) = server.turn_addr() {
        let _ = write!(text, "\nRelay (TURN) for calls that find no direct way: {relay}, UDP and TCP\n");
    }
    if server.is_exposed_without_tls() {
        text += "\nWARNING: this address is reachable from other machines and there is no TLS: tokens and credentials can be read \
                 on the way.\n         Add --tls-cert and --tls-key.\n";
    }
    text + "\nCtrl-C stops it."
}

/// How this program was started, so that a pasted command finds it.
fn program() -> String {
    let name = std::env::args().next().unwrap_or_else(|| "offhook".to_owned());
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-+".contains(&byte);
    if name.bytes().all(plain) { name } else { format!("'{}'", name.replace('\'', r"'\''")) }
}

/// `--server …` for clients on this machine, empty where it is what they do anyway.
fn server_option(server: &RunningServer) -> String {
    let mut address = server.local_addr();
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    match server.url().split_once("://") {
        Some(("ws", _)) if address == USUAL_ADDRESS => String::new(),
        Some((scheme, _)) => format!("--server {scheme}://{address} "),
        None => format!("--server {address} "),
    }
}
