//! Metrics of this process, under the names that Prometheus' own libraries use.
//!
//! They come from /proc, which only Linux has; elsewhere they are absent.

use std::fs;
use std::sync::OnceLock;

use super::MetricsText;

/// The values in `/proc/self/stat`.
#[derive(Clone, Copy, Debug, PartialEq)]
struct ProcessReadings {
    cpu_seconds: f64,
    threads: u64,
    /// From the start of the system.
    begun_seconds: f64,
    virtual_bytes: u64,
    resident_bytes: u64,
}

/// The text of these metrics. It takes long if many files are open.
pub fn text() -> String {
    let mut text = MetricsText::default();
    let stat = fs::read_to_string("/proc/self/stat").ok();
    let ticks = rustix::param::clock_ticks_per_second();
    let page_bytes = rustix::param::page_size() as u64;
    if let Some(process) = stat.and_then(|stat| process(&stat, ticks, page_bytes)) {
        let ProcessReadings { cpu_seconds, threads, virtual_bytes, resident_bytes, .. } = process;
        text.value("process_cpu_seconds_total", "counter", "Processor time taken", cpu_seconds);
        text.value("process_threads", "gauge", "Threads", threads);
        let help = "Memory that is mapped";
        text.value("process_virtual_memory_bytes", "gauge", help, virtual_bytes);
        let help = "Memory that is in use";
        text.value("process_resident_memory_bytes", "gauge", help, resident_bytes);
        if let Some(boot) = boot_seconds() {
            let begun = boot + process.begun_seconds;
            text.value("process_start_time_seconds", "gauge", "When it started", begun);
        }
    }
    if let Ok(files) = fs::read_dir("/proc/self/fd") {
        // One of them is this directory itself.
        let open = files.count().saturating_sub(1);
        text.value("process_open_fds", "gauge", "Open files and sockets", open);
    }
    let limits = fs::read_to_string("/proc/self/limits").ok();
    if let Some(most) = limits.and_then(|limits| most_files(&limits)) {
        text.value("process_max_fds", "gauge", "How many may be open", most);
    }
    text.0
}

/// Takes `/proc/self/stat` apart; none if it is not as proc_pid_stat(5) says.
fn process(stat: &str, ticks_a_second: u64, page_bytes: u64) -> Option<ProcessReadings> {
    // The name of the command is in parentheses, and may contain parentheses.
    let (_, fields) = stat.rsplit_once(") ")?;
    let fields: Vec<&str> = fields.split_ascii_whitespace().collect();
    // The first of these has number 3.
    let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
    let seconds = |ticks: u64| ticks as f64 / ticks_a_second as f64;
    Some(ProcessReadings {
        cpu_seconds: seconds(field(14)? + field(15)?),
        threads: field(20)?,
        begun_seconds: seconds(field(22)?),
        virtual_bytes: field(23)?,
        resident_bytes: field(24)? * page_bytes,
    })
}

/// When the system started, in seconds after 1970. It is read once, since the file is long on large machines.
fn boot_seconds() -> Option<f64> {
    static BOOT: OnceLock<Option<f64>> = OnceLock::new();
    *BOOT.get_or_init(|| {
        let stat = fs::read_to_string("/proc/stat").ok()?;
        stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
    })
}

/// How many files may be open, as `/proc/self/limits` says; none if there is no limit.
fn most_files(limits: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_is_taken_apart() {
        let stat =
            "2 (a) b) (c) S 1 2 2 0 -1 4194560 1 2 3 4 150 50 7 8 20 0 9 0 4200 8192 3 184 1 2\n";
        let expected = ProcessReadings {
            cpu_seconds: 2.0,
            threads: 9,
            begun_seconds: 42.0,
            virtual_bytes: 8192,
            resident_bytes: 12288,
        };
        assert_eq!(process(stat, 100, 4096), Some(expected));
        for bad in ["", "2 (a) S 1 2", "2 (a"] {
            assert_eq!(process(bad, 100, 4096), None, "{bad}");
        }
    }

    #[test]
    fn limits_are_taken_apart() {
        let limits = "Limit  Soft Limit  Hard Limit  Units\nMax open files            1024                 \
                      4096                 files\n";
        assert_eq!(most_files(limits), Some(1024));
        assert_eq!(most_files("Max open files unlimited unlimited files\n"), None);
        assert_eq!(most_files(""), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_process_is_known() {
        let text = text();
        let value = |name: &str| -> f64 {
            let line = text.lines().find(|line| line.starts_with(&format!("{name} ")));
            line.unwrap_or_else(|| panic!("{name}: {text}"))[name.len() + 1..].parse().unwrap()
        };
        assert!(value("process_resident_memory_bytes") > 100_000.0);
        assert!(value("process_open_fds") >= 3.0);
        let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs_f64();
        let age = now - value("process_start_time_seconds");
        // The system counts it in whole seconds.
        assert!((-2.0..86_400.0).contains(&age), "{age}");
    }
}
