//! What is known of one action at one moment: all that `decide` looks at.

use k8s_openapi::jiff::Timestamp;

use super::{cause::Cause, lock_facts::LockFact, requests::Requests};
use crate::{
    api::{DeploymentAction, Reason, packages::PackageStatus, status::LogState},
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
};

/// What is known of one action.
#[derive(Debug, Clone)]
pub struct Facts<'a> {
    /// This process of the operator, as `status.run.launcher` names it.
    pub process: &'a str,
    /// The action, with the latest status that is known.
    pub action: &'a DeploymentAction,
    /// What its annotations ask for.
    pub requests: Requests<'a>,
    /// Its spec, checked.
    pub spec: &'a Result<Checked, Blocked>,
    /// The template that it names, as it is now.
    pub template: Option<&'a Lookup>,
    /// The `ConfigMap` with the latest run's script, as it is known.
    pub source: Source,
    /// What resolving the image gave in this pass, where it was tried.
    pub resolution: Option<Resolution>,
    /// The pod that resolves the image of the current run.
    pub resolver: Option<Resolver>,
    /// Why nothing that names anything may start: the `use` policy is missing or altered.
    pub policy_missing: Option<String>,
    /// What the `ActionPolicy` objects say of what would be executed.
    pub standing: Standing,
    /// Whether a node can give a pod a user namespace. `None` where the nodes are not known.
    pub user_namespaces: Option<bool>,
    /// The pod under the name of the current attempt.
    pub pod: PodFact,
    /// Pods of earlier runs and attempts; looked for only where no run is under way, or the action is
    /// being deleted.
    pub older: Vec<PodView>,
    /// Whether those are all that the API server had in this pass, and not what a cache has.
    pub all_pods: bool,
    /// Pods of an action that had the same name and another UID, whose script may still run; looked for
    /// only where the run has no pod yet.
    pub previous: Vec<PodView>,
    /// What is known of creations of the current attempt's pod.
    pub creation: Creation,
    /// Before this, nothing that failed is tried again.
    pub not_before: Option<Timestamp>,
    /// What the collector has read of the current pod's log; `None` where it does not follow it.
    pub log: Option<LogFact>,
    /// Why the pod does not start.
    pub cause: Option<Cause>,
    /// Whether the node of the pod, or of the one that the latest run had, reports. `None` where it is not
    /// known.
    pub node: Option<NodeState>,
    /// Whether enough time has passed since the last status that only told of progress.
    pub progress_due: bool,
    /// What is known of the lock that the action names, or its run has.
    pub lock: LockFact,
}

/// The `ConfigMap` with a script, as it was when it was looked at last.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Source {
    /// No `ConfigMap` with such a key exists, or none is named.
    #[default]
    None,
    /// It was not looked at yet.
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
    /// It does.
    Ready,
    /// It does not.
    Silent,
    /// It does not, and the taint [`OUT_OF_SERVICE`] says that it is off: nothing runs on it any more.
    OutOfService,
    /// There is no such node any more. That proves nothing of what ran on it.
    Absent,
}

/// What somebody puts on a node that is off for certain (KEP-2268): Kubernetes then detaches its volumes
/// and deletes its pods by force.
pub const OUT_OF_SERVICE: &str = "node.kubernetes.io/out-of-service";

/// What resolving an image, and a script from a `ConfigMap`, gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resolution {
    /// It is pinned.
    Resolved {
        /// `repository@digest`.
        pinned: String,
        /// Digest of the platform's manifest, where the registry told it.
        platform_digest: Option<String>,
        /// Digest of the config, where the registry told it.
        config_digest: Option<String>,
        /// The user that the image asks for.
        user: ImageUser,
        /// The packages, pinned.
        packages: Vec<PackageStatus>,
        /// SHA-256 of the script, where it comes from a `ConfigMap`.
        script_sha256: Option<String>,
    },
    /// Only a node can find out what the tag means.
    NeedsPod {
        /// Why the operator cannot: the reason where no node can either.
        reason: Reason,
        /// The registry's own words.
        message: String,
        /// As of [`Self::Resolved`].
        packages: Vec<PackageStatus>,
        /// As of [`Self::Resolved`].
        script_sha256: Option<String>,
    },
    /// There is no answer yet.
    UnderWay {
        /// Until then nothing is told of it.
        quiet_until: Timestamp,
        /// What is told from then on.
        reason: Reason,
        /// What it waits for, or what came of the try before.
        message: String,
        /// The reason where none has come when the pending deadline passes.
        at_the_end: Reason,
    },
    /// It cannot be, and will not be by waiting.
    Refused {
        /// Why.
        reason: Reason,
        /// The registry's own words.
        message: String,
    },
    /// It could not be this time.
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
    /// What it shows.
    pub pod: PodView,
    /// The image that it was made for.
    pub image: String,
}

/// The pod under the name of the current attempt.
#[derive(Debug, Clone, PartialEq)]
pub enum PodFact {
    /// The cache has none. This proves nothing.
    NotSeen,
    /// The API server said just now that there is none.
    Absent,
    /// There is one.
    Present(Box<PodView>),
}

impl Facts<'_> {
    /// Whether the node of the pod, which is being deleted or is gone, is out of service: nothing of it runs
    /// any more.
    #[must_use]
    pub fn is_off(&self) -> bool {
        self.pod.view().map_or(self.node == Some(NodeState::OutOfService), |pod| pod.off)
    }
}

impl PodFact {
    /// The pod, where there is one.
    #[must_use]
    pub fn view(&self) -> Option<&PodView> {
        match self {
            Self::Present(view) => Some(view),
            Self::NotSeen | Self::Absent => None,
        }
    }
}

/// What is known of creations of the current attempt's pod.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Creation {
    /// Whether some creation may have been sent whose answer is not known: by this process, or by
    /// another one.
    pub unanswered: bool,
    /// The latest refusal.
    pub refusal: Option<Refusal>,
    /// The latest error of a creation that went unanswered.
    pub error: Option<String>,
    /// How often the tombstone was refused for what may pass.
    pub tombstone_tries: u32,
    /// Why the tombstone was refused for good.
    pub tombstone_refused: Option<String>,
}

/// So often is a tombstone tried that was refused for what may pass, such as a full quota: about a
/// minute. Without it nobody can say whether the script runs.
const TOMBSTONE_TRIES: u32 = 6;

impl Creation {
    /// Takes in that the tombstone was refused. `true`: it is to be tried again, after a pause.
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
    /// Whether it may be accepted later, as once a quota has room.
    pub may_pass: bool,
    /// The server's own words.
    pub message: String,
}

/// What the collector has read.
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
    /// Whether more is to come.
    pub state: LogState,
    /// Lines so far.
    pub lines: u64,
    /// Bytes so far.
    pub bytes: u64,
    /// SHA-256 of what was read.
    pub sha256: String,
    /// The last lines.
    pub tail: String,
    /// Lines that the runner did not write.
    pub foreign: u64,
    /// The first of them.
    pub first_foreign: Option<String>,
    /// What is missing.
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
