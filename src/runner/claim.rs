//! Files that outlive the process: the claim, by which a run starts at most once, and the exit record.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::Path,
};

use crate::record::outcome::{Identity, MAX_RECORD_BYTES, Stored};

use super::{places::Places, reach};

/// Whether this start is the first one.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Claim {
    /// It is the first, and no later one can be.
    First,
    /// An earlier start was the first.
    Taken,
}

/// Claims the run. Once this says [`Claim::First`], the claim survives a crash of the node.
///
/// # Errors
/// Nothing could be claimed. A claim that was created but could not be made durable stays. The file's
/// existence alone counts, so no later start can claim the run.
pub(super) fn take(places: &Places, identity: &Identity) -> io::Result<Claim> {
    // An earlier start could not claim and reported that nothing was started. This report must stay true.
    if fs::symlink_metadata(places.exit_record()).is_ok() {
        return Ok(Claim::Taken);
    }
    let mut file = match reach::create(&places.claim(), 0o440) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(Claim::Taken),
        Err(error) => return Err(error),
    };
    file.write_all(serde_json::to_string(identity)?.as_bytes())?;
    file.sync_all()?;
    sync_folder(&places.state())?;
    Ok(Claim::First)
}

/// Stores the exit record. After a crash it is there completely or not at all.
pub(super) fn store_exit(places: &Places, stored: &Stored) -> io::Result<()> {
    let path = places.exit_record();
    let next = reach::beside(&path)?;
    let mut file = reach::create(&next, 0o440)?;
    file.write_all(serde_json::to_string(stored)?.as_bytes())?;
    file.sync_all()?;
    if fs::rename(&next, &path).is_err() {
        // The script has put a folder there.
        fs::rename(&path, reach::beside(&path)?)?;
        fs::rename(&next, &path)?;
    }
    sync_folder(&places.state())
}

/// Reads the exit record that an earlier start left.
///
/// # Errors
/// There is no valid record. The text says why, for people.
pub(super) fn stored_exit(places: &Places, identity: &Identity) -> Result<Stored, String> {
    let max = MAX_RECORD_BYTES as u64;
    let text = reach::read(&places.exit_record(), max).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => "it left no exit record".to_owned(),
        _ => format!("its exit record cannot be read: {error}"),
    })?;
    if text.len() > MAX_RECORD_BYTES {
        return Err(format!("its exit record has more than {MAX_RECORD_BYTES} bytes"));
    }
    let stored: Stored =
        serde_json::from_slice(&text).map_err(|error| format!("its exit record is damaged: {error}"))?;
    if stored.exit.of != *identity {
        return Err(format!(
            "its exit record is of another run ({} in pod {})",
            stored.exit.of.run_id, stored.exit.of.pod_uid
        ));
    }
    Ok(stored)
}

/// Makes new names in a folder durable.
fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}
