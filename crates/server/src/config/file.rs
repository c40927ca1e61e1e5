//! The TOML file. Times are seconds and may have a fraction; unknown settings are refused, so that a slip is seen.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use offhook_signaling::UserId;
use offhook_signaling::call::Unanswered;
use offhook_signaling::message::IceServer;
use offhook_signaling::token::ApplicationSecret;
use serde::Deserialize;

use super::{ConfigError, EchoUser, PushConfig, Rate, ServerConfig, TlsFiles, TurnChoice, form};
use crate::admin::AdminCredentials;
use crate::application::{Application, ApplicationError};
use crate::callbacks::{CallbackDigest, Callbacks};
use crate::cluster::ClusterConfig;
use crate::store::{StoreKeySource, millis};
use crate::turn::TurnSecret;

/// Of a server for people. A test that pings by itself may be quicker.
const SHORTEST_HEARTBEAT: Duration = Duration::from_secs(1);

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct File {
    listen: Option<SocketAddr>,
    data: Option<PathBuf>,
    store: Option<String>,
    store_key_file: Option<PathBuf>,
    credential_lifetime_seconds: Option<Seconds>,
    application: Vec<FileApplication>,
    tls: Option<FileTls>,
    ice_server: Vec<FileIceServer>,
    turn: Option<FileTurn>,
    limits: FileLimits,
    sessions: FileSessions,
    calls: FileCalls,
    tokens: FileTokens,
    echo: FileEcho,
    push: Option<FilePush>,
    admin: Option<FileAdmin>,
    metrics: FileMetrics,
    traces: FileTraces,
    cluster: Option<FileCluster>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileCluster {
    nats: Vec<String>,
    node: String,
    credentials: Option<PathBuf>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileAdmin {
    name: String,
    password: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct FileMetrics {
    listen: Option<SocketAddr>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct FileTraces {
    otlp_endpoint: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FilePush {
    subject: String,
    wait_seconds: Option<Seconds>,
    #[serde(default)]
    allow_private_endpoints: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct FileEcho {
    enabled: Option<bool>,
    user: Option<UserId>,
    delay_seconds: Option<Seconds>,
    calls: Option<usize>,
    longest_call_seconds: Option<Seconds>,
    public_addresses: Option<Vec<IpAddr>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileApplication {
    key: String,
    secret: String,
    previous_secret: Option<String>,
    callbacks: Option<FileCallbacks>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileCallbacks {
    url: String,
    fallback_url: Option<String>,
    timeout_seconds: Option<Seconds>,
    on_failure: Option<Unanswered>,
    digest: Option<CallbackDigest>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileTls {
    certificate: PathBuf,
    key: PathBuf,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileIceServer {
    urls: Vec<String>,
    username: Option<String>,
    credential: Option<String>,
    secret: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct FileTurn {
    enabled: Option<bool>,
    listen: Option<SocketAddr>,
    tls_listen: Option<SocketAddr>,
    external_ip: Option<IpAddr>,
    host: Option<String>,
    secret: Option<String>,
    previous_secret: Option<String>,
    credential_lifetime_seconds: Option<Seconds>,
    allow_peers: Vec<String>,
    allocations: Option<usize>,
    allocations_per_user: Option<usize>,
    bytes_per_second: Option<u64>,
    connections: Option<usize>,
    connections_per_address: Option<usize>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct FileLimits {
    connections: Option<usize>,
    connections_per_address: Option<usize>,
    greetings: Option<usize>,
    waiting: Option<usize>,
    devices_per_user: Option<usize>,
    devices_per_application: Option<usize>,
    attempts_per_address: Option<FileRate>,
    refusals_per_address: Option<FileRate>,
    registrations_per_user: Option<FileRate>,
    registrations_per_address: Option<FileRate>,
    registrations_per_application: Option<FileRate>,
    requests_per_application: Option<FileRate>,
    calls_per_user: Option<FileRate>,
    calls_per_address: Option<FileRate>,
    calls_per_application: Option<FileRate>,
    messages_per_connection: Option<FileRate>,
    messages_per_user: Option<FileRate>,
    messages_per_address: Option<FileRate>,
    messages_per_application: Option<FileRate>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a rate like { interval_seconds = 1, burst = 30 }")]
struct FileRate {
    interval_seconds: Seconds,
    burst: u32,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct FileSessions {
    hello_seconds: Option<Seconds>,
    heartbeat_seconds: Option<Seconds>,
    write_seconds: Option<Seconds>,
    resume_seconds: Option<Seconds>,
    shutdown_seconds: Option<Seconds>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct FileCalls {
    setup_seconds: Option<Seconds>,
    progress_seconds: Option<Seconds>,
    acknowledge_seconds: Option<Seconds>,
    caller_gone_seconds: Option<Seconds>,
    resume_seconds: Option<Seconds>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct FileTokens {
    clock_tolerance_seconds: Option<Seconds>,
    max_lifetime_seconds: Option<Seconds>,
}

/// Seconds as written; not negative, not infinite.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "f64")]
struct Seconds(Duration);

impl TryFrom<f64> for Seconds {
    type Error = String;

    fn try_from(seconds: f64) -> Result<Self, String> {
        Duration::try_from_secs_f64(seconds).map(Self).map_err(|error| error.to_string())
    }
}

/// Reads `text` over the defaults.
pub(super) fn read(text: &str) -> Result<ServerConfig, ConfigError> {
    let file: File = toml::from_str(text).map_err(|error| ConfigError::Form(form::describe(text, &error)))?;
    if file.sessions.heartbeat_seconds.is_some_and(|seconds| seconds.0 < SHORTEST_HEARTBEAT) {
        let rule = "at least a second: clients ping no more often, whatever they are told";
        return Err(ConfigError::Range { name: "sessions.heartbeat", rule });
    }
    let mut config = ServerConfig::default();
    set(&mut config.listen, file.listen);
    config.data = file.data;
    config.store = file.store.map(|url| url.parse()).transpose()?;
    config.store_key = file.store_key_file.map_or(StoreKeySource::DataFolder, StoreKeySource::File);
    set_time(&mut config.credential_lifetime, file.credential_lifetime_seconds);
    config.applications = file.application.into_iter().map(application).collect::<Result<_, _>>()?;
    config.tls = file.tls.map(|tls| TlsFiles { certificate: tls.certificate, key: tls.key });
    for server in file.ice_server {
        config = ice_server(config, server)?;
    }
    config.turn = file.turn.map_or(Ok(TurnChoice::Usual), |turn| turn_choice(&config, turn))?;
    limits(&mut config, &file.limits);
    config.echo = echo(file.echo);
    config.push = file.push.map(|file| {
        let mut push = PushConfig::new(file.subject);
        set_time(&mut push.wait, file.wait_seconds);
        push.allow_private_endpoints = file.allow_private_endpoints;
        push
    });
    if let Some(FileAdmin { name, password }) = file.admin {
        config.admin = Some(AdminCredentials::new(name, &password)?);
    }
    config.metrics_listen = file.metrics.listen;
    config.otlp_endpoint = file.traces.otlp_endpoint;
    if let Some(FileCluster { nats, node, credentials }) = file.cluster {
        if nats.is_empty() {
            return Err(ConfigError::Range { name: "cluster.nats", rule: "at least one URL" });
        }
        config.cluster = Some(ClusterConfig::nats(node.parse()?, nats).credentials(credentials));
    }
    times(&mut config, &file.sessions, &file.calls, &file.tokens);
    Ok(config)
}

fn echo(file: FileEcho) -> Option<EchoUser> {
    let mut echo = EchoUser::default();
    set(&mut echo.user, file.user);
    set(&mut echo.calls, file.calls);
    set(&mut echo.public_addresses, file.public_addresses);
    set_time(&mut echo.delay, file.delay_seconds);
    set_time(&mut echo.longest_call, file.longest_call_seconds);
    file.enabled.unwrap_or(true).then_some(echo)
}

fn application(file: FileApplication) -> Result<Application, ConfigError> {
    let fail = |source| ConfigError::Application { key: file.key.clone(), source };
    let application = Application::from_parts(&file.key, &file.secret).map_err(fail)?;
    let application = match file.callbacks {
        Some(file) => application.with_callbacks(callbacks(file)),
        None => application,
    };
    let Some(previous) = file.previous_secret else { return Ok(application) };
    let previous = ApplicationSecret::from_base64(&previous).map_err(|_| fail(ApplicationError::Secret))?;
    Ok(application.with_previous_secret(previous))
}

fn callbacks(file: FileCallbacks) -> Callbacks {
    let mut callbacks = Callbacks::new(file.url);
    callbacks.fallback_url = file.fallback_url;
    set(&mut callbacks.timeout_ms, file.timeout_seconds.map(|seconds| millis(seconds.0)));
    set(&mut callbacks.on_failure, file.on_failure);
    set(&mut callbacks.digest, file.digest);
    callbacks
}

fn ice_server(mut config: ServerConfig, file: FileIceServer) -> Result<ServerConfig, ConfigError> {
    let FileIceServer { urls, username, credential, secret } = file;
    match secret {
        Some(_) if username.is_some() || credential.is_some() => {
            Err(ConfigError::Range { name: "ice_server.secret", rule: "without username and credential" })
        }
        Some(secret) => Ok(config.shared_relay(urls, TurnSecret::new(secret))),
        None => {
            config.ice_servers.push(IceServer { urls, username, credential });
            Ok(config)
        }
    }
}

fn turn_choice(config: &ServerConfig, file: FileTurn) -> Result<TurnChoice, ConfigError> {
    if file.enabled == Some(false) {
        return Ok(TurnChoice::Off);
    }
    let mut turn = config.turn_config();
    set(&mut turn.listen, file.listen);
    (turn.tls_listen, turn.external_ip, turn.host) = (file.tls_listen, file.external_ip, file.host);
    turn.secret = file.secret.map(TurnSecret::new);
    turn.previous_secret = file.previous_secret.map(TurnSecret::new);
    set_time(&mut turn.credential_lifetime, file.credential_lifetime_seconds);
    turn.allow_peers = file.allow_peers.iter().map(|range| range.parse()).collect::<Result<_, _>>()?;
    set(&mut turn.limits.allocations, file.allocations);
    set(&mut turn.limits.allocations_per_user, file.allocations_per_user);
    set(&mut turn.limits.bytes_per_second, file.bytes_per_second);
    set(&mut turn.limits.connections, file.connections);
    set(&mut turn.limits.connections_per_address, file.connections_per_address);
    Ok(TurnChoice::On(Box::new(turn)))
}

fn limits(config: &mut ServerConfig, file: &FileLimits) {
    let limits = &mut config.limits;
    set(&mut limits.connections, file.connections);
    set(&mut limits.connections_per_address, file.connections_per_address);
    set(&mut limits.greetings, file.greetings);
    set(&mut limits.waiting, file.waiting);
    set(&mut limits.devices_per_user, file.devices_per_user);
    set(&mut limits.devices_per_application, file.devices_per_application);
    set_rate(&mut limits.attempts_per_address, file.attempts_per_address);
    set_rate(&mut limits.refusals_per_address, file.refusals_per_address);
    set_rate(&mut limits.registrations_per_user, file.registrations_per_user);
    set_rate(&mut limits.registrations_per_address, file.registrations_per_address);
    set_rate(&mut limits.registrations_per_application, file.registrations_per_application);
    set_rate(&mut limits.requests_per_application, file.requests_per_application);
    set_rate(&mut limits.calls_per_user, file.calls_per_user);
    set_rate(&mut limits.calls_per_address, file.calls_per_address);
    set_rate(&mut limits.calls_per_application, file.calls_per_application);
    set_rate(&mut limits.messages_per_connection, file.messages_per_connection);
    set_rate(&mut limits.messages_per_user, file.messages_per_user);
    set_rate(&mut limits.messages_per_address, file.messages_per_address);
    set_rate(&mut limits.messages_per_application, file.messages_per_application);
}

fn times(config: &mut ServerConfig, sessions: &FileSessions, calls: &FileCalls, tokens: &FileTokens) {
    set_time(&mut config.sessions.hello, sessions.hello_seconds);
    set_time(&mut config.sessions.heartbeat, sessions.heartbeat_seconds);
    set_time(&mut config.sessions.write, sessions.write_seconds);
    set_time(&mut config.sessions.resume, sessions.resume_seconds);
    set_time(&mut config.sessions.shutdown, sessions.shutdown_seconds);
    set_time(&mut config.calls.setup, calls.setup_seconds);
    set_time(&mut config.calls.progress, calls.progress_seconds);
    set_time(&mut config.calls.acknowledge, calls.acknowledge_seconds);
    set_time(&mut config.calls.caller_gone, calls.caller_gone_seconds);
    set_time(&mut config.calls.resume, calls.resume_seconds);
    set_time(&mut config.tokens.clock_tolerance, tokens.clock_tolerance_seconds);
    set_time(&mut config.tokens.max_lifetime, tokens.max_lifetime_seconds);
}

fn set<T>(place: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *place = value;
    }
}

fn set_time(place: &mut Duration, value: Option<Seconds>) {
    set(place, value.map(|seconds| seconds.0));
}

fn set_rate(place: &mut Rate, value: Option<FileRate>) {
    set(place, value.map(|rate| Rate { interval: rate.interval_seconds.0, burst: rate.burst }));
}

#[cfg(test)]
mod tests {
    use super::*;

    const FULL: &str = r#"
        listen = "0.0.0.0:8443"
        data = "/var/lib/offhook"
        credential_lifetime_seconds = 3600
        [[application]]
        key = "a32e5a8d-f7d8-411c-9645-9038e8dd051d"
        secret = "ax8hTTQJF0OPXL32r1LHMA=="
        previous_secret = "bx8hTTQJF0OPXL32r1LHMA=="
        [tls]
        certificate = "cert.pem"
        key = "key.pem"
        [[ice_server]]
        urls = ["stun:stun.example.org"]
        [limits]
        devices_per_user = 3
        calls_per_user = { interval_seconds = 0.5, burst = 2 }
        [sessions]
        heartbeat_seconds = 20
        [calls]
        setup_seconds = 30
        [tokens]
        max_lifetime_seconds = 600
    "#;

    #[test]
    fn every_section_is_read_and_the_rest_keeps_its_default() {
        let config = ServerConfig::from_toml(FULL).unwrap();
        assert_eq!(config.listen, "0.0.0.0:8443".parse().unwrap());
        assert_eq!(config.applications[0].secrets().len(), 2);
        assert_eq!(config.tls.unwrap().key, PathBuf::from("key.pem"));
        assert_eq!(config.ice_servers.len(), 1);
        assert_eq!(config.limits.devices_per_user, 3);
        assert_eq!(config.limits.calls_per_user, Rate { interval: Duration::from_millis(500), burst: 2 });
        assert_eq!(config.sessions.heartbeat, Duration::from_secs(20));
        assert_eq!(config.calls.setup, Duration::from_secs(30));
        assert_eq!(config.calls.progress, ServerConfig::default().calls.progress);
        assert_eq!(config.tokens.max_lifetime, Duration::from_secs(600));
    }

    #[test]
    fn the_documented_file_is_read_and_shows_the_defaults() {
        let page = include_str!("../../../../docs/SERVER.md");
        let text = page.split("```toml").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
        let (config, default) = (ServerConfig::from_toml(text).unwrap(), ServerConfig::default());
        assert_eq!(config.limits, default.limits);
        assert_eq!(config.sessions, default.sessions);
        assert_eq!(config.calls, default.calls);
        assert_eq!(config.tokens, default.tokens);
        assert_eq!(config.credential_lifetime, default.credential_lifetime);
        assert_eq!(config.echo, default.echo);
        assert_eq!(config.push, Some(PushConfig::new("mailto:admin@example.org")));
        assert_eq!(config.metrics_listen, "127.0.0.1:9464".parse().ok());
        assert!(config.admin.is_some());
        let callbacks = Callbacks {
            fallback_url: Some("https://standby.example.org/offhook".to_owned()),
            ..Callbacks::new("https://example.org/offhook")
        };
        assert_eq!(config.applications[0].callbacks(), Some(&callbacks));
    }

    #[test]
    fn slips_are_refused_by_name() {
        let error = |text: &str| ServerConfig::from_toml(text).unwrap_err().to_string();
        assert!(error("data = 'd'\nstore = 'mysql://x:secret@y/z'").contains("postgres://"));
        assert!(!error("data = 'd'\nstore = 'mysql://x:secret@y/z'").contains("secret"));
        assert!(error("store = 'postgres://offhook@localhost/offhook'").contains("data must be given"));
        assert!(error("lisen = '127.0.0.1:1'").contains("lisen"));
        assert!(error("[sessions]\nhello_seconds = -1").contains("negative"));
        assert!(error("[sessions]\nhello_seconds = 0").contains("sessions.hello"));
        assert!(error("[sessions]\nheartbeat_seconds = 0.5").contains("sessions.heartbeat must be at least"));
        assert!(error("[calls]\nsetup_seconds = 61").contains("calls.setup must be at most"));
        assert!(ServerConfig::from_toml("[calls]\nresume_seconds = 202").is_ok());
        assert!(error("[calls]\nresume_seconds = 203").contains("calls.resume must be at most 240 s"));
        assert!(error("[sessions]\nheartbeat_seconds = 49").contains("calls.resume must be at most 240 s"));
        assert!(error("[echo]\ncalls = 31").contains("echo.calls"));
        assert!(error("[echo]\ndelay_seconds = 2").contains("echo.delay"));
        assert!(error("[echo]\nuser = 'a b'").contains("A-Z"));
        assert!(error("[push]\nsubject = 'me'").contains("push.subject"));
        assert!(error("[admin]\nname = 'ada'\npassword = 'short'").contains("12 to 256"));
        assert!(error("[cluster]\nnats = ['nats://a']\nnode = 'A b'").contains("a-z"));
        assert!(error("[cluster]\nnats = []\nnode = 'a'").contains("cluster.nats must be at least one URL"));
        assert!(error("[limits]\ncalls_per_user = 3").contains("a rate like { interval_seconds"));
        assert!(error("[limits]\nconnections = 0").contains("limits.connections"));
        assert!(error("[[application]]\nkey = 'x'\nsecret = 'y'").contains("application x"));
        assert!(error("[tls]\nkey = 'k.pem'").contains("certificate"));
        let hooked = "[[application]]\nkey = 'a32e5a8d-f7d8-411c-9645-9038e8dd051d'\nsecret = 'ax8hTTQJF0OPXL32r1LHMA=='\n\
                      [application.callbacks]\n";
        assert!(error(&format!("{hooked}url = 'x'")).contains("callback URL"));
        assert!(error(&format!("{hooked}url = 'http://x/'\ntimeout_seconds = 60")).contains("timeout"));
        assert!(error(&format!("{hooked}url = 'http://x/'\non_failure = 'x'")).contains("hangup"));
        let twice = "[[application]]\nkey = 'a32e5a8d-f7d8-411c-9645-9038e8dd051d'\nsecret = 'ax8hTTQJF0OPXL32r1LHMA=='\n";
        assert!(error(&twice.repeat(2)).contains("twice"));
    }
}
