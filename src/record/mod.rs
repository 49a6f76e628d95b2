//! The messages between operator and runner. They contain nothing of Kubernetes.
//!
//! The [`bundle`] goes in: one JSON document, which the runner reads as a file. A stream of [`frame`]s comes
//! back on the container's standard output. Three kinds of frames carry records ([`outcome::Start`],
//! [`outcome::Exit`], [`outcome::End`]). The container's termination message ([`outcome::Termination`]) repeats
//! them in short.
//!
//! Everything here has a version. An operator also reads the records of the previous release's runner, so a
//! run under way survives an upgrade.

pub mod bundle;
pub mod credit;
pub mod exit_code;
pub mod fetch;
pub mod frame;
pub mod outcome;
pub mod packed;
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

/// Puts a text into quotes, and escapes the characters that people could not see or would take for the quote.
#[must_use]
pub fn quoted(text: &str) -> String {
    format!("{text:?}")
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
