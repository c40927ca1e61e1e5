//! Reading and writing `k,send_ms,arrival_ms|lost`.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use thiserror::Error;

use super::{MAX_PACKETS, Trace, TracePacket};

const HEADER: &str = "k,send_ms,arrival_ms";
/// Largest file read; [`MAX_PACKETS`] rows of the longest usual kind fit.
const MAX_BYTES: u64 = 64 * 1024 * 1024;
/// Latest time in a trace.
const LATEST: Duration = Duration::from_secs(24 * 3600);

/// Why a trace could not be read.
#[derive(Debug, Error)]
pub enum TraceError {
    /// The file could not be opened or read. Check the path and its permissions.
    #[error("cannot read the trace {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The first line is not the header of the format: this is not a trace.
    #[error("the first line is not \"{HEADER}\"")]
    Header,
    /// A row is wrong. Correct it.
    #[error("line {line}: {problem}")]
    Row {
        /// Line number, the header being 1.
        line: usize,
        /// What is wrong with it.
        problem: RowProblem,
    },
    /// The trace is too long. Cut it.
    #[error("the trace has more than {MAX_PACKETS} packets or 64 MiB")]
    TooLong,
}

/// What is wrong with a row of a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum RowProblem {
    /// Not three fields.
    #[error("not three comma-separated fields")]
    Fields,
    /// `k` does not count up from 0.
    #[error("k does not count up from 0")]
    Number,
    /// A time is not a number of milliseconds from 0 to 24 hours.
    #[error("a time is not a number of milliseconds between 0 and 24 hours")]
    Time,
    /// Sent before the packet in the row before.
    #[error("sent before the packet in the row before")]
    SendOrder,
}

impl Trace {
    /// Parses the text of a trace. Times are kept in whole microseconds; empty lines at the end are ignored.
    ///
    /// # Errors
    /// [`TraceError::Header`], [`TraceError::Row`] or [`TraceError::TooLong`].
    pub fn parse(text: &str) -> Result<Self, TraceError> {
        let mut lines = text.trim_end().lines();
        if lines.next().map(str::trim_end) != Some(HEADER) {
            return Err(TraceError::Header);
        }
        let mut packets: Vec<TracePacket> = Vec::new();
        for (k, row) in lines.enumerate() {
            if k >= MAX_PACKETS {
                return Err(TraceError::TooLong);
            }
            let earliest = packets.last().map_or(Duration::ZERO, |before| before.sent);
            let packet =
                parse_row(row, k, earliest).map_err(|problem| TraceError::Row { line: k + 2, problem })?;
            packets.push(packet);
        }
        Ok(Self { packets })
    }

    /// Reads a trace file.
    ///
    /// # Errors
    /// Every [`TraceError`]; text that is not UTF-8 is [`TraceError::Io`].
    pub fn load(path: &Path) -> Result<Self, TraceError> {
        let mut text = String::new();
        let read = File::open(path).and_then(|file| file.take(MAX_BYTES + 1).read_to_string(&mut text));
        match read {
            Err(source) => Err(TraceError::Io { path: path.to_owned(), source }),
            Ok(bytes) if bytes as u64 > MAX_BYTES => Err(TraceError::TooLong),
            Ok(_) => Self::parse(&text),
        }
    }

    /// The text of this trace, which [`parse`](Self::parse) reads back.
    pub fn to_csv(&self) -> String {
        let mut text = String::with_capacity(32 * (self.packets.len() + 1));
        text.push_str(HEADER);
        for (k, packet) in self.packets.iter().enumerate() {
            let arrival = packet.arrived.map_or_else(|| "lost".to_owned(), milliseconds);
            // Writing to a String cannot fail.
            let _ = write!(text, "\n{k},{},{arrival}", milliseconds(packet.sent));
        }
        text.push('\n');
        text
    }
}

fn parse_row(row: &str, k: usize, earliest: Duration) -> Result<TracePacket, RowProblem> {
    let mut fields = row.trim_end().split(',');
    let (Some(number), Some(sent), Some(arrival), None) =
        (fields.next(), fields.next(), fields.next(), fields.next())
    else {
        return Err(RowProblem::Fields);
    };
    if number.parse() != Ok(k) {
        return Err(RowProblem::Number);
    }
    let sent = parse_time(sent)?;
    if sent < earliest {
        return Err(RowProblem::SendOrder);
    }
    let arrived = if arrival == "lost" { None } else { Some(parse_time(arrival)?) };
    Ok(TracePacket { sent, arrived })
}

fn parse_time(field: &str) -> Result<Duration, RowProblem> {
    let milliseconds: f64 = field.parse().map_err(|_| RowProblem::Time)?;
    if !(0.0..=LATEST.as_secs_f64() * 1e3).contains(&milliseconds) {
        return Err(RowProblem::Time);
    }
    Ok(Duration::from_micros((milliseconds * 1e3).round() as u64))
}

fn milliseconds(time: Duration) -> String {
    let microseconds = time.as_micros();
    format!("{}.{:03}", microseconds / 1000, microseconds % 1000)
}
