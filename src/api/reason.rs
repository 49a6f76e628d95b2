//! The closed list of reasons: why an action is in the state that it is in.
//!
//! Each is told once, in `reasons!` below. The type, its documentation and `docs/reference/reasons.md` follow from that.

use strum::{Display, EnumString, IntoStaticStr, VariantArray};

/// The class of a reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// A run is under way, or follows by itself.
    Progress,
    /// The action is as it should be.
    Success,
    /// The run failed. Nothing more happens by itself.
    Failure,
}

/// The facts about a reason.
struct Told {
    class: Class,
    when: &'static str,
    advice: &'static str,
}

/// Defines `Reason` from the table below: each reason's name, its class, when it is given, and what to do then.
macro_rules! reasons {
    ($($name:ident, $class:ident { when $when:literal, $(do $advice:literal,)? })*) => {
        /// Why an action is in its state.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Display, EnumString, IntoStaticStr, VariantArray)]
        #[allow(clippy::doc_markdown, reason = "the sentences are those of messages and tables too")]
        pub enum Reason {
            $(#[doc = $when] $name,)*
        }

        impl Reason {
            const fn told(self) -> Told {
                match self {
                    $(Self::$name => Told { class: Class::$class, when: $when, advice: concat!($($advice)?) },)*
                }
            }
        }
    };
}

reasons! {
    Resolving, Progress {
        when "The image's tag is being resolved to a digest.",
    }
    Launching, Progress {
        when "The run is recorded and its pod is being created.",
    }
    PodPending, Progress {
        when "The pod exists and its container has not started. The pod is being scheduled, its image pulled or its volumes mounted.",
    }
    Running, Progress {
        when "The script is running.",
    }
    Stopping, Progress {
        when "The run is being cancelled, or yields to a changed spec. Its script was asked to stop, or its pod is being deleted. The result appears when the script can no longer be running.",
    }
    Suspended, Progress {
        when "A run is asked for, and spec.suspend holds it back. `Reconciling` is not set.",
        do "Set spec.suspend to false to let it run.",
    }
    RetryPending, Progress {
        when "An attempt failed, and the run waits for the next one, as spec.retry says.",
    }
    Queued, Progress {
        when "The run waits for its lock, which another run holds or has asked for earlier. The message names that run and the place in the queue.",
        do "Nothing: the run begins by itself. To end it, set the annotation longshore.dev/cancel.",
    }
    Succeeded, Success {
        when "The script ended with exit code 0 and wrote every required output.",
    }
    NotRequested, Success {
        when "The run policy is Manual and no run has been asked for.",
        do "Set spec.runToken, or the annotation longshore.dev/rerun, to start a run.",
    }
    InvalidSpec, Failure {
        when "The spec cannot be executed although the schema allows it. The message names the field and the cause.",
        do "Correct the field that the message names and apply the action again.",
    }
    TemplateNotFound, Failure {
        when "The template that spec.templateRef names did not appear before the pending deadline (600 s).",
        do "Correct spec.templateRef, or create the template. Then set a new spec.runToken.",
    }
    TemplateInvalid, Failure {
        when "The template contradicts itself or cannot be executed. The message says what is wrong in it.",
        do "Correct the template as the message says, or ask its maintainer to. Then set a new spec.runToken.",
    }
    ParametersInvalid, Failure {
        when "The action's parameters do not fit its template. The message names each.",
        do "Correct spec.parameters as the message says and apply the action again.",
    }
    PackageNotAllowed, Failure {
        when "The action's packages do not fit its template: a version is out of range, a package is missing, or the template does not have it.",
        do "Correct spec.packages as the message says and apply the action again.",
    }
    PolicyMissing, Failure {
        when "The admission policy that keeps people from naming what they may not use is missing or altered. Actions that name anything do not start.",
        do "Restore the ValidatingAdmissionPolicies longshore-use, longshore-use-templates and longshore-use-cluster-templates and their bindings, for example by helm upgrade. Then set a new spec.runToken.",
    }
    OutputsKeyMissing, Failure {
        when "The action has sensitive outputs, and the operator has no key to seal them to.",
        do "Look at the Secret longshore-outputs-keys in the operator's namespace as the message says. Then set a new spec.runToken.",
    }
    PolicyViolated, Failure {
        when "An ActionPolicy of the namespace or of the cluster does not allow the action. Nothing was started.",
        do "Change the action as the message says. Or have the policy changed, and set a new spec.runToken.",
    }
    PolicyUnread, Failure {
        when "The operator cannot read the ActionPolicy objects, so nothing starts.",
        do "Correct the ActionPolicy that the message names. If it names none, install the definition of ActionPolicy and let the operator list and watch it. Then set a new spec.runToken.",
    }
    LockHeld, Failure {
        when "Another run held the lock when this run began, and spec.lock.whenHeld is Fail.",
        do "Set a new spec.runToken once the lock is free, or set spec.lock.whenHeld to Queue to wait for it.",
    }
    QueueDeadlineExceeded, Failure {
        when "The run did not get its lock within spec.lock.queueDeadlineSeconds (default 3600).",
        do "Look at what holds the lock: the message names it. Then raise spec.lock.queueDeadlineSeconds, or set a new spec.runToken.",
    }
    LockNameTaken, Failure {
        when "A Lease that does not belong to Longshore has the name of the lock's Lease.",
        do "Choose another spec.lock.name. Or delete the Lease that the message names, if nobody needs it, and set a new spec.runToken.",
    }
    LockLost, Failure {
        when "The lock's Lease named another holder before the run's pod was created. Somebody changed or deleted the Lease.",
        do "Find out who may write Leases in this namespace. Then set a new spec.runToken.",
    }
    PreviousPodRunning, Failure {
        when "A pod of an earlier action with this name did not end before the pending deadline, so its script may still run. That action was deleted or restored.",
        do "Wait until the pod that the message names ends, or delete that pod if its script may be stopped. Then set a new spec.runToken.",
    }
    UserNamespacesUnsupported, Failure {
        when "The action asks for root in a user namespace, and no node supports user namespaces.",
        do "Change spec.podTemplate.securityProfile, or add nodes whose container runtime supports user namespaces.",
    }
    ImageNotFound, Failure {
        when "The registry has no such repository, tag or digest.",
        do "Correct spec.image, or push the image. Then set a new spec.runToken.",
    }
    ImageDenied, Failure {
        when "The registry shows the image neither to the operator nor to the node.",
        do "Name a Secret with the registry's credentials in spec.imagePullSecrets or in the service account, correct the Secret that is named there, or give credentials to the nodes. Then set a new spec.runToken.",
    }
    ImageInvalid, Failure {
        when "The registry's answer is not an image that can run.",
        do "Pull the image with another client to check it. Build and push it again. Then set a new spec.runToken.",
    }
    ImagePlatformMissing, Failure {
        when "The image has no variant for the platform that actions run on.",
        do "Build the image for linux/amd64 and push it. Then set a new spec.runToken.",
    }
    RegistryUnavailable, Failure {
        when "The registry could not be reached, or failed, until the pending deadline. Or the operator refuses to talk to it, because it uses plain HTTP or has a loopback or link-local address.",
        do "Check the registry and the operator's network path to it. Then set a new spec.runToken.",
    }
    PackageNotFound, Failure {
        when "The registry has no such package, or no such version of it.",
        do "Correct the reference in spec.packages, or the version of a template's package, or push the package. Then set a new spec.runToken.",
    }
    PackageDenied, Failure {
        when "The registry does not show a package to the operator, or to the pod that fetches it.",
        do "Name a Secret with the registry's credentials in spec.imagePullSecrets. Let the operator read that Secret (get, by name), or write the package with its digest. Then set a new spec.runToken.",
    }
    PackageInvalid, Failure {
        when "The registry's content for a package cannot be put into a folder.",
        do "Push the package again as an image, or with helm push, oras push or flux push artifact. docs/guides/packages.md lists what is understood.",
    }
    PackageTooLarge, Failure {
        when "A package is larger than this cluster allows, packed or unpacked, or has too many files.",
        do "Make the package smaller, or push it as an image, which nodes mount without a limit. Or raise packages.sizeLimit or packages.maxEntries of Longshore's chart.",
    }
    PackageUnsafe, Failure {
        when "A package has a path, a link or a device that leads out of its folder.",
        do "Find out who built it. Build it again with plain files, folders and links that stay inside.",
    }
    PackageDigestMismatch, Failure {
        when "The registry sent a package with another digest or size than expected.",
        do "Check the registry and any proxy in front of it. Push the package again, then set a new spec.runToken.",
    }
    PackageFetchFailed, Failure {
        when "A package could not be fetched. The pod could not reach the registry, or the registry failed, until the pod gave up.",
        do "Check the network path from the action's pods to the registry: network policies, DNS, proxies. Then set a new spec.runToken.",
    }
    ImagePullFailed, Failure {
        when "The node could not pull the image before the pending deadline.",
        do "Correct what the node reports: credentials, the network, or a deleted image. Then set a new spec.runToken.",
    }
    SecretMissing, Failure {
        when "A Secret that the action names, or a key in it, did not appear before the pending deadline.",
        do "Create the Secret or the key, or correct its name in the spec. Then set a new spec.runToken.",
    }
    ConfigMapMissing, Failure {
        when "A ConfigMap that the action names, or a key in it, did not appear before the pending deadline.",
        do "Create the ConfigMap or the key, or correct its name in the spec. Then set a new spec.runToken.",
    }
    ServiceAccountMissing, Failure {
        when "The service account did not appear before the pending deadline.",
        do "Create the service account, or correct spec.serviceAccountName. Then set a new spec.runToken.",
    }
    QuotaExceeded, Failure {
        when "A resource quota left no room for the pod until the pending deadline.",
        do "Raise the quota, lower spec.resources, or wait. Then set a new spec.runToken.",
    }
    Unschedulable, Failure {
        when "No node accepted the pod before the pending deadline.",
        do "Compare spec.resources and spec.podTemplate with what the nodes offer. Correct them, or add nodes, then set a new spec.runToken.",
    }
    ContainerConfigError, Failure {
        when "The node could not set up the container before the pending deadline.",
        do "Correct what the node reports, then set a new spec.runToken.",
    }
    PendingDeadlineExceeded, Failure {
        when "The script had not started after spec.pendingDeadlineSeconds, and no status or event shows why.",
        do "Look at the pod's events and at the node. If the image is large, raise spec.pendingDeadlineSeconds.",
    }
    NamespaceTerminating, Failure {
        when "The namespace is being deleted, so no pod can be created in it.",
        do "Nothing: the action is deleted with its namespace.",
    }
    PodRefused, Failure {
        when "The API server refused the pod because of an admission policy, Pod Security, or a field that it does not accept.",
        do "Correct what the server reports, in the action or in the policy. Then set a new spec.runToken.",
    }
    PodMutated, Failure {
        when "Something in the cluster changed the pod's image, command or restart policy when it was created. The operator removed the pod, and its script does not count.",
        do "Exempt Longshore's pods (label app.kubernetes.io/managed-by: longshore) from the webhook that changes them. Then set a new spec.runToken.",
    }
    PodNameTaken, Failure {
        when "A pod that does not belong to this run has its name.",
        do "Delete the pod that the message names, if nobody needs it. Then set a new spec.runToken.",
    }
    FrozenInputsChanged, Failure {
        when "The template, or the script's ConfigMap, changed after the run was recorded and before its pod had it. The run could not be executed as recorded.",
        do "Set a new spec.runToken to run it as it is now.",
    }
    StartFailed, Failure {
        when "The container could not start. The runtime failed, the node rejected the pod, or a container that somebody added before it failed.",
        do "Correct what the runtime or the node reports, then set a new spec.runToken.",
    }
    WorkingDirUnusable, Failure {
        when "The folder in spec.workingDir does not exist or is not a folder, or the script's user may not enter and read it.",
        do "Correct spec.workingDir, or create the folder in the image, or mount a volume there. A changed spec starts a run.",
    }
    InterpreterNotFound, Failure {
        when "The image does not have the interpreter that the script needs.",
        do "Use an image that has it, name another interpreter in spec.script.interpreter, or run a program with spec.command.",
    }
    CommandNotFound, Failure {
        when "The image does not have the program that spec.command names.",
        do "Correct spec.command, or use an image that has the program.",
    }
    NotExecutable, Failure {
        when "The interpreter or program exists and cannot be executed. It lacks permission, is built for another architecture, or its loader is missing.",
        do "Use an image for the nodes' architecture whose program every user may execute.",
    }
    InputInvalid, Failure {
        when "A value cannot be passed to the script as asked.",
        do "Change the variable that the message names. With as: File it may hold any bytes.",
    }
    BundleRejected, Failure {
        when "The pod's instructions are not those that the operator recorded. Somebody changed the pod's annotation.",
        do "Find out who may patch pods in this namespace. Then set a new spec.runToken.",
    }
    ScriptFailed, Failure {
        when "The script ended with an exit code other than 0.",
        do "Read the last lines of the log.",
    }
    ScriptKilled, Failure {
        when "A signal ended the script or asked it to stop, and neither a deadline nor the end of its pod sent it.",
        do "After SIGKILL raise spec.resources.limits.memory: the kernel often sends it when memory runs out. SIGSEGV and SIGABRT come from the program itself. If it was asked to stop, look at what was injected into the pod, such as probes and hooks.",
    }
    DeadlineExceeded, Failure {
        when "The script ran longer than spec.runDeadlineSeconds and was stopped.",
        do "Raise spec.runDeadlineSeconds, or find out what the script waits for.",
    }
    OutOfMemory, Failure {
        when "The kernel ended the container because it used more memory than its limit.",
        do "Raise spec.resources.limits.memory.",
    }
    OutputsUnreadable, Failure {
        when "The script ended with exit code 0 and has a required output, but its outputs file is malformed.",
        do "Write each line as name=value. Write a value of several lines as name<<END, its lines, and a line END.",
    }
    OutputMissing, Failure {
        when "The script ended with exit code 0 and did not write a required output.",
        do "Write name=value to the file that $LONGSHORE_OUTPUT names, or make the output optional.",
    }
    Cancelled, Failure {
        when "The annotation longshore.dev/cancel cancelled the run, before its script started or while it was running.",
        do "If the message says that the script was asked to stop, check what it left behind. To run it again, set a new spec.runToken or the annotation longshore.dev/rerun.",
    }
    Superseded, Progress {
        when "The spec changed before the script of the run, or of its next attempt, started. The run ended, and the next run uses the new spec.",
    }
    PodDeleted, Failure {
        when "The pod was deleted before the script started or while it was running. A running script was asked to stop. It is not run again unless spec.retry allows it.",
        do "If the message says that the script was running, check what it left behind. Then set a new spec.runToken.",
    }
    Evicted, Failure {
        when "The node evicted the pod while the script was running. It is not run again unless spec.retry allows it.",
        do "Check what the script left behind, and free what the node was short of: the message names it. Then set a new spec.runToken.",
    }
    NodeLost, Failure {
        when "The node stopped reporting, and then the run's deadline passed or somebody put the node out of service. Nobody knows whether the script ended by itself.",
        do "Check what the script left behind. Then set a new spec.runToken.",
    }
    RunnerFailed, Failure {
        when "The runner could not do its work before the script started, because there was no space or a file system is read-only. The script did not start.",
        do "Correct the error in the message, then set a new spec.runToken.",
    }
    Unknown, Failure {
        when "The script may have run, and nothing says how it ended. It is not run again unless spec.retry allows it.",
        do "Check what the script left behind. Then set a new spec.runToken.",
    }
}

impl Reason {
    /// All of them, in the order in which a run meets them.
    pub fn all() -> impl Iterator<Item = Self> {
        Self::VARIANTS.iter().copied()
    }

    /// The reason with this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        name.parse().ok()
    }

    /// The name, as conditions have it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// Its class.
    #[must_use]
    pub const fn class(self) -> Class {
        self.told().class
    }

    /// When it is given.
    #[must_use]
    pub const fn when(self) -> &'static str {
        self.told().when
    }

    /// The advice on what to do. It is empty if nothing is to be done.
    #[must_use]
    pub const fn advice(self) -> &'static str {
        self.told().advice
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_failure_says_what_to_do() {
        for reason in Reason::all().filter(|reason| reason.class() == Class::Failure) {
            assert!(!reason.advice().is_empty(), "{reason}");
        }
    }

    #[test]
    fn what_is_told_of_a_reason_is_whole_sentences() {
        for reason in Reason::all() {
            let (when, advice) = (reason.when(), reason.advice());
            assert!(when.ends_with('.') && (advice.is_empty() || advice.ends_with('.')), "{reason}");
        }
    }

    #[test]
    fn a_reason_is_read_back_from_a_condition() {
        for reason in Reason::all() {
            assert_eq!(Reason::parse(reason.as_str()), Some(reason));
        }
        assert_eq!(Reason::parse("Other"), None);
    }
}
