//! Turns names from archives into paths below a folder. Pure.

use std::{
    ffi::OsStr,
    os::unix::ffi::OsStrExt,
    path::{Component, Path, PathBuf},
};

use super::fault::Fault;
use crate::record::{fetch::Problem, quoted};

/// The longest path, in bytes. Every path is kept in memory.
const MAX_PATH: usize = 1024;
/// The longest name, in bytes (`NAME_MAX`).
const MAX_NAME: usize = 255;
/// How much of a name a message shows, in characters.
const MAX_SHOWN: usize = 120;

/// Returns the path below the folder. It is empty for the folder itself.
pub(super) fn inside(name: &[u8]) -> Result<PathBuf, Fault> {
    check(name)?;
    let mut path = PathBuf::new();
    for component in Path::new(OsStr::from_bytes(name)).components() {
        match component {
            Component::CurDir => {}
            Component::Normal(part) => path.push(part),
            Component::RootDir | Component::ParentDir | Component::Prefix(_) => {
                return Err(Fault::new(
                    Problem::Unsafe,
                    format!("the path {} leads out of the package's folder", shown(name)),
                ));
            }
        }
    }
    Ok(path)
}

/// Reads a link's target. It is checked again once everything that it can lead to is there.
pub(super) fn target(name: &[u8]) -> Result<PathBuf, Fault> {
    check(name)?;
    if name.is_empty() {
        return Err(Fault::new(Problem::Invalid, "a link without a target"));
    }
    Ok(PathBuf::from(OsStr::from_bytes(name)))
}

fn check(name: &[u8]) -> Result<(), Fault> {
    let invalid = |what: &str| Err(Fault::new(Problem::Invalid, format!("the path {} {what}", shown(name))));
    if name.contains(&0) {
        return invalid("holds a NUL byte");
    }
    if name.len() > MAX_PATH {
        return invalid(&format!("is longer than {MAX_PATH} bytes"));
    }
    if name.split(|&byte| byte == b'/').any(|part| part.len() > MAX_NAME) {
        return invalid(&format!("has a name longer than {MAX_NAME} bytes"));
    }
    Ok(())
}

/// Makes a name from an archive fit for a message.
pub(super) fn shown(name: &[u8]) -> String {
    let text: String = String::from_utf8_lossy(&name[..name.len().min(4 * MAX_SHOWN)])
        .chars()
        .take(MAX_SHOWN)
        .map(|letter| if letter.is_control() { '?' } else { letter })
        .collect();
    quoted(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_inside_or_refused() {
        for (name, path) in [
            ("a", "a"),
            ("./a//b/", "a/b"),
            ("a/./b", "a/b"),
            (".", ""),
            ("./", ""),
            ("..a/b..", "..a/b.."),
            ("...", "..."),
        ] {
            assert_eq!(inside(name.as_bytes()).unwrap(), PathBuf::from(path), "{name}");
        }
        for name in ["..", "../a", "a/../../b", "a/..", "/a", "/", "//a", "./../a"] {
            assert_eq!(inside(name.as_bytes()).unwrap_err().problem, Problem::Unsafe, "{name}");
        }
        let (long, deep) = ("a".repeat(256), "a/".repeat(600));
        for name in ["a\0b", &long, &deep] {
            assert_eq!(inside(name.as_bytes()).unwrap_err().problem, Problem::Invalid, "{name}");
        }
    }

    #[test]
    fn names_in_messages_are_short_and_plain() {
        assert_eq!(shown(b"a\x1b[31m\n\xff"), "\"a?[31m?\u{fffd}\"");
        assert!(shown(&[b'a'; 9000]).len() < 200);
    }
}
