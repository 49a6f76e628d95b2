//! Facts about one action at one moment: all that `decide` looks at.

use std::collections::BTreeMap;

use k8s_openapi::jiff::Timestamp;

use super::{cause::Cause, lock_facts::LockFact, requests::Requests};
use crate::{
    api::{
        DeploymentAction, Reason,
        packages::PackageStatus,
        status::{LogState, OutputsSecret, StoredLogStatus},
    },
    operator::{
        pod::view::PodView,
        spec::{
            expand::{Blocked, Lookup},
            policy::Standing,
            validate::Checked,
        },
    },
    record::outcome::{End, Exit, Start},
    registry::ImageUser,
    seal::Masters,
};

/// The facts about one action.
#[derive(Debug, Clone)]
pub struct Facts<'a> {
    /// This process of the operator, as `status.run.launcher` names it.
    pub process: &'a str,
    /// The action, with the latest known status.
    pub action: &'a DeploymentAction,
    /// Requests in its annotations.
    pub requests: Requests<'a>,
    /// Its spec, checked.
    pub spec: &'a Result<Checked, Blocked>,
    /// The template that it names, as it is now.
    pub template: Option<&'a Lookup>,
    /// The `ConfigMap` that the latest run's script came from, as far as it is known.
    pub source: Source,
    /// The result of resolving the image in this pass, if that was tried.
    pub resolution: Option<Resolution>,
    /// The pod that resolves the image of the current run.
    pub resolver: Option<Resolver>,
    /// Why no action that names anything may start: the `use` policy is missing or altered. `None` if it is
    /// in place.
    pub policy_missing: Option<String>,
    /// The word of the `ActionPolicy` objects on what would be executed.
    pub standing: Standing,
    /// Whether a node can give a pod a user namespace. `None` if the nodes are not known.
    pub user_namespaces: Option<bool>,
    /// The pod under the name of the current attempt.
    pub pod: PodFact,
    /// Pods of earlier runs and attempts. They are gathered only if no run is under way, or the action is
    /// being deleted.
    pub older: Vec<PodView>,
    /// Whether `older` has all pods that the API server had in this pass. If not, it has those of a cache.
    pub all_pods: bool,
    /// Pods of an earlier action with the same name and another UID, whose script may still run. They are
    /// gathered only if the run has no pod yet.
    pub previous: Vec<PodView>,
    /// Creations of the current attempt's pod.
    pub creation: Creation,
    /// Nothing that failed is tried again before this time.
    pub not_before: Option<Timestamp>,
    /// The current pod's log. `None` if nothing follows it.
    pub log: Option<LogFact>,
    /// Why the pod does not start.
    pub cause: Option<Cause>,
    /// Whether the node of the pod reports, or that of the latest run's pod. `None` if it is not known.
    pub node: Option<NodeState>,
    /// Whether enough time has passed since the last status that only reported progress.
    pub progress_due: bool,
    /// The lock that the action names or its run has.
    pub lock: LockFact,
    /// The keys for sensitive outputs. `None` until they were read.
    pub keys: Option<&'a Masters>,
    /// The Secret with the sensitive outputs of the current pod.
    pub secret: SecretFact,
    /// The archive. `None` if logs are not archived.
    pub archive: Option<Archiving>,
}

/// The action's logs that this process stores in the archive, by the pods' UIDs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Archiving(pub BTreeMap<String, Storing>);

/// The state of one log that is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Storing {
    /// The record of its attempt is missing yet.
    Open,
    /// It is being brought to its end.
    Finishing {
        /// Its folder in the archive.
        key: String,
        /// The latest error.
        problem: Option<String>,
    },
    /// All is done, or nothing more is tried.
    Ended(StoredLogStatus),
}

/// The Secret with the sensitive outputs of a pod, as far as this process knows it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SecretFact {
    /// The pod's UID.
    pub pod_uid: String,
    /// The Secret, once it was created.
    pub created: Option<OutputsSecret>,
    /// Why it was not created when that was last tried.
    pub refusal: Option<SecretRefusal>,
    /// It is not tried again before this time.
    pub not_before: Option<Timestamp>,
}

/// Why sensitive outputs are not in a Secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretRefusal {
    /// Whether a later try may succeed.
    pub may_pass: bool,
    /// The reason, for people.
    pub message: String,
}

/// A `ConfigMap` with a script, as the last look found it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Source {
    /// No `ConfigMap` has such a key, or the action names none.
    #[default]
    None,
    /// No look has happened yet.
    Unread,
    /// It holds this.
    Found {
        /// Its name.
        name: String,
        /// The key with the script.
        key: String,
        /// SHA-256 of the script.
        sha256: String,
        /// When the API server was asked for it.
        asked: Timestamp,
    },
}

/// Whether a node reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeState {
    /// It reports.
    Ready,
    /// It does not report.
    Silent,
    /// It does not report, and the taint [`OUT_OF_SERVICE`] says that it is off. Nothing runs on it any more.
    OutOfService,
    /// The node does not exist any more. This proves nothing about what ran on it.
    Absent,
}

/// The taint that somebody puts on a node that is certainly off (KEP-2268). Kubernetes then detaches its
/// volumes and deletes its pods by force.
pub const OUT_OF_SERVICE: &str = "node.kubernetes.io/out-of-service";

/// The result of resolving an image, and a script from a `ConfigMap`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resolution {
    /// It is pinned.
    Resolved {
        /// `repository@digest`.
        pinned: String,
        /// Digest of the platform's manifest, if the registry told it.
        platform_digest: Option<String>,
        /// Digest of the config, if the registry told it.
        config_digest: Option<String>,
        /// The user that the image asks for.
        user: ImageUser,
        /// The packages, pinned.
        packages: Vec<PackageStatus>,
        /// SHA-256 of the script, if it comes from a `ConfigMap`.
        script_sha256: Option<String>,
    },
    /// Only a node can find out what the tag means.
    NeedsPod {
        /// Why the operator cannot. It is the run's reason if no node can either.
        reason: Reason,
        /// The registry's own words.
        message: String,
        /// As in [`Self::Resolved`].
        packages: Vec<PackageStatus>,
        /// As in [`Self::Resolved`].
        script_sha256: Option<String>,
    },
    /// There is no answer yet.
    UnderWay {
        /// Until then the status says nothing about it.
        quiet_until: Timestamp,
        /// The reason that the status shows after that.
        reason: Reason,
        /// The thing that it waits for, or the result of the try before.
        message: String,
        /// The reason if no answer has come when the pending deadline passes.
        at_the_end: Reason,
    },
    /// It cannot be resolved, and waiting does not help.
    Refused {
        /// Why.
        reason: Reason,
        /// The registry's own words.
        message: String,
    },
    /// It could not be resolved this time.
    Failed {
        /// Why.
        reason: Reason,
        /// The registry's own words, or what is missing.
        message: String,
    },
}

/// A pod that resolves an image.
#[derive(Debug, Clone, PartialEq)]
pub struct Resolver {
    /// The pod.
    pub pod: PodView,
    /// The image that it should resolve.
    pub image: String,
}

/// The pod under the name of the current attempt.
#[derive(Debug, Clone, PartialEq)]
pub enum PodFact {
    /// The cache has no such pod. This proves nothing.
    NotSeen,
    /// The API server just said that there is no such pod.
    Absent,
    /// The pod exists.
    Present(Box<PodView>),
}

impl Facts<'_> {
    /// Whether the node of the pod is out of service, so that nothing of the pod runs. The pod is being
    /// deleted or gone.
    #[must_use]
    pub fn is_off(&self) -> bool {
        self.pod.view().map_or(self.node == Some(NodeState::OutOfService), |pod| pod.off)
    }
}

impl PodFact {
    /// The pod, if there is one.
    #[must_use]
    pub fn view(&self) -> Option<&PodView> {
        match self {
            Self::Present(view) => Some(view),
            Self::NotSeen | Self::Absent => None,
        }
    }
}

/// Creations of the current attempt's pod.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Creation {
    /// The UID of the attempt's pod, once this process has seen it. The status has it only when there is more
    /// to tell.
    pub pod_uid: Option<String>,
    /// Whether this process or another one may have sent a creation whose answer is not known.
    pub unanswered: bool,
    /// The latest refusal.
    pub refusal: Option<Refusal>,
    /// The latest error of a creation without an answer.
    pub error: Option<String>,
    /// How often the tombstone was refused for a cause that may pass.
    pub tombstone_tries: u32,
    /// Why the tombstone was refused for good, if it was.
    pub tombstone_refused: Option<String>,
}

/// How often the operator tries a tombstone again that was refused for a cause that may pass, such as a full
/// quota. It takes about a minute. Without a tombstone nobody can say whether the script runs.
const TOMBSTONE_TRIES: u32 = 6;

impl Creation {
    /// Records that the tombstone was refused. Returns whether to try again after a pause.
    pub fn refuse_tombstone(&mut self, refusal: &Refusal) -> bool {
        let again = refusal.may_pass && self.tombstone_tries < TOMBSTONE_TRIES;
        if again {
            self.tombstone_tries += 1;
        } else {
            self.tombstone_refused = Some(refusal.message.clone());
        }
        again
    }
}

/// Why the API server did not create the pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Why.
    pub reason: Reason,
    /// Whether a later try may be accepted, for example once a quota has room.
    pub may_pass: bool,
    /// The server's own words.
    pub message: String,
}

/// A pod's log, as far as it was read.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LogFact {
    /// The pod's UID.
    pub pod_uid: String,
    /// The start record.
    pub start: Option<Start>,
    /// The exit record, and when it was read.
    pub exit: Option<(Exit, Timestamp)>,
    /// The end record.
    pub end: Option<End>,
    /// When its latest frame was read.
    pub read_at: Option<Timestamp>,
    /// Whether more follows.
    pub state: LogState,
    /// Lines so far.
    pub lines: u64,
    /// Bytes so far.
    pub bytes: u64,
    /// SHA-256 of all that was read.
    pub sha256: String,
    /// The last lines.
    pub tail: String,
    /// The last lines of standard error, if it has a stream of its own.
    pub errors: String,
    /// Lines that the runner did not write.
    pub foreign: u64,
    /// The first of them.
    pub first_foreign: Option<String>,
    /// The parts that are missing, in words.
    pub missing: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tombstone_that_is_refused_for_what_may_pass_is_tried_again_and_not_without_end() {
        let refusal = |may_pass| Refusal { reason: Reason::QuotaExceeded, may_pass, message: "quota".into() };
        let mut creation = Creation::default();
        let tries = (0..100).take_while(|_| creation.refuse_tombstone(&refusal(true))).count();
        assert_eq!((tries, creation.tombstone_refused.as_deref()), (6, Some("quota")));
        let mut creation = Creation::default();
        assert!(!creation.refuse_tombstone(&refusal(false)));
        assert_eq!(creation.tombstone_refused.as_deref(), Some("quota"));
    }
}
