//! The document that tells the runner what to do. It travels with the pod.

use serde::{Deserialize, Serialize};

use super::sha256_hex;

/// The longest serialized bundle, in bytes. A pod's annotations hold 256 KiB in all. A quarter is left for
/// those that webhooks add.
pub const MAX_BYTES: usize = 192 * 1024;

/// Everything that the runner needs to know about one attempt. Sensitive values are not in it: the kubelet
/// mounts them at the paths of [`Source::File`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Bundle {
    /// [`super::VERSION`] of the operator that wrote it.
    pub version: u32,
    /// The attempt that this bundle is for.
    pub run: RunIdentity,
    /// The image, pinned, so that the bundle's hash covers it.
    pub image: String,
    /// The packages, pinned, so that the bundle's hash covers them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub packages: Vec<Package>,
    /// What to start.
    pub program: Program,
    /// Arguments behind the script or the command.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// Folders whose files are variables. They come before [`Self::variables`], and the later one wins.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub variables_from: Vec<Folder>,
    /// In the order in which the action lists them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub variables: Vec<Variable>,
    /// The outputs that the action declares, apart from [`Self::sensitive`]. Others are reported and dropped.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outputs: Vec<Output>,
    /// The sensitive outputs that the action declares. A runner that does not know this field takes none of them
    /// for an output, and so shows none of their values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sensitive: Option<Sensitive>,
    /// How long it may take.
    pub limits: Limits,
    /// The folder in which the script starts. Without one, an empty folder of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub working_dir: Option<WorkingDir>,
    /// The user that the image names, if the script runs as another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_user: Option<String>,
    /// How its output reaches the log.
    #[serde(default, skip_serializing_if = "Streams::is_default")]
    pub streams: Streams,
}

/// The folder in which a script starts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum WorkingDir {
    /// The image's, in which the container starts.
    Image,
    /// This one, an absolute path.
    Path(String),
}

/// How standard output and standard error reach the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Streams {
    /// Through one pipe: in the order in which they were written, but not distinguishable.
    #[default]
    Merged,
    /// Through a pipe each: distinguishable, but their order is only known as far as they were read in time.
    Separate,
}

impl Streams {
    #[allow(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// Names one attempt of one run of one action.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunIdentity {
    /// The action's namespace.
    pub namespace: String,
    /// The action's name.
    pub action: String,
    /// The action's UID.
    pub action_uid: String,
    /// The run's id, such as `5f3c9a1b-3`. It contains a part of the action's UID.
    pub id: String,
    /// The run's number, from 1.
    pub number: u32,
    /// The attempt's number, from 1.
    pub attempt: u32,
}

/// A package of the attempt, in the folder of its name below [`super::place::PACKAGES_DIR`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Package {
    /// Its name.
    pub name: String,
    /// `repository@digest`.
    pub reference: String,
}

/// The program that the runner starts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Program {
    /// A script, run by an interpreter.
    #[serde(rename_all = "camelCase")]
    Script {
        /// The script itself.
        text: String,
        /// The interpreter and its arguments. If empty, the script's `#!` line decides. Without that line,
        /// `/bin/sh` runs the script.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        interpreter: Vec<String>,
        /// The name of the script's file, if it matters.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        file_name: Option<String>,
    },
    /// A script that the kubelet mounts, run by an interpreter.
    #[serde(rename_all = "camelCase")]
    ScriptFile {
        /// SHA-256 of its text when the run was frozen. Another text is not run.
        sha256: String,
        /// Its source in words for people: `key "run.sh" of ConfigMap "deploy"`.
        origin: String,
        /// The same as in [`Program::Script`].
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        interpreter: Vec<String>,
        /// The same as in [`Program::Script`].
        #[serde(default, skip_serializing_if = "Option::is_none")]
        file_name: Option<String>,
    },
    /// A program of the image.
    #[serde(rename_all = "camelCase")]
    Command {
        /// The program and its first arguments. Never empty.
        argv: Vec<String>,
    },
}

impl Program {
    /// The name of the script's file, if the action gives one.
    #[must_use]
    pub fn file_name(&self) -> Option<&str> {
        match self {
            Self::Script { file_name, .. } | Self::ScriptFile { file_name, .. } => file_name.as_deref(),
            Self::Command { .. } => None,
        }
    }
}

/// One variable of the script.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Variable {
    /// The environment variable's name.
    pub name: String,
    /// The source of its value.
    pub source: Source,
    /// Whether the variable holds the path of a file with the value, and not the value.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub as_file: bool,
    /// The file's mode, if it is not 0600.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<u32>,
    /// The path of a link to the file: below the home if it begins with `~/`, else below the working
    /// folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
}

/// A folder that the kubelet mounts. Each file in it is a variable: its name is the prefix and the file's
/// name, its value is the file's content. Like a container's `envFrom`, it leaves out files whose names
/// cannot be a variable's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Folder {
    /// Its path below [`super::place::SOURCES_DIR`].
    pub path: String,
    /// The text in front of each file's name.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub prefix: String,
    /// Whether the values are secret. Secret values are masked wherever they appear.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub secret: bool,
    /// The object in words for people: `Secret "orders-db"`.
    pub origin: String,
}

/// The source of a variable's value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Source {
    /// The value itself, which is not a secret.
    #[serde(rename_all = "camelCase")]
    Value {
        /// The value.
        value: String,
    },
    /// A file that the kubelet mounts.
    #[serde(rename_all = "camelCase")]
    File {
        /// Its path below [`super::place::INPUTS_DIR`].
        path: String,
        /// Whether the value is secret. A secret value is masked wherever it appears.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        secret: bool,
        /// Whether the file may be missing. The variable is then not set.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        optional: bool,
        /// Its source in words for people: `key "password" of Secret "orders-db"`.
        origin: String,
    },
}

/// An output that the action declares.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Output {
    /// Its name.
    pub name: String,
}

/// Outputs whose values leave the container only sealed ([`crate::seal`]).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Sensitive {
    /// Their names.
    pub names: Vec<String>,
    /// The public key of this attempt.
    pub public_key: String,
}

/// Bounds that the runner enforces by its own clock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Limits {
    /// From the script's start to SIGTERM, in seconds.
    pub run_deadline_seconds: u64,
    /// From SIGTERM to SIGKILL, in seconds.
    pub grace_seconds: u64,
}

impl Bundle {
    /// Writes the bundle as JSON. The same bundle always gives the same bytes.
    ///
    /// # Errors
    /// Never for this type. The signature is serde's.
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(self)
    }

    /// Reads a bundle and checks it against the hash that the pod's spec holds.
    ///
    /// # Errors
    /// The hash, the JSON, or the version does not fit.
    pub fn from_json(text: &str, sha256: &str) -> Result<Self, BundleError> {
        let found = sha256_hex(text.as_bytes());
        if found != sha256 {
            return Err(BundleError::Mismatch { wanted: sha256.to_owned(), found });
        }
        let bundle: Self = serde_json::from_str(text)?;
        if bundle.version != super::VERSION {
            return Err(BundleError::Version(bundle.version));
        }
        Ok(bundle)
    }
}

/// Why a bundle cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// Somebody changed the pod's annotation.
    #[error("the bundle's SHA-256 is {found}, the pod's spec says {wanted}: the annotation was changed")]
    Mismatch {
        /// The hash in the pod's spec.
        wanted: String,
        /// The hash of the bundle.
        found: String,
    },
    /// It is no bundle.
    #[error("the bundle cannot be read: {0}")]
    Json(#[from] serde_json::Error),
    /// Another release wrote it.
    #[error("the bundle has version {0}, this runner reads version {ours}", ours = super::VERSION)]
    Version(u32),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bundle() -> Bundle {
        Bundle {
            version: 1,
            run: RunIdentity {
                namespace: "shop".into(),
                action: "deploy".into(),
                action_uid: "5f3c9a1b-0000".into(),
                id: "5f3c9a1b-3".into(),
                number: 3,
                attempt: 1,
            },
            image: "r/i@sha256:00".into(),
            packages: vec![],
            program: Program::Script { text: "echo hi".into(), interpreter: vec![], file_name: None },
            args: vec![],
            variables_from: vec![],
            variables: vec![Variable {
                name: "A".into(),
                source: Source::Value { value: "b".into() },
                as_file: false,
                mode: None,
                path: None,
            }],
            outputs: vec![],
            sensitive: None,
            limits: Limits { run_deadline_seconds: 3600, grace_seconds: 30 },
            working_dir: None,
            image_user: None,
            streams: Streams::Merged,
        }
    }

    #[test]
    fn a_bundle_comes_back_as_it_went() {
        let text = bundle().to_json().unwrap();
        assert_eq!(Bundle::from_json(&text, &sha256_hex(text.as_bytes())).unwrap(), bundle());
    }

    #[test]
    fn what_is_not_the_default_comes_back_too() {
        for working_dir in [WorkingDir::Image, WorkingDir::Path("/app".into())] {
            let bundle = Bundle {
                working_dir: Some(working_dir),
                image_user: Some("app".into()),
                streams: Streams::Separate,
                sensitive: Some(Sensitive { names: vec!["token".into()], public_key: "AA==".into() }),
                ..bundle()
            };
            let text = bundle.to_json().unwrap();
            assert_eq!(Bundle::from_json(&text, &sha256_hex(text.as_bytes())).unwrap(), bundle);
        }
    }

    #[test]
    fn a_changed_bundle_is_refused() {
        let text = bundle().to_json().unwrap();
        let hash = sha256_hex(text.as_bytes());
        let forged = text.replace("echo hi", "echo no");
        assert!(matches!(Bundle::from_json(&forged, &hash), Err(BundleError::Mismatch { .. })));
    }

    #[test]
    fn a_bundle_of_another_version_is_refused() {
        let text = Bundle { version: 2, ..bundle() }.to_json().unwrap();
        let read = Bundle::from_json(&text, &sha256_hex(text.as_bytes()));
        assert!(matches!(read, Err(BundleError::Version(2))));
    }

    #[test]
    fn the_bundle_s_bytes_are_those_of_this_version() {
        // A change here changes every stored hash: it needs a new version.
        assert_eq!(
            bundle().to_json().unwrap(),
            concat!(
                r#"{"version":1,"run":{"namespace":"shop","action":"deploy","actionUid":"5f3c9a1b-0000","#,
                r#""id":"5f3c9a1b-3","number":3,"attempt":1},"image":"r/i@sha256:00","#,
                r#""program":{"script":{"text":"echo hi"}},"#,
                r#""variables":[{"name":"A","source":{"value":{"value":"b"}}}],"#,
                r#""limits":{"runDeadlineSeconds":3600,"graceSeconds":30}}"#
            )
        );
    }
}
