//! Whether an action asks for another run, and the run that then begins.

use k8s_openapi::jiff::Timestamp;

use crate::{
    api::{
        DeploymentAction, DeploymentActionStatus,
        action::RunPolicy,
        condition::ConditionType,
        history::RunOutcome,
        status::{RunStatus, Trigger},
    },
    operator::{
        lifecycle::{facts::Facts, requests::Requests, whole_seconds::seconds},
        pod::names,
        spec::{expand::Lookup, hash},
    },
};

pub(super) fn generation(action: &DeploymentAction) -> i64 {
    action.metadata.generation.unwrap_or_default()
}

/// Whether a run starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Start {
    Run(Trigger),
    /// The hash has another version. It is computed again, and nothing runs.
    Rebase(String),
    /// Nobody has asked for a run.
    Never,
    No,
}

pub(super) fn may_start(requests: &Requests<'_>, status: &DeploymentActionStatus) -> bool {
    matches!(start(requests, status), Start::Run(_))
}

pub(super) fn start(requests: &Requests<'_>, status: &DeploymentActionStatus) -> Start {
    let action = requests.action();
    let spec = &action.spec;
    let rerun = requests.wants_rerun(status);
    let Some(last) = &status.run else {
        return match (spec.run_policy, &spec.run_token) {
            (RunPolicy::Manual, None) if rerun => Start::Run(Trigger::Rerun),
            (RunPolicy::Manual, None) => Start::Never,
            (RunPolicy::Manual, Some(_)) => Start::Run(Trigger::RunToken),
            (RunPolicy::OnChange | RunPolicy::Once, _) => Start::Run(Trigger::Created),
        };
    };
    if has_another_token(action, last) {
        return Start::Run(Trigger::RunToken);
    }
    if rerun {
        return Start::Run(Trigger::Rerun);
    }
    // This holds under every policy: what was asked for was never done.
    if outcome_of(status, last) == Some(RunOutcome::Superseded) {
        return Start::Run(Trigger::SpecChanged);
    }
    if spec.run_policy == RunPolicy::Once {
        return Start::No;
    }
    if !hash::is_known(&last.spec_hash) {
        return Start::Rebase(executed(action));
    }
    if spec.run_policy == RunPolicy::OnChange
        && (executes_another(action, last) || is_mended(action, status, last))
    {
        return Start::Run(Trigger::SpecChanged);
    }
    Start::No
}

/// Whether the latest run has failed in a known way, and something that affects a run was changed since. Such
/// a change is meant to repair the failure. If nobody knows how a script ended, people look first. A
/// cancelled run does not go on by itself.
fn is_mended(action: &DeploymentAction, status: &DeploymentActionStatus, last: &RunStatus) -> bool {
    let failed = outcome_of(status, last) == Some(RunOutcome::Failed);
    failed && bears_otherwise(action, last, last.settings_hash.as_ref())
}

/// Whether the action has another token than the run, under a policy that counts tokens.
pub(super) fn has_another_token(action: &DeploymentAction, run: &RunStatus) -> bool {
    let spec = &action.spec;
    spec.run_policy != RunPolicy::Once && spec.run_token.is_some() && spec.run_token != run.run_token
}

/// Whether the action now executes something else than the run does.
pub(super) fn executes_another(action: &DeploymentAction, run: &RunStatus) -> bool {
    run.generation != generation(action) && hash::is_of(&run.spec_hash, &action.spec) == Some(false)
}

/// Whether something that affects the run was changed since its settings had the hash `before`.
pub(super) fn bears_otherwise(action: &DeploymentAction, run: &RunStatus, before: Option<&String>) -> bool {
    let before = before.filter(|before| hash::is_current(before));
    run.generation != generation(action) && before.is_some_and(|before| *before != settings(action))
}

/// How a run has ended, by the history. While the next run is held back, the conditions are about that one.
pub(super) fn outcome_of(status: &DeploymentActionStatus, run: &RunStatus) -> Option<RunOutcome> {
    status.history.iter().find(|past| past.number == run.number).map(|past| past.outcome)
}

/// The hash of everything that affects a run of the action.
pub(super) fn settings(action: &DeploymentAction) -> String {
    hash::settings_hash(&action.spec).unwrap_or_default()
}

/// The hash of what the action executes.
pub(super) fn executed(action: &DeploymentAction) -> String {
    hash::spec_hash(&action.spec).unwrap_or_default()
}

/// The run whose packages a rerun deploys again, with the same digests. A rerun executes the same, and a tag
/// that somebody moved meanwhile must not change what it deploys.
pub(super) fn repeated(facts: &Facts<'_>, status: &DeploymentActionStatus, trigger: Trigger) -> Option<u32> {
    let last = status.run.as_ref().filter(|last| {
        trigger == Trigger::Rerun && hash::is_of(&last.spec_hash, &facts.action.spec) == Some(true)
    })?;
    let same_template = match (&status.template, facts.template) {
        (Some(frozen), Some(Lookup::Found(now))) => now.is(frozen),
        (Some(_), _) => false,
        // The run ended before it had a template.
        (None, _) => true,
    };
    let has_packages =
        |number: &u32| status.history.iter().any(|past| past.number == *number && !past.packages.is_empty());
    // A run that repeats another one may have ended before it had its packages. Then the new run repeats that
    // other one.
    [Some(last.number), last.repeats].into_iter().flatten().filter(|_| same_template).find(has_packages)
}

pub(super) fn fresh_run(
    facts: &Facts<'_>,
    now: Timestamp,
    status: &DeploymentActionStatus,
    trigger: Trigger,
) -> RunStatus {
    let action = facts.action;
    let past = status.history.iter().map(|past| past.number);
    let last = past.chain(status.run.as_ref().map(|run| run.number)).max();
    let number = last.map_or(1, |last| last.saturating_add(1));
    let uid = action.metadata.uid.as_deref().unwrap_or_default();
    RunStatus {
        number,
        id: names::run_id(uid, number),
        generation: generation(action),
        attempt: 1,
        trigger,
        requested_by: facts.requests.requester(status, trigger),
        run_token: action.spec.run_token.clone(),
        repeats: repeated(facts, status, trigger),
        spec_hash: executed(action),
        settings_hash: Some(settings(action)),
        requested_at: Some(seconds(now)),
        ..Default::default()
    }
}

/// Whether the checked spec of an action matters. It does not for an action at rest: its latest run has
/// ended, and no other one follows. It still does if an older operator froze that run without recording its
/// deadlines: then the spec's deadlines count.
#[must_use]
pub fn needs_spec(action: &DeploymentAction) -> bool {
    let Some(status) = &action.status else { return true };
    let Some(run) = status.run.as_ref().filter(|run| is_over(status, run)) else { return true };
    let recorded = run.deadlines.is_some() || run.bundle_sha256.is_none();
    !recorded || may_start(&Requests::of(action), status)
}

/// Whether the run has ended. While the next run is held back, the conditions do not say so. If somebody has
/// edited the status, the history still says so.
pub(super) fn is_over(status: &DeploymentActionStatus, run: &RunStatus) -> bool {
    run.finished_at.is_some()
        || status.conditions().is_true(ConditionType::Finished)
        || status.history.iter().any(|past| past.number >= run.number)
}
