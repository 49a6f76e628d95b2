//! The cluster's processes, of which the node's components are some.

use std::fs;

use super::Cluster;

impl Cluster {
    /// Numbers of the cluster's processes that are so.
    pub(crate) fn processes(&self, is: impl Fn(u32) -> bool) -> Vec<u32> {
        let entries = fs::read_dir("/proc").expect("/proc");
        let all = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        all.filter(|pid| is_below(*pid, self.sandbox()) && is(*pid)).collect()
    }

    /// Those of the component that is called so.
    pub(crate) fn component(&self, name: &str) -> Vec<u32> {
        let runs = |pid: u32| fs::read_link(format!("/proc/{pid}/exe")).is_ok();
        // One binary is several of them, by the name that it is called by.
        let is_called = |pid: u32| {
            Self::command_line(pid).first().and_then(|first| first.rsplit('/').next()) == Some(name)
        };
        self.processes(|pid| runs(pid) && is_called(pid))
    }

    /// How one of them was called; empty where there is none.
    pub(crate) fn command_line(pid: u32) -> Vec<String> {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line);
        line.split_terminator('\0').map(str::to_owned).collect()
    }
}

fn is_below(mut pid: u32, ancestor: u32) -> bool {
    while pid > 1 {
        if pid == ancestor {
            return true;
        }
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let parent = status.lines().find_map(|line| line.strip_prefix("PPid:"));
        pid = parent.and_then(|text| text.trim().parse().ok()).unwrap_or(0);
    }
    false
}
