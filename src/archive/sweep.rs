//! Removes the logs that need not be kept.

use std::{collections::HashMap, path::Path, time::SystemTime};

use jiff::Timestamp;
use tracing::{debug, info, warn};

use super::{
    error::ArchiveError,
    log_key::{LOGS, LogKey},
    retention::{Retention, StoredLog, UNFINISHED, excess},
    run_record,
    store::Archive,
};

/// The result of a sweep.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    /// The logs that are left, and their size in bytes.
    pub kept: u64,
    /// Their size, in bytes.
    pub kept_bytes: u64,
    /// The logs that were removed.
    pub removed: u64,
    /// Their size, in bytes.
    pub removed_bytes: u64,
    /// The logs that could not be removed. The next sweep tries again.
    pub failed: u64,
}

/// A log and the names of its objects.
struct Found {
    log: StoredLog,
    objects: Vec<String>,
}

impl Archive {
    /// All logs that the archive has.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn stored(&self) -> Result<Vec<StoredLog>, ArchiveError> {
        Ok(self.found(false).await?.into_iter().map(|found| found.log).collect())
    }

    /// Lists all objects once. The listing has their sizes and times, so none of them is read.
    async fn found(&self, with_objects: bool) -> Result<Vec<Found>, ArchiveError> {
        let mut logs: HashMap<LogKey, Found> = HashMap::new();
        let see = |object: super::store::Listed| {
            // An object with another name is not ours: it is not counted, and never removed.
            let Some((folder, name)) = object.name.rsplit_once('/') else { return };
            let Ok(key) = folder.parse::<LogKey>() else { return };
            let ended = name == run_record::NAME;
            if !ended && super::object::begins_at(name).is_none() {
                return;
            }
            let written = Timestamp::from_millisecond(object.written).unwrap_or_default();
            let found = logs.entry(key).or_insert_with_key(|key| Found {
                log: StoredLog { key: key.clone(), bytes: 0, written, ended: false },
                objects: Vec::new(),
            });
            found.log.bytes += object.size;
            found.log.written = found.log.written.max(written);
            found.log.ended |= ended;
            if with_objects {
                found.objects.push(object.name);
            }
        };
        self.list_each(LOGS, see).await?;
        Ok(logs.into_values().collect())
    }

    /// Removes the logs that exceed what is kept, and says in the operator's own log which. A log that
    /// `is_under_way` is left alone.
    ///
    /// # Errors
    /// If the store cannot be listed.
    pub async fn sweep(
        &self,
        retention: &Retention,
        now: Timestamp,
        is_under_way: impl Fn(&LogKey) -> bool,
    ) -> Result<Swept, ArchiveError> {
        let found = self.found(true).await?;
        let (mut logs, mut objects) = (Vec::with_capacity(found.len()), Vec::with_capacity(found.len()));
        for found in found {
            logs.push(found.log);
            objects.push(found.objects);
        }
        let mut swept = Swept {
            kept: logs.len() as u64,
            kept_bytes: logs.iter().map(|log| log.bytes).sum(),
            ..Swept::default()
        };
        for (at, why) in excess(&logs, retention, now, is_under_way) {
            let log = &logs[at];
            let mut names = std::mem::take(&mut objects[at]);
            // The record goes last: as long as it is there, the log counts as ended, and the next sweep goes on.
            names.sort_by_key(|name| name.ends_with(run_record::NAME));
            let record = names.pop_if(|name| name.ends_with(run_record::NAME));
            let mut removed = self.delete(names).await;
            if let (Ok(()), Some(record)) = (&removed, record) {
                removed = self.delete(vec![record]).await;
            }
            match removed {
                Ok(()) => {
                    swept.kept -= 1;
                    swept.kept_bytes -= log.bytes;
                    swept.removed += 1;
                    swept.removed_bytes += log.bytes;
                    info!(log = %log.key, bytes = log.bytes, stored = %log.written, %why, "removed from the archive");
                }
                Err(error) => {
                    swept.failed += 1;
                    warn!(log = %log.key, %error, "not removed from the archive");
                }
            }
        }
        if let Some(folder) = self.folder() {
            let logs = folder.join(LOGS);
            // It only tidies up.
            let _ = tokio::task::spawn_blocking(move || remove_half_written(&logs, SystemTime::now())).await;
        }
        Ok(swept)
    }
}

/// A crash in the middle of writing leaves a file `NAME#NUMBER` in a folder on this machine. No listing shows it.
fn remove_half_written(folder: &Path, now: SystemTime) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        // Not through a link: nothing outside is ours.
        let Ok(kind) = entry.file_type() else { continue };
        let path = entry.path();
        if kind.is_dir() {
            remove_half_written(&path, now);
            continue;
        }
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let is_half = name.rsplit_once('#').is_some_and(|(_, number)| {
            !number.is_empty() && number.bytes().all(|digit| digit.is_ascii_digit())
        });
        let is_old = entry
            .metadata()
            .and_then(|metadata| metadata.modified())
            .is_ok_and(|written| now.duration_since(written).is_ok_and(|age| age > UNFINISHED));
        if is_half && is_old && kind.is_file() && std::fs::remove_file(&path).is_ok() {
            debug!(path = %path.display(), "removed what a crash left half written");
        }
    }
}
