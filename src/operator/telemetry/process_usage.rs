//! Resources that the process itself uses. The names are those of every Prometheus client, so that dashboards
//! for any workload fit.

use std::fmt::Error;

use procfs::{ProcResult, WithCurrentSystemInfo, process::Process as Proc};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{counter::ConstCounter, gauge::ConstGauge},
};

/// Reads `/proc/self` at each scrape. A value that cannot be read is left out, because a zero would be wrong.
#[derive(Debug)]
pub(super) struct Process;

struct Usage {
    cpu_seconds: f64,
    resident_bytes: u64,
    virtual_bytes: u64,
    open_files: usize,
    /// Since the epoch.
    started_seconds: f64,
}

impl Usage {
    fn read() -> ProcResult<Self> {
        let own = Proc::myself()?;
        let stat = own.stat()?;
        let ticks = procfs::ticks_per_second();
        #[expect(clippy::cast_precision_loss, reason = "ticks since boot are far below 2^52")]
        let seconds = |count: u64| count as f64 / ticks as f64;
        #[expect(clippy::cast_precision_loss, reason = "so are seconds since the epoch")]
        let boot = procfs::boot_time_secs()? as f64;
        Ok(Self {
            cpu_seconds: seconds(stat.utime + stat.stime),
            resident_bytes: stat.rss_bytes().get(),
            virtual_bytes: stat.vsize,
            open_files: own.fd_count()?,
            started_seconds: boot + seconds(stat.starttime),
        })
    }
}

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), Error> {
        let Ok(usage) = Usage::read() else { return Ok(()) };
        let mut tell = |name, help, metric: &dyn Told| metric.tell(&mut encoder, name, help);
        // The formatter adds `_total` to a counter's name.
        tell(
            "process_cpu_seconds",
            "User and system CPU time of the operator",
            &ConstCounter::new(usage.cpu_seconds),
        )?;
        tell(
            "process_resident_memory_bytes",
            "Resident memory of the operator",
            &ConstGauge::new(usage.resident_bytes),
        )?;
        tell(
            "process_virtual_memory_bytes",
            "Virtual memory of the operator",
            &ConstGauge::new(usage.virtual_bytes),
        )?;
        tell(
            "process_open_fds",
            "Open file descriptors of the operator",
            &ConstGauge::new(usage.open_files),
        )?;
        tell(
            "process_start_time_seconds",
            "When the operator started, in seconds since the epoch",
            &ConstGauge::new(usage.started_seconds),
        )
    }
}

/// A metric of any type, encoded under a name.
trait Told {
    fn tell(&self, encoder: &mut DescriptorEncoder, name: &str, help: &str) -> Result<(), Error>;
}

impl<M: EncodeMetric> Told for M {
    fn tell(&self, encoder: &mut DescriptorEncoder, name: &str, help: &str) -> Result<(), Error> {
        self.encode(encoder.encode_descriptor(name, help, None, self.metric_type())?)
    }
}

#[cfg(test)]
mod tests {
    use std::time::{SystemTime, UNIX_EPOCH};

    use prometheus_client::{encoding::text::encode, registry::Registry};

    use super::*;

    fn value(text: &str, name: &str) -> f64 {
        let line = text.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
        line.unwrap_or_else(|| panic!("{name} is not in\n{text}")).parse().unwrap()
    }

    fn told() -> String {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Process));
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        text
    }

    #[test]
    fn memory_files_and_start_are_this_process_s_own() {
        let text = told();
        let resident = value(&text, "process_resident_memory_bytes");
        assert!((1e6..1e10).contains(&resident), "{resident} bytes");
        assert!(value(&text, "process_virtual_memory_bytes") >= resident);
        assert!(value(&text, "process_open_fds") >= 3.0);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
        let age = now - value(&text, "process_start_time_seconds");
        // The boot time is in whole seconds.
        assert!((-2.0..3600.0).contains(&age), "started {age} s ago");
    }

    #[test]
    fn cpu_time_counts_what_was_worked() {
        let before = value(&told(), "process_cpu_seconds_total");
        while value(&told(), "process_cpu_seconds_total") - before < 0.05 {}
    }

    #[test]
    fn resident_memory_grows_by_what_is_held() {
        let before = value(&told(), "process_resident_memory_bytes");
        let held = std::hint::black_box(vec![1_u8; 64 << 20]);
        let grown = value(&told(), "process_resident_memory_bytes") - before;
        assert!(grown > f64::from(32 << 20), "{grown} bytes for {} held", held.len());
    }
}
