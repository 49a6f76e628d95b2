//! An action without a run under way: settle what the last run left, then see whether one starts.

use k8s_openapi::jiff::Timestamp;

use super::{
    Step,
    begin::begin,
    clocks::{after, node_looked_at, runs_until},
    lock,
    retire::{may_be_let_go, name_needed_until, retire},
    write_or,
};
use crate::{
    api::{
        DeploymentAction, DeploymentActionStatus, Reason,
        action::RunPolicy,
        condition::ConditionType,
        history::RunOutcome,
        status::{LogState, LogStatus, RunStatus, Trigger},
    },
    operator::{
        lifecycle::{
            facts::{Facts, PodFact, Source},
            requests,
            status::{
                is_held_back, log_status, not_requested, outcome_again, seconds, seen, suspended, told,
                waits_for_own_lock, with_condition, with_log, with_news,
            },
            testimony::{Testimony, testimony},
        },
        pod::{
            names,
            view::{ContainerView, PodView},
        },
        spec::{expand::Lookup, hash},
    },
    record::outcome::{Identity, Outcome},
};

/// How long a log may take to be read once the verdict is known, in seconds.
const LOG_DEADLINE_SECONDS: i64 = 60;
/// How long containers that others injected may take to end by themselves once the run has, in seconds. A
/// script can tell some of them to, and their pod does not look as if it had failed.
const LEFT_TO_THEMSELVES_SECONDS: i64 = 10;
/// How often is looked whether a script has ended whose run has, in seconds.
const SEEN_RUNNING_SECONDS: i64 = 30;
/// That a run waits for the lock of the one before is told after this, in seconds: mostly it is given
/// back before.
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
}

/// Until when what others injected may end by itself. `None` where another run or attempt follows: nobody looks
/// at this pod then.
fn left_to_themselves_until(
    facts: &Facts<'_>,
    status: &DeploymentActionStatus,
    run: &RunStatus,
) -> Option<Timestamp> {
    let finished = run.finished_at.as_ref().filter(|_| !may_start(facts.action, status))?;
    Some(after(finished.0, LEFT_TO_THEMSELVES_SECONDS))
}

/// The pod of the run's latest attempt.
fn own_pod<'a>(facts: &'a Facts<'_>, run: &RunStatus) -> Option<&'a PodView> {
    facts
        .pod
        .view()
        .filter(|pod| run.pod_uid.as_ref().is_none_or(|uid| *uid == pod.uid) && !pod.tombstone)
        // A status that somebody else wrote must not lead to another action's pod.
        .filter(|pod| pod.owner_uid == facts.action.metadata.uid)
}

/// What the last run left is settled, as far as it can be by now.
fn rest(facts: &Facts<'_>, now: Timestamp, status: &DeploymentActionStatus) -> Step {
    match start(facts.action, status) {
        Start::Run(trigger) if facts.action.spec.suspend == Some(true) => {
            write_or(facts, suspended(facts.action, now, trigger), || retire(facts, now, status))
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
            let mut wanted = seen(status, facts.action, now);
            if let Some(run) = &mut wanted.run {
                run.spec_hash = hash;
            }
            Step::WriteStatus(Box::new(wanted))
        }
        Start::Never => write_or(facts, not_requested(facts.action, now), || Step::Wait(None)),
        Start::No => {
            // Of a run that was held back, or because somebody took it out of the status.
            let untold = is_held_back(status) || !status.conditions().is_true(ConditionType::Finished);
            let again = outcome_again(facts.action, now).filter(|_| untold);
            let wanted = again.unwrap_or_else(|| {
                let seen = seen(status, facts.action, now);
                let template = template_news(facts, &seen);
                let seen = with_news(&seen, now, ConditionType::TemplateOutdated, template.as_deref());
                let source = source_news(facts, &seen);
                with_news(&seen, now, ConditionType::SourceOutdated, source.as_deref())
            });
            write_or(facts, wanted, || {
                let expires = expires_at(facts, status);
                match expires {
                    Some(then) if now >= then => Step::Remove,
                    _ => retire(facts, now, status).not_beyond(expires, now),
                }
            })
        }
    }
}

/// Until when the script of the latest run may still be running, where that is ahead: a run whose end
/// nobody knows is followed by another one only when no clock can let its script run.
fn still_runs_until(facts: &Facts<'_>, now: Timestamp, status: &DeploymentActionStatus) -> Option<Timestamp> {
    let run = status.run.as_ref().filter(|run| run.bundle_sha256.is_some())?;
    let past = status.history.iter().find(|past| past.number == run.number)?;
    let seen = facts.pod.view().filter(|pod| run.pod_uid.as_ref().is_none_or(|uid| *uid == pod.uid));
    let ended = |pod: &PodView| pod.tombstone || pod.terminated().is_some_and(|end| !end.is_unknown());
    if seen.is_some_and(ended) || facts.is_off() {
        return None;
    }
    if past.exit_code.is_none() && seen.is_some_and(PodView::is_seen_running) {
        // Whatever was said of it, and whatever the clocks say: its end brings an event.
        return Some(after(now, SEEN_RUNNING_SECONDS));
    }
    // A run can end between two attempts: then nobody may know of the one before.
    let attempt = run.attempts.last().and_then(|attempt| Reason::parse(&attempt.reason)).map(RunOutcome::of);
    let unknown = [Some(past.outcome), attempt].contains(&Some(RunOutcome::Unknown));
    Some(runs_until(facts, run, now)).filter(|then| unknown && now < *then)
}

/// What is done before a run begins where a pod of an earlier one shows that it runs, or can start: the status
/// that told of it was emptied, or an older one was put back.
fn wait_for_older(facts: &Facts<'_>, now: Timestamp) -> Option<Step> {
    let ours = facts.older.iter().filter(|pod| pod.owner_uid == facts.action.metadata.uid);
    let waits = |pod: &PodView| !pod.deleting && pod.container == ContainerView::Waiting;
    let mut open = ours.filter(|pod| !pod.runs_no_more() && (waits(pod) || pod.is_seen_running()));
    let pod = open.next()?;
    Some(if waits(pod) { Step::delete(pod) } else { Step::until(after(now, SEEN_RUNNING_SECONDS), now) })
}

/// When the action is to be deleted, by `spec.ttlSecondsAfterFinished`. `None` where it stays, or
/// something of it is not settled yet, whose end brings an event.
fn expires_at(facts: &Facts<'_>, status: &DeploymentActionStatus) -> Option<Timestamp> {
    let action = facts.action;
    let seconds = action.spec.ttl_seconds_after_finished?;
    // The API server refuses it for others: one with a fixed name would be created again.
    action.metadata.generate_name.as_ref().filter(|name| !name.is_empty())?;
    let run = status.run.as_ref()?;
    let held = facts.pod.view().into_iter().chain(facts.older).any(|pod| pod.finalizer);
    if held || run.held_lock().is_some() || !status.conditions().is_true(ConditionType::Finished) {
        return None;
    }
    run.finished_at.as_ref().map(|time| after(time.0, seconds))
}

/// Another run is wanted, and the latest one has its lock yet: mostly for a moment.
fn wait_for_own_lock(facts: &Facts<'_>, now: Timestamp, run: &RunStatus) -> Step {
    let told = run.finished_at.as_ref().map_or(now, |time| after(time.0, TELL_OF_OWN_LOCK_SECONDS));
    match run.held_lock() {
        Some(held) if now >= told => {
            let message = lock::own(held, run);
            write_or(facts, waits_for_own_lock(facts.action, now, &message), || Step::Wait(None))
        }
        _ => Step::until(told, now),
    }
}

/// How the template differs from the one that the latest run was made of. Nothing is told of one that
/// is not there, or that the action names no more.
fn template_news(facts: &Facts<'_>, status: &DeploymentActionStatus) -> Option<String> {
    let frozen = status.template.as_ref()?;
    let Some(Lookup::Found(now)) = facts.template else {
        // Not known is no news either way: what is told stays.
        let told = told(status, ConditionType::TemplateOutdated);
        return told.filter(|_| facts.template == Some(&Lookup::Unread));
    };
    let same_name = (now.kind, &now.name) == (frozen.kind, &frozen.name);
    if !same_name || now.is(frozen) {
        return None;
    }
    let again = if now.uid == frozen.uid { "" } else { " of another template under its name" };
    Some(format!(
        "{} {} is at generation {}{again}, and the latest run was made of generation {}: set a new spec.runToken to run it as it is now",
        now.kind.as_str(),
        now.name,
        now.generation,
        frozen.generation
    ))
}

/// News of the script's `ConfigMap`: it holds another script than the latest run had.
fn source_news(facts: &Facts<'_>, status: &DeploymentActionStatus) -> Option<String> {
    let run = status.run.as_ref()?;
    let had = run.script_sha256.as_ref()?;
    // An answer from before the run's end may be older than its script. Times in a status are whole seconds.
    let ended = run.finished_at.as_ref().map_or(Timestamp::MAX, |time| after(time.0, 1));
    match &facts.source {
        Source::None => None,
        Source::Found { sha256, .. } if sha256 == had => None,
        Source::Found { name, key, asked, .. } if *asked >= ended => Some(format!(
            "key {key:?} of ConfigMap {name:?} holds another script than the latest run had: set a new spec.runToken, or the annotation longshore.dev/rerun, to run it as it is now"
        )),
        Source::Unread | Source::Found { .. } => told(status, ConditionType::SourceOutdated),
    }
}

fn generation(action: &DeploymentAction) -> i64 {
    action.metadata.generation.unwrap_or_default()
}

/// Brings log and pod of the last run to their end. `None` where nothing is left to do.
pub(super) fn settle(
    facts: &Facts<'_>,
    now: Timestamp,
    status: &DeploymentActionStatus,
    run: &RunStatus,
) -> Option<Step> {
    let own = own_pod(facts, run);
    if let Some(stray) = facts.pod.view()
        && own.is_none()
        && !stray.tombstone
        && !stray.deleting
        && stray.owner_uid == facts.action.metadata.uid
    {
        // A second pod of an attempt that has ended: a creation that came late.
        return Some(Step::delete(stray));
    }
    if let Some(pod) = own.filter(|pod| pod.outlived()) {
        match left_to_themselves_until(facts, status, run) {
            Some(then) if now < then => {}
            Some(_) => return Some(end_sidecars(now, status, pod)),
            None => return Some(Step::expire(pod)),
        }
    }
    if let Some(log) = status.log.as_ref().filter(|log| log.state == LogState::Collecting) {
        return Some(read_on(facts, now, status, run, log, own));
    }
    let pod = own?;
    if let Some(dispute) = dispute(facts, run, pod)
        && !status.conditions().is_true(ConditionType::VerdictDisputed)
    {
        return Some(Step::WriteStatus(Box::new(with_condition(
            status,
            now,
            ConditionType::VerdictDisputed,
            &dispute,
        ))));
    }
    let free = now >= name_needed_until(facts, run, pod, now);
    (may_be_let_go(run, pod) && free).then(|| Step::release(pod))
}

/// Ends what has outlived the script. Kubernetes has one way to end containers and keep their pod, and the pod
/// then counts as failed: the status says that it was no failure of the script's.
fn end_sidecars(now: Timestamp, status: &DeploymentActionStatus, pod: &PodView) -> Step {
    let kind = ConditionType::SidecarsEnded;
    if status.conditions().is_true(kind) {
        return Step::expire(pod);
    }
    let message = format!(
        "beside the script, {} of pod {} did not end by itself and was ended {LEFT_TO_THEMSELVES_SECONDS} s after the run: the pod shows Failed (DeadlineExceeded) for that, whatever came of the script",
        pod.others_running.join(", "),
        pod.name
    );
    Step::WriteStatus(Box::new(with_condition(status, now, kind, &message)))
}

/// The verdict is known and the log is still being read.
fn read_on(
    facts: &Facts<'_>,
    now: Timestamp,
    status: &DeploymentActionStatus,
    run: &RunStatus,
    log: &LogStatus,
    pod: Option<&PodView>,
) -> Step {
    let settled = |state: LogStatus| {
        Step::WriteStatus(Box::new(DeploymentActionStatus { log: Some(state), ..status.clone() }))
    };
    let lost = |why: &str| {
        settled(LogStatus { state: LogState::Incomplete, missing: vec![why.to_owned()], ..log.clone() })
    };
    let ended = run.finished_at.as_ref().or_else(|| run.attempts.last()?.finished_at.as_ref());
    let latest = after(ended.map_or(now, |time| time.0), LOG_DEADLINE_SECONDS);
    match (facts.log.filter(|read| run.pod_uid.as_deref() == Some(&read.pod_uid)), pod) {
        (Some(read), _) if read.state != LogState::Collecting => {
            Step::WriteStatus(Box::new(with_log(status, now, read)))
        }
        (Some(read), _) if now >= latest => settled(LogStatus {
            state: LogState::Incomplete,
            missing: vec![format!(
                "what came after line {}: the log could not be read to its end",
                read.lines
            )],
            ..log_status(read)
        }),
        (Some(_), _) => Step::until(latest, now),
        (None, Some(pod)) if now < latest => Step::follow(pod),
        (None, Some(_)) => lost("the log could not be read to its end"),
        (None, None) if facts.pod == PodFact::NotSeen => Step::Look,
        (None, None) => lost("the pod was removed before its log was read to its end"),
    }
}

/// What came later and contradicts the verdict, which stands.
fn dispute(facts: &Facts<'_>, run: &RunStatus, pod: &PodView) -> Option<String> {
    let from_log = facts.log.and_then(|log| log.exit.as_ref()).map(|(exit, _)| exit);
    let of = Identity { pod_uid: pod.uid.clone(), run_id: run.id.clone() };
    let start = facts.log.and_then(|log| log.start.as_ref());
    let from_pod = match pod.terminated().map(|end| testimony(end, &of, start)) {
        Some(Testimony::Believed(record)) => Some(&record.exit),
        _ => None,
    };
    let code = match &from_log.or(from_pod)?.outcome {
        Outcome::Exited { code } => Some(i32::from(*code)),
        Outcome::Signaled { signal } => Some(128 + signal),
        Outcome::NotStarted { .. } | Outcome::Unknown { .. } => None,
    };
    let told = run.exit_code.or_else(|| run.attempts.last()?.exit_code);
    (code != told).then(|| {
        let words =
            |code: Option<i32>| code.map_or("no exit code".to_owned(), |code| format!("exit code {code}"));
        format!("the verdict was reached with {}, and a later record says {}", words(told), words(code))
    })
}

/// Whether a run starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Start {
    Run(Trigger),
    /// The hash has another version: it is taken anew, and nothing runs.
    Rebase(String),
    /// Nobody has asked.
    Never,
    No,
}

/// Whether a run is to start.
pub(super) fn may_start(action: &DeploymentAction, status: &DeploymentActionStatus) -> bool {
    matches!(start(action, status), Start::Run(_))
}

pub(super) fn start(action: &DeploymentAction, status: &DeploymentActionStatus) -> Start {
    let spec = &action.spec;
    let rerun = requests::wants_rerun(action, status);
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
    // Whatever the policy says: what was asked for was never done.
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

/// Whether the latest run has failed, in a way that is known, and what bears on a run was changed since: that
/// is meant to mend it. People look first at a script whose end nobody knows. A cancelled run does
/// not go on by itself.
fn is_mended(action: &DeploymentAction, status: &DeploymentActionStatus, last: &RunStatus) -> bool {
    let failed = outcome_of(status, last) == Some(RunOutcome::Failed);
    failed && bears_otherwise(action, last, last.settings_hash.as_ref())
}

/// Whether the action has another token than the run, under a policy in which that counts.
pub(super) fn has_another_token(action: &DeploymentAction, run: &RunStatus) -> bool {
    let spec = &action.spec;
    spec.run_policy != RunPolicy::Once && spec.run_token.is_some() && spec.run_token != run.run_token
}

/// Whether the action executes something else by now than the run does.
pub(super) fn executes_another(action: &DeploymentAction, run: &RunStatus) -> bool {
    run.generation != generation(action) && hash::is_of(&run.spec_hash, &action.spec) == Some(false)
}

/// Whether something that bears on the run was changed since its settings had this hash.
pub(super) fn bears_otherwise(action: &DeploymentAction, run: &RunStatus, before: Option<&String>) -> bool {
    let before = before.filter(|before| hash::is_current(before));
    run.generation != generation(action) && before.is_some_and(|before| *before != settings(action))
}

/// How a run has ended. The conditions do not say: while the next one is held back, they tell of that.
fn outcome_of(status: &DeploymentActionStatus, run: &RunStatus) -> Option<RunOutcome> {
    status.history.iter().find(|past| past.number == run.number).map(|past| past.outcome)
}

/// The hash of all that bears on a run of the action.
pub(super) fn settings(action: &DeploymentAction) -> String {
    hash::settings_hash(&action.spec).unwrap_or_default()
}

/// The hash of what the action executes.
pub(super) fn executed(action: &DeploymentAction) -> String {
    hash::spec_hash(&action.spec).unwrap_or_default()
}

/// The run whose packages one that is asked for again deploys, digest by digest: it executes the same,
/// and whoever moved a tag meanwhile must not have changed what it deploys.
fn repeated(facts: &Facts<'_>, status: &DeploymentActionStatus, trigger: Trigger) -> Option<u32> {
    let last = status.run.as_ref().filter(|last| {
        trigger == Trigger::Rerun && hash::is_of(&last.spec_hash, &facts.action.spec) == Some(true)
    })?;
    let same_template = match (&status.template, facts.template) {
        (Some(frozen), Some(Lookup::Found(now))) => now.is(frozen),
        (Some(_), _) => false,
        // It ended before it had one.
        (None, _) => true,
    };
    let has_packages =
        |number: &u32| status.history.iter().any(|past| past.number == *number && !past.packages.is_empty());
    // One that was to repeat another, and ended before it had its packages, repeats that one.
    [Some(last.number), last.repeats].into_iter().flatten().filter(|_| same_template).find(has_packages)
}

fn fresh_run(
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
        run_token: action.spec.run_token.clone(),
        repeats: repeated(facts, status, trigger),
        spec_hash: executed(action),
        settings_hash: Some(settings(action)),
        requested_at: Some(seconds(now)),
        ..Default::default()
    }
}
