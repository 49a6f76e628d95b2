//! An action without a run under way. The operator settles what the last run left, and then starts a run if
//! one is asked for.

use k8s_openapi::jiff::Timestamp;

use super::{
    begin::begin,
    clocks::{after, node_looked_at, runs_until},
    lock,
    news::{source_news, template_news},
    retire::retire,
    settle::{left_to_themselves_until, own_pod, settle},
    start::{Start, fresh_run, start},
    step::{Step, write_or},
    store,
};
use crate::{
    api::{DeploymentActionStatus, Reason, condition::ConditionType, history::RunOutcome, status::RunStatus},
    operator::{
        lifecycle::{
            facts::Facts,
            status::{
                is_held_back, not_requested, outcome_again, seen, suspended, waits_for_own_lock, with_news,
            },
        },
        pod::view::{ContainerView, PodView},
    },
};

/// How often to look whether a script has ended although its run has ended before, in seconds.
const SEEN_RUNNING_SECONDS: i64 = 30;
/// How long a run waits for the lock of the one before until the status says so, in seconds. Mostly the lock
/// is released earlier.
const TELL_OF_OWN_LOCK_SECONDS: i64 = 5;

pub(super) fn step(facts: &Facts<'_>, now: Timestamp, status: &DeploymentActionStatus) -> Step {
    let Some(run) = &status.run else { return rest(facts, now, status) };
    let outlived = own_pod(facts, run).filter(|pod| pod.outlived());
    let left = outlived.and_then(|_| left_to_themselves_until(facts, status, run));
    lock::give_back(facts, now, status, run)
        .or_else(|| settle(facts, now, status, run))
        .unwrap_or_else(|| rest(facts, now, status))
        .not_beyond(lock::latest(facts, run, now), now)
        .not_beyond(left, now)
        .not_beyond(own_pod(facts, run).and_then(|pod| store::until(facts, pod, now)), now)
}

/// The last run is settled, as far as that is possible now.
fn rest(facts: &Facts<'_>, now: Timestamp, status: &DeploymentActionStatus) -> Step {
    match start(&facts.requests, status) {
        Start::Run(trigger) if facts.action.spec.suspend == Some(true) => {
            write_or(facts, suspended(&facts.requests, now, trigger), || retire(facts, now, status))
        }
        Start::Run(_) if let Some(run) = status.run.as_ref().filter(|run| run.held_lock().is_some()) => {
            wait_for_own_lock(facts, now, run)
        }
        Start::Run(trigger) => match still_runs_until(facts, now, status) {
            Some(then) => Step::until(node_looked_at(facts, then, now), now),
            None => wait_for_older(facts, now)
                .unwrap_or_else(|| begin(facts, now, fresh_run(facts, now, status, trigger))),
        },
        Start::Rebase(hash) => {
            let mut wanted = seen(status, &facts.requests, now);
            if let Some(run) = &mut wanted.run {
                run.spec_hash = hash;
            }
            Step::WriteStatus(Box::new(wanted))
        }
        Start::Never => write_or(facts, not_requested(&facts.requests, now), || Step::Wait(None)),
        Start::No => {
            // The conditions are those of a run that was held back, or somebody removed them.
            let untold = is_held_back(status) || !status.conditions().is_true(ConditionType::Finished);
            let again = outcome_again(&facts.requests, now).filter(|_| untold);
            let wanted = again.unwrap_or_else(|| {
                let seen = seen(status, &facts.requests, now);
                let template = template_news(facts, &seen);
                let seen = with_news(&seen, now, ConditionType::TemplateOutdated, template.as_deref());
                let source = source_news(facts, &seen);
                with_news(&seen, now, ConditionType::SourceOutdated, source.as_deref())
            });
            write_or(facts, wanted, || {
                let expires = expires_at(facts, status);
                match expires {
                    Some(then) if now >= then => Step::DeleteAction,
                    _ => retire(facts, now, status).not_beyond(expires, now),
                }
            })
        }
    }
}

/// Until when the script of the latest run may still run, if that time is ahead. If nobody knows how a run
/// ended, the next one begins only when every clock has passed that could let its script run.
fn still_runs_until(facts: &Facts<'_>, now: Timestamp, status: &DeploymentActionStatus) -> Option<Timestamp> {
    let run = status.run.as_ref().filter(|run| run.bundle_sha256.is_some())?;
    let past = status.history.iter().find(|past| past.number == run.number)?;
    let seen = facts.pod.view().filter(|pod| run.pod_uid.as_ref().is_none_or(|uid| *uid == pod.uid));
    let ended = |pod: &PodView| pod.tombstone || pod.terminated().is_some_and(|end| !end.is_unknown());
    if seen.is_some_and(ended) || facts.is_off() {
        return None;
    }
    if past.exit_code.is_none() && seen.is_some_and(PodView::is_seen_running) {
        // This outranks every verdict and every clock. The end of the script causes a look.
        return Some(after(now, SEEN_RUNNING_SECONDS));
    }
    // A run can end between two attempts, and perhaps nobody knows how the first one ended.
    let attempt = run.attempts.last().and_then(|attempt| Reason::parse(&attempt.reason)).map(RunOutcome::of);
    let unknown = [Some(past.outcome), attempt].contains(&Some(RunOutcome::Unknown));
    Some(runs_until(facts, run, now)).filter(|then| unknown && now < *then)
}

/// The step to take before a run begins, if a pod of an earlier run shows that it runs or can start. Then the
/// status of that run was emptied, or somebody put an older one back.
fn wait_for_older(facts: &Facts<'_>, now: Timestamp) -> Option<Step> {
    let ours = facts.older.iter().filter(|pod| pod.owner_uid == facts.action.metadata.uid);
    let waits = |pod: &PodView| !pod.deleting && pod.container == ContainerView::Waiting;
    let mut open = ours.filter(|pod| !pod.runs_no_more() && (waits(pod) || pod.is_seen_running()));
    let pod = open.next()?;
    Some(if waits(pod) { Step::delete(pod) } else { Step::until(after(now, SEEN_RUNNING_SECONDS), now) })
}

/// When the action is to be deleted by `spec.ttlSecondsAfterFinished`. `None` if it stays, or if something of
/// it is not settled yet. The end of that causes a look.
fn expires_at(facts: &Facts<'_>, status: &DeploymentActionStatus) -> Option<Timestamp> {
    let action = facts.action;
    let seconds = action.spec.ttl_seconds_after_finished?;
    // The API server refuses the field for other actions: one with a fixed name would be created again.
    action.metadata.generate_name.as_ref().filter(|name| !name.is_empty())?;
    let run = status.run.as_ref()?;
    let held = facts.pod.view().into_iter().chain(&facts.older).any(|pod| pod.finalizer);
    if held || run.held_lock().is_some() || !status.conditions().is_true(ConditionType::Finished) {
        return None;
    }
    run.finished_at.as_ref().map(|time| after(time.0, seconds))
}

/// Another run is asked for, and the latest one still has its lock. Mostly that takes a moment.
fn wait_for_own_lock(facts: &Facts<'_>, now: Timestamp, run: &RunStatus) -> Step {
    let told = run.finished_at.as_ref().map_or(now, |time| after(time.0, TELL_OF_OWN_LOCK_SECONDS));
    match run.held_lock() {
        Some(held) if now >= told => {
            let message = lock::own(held, run);
            write_or(facts, waits_for_own_lock(&facts.requests, now, &message), || Step::Wait(None))
        }
        _ => Step::until(told, now),
    }
}
