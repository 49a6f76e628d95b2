//! How an attempt ended. This evidence counts, in this order:
//!
//! 1. The exit record in the log.
//! 2. The same record, short, in the termination message, if the log proves that the runner wrote it
//!    ([`super::testimony`]).
//! 3. The runtime's word that it could not start the container.
//! 4. The kernel's kill of PID 1 for its memory.
//!
//! Without any of these, nothing says how the script ended, whatever the exit code. The reason is then
//! `Unknown`, or the pod's own (`NodeLost`, `Evicted`). Apart from that, the pod's phase and reason only
//! explain.

use std::collections::BTreeMap;

use k8s_openapi::jiff::{SignedDuration, Timestamp};

use super::{
    facts::{Facts, LogFact},
    testimony::{Testimony, testimony},
};
use crate::{
    api::{
        Reason,
        status::{LogState, RunStatus},
    },
    operator::pod::view::{PodView, Terminated},
    record::{
        outcome::{Exit, Identity, Outcome, Problem, StopCause},
        place,
    },
};

/// How long a verdict waits for the node's explanation, such as an eviction. A kubelet reports its events one
/// after the other, and late if the API server is busy.
const EXPLANATION: SignedDuration = SignedDuration::from_secs(30);
/// How soon to look again meanwhile. The explanation may be in an event that causes no look.
const LOOK_AGAIN: SignedDuration = SignedDuration::from_secs(1);
/// How long a verdict waits for the log of a container that has ended.
const LOG_AFTER_END: SignedDuration = SignedDuration::from_secs(20);
/// The same, if only the start record is missing, which proves the termination message. Without it the run's
/// end is unknown.
const LOG_FOR_PROOF: SignedDuration = SignedDuration::from_secs(120);
/// The same, if the termination message has the whole verdict. Its times are in whole seconds.
const LOG_WITH_END: SignedDuration = SignedDuration::from_secs(2);

/// The exit code of a container whose PID 1 was killed.
const KILLED: i32 = 137;

/// How many dropped outputs a message names when a required one is missing.
const DROPPED_IN_MESSAGE: usize = 3;

/// Says who cancelled a run, for people.
pub(crate) const BY_WHOM: &str = "the run was cancelled by the annotation longshore.dev/cancel";

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// The reason.
    pub reason: Reason,
    /// A sentence on what happened, for people.
    pub message: String,
    /// The script's exit code, or 128 and the signal's number.
    pub exit_code: Option<i32>,
    /// How long the script ran, in milliseconds.
    pub millis: Option<u64>,
    /// Outputs that the script reported.
    pub outputs: BTreeMap<String, String>,
    /// Outputs that were dropped, and why.
    pub dropped: Vec<String>,
    /// Values that the script wanted to be masked and that are not, in words.
    pub unmasked: Vec<String>,
    /// Why outputs were lost, if they were.
    pub lost: Option<String>,
    /// Whether the message itself says what to do.
    pub advised: bool,
    /// A guess at what was wrong, for people.
    pub hint: Option<String>,
    /// Whether it is certain that the script was never started.
    pub never_started: bool,
}

impl Verdict {
    /// A verdict without a record of the script.
    #[must_use]
    pub fn of(reason: Reason, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
            exit_code: None,
            millis: None,
            outputs: BTreeMap::new(),
            dropped: Vec::new(),
            unmasked: Vec::new(),
            lost: None,
            advised: false,
            hint: None,
            never_started: false,
        }
    }

    /// The same verdict for an attempt whose script certainly never started. Its pod was deleted while it
    /// waited and nothing of it was ever seen, or there is only a tombstone, or the creation was refused.
    #[must_use]
    pub fn proven(self) -> Self {
        Self { never_started: true, ..self }
    }

    /// Whether the run succeeded.
    #[must_use]
    pub fn succeeded(&self) -> bool {
        self.reason == Reason::Succeeded
    }
}

/// The request on record that stops the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Asked {
    #[default]
    Not,
    /// Somebody cancels it.
    ByCancel,
    /// It yields to a changed spec.
    BySpec,
}

impl Asked {
    #[must_use]
    pub(crate) fn of(run: &RunStatus) -> Self {
        match (&run.cancel_requested_at, &run.superseded_at) {
            (Some(_), _) => Self::ByCancel,
            (None, Some(_)) => Self::BySpec,
            (None, None) => Self::Not,
        }
    }
}

/// The result of weighing the evidence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Finding {
    /// The attempt has ended.
    Ended(Verdict),
    /// It may have ended. At this time more is known.
    Later(Timestamp),
    /// Nothing says that it has ended.
    Open,
}

/// Weighs the evidence about the attempt whose pod is `pod`.
#[must_use]
pub(crate) fn weigh(facts: &Facts<'_>, pod: &PodView, required: &[String], now: Timestamp) -> Finding {
    let log = facts.log.as_ref().filter(|log| log.pod_uid == pod.uid);
    let run = facts.action.status.as_ref().and_then(|status| status.run.as_ref());
    let asked = run.map(Asked::of).unwrap_or_default();
    if let Some((exit, seen)) = log.and_then(|log| log.exit.as_ref()) {
        return match explained(exit, pod, *seen, now) {
            Some(later) if asked != Asked::ByCancel => Finding::Later(later),
            _ => Finding::Ended(from_record(exit, pod, required, asked)),
        };
    }
    if pod.is_unseen() {
        return Finding::Open;
    }
    let Some(end) = pod.terminated() else { return Finding::Open };
    // The log may still bring the record itself, with its outputs. A node's clock may be hours behind, so the
    // end counts as no earlier than when this process first saw it.
    let ended =
        pod.ended_at().map_or(now, |time| time.0.min(now)).max(pod.end_seen.unwrap_or(Timestamp::MIN));
    let latest = ended.saturating_add(LOG_AFTER_END).unwrap_or(now);
    let log_is_read = log.is_some_and(|log| log.state != LogState::Collecting);
    let of = Identity { pod_uid: pod.uid.clone(), run_id: run.map(|run| run.id.clone()).unwrap_or_default() };
    let testimony = testimony(end, &of, log.and_then(|log| log.start.as_ref()));
    if let Testimony::Believed(record) = testimony {
        // Without outputs the verdict is complete, and only the log's last lines get a moment.
        let wait = if record.outputs_sha256.is_some() { LOG_AFTER_END } else { LOG_WITH_END };
        let latest = ended.saturating_add(wait).unwrap_or(now);
        if !log_is_read && now < latest {
            return Finding::Later(latest);
        }
        let mut verdict = from_record(&record.exit, pod, &[], asked);
        let unread = record.exit.outputs_unread.as_deref();
        let lost = record.outputs_sha256.as_deref().is_some_and(|hash| hash != record.exit.outputs_sha256());
        if lost {
            verdict.lost = Some(
                "the log that held the outputs could not be read; the verdict comes from the termination message"
                    .into(),
            );
        }
        // A record without outputs means that the script wrote none.
        if verdict.succeeded() && (!lost || unread.is_some()) {
            require(&mut verdict, required, &[], unread);
        }
        return Finding::Ended(verdict);
    }
    // If the container was started before, or its runner has written anything, the error is that of a later
    // start.
    if end.is_start_error() && !pod.started && !has_begun(log) {
        let words = end.message.clone().unwrap_or_default();
        return Finding::Ended(Verdict::of(Reason::StartFailed, words).proven());
    }
    let latest = match testimony {
        Testimony::Unproven => ended.saturating_add(LOG_FOR_PROOF).unwrap_or(now),
        _ => latest,
    };
    if !log_is_read && now < latest {
        return Finding::Later(latest);
    }
    Finding::Ended(without_record(end, testimony, pod, log))
}

/// Whether the log says that the runner has begun.
fn has_begun(log: Option<&LogFact>) -> bool {
    log.is_some_and(|log| log.start.is_some() || log.lines > 0)
}

/// Until when to wait for the node to say why the script was stopped or killed. `None` if there is nothing to
/// wait for.
fn explained(exit: &Exit, pod: &PodView, seen: Timestamp, now: Timestamp) -> Option<Timestamp> {
    let asked = exit.stop.is_some_and(|stop| stop.cause == StopCause::Terminated);
    // A shell exits with 137 if SIGKILL ended its child.
    let by_kill = matches!(exit.outcome, Outcome::Signaled { signal: 9 } | Outcome::Exited { code: 137 });
    let killed = exit.stop.is_none() && by_kill;
    let stopped = asked && !is_explained(pod);
    let unexplained = stopped || (killed && exit.out_of_memory.is_none() && pod.terminated().is_none());
    let latest = seen.saturating_add(EXPLANATION).unwrap_or(now);
    let again = now.saturating_add(LOOK_AGAIN).unwrap_or(now);
    (unexplained && now < latest).then(|| latest.min(again))
}

/// Whether anything says why the script was asked to stop.
#[must_use]
pub(crate) fn is_explained(pod: &PodView) -> bool {
    pod.deleting || pod.reason.is_some() || pod.stopped_by.is_some()
}

/// The verdict from the exit record of a pod that is gone.
#[must_use]
pub(crate) fn of_record(exit: &Exit, required: &[String], asked: Asked) -> Verdict {
    from_record(exit, &PodView { deleting: true, ..PodView::default() }, required, asked)
}

fn from_record(exit: &Exit, pod: &PodView, required: &[String], asked: Asked) -> Verdict {
    let by = || interruption(pod, asked);
    let (reason, message, exit_code) = match &exit.outcome {
        Outcome::NotStarted { problem, message } => (not_started(*problem, || by().0), message.clone(), None),
        Outcome::Unknown { message } => (Reason::Unknown, message.clone(), None),
        Outcome::Exited { code } => {
            let code = i32::from(*code);
            let (reason, message) = ended(exit, pod, &format!("with exit code {code}"), code == 0, by);
            (reason, message, Some(code))
        }
        Outcome::Signaled { signal } => {
            let how = format!("by signal {signal}{}", signal_name(*signal));
            let (reason, message) = ended(exit, pod, &how, false, by);
            (reason, message, Some(128 + signal))
        }
    };
    let mut verdict = Verdict {
        reason,
        message: if exit_code.is_some() {
            format!("{message} after {}", duration(exit.millis))
        } else {
            message
        },
        exit_code,
        millis: exit_code.map(|_| exit.millis),
        outputs: exit.outputs.clone(),
        dropped: exit.outputs_dropped.clone(),
        unmasked: exit.unmasked.clone(),
        lost: None,
        hint: None,
        never_started: matches!(exit.outcome, Outcome::NotStarted { .. }),
        // The runner knows better than a table what is wrong.
        advised: matches!(
            exit.outcome,
            Outcome::NotStarted {
                problem: Problem::Input
                    | Problem::TooLong
                    | Problem::ScriptChanged
                    | Problem::WorkingDir
                    | Problem::InterpreterNotFound
                    | Problem::CommandNotFound,
                ..
            }
        ),
    };
    if verdict.succeeded() {
        let sealed = exit.sealed.as_ref().map_or(&[][..], |sealed| &sealed.names);
        require(&mut verdict, required, sealed, exit.outputs_unread.as_deref());
    }
    verdict
}

/// Turns a success into a failure if a required output is missing, or if outputs are required and their file
/// could not be read. Those of the names `sealed` are there, in a box.
fn require(verdict: &mut Verdict, required: &[String], sealed: &[String], unread: Option<&str>) {
    let there = |name: &String| verdict.outputs.contains_key(name) || sealed.contains(name);
    let missing: Vec<&str> = required.iter().filter(|name| !there(name)).map(String::as_str).collect();
    if let Some(why) = unread.filter(|_| !required.is_empty()) {
        verdict.reason = Reason::OutputsUnreadable;
        verdict.message = format!("{}, and the file of its outputs cannot be read: {why}", verdict.message);
        verdict.advised = true;
    } else if !missing.is_empty() {
        verdict.reason = Reason::OutputMissing;
        let dropped = &verdict.dropped[..verdict.dropped.len().min(DROPPED_IN_MESSAGE)];
        verdict.advised = !dropped.is_empty();
        let why =
            if dropped.is_empty() { String::new() } else { format!("; dropped: {}", dropped.join("; ")) };
        verdict.message =
            format!("{}, without the required output {}{why}", verdict.message, missing.join(", "));
    }
}

fn ended(
    exit: &Exit,
    pod: &PodView,
    how: &str,
    well: bool,
    by: impl FnOnce() -> (Reason, String),
) -> (Reason, String) {
    let Some(stop) = exit.stop else {
        let by_node = pod.terminated().is_some_and(|end| end.reason == "OOMKilled");
        let out_of_memory = by_node || exit.out_of_memory.is_some();
        let limit = exit.out_of_memory.and_then(|killed| killed.limit_bytes).map(limit_of_memory);
        let limit = limit.unwrap_or_default();
        let killed = if out_of_memory { killed_for_memory(exit, &limit) } else { String::new() };
        let and = if out_of_memory { ", and " } else { "" };
        return match exit.outcome {
            _ if well => (Reason::Succeeded, format!("{killed}{and}the script ended with exit code 0")),
            Outcome::Signaled { signal: 9 } if out_of_memory => (
                Reason::OutOfMemory,
                format!("the kernel killed the script because the container was out of memory{limit}"),
            ),
            Outcome::Signaled { .. } => {
                (Reason::ScriptKilled, format!("{killed}{and}the script was ended {how}"))
            }
            _ => (Reason::ScriptFailed, format!("{killed}{and}the script ended {how}")),
        };
    };
    let how = if stop.killed { "by SIGKILL once its grace period was over" } else { how };
    match stop.cause {
        StopCause::RunDeadline => (
            Reason::DeadlineExceeded,
            format!("the script was stopped at spec.runDeadlineSeconds and ended {how}"),
        ),
        StopCause::Terminated => {
            let (reason, why) = by();
            (reason, format!("the script was asked to stop, {why}, and ended {how}"))
        }
    }
}

fn killed_for_memory(exit: &Exit, limit: &str) -> String {
    let processes = match exit.out_of_memory.map_or(1, |killed| killed.kills) {
        1 => "a process".to_owned(),
        kills => format!("{kills} processes"),
    };
    format!("the kernel killed {processes} of the script's because the container was out of memory{limit}")
}

/// ` (its limit is 48Mi)`.
fn limit_of_memory(bytes: u64) -> String {
    let units = [(1 << 30, "Gi"), (1 << 20, "Mi"), (1 << 10, "Ki")];
    let (unit, name) =
        units.into_iter().find(|(unit, _)| bytes > 0 && bytes.is_multiple_of(*unit)).unwrap_or((1, ""));
    format!(" (its limit is {}{name})", bytes / unit)
}

/// Somebody's own words, as the end of a clause.
pub(crate) fn said(words: Option<&str>) -> String {
    // The kubelet ends some of its messages with a full stop and a blank.
    words.map(|words| format!(": {}", words.trim().trim_end_matches('.'))).unwrap_or_default()
}

/// Why a pod was stopped from outside. If the run is being cancelled, that is why, unless the node gives a
/// cause of its own.
fn interruption(pod: &PodView, asked: Asked) -> (Reason, String) {
    let words = said(pod.message.as_deref());
    match pod.reason.as_deref() {
        Some("Evicted") => (Reason::Evicted, format!("since the node evicted the pod{words}")),
        Some("NodeLost") => (Reason::NodeLost, format!("since the node was lost{words}")),
        _ if asked == Asked::ByCancel => (Reason::Cancelled, format!("since {BY_WHOM}")),
        Some("DeadlineExceeded") => {
            (Reason::DeadlineExceeded, "since the pod passed its activeDeadlineSeconds".into())
        }
        Some(other) if !pod.deleting => {
            (Reason::Evicted, format!("since the node ended the pod ({other}{words})"))
        }
        _ if pod.deleting && asked == Asked::BySpec => (
            Reason::PodDeleted,
            "since its pod was deleted: the spec had changed before the script was seen to start".into(),
        ),
        _ if pod.deleting => {
            (Reason::PodDeleted, format!("since the pod was deleted{}", said(pod.disruption.as_deref())))
        }
        _ => match &pod.stopped_by {
            Some(words) => (Reason::ScriptKilled, format!("by the kubelet ({words})")),
            None => (Reason::ScriptKilled, "by a signal that nothing explains".into()),
        },
    }
}

fn not_started(problem: Problem, stopped_by: impl FnOnce() -> Reason) -> Reason {
    match problem {
        Problem::Bundle => Reason::BundleRejected,
        Problem::Input | Problem::TooLong => Reason::InputInvalid,
        Problem::ScriptChanged => Reason::FrozenInputsChanged,
        Problem::WorkingDir => Reason::WorkingDirUnusable,
        Problem::InterpreterNotFound => Reason::InterpreterNotFound,
        Problem::CommandNotFound => Reason::CommandNotFound,
        Problem::NotExecutable => Reason::NotExecutable,
        Problem::Stopped => stopped_by(),
        Problem::Internal => Reason::RunnerFailed,
    }
}

/// The container runtime's words if it could not execute the runner. They are then the whole log. Nothing of
/// the image can have written them, because nothing of it ran.
fn never_executed(log: Option<&LogFact>) -> Option<&str> {
    let log = log.filter(|log| log.state != LogState::Collecting && log.start.is_none() && log.lines == 0)?;
    let words = log.first_foreign.as_deref().filter(|_| log.foreign == 1)?;
    words.strip_prefix("exec ")?.strip_prefix(place::RUNNER_DIR)?.strip_prefix('/')?;
    Some(words)
}

fn without_record(
    end: &Terminated,
    testimony: Testimony<'_>,
    pod: &PodView,
    log: Option<&LogFact>,
) -> Verdict {
    if let Some(words) = never_executed(log) {
        return Verdict::of(
            Reason::StartFailed,
            format!("the container runtime could not start the runner: {words}"),
        )
        .proven();
    }
    let message = |what: &str| {
        let disbelieved = match testimony {
            Testimony::Rejected(why) => format!("; its termination message does not count: {why}"),
            Testimony::Unproven => {
                "; its termination message does not count: the log that would prove that the \
                runner wrote it could not be read"
                    .to_owned()
            }
            Testimony::Believed(_) | Testimony::None => String::new(),
        };
        format!(
            "{what} (container: {}, exit code {}{disbelieved}{}{}{})",
            if end.reason.is_empty() { "no reason given" } else { &end.reason },
            end.exit_code,
            if pod.deleting { "; the pod was deleted" } else { "" },
            pod.reason.as_deref().map(|reason| format!("; pod: {reason}")).unwrap_or_default(),
            said(pod.message.as_deref()),
        )
    };
    // The kernel killed PID 1 itself. With another exit code it killed only a child of the runner.
    let mut verdict = if end.reason == "OOMKilled" && end.exit_code == KILLED {
        Verdict::of(
            Reason::OutOfMemory,
            message("the kernel ended the container because it was out of memory"),
        )
    } else {
        let began = has_begun(log);
        let what = if began {
            "the script was started, and nothing says how it ended"
        } else {
            "nothing says whether the script ran"
        };
        match pod.reason.as_deref() {
            Some("NodeLost") => Verdict::of(Reason::NodeLost, message(what)),
            // This claims no success: the script had no time to report.
            Some("Evicted") if began => Verdict::of(Reason::Evicted, message(what)),
            _ => Verdict::of(Reason::Unknown, message(what)),
        }
    };
    verdict.exit_code = None;
    verdict
}

/// A duration in the words of people.
fn duration(millis: u64) -> String {
    match millis {
        0..1_000 => format!("{millis} ms"),
        1_000..60_000 => format!("{}.{} s", millis / 1000, millis % 1000 / 100),
        60_000..3_600_000 => format!("{} min {} s", millis / 60_000, millis % 60_000 / 1000),
        _ => format!("{} h {} min", millis / 3_600_000, millis % 3_600_000 / 60_000),
    }
}

fn signal_name(signal: i32) -> String {
    let name = match signal {
        1 => "SIGHUP",
        2 => "SIGINT",
        3 => "SIGQUIT",
        4 => "SIGILL",
        6 => "SIGABRT",
        7 => "SIGBUS",
        8 => "SIGFPE",
        9 => "SIGKILL",
        11 => "SIGSEGV",
        13 => "SIGPIPE",
        14 => "SIGALRM",
        15 => "SIGTERM",
        _ => return String::new(),
    };
    format!(" ({name})")
}

#[cfg(test)]
mod tests {
    use super::duration;

    #[test]
    fn a_duration_reads_well() {
        assert_eq!(duration(26), "26 ms");
        assert_eq!(duration(1_550), "1.5 s");
        assert_eq!(duration(61_000), "1 min 1 s");
        assert_eq!(duration(3_660_000), "1 h 1 min");
    }
}
