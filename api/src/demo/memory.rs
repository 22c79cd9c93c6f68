//! The peak of this process's memory.

/// The most physical memory that this process ever held, in bytes: `VmHWM` of
/// `/proc/self/status` (proc(5)); `None` where there is no such file.
pub(super) fn peak_rss_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    peak_of(&status)
}

fn peak_of(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim_end().parse().ok()?;
    Some(kib * 1_024)
}

#[cfg(test)]
mod tests {
    use super::peak_of;

    #[test]
    fn the_peak_is_read_in_kib() {
        let status = "Name:\tvolley\nVmPeak:\t  999 kB\nVmHWM:\t    1234 kB\nVmRSS:\t 1 kB\n";
        assert_eq!(peak_of(status), Some(1_263_616));
        assert_eq!(peak_of("Name:\tvolley\n"), None);
    }
}
