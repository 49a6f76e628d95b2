//! What to do next: a pure function of facts and time, in which everything hard is decided.
//!
//! It answers with one [`Step`]. Whoever carries the step out learns new facts and asks again, until
//! the answer is to wait. A status that should differ is a step of its own and comes before the step
//! that it announces: a crash between the two leaves the announcement, never the deed alone.
//!
//! [`idle`] is an action without a run under way, [`begin`] one whose run has nothing frozen yet,
//! [`launching`] one whose run has and is without a pod, [`under_way`] one whose run has a pod, [`cancel`]
//! one whose run somebody cancels, [`retry`] one whose run waits for its next attempt, [`lock`] one that
//! needs or has a lock, [`superseded`] one whose run yields to a changed spec, [`rebuilt`] one whose status was
//! lost, [`rest`] one of which nothing is asked.

mod active;
mod begin;
mod cancel;
mod clocks;
mod frozen;
mod idle;
mod launching;
mod leave;
mod lock;
mod news;
mod rebuilt;
mod rest;
mod retire;
mod retry;
mod settle;
mod start;
mod step;
mod superseded;
#[cfg(test)]
mod tests;
mod under_way;

use k8s_openapi::jiff::Timestamp;

use self::{leave::leave, start::is_over};
pub use self::{rest::stand_in, retire::NAME_NEEDED_SECONDS, start::needs_spec, step::Step};
use super::facts::Facts;
use crate::api::DeploymentActionStatus;

/// What to do next about an action.
#[must_use]
pub fn decide(facts: &Facts<'_>, now: Timestamp) -> Step {
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

/// The pod that resolved an image has done its work once the run has its own pod, or has ended.
fn resolved(facts: &Facts<'_>, status: &DeploymentActionStatus) -> Option<Step> {
    let pod = &facts.resolver.as_ref()?.pod;
    let launched = status.run.as_ref().is_some_and(|run| run.pod_uid.is_some()) || facts.pod.view().is_some();
    let over = launched || status.run.as_ref().is_some_and(|run| is_over(status, run));
    let ours = pod.owner_uid == facts.action.metadata.uid && !pod.deleting;
    (over && ours).then(|| Step::DeleteResolver { name: pod.name.clone(), uid: pod.uid.clone() })
}
