//! Decides what to do next: a pure function of facts and time. Everything hard is decided here.
//!
//! The answer is one [`Step`]. The caller carries it out, learns new facts and asks again, until the answer
//! is to wait. A status that should differ is a step of its own, and comes before the step that it announces.
//! A crash between the two leaves the announcement, and never the step alone.
//!
//! - [`idle`]: no run is under way.
//! - [`begin`]: the run has nothing frozen yet.
//! - [`launching`]: the run is frozen and has no pod.
//! - [`under_way`]: the run has a pod.
//! - [`cancel`]: somebody cancels the run.
//! - [`superseded`]: the run yields to a changed spec.
//! - [`retry`]: the run waits for its next attempt.
//! - [`lock`]: the run needs or has a lock.
//! - [`outputs`]: the Secret with the sensitive outputs of a run that ends.
//! - [`store`]: the log of an attempt in the archive.
//! - [`rebuilt`]: the status was lost.
//! - [`rest`]: nothing is asked of the action.
//! - [`mod@foresee`]: what would follow, for people who ask before they apply.

mod active;
mod begin;
mod cancel;
mod clocks;
mod foresee;
mod frozen;
mod idle;
mod launching;
mod leave;
mod lock;
mod news;
mod outputs;
mod rebuilt;
mod rest;
mod retire;
mod retry;
mod settle;
mod start;
mod step;
mod store;
mod superseded;
#[cfg(test)]
mod tests;
mod under_way;

use k8s_openapi::jiff::Timestamp;

pub use self::{
    foresee::{Foreseen, foresee},
    rest::stand_in,
    retire::NAME_NEEDED_SECONDS,
    start::needs_spec,
    step::Step,
};
use self::{leave::leave, start::is_over};
use super::{facts::Facts, status::with_rerun};
use crate::api::DeploymentActionStatus;

/// The next step for an action.
#[must_use]
pub fn decide(facts: &Facts<'_>, now: Timestamp) -> Step {
    match next(facts, now) {
        // A request counts once it was seen, and somebody may remove it. A run that begins has its own record.
        wait @ Step::Wait(_) if facts.resolution.is_none() => {
            with_rerun(&facts.requests, now).map_or(wait, |status| Step::WriteStatus(Box::new(status)))
        }
        step => step,
    }
}

fn next(facts: &Facts<'_>, now: Timestamp) -> Step {
    if facts.action.metadata.deletion_timestamp.is_some() {
        return leave(facts, now);
    }
    let status = facts.action.status.clone().unwrap_or_default();
    if let Some(step) = resolved(facts, &status) {
        return step;
    }
    match &status.run {
        Some(run) if !is_over(&status, run) => {
            let active = active::Active::new(facts, now, &status, run);
            let told = run.attempts.iter().any(|of| of.attempt >= run.attempt);
            match &run.next_attempt_at {
                Some(_) => active.wait_for_next(),
                None if told => active.edited(),
                None => active.step(),
            }
        }
        Some(_) => idle::step(facts, now, &status),
        None => rebuilt::step(facts, now).unwrap_or_else(|| idle::step(facts, now, &status)),
    }
}

/// Deletes the pod that resolved an image, once the run has its own pod or has ended.
fn resolved(facts: &Facts<'_>, status: &DeploymentActionStatus) -> Option<Step> {
    let pod = &facts.resolver.as_ref()?.pod;
    let launched = status.run.as_ref().is_some_and(|run| run.pod_uid.is_some()) || facts.pod.view().is_some();
    let over = launched || status.run.as_ref().is_some_and(|run| is_over(status, run));
    let ours = pod.owner_uid == facts.action.metadata.uid && !pod.deleting;
    (over && ours).then(|| Step::DeleteResolver { name: pod.name.clone(), uid: pod.uid.clone() })
}
