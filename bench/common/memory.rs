//! How much memory is used.

use std::fs;

/// How much memory a process has for itself, in bytes (proc(5), `Private_*` of `smaps_rollup`).
pub fn memory(process: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{process}/smaps_rollup")).unwrap_or_default();
    let kilobytes = text.lines().filter_map(|line| {
        let value = line.strip_prefix("Private_Dirty:").or(line.strip_prefix("Private_Clean:"))?;
        value.trim().strip_suffix(" kB")?.parse::<u64>().ok()
    });
    kilobytes.sum::<u64>() * 1024
}
