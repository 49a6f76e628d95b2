//! Reads the script's text from the bundle, or from the file that the kubelet mounts.

use std::{borrow::Cow, io};

use crate::{
    record::{bundle::Program, outcome::Problem, sha256_hex},
    runner::{places::Places, reach, refusal::Refusal},
};

/// The longest mounted script: the 1 MiB that Kubernetes lets a `ConfigMap` hold, and a margin.
const MAX_BYTES: u64 = 1024 * 1024 + 64 * 1024;
/// How many characters of a hash messages show.
const SHORT_HASH: usize = 12;

/// Returns the text to run. A mounted file is read only here, so the checked text is the text that runs, even
/// if the kubelet mounts another a moment later. A command has no text.
pub(in crate::runner) fn text<'a>(places: &Places, program: &'a Program) -> Result<Cow<'a, [u8]>, Refusal> {
    match program {
        Program::Script { text, .. } => Ok(text.as_bytes().into()),
        Program::ScriptFile { sha256, origin, .. } => mounted(places, sha256, origin).map(Cow::Owned),
        Program::Command { argv: _ } => Ok(Cow::Borrowed(&[])),
    }
}

fn mounted(places: &Places, sha256: &str, origin: &str) -> Result<Vec<u8>, Refusal> {
    let changed = |what: &str| {
        Refusal::new(
            Problem::ScriptChanged,
            format!(
                "the {origin} {what}; a run executes the script as it was when the run was frozen: undo the \
                 change, or start a new run with the script as it is now (set a new spec.runToken)"
            ),
        )
    };
    let path = places.mounted_script();
    match reach::read_mounted(&path, MAX_BYTES) {
        Ok(text) if text.len() as u64 > MAX_BYTES => {
            Err(changed(&format!("now has more than {MAX_BYTES} bytes, the most that a script may have")))
        }
        Ok(text) => {
            let found = sha256_hex(&text);
            if found == sha256 {
                return Ok(text);
            }
            Err(changed(&format!(
                "was changed after the run was frozen: its SHA-256 was {}, and is {}",
                short(sha256),
                short(&found)
            )))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(changed("was there when the run was frozen, and is not any more"))
        }
        Err(error) => Err(Refusal::new(
            Problem::Input,
            format!("the script, {origin}, cannot be read from {}: {error}", path.display()),
        )),
    }
}

fn short(hash: &str) -> String {
    hash.get(..SHORT_HASH).map_or_else(|| hash.to_owned(), |short| format!("{short}..."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_shortened() {
        assert_eq!(short(&sha256_hex(b"")), "e3b0c44298fc...");
        assert_eq!(short("no hash"), "no hash");
    }
}
