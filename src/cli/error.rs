//! Why a command failed: what it was about, what was wrong, what to do next; and the exit code.

use kube::core::Status;

use super::right::{Denied, Right};

/// Why a command failed.
///
/// Each text names the object and says what was wrong. If there is a next command, it is in a line of its own.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// The flags or arguments cannot be used so.
    #[error("{0}")]
    Usage(String),
    /// There is no configuration for the API server, or it cannot be used.
    #[error("no configuration for the API server: {0}")]
    Unconfigured(String),
    /// The API server does not answer.
    #[error("{} does not answer: {cause}\n{}", server.as_deref().unwrap_or("the API server"), unreachable_advice(cause))]
    Unreachable {
        /// The server's address, if it is known.
        server: Option<String>,
        /// What happened.
        cause: String,
    },
    /// The API server does not accept the credentials.
    #[error(
        "the API server does not accept your credentials: {0}\nlog in again, or choose others with --context, --user or --token"
    )]
    Unauthorized(String),
    /// A right is missing.
    #[error("{0}")]
    Forbidden(Box<Denied>),
    /// The object does not exist.
    #[error("{0}")]
    NotFound(String),
    /// The cluster does not know Longshore's kinds.
    #[error(
        "the cluster does not have {0}: Longshore is not installed here, or is older than this plugin\nkubectl longshore check says more; docs/guides/operations.md says how to install it"
    )]
    NotInstalled(String),
    /// The API server refused what was asked for.
    #[error("{0}")]
    Refused(String),
    /// Another answer of the API server, or none.
    #[error("{}", chain(.0))]
    Kube(#[source] Box<kube::Error>),
    /// A file cannot be read, or the output cannot be written.
    #[error("{0}")]
    Io(std::io::Error),
    /// Nobody reads the output any more, as after `| head`. Nothing is wrong.
    #[error("the output was closed")]
    Closed,
    /// The time that the caller gave has passed. What is under way goes on.
    #[error("{0}")]
    TimedOut(String),
    /// The command could not do its work.
    #[error("{0}")]
    Failed(String),
    /// All is said. The exit code is that of a script, or of an answer such as "no".
    #[error("exit code {0}")]
    Ended(u8),
}

/// Exit code: the command failed for a cause without a code of its own.
pub const FAILED: u8 = 1;
/// Exit code: the flags or arguments are wrong. Clap uses it too.
pub const USAGE: u8 = 2;
/// Exit code: the object does not exist.
pub const NOT_FOUND: u8 = 3;
/// Exit code: a right is missing, or the credentials are not accepted.
pub const FORBIDDEN: u8 = 4;
/// Exit code: the API server does not answer, or there is no configuration for it.
pub const UNREACHABLE: u8 = 5;
/// Exit code: the API server refused an object.
pub const REFUSED: u8 = 6;
/// Exit code: Longshore is not installed, or does not work.
pub const NOT_INSTALLED: u8 = 7;
/// Exit code of `diff --exit-code`: a run would begin.
pub const WOULD_RUN: u8 = 8;
/// Exit code: a time has passed, that of `--timeout` or a deadline of the run. It is that of `timeout`(1), too.
pub const TIMED_OUT: u8 = 124;
/// Exit code of `run` after Ctrl-C, as shells have it: 128 plus the number of SIGINT.
pub const INTERRUPTED: u8 = 130;

impl CliError {
    /// The exit code of the program (docs/reference/plugin.md).
    #[must_use]
    pub const fn code(&self) -> u8 {
        match self {
            Self::Usage(_) => USAGE,
            Self::NotFound(_) => NOT_FOUND,
            Self::Forbidden(_) | Self::Unauthorized(_) => FORBIDDEN,
            Self::Unconfigured(_) | Self::Unreachable { .. } => UNREACHABLE,
            Self::Refused(_) => REFUSED,
            Self::NotInstalled(_) => NOT_INSTALLED,
            Self::TimedOut(_) => TIMED_OUT,
            Self::Kube(_) | Self::Io(_) | Self::Failed(_) => FAILED,
            Self::Closed => 0,
            Self::Ended(code) => *code,
        }
    }

    /// Whether the program has nothing more to say.
    #[must_use]
    pub const fn is_told(&self) -> bool {
        matches!(self, Self::Closed | Self::Ended(_))
    }

    /// The error with the server's address, if it is about the server.
    #[must_use]
    pub fn at(self, address: &str) -> Self {
        match self {
            Self::Unreachable { server: None, cause } => {
                Self::Unreachable { server: Some(address.to_owned()), cause }
            }
            other => other,
        }
    }

    /// An answer of the API server that is an error.
    #[must_use]
    pub fn of_status(status: &Status) -> Self {
        match status.code {
            401 => Self::Unauthorized(status.message.clone()),
            403 => match Right::denied(&status.message) {
                Some(denied) => Self::Forbidden(Box::new(denied)),
                // A policy, not a missing right.
                None => Self::Refused(status.message.clone()),
            },
            404 => {
                let details = status.details.as_ref();
                if details.is_some_and(|details| !details.name.is_empty()) {
                    return Self::NotFound(status.message.clone());
                }
                let kind = details.map_or("", |details| details.kind.as_str());
                let kind = if kind.is_empty() { "the kinds of longshore.dev" } else { kind };
                Self::NotInstalled(kind.to_owned())
            }
            400 | 405 | 409 | 413 | 415 | 422 => Self::Refused(status.message.clone()),
            _ => Self::Kube(Box::new(kube::Error::Api(Box::new(status.clone())))),
        }
    }
}

impl From<kube::Error> for CliError {
    fn from(error: kube::Error) -> Self {
        match error {
            kube::Error::Api(status) => Self::of_status(&status),
            kube::Error::Service(cause) => Self::Unreachable { server: None, cause: chain(&*cause) },
            kube::Error::HyperError(cause) => Self::Unreachable { server: None, cause: chain(&cause) },
            kube::Error::ReadEvents(cause) => Self::Unreachable { server: None, cause: chain(&cause) },
            kube::Error::Auth(cause) => Self::Unauthorized(chain(&cause)),
            kube::Error::InferKubeconfig(cause) => cause.into(),
            kube::Error::InferConfig(cause) => cause.into(),
            other => Self::Kube(Box::new(other)),
        }
    }
}

impl From<std::io::Error> for CliError {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::BrokenPipe => Self::Closed,
            _ => Self::Io(error),
        }
    }
}

/// An error with its causes, each once.
pub(super) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let told = cause.to_string();
        if !text.contains(&told) {
            text.push_str(": ");
            text.push_str(&told);
        }
        next = cause.source();
    }
    text
}

/// What to check if the server does not answer.
fn unreachable_advice(cause: &str) -> &'static str {
    let cause = cause.to_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| cause.contains(word));
    if has(&["certificate", "invalid peer"]) {
        "check certificate-authority-data of the kubeconfig's cluster: it is not that of this server"
    } else if has(&["dns", "lookup", "resolve"]) {
        "check the server's name in the kubeconfig, and your network or VPN"
    } else if has(&["auth", "exec"]) {
        "check the credentials of the kubeconfig's user: kubectl auth whoami"
    } else if has(&["refused"]) {
        "nothing listens there: check that the cluster is up and that the context is the right one: kubectl config current-context"
    } else {
        "check that the cluster is up, and your network or VPN: kubectl cluster-info"
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn status(code: u16, message: &str, name: &str) -> Status {
        let status = json!({"code": code, "message": message, "details": {"name": name}});
        serde_json::from_value(status).unwrap()
    }

    #[test]
    fn each_answer_has_its_exit_code() {
        for (code, message, name, exit) in [
            (401, "Unauthorized", "", FORBIDDEN),
            (
                403,
                r#"x is forbidden: User "a" cannot list resource "pods" in API group "" in the namespace "n""#,
                "",
                FORBIDDEN,
            ),
            (403, "ValidatingAdmissionPolicy 'p' denied request: no", "", REFUSED),
            (404, r#"deploymentactions.longshore.dev "x" not found"#, "x", NOT_FOUND),
            (404, "404 page not found", "", NOT_INSTALLED),
            (409, "conflict", "x", REFUSED),
            (422, "invalid", "x", REFUSED),
            (500, "etcd", "", FAILED),
        ] {
            assert_eq!(CliError::of_status(&status(code, message, name)).code(), exit, "{message}");
        }
        assert_eq!(CliError::from(std::io::Error::from(std::io::ErrorKind::BrokenPipe)).code(), 0);
    }

    #[test]
    fn a_server_that_does_not_answer_is_named_with_what_to_check() {
        let error = |cause: &str| {
            let error = CliError::Unreachable { server: None, cause: cause.to_owned() };
            error.at("https://10.0.0.1:6443").to_string()
        };
        insta::assert_snapshot!(error("tcp connect error: Connection refused (os error 111)"), @r"
        https://10.0.0.1:6443 does not answer: tcp connect error: Connection refused (os error 111)
        nothing listens there: check that the cluster is up and that the context is the right one: kubectl config current-context
        ");
        assert!(error("dns error: failed to lookup address").contains("your network or VPN"));
        assert!(error("invalid peer certificate: UnknownIssuer").contains("certificate-authority-data"));
    }
}
