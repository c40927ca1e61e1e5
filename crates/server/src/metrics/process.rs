//! What this process uses, from `/proc` (Linux); elsewhere nothing is told.

/// Memory, processor time and open files of this process.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Usage {
    /// User and system time of all threads.
    pub(super) cpu_seconds: f64,
    pub(super) resident_bytes: u64,
    pub(super) open_files: u64,
}

impl Usage {
    /// Now; `None` where it cannot be learned.
    pub(super) fn read() -> Option<Self> {
        let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
        let open_files = std::fs::read_dir("/proc/self/fd").ok()?.count() as u64;
        let ticks_per_second = rustix::param::clock_ticks_per_second().max(1);
        let (ticks, pages) = fields(&stat)?;
        Some(Self {
            cpu_seconds: ticks as f64 / ticks_per_second as f64,
            resident_bytes: pages * rustix::param::page_size() as u64,
            // The folder that was read is one of them.
            open_files: open_files.saturating_sub(1),
        })
    }
}

/// Fields 14 and 15 (time in ticks) and 24 (resident pages) of proc(5) `stat`, counted behind the name, which may hold anything.
fn fields(stat: &str) -> Option<(u64, u64)> {
    let (_, rest) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let number = |index: usize| fields.get(index - 3)?.parse::<u64>().ok();
    Some((number(14)? + number(15)?, number(24)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_pages_are_found_behind_any_name() {
        let stat = "42 (a) b (c)) S 1 42 42 0 -1 4194560 1 0 0 0 150 50 0 0 20 0 4 0 1 99 77 1";
        assert_eq!(fields(stat), Some((200, 77)));
        assert_eq!(fields("42 (x) S 1"), None);
    }

    #[test]
    fn this_process_uses_something() {
        let usage = Usage::read().unwrap();
        assert!(usage.resident_bytes > 100_000 && usage.open_files > 2, "{usage:?}");
    }
}
