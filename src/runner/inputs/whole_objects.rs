//! Whole Secrets and `ConfigMap`s as variables, like a container's `envFrom`.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    fs, io,
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::Path,
};

use crate::{
    record::{bundle::Folder, outcome::Problem, place, quoted},
    runner::{masking::secrets::Secrets, reach, refusal::Refusal},
};

/// Bounds for all folders together. The kernel takes only 2 MiB of variables in all.
const MAX_FILES: usize = 10_000;
const MAX_BYTES: u64 = 8 * 1024 * 1024;
/// The kubelet replaces this link once a new version of all files is complete.
const VERSION_LINK: &str = "..data";
/// Names with this beginning are the kubelet's. No key may have it.
const KUBELETS: &[u8] = b"..";
/// How often a folder is read, if it changes while it is being read.
const MAX_READINGS: usize = 5;

/// Reads folders one after the other, with one bound for all.
#[derive(Debug)]
pub(super) struct WholeObjects {
    files: usize,
    bytes: u64,
}

/// Names and values.
type Variables = Vec<(OsString, OsString)>;

/// A variable, and its key in the object.
struct Entry {
    name: OsString,
    key: OsString,
    value: Vec<u8>,
}

impl WholeObjects {
    pub(super) const fn new() -> Self {
        Self { files: MAX_FILES, bytes: MAX_BYTES }
    }

    /// Reads the folder at `path`. Returns its variables, and the names that no variable can have. Adds the
    /// values of a secret folder to `secrets`.
    pub(super) fn read(
        &mut self,
        path: &Path,
        folder: &Folder,
        secrets: &mut Secrets,
    ) -> Result<(Variables, Vec<OsString>), Refusal> {
        let Folder { path: _, prefix, secret, origin } = folder;
        let (mut variables, mut left_out) = (vec![], vec![]);
        for (key, value) in self.one_version(path, origin)? {
            let mut name = OsString::from(prefix);
            name.push(&key);
            if *secret {
                // Also a value that becomes no variable: the script can read the file.
                secrets.add(&name.to_string_lossy(), &value);
            }
            if !can_be_a_name(&name) {
                left_out.push(name);
                continue;
            }
            let entry = Entry { name, key, value };
            if entry.value.contains(&0) {
                return Err(no_text(&entry, origin));
            }
            variables.push((entry.name, OsString::from_vec(entry.value)));
        }
        Ok((variables, left_out))
    }

    /// Reads all files of one version of the object, by name.
    fn one_version(&mut self, path: &Path, origin: &str) -> Result<BTreeMap<OsString, Vec<u8>>, Refusal> {
        let link = path.join(VERSION_LINK);
        let (files, bytes) = (self.files, self.bytes);
        for _ in 0..MAX_READINGS {
            // If two versions were mixed, a user name could get the password of another.
            let version = fs::read_link(&link).ok();
            (self.files, self.bytes) = (files, bytes);
            let read = self.all(path, origin);
            if fs::read_link(&link).ok() == version {
                return read;
            }
        }
        Err(Refusal::new(
            Problem::Input,
            format!("the {origin} changes while it is being read, again and again"),
        ))
    }

    fn all(&mut self, path: &Path, origin: &str) -> Result<BTreeMap<OsString, Vec<u8>>, Refusal> {
        let cannot = |path: &Path, error: &io::Error| {
            Refusal::new(
                Problem::Input,
                format!(
                    "variables come from the {origin}, which cannot be read from {}: {error}",
                    path.display()
                ),
            )
        };
        let mut values = BTreeMap::new();
        let entries = match fs::read_dir(path) {
            Ok(entries) => entries,
            // The object is optional and missing.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(values),
            Err(error) => return Err(cannot(path, &error)),
        };
        for entry in entries {
            let key = entry.map_err(|error| cannot(path, &error))?.file_name();
            let path = path.join(&key);
            // Links are followed: each file is a link into the folder of its version.
            if key.as_bytes().starts_with(KUBELETS)
                || !fs::metadata(&path).map_err(|error| cannot(&path, &error))?.is_file()
            {
                continue;
            }
            let Some(files) = self.files.checked_sub(1) else {
                return Err(too_much(origin, &format!("more than {MAX_FILES} keys")));
            };
            self.files = files;
            let value = reach::read_mounted(&path, self.bytes).map_err(|error| cannot(&path, &error))?;
            let Some(bytes) = self.bytes.checked_sub(value.len() as u64) else {
                return Err(too_much(origin, &format!("more than {MAX_BYTES} bytes")));
            };
            self.bytes = bytes;
            values.insert(key, value);
        }
        Ok(values)
    }
}

/// Whether a variable can have this name. Like Kubernetes, the runner leaves others out, and also Longshore's
/// own names.
fn can_be_a_name(name: &OsStr) -> bool {
    !name.is_empty()
        && !name.as_bytes().iter().any(|byte| matches!(byte, b'=' | 0))
        && !place::is_reserved(name)
}

fn too_much(origin: &str, what: &str) -> Refusal {
    Refusal::new(
        Problem::Input,
        format!(
            "the {origin}, with all that spec.variablesFrom lists before it, has {what}: name what the script \
             needs in spec.variables instead"
        ),
    )
}

fn no_text(entry: &Entry, origin: &str) -> Refusal {
    let (key, name) = (quoted(&entry.key.to_string_lossy()), entry.name.to_string_lossy());
    Refusal::new(
        Problem::Input,
        format!(
            "key {key} of the {origin} holds a NUL byte, so it cannot be the value of the environment variable \
             {name}: take the other keys one by one in spec.variables, and this one with `as: File`"
        ),
    )
}
