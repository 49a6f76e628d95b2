//! A request that gets no log: the code, the reason and a sentence, as the API server words its own errors.

use axum::{
    body::Body,
    http::{HeaderValue, Response, StatusCode, header},
};
use serde_json::json;

use crate::operator::call::CallError;

/// How long a caller waits before it asks again, in seconds.
const RETRY_AFTER_SECONDS: u64 = 5;

/// Why a request gets no log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(super) struct Refusal {
    pub(super) code: StatusCode,
    pub(super) message: String,
}

impl Refusal {
    pub(super) fn new(code: StatusCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    pub(super) fn bad(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    pub(super) fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, message)
    }

    pub(super) fn gone(message: impl Into<String>) -> Self {
        Self::new(StatusCode::GONE, message)
    }

    /// The API server or a node did not do what this server asked of it.
    pub(super) fn unavailable(what: &str, error: &CallError) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, format!("{what}: {error}"))
    }

    /// The API's word for the code, as `k8s.io/apimachinery/pkg/apis/meta/v1` has it.
    const fn reason(&self) -> &'static str {
        match self.code {
            StatusCode::BAD_REQUEST => "BadRequest",
            StatusCode::UNAUTHORIZED => "Unauthorized",
            StatusCode::FORBIDDEN => "Forbidden",
            StatusCode::NOT_FOUND => "NotFound",
            StatusCode::METHOD_NOT_ALLOWED => "MethodNotAllowed",
            StatusCode::GONE => "Gone",
            StatusCode::TOO_MANY_REQUESTS => "TooManyRequests",
            StatusCode::SERVICE_UNAVAILABLE => "ServiceUnavailable",
            _ => "InternalError",
        }
    }

    /// The answer: a `Status`.
    pub(super) fn response(&self) -> Response<Body> {
        let again = matches!(self.code, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE);
        let mut status = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": self.message, "reason": self.reason(), "code": self.code.as_u16(),
        });
        if again {
            status["details"] = json!({"retryAfterSeconds": RETRY_AFTER_SECONDS});
        }
        let mut response = super::json(&status);
        *response.status_mut() = self.code;
        if again {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER_SECONDS));
        }
        response
    }
}
