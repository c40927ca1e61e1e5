//! The command line: what can be asked, with the help a person reads.

mod app;
mod cluster;
mod load;
mod stand;
pub(crate) mod store;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use offhook_client::{IceServer, PacketTime};
use offhook_server::AddressRange;

use crate::media_options;

pub(crate) use app::{AppAction, AppArguments, AppStore, CallbackArguments};
use cluster::ClusterArguments;
use load::AFTER_LOAD;
pub(crate) use load::{LoadArguments, TopArguments};
use store::{DatabaseArguments, StoreArguments, StoreKeyArguments};

pub(crate) use stand::{ReplayArguments, SimulateArguments};

/// Under the options of `call`. The statuses are those of [`Exit`](crate::failure::Exit).
const AFTER_CALL: &str = "\
Keys while the call runs: m mute, h hold, 0-9 * # A-D send a tone, q or Ctrl-C hang up. Without a terminal there are none; --duration and
SIGINT end the call.

Exit status: 0 they talked; 1 another failure; 2 wrong command line; 3 the server cannot be reached; 4 the credentials were refused;
5 nobody answered (denied, busy, not there, given up); 6 a sound device or file cannot be used; 7 the call failed or broke off.";

/// Under the options of `answer`.
const AFTER_ANSWER: &str = "\
Keys when it rings: a answer, d refuse, q leave. Keys while the call runs: m mute, h hold, 0-9 * # A-D send a tone, q or Ctrl-C hang up.
Without a terminal --auto is needed.

Exit status: 0 they talked; 1 another failure; 2 wrong command line; 3 the server cannot be reached; 4 the credentials were refused;
5 left without a call; 6 a sound device or file cannot be used; 7 the call failed or broke off.";

/// Under the options of `simulate`.
const AFTER_SIMULATE: &str = "\
The trace is CSV, `k,send_ms,arrival_ms` or `k,send_ms,lost`: the fate of the k-th packet of 20 ms. Shorter packets share the fate of the
20 ms they lie in; longer ones are lost when one of the fates they cover is a loss, and arrive when the last of them would. Arrivals are on
the receiver's clock, as is what is heard. The run is as long as the speech: a trace that is shorter begins again.

Exit status: 0 done; 1 another failure; 2 wrong command line or trace; 6 a sound file cannot be used.";

/// Voice calling, self-hosted: a server, two people, one command.
#[derive(Debug, Parser)]
#[command(name = "offhook", version, propagate_version = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,

    /// What to log on stderr, e.g. `info` or `offhook_client=debug,warn`; without it warnings, from `serve` also information.
    #[arg(long, global = true, env = "OFFHOOK_LOG", value_name = "FILTER")]
    pub(crate) log: Option<String>,

    /// One JSON object per line of log, or text; without it JSON from `serve --json`, else text.
    #[arg(long, global = true, env = "OFFHOOK_LOG_FORMAT", value_name = "FORMAT")]
    pub(crate) log_format: Option<LogFormat>,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// For machines: one JSON object per line.
    Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a whole call on this machine: server, two people, encrypted voice, a report of how good it was.
    ///
    /// Alice and Bob speak recorded human speech at once. What each heard is written as a WAV file beside a report to open in a
    /// browser. Exit status 0 means that both heard each other.
    Demo(DemoArguments),
    /// Run the signaling server.
    ///
    /// Without an application in the options or the configuration, a development application is made, kept in the data folder,
    /// and commands for two users are printed, ready to paste.
    Serve(ServeArguments),
    /// Create, list, rotate and block applications in a server's data folder.
    ///
    /// The server may run meanwhile: it notices a change within seconds.
    App(AppArguments),
    /// Copy what a server keeps from its data folder into a PostgreSQL database.
    Store(StoreArguments),
    /// Put thousands of simulated clients on a server: registrations, an idle crowd, calls at a rate.
    ///
    /// They speak the real protocol with the real client machine, and say that media flows where it would. Nothing is heard.
    #[command(after_help = AFTER_LOAD)]
    Load(LoadArguments),
    /// Watch a server live: connections, calls, times, queues. `q` leaves.
    Top(TopArguments),
    /// What `load --beside-bare` starts.
    #[command(hide = true)]
    BareWebsocketServer,
    /// Print a registration token for a user, and nothing else.
    ///
    /// For development and scripts. In production your own back end signs tokens, and the secret never leaves it.
    Token(TokenArguments),
    /// Ring a user, talk, hang up.
    #[command(after_help = AFTER_CALL)]
    Call(CallArguments),
    /// Wait for a call, answer it, talk.
    #[command(after_help = AFTER_ANSWER)]
    Answer(AnswerArguments),
    /// List microphones and speakers with the ids other commands take.
    Devices(DevicesArguments),
    /// Measure the round trip of a speaker and a microphone: play chirps, record them, print the delay.
    Loopback(LoopbackArguments),
    /// Send speech through a recorded network in virtual time and write what is heard.
    ///
    /// The real send path and the real receive path, without devices and without waiting. Sample 0 of what is heard is the instant at
    /// which sample 0 of the speech was captured, so the delay can be read off the two files. The same input gives the same output.
    #[command(after_help = AFTER_SIMULATE)]
    Simulate(SimulateArguments),
    /// Play what arrived in a recorded call through the receive path again, and show why it sounded as it did.
    ///
    /// When packets were sent is not recorded: delays are over that of the fastest packet. Exit status 2: the file is no flight
    /// recording, or a damaged one.
    Replay(ReplayArguments),
}

#[derive(Debug, Args)]
pub(crate) struct DemoArguments {
    /// How long they talk, in seconds.
    #[arg(long, default_value_t = 12, value_parser = clap::value_parser!(u64).range(2..=3600), value_name = "SECONDS")]
    pub(crate) duration: u64,
    /// Folder for what each heard and the report.
    #[arg(long, default_value = "demo-out", value_name = "DIR")]
    pub(crate) out: PathBuf,
    /// What Alice says (WAV); without it, speech that the set-up installed.
    #[arg(long, value_name = "FILE")]
    pub(crate) input_a: Option<PathBuf>,
    /// What Bob says (WAV).
    #[arg(long, value_name = "FILE")]
    pub(crate) input_b: Option<PathBuf>,
    /// Lose this many percent of the packets, at random, both ways.
    #[arg(long, default_value_t = 0.0, value_parser = percent, value_name = "PERCENT")]
    pub(crate) loss: f64,
    /// Delay each packet by a random time up to this, both ways.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u64).range(0..=1000), value_name = "MS")]
    pub(crate) jitter: u64,
    /// Seed of loss and jitter: the same seed, the same losses.
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub(crate) seed: u64,
    #[command(flatten)]
    pub(crate) media: MediaArguments,
    #[command(flatten)]
    pub(crate) record: RecordArguments,
    /// Print one JSON object on stdout.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct MediaArguments {
    /// Sound per packet: 5, 10, 20, 40 or 60 ms.
    #[arg(long, value_name = "MS", value_parser = media_options::packet_time)]
    pub(crate) ptime: Option<PacketTime>,
    /// Opus bit rate in bits per second.
    #[arg(long, value_name = "BPS", value_parser = clap::value_parser!(u32).range(6_000..=510_000))]
    pub(crate) bitrate: Option<u32>,
    /// Least delay: 5 ms packets of low-delay Opus at 64 kb/s, short device periods.
    #[arg(long)]
    pub(crate) low_latency: bool,
    /// Least processor time: a cheaper encoder, no neural network.
    #[arg(long)]
    pub(crate) light: bool,
}

/// What is kept of a call.
#[derive(Debug, Args)]
pub(crate) struct RecordArguments {
    /// When the call is over, write down what arrived in it, for `offhook replay`: times and headers, nothing that was said. Of a demo: what
    /// arrived at Bob.
    #[arg(long, value_name = "FILE")]
    pub(crate) record: Option<PathBuf>,
    /// Record what was said, too. Ask the other side first.
    #[arg(long, requires = "record")]
    pub(crate) record_sound: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ServeArguments {
    /// Address and port to listen on.
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) listen: Option<SocketAddr>,
    /// Folder where registrations are kept; without it they live in memory.
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) database: DatabaseArguments,
    /// An application that may register users; repeat for several.
    #[arg(long, value_name = "KEY:SECRET")]
    pub(crate) application: Vec<String>,
    /// TOML configuration; options given here win over it.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) store_key: StoreKeyArguments,
    /// TLS certificate chain (PEM).
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// TLS private key (PEM).
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub(crate) tls_key: Option<PathBuf>,
    /// Let nobody answer calls to the user `echo`, which otherwise plays everyone's voice back.
    #[arg(long)]
    pub(crate) no_echo_user: bool,
    /// Wake devices that are not connected by Web Push; push services may ask at this `mailto:` or `https:` URL.
    #[arg(long, value_name = "URL")]
    pub(crate) push_subject: Option<String>,
    /// Relay for calls whose two sides cannot reach each other (TURN, UDP and TCP; TLS too with a certificate), or `off`. Without this,
    /// port 3478 of the address listened on, but none on loopback. Only people in a call get credentials for it.
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) turn: Option<TurnListen>,
    /// The relay's address as clients reach it, where a router in front translates addresses.
    #[arg(long, value_name = "IP")]
    pub(crate) turn_external_ip: Option<IpAddr>,
    /// Let the relay reach these addresses although they are private, loopback or this machine's own; repeat for several.
    #[arg(long, value_name = "RANGE")]
    pub(crate) turn_allow_peers: Vec<AddressRange>,
    /// The operator, who sees metrics (`/metrics`) and the operator's page (`/admin/`) where clients connect. Better given in the environment
    /// or the configuration than here, where other users of this machine can read it.
    #[arg(long, env = "OFFHOOK_ADMIN", hide_env_values = true, value_name = "NAME:PASSWORD")]
    pub(crate) admin: Option<String>,
    /// Send traces of calls to an OpenTelemetry collector, by OTLP over HTTP, e.g. http://127.0.0.1:4318.
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT", value_name = "URL")]
    pub(crate) otlp_endpoint: Option<String>,
    /// Also serve metrics on this address, to whoever reaches it.
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) metrics_listen: Option<SocketAddr>,
    #[command(flatten)]
    pub(crate) cluster: ClusterArguments,
    /// Print one JSON line with the address and applications instead of text.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Where the relay listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TurnListen {
    Off,
    At(SocketAddr),
}

impl std::str::FromStr for TurnListen {
    type Err = std::net::AddrParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "off" { Ok(Self::Off) } else { text.parse().map(Self::At) }
    }
}

#[derive(Debug, Args)]
pub(crate) struct TokenArguments {
    /// Application key.
    #[arg(long, env = "OFFHOOK_APPLICATION_KEY", value_name = "KEY")]
    pub(crate) application_key: String,
    /// Application secret, base64.
    #[arg(long, env = "OFFHOOK_APPLICATION_SECRET", hide_env_values = true, value_name = "SECRET")]
    pub(crate) application_secret: String,
    /// User the token is for.
    #[arg(long, value_name = "USER")]
    pub(crate) user: String,
    /// Lifetime in seconds.
    #[arg(long, default_value_t = 600, value_parser = clap::value_parser!(u64).range(60..=864_000), value_name = "SECONDS")]
    pub(crate) ttl: u64,
}

/// Who is on this end, and where the server is.
#[derive(Debug, Args)]
pub(crate) struct IdentityArguments {
    /// Server: host, host:port or URL.
    #[arg(long, env = "OFFHOOK_SERVER", default_value = "127.0.0.1:7070", value_name = "HOST")]
    pub(crate) server: String,
    /// Application key.
    #[arg(long, env = "OFFHOOK_APPLICATION_KEY", value_name = "KEY")]
    pub(crate) application_key: String,
    /// This user.
    #[arg(long, value_name = "USER")]
    pub(crate) user: String,
    /// A registration token, or `-` to read it from standard input.
    #[arg(long, env = "OFFHOOK_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    pub(crate) token: Option<String>,
    /// Development only: the application secret, to make a token here.
    #[arg(
        long,
        env = "OFFHOOK_APPLICATION_SECRET",
        hide_env_values = true,
        value_name = "SECRET",
        conflicts_with = "token"
    )]
    pub(crate) application_secret: Option<String>,
    /// Keep the device credential in this file, so that the next start needs no token.
    #[arg(long, value_name = "FILE")]
    pub(crate) credentials: Option<PathBuf>,
}

/// Where sound comes from and goes to.
#[derive(Debug, Args)]
pub(crate) struct SoundArguments {
    /// Speak this WAV file instead of the microphone.
    #[arg(long, value_name = "FILE", conflicts_with = "microphone")]
    pub(crate) input: Option<PathBuf>,
    /// Record what is heard to this WAV file instead of playing it.
    #[arg(long, value_name = "FILE", conflicts_with = "speaker")]
    pub(crate) output: Option<PathBuf>,
    /// Microphone id (see `offhook devices`), or `null` for silence.
    #[arg(long, value_name = "ID")]
    pub(crate) microphone: Option<String>,
    /// Speaker id (see `offhook devices`), or `null` for nothing.
    #[arg(long, value_name = "ID")]
    pub(crate) speaker: Option<String>,
    /// Leave in the rumble of desks and wind.
    #[arg(long)]
    pub(crate) no_high_pass: bool,
    /// Leave in what the microphone hears of the speaker.
    #[arg(long)]
    pub(crate) no_echo_cancellation: bool,
    /// Leave in what the microphone hears beside the voice.
    #[arg(long)]
    pub(crate) no_noise_suppression: bool,
    /// Leave the voice as loud as the microphone has it.
    #[arg(long)]
    pub(crate) no_auto_gain: bool,
}

/// Which network paths a call may take.
#[derive(Debug, Args)]
pub(crate) struct PathArguments {
    /// Use addresses on TURN servers and no others: the far end learns none of this machine's.
    #[arg(long)]
    pub(crate) relay_only: bool,
    /// A STUN or TURN server besides those the server names, e.g. `stun:192.0.2.1` or `turn:192.0.2.1:3478?transport=tcp,USER,PASSWORD`;
    /// repeat for several.
    #[arg(long, value_name = "URL[,USER,PASSWORD]", value_parser = media_options::ice_server)]
    pub(crate) ice_server: Vec<IceServer>,
}

/// What both ends of a call choose.
#[derive(Debug, Args)]
pub(crate) struct TalkArguments {
    #[command(flatten)]
    pub(crate) identity: IdentityArguments,
    #[command(flatten)]
    pub(crate) sound: SoundArguments,
    #[command(flatten)]
    pub(crate) media: MediaArguments,
    #[command(flatten)]
    pub(crate) path: PathArguments,
    #[command(flatten)]
    pub(crate) record: RecordArguments,
    /// Hang up after this many seconds of talking.
    #[arg(long, value_name = "SECONDS")]
    pub(crate) duration: Option<u64>,
    /// Print the call's report as one JSON object on stdout.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct CallArguments {
    /// User to ring.
    #[arg(value_name = "CALLEE")]
    pub(crate) callee: String,
    #[command(flatten)]
    pub(crate) talk: TalkArguments,
}

#[derive(Debug, Args)]
pub(crate) struct AnswerArguments {
    #[command(flatten)]
    pub(crate) talk: TalkArguments,
    /// Answer without asking.
    #[arg(long)]
    pub(crate) auto: bool,
}

#[derive(Debug, Args)]
pub(crate) struct DevicesArguments {
    /// Also list what is no device to a person: ALSA plugins, further names of cards, monitors that record a speaker.
    #[arg(long)]
    pub(crate) all: bool,
    /// Print a JSON array on stdout.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct LoopbackArguments {
    /// Microphone id; without it the default one.
    #[arg(long, value_name = "ID")]
    pub(crate) microphone: Option<String>,
    /// Speaker id; without it the default one.
    #[arg(long, value_name = "ID")]
    pub(crate) speaker: Option<String>,
    /// How many chirps to play, one each half second.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=200), value_name = "N")]
    pub(crate) chirps: u32,
    /// Print one JSON object on stdout.
    #[arg(long)]
    pub(crate) json: bool,
}

fn percent(text: &str) -> Result<f64, String> {
    let value: f64 = text.parse().map_err(|_| format!("{text:?} is not a number"))?;
    if (0.0..=90.0).contains(&value) { Ok(value) } else { Err("must be from 0 to 90".to_owned()) }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn loss_is_a_percentage() {
        assert_eq!(percent("10"), Ok(10.0));
        assert!(percent("-1").is_err());
        assert!(percent("100").is_err());
        assert!(percent("NaN").is_err());
        assert!(percent("ten").is_err());
    }
}
