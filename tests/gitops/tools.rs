//! The tools, as programs: what they are told, and what they say.

use std::{
    ffi::OsStr,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::LazyLock,
};

use serde_json::Value;

use crate::support::namespace::{Namespace, setting, until};

/// A folder for files, removed at its end.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    /// With a copy of what is in these files and folders of the repository.
    pub(crate) fn with(namespace: &str, parts: &[&str]) -> Self {
        let folder = Self(std::env::temp_dir().join(format!("longshore-{namespace}")));
        std::fs::create_dir(&folder.0).expect("a folder of the test's own");
        for part in parts {
            let part = repository(part);
            let part = if part.is_dir() { part.join(".") } else { part };
            run("cp", ["-r".as_ref(), part.as_os_str(), folder.0.as_os_str()], "").succeeded();
        }
        folder
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A path of the repository.
pub(crate) fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// How a program ended.
#[derive(Debug)]
pub(crate) struct Ended {
    what: String,
    pub(crate) well: bool,
    pub(crate) out: String,
    pub(crate) errors: String,
}

impl Ended {
    /// It did as it was told. Its output.
    #[track_caller]
    pub(crate) fn succeeded(self) -> String {
        assert!(self.well, "{}: {}{}", self.what, self.out, self.errors);
        self.out
    }

    /// It did not. Its words on both streams.
    #[track_caller]
    pub(crate) fn failed(self) -> String {
        assert!(!self.well, "{} succeeded: {}{}", self.what, self.out, self.errors);
        format!("{}{}", self.out, self.errors)
    }

    #[track_caller]
    pub(crate) fn json(self) -> Value {
        serde_json::from_str(&self.succeeded()).expect("JSON")
    }
}

/// Runs a program with this on its standard input.
pub(crate) fn run<A: AsRef<OsStr>>(
    program: impl AsRef<OsStr>,
    arguments: impl IntoIterator<Item = A>,
    input: &str,
) -> Ended {
    let mut command = Command::new(program.as_ref());
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let what = format!("{command:?}");
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{what}: {error}"));
    // One that reads nothing of it may have ended.
    let _ = child.stdin.take().expect("it is piped").write_all(input.as_bytes());
    let output = child.wait_with_output().expect("waiting for it");
    Ended {
        what,
        well: output.status.success(),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        errors: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

impl Namespace {
    pub(crate) fn kubectl(&self, arguments: &[&str]) -> Ended {
        self.kubectl_with(arguments, "")
    }

    pub(crate) fn kubectl_with(&self, arguments: &[&str], input: &str) -> Ended {
        setting("KUBECONFIG");
        run("kubectl", ["--namespace", &self.name].iter().chain(arguments), input)
    }

    pub(crate) fn helm(&self, arguments: &[&str]) -> Ended {
        setting("KUBECONFIG");
        run("helm", ["--namespace", &self.name].iter().chain(arguments), "")
    }

    /// The action as the API server has it.
    pub(crate) fn object(&self, name: &str) -> Value {
        self.kubectl(&["get", "deploymentaction", name, "--output=json"]).json()
    }

    /// The action once its log is read to its end, which on a busy node follows the verdict.
    pub(crate) async fn settled(&self, name: &str) -> Value {
        until("the log is read to its end", async || {
            Some(self.object(name)).filter(|object| object["status"]["log"]["state"] != "Collecting")
        })
        .await
    }
}

/// The program of `tests/cluster/build/gitops`.
static READER: LazyLock<PathBuf> = LazyLock::new(|| {
    let build = repository("tests/cluster/build/build.sh");
    run(&build, ["gitops"], "").succeeded();
    let path = run(&build, ["--path", "gitops"], "").succeeded();
    Path::new(path.trim_end()).join("gitops")
});

fn reader(arguments: &[&str], object: &Value) -> Ended {
    run(READER.as_path(), arguments, &object.to_string())
}

/// A tool's verdict on an object.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) status: String,
    pub(crate) message: String,
}

impl From<Value> for Seen {
    fn from(answer: Value) -> Self {
        let text = |field: &str| answer[field].as_str().expect("a text").to_owned();
        Self { status: text("status"), message: text("message") }
    }
}

/// The verdict of kstatus, for Flux and Helm.
pub(crate) fn kstatus(object: &Value) -> Seen {
    reader(&["kstatus"], object).json().into()
}

/// The verdict of Argo CD with `gitops/argocd/health.lua`.
pub(crate) fn argocd(object: &Value) -> Seen {
    argocd_by(&repository("gitops/argocd/health.lua"), object).json().into()
}

pub(crate) fn argocd_by(script: &Path, object: &Value) -> Ended {
    reader(&["argocd-health", script.to_str().expect("a path of text")], object)
}

/// Which actions Argo CD offers for an object, with whether each can be chosen.
pub(crate) fn argocd_actions(object: &Value) -> Value {
    let script = repository("gitops/argocd/actions/discovery.lua");
    reader(&["argocd-actions", script.to_str().expect("a path of text")], object).json()
}

/// The object that Argo CD would write if somebody chooses this action.
pub(crate) fn argocd_action(name: &str, object: &Value) -> Ended {
    let script = repository(&format!("gitops/argocd/actions/{name}.lua"));
    reader(&["argocd-action", script.to_str().expect("a path of text")], object)
}

/// What Flux makes of an object with these variables, as `NAME=VALUE`.
pub(crate) fn flux_substitute(object: &Value, variables: &[&str]) -> Ended {
    reader(&[&["flux-substitute"], variables].concat(), object)
}

/// What both say of an object, which is to be this.
#[track_caller]
pub(crate) fn assert_seen(object: &Value, in_kstatus: &str, in_argocd: &str) -> (Seen, Seen) {
    let seen = (kstatus(object), argocd(object));
    assert_eq!(
        (seen.0.status.as_str(), seen.1.status.as_str()),
        (in_kstatus, in_argocd),
        "{seen:?}: {object}"
    );
    seen
}

/// The result of Flux's engine.
pub(crate) struct Applied {
    /// created, configured or unchanged.
    pub(crate) action: String,
    /// Why it gave the wait up; empty where the object became ready.
    pub(crate) failure: String,
}

/// Applies an object and waits for it, as a Kustomization with `wait: true` and this timeout does.
pub(crate) fn flux_apply(object: &Value, timeout: &str) -> Applied {
    setting("KUBECONFIG");
    let answer = reader(&["flux-apply", timeout], object).json();
    let text = |field: &str| answer[field].as_str().expect("a text").to_owned();
    Applied { action: text("action"), failure: text("failure") }
}
