//! RTCP (RFC 3550, section 6): what is read from the peer's packets, and when and what we report.

mod parse;
mod receive;
mod schedule;
mod short_report;
mod write;

pub use parse::{PeerReport, RtcpError, RtcpItem, SenderInfo, parse};
pub use short_report::{MAX_SHORT_REPORT, ShortReport};

pub(crate) use receive::{ReceptionStats, StreamReception};
pub(crate) use schedule::ReportSchedule;
pub(crate) use short_report::short_report;
pub(crate) use write::{CNAME_LENGTH, Report, goodbye, report};
