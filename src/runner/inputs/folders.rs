//! Makes the folders and files that a script finds.

use std::{
    fs,
    io::{self, Write},
    os::unix::fs::PermissionsExt,
    path::Path,
};

use crate::runner::{places::Places, reach, refusal::Refusal};

/// Makes the working directory, the home and the temp folder if they are missing, the outputs file, and the
/// file of values to mask.
///
/// Nothing is deleted: volumes of the user may be mounted below the working directory. The claim already
/// proves that no earlier script wrote to it.
pub(in crate::runner) fn prepare(places: &Places) -> Result<(), Refusal> {
    for folder in [places.work(), places.home(), places.tmp()] {
        fs::create_dir_all(&folder).map_err(|error| Refusal::internal("create", &folder, &error))?;
    }
    write(&places.output(), b"", 0o600)?;
    write(&places.mask(), b"", 0o600)
}

/// Writes the script, alone in its folder. A command has no script and no volume for it.
pub(in crate::runner) fn write_script(places: &Places, path: &Path, text: &[u8]) -> Result<(), Refusal> {
    let folder = places.script_folder();
    fs::create_dir_all(&folder).map_err(|error| Refusal::internal("create", &folder, &error))?;
    write(path, text, 0o500)
}

/// Writes a new file with exactly this mode.
fn write(path: &Path, content: &[u8], mode: u32) -> Result<(), Refusal> {
    write_new(path, content, mode).map_err(|error| Refusal::internal("write", path, &error))
}

fn write_new(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let mut file = reach::create(path, mode)?;
    file.write_all(content)?;
    file.set_permissions(fs::Permissions::from_mode(mode))
}
