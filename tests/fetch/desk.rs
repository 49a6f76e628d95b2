//! A folder in which the program finds and writes what it does in a container.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::atomic::{AtomicUsize, Ordering},
};

use flate2::{Compression, write::GzEncoder};
use longshore::record::{
    fetch::{Failure, Problem},
    place,
};
use serde_json::json;

use super::registry::Fake;

/// The folder that stands for the container's root.
pub(crate) struct Desk(PathBuf);

impl Drop for Desk {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl Desk {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let root = std::env::temp_dir().join(format!("longshore-desk-{}-{number}", std::process::id()));
        fs::create_dir_all(root.join("dev")).unwrap();
        fs::write(root.join("dev/termination-log"), "").unwrap();
        Self(root)
    }

    pub(crate) fn start(&self, registry: &Fake, name: &str, digest: &str, arguments: &[&str]) -> Child {
        Command::new(env!("CARGO_BIN_EXE_longshore-fetch"))
            .arg(format!("--root={}", self.0.display()))
            .arg(format!("--package={name}={}/test/orders@{digest}", registry.host))
            .args(registry.named.then(|| format!("--plain-http-registry={}", registry.host)))
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }

    pub(crate) fn fetch(&self, registry: &Fake, name: &str, digest: &str, arguments: &[&str]) -> Output {
        self.start(registry, name, digest, arguments).wait_with_output().unwrap()
    }

    /// It fails so, and says these words, which come back.
    pub(crate) fn assert_fails(
        &self,
        registry: &Fake,
        digest: &str,
        arguments: &[&str],
        problem: Problem,
        words: &[&str],
    ) -> String {
        let done = self.fetch(registry, "p", digest, arguments);
        assert_eq!(done.status.code(), Some(1), "{done:?}");
        let failure = self.termination().unwrap_or_else(|| panic!("no termination message: {done:?}"));
        assert_eq!(failure.problem, problem, "{}", failure.message);
        for word in words {
            assert!(failure.message.contains(word), "{word:?} is not in: {}", failure.message);
        }
        assert!(String::from_utf8_lossy(&done.stderr).contains(failure.message.lines().next().unwrap()));
        failure.message
    }

    pub(crate) fn termination(&self) -> Option<Failure> {
        Failure::from_json(&fs::read_to_string(self.0.join("dev/termination-log")).unwrap())
    }

    pub(crate) fn pull_secret(&self, registry: &Fake, user: &str, password: &str) {
        let folder = self.0.join(place::PULL_SECRETS_DIR.trim_start_matches('/')).join("0");
        fs::create_dir_all(&folder).unwrap();
        let auths = json!({"auths": {&registry.host: {"username": user, "password": password}}});
        fs::write(folder.join(".dockerconfigjson"), auths.to_string()).unwrap();
    }

    /// The files of a package, with their paths in it.
    pub(crate) fn files(&self, name: &str) -> Vec<String> {
        let root = self.0.join(place::PACKAGES_DIR.trim_start_matches('/')).join(name);
        let mut found = Vec::new();
        walk(&root, &root, &mut found);
        found.sort();
        found
    }
}

fn walk(root: &Path, at: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(at).into_iter().flatten().flatten() {
        if entry.file_type().unwrap().is_dir() {
            walk(root, &entry.path(), found);
        } else {
            found.push(entry.path().strip_prefix(root).unwrap().display().to_string());
        }
    }
}

pub(crate) fn archive(files: &[(&str, &str)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        header.set_size(content.len() as u64);
        builder.append_data(&mut header, name, content.as_bytes()).unwrap();
    }
    builder.into_inner().unwrap()
}

pub(crate) fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}
