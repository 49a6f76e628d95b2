//! The platform that an image must run on.

use std::fmt;

/// The nodes' platform, in Go's words: `linux`, `amd64`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Platform {
    /// `GOOS`, as in the node label `kubernetes.io/os`.
    pub os: String,
    /// `GOARCH`, as in the node label `kubernetes.io/arch`.
    pub architecture: String,
}

impl Platform {
    /// Linux on this architecture.
    #[must_use]
    pub fn linux(architecture: &str) -> Self {
        Self { os: "linux".to_owned(), architecture: architecture.to_owned() }
    }

    /// Whether the two words mean this platform. Like containerd, it accepts `uname`'s names too.
    pub(super) fn is(&self, os: &str, architecture: &str) -> bool {
        let architecture = match architecture {
            "x86_64" | "x86-64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        };
        self.os == os && self.architecture == architecture
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)
    }
}
