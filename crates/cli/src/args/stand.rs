//! Arguments of `simulate` and `replay`.

use std::path::PathBuf;

use clap::Args;
use offhook_client::PacketTime;
use offhook_sim::stand::Redundancy;

use crate::media_options;

#[derive(Debug, Args)]
pub(crate) struct SimulateArguments {
    /// What the network does to each packet (CSV).
    #[arg(long, value_name = "FILE")]
    pub(crate) trace: PathBuf,
    /// What is spoken (WAV of any rate; channels are mixed).
    #[arg(long, value_name = "FILE")]
    pub(crate) input: PathBuf,
    /// Where to write what is heard (WAV, 48 kHz, mono).
    #[arg(long, value_name = "FILE")]
    pub(crate) output: PathBuf,
    /// Opus bit rate in bits per second.
    #[arg(long, default_value_t = 32_000, value_name = "BPS", value_parser = clap::value_parser!(u32).range(6_000..=510_000))]
    pub(crate) bitrate: u32,
    /// Sound per packet: 5, 10, 20, 40 or 60 ms.
    #[arg(long, default_value = "20", value_name = "MS", value_parser = media_options::packet_time)]
    pub(crate) ptime: PacketTime,
    /// What is sent against loss: auto (as the sender chooses), none, fec, red or dred.
    #[arg(long, default_value = "auto", value_name = "KIND", value_parser = media_options::redundancy)]
    pub(crate) redundancy: Redundancy,
    /// So long after the receiver makes a report the sender hears it and chooses rate and redundancy anew.
    #[arg(long, default_value_t = 100, value_name = "MS", value_parser = clap::value_parser!(u64).range(0..=10_000))]
    pub(crate) rtt: u64,
    /// Milliseconds of delay that the receiver accepts to be spared one percent of made-up sound: small for less delay, large for better sound.
    #[arg(long, default_value_t = 46, value_name = "MS", value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub(crate) loss_price: u16,
    /// Bits per second of a link before the trace, headers included; without it there is none.
    #[arg(long, value_name = "BPS", value_parser = clap::value_parser!(u32).range(8_000..))]
    pub(crate) bottleneck: Option<u32>,
    /// How long a packet may wait before that link; who would wait longer is dropped.
    #[arg(long, default_value_t = 500, value_name = "MS", requires = "bottleneck", value_parser = clap::value_parser!(u64).range(0..=10_000))]
    pub(crate) queue: u64,
    /// Seed of what is random in a call: source, first sequence number, first timestamp.
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub(crate) seed: u64,
    /// Draw packets, delays, events and waveforms on a page to open in a browser.
    #[arg(long, value_name = "FILE")]
    pub(crate) report: Option<PathBuf>,
    /// Write what is drawn as CSV, one line per 5 ms.
    #[arg(long, value_name = "FILE")]
    pub(crate) timeline: Option<PathBuf>,
    /// Print one JSON object on stdout.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ReplayArguments {
    /// A flight recording of a call.
    #[arg(value_name = "RECORDING")]
    pub(crate) recording: PathBuf,
    /// Where to write what is heard (WAV, 48 kHz, mono); only a recording that holds the sound has any.
    #[arg(long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Draw packets, delays, events and what was heard on a page to open in a browser.
    #[arg(long, value_name = "FILE")]
    pub(crate) report: Option<PathBuf>,
    /// Write what is drawn as CSV, one line per 5 ms.
    #[arg(long, value_name = "FILE")]
    pub(crate) timeline: Option<PathBuf>,
    /// Print one JSON object on stdout, as `simulate` does.
    #[arg(long)]
    pub(crate) json: bool,
}
