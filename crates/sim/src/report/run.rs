//! A run on the stand as one page: why its delay is what it is.

use std::fmt::Write as _;
use std::time::Duration;

use super::data::Figure;
use super::html::Escaped;
use super::page::{figures, notes, page_of, table_of};
use super::run_charts::Drawing;
use crate::measure::duration_of;
use crate::stand::{Outcome, Run};

/// Runs up to this length are also drawn in parts.
const LONGEST_IN_PARTS: Duration = Duration::from_secs(180);
const PART: Duration = Duration::from_secs(10);

/// A run told as one self-contained HTML page, without script.
#[derive(Debug)]
pub struct RunReport<'a> {
    /// The page's heading.
    pub title: String,
    /// One line under it: trace, speech, settings.
    pub subtitle: String,
    /// What happened.
    pub run: &'a Run,
    /// Its figures.
    pub outcome: &'a Outcome,
    /// What was spoken, mono at 48 kHz; `None` for a replay.
    pub speech: Option<&'a [f32]>,
}

impl RunReport<'_> {
    /// The page.
    pub fn to_html(&self) -> String {
        let speech = self.speech.unwrap_or_default();
        let length = duration_of(speech).max(duration_of(&self.run.heard));
        let drawing = Drawing::of(self.run, speech);
        let sections = [
            format!(
                "<header><h1>{}</h1><p class=\"soft\">{}</p></header>\n",
                Escaped(&self.title),
                Escaped(&self.subtitle)
            ),
            figures(&self.large_figures()),
            whole(&drawing, length),
            format!("<section class=\"card\">{}</section>\n", table_of(&self.all_figures())),
            parts(&drawing, length),
            notes(&explanations(self.speech.is_none())),
        ];
        page_of(&self.title, &sections.concat())
    }

    fn large_figures(&self) -> Vec<Figure> {
        let (outcome, time) = (self.outcome, &self.outcome.time_ms);
        let delay = outcome.delay_ms.as_ref();
        vec![
            Figure::new(
                "Spoken to heard, mean",
                number(delay.map(|delay| delay.mean), 1),
                "ms",
                "lower is better",
            ),
            Figure::new(
                "95 %",
                number(delay.map(|delay| delay.p95), 1),
                "ms",
                "most of the time it was shorter",
            ),
            Figure::new("Made up", number(Some(time.concealed), 0), "ms", "no packet and no copy was there"),
            Figure::new(
                "R factor",
                number(outcome.r_factor, 1),
                "",
                "0 to 148, an estimate from the figures",
            ),
        ]
    }

    fn all_figures(&self) -> Vec<Figure> {
        let (outcome, time) = (self.outcome, &self.outcome.time_ms);
        let row = |label: &str, value: Option<f64>, decimals: usize, unit: &str, hint: &str| {
            Figure::new(label, number(value, decimals), unit, hint)
        };
        vec![
            row("Sound per packet", outcome.packet_ms, 1, "ms", "part of the delay, mean"),
            row("Codec looks ahead", outcome.lookahead_ms, 1, "ms", "part of the delay"),
            row("Network", outcome.network_ms, 1, "ms", "part of the delay, mean of the packets that came"),
            row(
                "Buffer",
                outcome.buffer_ms,
                1,
                "ms",
                "arrival to playout, mean of the packets that were played",
            ),
            row("Decoded", Some(time.decoded), 0, "ms", "from its own packet"),
            row("Exact copies (RED)", Some(time.red), 0, "ms", "from a copy in a later packet"),
            row("Coarse copies (FEC)", Some(time.fec), 0, "ms", "from the codec's copy in the packet after"),
            row("Deep redundancy (DRED)", Some(time.dred), 0, "ms", "from a later packet"),
            row("Made up", Some(time.concealed), 0, "ms", "by the codec"),
            row("Taken out", Some(time.accelerated), 0, "ms", "to catch up"),
            row("Put in", Some(time.expanded), 0, "ms", "to fall back"),
            row("Skipped", Some(time.skipped), 0, "ms", "never heard"),
            row("Packets sent", Some(outcome.packets_sent as f64), 0, "", ""),
            row("Packets lost", Some(outcome.packets_lost as f64), 0, "", "by the network"),
            row(
                "Packets too late",
                Some(outcome.packets_late as f64),
                0,
                "",
                "all of their sound was due before",
            ),
            row("Interruptions", Some(outcome.interruptions as f64), 0, "", "gaps of 150 ms and more"),
            row("Payload", Some(outcome.payload_bps / 1e3), 1, "kb/s", ""),
            row(
                "On the wire",
                Some(outcome.wire_bps / 1e3),
                1,
                "kb/s",
                "with IPv4, UDP, RTP, SRTP and extensions",
            ),
            row("Clock drift", outcome.drift_ppm, 1, "ppm", "as the receiver knows it at the end"),
            row("MOS", outcome.mos, 2, "", "1 to 4.5, from R"),
            row("Processor time", outcome.cpu_s, 2, "s", "of the whole run, both ends"),
        ]
    }
}

fn whole(drawing: &Drawing<'_>, length: Duration) -> String {
    let mut html = String::from(
        "<section class=\"card\"><h2>The whole run</h2><p class=\"soft\">Every packet is a dot at the delay with which it \
         could have been heard at once. The line of what was played has to lie above the dots: where it does not, something \
         was made up or restored.</p>",
    );
    html += &drawing.part((Duration::ZERO, length));
    html += "<div class=\"key\"><span><i class=\"packet\"></i>packet came</span><span><i class=\"wanted\"></i>delay \
             wanted</span><span><i class=\"played\"></i>delay played</span>";
    for (class, name) in drawing.legend() {
        let _ = write!(html, "<span><i class=\"{class}\"></i>{name}</span>");
    }
    html + "</div></section>\n"
}

fn parts(drawing: &Drawing<'_>, length: Duration) -> String {
    if length > LONGEST_IN_PARTS || length <= PART {
        return String::new();
    }
    let mut html = String::new();
    let mut from = Duration::ZERO;
    while from < length {
        let to = from + PART;
        let _ = write!(html, "<section class=\"card\"><h2>{} s to {} s</h2>", from.as_secs(), to.as_secs());
        html += &drawing.part((from, to));
        html += "</section>\n";
        from = to;
    }
    html
}

fn explanations(is_replay: bool) -> Vec<String> {
    let delay = if is_replay {
        "When packets were sent is not recorded: delays are over that of the fastest packet, and times count from when its \
         first sample would then have been captured."
    } else {
        "Spoken to heard is read where the playout stands, while somebody speaks and sound goes on; it is what can be measured on \
         the two sounds."
    };
    let others = [
        "Time is that of hearing, on the receiver's clock, from the instant at which the first sample was captured.",
        "Wanted is what the jitter buffer wants over the fastest packets of the last ten seconds.",
    ];
    others.into_iter().chain([delay]).map(str::to_owned).collect()
}

fn number(value: Option<f64>, decimals: usize) -> Option<String> {
    value.map(|value| format!("{value:.decimals$}"))
}
