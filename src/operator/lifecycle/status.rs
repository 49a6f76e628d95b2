//! Builds the status: a pure function of facts and an injected time.

use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};

use super::{
    facts::LogFact,
    last_words::{self, last_words},
    requests::Requests,
    verdict::Verdict,
    whole_seconds::seconds,
};
use crate::{
    api::{
        DeploymentActionStatus, Phase, Reason,
        condition::{Builder, ConditionType, MAX_MESSAGE_BYTES},
        history::{AttemptStatus, MAX_ATTEMPTS, PastPackage, PastRun, RunOutcome, remember},
        packages::PackageStatus,
        reason::Class,
        status::{
            ImageStatus, LogState, LogStatus, MAX_MISSING, OutputsSecret, RunStatus, StoredLogStatus,
            StoredState, TemplateStatus, Trigger,
        },
    },
    record::outcome::truncate,
};

/// The longest message of `Stalled`, in bytes. Helm prints it in one line.
const MAX_STALLED_BYTES: usize = 512;

/// The status of a run that is under way.
#[must_use]
pub fn progress(
    of: &Requests<'_>,
    now: Timestamp,
    reason: Reason,
    message: &str,
    run: RunStatus,
    image: Option<ImageStatus>,
    log: Option<&LogFact>,
) -> DeploymentActionStatus {
    let before = of.action().status.clone().unwrap_or_default();
    let generation = run.generation;
    let phase = if run.queue_position.is_some() {
        Phase::Queued
    } else if run.bundle_sha256.is_none() {
        Phase::Pending
    } else if run.started_at.is_some() {
        Phase::Running
    } else {
        Phase::Launching
    };
    let conditions = under_way(reason.as_str(), message)
        .when(ConditionType::InputsAdjusted, "InputsAdjusted", adjusted(log).as_deref())
        .when(ConditionType::ImageUnverified, "ImageUnverified", unverified(image.as_ref()).as_deref())
        .when(ConditionType::RequestIgnored, "RequestIgnored", of.ignored())
        .build(&before.conditions, generation, &seconds(now));
    DeploymentActionStatus {
        observed_generation: Some(generation),
        phase: Some(phase),
        last_handled_rerun: of.handled(&before, Some(run.number)),
        pending_rerun: of.pending(&before, Some(run.number), now),
        packages: packages_of(&before, &run),
        template: template(&before, &run),
        history: before.history,
        image,
        outputs: std::collections::BTreeMap::new(),
        outputs_secret_ref: None,
        log: log.map(log_status),
        conditions,
        run: Some(run),
    }
}

/// Conditions of an action whose run is under way, or follows by itself.
fn under_way(reason: &str, message: &str) -> Builder {
    Builder::default()
        .with(ConditionType::Ready, Some(false), reason, message)
        .with(ConditionType::Succeeded, None, reason, message)
        .with(ConditionType::Reconciling, Some(true), reason, message)
}

/// Conditions of an action whose run has ended. `stalled` is the message of `Stalled` if it did not end well.
fn ended(well: bool, reason: &str, message: &str, stalled: &str) -> Builder {
    Builder::default()
        .with(ConditionType::Ready, Some(well), reason, message)
        .with(ConditionType::Succeeded, Some(well), reason, message)
        .with(ConditionType::Finished, Some(true), reason, "")
        .when(ConditionType::Stalled, reason, (!well).then_some(stalled))
}

/// The message of this condition, if the status has it.
#[must_use]
pub fn told(status: &DeploymentActionStatus, kind: ConditionType) -> Option<String> {
    status.conditions().get(kind).map(|condition| condition.message.clone())
}

/// The status of a run whose attempt has ended and which waits for the next one, due at `then`. The run may
/// have `most` attempts.
#[must_use]
#[allow(clippy::too_many_arguments, reason = "as the other two, and when")]
pub fn retrying(
    of: &Requests<'_>,
    now: Timestamp,
    verdict: &Verdict,
    mut run: RunStatus,
    image: Option<ImageStatus>,
    log: Option<&LogFact>,
    (then, most): (Time, u32),
) -> DeploymentActionStatus {
    end_attempt(&mut run, now, verdict, image.as_ref());
    let attempt = run.attempt;
    let mut message = format!(
        "attempt {attempt} of {most}: {}: {}; attempt {} begins at {}",
        verdict.reason,
        verdict.message,
        attempt.saturating_add(1),
        then.0
    );
    if let Some(words) = explanation(verdict.reason, log) {
        message = format!("{message}{LOG}{words}");
    }
    run.next_attempt_at = Some(then);
    let status = progress(of, now, Reason::RetryPending, &message, run, image, log);
    DeploymentActionStatus { phase: Some(Phase::Retrying), ..status }
}

/// The template that was frozen with this run.
fn template(before: &DeploymentActionStatus, run: &RunStatus) -> Option<TemplateStatus> {
    let same = before.run.as_ref().is_some_and(|before| before.number == run.number);
    before.template.clone().filter(|_| same)
}

/// The status of a run that has ended.
#[must_use]
pub fn terminal(
    of: &Requests<'_>,
    now: Timestamp,
    verdict: &Verdict,
    mut run: RunStatus,
    image: Option<ImageStatus>,
    log: Option<&LogFact>,
) -> DeploymentActionStatus {
    let mut before = of.action().status.clone().unwrap_or_default();
    let generation = run.generation;
    run.finished_at = Some(seconds(now));
    run.next_attempt_at = None;
    run.queue_position = None;
    if let Some(lock) = run.lock.as_mut().filter(|lock| lock.acquired_at.is_some()) {
        // If no bound was set, nothing was ever started, and the lock is free at once.
        lock.held_until.get_or_insert_with(|| seconds(now));
    }
    if verdict.reason == Reason::Cancelled && run.cancel_requested_at.is_none() {
        // Nothing had to be stopped, so this is the first that is said of it.
        run.cancel_requested_by = of.canceller();
    }
    run.exit_code = verdict.exit_code;
    run.duration_seconds = verdict.millis.and_then(|millis| i64::try_from((millis + 500) / 1000).ok());
    end_attempt(&mut run, now, verdict, image.as_ref());
    let packages = packages_of(&before, &run);
    remember(&mut before.history, past(&run, verdict, image.as_ref(), &packages));
    let reason = verdict.reason.as_str();
    // If no script was started, there is no log of one.
    let log = log.filter(|log| verdict.reason != Reason::StartFailed || log.start.is_some() || log.lines > 0);
    // A log that is still being read may bring lines yet.
    let silent = verdict.reason == Reason::ScriptFailed
        && log.is_some_and(|log| log.lines == 0 && log.state != LogState::Collecting);
    let advice = if verdict.advised {
        ""
    } else if silent {
        "It wrote nothing: `set -x` shows what it does."
    } else {
        verdict.reason.advice()
    };
    let advice = [Some(advice).filter(|advice| !advice.is_empty()), verdict.hint.as_deref()];
    let advice = advice.into_iter().flatten().collect::<Vec<_>>().join(" ");
    let words = explanation(verdict.reason, log).map(|words| format!("{SAID}{words}")).unwrap_or_default();
    let message = sentence(&verdict.message, format!("{advice}{words}").trim_start());
    let well = verdict.succeeded();
    let stalled = stalled_message(verdict, log);
    let dropped = (!verdict.dropped.is_empty()).then(|| verdict.dropped.join("; "));
    let unmasked = unmasked(log, &verdict.unmasked);
    // Another run follows at once. Somebody who waits for it must not take this run's end for its end.
    let goes_on = verdict.reason == Reason::Superseded;
    let over = if goes_on { under_way(reason, &message) } else { ended(well, reason, &message, &stalled) };
    let phase = match well {
        _ if goes_on => Phase::Pending,
        true => Phase::Succeeded,
        false => Phase::Failed,
    };
    let conditions = over
        .when(ConditionType::OutputsDropped, "OutputsDropped", dropped.as_deref())
        .when(ConditionType::OutputsLost, "OutputsLost", verdict.lost.as_deref())
        .when(ConditionType::ValuesUnmasked, "ValuesUnmasked", unmasked.as_deref())
        .when(ConditionType::InputsAdjusted, "InputsAdjusted", adjusted(log).as_deref())
        .when(ConditionType::ImageUnverified, "ImageUnverified", unverified(image.as_ref()).as_deref())
        .when(ConditionType::RequestIgnored, "RequestIgnored", of.ignored())
        .build(&before.conditions, generation, &seconds(now));
    DeploymentActionStatus {
        observed_generation: Some(generation),
        last_handled_rerun: of.handled(&before, Some(run.number)),
        pending_rerun: of.pending(&before, Some(run.number), now),
        packages,
        template: template(&before, &run),
        history: before.history,
        phase: Some(phase),
        image,
        run: Some(run),
        outputs: verdict.outputs.clone(),
        outputs_secret_ref: None,
        log: log.map(log_status),
        conditions,
    }
}

/// Records how the present attempt ended, in the write that says so.
fn end_attempt(run: &mut RunStatus, now: Timestamp, verdict: &Verdict, image: Option<&ImageStatus>) {
    let told = run.attempts.iter().any(|of| of.attempt == run.attempt);
    if run.bundle_sha256.is_none() || told {
        // No attempt was announced, or its end is on record already.
        return;
    }
    run.attempts.push(AttemptStatus {
        attempt: run.attempt,
        reason: verdict.reason.as_str().to_owned(),
        pod_name: run.pod_name.clone(),
        pod_uid: run.pod_uid.clone(),
        node_name: run.node_name.clone(),
        image: image.and_then(|image| image.running.clone()),
        started_at: run.started_at.clone(),
        finished_at: Some(seconds(now)),
        exit_code: verdict.exit_code,
    });
    let beyond = run.attempts.len().saturating_sub(MAX_ATTEMPTS);
    run.attempts.drain(..beyond);
}

/// The history's entry for a run that ends now. It is written with the verdict, not with the next run. So the
/// latest run is in the history, and its entry holds what the verdict was reached with.
fn past(
    run: &RunStatus,
    verdict: &Verdict,
    image: Option<&ImageStatus>,
    packages: &[PackageStatus],
) -> PastRun {
    PastRun {
        number: run.number,
        id: run.id.clone(),
        attempts: run.attempts.last().map_or(0, |last| last.attempt),
        outcome: RunOutcome::of(verdict.reason),
        reason: verdict.reason.as_str().to_owned(),
        trigger: run.trigger,
        requested_by: run.requested_by.clone(),
        cancel_requested_by: run.cancel_requested_by.clone(),
        image: image.map(|image| image.resolved.clone()),
        packages: packages
            .iter()
            .map(|package| PastPackage { name: package.name.clone(), resolved: package.resolved.clone() })
            .collect(),
        started_at: run.attempts.iter().find_map(|of| of.started_at.clone()),
        finished_at: run.finished_at.clone(),
        exit_code: run.exit_code,
        stored: None,
    }
}

/// The packages that were recorded for this run.
fn packages_of(before: &DeploymentActionStatus, run: &RunStatus) -> Vec<PackageStatus> {
    let same = before.run.as_ref().is_some_and(|of| of.number == run.number && of.bundle_sha256.is_some());
    if same { before.packages.clone() } else { Vec::new() }
}

/// The status of an action that nobody has asked to run.
#[must_use]
pub fn not_requested(of: &Requests<'_>, now: Timestamp) -> DeploymentActionStatus {
    let before = of.action().status.clone().unwrap_or_default();
    let generation = of.action().metadata.generation.unwrap_or_default();
    let reason = Reason::NotRequested;
    DeploymentActionStatus {
        observed_generation: Some(generation),
        phase: Some(Phase::Idle),
        conditions: Builder::default()
            .with(
                ConditionType::Ready,
                Some(true),
                reason.as_str(),
                &sentence(reason.when(), reason.advice()),
            )
            .when(ConditionType::RequestIgnored, "RequestIgnored", of.ignored())
            .build(&before.conditions, generation, &seconds(now)),
        last_handled_rerun: of.handled(&before, None),
        pending_rerun: of.pending(&before, None, now),
        ..before
    }
}

/// The status of an action whose next run is held back by `spec.suspend`. Image, outputs and log of the
/// latest run stay. Its conditions go: somebody who waits for the next run must not take them for that run's.
#[must_use]
pub fn suspended(of: &Requests<'_>, now: Timestamp, trigger: Trigger) -> DeploymentActionStatus {
    let before = of.action().status.clone().unwrap_or_default();
    let generation = of.action().metadata.generation.unwrap_or_default();
    let reason = Reason::Suspended;
    let message =
        sentence(&format!("a run is asked for ({trigger}), and spec.suspend holds it back"), reason.advice());
    DeploymentActionStatus {
        observed_generation: Some(generation),
        phase: Some(Phase::Suspended),
        conditions: Builder::default()
            .with(ConditionType::Ready, Some(false), reason.as_str(), &message)
            .when(ConditionType::RequestIgnored, "RequestIgnored", of.ignored())
            .build(&before.conditions, generation, &seconds(now)),
        last_handled_rerun: of.handled(&before, None),
        pending_rerun: of.pending(&before, None, now),
        ..before
    }
}

/// The status of an action whose next run waits until the latest one has released its lock. As for a
/// suspended run, the conditions of the latest run go.
#[must_use]
pub fn waits_for_own_lock(of: &Requests<'_>, now: Timestamp, message: &str) -> DeploymentActionStatus {
    let before = of.action().status.clone().unwrap_or_default();
    let generation = of.action().metadata.generation.unwrap_or_default();
    let reason = Reason::Queued.as_str();
    DeploymentActionStatus {
        observed_generation: Some(generation),
        phase: Some(Phase::Queued),
        conditions: under_way(reason, message)
            .when(ConditionType::RequestIgnored, "RequestIgnored", of.ignored())
            .build(&before.conditions, generation, &seconds(now)),
        last_handled_rerun: of.handled(&before, None),
        pending_rerun: of.pending(&before, None, now),
        ..before
    }
}

/// Whether the status says that a run is held back, by `spec.suspend` or by the latest run's lock.
#[must_use]
pub fn is_held_back(status: &DeploymentActionStatus) -> bool {
    let ready = status.conditions().get(ConditionType::Ready);
    let held_back = [Reason::Suspended, Reason::Queued].map(Reason::as_str);
    ready.is_some_and(|ready| held_back.contains(&ready.reason.as_str()))
}

/// The outcome of the latest run again, once a run that was held back is not asked for any more.
#[must_use]
pub fn outcome_again(of: &Requests<'_>, now: Timestamp) -> Option<DeploymentActionStatus> {
    let before = of.action().status.clone()?;
    let number = before.run.as_ref()?.number;
    let past = before.history.iter().find(|past| past.number == number)?;
    let reason = Reason::parse(&past.reason)?;
    let well = reason.class() == Class::Success;
    let generation = of.action().metadata.generation.unwrap_or_default();
    let message = sentence(&format!("run {number} ended as {reason}"), reason.advice());
    let stalled = format!("{reason}: run {number}");
    Some(DeploymentActionStatus {
        observed_generation: Some(generation),
        phase: Some(if well { Phase::Succeeded } else { Phase::Failed }),
        conditions: ended(well, reason.as_str(), &message, &stalled)
            .when(ConditionType::RequestIgnored, "RequestIgnored", of.ignored())
            .build(&before.conditions, generation, &seconds(now)),
        ..before
    })
}

/// The same status, with the rerun that was seen now. `None` if no rerun is new.
#[must_use]
pub fn with_rerun(of: &Requests<'_>, now: Timestamp) -> Option<DeploymentActionStatus> {
    let before = of.action().status.as_ref()?;
    let number = before.run.as_ref().map(|run| run.number);
    let pending_rerun = of.pending(before, number, now);
    (pending_rerun != before.pending_rerun)
        .then(|| DeploymentActionStatus { pending_rerun, ..before.clone() })
}

/// The same status for the action as it is now, which starts no run.
#[must_use]
pub fn seen(status: &DeploymentActionStatus, of: &Requests<'_>, now: Timestamp) -> DeploymentActionStatus {
    let generation = of.action().metadata.generation.unwrap_or_default();
    let status = DeploymentActionStatus { observed_generation: Some(generation), ..status.clone() };
    let mut status = with_news(&status, now, ConditionType::RequestIgnored, of.ignored());
    for condition in &mut status.conditions {
        condition.observed_generation = Some(generation);
    }
    status
}

/// The same status, with a condition of this kind that tells what is new since the run, if anything is.
#[must_use]
pub fn with_news(
    status: &DeploymentActionStatus,
    now: Timestamp,
    kind: ConditionType,
    news: Option<&str>,
) -> DeploymentActionStatus {
    let told = status.conditions().get(kind);
    if told.map(|condition| condition.message.as_str()) == news {
        return status.clone();
    }
    let mut bare = status.clone();
    bare.conditions.retain(|condition| condition.type_ != kind.as_str());
    news.map_or_else(|| bare.clone(), |news| with_condition(&bare, now, kind, news))
}

/// The same status, with one more condition that is True.
#[must_use]
pub fn with_condition(
    status: &DeploymentActionStatus,
    now: Timestamp,
    kind: ConditionType,
    message: &str,
) -> DeploymentActionStatus {
    let mut status = status.clone();
    let generation = status.observed_generation.unwrap_or_default();
    let added = Builder::default().with(kind, Some(true), kind.as_str(), message).build(
        &status.conditions,
        generation,
        &seconds(now),
    );
    status.conditions.extend(added);
    status
}

/// The end of a run's sensitive outputs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kept {
    /// There are none.
    None,
    /// They are in this Secret.
    Secret(OutputsSecret),
    /// Their Secret could not be created yet. The text says why.
    Pending(String),
    /// They are lost. The text says why.
    Lost(String),
}

/// The status of a run that has ended, with what became of its sensitive outputs.
#[must_use]
pub fn with_kept(status: &DeploymentActionStatus, now: Timestamp, kept: &Kept) -> DeploymentActionStatus {
    let status = with_news(status, now, ConditionType::OutputsPending, None);
    match kept {
        Kept::None => status,
        Kept::Secret(secret) => DeploymentActionStatus { outputs_secret_ref: Some(secret.clone()), ..status },
        Kept::Pending(why) => with_news(&status, now, ConditionType::OutputsPending, Some(why)),
        Kept::Lost(why) => {
            // A status that was too large may have lost others before.
            let before = told(&status, ConditionType::OutputsLost).map(|before| format!("{before}; "));
            let why = format!("{}{why}", before.unwrap_or_default());
            with_news(&status, now, ConditionType::OutputsLost, Some(&why))
        }
    }
}

/// The status with the end of a log in the archive. It is of the run with this number, which has ended.
#[must_use]
pub fn with_stored(
    status: &DeploymentActionStatus,
    now: Timestamp,
    number: u32,
    stored: &StoredLogStatus,
) -> DeploymentActionStatus {
    let mut status = status.clone();
    if let Some(past) = status.history.iter_mut().find(|past| past.number == number) {
        past.stored = Some(stored.clone());
    }
    if status.run.as_ref().is_none_or(|run| run.number != number) {
        return status;
    }
    let log = status.log.as_mut();
    let whole = log.as_ref().is_none_or(|log| log.state != LogState::Incomplete);
    if let Some(log) = log {
        log.stored = Some(stored.clone());
    }
    match (&stored.message, stored.state) {
        (Some(message), StoredState::Failed) => {
            with_condition(&status, now, ConditionType::LogNotStored, message)
        }
        // A log that was not read whole has its own words.
        (Some(message), StoredState::Incomplete) if whole => {
            with_condition(&status, now, ConditionType::LogNotStored, message)
        }
        _ => status,
    }
}

/// The status of a run that has ended, with what was read of its log since the verdict.
#[must_use]
pub fn with_log(status: &DeploymentActionStatus, now: Timestamp, log: &LogFact) -> DeploymentActionStatus {
    let mut status = status.clone();
    status.log = Some(log_status(log));
    let stalled = ConditionType::Stalled.as_str();
    if let Some(stalled) = status.conditions.iter_mut().find(|condition| condition.type_ == stalled) {
        let what = stalled.message.split(LOG).next().unwrap_or_default();
        stalled.message = with_last_lines(what.to_owned(), Some(log));
    }
    for kind in [ConditionType::Ready, ConditionType::Succeeded].map(ConditionType::as_str) {
        let condition = status.conditions.iter_mut().find(|condition| condition.type_ == kind);
        if let Some(condition) = condition
            && let Some(words) =
                Reason::parse(&condition.reason).and_then(|reason| explanation(reason, Some(log)))
        {
            let what = condition.message.split(SAID).next().unwrap_or_default();
            condition.message = format!("{what}{SAID}{words}");
            truncate(&mut condition.message, MAX_MESSAGE_BYTES);
        }
    }
    let by_script = log.exit.as_ref().map(|(exit, _)| exit.unmasked.as_slice()).unwrap_or_default();
    let told = [
        (ConditionType::ValuesUnmasked, unmasked(Some(log), by_script)),
        (ConditionType::InputsAdjusted, adjusted(Some(log))),
    ];
    for (kind, message) in told {
        if let Some(message) = message.filter(|_| !status.conditions().is_true(kind)) {
            status = with_condition(&status, now, kind, &message);
        }
    }
    status
}

/// Says that the node ran something else than what was pinned, as far as this can be known. Runtimes report
/// the digest of the index, of the platform's manifest, or of the config (kubernetes#115199).
fn unverified(image: Option<&ImageStatus>) -> Option<String> {
    let image = image?;
    let running = image.running.as_deref()?;
    let digest = |reference: &str| reference.rsplit(['@', '/']).next().unwrap_or_default().to_owned();
    let pinned = digest(&image.resolved);
    let mut known: Vec<&str> =
        [Some(pinned.as_str()), image.platform_digest.as_deref(), image.config_digest.as_deref()]
            .into_iter()
            .flatten()
            .collect();
    known.dedup();
    if known.contains(&digest(running).as_str()) {
        return None;
    }
    let unread = image.config_digest.is_none();
    Some(format!(
        "the node reports that it ran {running}, which is none of the image's digests: {}{}; a runtime that has the \
         same image under several manifests may name any of them: compare the two if it matters",
        known.join(", "),
        if unread { " (the registry told no others)" } else { "" }
    ))
}

/// Names secret values that are not masked: the action's, sensitive outputs, and those that the script wanted
/// to be masked.
fn unmasked(log: Option<&LogFact>, by_script: &[String]) -> Option<String> {
    let inputs = log.iter().flat_map(|log| &log.start).flat_map(|start| &start.unmasked);
    let sealed = log.iter().flat_map(|log| &log.exit).flat_map(|(exit, _)| &exit.sealed);
    let names: Vec<&str> =
        inputs.chain(sealed.flat_map(|sealed| &sealed.unmasked)).map(String::as_str).collect();
    let too_short = (!names.is_empty())
        .then(|| format!("too short to be masked in the log, fewer than 6 bytes: {}", names.join(", ")));
    let of_script =
        (!by_script.is_empty()).then(|| format!("not masked in the log: {}", by_script.join("; ")));
    let all: Vec<String> = of_script.into_iter().chain(too_short).collect();
    (!all.is_empty()).then(|| all.join("; "))
}

/// Names inputs that were changed or left out before the script got them.
fn adjusted(log: Option<&LogFact>) -> Option<String> {
    let start = log?.start.as_ref().filter(|start| !start.adjusted.is_empty())?;
    Some(start.adjusted.join("; "))
}

/// The status of a log, as far as it was read.
#[must_use]
pub fn log_status(log: &LogFact) -> LogStatus {
    let mut missing = log.missing.clone();
    if missing.len() > MAX_MISSING {
        let more = missing.len() - MAX_MISSING;
        missing.truncate(MAX_MISSING);
        missing.push(format!("and {more} more"));
    }
    LogStatus {
        state: log.state,
        lines: log.lines,
        bytes: log.bytes,
        sha256: (log.state == LogState::Complete).then(|| log.sha256.clone()),
        missing,
        foreign_lines: log.foreign,
        tail: log.tail.clone(),
        stored: None,
    }
}

/// Says in sentences what happened and what to do. The advice is never cut.
fn sentence(what: &str, advice: &str) -> String {
    let mut what = what.to_owned();
    truncate(&mut what, MAX_MESSAGE_BYTES - advice.len() - 2);
    let stop = if what.is_empty() || what.ends_with(['.', '!', '?']) { "" } else { "." };
    let gap = if what.is_empty() || advice.is_empty() { "" } else { " " };
    format!("{what}{stop}{gap}{advice}")
}

/// The text that Helm prints: the reason, what happened, and the last lines of the log.
fn stalled_message(verdict: &Verdict, log: Option<&LogFact>) -> String {
    let mut text = format!("{}: {}", verdict.reason, verdict.message);
    truncate(&mut text, MAX_STALLED_BYTES / 2);
    with_last_lines(text, log)
}

/// Separates what happened from the last lines of the log.
const LOG: &str = "; log: ";
/// The same behind whole sentences.
const SAID: &str = " Log: ";

// The lines with what is in front of them.
const _: () = assert!(last_words::MAX_BYTES + LOG.len() <= 512 && last_words::MAX_BYTES + SAID.len() <= 512);

/// The end of the log, if it explains a run that ended for this reason.
fn explanation(reason: Reason, log: Option<&LogFact>) -> Option<String> {
    let log = log.filter(|_| last_words::explain(reason))?;
    last_words(log, last_words::MAX_BYTES)
}

fn with_last_lines(mut text: String, log: Option<&LogFact>) -> String {
    let room = MAX_STALLED_BYTES.saturating_sub(text.len() + LOG.len());
    if let Some(words) = log.and_then(|log| last_words(log, room)) {
        text.push_str(LOG);
        text.push_str(&words);
    }
    truncate(&mut text, MAX_STALLED_BYTES);
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operator::testing::objects::action;

    #[test]
    fn what_helm_prints_has_class_code_and_the_last_lines() {
        let mut verdict = Verdict::of(Reason::ScriptFailed, "the script ended with exit code 3 after 1 s");
        verdict.exit_code = Some(3);
        let log = LogFact { tail: "one\ntwo\nthree\n\nfour\n".into(), ..Default::default() };
        let status = terminal(
            &Requests::of(&action()),
            Timestamp::UNIX_EPOCH,
            &verdict,
            RunStatus::default(),
            None,
            Some(&log),
        );
        let stalled = status.conditions().get(ConditionType::Stalled).unwrap();
        assert_eq!(
            stalled.message,
            "ScriptFailed: the script ended with exit code 3 after 1 s; log: two | three | four"
        );
        let wide = LogFact { tail: "x".repeat(9000), ..Default::default() };
        assert!(stalled_message(&verdict, Some(&wide)).len() <= MAX_STALLED_BYTES);
    }

    #[test]
    fn any_digest_of_the_image_verifies_what_ran() {
        let image = |running: &str| ImageStatus {
            resolved: "r/tools@sha256:11".into(),
            platform_digest: Some("sha256:22".into()),
            config_digest: Some("sha256:33".into()),
            running: Some(running.into()),
            ..Default::default()
        };
        for fine in ["r/tools@sha256:11", "docker-pullable://mirror/tools@sha256:22", "sha256:33"] {
            assert_eq!(unverified(Some(&image(fine))), None, "{fine}");
        }
        let message = unverified(Some(&image("r/tools@sha256:44"))).unwrap();
        assert!(message.contains("sha256:44") && message.contains("sha256:33"), "{message}");
        assert_eq!(unverified(Some(&ImageStatus { running: None, ..image("") })), None);
    }

    #[test]
    fn conditions_are_those_of_the_truth_table() {
        let of = |status: &DeploymentActionStatus| {
            status
                .conditions
                .iter()
                .map(|condition| format!("{}={}", condition.type_, condition.status))
                .collect::<Vec<_>>()
                .join(" ")
        };
        let now = Timestamp::UNIX_EPOCH;
        let run = RunStatus::default();
        assert_eq!(
            of(&progress(&Requests::of(&action()), now, Reason::Running, "", run.clone(), None, None)),
            "Ready=False Succeeded=Unknown Reconciling=True"
        );
        assert_eq!(
            of(&terminal(
                &Requests::of(&action()),
                now,
                &Verdict::of(Reason::Succeeded, ""),
                run.clone(),
                None,
                None
            )),
            "Ready=True Succeeded=True Finished=True"
        );
        assert_eq!(
            of(&terminal(&Requests::of(&action()), now, &Verdict::of(Reason::Unknown, ""), run, None, None)),
            "Ready=False Succeeded=False Finished=True Stalled=True"
        );
        assert_eq!(of(&not_requested(&Requests::of(&action()), now)), "Ready=True");
    }
}
