//! The paths and variables in an action's container. The operator sets them up, and the runner uses them.

use std::ffi::OsStr;

/// The folder that holds the runner's binary and nothing else.
pub const RUNNER_DIR: &str = "/longshore/bin";
/// The runner's file name, in its image as in [`RUNNER_DIR`].
pub const RUNNER_FILE: &str = "longshore-runner";
/// The folder of the downward API volume that shows the bundle.
pub const BUNDLE_DIR: &str = "/longshore/bundle";
/// The bundle's file name in [`BUNDLE_DIR`].
pub const BUNDLE_FILE: &str = "bundle.json";
/// A file in [`BUNDLE_DIR`] that says why the script is being stopped. Empty without such a reason.
pub const STOP_REASON_FILE: &str = "stop-reason";
/// The folder of the downward API volume for the log. The bundle has one of its own, since the kubelet writes
/// all files of a volume anew.
pub const LOG_DIR: &str = "/longshore/log";
/// [`super::credit::Limits`], in [`LOG_DIR`].
pub const LOG_LIMITS_FILE: &str = "limits";
/// [`super::credit::Credit`], in [`LOG_DIR`]. Empty until the operator has written one.
pub const LOG_CREDIT_FILE: &str = "credit";
/// Values from Secrets and `ConfigMap`s, mounted by the kubelet. [`super::bundle::Source::File`] has paths
/// below it.
pub const INPUTS_DIR: &str = "/longshore/inputs";
/// Whole Secrets and `ConfigMap`s, a folder each, mounted by the kubelet. [`super::bundle::Folder`] has paths
/// below it.
pub const SOURCES_DIR: &str = "/longshore/sources";
/// The folder of the volume that shows a script from a `ConfigMap`.
pub const SCRIPT_SOURCE_DIR: &str = "/longshore/script-source";
/// The script's file name in [`SCRIPT_SOURCE_DIR`], and in [`SCRIPT_DIR`] unless the action gives another.
pub const SCRIPT_FILE: &str = "script";
/// The folder of the script that runs, and of nothing else: scripts change to their own folder and delete its
/// content.
pub const SCRIPT_DIR: &str = "/longshore/script";
/// Values that the script gets as files. They are in memory, since they may be secret.
pub const FILES_DIR: &str = "/longshore/files";
/// The script's packages, a folder each.
pub const PACKAGES_DIR: &str = "/longshore/packages";
/// Pull Secrets for the container that fetches packages, a folder each.
pub const PULL_SECRETS_DIR: &str = "/longshore/pull";
/// The file name of the program that fetches packages, in the runner's image.
pub const FETCH_FILE: &str = "longshore-fetch";
/// The claim, the exit record, the outputs file and the file of values to mask. They are on disk, since the
/// claim must outlive the process.
pub const STATE_DIR: &str = "/longshore/state";
/// The volume of the script's working directory. A volume's own folder belongs to root, and git refuses a
/// repository whose folder belongs to another user.
pub const WORK_VOLUME_DIR: &str = "/longshore/work";
/// The script's working directory. It belongs to the script's user and is empty at the start.
pub const WORK_DIR: &str = "/longshore/work/run";
/// The volume of the script's `HOME`.
pub const HOME_VOLUME_DIR: &str = "/longshore/home";
/// The script's `HOME`. It belongs to the script's user: pip and gpg distrust another user's folder.
pub const HOME_DIR: &str = "/longshore/home/run";
/// The script's `TMPDIR`.
pub const TMP_DIR: &str = "/tmp";
/// The folder of the socket at which the runner answers questions about users. glibc asks there before it
/// reads the image's `/etc/passwd`, musl after it.
pub const NAMES_DIR: &str = "/var/run/nscd";
/// The socket's file name in [`NAMES_DIR`].
pub const NAMES_FILE: &str = "socket";
/// The file from which the kubelet reads the container's termination message.
pub const TERMINATION_LOG: &str = "/dev/termination-log";

/// The service account's token, if the pod has one (`plugin/pkg/admission/serviceaccount` of Kubernetes). The
/// kubelet replaces it from time to time.
pub const TOKEN_FILE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";

/// SHA-256 of the bundle. It is in the pod's spec, which cannot be changed.
pub const ENV_BUNDLE_SHA256: &str = "LONGSHORE_BUNDLE_SHA256";
/// The pod's UID, from the downward API.
pub const ENV_POD_UID: &str = "LONGSHORE_POD_UID";
/// The prefix of names that belong to Longshore. Variables of an action must not have it.
pub const RESERVED_PREFIX: &str = "LONGSHORE_";

/// Whether a variable's name belongs to Longshore.
#[must_use]
pub fn is_reserved(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(RESERVED_PREFIX.as_bytes())
}

/// The parent of the script's traces, by W3C Trace Context. The script gets it with the container's
/// environment, and an action may set the variable itself.
pub const ENV_TRACEPARENT: &str = "TRACEPARENT";
/// The script's outputs file.
pub const ENV_OUTPUT: &str = "LONGSHORE_OUTPUT";
/// The file to which the script adds values that the log must not show, one a line.
pub const ENV_MASK: &str = "LONGSHORE_MASK";
/// The file that says why the script was asked to stop. It exists from then on.
pub const ENV_STOP_REASON_FILE: &str = "LONGSHORE_STOP_REASON_FILE";
/// The folder of the packages. Set if there are any.
pub const ENV_PACKAGES: &str = "LONGSHORE_PACKAGES";
/// The prefix of variables for the container that fetches packages. A number from 0 follows. They hold parts
/// of the certificates (PEM) of registries' authorities.
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
/// A text that names the run. It is the same in every attempt and unique over all clusters. It is for
/// services that do a job once for each such key.
pub const ENV_IDEMPOTENCY_KEY: &str = "LONGSHORE_IDEMPOTENCY_KEY";
