//! The error of a spec that cannot be executed.

/// Why a spec cannot be executed: a sentence that names the field.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Invalid(pub String);
