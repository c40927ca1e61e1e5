//! A call told as one self-contained HTML page: fill a [`CallReport`], call [`CallReport::to_html`]. A run on the stand: [`RunReport`].
//!
//! The page holds no script and loads nothing, follows the reader's light or dark preference, and escapes all text.

mod charts;
mod data;
mod html;
mod page;
mod plot;
mod run;
mod run_charts;

pub use data::{
    CallReport, DelaySample, Direction, Envelope, Figure, LatencyPart, LevelSample, Mark, MarkKind, Side,
    TimelineEvent, Verdict,
};
pub use run::RunReport;
