//! The closed list of reasons: why an action is in the state that it is in.
//!
//! Every reason that a condition can carry is here, with when it is given and what to do then;
//! `docs/reference/reasons.md` is generated from it.

use super::condition::ConditionType;

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

/// Why an action is in its state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The image's tag is being resolved to a digest.
    Resolving,
    /// The run is recorded and its pod is being created.
    Launching,
    /// The pod exists and its container has not started: it is being scheduled, its image pulled, its volumes mounted.
    PodPending,
    /// The script is running.
    Running,
    /// The run is being cancelled, or yields to a changed spec: its script is asked to stop, or its pod removed, and the verdict waits until that has ended.
    Stopping,
    /// A run is asked for, and spec.suspend holds it back; `Reconciling` is not set.
    Suspended,
    /// An attempt failed, and the run waits for the next one, as spec.retry says.
    RetryPending,
    /// The run waits for its lock, which another run has or has asked for before; the message says which, and the place in the queue.
    Queued,
    /// The script ended with exit code 0 and wrote every required output.
    Succeeded,
    /// The run policy is Manual and no run has been asked for.
    NotRequested,
    /// The spec cannot be executed although the schema allows it; the message says which field and why.
    InvalidSpec,
    /// The template that spec.templateRef names did not appear until the pending deadline.
    TemplateNotFound,
    /// The template contradicts itself or cannot be executed; the message says what is wrong in it.
    TemplateInvalid,
    /// The action's parameters are not what its template asks for; the message names each.
    ParametersInvalid,
    /// The template does not allow the version of a package that the action asks for.
    PackageNotAllowed,
    /// The policy that keeps people from naming what they may not use is missing or altered, so nothing that names anything starts.
    PolicyMissing,
    /// An `ActionPolicy`, of the namespace or of the cluster, does not allow the action; nothing of it was started.
    PolicyViolated,
    /// The `ActionPolicy` objects cannot be read, so nothing starts.
    PolicyUnread,
    /// The lock that the action names was held when the run was taken up, and spec.lock.whenHeld is Fail.
    LockHeld,
    /// The run had not got its lock when spec.lock.queueDeadlineSeconds were over.
    QueueDeadlineExceeded,
    /// A Lease that is not Longshore's has the name of the lock's.
    LockNameTaken,
    /// Before the run's pod was created, the lock's Lease named another holder: somebody changed or deleted it.
    LockLost,
    /// A pod of an earlier action of this name, which was deleted or restored, did not end until the pending deadline: its script may still run.
    PreviousPodRunning,
    /// The action asks for root in a user namespace, and no node supports that.
    UserNamespacesUnsupported,
    /// The registry says that there is no such repository, tag or digest.
    ImageNotFound,
    /// The registry refuses to show the image, to the operator and to the node alike.
    ImageDenied,
    /// The registry's answer is no image that can be run.
    ImageInvalid,
    /// The image has no variant for the platform that actions run on.
    ImagePlatformMissing,
    /// The registry could not be reached, or failed, until the pending deadline.
    RegistryUnavailable,
    /// The registry says that there is no such package, or no such version of it.
    PackageNotFound,
    /// The registry refuses to show a package to the operator, or to the pod that fetches it.
    PackageDenied,
    /// What the registry has under a package's name is nothing that can be laid into a folder.
    PackageInvalid,
    /// A package is larger than this cluster allows, packed or unpacked, or has too many files.
    PackageTooLarge,
    /// A package has a path, a link or a device that leads out of its folder.
    PackageUnsafe,
    /// What the registry sent for a package has another digest or size than it should have.
    PackageDigestMismatch,
    /// A package could not be fetched: the registry could not be reached from the pod, or failed, until the pod gave up.
    PackageFetchFailed,
    /// The node could not pull the image until the pending deadline.
    ImagePullFailed,
    /// A Secret, or a key in it, that the action names did not appear until the pending deadline.
    SecretMissing,
    /// A `ConfigMap`, or a key in it, that the action names did not appear until the pending deadline.
    ConfigMapMissing,
    /// The service account did not appear until the pending deadline.
    ServiceAccountMissing,
    /// A resource quota left no room for the pod until the pending deadline.
    QuotaExceeded,
    /// No node took the pod until the pending deadline.
    Unschedulable,
    /// The node could not set up the container until the pending deadline.
    ContainerConfigError,
    /// The script had not started when spec.pendingDeadlineSeconds were over, for a cause that no status or event shows.
    PendingDeadlineExceeded,
    /// The namespace is being deleted, so no pod can be created in it.
    NamespaceTerminating,
    /// The API server refused the pod: an admission policy, Pod Security, or a field that it does not accept.
    PodRefused,
    /// Something in the cluster changed the pod's image, command or restart policy on its way, so it was removed before it could count.
    PodMutated,
    /// A pod that is not this run's has its name.
    PodNameTaken,
    /// The template, or the script's `ConfigMap`, changed after the run was recorded and before its pod had it, so that this run could no longer be executed as recorded.
    FrozenInputsChanged,
    /// The container could not be started: the runtime failed, the node rejected the pod, or a container that somebody put in front of it failed.
    StartFailed,
    /// The folder that spec.workingDir names is not there, is no folder, or the script's user may not enter and read it.
    WorkingDirUnusable,
    /// The image does not have the interpreter that the script needs.
    InterpreterNotFound,
    /// The image does not have the program that spec.command names.
    CommandNotFound,
    /// The interpreter or program is there and cannot be executed: no permission, another architecture, or a missing loader.
    NotExecutable,
    /// A value cannot be handed to the script as asked.
    InputInvalid,
    /// What the pod was told to do is not what the operator recorded: somebody changed the pod's annotation.
    BundleRejected,
    /// The script ended with an exit code other than 0.
    ScriptFailed,
    /// A signal ended the script, or asked it to stop, and it was neither a deadline nor the end of its pod.
    ScriptKilled,
    /// The script ran longer than spec.runDeadlineSeconds and was stopped.
    DeadlineExceeded,
    /// The kernel ended the container because it used more memory than its limit.
    OutOfMemory,
    /// The script ended with exit code 0 and has a required output, but its outputs file is malformed.
    OutputsUnreadable,
    /// The script ended with exit code 0 and did not write an output that is required.
    OutputMissing,
    /// The run was cancelled by the annotation longshore.dev/cancel, before its script started or while it was running.
    Cancelled,
    /// The spec changed before the script of the run, or of its next attempt, started: the run ended, and the next one is of the new spec.
    Superseded,
    /// The pod was deleted, before the script started or while it was running; a running script was asked to stop. It is not run again unless spec.retry allows it.
    PodDeleted,
    /// The node evicted the pod while the script was running. It is not run again unless spec.retry allows it.
    Evicted,
    /// The node stopped reporting, and the run's deadline has passed, or somebody put it out of service; whether the script ended by itself is not known.
    NodeLost,
    /// The runner could not do its work before the script started: no space, or a file system that is read-only.
    RunnerFailed,
    /// The script may have run, and nothing says how it ended. It is not run again unless spec.retry allows it.
    Unknown,
}

struct Row {
    reason: Reason,
    name: &'static str,
    class: Class,
    when: &'static str,
    advice: &'static str,
}

const ROWS: &[Row] = &[
    Row {
        reason: Reason::Resolving,
        name: "Resolving",
        class: Class::Progress,
        when: "The image's tag is being resolved to a digest.",
        advice: "",
    },
    Row {
        reason: Reason::Launching,
        name: "Launching",
        class: Class::Progress,
        when: "The run is recorded and its pod is being created.",
        advice: "",
    },
    Row {
        reason: Reason::PodPending,
        name: "PodPending",
        class: Class::Progress,
        when: "The pod exists and its container has not started: it is being scheduled, its image pulled, its volumes mounted.",
        advice: "",
    },
    Row {
        reason: Reason::Running,
        name: "Running",
        class: Class::Progress,
        when: "The script is running.",
        advice: "",
    },
    Row {
        reason: Reason::Stopping,
        name: "Stopping",
        class: Class::Progress,
        when: "The run is being cancelled, or yields to a changed spec: its script is asked to stop, or its pod removed, and the verdict waits until that has ended.",
        advice: "",
    },
    Row {
        reason: Reason::Suspended,
        name: "Suspended",
        class: Class::Progress,
        when: "A run is asked for, and spec.suspend holds it back; `Reconciling` is not set.",
        advice: "Set spec.suspend to false to let it run.",
    },
    Row {
        reason: Reason::RetryPending,
        name: "RetryPending",
        class: Class::Progress,
        when: "An attempt failed, and the run waits for the next one, as spec.retry says.",
        advice: "",
    },
    Row {
        reason: Reason::Queued,
        name: "Queued",
        class: Class::Progress,
        when: "The run waits for its lock, which another run has or has asked for before; the message says which, and the place in the queue.",
        advice: "Nothing: it begins by itself. The annotation longshore.dev/cancel ends it.",
    },
    Row {
        reason: Reason::Succeeded,
        name: "Succeeded",
        class: Class::Success,
        when: "The script ended with exit code 0 and wrote every required output.",
        advice: "",
    },
    Row {
        reason: Reason::NotRequested,
        name: "NotRequested",
        class: Class::Success,
        when: "The run policy is Manual and no run has been asked for.",
        advice: "Set spec.runToken, or the annotation longshore.dev/rerun, to start a run.",
    },
    Row {
        reason: Reason::InvalidSpec,
        name: "InvalidSpec",
        class: Class::Failure,
        when: "The spec cannot be executed although the schema allows it; the message says which field and why.",
        advice: "Correct the field that the message names and apply the action again.",
    },
    Row {
        reason: Reason::TemplateNotFound,
        name: "TemplateNotFound",
        class: Class::Failure,
        when: "The template that spec.templateRef names did not appear until the pending deadline (600 s).",
        advice: "Correct spec.templateRef, or create the template; then set a new spec.runToken.",
    },
    Row {
        reason: Reason::TemplateInvalid,
        name: "TemplateInvalid",
        class: Class::Failure,
        when: "The template contradicts itself or cannot be executed; the message says what is wrong in it.",
        advice: "Who maintains the template corrects it; then set a new spec.runToken.",
    },
    Row {
        reason: Reason::ParametersInvalid,
        name: "ParametersInvalid",
        class: Class::Failure,
        when: "The action's parameters are not what its template asks for; the message names each.",
        advice: "Correct spec.parameters as the message says and apply the action again.",
    },
    Row {
        reason: Reason::PackageNotAllowed,
        name: "PackageNotAllowed",
        class: Class::Failure,
        when: "The action asks for packages otherwise than its template allows: a version out of range, one that is missing, or a package that the template does not have.",
        advice: "Correct spec.packages as the message says and apply the action again.",
    },
    Row {
        reason: Reason::PolicyMissing,
        name: "PolicyMissing",
        class: Class::Failure,
        when: "The policy that keeps people from naming what they may not use is missing or altered, so nothing that names anything starts.",
        advice: "Restore the ValidatingAdmissionPolicies longshore-use, longshore-use-templates and longshore-use-cluster-templates and their bindings, for example by helm upgrade; then set a new spec.runToken.",
    },
    Row {
        reason: Reason::PolicyViolated,
        name: "PolicyViolated",
        class: Class::Failure,
        when: "An ActionPolicy, of the namespace or of the cluster, does not allow the action; nothing of it was started.",
        advice: "Write what the message says; or have the policy changed, then set a new spec.runToken.",
    },
    Row {
        reason: Reason::PolicyUnread,
        name: "PolicyUnread",
        class: Class::Failure,
        when: "The ActionPolicy objects cannot be read, so nothing starts.",
        advice: "Correct the ActionPolicy that the message names, or see that its definition is installed and that the operator may list and watch it; then set a new spec.runToken.",
    },
    Row {
        reason: Reason::LockHeld,
        name: "LockHeld",
        class: Class::Failure,
        when: "The lock that the action names was held when the run was taken up, and spec.lock.whenHeld is Fail.",
        advice: "Run it again once the lock is free, by a new spec.runToken; or wait for it, with spec.lock.whenHeld Queue.",
    },
    Row {
        reason: Reason::QueueDeadlineExceeded,
        name: "QueueDeadlineExceeded",
        class: Class::Failure,
        when: "The run had not got its lock when spec.lock.queueDeadlineSeconds (3600 where none are given) were over.",
        advice: "See what holds the lock, which the message says; raise spec.lock.queueDeadlineSeconds, or set a new spec.runToken.",
    },
    Row {
        reason: Reason::LockNameTaken,
        name: "LockNameTaken",
        class: Class::Failure,
        when: "A Lease that is not Longshore's has the name of the lock's.",
        advice: "Choose another spec.lock.name, or remove the Lease that the message names, if nobody needs it; then set a new spec.runToken.",
    },
    Row {
        reason: Reason::LockLost,
        name: "LockLost",
        class: Class::Failure,
        when: "Before the run's pod was created, the lock's Lease named another holder: somebody changed or deleted it.",
        advice: "Find out who may write Leases in this namespace; then set a new spec.runToken.",
    },
    Row {
        reason: Reason::PreviousPodRunning,
        name: "PreviousPodRunning",
        class: Class::Failure,
        when: "A pod of an earlier action of this name, which was deleted or restored, did not end until the pending deadline: its script may still run.",
        advice: "Wait for the pod that the message names to end, or delete it once it may be ended; then set a new spec.runToken.",
    },
    Row {
        reason: Reason::UserNamespacesUnsupported,
        name: "UserNamespacesUnsupported",
        class: Class::Failure,
        when: "The action asks for root in a user namespace, and no node supports that.",
        advice: "Use another spec.podTemplate.securityProfile, or nodes whose container runtime supports user namespaces.",
    },
    Row {
        reason: Reason::ImageNotFound,
        name: "ImageNotFound",
        class: Class::Failure,
        when: "The registry says that there is no such repository, tag or digest.",
        advice: "Correct spec.image, or push the image; then set a new spec.runToken.",
    },
    Row {
        reason: Reason::ImageDenied,
        name: "ImageDenied",
        class: Class::Failure,
        when: "The registry refuses to show the image, to the operator and to the node alike.",
        advice: "Name a Secret with the registry's credentials in spec.imagePullSecrets or in the service account's, correct the one that is named, or give the nodes credentials; then set a new spec.runToken.",
    },
    Row {
        reason: Reason::ImageInvalid,
        name: "ImageInvalid",
        class: Class::Failure,
        when: "The registry's answer is no image that can be run.",
        advice: "Check the image with another client; build it again.",
    },
    Row {
        reason: Reason::ImagePlatformMissing,
        name: "ImagePlatformMissing",
        class: Class::Failure,
        when: "The image has no variant for the platform that actions run on.",
        advice: "Build the image for linux/amd64.",
    },
    Row {
        reason: Reason::RegistryUnavailable,
        name: "RegistryUnavailable",
        class: Class::Failure,
        when: "The registry could not be reached, or failed, until the pending deadline; or, at once, the operator does not speak to it: by plain HTTP, or at a loopback or link-local address.",
        advice: "Check the registry and the operator's way to it; then set a new spec.runToken.",
    },
    Row {
        reason: Reason::PackageNotFound,
        name: "PackageNotFound",
        class: Class::Failure,
        when: "The registry says that there is no such package, or no such version of it.",
        advice: "Correct the package in spec.packages (its reference, or of a template's package its version), or push it; then set a new spec.runToken.",
    },
    Row {
        reason: Reason::PackageDenied,
        name: "PackageDenied",
        class: Class::Failure,
        when: "The registry refuses to show a package to the operator, or to the pod that fetches it.",
        advice: "Name a Secret with the registry's credentials in spec.imagePullSecrets, and let the operator read it (get, by name) or write the package with its digest; then set a new spec.runToken.",
    },
    Row {
        reason: Reason::PackageInvalid,
        name: "PackageInvalid",
        class: Class::Failure,
        when: "What the registry has under a package's name is nothing that can be laid into a folder.",
        advice: "Push the package again as an image, by helm push, oras push or flux push artifact; docs/guides/packages.md says what is understood.",
    },
    Row {
        reason: Reason::PackageTooLarge,
        name: "PackageTooLarge",
        class: Class::Failure,
        when: "A package is larger than this cluster allows, packed or unpacked, or has too many files.",
        advice: "Make the package smaller, push it as an image, which nodes mount without a limit, or raise packages.sizeLimit or packages.maxEntries of Longshore's chart.",
    },
    Row {
        reason: Reason::PackageUnsafe,
        name: "PackageUnsafe",
        class: Class::Failure,
        when: "A package has a path, a link or a device that leads out of its folder.",
        advice: "Find out who made it so; build it again with plain files, folders and links that stay inside.",
    },
    Row {
        reason: Reason::PackageDigestMismatch,
        name: "PackageDigestMismatch",
        class: Class::Failure,
        when: "What the registry sent for a package has another digest or size than it should have.",
        advice: "Look at the registry and at what stands before it; push the package again.",
    },
    Row {
        reason: Reason::PackageFetchFailed,
        name: "PackageFetchFailed",
        class: Class::Failure,
        when: "A package could not be fetched: the registry could not be reached from the pod, or failed, until the pod gave up.",
        advice: "Check the way from the action's pods to the registry: network policies, DNS, proxies; then set a new spec.runToken.",
    },
    Row {
        reason: Reason::ImagePullFailed,
        name: "ImagePullFailed",
        class: Class::Failure,
        when: "The node could not pull the image until the pending deadline.",
        advice: "Look at the message from the node: credentials, network, or an image that was deleted.",
    },
    Row {
        reason: Reason::SecretMissing,
        name: "SecretMissing",
        class: Class::Failure,
        when: "A Secret, or a key in it, that the action names did not appear until the pending deadline.",
        advice: "Create the Secret or the key, or correct its name in the spec; then set a new spec.runToken.",
    },
    Row {
        reason: Reason::ConfigMapMissing,
        name: "ConfigMapMissing",
        class: Class::Failure,
        when: "A ConfigMap, or a key in it, that the action names did not appear until the pending deadline.",
        advice: "Create the ConfigMap or the key, or correct its name in the spec; then set a new spec.runToken.",
    },
    Row {
        reason: Reason::ServiceAccountMissing,
        name: "ServiceAccountMissing",
        class: Class::Failure,
        when: "The service account did not appear until the pending deadline.",
        advice: "Create the service account, or correct spec.serviceAccountName; then set a new spec.runToken.",
    },
    Row {
        reason: Reason::QuotaExceeded,
        name: "QuotaExceeded",
        class: Class::Failure,
        when: "A resource quota left no room for the pod until the pending deadline.",
        advice: "Raise the quota, lower spec.resources, or wait; then set a new spec.runToken.",
    },
    Row {
        reason: Reason::Unschedulable,
        name: "Unschedulable",
        class: Class::Failure,
        when: "No node took the pod until the pending deadline.",
        advice: "Compare spec.resources and spec.podTemplate with what the nodes offer.",
    },
    Row {
        reason: Reason::ContainerConfigError,
        name: "ContainerConfigError",
        class: Class::Failure,
        when: "The node could not set up the container until the pending deadline.",
        advice: "The message has the node's own words.",
    },
    Row {
        reason: Reason::PendingDeadlineExceeded,
        name: "PendingDeadlineExceeded",
        class: Class::Failure,
        when: "The script had not started when spec.pendingDeadlineSeconds were over, for a cause that no status or event shows.",
        advice: "Look at the pod's events and the node; raise spec.pendingDeadlineSeconds where the image is large.",
    },
    Row {
        reason: Reason::NamespaceTerminating,
        name: "NamespaceTerminating",
        class: Class::Failure,
        when: "The namespace is being deleted, so no pod can be created in it.",
        advice: "Nothing: the action goes with its namespace.",
    },
    Row {
        reason: Reason::PodRefused,
        name: "PodRefused",
        class: Class::Failure,
        when: "The API server refused the pod: an admission policy, Pod Security, or a field that it does not accept.",
        advice: "The message has the server's own words.",
    },
    Row {
        reason: Reason::PodMutated,
        name: "PodMutated",
        class: Class::Failure,
        when: "Something in the cluster changed the pod's image, command or restart policy on its way, so it was removed before it could count.",
        advice: "Exempt Longshore's pods (label app.kubernetes.io/managed-by: longshore) from the webhook that changes them.",
    },
    Row {
        reason: Reason::PodNameTaken,
        name: "PodNameTaken",
        class: Class::Failure,
        when: "A pod that is not this run's has its name.",
        advice: "Remove the pod that the message names, if nobody needs it; then set a new spec.runToken.",
    },
    Row {
        reason: Reason::FrozenInputsChanged,
        name: "FrozenInputsChanged",
        class: Class::Failure,
        when: "The template, or the script's ConfigMap, changed after the run was recorded and before its pod had it, so that this run could no longer be executed as recorded.",
        advice: "To run it as it is now, set a new spec.runToken.",
    },
    Row {
        reason: Reason::StartFailed,
        name: "StartFailed",
        class: Class::Failure,
        when: "The container could not be started: the runtime failed, the node rejected the pod, or a container that somebody put in front of it failed.",
        advice: "The message has the runtime's or the node's own words.",
    },
    Row {
        reason: Reason::WorkingDirUnusable,
        name: "WorkingDirUnusable",
        class: Class::Failure,
        when: "The folder that spec.workingDir names is not there, is no folder, or the script's user may not enter and read it.",
        advice: "Correct spec.workingDir, make the folder in the image, or mount a volume there; a changed spec starts a run.",
    },
    Row {
        reason: Reason::InterpreterNotFound,
        name: "InterpreterNotFound",
        class: Class::Failure,
        when: "The image does not have the interpreter that the script needs.",
        advice: "Use an image that has it, name another in spec.script.interpreter, or run a program with spec.command.",
    },
    Row {
        reason: Reason::CommandNotFound,
        name: "CommandNotFound",
        class: Class::Failure,
        when: "The image does not have the program that spec.command names.",
        advice: "Correct spec.command, or use an image that has the program.",
    },
    Row {
        reason: Reason::NotExecutable,
        name: "NotExecutable",
        class: Class::Failure,
        when: "The interpreter or program is there and cannot be executed: no permission, another architecture, or a missing loader.",
        advice: "Use an image built for the nodes' architecture whose program is executable for every user.",
    },
    Row {
        reason: Reason::InputInvalid,
        name: "InputInvalid",
        class: Class::Failure,
        when: "A value cannot be handed to the script as asked.",
        advice: "The message names the variable; as: File hands any bytes over.",
    },
    Row {
        reason: Reason::BundleRejected,
        name: "BundleRejected",
        class: Class::Failure,
        when: "What the pod was told to do is not what the operator recorded: somebody changed the pod's annotation.",
        advice: "Find out who may patch pods in this namespace; then set a new spec.runToken.",
    },
    Row {
        reason: Reason::ScriptFailed,
        name: "ScriptFailed",
        class: Class::Failure,
        when: "The script ended with an exit code other than 0.",
        advice: "The last lines of the log say why.",
    },
    Row {
        reason: Reason::ScriptKilled,
        name: "ScriptKilled",
        class: Class::Failure,
        when: "A signal ended the script, or asked it to stop, and it was neither a deadline nor the end of its pod.",
        advice: "SIGKILL is often the kernel, short of memory: raise spec.resources.limits.memory. SIGSEGV and SIGABRT are the program's own. Asked to stop from outside, look at what was injected into the pod, such as probes and hooks.",
    },
    Row {
        reason: Reason::DeadlineExceeded,
        name: "DeadlineExceeded",
        class: Class::Failure,
        when: "The script ran longer than spec.runDeadlineSeconds and was stopped.",
        advice: "Raise spec.runDeadlineSeconds, or find out what it waits for.",
    },
    Row {
        reason: Reason::OutOfMemory,
        name: "OutOfMemory",
        class: Class::Failure,
        when: "The kernel ended the container because it used more memory than its limit.",
        advice: "Raise spec.resources.limits.memory.",
    },
    Row {
        reason: Reason::OutputsUnreadable,
        name: "OutputsUnreadable",
        class: Class::Failure,
        when: "The script ended with exit code 0 and has a required output, but its outputs file is malformed.",
        advice: "Write each line as name=value, and a value of several lines as name<<END, its lines, and a line END.",
    },
    Row {
        reason: Reason::OutputMissing,
        name: "OutputMissing",
        class: Class::Failure,
        when: "The script ended with exit code 0 and did not write an output that is required.",
        advice: "Write name=value to the file that $LONGSHORE_OUTPUT names, or make the output optional.",
    },
    Row {
        reason: Reason::Cancelled,
        name: "Cancelled",
        class: Class::Failure,
        when: "The run was cancelled by the annotation longshore.dev/cancel, before its script started or while it was running.",
        advice: "If the message says that the script was asked to stop, check what it left behind; to run it again, set a new spec.runToken or the annotation longshore.dev/rerun.",
    },
    Row {
        reason: Reason::Superseded,
        name: "Superseded",
        class: Class::Progress,
        when: "The spec changed before the script of the run, or of its next attempt, started: the run ended, and the next one is of the new spec.",
        advice: "",
    },
    Row {
        reason: Reason::PodDeleted,
        name: "PodDeleted",
        class: Class::Failure,
        when: "The pod was deleted, before the script started or while it was running; a running script was asked to stop. It is not run again unless spec.retry allows it.",
        advice: "If the message says that the script was running, check what it left behind; then set a new spec.runToken.",
    },
    Row {
        reason: Reason::Evicted,
        name: "Evicted",
        class: Class::Failure,
        when: "The node evicted the pod while the script was running. It is not run again unless spec.retry allows it.",
        advice: "Check what the script left behind; the message says what the node was short of.",
    },
    Row {
        reason: Reason::NodeLost,
        name: "NodeLost",
        class: Class::Failure,
        when: "The node stopped reporting, and the run's deadline has passed, or somebody put it out of service; whether the script ended by itself is not known.",
        advice: "Check what the script left behind before running it again.",
    },
    Row {
        reason: Reason::RunnerFailed,
        name: "RunnerFailed",
        class: Class::Failure,
        when: "The runner could not do its work before the script started: no space, or a file system that is read-only.",
        advice: "The message has the error; the script was not started.",
    },
    Row {
        reason: Reason::Unknown,
        name: "Unknown",
        class: Class::Failure,
        when: "The script may have run, and nothing says how it ended. It is not run again unless spec.retry allows it.",
        advice: "Check what the script left behind before running it again.",
    },
];

impl Reason {
    /// All of them, in the order in which a run meets them.
    pub fn all() -> impl Iterator<Item = Self> {
        ROWS.iter().map(|row| row.reason)
    }

    /// The reason that a condition carries, where it is one of ours.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        ROWS.iter().find(|row| row.name == name).map(|row| row.reason)
    }

    fn row(self) -> &'static Row {
        // The table is in the enum's order, which a test holds.
        &ROWS[self as usize]
    }

    /// As a condition has it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.row().name
    }

    /// What it says of the run.
    #[must_use]
    pub fn class(self) -> Class {
        self.row().class
    }

    /// When it is given: one sentence.
    #[must_use]
    pub fn when(self) -> &'static str {
        self.row().when
    }

    /// What to do then: one sentence, or nothing where nothing is to be done.
    #[must_use]
    pub fn advice(self) -> &'static str {
        self.row().advice
    }
}

impl std::fmt::Display for Reason {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(self.as_str())
    }
}

/// `docs/reference/reasons.md`.
#[must_use]
pub fn markdown() -> String {
    let mut page = String::from(
        "<!-- Generated by `make generate` from src/api/reason.rs. -->\n\n# Reasons\n\n\
         Every reason that an action's conditions can carry. `kubectl get da` shows the reason of `Ready`.\n",
    );
    for (class, title, text) in [
        (
            Class::Progress,
            "Under way",
            "`Ready` is False, `Reconciling` is True. A cause of failure below can show here too, while there is still time for it to go away.",
        ),
        (Class::Success, "As it should be", "`Ready` is True."),
        (
            Class::Failure,
            "Failed",
            "`Ready` is False, `Stalled` is True, `Succeeded` is False: nothing more happens by itself.",
        ),
    ] {
        page += &format!("\n## {title}\n\n{text}\n\n| reason | when | what to do |\n|---|---|---|\n");
        for row in ROWS.iter().filter(|row| row.class == class) {
            page += &format!("| `{}` | {} | {} |\n", row.name, row.when, row.advice);
        }
    }
    page += "\n## Conditions of their own\n\nThey are there only while they are True, beside whatever the outcome is; their reason is their name.\n\n| condition | when |\n|---|---|\n";
    for condition in ConditionType::OWN {
        page += &format!("| `{}` | {} |\n", condition.as_str(), condition.when());
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_the_enum_s_order() {
        for (index, row) in ROWS.iter().enumerate() {
            assert_eq!(row.reason as usize, index, "{}", row.name);
            assert_eq!(format!("{:?}", row.reason), row.name);
            assert_eq!(Reason::parse(row.name), Some(row.reason));
        }
    }

    #[test]
    fn every_failure_says_what_to_do() {
        for row in ROWS.iter().filter(|row| row.class == Class::Failure) {
            assert!(!row.advice.is_empty(), "{}", row.name);
        }
    }
}
