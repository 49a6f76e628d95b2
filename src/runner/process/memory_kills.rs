//! Counts processes that the kernel killed because the container had used up its memory.
//!
//! Kubernetes reports such a kill only if it ended the container's first process, which is the runner. A
//! script that lost a child sees at best exit code 137, without the reason. The container's cgroup counts
//! each kill (Documentation/admin-guide/cgroup-v2.rst, `memory.events`; cgroup-v1/memory.rst,
//! `memory.oom_control`).

use std::path::Path;

use crate::{
    record::outcome::OutOfMemory,
    runner::{places::Places, reach},
};

/// Longer than any of these files.
const MAX_BYTES: u64 = 4096;
/// A limit from here on means no limit. Version 1 of cgroups then writes the largest multiple of a page that
/// fits a signed number.
const NONE: u64 = 1 << 62;

/// How many processes of the container were killed so far. 0 if the cgroup cannot be read.
pub(in crate::runner) fn count(places: &Places) -> u64 {
    counted(&places.cgroup()).unwrap_or(0)
}

/// The kills since the count was `before`, or none.
pub(in crate::runner) fn since(places: &Places, before: u64) -> Option<OutOfMemory> {
    let kills = count(places).checked_sub(before).filter(|&kills| kills > 0)?;
    Some(OutOfMemory { kills, limit_bytes: limit(&places.cgroup()) })
}

fn counted(cgroup: &Path) -> Option<u64> {
    let events = read(&cgroup.join("memory.events"));
    let events = events.or_else(|| read(&cgroup.join("memory/memory.oom_control")))?;
    events.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
}

fn limit(cgroup: &Path) -> Option<u64> {
    let limit = read(&cgroup.join("memory.max"));
    let limit = limit.or_else(|| read(&cgroup.join("memory/memory.limit_in_bytes")))?;
    limit.trim().parse().ok().filter(|&limit| limit < NONE)
}

fn read(path: &Path) -> Option<String> {
    String::from_utf8(reach::read_mounted(path, MAX_BYTES).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn told(files: &[(&str, &str)], before: u64) -> Option<OutOfMemory> {
        use std::sync::atomic::{AtomicU32, Ordering};
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let root = std::env::temp_dir().join(format!("memory-{}-{number}", std::process::id()));
        for (name, content) in files {
            let path = root.join("sys/fs/cgroup").join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        let told = since(&Places::below(&root), before);
        let _ = fs::remove_dir_all(&root);
        told
    }

    #[test]
    fn both_versions_of_cgroups_are_read() {
        let killed = Some(OutOfMemory { kills: 2, limit_bytes: Some(50_331_648) });
        let events = "low 0\nhigh 0\nmax 41\noom 3\noom_kill 3\noom_group_kill 0\n";
        assert_eq!(told(&[("memory.events", events), ("memory.max", "50331648\n")], 1), killed);
        let control = "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n";
        let first = [("memory/memory.oom_control", control), ("memory/memory.limit_in_bytes", "50331648\n")];
        assert_eq!(told(&first, 0), killed);
    }

    #[test]
    fn no_limit_is_none_and_no_kill_is_nothing() {
        let events = ("memory.events", "oom_kill 1\n");
        let one = Some(OutOfMemory { kills: 1, limit_bytes: None });
        assert_eq!(told(&[events, ("memory.max", "max\n")], 0), one);
        let unlimited = ("memory/memory.limit_in_bytes", "9223372036854771712\n");
        assert_eq!(told(&[("memory/memory.oom_control", "oom_kill 1\n"), unlimited], 0), one);
        assert_eq!(told(&[events], 1), None);
        assert_eq!(told(&[("memory.events", "no text \n")], 0), None);
        assert_eq!(told(&[], 0), None);
    }
}
