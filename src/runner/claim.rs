//! What outlives the process: the claim, by which a run starts at most once, and the exit record.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use crate::record::outcome::{Exit, Identity};

use super::places::Places;

/// Whether this start is the first one.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Claim {
    /// It is, and no later one can be.
    First,
    /// An earlier one was.
    Taken,
}

/// Claims the run. Once this says [`Claim::First`], the claim survives a crash of the node.
///
/// # Errors
/// Where nothing could be claimed. A claim that could be created and not be made durable stays: it
/// is the file's existence that counts, so that no later start can take the run for its own.
pub(super) fn take(places: &Places, identity: &Identity) -> io::Result<Claim> {
    // A start that could not even claim said that nothing was started. That must stay true.
    if fs::symlink_metadata(places.exit_record()).is_ok() {
        return Ok(Claim::Taken);
    }
    let mut file = match OpenOptions::new().write(true).create_new(true).mode(0o440).open(places.claim()) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(Claim::Taken),
        Err(error) => return Err(error),
    };
    file.write_all(serde_json::to_string(identity)?.as_bytes())?;
    file.sync_all()?;
    sync_folder(&places.state())?;
    Ok(Claim::First)
}

/// Stores the exit record: after a crash it is there whole or not at all.
pub(super) fn store_exit(places: &Places, exit: &Exit) -> io::Result<()> {
    let path = places.exit_record();
    let next = path.with_extension("json.new");
    // The script may have put something there.
    let _ = fs::remove_file(&next);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o440).open(&next)?;
    file.write_all(serde_json::to_string(exit)?.as_bytes())?;
    file.sync_all()?;
    fs::rename(&next, &path)?;
    sync_folder(&places.state())
}

/// The exit record that an earlier start left.
///
/// # Errors
/// Says, for people, why there is none that counts.
pub(super) fn stored_exit(places: &Places, identity: &Identity) -> Result<Exit, String> {
    let text = fs::read_to_string(places.exit_record()).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => "it left no exit record".to_owned(),
        _ => format!("its exit record cannot be read: {error}"),
    })?;
    let exit: Exit =
        serde_json::from_str(&text).map_err(|error| format!("its exit record is damaged: {error}"))?;
    if exit.of != *identity {
        return Err(format!(
            "its exit record is of another run ({} in pod {})",
            exit.of.run_id, exit.of.pod_uid
        ));
    }
    Ok(exit)
}

/// A new file's name is durable only once its folder is.
fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}
