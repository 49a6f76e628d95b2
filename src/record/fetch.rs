//! Why a package was not fetched: the termination message of the container that fetches packages.

use serde::{Deserialize, Serialize};

use super::outcome::truncate;

/// The kubelet keeps this much of a termination message, in bytes.
const MAX_TERMINATION: usize = 4096;
/// The longest message, in bytes. Written as JSON it may take twice as much.
const MAX_MESSAGE: usize = 1800;

/// Why a package was not fetched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Failure {
    /// The kind of the failure.
    pub problem: Problem,
    /// The package and the reason, for people.
    pub message: String,
}

/// The kind of the failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Problem {
    /// The registry has no such package.
    NotFound,
    /// The registry refuses to show it.
    Denied,
    /// It cannot be unpacked into a folder.
    Invalid,
    /// It is larger than allowed.
    TooLarge,
    /// It leads out of its folder.
    Unsafe,
    /// Its content does not match its digest.
    DigestMismatch,
    /// The registry could not be reached, or failed, in every attempt.
    Unavailable,
    /// It could not be written, or the program was started wrongly.
    Internal,
}

impl Failure {
    /// Writes a termination message.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut failure = self.clone();
        let mut room = MAX_MESSAGE;
        loop {
            truncate(&mut failure.message, room);
            // Strings and an enum without data cannot fail to be written.
            let json = serde_json::to_string(&failure).unwrap_or_default();
            if json.len() <= MAX_TERMINATION || room < 16 {
                return json;
            }
            // Control characters take six bytes each.
            room /= 2;
        }
    }

    /// Reads a termination message. Returns `None` for any other text.
    #[must_use]
    pub fn from_json(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_comes_back_and_fits_the_kubelet() {
        let failure = Failure { problem: Problem::Unsafe, message: "links out".into() };
        assert_eq!(Failure::from_json(&failure.to_json()), Some(failure));
        for message in ["ü".repeat(9000), "\u{1}".repeat(9000), "\"".repeat(9000)] {
            let json = Failure { problem: Problem::Internal, message }.to_json();
            assert!(json.len() <= MAX_TERMINATION && Failure::from_json(&json).is_some());
        }
        assert_eq!(Failure::from_json("panicked"), None);
    }
}
