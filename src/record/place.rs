//! Where things lie in an action's container: the operator mounts them there, the runner finds
//! them there.

use std::ffi::OsStr;

/// The folder that holds the runner's binary and nothing else.
pub const RUNNER_DIR: &str = "/longshore/bin";
/// The runner's file name, in its image as in [`RUNNER_DIR`].
pub const RUNNER_FILE: &str = "longshore-runner";
/// The folder of the downward API volume that shows the bundle.
pub const BUNDLE_DIR: &str = "/longshore/bundle";
/// The bundle's file name in [`BUNDLE_DIR`].
pub const BUNDLE_FILE: &str = "bundle.json";
/// In [`BUNDLE_DIR`] too: why the script is being stopped, where somebody says so; else empty.
pub const STOP_REASON_FILE: &str = "stop-reason";
/// Values from Secrets and `ConfigMap`s, mounted by the kubelet; [`super::bundle::Source::File`]
/// names paths below it.
pub const INPUTS_DIR: &str = "/longshore/inputs";
/// Whole Secrets and `ConfigMap`s, a folder each, mounted by the kubelet;
/// [`super::bundle::Folder`] names paths below it.
pub const SOURCES_DIR: &str = "/longshore/sources";
/// The folder of the volume that shows a script from a `ConfigMap`.
pub const SCRIPT_SOURCE_DIR: &str = "/longshore/script-source";
/// The script's file name in [`SCRIPT_SOURCE_DIR`], and in [`SCRIPT_DIR`] where it has no other.
pub const SCRIPT_FILE: &str = "script";
/// The folder of the script that runs, and of nothing else: scripts go to their own folder and remove what
/// lies there.
pub const SCRIPT_DIR: &str = "/longshore/script";
/// Values that the script has as files: in memory, since they may be secret.
pub const FILES_DIR: &str = "/longshore/files";
/// The script's packages, a folder each.
pub const PACKAGES_DIR: &str = "/longshore/packages";
/// Where the container that fetches packages finds pull Secrets, a folder each.
pub const PULL_SECRETS_DIR: &str = "/longshore/pull";
/// The file name of the program that fetches packages, in the runner's image.
pub const FETCH_FILE: &str = "longshore-fetch";
/// Claim, exit record and outputs file; on disk, since the claim must outlive the process.
pub const STATE_DIR: &str = "/longshore/state";
/// The volume of the script's working directory. A volume's own folder is root's, and git works in no
/// repository whose folder is another user's.
pub const WORK_VOLUME_DIR: &str = "/longshore/work";
/// The script's working directory, the script's own and empty at the start.
pub const WORK_DIR: &str = "/longshore/work/run";
/// The volume of the script's `HOME`.
pub const HOME_VOLUME_DIR: &str = "/longshore/home";
/// The script's `HOME`, its own too: pip and gpg distrust one that is another user's.
pub const HOME_DIR: &str = "/longshore/home/run";
/// The script's `TMPDIR`.
pub const TMP_DIR: &str = "/tmp";
/// The folder of the socket at which C libraries ask about users, and the runner answers: glibc before it
/// reads the image's `/etc/passwd`, musl after.
pub const NAMES_DIR: &str = "/var/run/nscd";
/// The socket's file name in [`NAMES_DIR`].
pub const NAMES_FILE: &str = "socket";
/// Where the kubelet reads the container's termination message.
pub const TERMINATION_LOG: &str = "/dev/termination-log";

/// A file that may hold a token, which is replaced by a new one now and then: the service account's,
/// where the pod has one (`plugin/pkg/admission/serviceaccount` of Kubernetes).
pub const TOKEN_FILE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";

/// SHA-256 of the bundle, in the pod's spec, which nobody can change.
pub const ENV_BUNDLE_SHA256: &str = "LONGSHORE_BUNDLE_SHA256";
/// The pod's UID, from the downward API.
pub const ENV_POD_UID: &str = "LONGSHORE_POD_UID";
/// Names that begin so belong to Longshore; variables of an action may not.
pub const RESERVED_PREFIX: &str = "LONGSHORE_";

/// Whether a variable's name belongs to Longshore.
#[must_use]
pub fn is_reserved(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(RESERVED_PREFIX.as_bytes())
}

/// The parent of what the script traces, by W3C Trace Context: the runner hands the container's
/// environment on, and an action may have a variable of its own by this name.
pub const ENV_TRACEPARENT: &str = "TRACEPARENT";
/// The script's outputs file.
pub const ENV_OUTPUT: &str = "LONGSHORE_OUTPUT";
/// The file that says why the script was asked to stop; it exists once it was.
pub const ENV_STOP_REASON_FILE: &str = "LONGSHORE_STOP_REASON_FILE";
/// The folder of the packages; set where there are any.
pub const ENV_PACKAGES: &str = "LONGSHORE_PACKAGES";
/// What the variables begin with, then a number from 0, that hold parts of the certificates (PEM) of
/// authorities that registries may have, for whoever fetches packages.
pub const ENV_FETCH_CA: &str = "LONGSHORE_FETCH_CA_";
/// The action's namespace.
pub const ENV_NAMESPACE: &str = "LONGSHORE_NAMESPACE";
/// The action's name.
pub const ENV_ACTION: &str = "LONGSHORE_ACTION";
/// The run's id, such as `5f3c9a1b-3`.
pub const ENV_RUN_ID: &str = "LONGSHORE_RUN_ID";
/// The run's number, from 1.
pub const ENV_RUN: &str = "LONGSHORE_RUN";
/// The attempt's number within the run, from 1.
pub const ENV_ATTEMPT: &str = "LONGSHORE_ATTEMPT";
/// A text that names the run and is the same in each of its attempts, in every cluster: for services
/// that do a thing once for each such key.
pub const ENV_IDEMPOTENCY_KEY: &str = "LONGSHORE_IDEMPOTENCY_KEY";
