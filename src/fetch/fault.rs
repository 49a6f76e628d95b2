//! Why a package is not there.

use std::{
    fmt, io,
    sync::{Arc, Mutex, PoisonError},
};

use crate::{
    record::fetch::{Failure, Problem},
    registry::{BlobError, ResolveError},
};

/// Why a package is not there, and whether asking again may help.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) problem: Problem,
    pub(super) message: String,
    pub(super) transient: bool,
}

impl Fault {
    pub(super) fn new(problem: Problem, message: impl Into<String>) -> Self {
        Self { problem, message: message.into(), transient: false }
    }

    /// An operation on a local file failed.
    pub(super) fn io(what: &str, path: &std::path::Path, error: &io::Error) -> Self {
        Self::new(Problem::Internal, format!("cannot {what} {}: {error}", path.display()))
    }

    /// Puts the subject in front of the message.
    pub(super) fn of(self, what: impl fmt::Display) -> Self {
        Self { message: format!("{what}: {}", self.message), ..self }
    }

    pub(super) fn failure(self) -> Failure {
        Failure { problem: self.problem, message: self.message }
    }
}

impl From<&ResolveError> for Fault {
    fn from(error: &ResolveError) -> Self {
        let problem = match error {
            ResolveError::NotFound { .. } => Problem::NotFound,
            ResolveError::Denied { .. } => Problem::Denied,
            ResolveError::Invalid { mismatch: true, .. } => Problem::DigestMismatch,
            ResolveError::NoPlatform { .. }
            | ResolveError::Invalid { .. }
            | ResolveError::NotAnImage { .. }
            | ResolveError::NotAPackage { .. } => Problem::Invalid,
            ResolveError::Unreachable { .. }
            | ResolveError::RateLimited { .. }
            | ResolveError::Failing { .. } => Problem::Unavailable,
        };
        Self { problem, message: error.about_package(), transient: error.is_transient() }
    }
}

impl From<BlobError> for Fault {
    fn from(error: BlobError) -> Self {
        let message = error.to_string();
        match error {
            BlobError::Lost(_) => Self { transient: true, ..Self::new(Problem::Unavailable, message) },
            BlobError::Mismatch(_) => Self::new(Problem::DigestMismatch, message),
        }
    }
}

/// Holds the fault of a reader for later. Readers above it pass on only `io::Error`s, and some of them only
/// the text.
#[derive(Debug, Clone, Default)]
pub(super) struct Aside(Arc<Mutex<Option<Fault>>>);

impl Aside {
    /// Keeps the fault, if there is none yet.
    pub(super) fn leave(&self, fault: Fault) -> io::Error {
        let error = io::Error::other(fault.message.clone());
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(fault);
        error
    }

    /// Returns the kept fault, or else that the archive is broken.
    pub(super) fn fault(&self, error: &io::Error) -> Fault {
        let left = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        left.unwrap_or_else(|| Fault::new(Problem::Invalid, format!("its archive cannot be read: {error}")))
    }
}
