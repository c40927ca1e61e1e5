//! The page: sections in the order they are read.

use std::fmt::Write as _;
use std::time::Duration;

use super::charts;
use super::data::{CallReport, Direction, Figure, LatencyPart, Side, TimelineEvent, Verdict};
use super::html::Escaped;

const STYLE: &str = include_str!("style.css");

impl CallReport {
    /// The report as one self-contained HTML page: no script, nothing loaded, all text escaped.
    pub fn to_html(&self) -> String {
        let sections = [
            head(self),
            figures(&self.figures),
            self.directions.iter().map(|direction| one_direction(direction, self.duration)).collect(),
            events(&self.events),
            latency(&self.latency),
            notes(&self.notes),
        ];
        page_of(&self.title, &sections.concat())
    }
}

/// A whole page around its sections.
pub(super) fn page_of(title: &str, sections: &str) -> String {
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width, initial-scale=1\"><title>{}</title>\n<style>\n{STYLE}</style></head>\n\
         <body><main>\n{sections}\n</main></body></html>\n",
        Escaped(title)
    )
}

fn head(report: &CallReport) -> String {
    let (class, word) = match report.verdict {
        Verdict::Good => ("good", "Good"),
        Verdict::Fair => ("fair", "Fair"),
        Verdict::Bad => ("bad", "Failed"),
    };
    format!(
        "<header><h1>{}</h1><p class=\"soft\">{}</p><div class=\"verdict\"><span class=\"badge {class}\">{word}</span>\
         <span>{}</span></div></header>\n",
        Escaped(&report.title),
        Escaped(&report.subtitle),
        Escaped(&report.summary)
    )
}

pub(super) fn figures(figures: &[Figure]) -> String {
    let mut html = String::from("<div class=\"figures\">");
    for figure in figures {
        let _ = write!(
            html,
            "<div class=\"figure\"><div class=\"soft\">{}</div><div class=\"value\">{}</div><div class=\"soft\">{}</div>\
             </div>",
            Escaped(&figure.label),
            value_of(figure),
            Escaped(&figure.hint)
        );
    }
    html + "</div>\n"
}

fn value_of(figure: &Figure) -> String {
    match &figure.value {
        Some(value) => format!("{} <span class=\"unit\">{}</span>", Escaped(value), Escaped(&figure.unit)),
        None => "<span class=\"missing\">not measured</span>".to_owned(),
    }
}

fn one_direction(direction: &Direction, duration: Duration) -> String {
    let (speaker, listener) = (Escaped(&direction.speaker), Escaped(&direction.listener));
    let mut html = format!("<section class=\"card\"><h2>{speaker} speaks, {listener} hears</h2>");
    let _ = write!(
        html,
        "<p class=\"soft\">Above, the sound that went into {speaker}'s microphone; below, what came out of {listener}'s \
         speaker. The two should look the same, the lower one a little to the right.</p>{}{}",
        charts::waveforms(direction, duration),
        key(direction)
    );
    html += "<h3>Delay</h3><p class=\"soft\">From mouth to ear, measured on the sound. Below 150 ms nobody notices; \
             lower and flatter is better.</p>";
    html += &charts::delays(&direction.delay, duration);
    html += "<h3>Loudness</h3><p class=\"soft\">Blue was spoken, green was heard. 0 dB is the loudest a sound can be; \
             speech lies around -20 dB.</p>";
    html += &charts::levels(&direction.spoken_level, &direction.heard_level, duration);
    html += &table_of(&direction.figures);
    html + "</section>\n"
}

fn key(direction: &Direction) -> String {
    let mut html = String::from(
        "<div class=\"key\"><span><i class=\"spoken\"></i>spoken</span><span><i class=\"heard\"></i>heard</span>",
    );
    for kind in charts::kinds(&direction.marks) {
        let (class, name) = (charts::class_of(kind), charts::name_of(kind));
        let _ = write!(html, "<span><i class=\"{class}\"></i>{name}</span>");
    }
    html + "</div>"
}

pub(super) fn table_of(figures: &[Figure]) -> String {
    if figures.is_empty() {
        return String::new();
    }
    let mut html = String::from("<h3>Figures</h3><div class=\"scroll\"><table>");
    for figure in figures {
        let _ = write!(
            html,
            "<tr><td>{}</td><td class=\"number\">{}</td><td class=\"soft\">{}</td></tr>",
            Escaped(&figure.label),
            value_of(figure),
            Escaped(&figure.hint)
        );
    }
    html + "</table></div>"
}

fn events(events: &[TimelineEvent]) -> String {
    let Some(last) = events.iter().map(|event| event.at).max() else {
        return String::new();
    };
    let mut html = String::from(
        "<section class=\"card\"><h2>What happened</h2><p class=\"soft\">Events of the call on each side, in seconds \
         since it was started.</p>",
    );
    if let Some(set_up) = set_up_of(events, last) {
        html += "<h3>Setting up</h3>";
        html += &charts::timeline(set_up, set_up.last().map_or(last, |event| event.at.mul_f64(1.2)));
        html += "<h3>Whole call</h3>";
    }
    html += &charts::timeline(events, last);
    html += "<h3>All events</h3><div class=\"scroll\"><table><tr><th>time</th><th>side</th><th>event</th><th></th></tr>";
    for event in events {
        let side = match event.side {
            Side::Caller => "caller",
            Side::Callee => "callee",
            Side::Server => "server",
        };
        let _ = write!(
            html,
            "<tr><td class=\"number\">{:.3} s</td><td>{side}</td><td>{}</td><td class=\"soft\">{}</td></tr>",
            event.at.as_secs_f64(),
            Escaped(&event.name),
            Escaped(&event.detail)
        );
    }
    html + "</table></div></section>\n"
}

/// The events before the longest pause, when they are too close together to be told apart in the whole call.
fn set_up_of(events: &[TimelineEvent], last: Duration) -> Option<&[TimelineEvent]> {
    let pause = |n: &usize| events[n + 1].at.saturating_sub(events[*n].at);
    let before_pause = (0..events.len().saturating_sub(1)).max_by_key(pause)?;
    let set_up = &events[..=before_pause];
    let length = events[before_pause].at;
    (set_up.len() > 1 && length > Duration::ZERO && length < last / 5).then_some(set_up)
}

fn latency(parts: &[LatencyPart]) -> String {
    if parts.is_empty() {
        return String::new();
    }
    let mut html = String::from(
        "<section class=\"card\"><h2>Where the delay comes from</h2><p class=\"soft\">The stages sound passes, in \
         order.</p>",
    );
    html += &charts::latency(parts);
    html += "<div class=\"scroll\"><table>";
    for (n, part) in parts.iter().enumerate() {
        let _ = write!(
            html,
            "<tr><td><i class=\"{}\"></i>{}</td><td class=\"number\">{:.1} ms</td><td class=\"soft\">{}</td></tr>",
            charts::part_class(n),
            Escaped(&part.name),
            part.share.as_secs_f64() * 1e3,
            Escaped(&part.hint)
        );
    }
    html + "</table></div></section>\n"
}

pub(super) fn notes(notes: &[String]) -> String {
    if notes.is_empty() {
        return String::new();
    }
    let items: String = notes.iter().map(|note| format!("<li>{}</li>", Escaped(note))).collect();
    format!("<section class=\"card\"><h2>Notes</h2><ul>{items}</ul></section>\n")
}
