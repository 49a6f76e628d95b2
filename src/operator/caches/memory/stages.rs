//! The stages of a run, as far as this process has seen them. Only metrics and traces use them.

use k8s_openapi::jiff::Timestamp;

use crate::operator::telemetry::stages::Timing;

/// The stages of a run that are over, and the beginning of the current one.
#[derive(Debug, Default)]
pub(in crate::operator) struct SeenStages {
    since: Option<Timestamp>,
    over: Vec<Timing>,
}

impl SeenStages {
    /// Begins a stage.
    pub(in crate::operator) fn begin(&mut self, now: Timestamp) {
        self.since = Some(now);
    }

    /// Begins a stage if none is under way.
    pub(in crate::operator) fn begin_once(&mut self, now: Timestamp) {
        self.since.get_or_insert(now);
    }

    /// When the current stage began. It is over, and the next one begins at `next`, if there is one.
    pub(in crate::operator) fn end(&mut self, next: Option<Timestamp>) -> Option<Timestamp> {
        std::mem::replace(&mut self.since, next)
    }

    /// Notes a stage that is over.
    pub(in crate::operator) fn record(&mut self, stage: Timing) {
        self.over.push(stage);
    }

    /// The stages that are over, which are then forgotten.
    pub(in crate::operator) fn take(&mut self) -> Vec<Timing> {
        std::mem::take(&mut self.over)
    }
}
