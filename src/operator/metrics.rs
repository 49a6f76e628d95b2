//! Counts and durations, without a label that a user can make grow.

use std::{sync::Arc, time::Duration};

use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

use crate::api::{Reason, reason::Class};

/// Labels of a finished run: both from closed lists.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RunLabels {
    outcome: &'static str,
    reason: &'static str,
}

/// Label of a failed pass: from a closed list.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ErrorLabels {
    category: &'static str,
}

/// All metrics of the process.
#[derive(Debug, Clone)]
pub struct Metrics {
    registry: Arc<Registry>,
    runs: Family<RunLabels, Counter>,
    run_seconds: Histogram,
    reconciles: Counter,
    reconcile_errors: Family<ErrorLabels, Counter>,
    reconcile_seconds: Histogram,
    /// Whether this instance leads.
    pub leader: Gauge,
    /// Logs that are being read.
    pub logs: Gauge,
}

impl Default for Metrics {
    fn default() -> Self {
        let runs = Family::default();
        let run_seconds = Histogram::new([1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14_400.0]);
        let reconciles = Counter::default();
        let reconcile_errors = Family::default();
        let reconcile_seconds = Histogram::new([0.001, 0.005, 0.02, 0.1, 0.5, 2.0, 10.0, 60.0]);
        let leader = Gauge::default();
        let logs = Gauge::default();
        let mut registry = Registry::with_prefix("longshore");
        registry.register("runs", "Runs that have ended, by outcome and reason", runs.clone());
        registry.register("run_seconds", "How long scripts ran", run_seconds.clone());
        registry.register("reconciles", "Looks at an action", reconciles.clone());
        registry.register("reconcile_errors", "Looks that broke off, by category", reconcile_errors.clone());
        registry.register("reconcile_seconds", "How long looks took", reconcile_seconds.clone());
        registry.register("leader", "Whether this instance leads", leader.clone());
        registry.register("logs_active", "Logs that are being read or kept", logs.clone());
        Self {
            registry: Arc::new(registry),
            runs,
            run_seconds,
            reconciles,
            reconcile_errors,
            reconcile_seconds,
            leader,
            logs,
        }
    }
}

impl Metrics {
    /// A run has ended.
    pub fn finished(&self, reason: Reason, seconds: Option<i64>) {
        let outcome = if reason.class() == Class::Success { "succeeded" } else { "failed" };
        self.runs.get_or_create(&RunLabels { outcome, reason: reason.as_str() }).inc();
        if let Some(seconds) = seconds.and_then(|seconds| u32::try_from(seconds).ok()) {
            self.run_seconds.observe(f64::from(seconds));
        }
    }

    /// A look at an action is over.
    pub fn reconciled(&self, took: Duration, error: Option<&'static str>) {
        self.reconciles.inc();
        self.reconcile_seconds.observe(took.as_secs_f64());
        if let Some(category) = error {
            self.reconcile_errors.get_or_create(&ErrorLabels { category }).inc();
        }
    }

    /// All of it in the `OpenMetrics` text format.
    ///
    /// # Errors
    /// The formatter's, which writes to memory and has none.
    pub fn text(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_counted_by_outcome_and_reason() {
        let metrics = Metrics::default();
        metrics.finished(Reason::ScriptFailed, Some(3));
        let text = metrics.text().unwrap();
        assert!(text.contains(r#"longshore_runs_total{outcome="failed",reason="ScriptFailed"} 1"#), "{text}");
    }
}
