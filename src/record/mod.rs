//! What operator and runner tell each other, and nothing of Kubernetes.
//!
//! The [`bundle`] goes in: one JSON document, shown to the runner as a file. What comes back is a
//! stream of [`frame`]s on the container's standard output, among them three records
//! ([`outcome::Start`], [`outcome::Exit`], [`outcome::End`]), and once more, in short, the
//! container's termination message ([`outcome::Termination`]).
//!
//! Everything here has a version, and an operator reads what the runner of the release before it
//! writes: a run that is under way survives an upgrade.

pub mod bundle;
pub mod exit_code;
pub mod fetch;
pub mod frame;
pub mod outcome;
pub mod place;
pub mod proof;
pub mod transcript;

use sha2::{Digest, Sha256};

/// The version of the bundle and of the records that this release writes.
pub const VERSION: u32 = 1;

/// SHA-256 of `bytes`, as 64 lower-case hexadecimal digits.
#[must_use]
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// Lower-case hexadecimal digits of `bytes`.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .map(|nibble| char::from(DIGITS[usize::from(nibble)]))
        .collect()
}
