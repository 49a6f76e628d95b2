//! Logs in the archive: which one is asked for, and which part of it.

use k8s_openapi::jiff::Timestamp;

use crate::{
    archive::{Archive, ArchiveError, Begin, Entry, LogKey, Query, Summary},
    reading::{Piece, Selection},
    record::frame::Frame,
};

/// The log of an attempt whose pod is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sought {
    pub(super) run: u32,
    /// The last one that is stored, if it is not given.
    pub(super) attempt: Option<u32>,
    /// The pod's UID, if the status has it.
    pub(super) pod_uid: Option<String>,
}

/// A log in the archive.
#[derive(Debug, Clone)]
pub(super) struct Stored {
    pub(super) key: LogKey,
    summary: Summary,
}

impl Stored {
    /// The log with this key. `None` if the archive does not have it.
    pub(super) async fn with_key(archive: &Archive, key: LogKey) -> Result<Option<Self>, ArchiveError> {
        match archive.summary(&key).await {
            Ok(summary) => Ok(Some(Self { key, summary })),
            Err(ArchiveError::NotFound(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The log of an attempt of the action with this UID. `None` if the archive does not have it.
    pub(super) async fn find(
        archive: &Archive,
        namespace: &str,
        action_uid: &str,
        sought: &Sought,
    ) -> Result<Option<Self>, ArchiveError> {
        let Sought { run, attempt, pod_uid } = sought;
        if let (Some(attempt), Some(pod_uid)) = (attempt, pod_uid) {
            // A UID that cannot be one is in no archive.
            let Ok(key) = LogKey::new(namespace, action_uid, *run, *attempt, pod_uid) else {
                return Ok(None);
            };
            return Self::with_key(archive, key).await;
        }
        let logs = archive.logs_of_run(namespace, action_uid, *run, *attempt).await?;
        let last = logs.last().map(LogKey::attempt);
        let mut found: Option<Self> = None;
        // Usually one. A cluster that was restored from a backup can have given the numbers twice.
        for key in logs.into_iter().filter(|key| Some(key.attempt()) == last) {
            if let Some(stored) = Self::with_key(archive, key).await?
                && found.as_ref().is_none_or(|found| found.started() <= stored.started())
            {
                found = Some(stored);
            }
        }
        Ok(found)
    }

    /// Whether all that the operator has of the log is stored.
    pub(super) const fn has_ended(&self) -> bool {
        self.summary.record.is_some()
    }

    /// When the script's container started, as its node said. All times of the log count from there.
    pub(super) fn started(&self) -> Option<Timestamp> {
        // The record has the status's time, which a node with a wrong clock does not decide alone.
        let recorded = self.summary.record.as_ref().and_then(|record| record.times.started_at);
        self.summary.started.or(recorded)
    }

    /// The part to read. Nothing if nothing is wanted.
    pub(super) fn part(&self, selection: Selection) -> Option<Part> {
        let Selection { tail_lines, since } = selection;
        let lines = tail_lines.map(|lines| lines as u64).filter(|lines| *lines < self.summary.lines);
        let from = match (lines, since, self.started()) {
            // Without times, no line is known to be new enough. The writer leaves all out.
            (Some(0), ..) | (None, Some(_), None) => return None,
            (Some(lines), ..) => Begin::Last(lines),
            (None, Some(since), Some(started)) => Begin::Millis(millis(started, since)),
            (None, None, _) => Begin::Start,
        };
        let query = Query { from, ..Query::default() };
        Some(Part { query, first_is_text: lines.is_some() })
    }
}

/// A part of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) query: Query,
    /// Whether a gap in front of the first line does not belong to it.
    pub(super) first_is_text: bool,
}

impl Part {
    /// Whether this piece belongs to it, if all before it were asked for too.
    pub(super) fn has(&mut self, piece: &Piece<'_>) -> bool {
        self.first_is_text &= !matches!(piece, Piece::Text { .. });
        !self.first_is_text
    }
}

/// The time from the script's start to `since`, in milliseconds, rounded down.
pub(super) fn millis(started: Timestamp, since: Timestamp) -> u64 {
    u64::try_from(since.duration_since(started).as_millis()).unwrap_or_default()
}

/// An entry of the archive as a part of a log.
pub(super) fn piece(entry: Entry) -> Piece<'static> {
    match entry {
        Entry::Missing { from, to } => Piece::Missing(from, to),
        Entry::Text(text) => Piece::Text {
            frame: Frame {
                sequence: text.sequence,
                kind: text.kind,
                millis: text.millis,
                ending: text.ending,
                text: text.text.into(),
            },
            begins: text.begins,
        },
    }
}

#[cfg(test)]
mod tests;
