//! Finds the file of a program, as `execvp` does.

use std::{
    ffi::{OsStr, OsString},
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use nix::unistd::{AccessFlags, access};

use crate::{record::outcome::Problem, runner::refusal::Refusal};

/// The program to execute, with its arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::runner) struct Invocation {
    /// The file.
    pub(super) program: PathBuf,
    /// The name as it was asked for. It is the program's `argv[0]`, by which some programs choose what they
    /// do.
    pub(super) name: OsString,
    /// All other arguments.
    pub(super) args: Vec<OsString>,
}

/// The result of a search.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// A file that may be executed.
    Executable(PathBuf),
    /// Only a file that may not be executed.
    NotExecutable(PathBuf),
    /// Nothing.
    Missing,
}

/// Looks for `name` as `execvp` does: on `path`, unless it holds a slash.
pub(super) fn find(name: &OsStr, path: &OsStr) -> Found {
    let mut found = Found::Missing;
    let candidates: Vec<PathBuf> = if name.as_bytes().contains(&b'/') {
        vec![PathBuf::from(name)]
    } else if name.is_empty() {
        vec![]
    } else {
        std::env::split_paths(path).map(|folder| folder.join(name)).collect()
    };
    for candidate in candidates {
        if candidate.is_file() && access(&candidate, AccessFlags::X_OK).is_ok() {
            return Found::Executable(candidate);
        }
        if found == Found::Missing && candidate.exists() {
            found = Found::NotExecutable(candidate);
        }
    }
    found
}

/// Says why a file that was found cannot be executed: it is a folder, or the user may not execute it.
pub(super) fn not_executable(file: &Path) -> Refusal {
    let why = if file.is_dir() {
        "is a folder"
    } else {
        "may not be executed by the user of this container (`chmod +x` it in the image)"
    };
    Refusal::new(Problem::NotExecutable, format!("{} {why}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_name_is_looked_up_on_the_path() {
        let path = OsStr::new("/nonexistent:/etc:/usr/bin:/bin");
        assert!(matches!(find(OsStr::new("sh"), path), Found::Executable(file) if file.ends_with("sh")));
        assert_eq!(
            find(OsStr::new("passwd"), OsStr::new("/etc")),
            Found::NotExecutable("/etc/passwd".into())
        );
        assert_eq!(find(OsStr::new("no-such-program"), path), Found::Missing);
        assert_eq!(find(OsStr::new("./sh"), path), Found::Missing);
        assert_eq!(find(OsStr::new(""), path), Found::Missing);
    }
}
