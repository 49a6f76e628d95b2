//! Content digests: `sha256:` and 64 hexadecimal digits, or `sha512:` and 128, the two that the
//! [OCI image specification] registers and that the kubelet accepts.
//!
//! [OCI image specification]: https://github.com/opencontainers/image-spec/blob/v1.1.1/descriptor.md#registered-algorithms

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256, Sha512};

/// Whether the text is a digest that this module can check. Upper case is refused, as in go-digest.
pub(super) fn is_valid(text: &str) -> bool {
    let length = match text.split_once(':') {
        Some(("sha256", hex)) => (hex, 64),
        Some(("sha512", hex)) => (hex, 128),
        _ => return false,
    };
    length.0.len() == length.1 && length.0.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

/// Returns the content's digest, by SHA-256.
pub(super) fn sha256(content: &[u8]) -> String {
    format!("sha256:{}", hex(&Sha256::digest(content)))
}

/// Returns the content's digest by the algorithm that `expected` names, or none if that is unknown.
pub(super) fn same_algorithm(expected: &str, content: &[u8]) -> Option<String> {
    match expected.split_once(':')?.0 {
        "sha256" => Some(sha256(content)),
        "sha512" => Some(format!("sha512:{}", hex(&Sha512::digest(content)))),
        _ => None,
    }
}

/// A digest that is being computed.
#[derive(Clone)]
pub(super) enum Hasher {
    Sha256(Sha256),
    Sha512(Sha512),
}

impl Hasher {
    /// Starts with the algorithm that `digest` names. Returns none if it is no digest.
    pub(super) fn of(digest: &str) -> Option<Self> {
        match digest.split_once(':').filter(|_| is_valid(digest))?.0 {
            "sha256" => Some(Self::Sha256(Sha256::new())),
            _ => Some(Self::Sha512(Sha512::new())),
        }
    }

    pub(super) fn update(&mut self, content: &[u8]) {
        match self {
            Self::Sha256(hash) => hash.update(content),
            Self::Sha512(hash) => hash.update(content),
        }
    }

    pub(super) fn finish(self) -> String {
        match self {
            Self::Sha256(hash) => format!("sha256:{}", hex(&hash.finalize())),
            Self::Sha512(hash) => format!("sha512:{}", hex(&hash.finalize())),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_as_sha256sum_prints_them() {
        let expected = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(sha256(b"abc"), expected);
        assert_eq!(same_algorithm(expected, b"abc").as_deref(), Some(expected));
        assert_ne!(same_algorithm(expected, b"abd").as_deref(), Some(expected));
        assert!(same_algorithm(&format!("sha512:{}", "0".repeat(128)), b"abc").is_some_and(|d| is_valid(&d)));
        assert_eq!(same_algorithm("md5:900150983cd24fb0d6963f7d28e17f72", b"abc"), None);
    }

    #[test]
    fn forms() {
        assert!(is_valid(&sha256(b"")));
        for bad in ["", "sha256", "sha256:", "sha256:abc", "md5:900150983cd24fb0d6963f7d28e17f72"] {
            assert!(!is_valid(bad), "{bad}");
        }
        assert!(!is_valid(&sha256(b"").to_uppercase().replace("SHA256", "sha256")));
        assert!(!is_valid(&format!("sha512:{}", "a".repeat(64))));
    }
}
