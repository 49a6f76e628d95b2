//! Calls to the API server, with a time limit and errors that say what happened.

use std::time::Duration;

/// The field manager of everything that the operator writes.
pub(super) const FIELD_MANAGER: &str = "longshore";

/// The time limit of every call to the API server. The client has none of its own.
pub(super) const CALL_LIMIT: Duration = Duration::from_secs(30);

/// An error of a call to the API server.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The server refused, or it could not be reached.
    #[error(transparent)]
    Kube(#[from] kube::Error),
    /// Nothing was sent, because only a part of the object is known.
    #[error("only a part of the object is known, so it cannot be written")]
    Partial,
    /// No answer came in time.
    #[error("the API server did not answer within {} s", CALL_LIMIT.as_secs())]
    TimedOut,
}

impl CallError {
    /// The HTTP status of the server's answer, if there was one.
    #[must_use]
    pub const fn code(&self) -> Option<u16> {
        match self {
            Self::Kube(kube::Error::Api(status)) => Some(status.code),
            _ => None,
        }
    }

    /// Whether the server refuses the object for its content, so that this request never succeeds and a
    /// smaller one may.
    ///
    /// etcd's own limit comes as an internal error, in etcd's words or in those of the connection to etcd.
    #[must_use]
    pub fn is_about_content(&self) -> bool {
        const TOO_LARGE: [&str; 3] = ["request is too large", "larger than max", "exceeds"];
        match self {
            Self::Kube(kube::Error::Api(status)) => match status.code {
                400 | 413 | 422 => true,
                500 => TOO_LARGE.iter().any(|words| status.message.contains(words)),
                _ => false,
            },
            _ => false,
        }
    }

    /// A static word for metrics.
    #[must_use]
    pub const fn category(&self) -> &'static str {
        match self.code() {
            None if matches!(self, Self::Partial) => "partial",
            Some(409) => "conflict",
            Some(404) => "not_found",
            Some(400..=499) => "refused",
            Some(_) => "server",
            None => "unanswered",
        }
    }
}

/// Waits for an answer of the API server, up to [`CALL_LIMIT`].
///
/// # Errors
/// The server's, or that it did not answer in time.
pub(super) async fn call<T>(answer: impl Future<Output = kube::Result<T>>) -> Result<T, CallError> {
    match tokio::time::timeout(CALL_LIMIT, answer).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(CallError::TimedOut),
    }
}
