//! The closed list of reasons: why an action is in the state that it is in.
//!
//! Each is told once, in `reasons!` below. The type, its documentation and `docs/reasons.md` follow from that.

use strum::{Display, EnumString, IntoStaticStr, VariantArray};

/// What a reason says of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// It is under way.
    Progress,
    /// It is as it should be.
    Success,
    /// It failed; nothing more happens by itself.
    Failure,
}

/// What is told of a reason.
struct Told {
    class: Class,
    when: &'static str,
    advice: &'static str,
}

/// Makes the type of what is told below: each reason's name, its class, when it is given, and what to do then.
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
        when "The pod exists and its container has not started: it is being scheduled, its image pulled, its volumes mounted.",
    }
    Running, Progress {
        when "The script is running.",
    }
    Stopping, Progress {
        when "The run is being cancelled, or yields to a changed spec: its script is asked to stop, or its pod removed, and the verdict waits until that has ended.",
    }
    Suspended, Progress {
        when "A run is asked for, and spec.suspend holds it back; `Reconciling` is not set.",
        do "Set spec.suspend to false to let it run.",
    }
    RetryPending, Progress {
        when "An attempt failed, and the run waits for the next one, as spec.retry says.",
    }
    Queued, Progress {
        when "The run waits for its lock, which another run has or has asked for before; the message says which, and the place in the queue.",
        do "Nothing: it begins by itself. The annotation longshore.dev/cancel ends it.",
    }
    Succeeded, Success {
        when "The script ended with exit code 0 and wrote every required output.",
    }
    NotRequested, Success {
        when "The run policy is Manual and no run has been asked for.",
        do "Set spec.runToken, or the annotation longshore.dev/rerun, to start a run.",
    }
    InvalidSpec, Failure {
        when "The spec cannot be executed although the schema allows it; the message says which field and why.",
        do "Correct the field that the message names and apply the action again.",
    }
    TemplateNotFound, Failure {
        when "The template that spec.templateRef names did not appear until the pending deadline (600 s).",
        do "Correct spec.templateRef, or create the template; then set a new spec.runToken.",
    }
    TemplateInvalid, Failure {
        when "The template contradicts itself or cannot be executed; the message says what is wrong in it.",
        do "Who maintains the template corrects it; then set a new spec.runToken.",
    }
    ParametersInvalid, Failure {
        when "The action's parameters are not what its template asks for; the message names each.",
        do "Correct spec.parameters as the message says and apply the action again.",
    }
    PackageNotAllowed, Failure {
        when "The action asks for packages otherwise than its template allows: a version out of range, one that is missing, or a package that the template does not have.",
        do "Correct spec.packages as the message says and apply the action again.",
    }
    PolicyMissing, Failure {
        when "The policy that keeps people from naming what they may not use is missing or altered, so nothing that names anything starts.",
        do "Restore the ValidatingAdmissionPolicies longshore-use, longshore-use-templates and longshore-use-cluster-templates and their bindings, for example by helm upgrade; then set a new spec.runToken.",
    }
    PolicyViolated, Failure {
        when "An ActionPolicy, of the namespace or of the cluster, does not allow the action; nothing of it was started.",
        do "Write what the message says; or have the policy changed, then set a new spec.runToken.",
    }
    PolicyUnread, Failure {
        when "The ActionPolicy objects cannot be read, so nothing starts.",
        do "Correct the ActionPolicy that the message names, or see that its definition is installed and that the operator may list and watch it; then set a new spec.runToken.",
    }
    LockHeld, Failure {
        when "The lock that the action names was held when the run was taken up, and spec.lock.whenHeld is Fail.",
        do "Run it again once the lock is free, by a new spec.runToken; or wait for it, with spec.lock.whenHeld Queue.",
    }
    QueueDeadlineExceeded, Failure {
        when "The run had not got its lock when spec.lock.queueDeadlineSeconds (3600 where none are given) were over.",
        do "See what holds the lock, which the message says; raise spec.lock.queueDeadlineSeconds, or set a new spec.runToken.",
    }
    LockNameTaken, Failure {
        when "A Lease that is not Longshore's has the name of the lock's.",
        do "Choose another spec.lock.name, or remove the Lease that the message names, if nobody needs it; then set a new spec.runToken.",
    }
    LockLost, Failure {
        when "Before the run's pod was created, the lock's Lease named another holder: somebody changed or deleted it.",
        do "Find out who may write Leases in this namespace; then set a new spec.runToken.",
    }
    PreviousPodRunning, Failure {
        when "A pod of an earlier action of this name, which was deleted or restored, did not end until the pending deadline: its script may still run.",
        do "Wait for the pod that the message names to end, or delete it once it may be ended; then set a new spec.runToken.",
    }
    UserNamespacesUnsupported, Failure {
        when "The action asks for root in a user namespace, and no node supports that.",
        do "Use another spec.podTemplate.securityProfile, or nodes whose container runtime supports user namespaces.",
    }
    ImageNotFound, Failure {
        when "The registry says that there is no such repository, tag or digest.",
        do "Correct spec.image, or push the image; then set a new spec.runToken.",
    }
    ImageDenied, Failure {
        when "The registry refuses to show the image, to the operator and to the node alike.",
        do "Name a Secret with the registry's credentials in spec.imagePullSecrets or in the service account's, correct the one that is named, or give the nodes credentials; then set a new spec.runToken.",
    }
    ImageInvalid, Failure {
        when "The registry's answer is no image that can be run.",
        do "Check the image with another client; build it again.",
    }
    ImagePlatformMissing, Failure {
        when "The image has no variant for the platform that actions run on.",
        do "Build the image for linux/amd64.",
    }
    RegistryUnavailable, Failure {
        when "The registry could not be reached, or failed, until the pending deadline; or, at once, the operator does not speak to it: by plain HTTP, or at a loopback or link-local address.",
        do "Check the registry and the operator's way to it; then set a new spec.runToken.",
    }
    PackageNotFound, Failure {
        when "The registry says that there is no such package, or no such version of it.",
        do "Correct the package in spec.packages (its reference, or of a template's package its version), or push it; then set a new spec.runToken.",
    }
    PackageDenied, Failure {
        when "The registry refuses to show a package to the operator, or to the pod that fetches it.",
        do "Name a Secret with the registry's credentials in spec.imagePullSecrets, and let the operator read it (get, by name) or write the package with its digest; then set a new spec.runToken.",
    }
    PackageInvalid, Failure {
        when "What the registry has under a package's name is nothing that can be laid into a folder.",
        do "Push the package again as an image, by helm push, oras push or flux push artifact; docs/packages.md says what is understood.",
    }
    PackageTooLarge, Failure {
        when "A package is larger than this cluster allows, packed or unpacked, or has too many files.",
        do "Make the package smaller, push it as an image, which nodes mount without a limit, or raise packages.sizeLimit or packages.maxEntries of Longshore's chart.",
    }
    PackageUnsafe, Failure {
        when "A package has a path, a link or a device that leads out of its folder.",
        do "Find out who made it so; build it again with plain files, folders and links that stay inside.",
    }
    PackageDigestMismatch, Failure {
        when "What the registry sent for a package has another digest or size than it should have.",
        do "Look at the registry and at what stands before it; push the package again.",
    }
    PackageFetchFailed, Failure {
        when "A package could not be fetched: the registry could not be reached from the pod, or failed, until the pod gave up.",
        do "Check the way from the action's pods to the registry: network policies, DNS, proxies; then set a new spec.runToken.",
    }
    ImagePullFailed, Failure {
        when "The node could not pull the image until the pending deadline.",
        do "Look at the message from the node: credentials, network, or an image that was deleted.",
    }
    SecretMissing, Failure {
        when "A Secret, or a key in it, that the action names did not appear until the pending deadline.",
        do "Create the Secret or the key, or correct its name in the spec; then set a new spec.runToken.",
    }
    ConfigMapMissing, Failure {
        when "A ConfigMap, or a key in it, that the action names did not appear until the pending deadline.",
        do "Create the ConfigMap or the key, or correct its name in the spec; then set a new spec.runToken.",
    }
    ServiceAccountMissing, Failure {
        when "The service account did not appear until the pending deadline.",
        do "Create the service account, or correct spec.serviceAccountName; then set a new spec.runToken.",
    }
    QuotaExceeded, Failure {
        when "A resource quota left no room for the pod until the pending deadline.",
        do "Raise the quota, lower spec.resources, or wait; then set a new spec.runToken.",
    }
    Unschedulable, Failure {
        when "No node took the pod until the pending deadline.",
        do "Compare spec.resources and spec.podTemplate with what the nodes offer.",
    }
    ContainerConfigError, Failure {
        when "The node could not set up the container until the pending deadline.",
        do "The message has the node's own words.",
    }
    PendingDeadlineExceeded, Failure {
        when "The script had not started when spec.pendingDeadlineSeconds were over, for a cause that no status or event shows.",
        do "Look at the pod's events and the node; raise spec.pendingDeadlineSeconds where the image is large.",
    }
    NamespaceTerminating, Failure {
        when "The namespace is being deleted, so no pod can be created in it.",
        do "Nothing: the action goes with its namespace.",
    }
    PodRefused, Failure {
        when "The API server refused the pod: an admission policy, Pod Security, or a field that it does not accept.",
        do "The message has the server's own words.",
    }
    PodMutated, Failure {
        when "Something in the cluster changed the pod's image, command or restart policy on its way, so it was removed before it could count.",
        do "Exempt Longshore's pods (label app.kubernetes.io/managed-by: longshore) from the webhook that changes them.",
    }
    PodNameTaken, Failure {
        when "A pod that is not this run's has its name.",
        do "Remove the pod that the message names, if nobody needs it; then set a new spec.runToken.",
    }
    FrozenInputsChanged, Failure {
        when "The template, or the script's ConfigMap, changed after the run was recorded and before its pod had it, so that this run could no longer be executed as recorded.",
        do "To run it as it is now, set a new spec.runToken.",
    }
    StartFailed, Failure {
        when "The container could not be started: the runtime failed, the node rejected the pod, or a container that somebody put in front of it failed.",
        do "The message has the runtime's or the node's own words.",
    }
    WorkingDirUnusable, Failure {
        when "The folder that spec.workingDir names is not there, is no folder, or the script's user may not enter and read it.",
        do "Correct spec.workingDir, make the folder in the image, or mount a volume there; a changed spec starts a run.",
    }
    InterpreterNotFound, Failure {
        when "The image does not have the interpreter that the script needs.",
        do "Use an image that has it, name another in spec.script.interpreter, or run a program with spec.command.",
    }
    CommandNotFound, Failure {
        when "The image does not have the program that spec.command names.",
        do "Correct spec.command, or use an image that has the program.",
    }
    NotExecutable, Failure {
        when "The interpreter or program is there and cannot be executed: no permission, another architecture, or a missing loader.",
        do "Use an image built for the nodes' architecture whose program is executable for every user.",
    }
    InputInvalid, Failure {
        when "A value cannot be handed to the script as asked.",
        do "The message names the variable; as: File hands any bytes over.",
    }
    BundleRejected, Failure {
        when "What the pod was told to do is not what the operator recorded: somebody changed the pod's annotation.",
        do "Find out who may patch pods in this namespace; then set a new spec.runToken.",
    }
    ScriptFailed, Failure {
        when "The script ended with an exit code other than 0.",
        do "The last lines of the log say why.",
    }
    ScriptKilled, Failure {
        when "A signal ended the script, or asked it to stop, and it was neither a deadline nor the end of its pod.",
        do "SIGKILL is often the kernel, short of memory: raise spec.resources.limits.memory. SIGSEGV and SIGABRT are the program's own. Asked to stop from outside, look at what was injected into the pod, such as probes and hooks.",
    }
    DeadlineExceeded, Failure {
        when "The script ran longer than spec.runDeadlineSeconds and was stopped.",
        do "Raise spec.runDeadlineSeconds, or find out what it waits for.",
    }
    OutOfMemory, Failure {
        when "The kernel ended the container because it used more memory than its limit.",
        do "Raise spec.resources.limits.memory.",
    }
    OutputsUnreadable, Failure {
        when "The script ended with exit code 0 and has a required output, but its outputs file is malformed.",
        do "Write each line as name=value, and a value of several lines as name<<END, its lines, and a line END.",
    }
    OutputMissing, Failure {
        when "The script ended with exit code 0 and did not write an output that is required.",
        do "Write name=value to the file that $LONGSHORE_OUTPUT names, or make the output optional.",
    }
    Cancelled, Failure {
        when "The run was cancelled by the annotation longshore.dev/cancel, before its script started or while it was running.",
        do "If the message says that the script was asked to stop, check what it left behind; to run it again, set a new spec.runToken or the annotation longshore.dev/rerun.",
    }
    Superseded, Progress {
        when "The spec changed before the script of the run, or of its next attempt, started: the run ended, and the next one is of the new spec.",
    }
    PodDeleted, Failure {
        when "The pod was deleted, before the script started or while it was running; a running script was asked to stop. It is not run again unless spec.retry allows it.",
        do "If the message says that the script was running, check what it left behind; then set a new spec.runToken.",
    }
    Evicted, Failure {
        when "The node evicted the pod while the script was running. It is not run again unless spec.retry allows it.",
        do "Check what the script left behind; the message says what the node was short of.",
    }
    NodeLost, Failure {
        when "The node stopped reporting, and the run's deadline has passed, or somebody put it out of service; whether the script ended by itself is not known.",
        do "Check what the script left behind before running it again.",
    }
    RunnerFailed, Failure {
        when "The runner could not do its work before the script started: no space, or a file system that is read-only.",
        do "The message has the error; the script was not started.",
    }
    Unknown, Failure {
        when "The script may have run, and nothing says how it ended. It is not run again unless spec.retry allows it.",
        do "Check what the script left behind before running it again.",
    }
}

impl Reason {
    /// All of them, in the order in which a run meets them.
    pub fn all() -> impl Iterator<Item = Self> {
        Self::VARIANTS.iter().copied()
    }

    /// The reason that a condition carries, where it is one of ours.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        name.parse().ok()
    }

    /// As a condition has it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// What it says of the run.
    #[must_use]
    pub const fn class(self) -> Class {
        self.told().class
    }

    /// When it is given.
    #[must_use]
    pub const fn when(self) -> &'static str {
        self.told().when
    }

    /// What to do then, or nothing where nothing is to be done.
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
