//! Makes a status smaller, step by step, if the API server refuses it for its size. Pure. No verdict is lost
//! because of what came with it.
//!
//! An object has at most 1.5 MiB in etcd. The author's part of it is spec, labels and annotations. The steps
//! leave out what came with the run. They keep what decides whether a script starts again, which run has a
//! lock, and which pod belongs to which run.

use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Condition, jiff::Timestamp};

use super::status::with_condition;
use crate::{
    api::{DeploymentActionStatus, condition::ConditionType, history::RunOutcome},
    record::outcome::truncate,
};

/// The longest message of `Stalled` in the smallest status, in bytes. Most other conditions keep only their
/// reasons.
const SHORT_MESSAGE_BYTES: usize = 64;
/// The message of `Finished` in the smallest status.
const LEFT_OUT: &str = "there was no room for more of the status";

/// How much is left out of a status. Each step also leaves out what the step before it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Without {
    /// Outputs, and the text of the log: all that comes from the script.
    Content,
    /// Earlier runs and attempts.
    History,
    /// Everything that no decision needs.
    Details,
}

impl Without {
    /// All steps. The first one leaves out least.
    pub(crate) const STEPS: [Self; 3] = [Self::Content, Self::History, Self::Details];

    /// Names what is left out, for people.
    #[must_use]
    pub(crate) const fn words(self) -> &'static str {
        match self {
            Self::Content => "outputs and log",
            Self::History => "outputs, log and history",
            Self::Details => "all but the verdict",
        }
    }

    /// `status` with that much left out. `why` is the API server's answer.
    #[must_use]
    pub(crate) fn of(
        self,
        status: &DeploymentActionStatus,
        why: &str,
        now: Timestamp,
    ) -> DeploymentActionStatus {
        let mut smaller = status.clone();
        content(&mut smaller);
        if self != Self::Content {
            history(&mut smaller);
        }
        if self == Self::Details {
            details(&mut smaller);
        }
        // A run that is under way has reported nothing yet. The next look would also remove such a condition
        // again, without end.
        if self == Self::Details || !tells_of_an_end(status) {
            return smaller;
        }
        let kind = ConditionType::OutputsLost;
        smaller.conditions.retain(|condition| condition.type_ != kind.as_str());
        let refused = if self == Self::Content { "outputs and log" } else { "its history" };
        with_condition(
            &smaller,
            now,
            kind,
            &format!("the API server refused the status with {refused}: {why}"),
        )
    }
}

/// Whether the conditions are those of a run that has ended, and not of one that is held back.
fn tells_of_an_end(status: &DeploymentActionStatus) -> bool {
    status.conditions().is_true(ConditionType::Finished)
}

fn content(status: &mut DeploymentActionStatus) {
    status.outputs.clear();
    if let Some(log) = &mut status.log {
        log.tail.clear();
        log.missing.clear();
    }
}

fn history(status: &mut DeploymentActionStatus) {
    // The latest run's entry in the history says that it has ended, whatever else is left out.
    let latest = status.run.as_ref().map(|run| run.number);
    status.history.retain(|past| Some(past.number) >= latest);
    for past in &mut status.history {
        (past.image, past.packages, past.stored) = (None, Vec::new(), None);
    }
    if let Some(run) = &mut status.run {
        run.attempts.drain(..run.attempts.len().saturating_sub(1));
    }
}

fn details(status: &mut DeploymentActionStatus) {
    let ended = tells_of_an_end(status);
    let Some(run) = status.run.as_mut().filter(|run| run.finished_at.is_some()) else {
        // A run under way keeps what is frozen, because it binds later attempts.
        status.log = None;
        return;
    };
    run.required_outputs.clear();
    if let Some(secret) = &mut status.outputs_secret_ref {
        secret.keys.clear();
    }
    run.attempts.clear();
    // Without a launcher, nobody knows which process created the pod. The pod is then released a little
    // later.
    (run.launcher, run.duration_seconds) = (None, None);
    if status.history.iter().all(|past| past.outcome != RunOutcome::Unknown) {
        // Its script runs no more, so nobody asks for its deadlines.
        run.deadlines = None;
    }
    for past in &mut status.history {
        (past.started_at, past.finished_at) = (None, None);
    }
    (status.image, status.template, status.packages) = (None, None, Vec::new());
    if !ended {
        return;
    }
    let kept = [
        ConditionType::Ready,
        ConditionType::Succeeded,
        ConditionType::Finished,
        ConditionType::Stalled,
        ConditionType::VerdictDisputed,
        // Nothing else says that they are still to be kept.
        ConditionType::OutputsPending,
    ];
    // Later looks compare these conditions, so they stay as they are.
    let compared =
        [ConditionType::RequestIgnored, ConditionType::TemplateOutdated, ConditionType::SourceOutdated]
            .map(ConditionType::as_str);
    let is = |condition: &Condition, kind: ConditionType| condition.type_ == kind.as_str();
    status.conditions.retain(|condition| {
        kept.iter().any(|kind| is(condition, *kind)) || compared.contains(&condition.type_.as_str())
    });
    for condition in &mut status.conditions {
        if is(condition, ConditionType::Finished) {
            LEFT_OUT.clone_into(&mut condition.message);
        } else if is(condition, ConditionType::Stalled) {
            truncate(&mut condition.message, SHORT_MESSAGE_BYTES);
        } else if !compared.contains(&condition.type_.as_str()) {
            condition.message.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    use super::*;
    use crate::{
        api::{
            Reason,
            history::{AttemptStatus, MAX_ATTEMPTS, MAX_HISTORY, PastPackage, PastRun},
            packages::{MAX_PACKAGES, PackageKind},
            status::{Deadlines, ImageStatus, Launcher, LockStatus, LogState, RunStatus, TemplateStatus},
        },
        operator::{
            lifecycle::{
                facts::LogFact,
                requests::Requests,
                status::{progress, terminal},
                verdict::Verdict,
            },
            spec::size::MAX_SPEC_BYTES,
            testing::objects::{self, PROCESS},
        },
        registry::reference,
    };

    fn long(bytes: usize) -> String {
        "x".repeat(bytes)
    }

    fn time() -> Time {
        Time(Timestamp::from_second(1_700_000_000).unwrap())
    }

    fn image() -> ImageStatus {
        ImageStatus {
            requested: "registry.example.com/tools:1".into(),
            resolved: format!("registry.example.com/tools@sha256:{}", "1".repeat(64)),
            platform_digest: Some(format!("sha256:{}", "2".repeat(64))),
            running: Some(format!("registry.example.com/tools@sha256:{}", "1".repeat(64))),
            ..ImageStatus::default()
        }
    }

    /// A run with a lock whose script has begun.
    fn run() -> RunStatus {
        RunStatus {
            number: 12,
            id: "5f3c9a1b-12".into(),
            generation: 3,
            attempt: 1,
            run_token: Some("release-57".into()),
            spec_hash: format!("v1:{}", "a".repeat(64)),
            bundle_sha256: Some("b".repeat(64)),
            deadlines: Some(Deadlines { pending_seconds: 600, run_seconds: 3600, grace_seconds: 30 }),
            pod_name: Some("deploy-5f3c9a1b-12-1".into()),
            pod_uid: Some(objects::UID.into()),
            node_name: Some("node-1".into()),
            launcher: Some(Launcher::first(PROCESS)),
            lock: Some(LockStatus {
                name: "prod".into(),
                ticket: "100".into(),
                acquired_at: Some(time()),
                ..LockStatus::default()
            }),
            requested_at: Some(time()),
            started_at: Some(time()),
            ..RunStatus::default()
        }
    }

    /// The largest possible status of a verdict.
    fn largest() -> DeploymentActionStatus {
        let mut action = objects::action();
        let name = long(reference::MAX_LENGTH);
        let packages: Vec<_> = (0..MAX_PACKAGES)
            .map(|number| PastPackage { name: format!("p{number}"), resolved: name.clone() })
            .collect();
        let past = |number| PastRun {
            number,
            image: Some(name.clone()),
            packages: packages.clone(),
            ..PastRun::default()
        };
        let before = action.status.get_or_insert_default();
        before.history = (0..u32::try_from(MAX_HISTORY).unwrap()).map(past).collect();
        before.template = Some(TemplateStatus { name: long(253), ..TemplateStatus::default() });
        before.packages = (0..MAX_PACKAGES)
            .map(|number| objects::package(&format!("p{number}"), PackageKind::Image))
            .collect();
        before.run = Some(run());
        let mut run = run();
        run.attempts = (0..u32::try_from(MAX_ATTEMPTS - 1).unwrap())
            .map(|attempt| AttemptStatus {
                attempt: attempt + 100,
                image: Some(name.clone()),
                ..AttemptStatus::default()
            })
            .collect();
        run.required_outputs = (0..64).map(|_| long(63)).collect();
        let mut verdict = Verdict::of(Reason::ScriptFailed, long(5000));
        verdict.outputs = (0..4).map(|name| (format!("o{name}"), long(32 * 1024))).collect();
        verdict.dropped = (0..100).map(|_| long(100)).collect();
        let log = LogFact {
            tail: long(16 * 1024),
            missing: (0..20).map(|_| long(200)).collect(),
            state: LogState::Complete,
            ..LogFact::default()
        };
        let now = Timestamp::from_second(1_700_000_100).unwrap();
        terminal(&Requests::of(&action), now, &verdict, run, Some(image()), Some(&log))
    }

    fn bytes(status: &DeploymentActionStatus) -> usize {
        serde_json::to_vec(status).unwrap().len()
    }

    fn steps(status: &DeploymentActionStatus) -> [DeploymentActionStatus; 3] {
        Without::STEPS.map(|step| step.of(status, "too large", Timestamp::UNIX_EPOCH))
    }

    #[test]
    fn each_step_leaves_more_out_and_the_last_one_takes_no_more_than_the_status_of_the_run_did() {
        let status = largest();
        let [content, history, details] = steps(&status);
        let sizes = [&status, &content, &history, &details].map(bytes);
        assert!(sizes.is_sorted_by(|larger, smaller| larger > smaller), "{sizes:?}");
        let action = objects::action();
        let running = progress(
            &Requests::of(&action),
            Timestamp::UNIX_EPOCH,
            Reason::Running,
            "the script is running",
            run(),
            Some(image()),
            None,
        );
        // The author may have filled the object with something else since then.
        for verdict in [
            Verdict::of(Reason::Succeeded, "the script ended with exit code 0 after 12 s"),
            Verdict::of(Reason::ScriptFailed, long(5000)),
            Verdict::of(Reason::Unknown, long(5000)),
        ] {
            let ended =
                terminal(&Requests::of(&action), Timestamp::UNIX_EPOCH, &verdict, run(), Some(image()), None);
            let [_, _, least] = steps(&ended);
            let unknown = verdict.reason == Reason::Unknown;
            assert_eq!(least.run.as_ref().unwrap().deadlines.is_some(), unknown, "its clocks are asked");
            assert!(bytes(&least) <= bytes(&running), "{} and {}", bytes(&least), bytes(&running));
        }
        assert!(bytes(&details) < 2048, "{}", bytes(&details));
    }

    #[test]
    fn the_largest_of_everything_fits_into_what_etcd_takes() {
        const ETCD: usize = 1_536 << 10;
        // A quote or line end in an annotation is stored as two characters.
        let annotations = 2 * (256 << 10);
        let rest = 128 << 10;
        let all = MAX_SPEC_BYTES + annotations + rest + bytes(&largest());
        assert!(all < ETCD * 9 / 10, "{all}");
    }

    #[test]
    fn what_decides_what_happens_next_is_in_each_of_them() {
        let status = largest();
        for smaller in steps(&status) {
            let (before, after) = (status.run.as_ref().unwrap(), smaller.run.as_ref().unwrap());
            let kept = |run: &RunStatus| RunStatus {
                attempts: Vec::new(),
                required_outputs: Vec::new(),
                launcher: None,
                deadlines: None,
                duration_seconds: None,
                ..run.clone()
            };
            assert_eq!(kept(after), kept(before));
            let launcher = after.launcher.as_ref();
            assert!(launcher.is_none() || launcher == before.launcher.as_ref());
            let past = |status: &DeploymentActionStatus| {
                let mut all = status.history.iter().filter(|past| past.number == 12);
                all.next().map(|past| (past.outcome, past.reason.clone())).unwrap()
            };
            assert_eq!(past(&smaller), past(&status));
            assert_eq!(smaller.phase, status.phase);
            assert_eq!(smaller.last_handled_rerun, status.last_handled_rerun);
            for kind in [
                ConditionType::Ready,
                ConditionType::Succeeded,
                ConditionType::Finished,
                ConditionType::Stalled,
            ] {
                let of = |status: &DeploymentActionStatus| {
                    let condition = status.conditions().get(kind).unwrap();
                    (condition.status.clone(), condition.reason.clone())
                };
                assert_eq!(of(&smaller), of(&status));
            }
            let finished = smaller.conditions().get(ConditionType::Finished).unwrap();
            let told =
                smaller.conditions().is_true(ConditionType::OutputsLost) || finished.message == LEFT_OUT;
            assert!(told, "{smaller:?}");
            assert!(smaller.outputs.is_empty() && smaller.log.is_some_and(|log| log.tail.is_empty()));
        }
    }

    #[test]
    fn what_binds_the_attempts_to_come_is_in_each_status_of_a_run_that_is_under_way() {
        let log = LogFact { tail: long(9000), ..LogFact::default() };
        let status = progress(
            &Requests::of(&objects::action()),
            Timestamp::UNIX_EPOCH,
            Reason::Running,
            &long(1000),
            run(),
            Some(image()),
            Some(&log),
        );
        for smaller in steps(&status) {
            // The next look only wants to write the log, and does so every few seconds at most.
            let log = smaller.log.clone();
            assert_eq!(DeploymentActionStatus { log: status.log.clone(), ..smaller }, status);
            assert!(log.is_none_or(|log| log.tail.is_empty()));
        }
    }
}
