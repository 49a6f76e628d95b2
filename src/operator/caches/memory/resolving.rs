//! The resolution for a pending run: the checked spec, the job, the last result.

use std::sync::Arc;

use crate::operator::{
    caches::job::{Answer, Job, Wanted},
    lifecycle::facts::Resolution,
    spec::expanded::{Expanded, Generations},
};

/// The resolution for a pending run.
#[derive(Debug, Default)]
pub(in crate::operator) struct Resolving {
    /// The checked spec, kept while it is needed again, because checking may take long.
    expanded: Option<Arc<Expanded>>,
    job: Option<Box<Job>>,
    result: Option<Resolution>,
    /// The generations of action and template that `result` is about.
    result_of: Option<Generations>,
}

impl Resolving {
    /// Keeps a checked spec that may take long to check again.
    pub(in crate::operator) fn keep_expanded(&mut self, expanded: Arc<Expanded>) {
        self.expanded = Some(expanded);
    }

    /// The checked spec, which is kept no longer.
    pub(in crate::operator) fn take_expanded(&mut self) -> Option<Arc<Expanded>> {
        self.expanded.take()
    }

    /// Whether there is a job for this, with an answer or on the way to one.
    pub(in crate::operator) fn has_job_for(&self, wanted: &Wanted) -> bool {
        self.job.as_ref().is_some_and(|job| job.is_for(wanted))
    }

    /// Keeps this job. An earlier one is stopped.
    pub(in crate::operator) fn start(&mut self, job: Option<Job>) {
        self.job = job.map(Box::new);
    }

    /// The job's answer, once it is there. The job is over then.
    pub(in crate::operator) fn take_answer(&mut self) -> Option<Answer> {
        let answer = self.job.as_ref()?.answer()?;
        self.job = None;
        Some(answer)
    }

    /// The resolution while the job has no answer. `None` if there is no job.
    pub(in crate::operator) fn under_way(&self) -> Option<Resolution> {
        self.job.as_ref().map(|job| job.under_way(self.result.as_ref()))
    }

    /// Stops the job.
    pub(in crate::operator) fn stop(&mut self) {
        self.job = None;
    }

    /// Notes the result for these generations.
    pub(in crate::operator) fn put(&mut self, result: Resolution, of: Generations) {
        self.result = Some(result);
        self.result_of = Some(of);
    }

    /// The last result.
    pub(in crate::operator) const fn result(&self) -> Option<&Resolution> {
        self.result.as_ref()
    }

    /// Whether there is a result, and it is not for these generations.
    pub(in crate::operator) fn is_of_another(&self, of: &Generations) -> bool {
        self.result.is_some() && self.result_of.as_ref() != Some(of)
    }

    pub(super) fn forget_result(&mut self) {
        self.result = None;
    }

    /// Forgets everything but the result: the action is gone.
    pub(super) fn end(&mut self) {
        (self.job, self.expanded) = (None, None);
    }
}
