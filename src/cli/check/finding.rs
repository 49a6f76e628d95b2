//! What a check found.

use serde::Serialize;

use crate::cli::error::NOT_INSTALLED;

/// Something that was checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Finding {
    pub(super) what: String,
    pub(super) verdict: Verdict,
    pub(super) message: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) next: Option<String>,
    /// The exit code if the verdict is bad.
    #[serde(skip)]
    pub(super) code: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Verdict {
    Ok,
    /// Something works less well.
    Note,
    /// You may not see it.
    Unknown,
    Bad,
}

impl Finding {
    pub(super) fn new(what: &str, verdict: Verdict, message: impl Into<String>) -> Self {
        Self { what: what.to_owned(), verdict, message: message.into(), next: None, code: NOT_INSTALLED }
    }

    pub(super) fn next(self, next: impl Into<String>) -> Self {
        Self { next: Some(next.into()), ..self }
    }

    pub(super) fn code(self, code: u8) -> Self {
        Self { code, ..self }
    }
}
