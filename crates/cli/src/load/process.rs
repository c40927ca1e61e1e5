//! What a server process on this machine uses, from `/proc` (Linux).

use std::time::{Duration, Instant};

use serde::Serialize;

use crate::failure::Failure;

/// Memory and processor time of a process at one instant.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Sample {
    at: Instant,
    /// Of all its threads since it started.
    cpu: Duration,
    resident_kib: u64,
    heartbeats: u64,
}

impl Sample {
    /// By how much resident memory grew.
    pub(super) fn grown_kib(before: &Self, after: &Self) -> f64 {
        after.resident_kib.saturating_sub(before.resident_kib) as f64
    }

    /// Processor time between two.
    pub(super) fn cpu_micros(before: &Self, after: &Self) -> f64 {
        after.cpu.saturating_sub(before.cpu).as_secs_f64() * 1e6
    }
}

/// Reads one process.
#[derive(Debug, Clone, Copy)]
pub(super) struct Process(pub(super) u32);

impl Process {
    pub(super) fn sample(self, heartbeats: u64) -> Result<Sample, Failure> {
        let Self(pid) = self;
        let read = |name: &str| {
            std::fs::read_to_string(format!("/proc/{pid}/{name}")).map_err(|error| {
                Failure::usage(format!("--server-pid {pid}: {error}"))
                    .advice("give the id of the server's process on this machine")
            })
        };
        let unreadable = || Failure::usage(format!("--server-pid {pid}: /proc is not as on Linux"));
        let ticks = ticks(&read("stat")?).ok_or_else(unreadable)?;
        let per_second = rustix::param::clock_ticks_per_second().max(1);
        let resident_kib = resident_kib(&read("status")?).ok_or_else(unreadable)?;
        let cpu = Duration::from_secs_f64(ticks as f64 / per_second as f64);
        Ok(Sample { at: Instant::now(), cpu, resident_kib, heartbeats })
    }
}

/// User and system time: fields 14 and 15 of proc(5) `stat`, counted behind the name, which may hold anything.
fn ticks(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

fn resident_kib(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

/// What the crowd cost the server. What was not measured is absent.
#[derive(Debug, Serialize)]
pub(super) struct ServerCost {
    /// Resident memory after registration, less that before, by client.
    idle_kib_per_client: Option<f64>,
    /// Processor time of one registration, in microseconds: connection, TLS if any, token, session.
    register_cpu_us: Option<f64>,
    /// Processor time of one heartbeat while nothing else happened.
    heartbeat_cpu_us: Option<f64>,
    /// Processor time of one call, less the heartbeats meanwhile.
    call_cpu_us: Option<f64>,
    /// Processors in use while calls were made.
    calling_cores: Option<f64>,
    resident_kib_at_end: u64,
}

/// Samples at the borders of the phases.
#[derive(Debug, Clone, Copy)]
pub(super) struct Borders {
    pub(super) before: Sample,
    pub(super) registered: Sample,
    pub(super) idled: Sample,
    pub(super) called: Sample,
}

impl ServerCost {
    pub(super) fn new(borders: &Borders, registered: u64, calls: u64) -> Self {
        let Borders { before, registered: crowd, idled, called } = borders;
        let per = |cost: f64, count: u64| (count > 0).then(|| cost / count as f64);
        let micros = Sample::cpu_micros;
        let heartbeat = per(micros(crowd, idled), idled.heartbeats - crowd.heartbeats);
        let other = heartbeat.unwrap_or(0.0) * (called.heartbeats - idled.heartbeats) as f64;
        let seconds = called.at.duration_since(idled.at).as_secs_f64();
        Self {
            idle_kib_per_client: per(Sample::grown_kib(before, crowd), registered),
            register_cpu_us: per(micros(before, crowd), registered),
            heartbeat_cpu_us: heartbeat,
            call_cpu_us: per((micros(idled, called) - other).max(0.0), calls),
            calling_cores: (calls > 0 && seconds > 0.0).then(|| micros(idled, called) / 1e6 / seconds),
            resident_kib_at_end: called.resident_kib,
        }
    }

    /// For a person.
    pub(super) fn text(&self) -> String {
        let show = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), |value| format!("{value:.1}"));
        format!(
            "server       {} KiB per idle client   CPU: registration {} µs, heartbeat {} µs, call {} µs",
            show(self.idle_kib_per_client),
            show(self.register_cpu_us),
            show(self.heartbeat_cpu_us),
            show(self.call_cpu_us)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_found_behind_any_name() {
        let stat = "42 (a) b (c)) S 1 42 42 0 -1 4194560 1 0 0 0 150 50 0 0 20 0 4 0 1 1 1";
        assert_eq!(ticks(stat), Some(200));
        assert_eq!(ticks("42 (x"), None);
        assert_eq!(resident_kib("Name:\tx\nVmRSS:\t  5120 kB\n"), Some(5120));
        assert_eq!(resident_kib("Name:\tx\n"), None);
    }

    #[test]
    fn this_process_can_be_read_and_no_other_that_is_not_there() {
        let sample = Process(std::process::id()).sample(7).unwrap();
        assert!(sample.resident_kib > 100 && sample.heartbeats == 7);
        assert!(Process(u32::MAX).sample(0).is_err());
    }

    #[test]
    fn costs_are_differences_between_the_borders() {
        let start = Instant::now();
        let at = |seconds: u64, millis: u64, resident_kib: u64, heartbeats: u64| Sample {
            at: start + Duration::from_secs(seconds),
            cpu: Duration::from_millis(millis),
            resident_kib,
            heartbeats,
        };
        let borders = Borders {
            before: at(0, 0, 1000, 0),
            registered: at(1, 100, 11_000, 0),
            idled: at(11, 110, 11_000, 1000),
            called: at(21, 10_120, 12_000, 2000),
        };
        let cost = ServerCost::new(&borders, 1000, 10_000);
        assert_eq!((cost.idle_kib_per_client, cost.register_cpu_us), (Some(10.0), Some(100.0)));
        assert!((cost.heartbeat_cpu_us.unwrap() - 10.0).abs() < 1e-6);
        assert!((cost.call_cpu_us.unwrap() - 1000.0).abs() < 1e-6);
        assert!((cost.calling_cores.unwrap() - 1.001).abs() < 1e-6);
        assert_eq!(ServerCost::new(&borders, 0, 0).call_cpu_us, None);
    }
}
