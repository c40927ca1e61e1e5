//! What `load` and `top` can be asked.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::Args;

/// Under the options of `load`.
pub(super) const AFTER_LOAD: &str = "\
The load is open loop: registrations and calls are due at even times, and what they take counts from then, however late they could begin.
On IPv4 loopback the clients come from 127.0.0.1, 127.0.1.1, 127.0.1.2 …, 400 each, so that a server with the usual limits takes them.
Each client needs an open file here and one at the server.

Exit status: 0 every client registered, every call was set up and ended, no event was lost or came twice; 1 otherwise; 2 wrong command line;
3 the server cannot be reached; 4 the credentials were refused.";

#[derive(Debug, Args)]
pub(crate) struct LoadArguments {
    /// The server, as `offhook serve` prints it, e.g. `ws://127.0.0.1:7070`. Repeat for the nodes of a cluster: clients begin at them in
    /// turn, and go to the next one when a connection is lost or does not come about.
    #[arg(long, env = "OFFHOOK_SERVER", value_name = "URL", required = true, value_delimiter = ',')]
    pub(crate) server: Vec<String>,
    /// The application whose users they are.
    #[arg(long, env = "OFFHOOK_APPLICATION", hide_env_values = true, value_name = "KEY:SECRET")]
    pub(crate) application: String,
    /// How many clients, each a user of its own.
    #[arg(long, default_value_t = 1000, value_parser = crate::load::count, value_name = "N")]
    pub(crate) clients: usize,
    /// Calls that are started each second; 0 for an idle crowd.
    #[arg(long, default_value_t = 0.0, value_parser = crate::load::rate_or_none, value_name = "R")]
    pub(crate) calls_per_second: f64,
    /// How long calls are started, or an idle crowd stays.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=604_800), value_name = "S")]
    pub(crate) seconds: u64,
    /// Registrations that are started each second.
    #[arg(long, default_value_t = 500.0, value_parser = crate::load::rate, value_name = "R")]
    pub(crate) registrations_per_second: f64,
    /// How long the crowd is idle before the first call: 500ms, 30s, 5m.
    #[arg(long, default_value = "0s", value_parser = crate::load::time, value_name = "TIME")]
    pub(crate) idle: std::time::Duration,
    /// How long each call lasts once it is set up.
    #[arg(long, default_value = "1s", value_parser = crate::load::time, value_name = "TIME")]
    pub(crate) talk: std::time::Duration,
    /// Connect from this address of this machine; repeat for several, which take turns.
    #[arg(long, value_name = "IP")]
    pub(crate) source: Vec<IpAddr>,
    /// Trust the certificates of this file (PEM) instead of the system's.
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
    /// Also tell what the server process with this id, on this machine, used: memory per client, processor time per registration,
    /// heartbeat and call. With --idle, so that there is a time of heartbeats alone.
    #[arg(long, value_name = "PID")]
    pub(crate) server_pid: Option<u32>,
    /// First measure a bare WebSocket echo server with as many connections, started for it on this machine: what there is to compare with.
    #[arg(long)]
    pub(crate) beside_bare: bool,
    /// Print one JSON object on stdout.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct TopArguments {
    /// The server, as it prints itself, or the address of its metrics. Of a cluster name every node, each with its own --server or with
    /// commas between: what they count is added up.
    #[arg(
        long,
        env = "OFFHOOK_SERVER",
        default_value = "http://127.0.0.1:7070",
        value_name = "URL",
        value_delimiter = ','
    )]
    pub(crate) server: Vec<String>,
    /// The operator, as the server knows it. Not needed on a development server, nor where metrics have an address of their own.
    #[arg(long, env = "OFFHOOK_ADMIN", hide_env_values = true, value_name = "NAME:PASSWORD")]
    pub(crate) admin: Option<String>,
    /// Trust the certificates of this file (PEM) instead of the system's.
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
    /// Time between two looks: 500ms, 2s.
    #[arg(long, default_value = "1s", value_parser = crate::load::time, value_name = "TIME")]
    pub(crate) interval: std::time::Duration,
    /// Print one snapshot as JSON and end.
    #[arg(long)]
    pub(crate) json: bool,
}
