//! Counts and durations. Users cannot make the number of label values grow.
//!
//! Metrics of the controller itself have the names that controller-runtime gives them
//! (`pkg/internal/controller/metrics`), so that dashboards for operators fit.

use std::{sync::Arc, time::Duration};

use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

use super::{process_usage::Process, stages::Timing};
use crate::{
    api::{
        Reason,
        history::RunOutcome,
        status::{LogState, StoredState},
    },
    archive::{self, ArchiveError},
};

/// The controller's name in its metrics.
const CONTROLLER: &str = "deploymentaction";

/// Labels of a finished run. Both values come from closed lists.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RunLabels {
    outcome: &'static str,
    reason: &'static str,
}

/// Label of the controller's metrics. There is one controller.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ControllerLabels {
    controller: &'static str,
}

/// Labels of a look at an action.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LookLabels {
    controller: &'static str,
    result: &'static str,
}

/// Label of a failed look, from a closed list.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ErrorLabels {
    category: &'static str,
}

/// Label of a stage of a run.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PhaseLabels {
    phase: &'static str,
}

/// Label of a finished log.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LogLabels {
    state: &'static str,
}

/// Label of a repeated request to the API server, from a closed list.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResendLabels {
    what: &'static str,
}

/// How many runs are in each state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Active {
    /// Their image is being resolved, or something holds them back.
    pub pending: u32,
    /// They wait for a lock.
    pub queued: u32,
    /// Their pod is being created or is starting.
    pub launching: u32,
    /// Their script runs.
    pub running: u32,
    /// An attempt has ended, and the next one is not due yet.
    pub retrying: u32,
}

/// Label of what became of an acknowledgement.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AcknowledgementLabels {
    result: &'static str,
}

/// Label of what was done about a lost part of a log.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct GapLabels {
    result: &'static str,
}

/// Label of an error of the archive, from a closed list.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ArchiveLabels {
    reason: &'static str,
}

/// All metrics of the process.
#[derive(Debug, Clone)]
pub struct Metrics {
    registry: Arc<Registry>,
    runs: Family<RunLabels, Counter>,
    phases: Family<PhaseLabels, Histogram>,
    active: Family<PhaseLabels, Gauge>,
    log_bytes: Counter,
    logs_read: Family<LogLabels, Counter>,
    log_acknowledgements: Family<AcknowledgementLabels, Counter>,
    log_gaps: Family<GapLabels, Counter>,
    resends: Family<ResendLabels, Counter>,
    stored_logs: Family<LogLabels, Counter>,
    stored_bytes: Counter,
    archive_errors: Family<ArchiveLabels, Counter>,
    /// Bytes of logs that wait for the archive.
    pub archive_waiting: Gauge,
    looks: Family<LookLabels, Counter>,
    look_errors: Family<ControllerLabels, Counter>,
    look_error_categories: Family<ErrorLabels, Counter>,
    look_seconds: Family<ControllerLabels, Histogram>,
    workers: Family<ControllerLabels, Gauge>,
    most_workers: Family<ControllerLabels, Gauge>,
    looks_waiting: Gauge,
    resolutions_waiting: Gauge,
    /// Whether this instance leads.
    pub leader: Gauge,
    /// Whether an admission policy on naming things is missing or altered. Then no run starts that names
    /// anything.
    pub policy_missing: Gauge,
    /// Logs that are being read or kept.
    pub logs: Gauge,
}

impl Default for Metrics {
    #[allow(clippy::too_many_lines, reason = "all metrics, one after the other")]
    fn default() -> Self {
        let metrics = Self {
            registry: Arc::default(),
            runs: Family::default(),
            phases: Family::new_with_constructor(|| {
                Histogram::new([
                    0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0,
                    14_400.0,
                ])
            }),
            active: Family::default(),
            log_bytes: Counter::default(),
            logs_read: Family::default(),
            log_acknowledgements: Family::default(),
            log_gaps: Family::default(),
            resends: Family::default(),
            stored_logs: Family::default(),
            stored_bytes: Counter::default(),
            archive_errors: Family::default(),
            archive_waiting: Gauge::default(),
            looks: Family::default(),
            look_errors: Family::default(),
            look_error_categories: Family::default(),
            look_seconds: Family::new_with_constructor(|| {
                Histogram::new([0.001, 0.005, 0.02, 0.1, 0.5, 2.0, 10.0, 60.0])
            }),
            workers: Family::default(),
            most_workers: Family::default(),
            looks_waiting: Gauge::default(),
            resolutions_waiting: Gauge::default(),
            leader: Gauge::default(),
            policy_missing: Gauge::default(),
            logs: Gauge::default(),
        };
        let mut all = Registry::default();
        let own = all.sub_registry_with_prefix("longshore");
        own.register("runs", "Runs that have ended, by outcome and reason", metrics.runs.clone());
        own.register("run_phase_seconds", "How long the stages of runs took", metrics.phases.clone());
        own.register("runs_active", "Runs that have not ended, by state", metrics.active.clone());
        own.register("log_bytes", "Bytes of scripts' output that were read", metrics.log_bytes.clone());
        own.register("logs", "Logs that were read to their end, by result", metrics.logs_read.clone());
        own.register(
            "log_acknowledgements",
            "Writes that tell runners how much of their logs is read, by result",
            metrics.log_acknowledgements.clone(),
        );
        own.register(
            "log_gaps",
            "Requests to runners to send a lost part of a log again, and parts that were given up",
            metrics.log_gaps.clone(),
        );
        own.register(
            "resends",
            "Requests sent to the API server again, because they went unanswered or broke off",
            metrics.resends.clone(),
        );
        own.register(
            "stored_logs",
            "Logs for which all was done in the archive, by result",
            metrics.stored_logs.clone(),
        );
        own.register(
            "stored_log_bytes",
            "Bytes of logs in the archive, not compressed",
            metrics.stored_bytes.clone(),
        );
        own.register(
            "archive_errors",
            "Calls of the archive that failed, by cause",
            metrics.archive_errors.clone(),
        );
        own.register(
            "archive_waiting_bytes",
            "Bytes of logs that wait for the archive",
            metrics.archive_waiting.clone(),
        );
        own.register("logs_active", "Logs that are being read or kept", metrics.logs.clone());
        own.register(
            "looks_waiting",
            "Actions that wait for their turn to be looked at",
            metrics.looks_waiting.clone(),
        );
        own.register(
            "resolutions_waiting",
            "Runs that wait for their turn to have image and packages resolved",
            metrics.resolutions_waiting.clone(),
        );
        own.register("leader", "Whether this instance leads", metrics.leader.clone());
        own.register(
            "policy_missing",
            "Whether an admission policy on naming things is missing or altered",
            metrics.policy_missing.clone(),
        );
        own.register(
            "reconcile_error_causes",
            "Reconcile errors, by category",
            metrics.look_error_categories.clone(),
        );
        all.register_collector(Box::new(Process));
        let theirs = all.sub_registry_with_prefix("controller_runtime");
        theirs.register("reconcile", "Looks at an action, by result", metrics.looks.clone());
        theirs.register("reconcile_errors", "Reconcile errors", metrics.look_errors.clone());
        theirs.register("reconcile_time_seconds", "How long looks took", metrics.look_seconds.clone());
        theirs.register("active_workers", "Looks under way", metrics.workers.clone());
        theirs.register(
            "max_concurrent_reconciles",
            "How many looks may be under way at once",
            metrics.most_workers.clone(),
        );
        Self { registry: Arc::new(all), ..metrics }
    }
}

const OURS: ControllerLabels = ControllerLabels { controller: CONTROLLER };

impl Metrics {
    /// Counts a run that has ended.
    pub fn finished(&self, reason: Reason) {
        let outcome = match RunOutcome::of(reason) {
            RunOutcome::Succeeded => "succeeded",
            RunOutcome::Failed => "failed",
            RunOutcome::Cancelled => "cancelled",
            RunOutcome::Superseded => "superseded",
            RunOutcome::Unknown => "unknown",
        };
        self.runs.get_or_create(&RunLabels { outcome, reason: reason.as_str() }).inc();
    }

    /// Counts a finished stage of a run.
    pub fn stage(&self, part: Timing) {
        // A clock that was set back must not give a negative time.
        let took = Duration::try_from(part.end.duration_since(part.begin)).unwrap_or_default();
        self.phases.get_or_create(&PhaseLabels { phase: part.stage.as_str() }).observe(took.as_secs_f64());
    }

    /// Sets how many runs are in each state.
    pub fn active(&self, active: Active) {
        for (phase, count) in [
            ("pending", active.pending),
            ("queued", active.queued),
            ("launching", active.launching),
            ("running", active.running),
            ("retrying", active.retrying),
        ] {
            self.active.get_or_create(&PhaseLabels { phase }).set(count.into());
        }
    }

    /// Counts a log that was read to its end.
    pub fn log_read(&self, state: LogState, bytes: u64) {
        let state = match state {
            LogState::Complete => "Complete",
            LogState::Incomplete => "Incomplete",
            LogState::Collecting => return,
        };
        self.logs_read.get_or_create(&LogLabels { state }).inc();
        self.log_bytes.inc_by(bytes);
    }

    /// Counts a log for which all is done in the archive.
    pub fn log_stored(&self, state: StoredState, bytes: u64) {
        let state = match state {
            StoredState::Complete => "Complete",
            StoredState::Incomplete => "Incomplete",
            StoredState::Failed => "Failed",
        };
        self.stored_logs.get_or_create(&LogLabels { state }).inc();
        self.stored_bytes.inc_by(bytes);
    }

    /// Counts a call of the archive that failed.
    pub fn archive_failed(&self, error: &ArchiveError) {
        let reason = match error {
            ArchiveError::Unavailable { reason, .. } => match reason {
                archive::Reason::Denied => "denied",
                archive::Reason::Missing => "missing",
                archive::Reason::Full => "full",
                archive::Reason::Unreachable => "unreachable",
                archive::Reason::Failed => "failed",
            },
            ArchiveError::OutOfOrder { .. } | ArchiveError::NotFound(_) | ArchiveError::Damaged { .. } => {
                "damaged"
            }
        };
        self.archive_errors.get_or_create(&ArchiveLabels { reason }).inc();
    }

    /// Counts a log stream that is opened again.
    pub fn log_again(&self) {
        self.resends.get_or_create(&ResendLabels { what: "log-stream" }).inc();
    }

    /// Counts a write that tells a runner how much of its log is read.
    pub fn log_acknowledged(&self, ok: bool) {
        let result = if ok { "ok" } else { "error" };
        self.log_acknowledgements.get_or_create(&AcknowledgementLabels { result }).inc();
    }

    /// Counts a request to a runner to send a lost part of its log again.
    pub fn log_asked_again(&self) {
        self.log_gaps.get_or_create(&GapLabels { result: "asked" }).inc();
    }

    /// Counts a part of a log that does not come, however often its runner is asked.
    pub fn log_given_up(&self) {
        self.log_gaps.get_or_create(&GapLabels { result: "given-up" }).inc();
    }

    /// Counts a pod creation that is sent again, because the result of the previous one is not known.
    pub fn creation_again(&self) {
        self.resends.get_or_create(&ResendLabels { what: "pod-creation" }).inc();
    }

    /// Sets how many looks may be under way at once.
    pub fn concurrency(&self, most: u16) {
        self.most_workers.get_or_create(&OURS).set(most.into());
    }

    /// Sets how many looks wait for their turn, and how many resolutions do.
    pub fn waiting(&self, looks: usize, resolutions: usize) {
        self.looks_waiting.set(i64::try_from(looks).unwrap_or(i64::MAX));
        self.resolutions_waiting.set(i64::try_from(resolutions).unwrap_or(i64::MAX));
    }

    /// Counts a look that begins.
    pub fn look(&self) {
        self.workers.get_or_create(&OURS).inc();
    }

    /// Counts a look that is over.
    pub fn looked(&self, took: Duration, error: Option<&'static str>) {
        self.workers.get_or_create(&OURS).dec();
        self.look_seconds.get_or_create(&OURS).observe(took.as_secs_f64());
        let result = if error.is_some() { "error" } else { "requeue_after" };
        self.looks.get_or_create(&LookLabels { controller: CONTROLLER, result }).inc();
        if let Some(category) = error {
            self.look_errors.get_or_create(&OURS).inc();
            self.look_error_categories.get_or_create(&ErrorLabels { category }).inc();
        }
    }

    /// All metrics in the `OpenMetrics` text format.
    ///
    /// # Errors
    /// The formatter's. It writes to memory, and never fails.
    pub fn text(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::jiff::Timestamp;

    use super::*;
    use crate::operator::telemetry::stages::Stage;

    fn has(metrics: &Metrics, line: &str) {
        let text = metrics.text().unwrap();
        assert!(text.lines().any(|has| has == line), "{line} is not in\n{text}");
    }

    #[test]
    fn a_run_is_counted_by_outcome_and_reason() {
        let metrics = Metrics::default();
        for (reason, outcome) in [
            (Reason::Succeeded, "succeeded"),
            (Reason::ScriptFailed, "failed"),
            (Reason::Cancelled, "cancelled"),
            (Reason::Superseded, "superseded"),
            (Reason::NodeLost, "unknown"),
        ] {
            metrics.finished(reason);
            let labels = format!(r#"outcome="{outcome}",reason="{}""#, reason.as_str());
            has(&metrics, &format!("longshore_runs_total{{{labels}}} 1"));
        }
    }

    #[test]
    fn parts_of_runs_logs_and_runs_under_way_are_told() {
        let metrics = Metrics::default();
        let begin = Timestamp::UNIX_EPOCH;
        let end = Timestamp::from_millisecond(700).unwrap();
        metrics.stage(Timing { stage: Stage::Start, attempt: 1, begin, end });
        has(&metrics, r#"longshore_run_phase_seconds_sum{phase="start"} 0.7"#);
        metrics.active(Active { pending: 1, queued: 5, launching: 2, running: 3, retrying: 4 });
        has(&metrics, r#"longshore_runs_active{phase="launching"} 2"#);
        has(&metrics, r#"longshore_runs_active{phase="queued"} 5"#);
        metrics.log_read(LogState::Complete, 42);
        has(&metrics, r#"longshore_logs_total{state="Complete"} 1"#);
        has(&metrics, "longshore_log_bytes_total 42");
        metrics.log_read(LogState::Collecting, 1);
        has(&metrics, "longshore_log_bytes_total 42");
        metrics.log_stored(StoredState::Incomplete, 7);
        has(&metrics, r#"longshore_stored_logs_total{state="Incomplete"} 1"#);
        has(&metrics, "longshore_stored_log_bytes_total 7");
        let full = ArchiveError::Unavailable { reason: archive::Reason::Full, detail: String::new() };
        metrics.archive_failed(&full);
        has(&metrics, r#"longshore_archive_errors_total{reason="full"} 1"#);
        metrics.archive_waiting.set(9);
        has(&metrics, "longshore_archive_waiting_bytes 9");
        metrics.waiting(3, 4);
        has(&metrics, "longshore_looks_waiting 3");
        has(&metrics, "longshore_resolutions_waiting 4");
        metrics.log_again();
        has(&metrics, r#"longshore_resends_total{what="log-stream"} 1"#);
        metrics.creation_again();
        has(&metrics, r#"longshore_resends_total{what="pod-creation"} 1"#);
        metrics.log_acknowledged(true);
        has(&metrics, r#"longshore_log_acknowledgements_total{result="ok"} 1"#);
        metrics.log_acknowledged(false);
        has(&metrics, r#"longshore_log_acknowledgements_total{result="error"} 1"#);
        metrics.log_asked_again();
        has(&metrics, r#"longshore_log_gaps_total{result="asked"} 1"#);
        metrics.log_given_up();
        has(&metrics, r#"longshore_log_gaps_total{result="given-up"} 1"#);
    }

    #[test]
    fn looks_are_told_as_by_other_controllers() {
        let metrics = Metrics::default();
        metrics.concurrency(32);
        metrics.look();
        has(&metrics, r#"controller_runtime_active_workers{controller="deploymentaction"} 1"#);
        metrics.looked(Duration::from_millis(2), Some("timeout"));
        has(&metrics, r#"controller_runtime_active_workers{controller="deploymentaction"} 0"#);
        has(
            &metrics,
            r#"controller_runtime_reconcile_total{controller="deploymentaction",result="error"} 1"#,
        );
        has(&metrics, r#"controller_runtime_reconcile_errors_total{controller="deploymentaction"} 1"#);
        has(&metrics, r#"controller_runtime_max_concurrent_reconciles{controller="deploymentaction"} 32"#);
        has(&metrics, r#"longshore_reconcile_error_causes_total{category="timeout"} 1"#);
    }
}
