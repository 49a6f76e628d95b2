//! Reads values that the kubelet mounts from Secrets and `ConfigMap`s.

use std::{io, path::Path};

use crate::{
    record::outcome::Problem,
    runner::{reach, refusal::Refusal},
};

/// The longest value that is read. Kubernetes already limits a Secret to 1 MiB.
pub(super) const MAX_BYTES: u64 = 4 * 1024 * 1024;

/// The source of a value, for messages.
#[derive(Debug, Clone, Copy)]
pub(super) struct Input<'a> {
    /// The variable's name.
    pub(super) name: &'a str,
    /// The source, in words for people.
    pub(super) origin: &'a str,
    /// Whether it may be missing.
    pub(super) optional: bool,
}

impl Input<'_> {
    /// Reads the value. Returns `None` if it is missing and may be.
    pub(super) fn read(&self, path: &Path) -> Result<Option<Vec<u8>>, Refusal> {
        let Self { name, origin, optional } = *self;
        match reach::read_mounted(path, MAX_BYTES) {
            Ok(value) if value.len() as u64 > MAX_BYTES => {
                Err(Self::refuse(format!("the {origin} has more than {MAX_BYTES} bytes (variable {name})")))
            }
            Ok(value) => Ok(Some(value)),
            Err(error) if error.kind() == io::ErrorKind::NotFound && optional => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Self::refuse(format!(
                "variable {name} takes its value from the {origin}, which is not there: create it, or set \
                 `optional: true`"
            ))),
            Err(error) => Err(Self::refuse(format!(
                "variable {name} takes its value from the {origin}, which cannot be read from {}: {error}",
                path.display()
            ))),
        }
    }

    /// Refuses a value that no environment variable can hold.
    pub(super) fn not_a_text(&self) -> Refusal {
        let Self { name, origin, .. } = self;
        Self::refuse(format!(
            "the {origin} holds a NUL byte, so it cannot be the value of the environment variable {name}: \
             write `as: File`, and the variable holds the path of a file with the value"
        ))
    }

    fn refuse(message: String) -> Refusal {
        Refusal::new(Problem::Input, message)
    }
}
