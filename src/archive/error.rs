//! The errors of the archive.

use std::{error::Error as _, io};

/// The longest part of a store's own message that is passed on, in characters.
const MAX_DETAIL: usize = 400;

/// An error of the archive.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ArchiveError {
    /// The store does not do what it is asked for. It may later: nothing is lost that the caller still has.
    #[error("the archive {reason}: {detail}")]
    Unavailable {
        /// Why, in one word.
        reason: Reason,
        /// The store's own words, at most 400 characters.
        detail: String,
    },
    /// A frame was added before the one that comes next. It was not taken.
    #[error("frame {got} was to be stored, but frame {expected} comes next")]
    OutOfOrder {
        /// The number of the frame that comes next.
        expected: u64,
        /// The number of the frame that was added.
        got: u64,
    },
    /// There is no such log, or retention has removed it.
    #[error("the archive has no log {0}")]
    NotFound(String),
    /// An object is not as the archive wrote it.
    #[error("the archive's object {object} is damaged: {problem}")]
    Damaged {
        /// Its name.
        object: String,
        /// The damage.
        problem: String,
    },
}

/// Why a store is unavailable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, strum::Display)]
pub enum Reason {
    /// It refuses the credentials, or the operation.
    #[strum(serialize = "denies access")]
    Denied,
    /// The bucket, container or folder does not exist.
    #[strum(serialize = "has no such bucket or folder")]
    Missing,
    /// There is no space left, or a quota is used up.
    #[strum(serialize = "is full")]
    Full,
    /// It cannot be reached, or does not answer in time.
    #[strum(serialize = "cannot be reached")]
    Unreachable,
    /// It fails in another way.
    #[strum(serialize = "fails")]
    Failed,
}

impl Reason {
    /// Whether a moment may be enough to change it. Credentials, buckets and full disks need somebody.
    #[must_use]
    pub const fn may_pass(self) -> bool {
        matches!(self, Self::Unreachable | Self::Failed)
    }
}

impl ArchiveError {
    /// Reads a reason off the store's error.
    pub(super) fn of(error: &object_store::Error) -> Self {
        Self::Unavailable { reason: reason(error), detail: in_short(&error.to_string()) }
    }

    pub(super) fn late(what: &str) -> Self {
        Self::Unavailable { reason: Reason::Unreachable, detail: format!("{what} takes too long") }
    }

    pub(super) fn damaged(object: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Damaged { object: object.into(), problem: problem.into() }
    }

    /// Whether trying again in a moment may help.
    #[must_use]
    pub const fn may_pass(&self) -> bool {
        matches!(self, Self::Unavailable { reason, .. } if reason.may_pass())
    }
}

/// The codes of S3-compatible servers that have no room. Their statuses differ.
const FULL: [&str; 3] = ["QuotaExceeded", "StorageFull", "InsufficientStorage"];

fn reason(error: &object_store::Error) -> Reason {
    use object_store::Error as E;
    let text = error.to_string();
    match error {
        _ if FULL.iter().any(|code| text.contains(code)) => Reason::Full,
        E::PermissionDenied { .. } | E::Unauthenticated { .. } => Reason::Denied,
        // The bucket is missing. The caller has looked for objects before.
        E::NotFound { .. } => Reason::Missing,
        _ => {
            let mut source = error.source();
            while let Some(cause) = source {
                if let Some(io) = cause.downcast_ref::<io::Error>() {
                    match io.kind() {
                        io::ErrorKind::StorageFull
                        | io::ErrorKind::QuotaExceeded
                        | io::ErrorKind::FileTooLarge => return Reason::Full,
                        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                            return Reason::Denied;
                        }
                        io::ErrorKind::NotFound => return Reason::Missing,
                        io::ErrorKind::TimedOut => return Reason::Unreachable,
                        _ => {}
                    }
                }
                if let Some(http) = cause.downcast_ref::<reqwest::Error>()
                    && (http.is_connect() || http.is_timeout() || http.is_request() || http.is_body())
                {
                    return Reason::Unreachable;
                }
                source = cause.source();
            }
            Reason::Failed
        }
    }
}

/// One line, not too long. A store's answer can be a page.
fn in_short(text: &str) -> String {
    let plain = |character: char| if character.is_control() { ' ' } else { character };
    let mut short: String = text.chars().take(MAX_DETAIL).map(plain).collect();
    if text.chars().nth(MAX_DETAIL).is_some() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    fn local(error: io::Error) -> object_store::Error {
        object_store::Error::Generic { store: "LocalFileSystem", source: Box::new(error) }
    }

    #[test]
    fn a_disk_s_errors_have_their_reasons() {
        for (number, expected) in [
            (28, Reason::Full),
            (122, Reason::Full),
            (27, Reason::Full),
            (13, Reason::Denied),
            (30, Reason::Denied),
            (5, Reason::Failed),
        ] {
            let error = local(io::Error::from_raw_os_error(number));
            assert_eq!(reason(&error), expected, "{number}");
            assert_eq!(ArchiveError::of(&error).may_pass(), number == 5, "{number}");
        }
    }

    #[test]
    fn a_page_of_an_answer_becomes_a_line() {
        let page = local(io::Error::other(format!("<html>\r\n{}", "é".repeat(10_000))));
        let ArchiveError::Unavailable { detail, .. } = ArchiveError::of(&page) else { panic!() };
        assert!(!detail.contains(['\r', '\n']));
        assert_eq!(detail.chars().count(), MAX_DETAIL + 1);
    }
}
