//! What the terminal shows: pure, from two looks at the server.

use std::fmt::Write as _;
use std::time::Duration;

use super::sample::Sample;

/// Two looks and what lies between them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Screen<'a> {
    pub(super) server: &'a str,
    pub(super) before: &'a Sample,
    pub(super) now: &'a Sample,
    pub(super) elapsed: Duration,
    /// Why there is no newer look.
    pub(super) problem: Option<&'a str>,
}

impl Screen<'_> {
    /// How much a counter grew each second. A server that was restarted begins at 0 again.
    fn rate(&self, read: impl Fn(&Sample) -> f64) -> f64 {
        let seconds = self.elapsed.as_secs_f64();
        let grown = (read(self.now) - read(self.before)).max(0.0);
        if seconds > 0.0 { grown / seconds } else { 0.0 }
    }

    fn times(&self, histogram: &str) -> String {
        let of = |quantile| self.now.quantile(self.before, histogram, quantile);
        match (of(0.5), of(0.99)) {
            (Some(p50), Some(p99)) => format!("p50 {}   p99 {}", time(p50), time(p99)),
            _ => "–".to_owned(),
        }
    }
}

/// All lines.
pub(super) fn render(screen: &Screen<'_>) -> String {
    let Screen { server, now, problem, .. } = screen;
    let mut text = format!("offhook {} at {server}          q leaves\n\n", now.version());
    // Writing to a string cannot fail.
    if let Some(problem) = problem {
        let _ = writeln!(text, "{problem}\n");
    }
    let state = |family: &str, state: &str| now.value(&format!("{family}{{state=\"{state}\"}}"));
    let _ = writeln!(
        text,
        "connections   {}   sessions: {} connected, {} waiting\n\
         calls         {} ringing   {} answered   {} established",
        now.value("offhook_connections"),
        state("offhook_sessions", "connected"),
        state("offhook_sessions", "waiting"),
        state("offhook_calls", "ringing"),
        state("offhook_calls", "answered"),
        state("offhook_calls", "established"),
    );
    let _ = writeln!(
        text,
        "calls/s       {:.1} started   {:.1} ended\n\
         to ringing    {}\n\
         to media      {}\n\
         talking       {}",
        screen.rate(|sample| sample.value("offhook_calls_started_total")),
        screen.rate(|sample| sample.sum("offhook_calls_ended_total", "cause")),
        screen.times("offhook_call_ringing_seconds"),
        screen.times("offhook_call_media_seconds"),
        screen.times("offhook_call_talk_seconds"),
    );
    let _ = writeln!(
        text,
        "messages/s    {:.0} in   {:.0} out   {:.1} commands refused\n\
         connections/s {:.1} taken   {:.1} refused by a limit",
        screen.rate(|sample| sample.sum("offhook_messages_received_total", "type")),
        screen.rate(|sample| sample.value("offhook_messages_sent_total")),
        screen.rate(|sample| sample.sum("offhook_commands_refused_total", "error")),
        screen.rate(|sample| sample.value("offhook_connections_accepted_total")),
        screen.rate(|sample| sample.value("offhook_connections_limited_total")),
    );
    around(screen, &mut text);
    let ended: Vec<String> = now
        .family("offhook_calls_ended_total", "cause")
        .filter(|(_, count)| *count > 0.0)
        .map(|(cause, count)| format!("{cause} {count}"))
        .collect();
    let _ = writeln!(
        text,
        "\nended so far  {}",
        if ended.is_empty() { "–".to_owned() } else { ended.join("   ") }
    );
    text
}

fn around(screen: &Screen<'_>, text: &mut String) {
    let now = screen.now;
    let queues: Vec<String> =
        now.family("offhook_queue_depth", "queue").map(|(queue, depth)| format!("{queue} {depth}")).collect();
    let _ = writeln!(text, "queues        {}", queues.join("   "));
    if now.has("offhook_turn_allocations") {
        let _ = writeln!(
            text,
            "relay         {} allocations   {:.1} kB/s",
            now.value("offhook_turn_allocations"),
            screen.rate(|sample| sample.value("offhook_turn_relayed_bytes_total")) / 1000.0
        );
    }
    if now.has("process_cpu_seconds_total") {
        let _ = writeln!(
            text,
            "process       CPU {:.0} %   memory {:.0} MiB   {} open files",
            100.0 * screen.rate(|sample| sample.value("process_cpu_seconds_total")),
            now.value("process_resident_memory_bytes") / (1024.0 * 1024.0),
            now.value("process_open_fds"),
        );
    }
}

fn time(seconds: f64) -> String {
    if seconds < 1.0 { format!("{:.1} ms", seconds * 1000.0) } else { format!("{seconds:.1} s") }
}

#[cfg(test)]
mod tests {
    use super::super::sample::TEXT;
    use super::*;

    #[test]
    fn it_shows_what_there_is_and_how_fast_it_grows() {
        let before =
            Sample::parse(&TEXT.replace("started_total 40", "started_total 20").replace("2.5", "1.5"));
        let now = Sample::parse(TEXT);
        let elapsed = Duration::from_secs(2);
        let screen = Screen { server: "ws://x", before: &before, now: &now, elapsed, problem: None };
        let text = render(&screen);
        for line in [
            "offhook 0.1.0 at ws://x",
            "connections   12   sessions: 10 connected, 2 waiting",
            "calls         1 ringing   0 answered   3 established",
            "calls/s       10.0 started   0.0 ended",
            "to ringing    –",
            "queues        store 5",
            "process       CPU 50 %   memory 100 MiB",
            "ended so far  failure 6   hung_up 30",
        ] {
            assert!(text.contains(line), "{line:?} is not in\n{text}");
        }
        assert!(!text.contains("relay"), "it has none");
        let gone = render(&Screen { problem: Some("no answer in time"), before: &now, ..screen });
        assert!(gone.contains("no answer in time"), "{gone}");
    }

    #[test]
    fn a_restart_is_no_negative_rate() {
        let (before, now) = (Sample::parse(TEXT), Sample::parse("offhook_calls_started_total 1\n"));
        let screen =
            Screen { server: "", before: &before, now: &now, elapsed: Duration::from_secs(1), problem: None };
        assert!(render(&screen).contains("0.0 started"));
        assert_eq!((time(0.0021).as_str(), time(2.5).as_str()), ("2.1 ms", "2.5 s"));
    }
}
