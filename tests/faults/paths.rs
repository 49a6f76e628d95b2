//! The ways that an action's life can go. A new one is a variant, its spec, what is done meanwhile, and
//! what comes of it where nothing goes wrong.

use std::{fmt, time::Duration};

use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, Patch, PatchParams, PostParams},
};
use longshore::api::{ANNOTATION_CANCEL, ANNOTATION_RERUN, DeploymentAction, Phase, Reason};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::{
    hostile::Temper,
    scene::{Scene, is_finished},
};
use crate::node::MARK;

/// By digest, so that no registry has to have it.
const IMAGE: &str =
    "10.77.0.2:5000/faults@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
/// How long a script may run, in seconds, but where that is the point.
pub(crate) const RUN_SECONDS: i64 = 20;
/// A pending deadline that is to pass, in seconds.
const SHORT_SECONDS: i64 = 3;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Path {
    Success,
    Failure,
    /// The first attempt fails, the second one does not.
    RetryFailed,
    /// The first attempt never starts.
    RetryNeverStarted,
    CancelPending,
    CancelRunning,
    /// The spec changes while its pod waits for a node that there is not.
    Correct,
    TimeoutPending,
    TimeoutRunning,
    Rerun,
    /// The spec changes while a script runs.
    Change,
    /// The action is deleted while its script runs.
    Deletion,
    /// It is deleted while its pod is being created.
    DeletionEarly,
    /// It is deleted while its script runs, and applied again at once.
    Again,
    Suspended,
    /// The status is emptied while a script runs.
    Restored,
    /// Somebody deletes the pod of a run that has ended.
    PodRemoved,
    /// Another action's script runs under the same lock.
    Lock,
}

/// What comes of a path on which nothing goes wrong.
#[derive(Debug, Clone)]
pub(crate) struct Expected {
    /// How many runs there are; none where the action is gone.
    pub(crate) runs: Option<u32>,
    /// Why the last one ended as it did.
    pub(crate) reason: Reason,
    /// How many attempts start.
    pub(crate) starts: usize,
}

impl Path {
    pub(crate) const ALL: [Self; 18] = [
        Self::Success,
        Self::Failure,
        Self::RetryFailed,
        Self::RetryNeverStarted,
        Self::CancelPending,
        Self::CancelRunning,
        Self::Correct,
        Self::TimeoutPending,
        Self::TimeoutRunning,
        Self::Rerun,
        Self::Change,
        Self::Deletion,
        Self::DeletionEarly,
        Self::Again,
        Self::Suspended,
        Self::Restored,
        Self::PodRemoved,
        Self::Lock,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "failure",
            Self::RetryFailed => "retry-failed",
            Self::RetryNeverStarted => "retry-never-started",
            Self::CancelPending => "cancel-pending",
            Self::CancelRunning => "cancel-running",
            Self::Correct => "correct",
            Self::TimeoutPending => "timeout-pending",
            Self::TimeoutRunning => "timeout-running",
            Self::Rerun => "rerun",
            Self::Change => "change",
            Self::Deletion => "deletion",
            Self::DeletionEarly => "deletion-early",
            Self::Again => "again",
            Self::Suspended => "suspended",
            Self::Restored => "restored",
            Self::PodRemoved => "pod-removed",
            Self::Lock => "lock",
        }
    }

    pub(crate) fn expected(self) -> Expected {
        let of = |runs, reason, starts| Expected { runs: Some(runs), reason, starts };
        match self {
            Self::Success | Self::Suspended | Self::Restored | Self::PodRemoved => {
                of(1, Reason::Succeeded, 1)
            }
            Self::Failure => of(1, Reason::ScriptFailed, 1),
            // The attempts of one; of two, the old one's and the new one's; of two beside each other.
            Self::RetryFailed | Self::Again | Self::Lock => of(1, Reason::Succeeded, 2),
            Self::RetryNeverStarted => of(1, Reason::Succeeded, 1),
            Self::CancelPending => of(1, Reason::Cancelled, 0),
            Self::CancelRunning => of(1, Reason::Cancelled, 1),
            Self::TimeoutPending => of(1, Reason::PendingDeadlineExceeded, 0),
            Self::TimeoutRunning => of(1, Reason::DeadlineExceeded, 1),
            Self::Rerun | Self::Change => of(2, Reason::Succeeded, 2),
            Self::Correct => of(2, Reason::Succeeded, 1),
            Self::Deletion => Expected { runs: None, reason: Reason::Succeeded, starts: 1 },
            Self::DeletionEarly => Expected { runs: None, reason: Reason::Succeeded, starts: 0 },
        }
    }

    /// Whether it is chance how often the script starts although nothing goes wrong.
    pub(crate) fn may_start(self) -> bool {
        self == Self::DeletionEarly
    }

    /// How many attempts a run may have.
    fn attempts(self) -> i64 {
        if matches!(self, Self::RetryFailed | Self::RetryNeverStarted) { 2 } else { 1 }
    }

    fn runs_at_most(self) -> i64 {
        self.expected().runs.unwrap_or(1).into()
    }

    /// The longest wait, in seconds, that the rules allow once nothing goes wrong any more: the pending
    /// deadline, script, grace and pause of each attempt, and for the verdict the log of the ended container.
    pub(crate) fn longest_seconds(self, scene: &Scene) -> i64 {
        let (grace, pause, log) = (1, 2, 20);
        let pending = self.pending_seconds(scene);
        // Two after each other; one that waits looks after 30 s where no event tells it more.
        let (others, look) = if self == Self::Lock { (2, 30) } else { (1, 0) };
        let attempts = others * self.runs_at_most() * self.attempts();
        // One that attacks its runner takes a moment more.
        let attack = if scene.temper == Temper::Honest { 0 } else { 2 };
        attempts * (pending + self.script_seconds() + attack + grace + pause) + log + look
    }

    fn pending_seconds(self, scene: &Scene) -> i64 {
        match self {
            Self::TimeoutPending => SHORT_SECONDS,
            // The first attempt's passes, and the second one's must not.
            Self::RetryNeverStarted => SHORT_SECONDS.max(scene.pending_seconds / 2),
            _ => scene.pending_seconds,
        }
    }

    fn run_seconds(self) -> i64 {
        if self == Self::TimeoutRunning { 1 } else { RUN_SECONDS }
    }

    /// How long a script runs, in seconds; of one that is asked to stop, until it is.
    fn script_seconds(self) -> i64 {
        match self {
            Self::CancelRunning | Self::Deletion | Self::Again => 3,
            Self::TimeoutRunning | Self::Change | Self::Restored | Self::Lock => 1,
            _ => 0,
        }
    }

    fn body(self) -> &'static str {
        match self {
            Self::Failure => "code=3",
            Self::RetryFailed => "if [ \"$LONGSHORE_ATTEMPT\" = 1 ]; then code=75; fi",
            // Long enough for what is done meanwhile, and no longer.
            Self::Change | Self::Restored => "sleep 1 & wait",
            Self::CancelRunning | Self::TimeoutRunning | Self::Deletion => "sleep 15 & wait",
            // The old one is still there when the new one is applied.
            Self::Again => "if [ \"$ROUND\" = 1 ]; then sleep 15 & wait; fi",
            // The second one is there before the first one ends.
            Self::Lock => "if [ \"$ROUND\" = 1 ]; then sleep 1 & wait; fi",
            _ => "echo \"token=$LONGSHORE_RUN_ID\" >>\"$LONGSHORE_OUTPUT\"",
        }
    }

    fn spec(self, scene: &Scene, round: u32) -> Value {
        let waits = matches!(self, Self::CancelPending | Self::TimeoutPending);
        let node = if waits {
            scene.place.slow_node.as_str()
        } else if self == Self::Correct && round == 1 {
            "nowhere"
        } else {
            scene.node()
        };
        let mut spec = json!({
            "image": IMAGE,
            "script": {"inline": scene.counter.script(&scene.temper.prelude(), self.body())},
            "variables": [{"name": "ROUND", "value": round.to_string()}],
            "outputs": [{"name": "token"}],
            "pendingDeadlineSeconds": self.pending_seconds(scene),
            "runDeadlineSeconds": self.run_seconds(),
            "terminationGracePeriodSeconds": 1,
            "podTemplate": {
                "nodeSelector": {"kubernetes.io/hostname": node},
                "tolerations": [{"key": MARK, "operator": "Exists"}],
            },
        });
        match self {
            Self::RetryFailed => {
                spec["retry"] = json!({"limit": 1, "causes": ["ScriptFailed"], "backoffSeconds": 1});
            }
            Self::RetryNeverStarted => {
                spec["retry"] = json!({"limit": 1, "causes": ["NeverStarted"], "backoffSeconds": 1});
                let late = json!({"configMapKeyRef": {"name": scene.name, "key": "late"}});
                spec["variables"]
                    .as_array_mut()
                    .expect("a list")
                    .push(json!({"name": "LATE", "valueFrom": late}));
            }
            Self::Suspended => spec["suspend"] = json!(true),
            Self::Lock => spec["lock"] = json!({"name": scene.name}),
            _ => {}
        }
        if scene.temper == Temper::Denier && spec["retry"].is_null() {
            spec["retry"] = json!({"limit": 1, "causes": ["NeverStarted"], "backoffSeconds": 1});
        }
        spec
    }

    /// Does what people do on this path.
    pub(crate) async fn play(self, scene: &Scene) {
        if self == Self::Lock {
            scene.apply_other(&self.spec(scene, 1)).await;
            scene.until_started(1).await;
            scene.apply(&self.spec(scene, 2)).await;
            return;
        }
        scene.apply(&self.spec(scene, 1)).await;
        match self {
            Self::Success
            | Self::Failure
            | Self::RetryFailed
            | Self::TimeoutPending
            | Self::TimeoutRunning
            | Self::Lock => {}
            Self::RetryNeverStarted => {
                scene.until(|action| has_ended(action, 1)).await;
                let map = json!({"metadata": {"name": scene.name}, "data": {"late": "here"}});
                let maps: Api<ConfigMap> =
                    Api::namespaced(scene.place.client.clone(), &scene.place.namespace);
                let map = serde_json::from_value(map).expect("a ConfigMap");
                maps.create(&PostParams::default(), &map).await.expect("creating a ConfigMap");
            }
            Self::CancelPending => {
                scene.until(|action| run(action).is_some_and(|run| run.pod_name.is_some())).await;
                cancel(scene).await;
            }
            Self::CancelRunning => {
                scene.until_started(1).await;
                cancel(scene).await;
            }
            Self::Correct => self.correct(scene).await,
            Self::Rerun => {
                // A token that is there when the action is first seen asks for nothing.
                scene.another(scene.until(is_finished).await);
                scene.patch(json!({"metadata": {"annotations": {ANNOTATION_RERUN: "again"}}})).await;
            }
            Self::Change => {
                scene.until_started(1).await;
                // Before, the first run is that of the changed spec.
                let ended = scene.action().is_some_and(|action| is_finished(&action));
                scene.another(ended || scene.counter.started() > 0);
                let changed = self.spec(scene, 2);
                scene.patch(json!({"spec": {"variables": changed["variables"]}})).await;
            }
            Self::Deletion => {
                scene.until_started(1).await;
                scene.delete().await;
            }
            Self::DeletionEarly => {
                scene.until(|action| run(action).is_some_and(|run| run.bundle_sha256.is_some())).await;
                scene.delete().await;
            }
            Self::Again => {
                scene.until_started(1).await;
                scene.delete().await;
                scene.apply(&self.spec(scene, 2)).await;
            }
            Self::Suspended => {
                let held = |action: &DeploymentAction| {
                    let phase = action.status.as_ref().and_then(|status| status.phase);
                    phase == Some(Phase::Suspended)
                };
                scene.until(held).await;
                sleep(Duration::from_millis(300)).await;
                if scene.counter.started() > 0 {
                    scene.wrong.lock().unwrap().push("a suspended action has started".into());
                }
                scene.patch(json!({"spec": {"suspend": false}})).await;
            }
            Self::Restored => {
                scene.until_started(1).await;
                scene.empty_status().await;
            }
            Self::PodRemoved => {
                scene.until(is_finished).await;
                let released = || scene.pods().iter().all(|pod| pod.finalizers().is_empty());
                // Somebody frees by hand what is held for longer. The exceptions need the hold: without it,
                // nothing would keep a creation that is on its way from starting the script.
                let soon = Instant::now() + Duration::from_secs(1);
                if !scene.place.seen.until(soon, released).await && scene.late_creations {
                    return;
                }
                for pod in scene.pods() {
                    let free = Patch::Merge(json!({"metadata": {"finalizers": null}}));
                    // It may be gone.
                    let _ = scene
                        .pods_api()
                        .patch_metadata(&pod.name_any(), &PatchParams::default(), &free)
                        .await;
                    let _ = scene.pods_api().delete(&pod.name_any(), &DeleteParams::default()).await;
                }
                scene.place.seen.until(scene.patience(), || scene.pods().is_empty()).await;
            }
        }
    }

    async fn correct(self, scene: &Scene) {
        let recorded = |action: &DeploymentAction| run(action).is_some_and(|run| run.pod_name.is_some());
        scene.until(recorded).await;
        // Before, the first run is that of the changed spec.
        scene.another(scene.action().is_some_and(|action| recorded(&action)));
        let changed = self.spec(scene, 2);
        let spec = json!({"variables": changed["variables"], "podTemplate": changed["podTemplate"]});
        scene.patch(json!({"spec": spec})).await;
    }
}

impl fmt::Display for Path {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(self.name())
    }
}

fn run(action: &DeploymentAction) -> Option<&longshore::api::status::RunStatus> {
    action.status.as_ref()?.run.as_ref()
}

/// Whether this attempt of the run has ended.
fn has_ended(action: &DeploymentAction, attempt: u32) -> bool {
    run(action).is_some_and(|run| run.attempts.iter().any(|ended| ended.attempt == attempt))
}

async fn cancel(scene: &Scene) {
    // Also where no status tells of the run yet: its id is known.
    let Some(uid) = scene.action().and_then(|action| action.uid()) else { return };
    let id = longshore::operator::pod::names::run_id(&uid, 1);
    scene.patch(json!({"metadata": {"annotations": {ANNOTATION_CANCEL: id}}})).await;
}
