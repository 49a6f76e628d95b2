//! Writes a log.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use jiff::Timestamp;
use tokio::time::Instant;
use tracing::debug;

use super::{
    error::ArchiveError,
    log_key::LogKey,
    object::{self, Packer},
    position::Position,
    read::{Begin, Entry, Query},
    run_record::{self, RunRecord},
    store::{Archive, Created, Listed},
};
use crate::record::{frame::Frame, transcript::Transcript};

/// So much text, not compressed, becomes an object at once. Each object costs a request, and what is not stored
/// costs memory.
///
/// In tests a short log has many.
const OBJECT: usize = if cfg!(test) { 2048 } else { 8 * 1024 * 1024 };

/// So much may all logs that are being written hold, in bytes. Beyond it, each stores what it has once that is
/// worth an object.
pub(super) const HELD: usize = if cfg!(test) { 64 * 1024 } else { 24 * 1024 * 1024 };

/// The least text that becomes an object because all logs together hold too much.
const WORTH: usize = if cfg!(test) { 1024 } else { 512 * 1024 };

/// A log that grows slowly is stored this often. A crash of the operator loses nothing, since the next one reads
/// the pod's log again. But somebody who reads the archive sees a line this late.
const EVERY: Duration = Duration::from_mins(1);

/// Writes one log, frame by frame.
///
/// Frames go into memory first. [`Writer::flush`] stores them, and [`Writer::append`] does if there are many. A
/// frame in front of [`Writer::next`] is ignored, so a pod's log may be read from its beginning again.
///
/// All of it can be cancelled, and called again.
#[derive(Debug)]
pub struct Writer {
    archive: Archive,
    key: LogKey,
    packer: Packer,
    started: Option<Timestamp>,
    /// When the first frame came that is not stored.
    since: Option<Instant>,
    held: Held,
}

impl Archive {
    /// Opens a log to write it, or to write on: [`Writer::next`] says where.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn open(&self, key: LogKey) -> Result<Writer, ArchiveError> {
        let objects = self.objects(&key).await?;
        let (position, started) = match objects.last() {
            None => (Position::START, None),
            Some(last) => {
                let index = self.index(last).await?;
                (index.end, index.started)
            }
        };
        Ok(Writer {
            held: Held { all: Arc::clone(&self.held), own: 0 },
            archive: self.clone(),
            key,
            packer: Packer::at(position),
            started,
            since: None,
        })
    }
}

impl Writer {
    /// The log's key.
    #[must_use]
    pub const fn key(&self) -> &LogKey {
        &self.key
    }

    /// The sequence number of the frame that comes next. Frames in front of it are stored or in memory.
    #[must_use]
    pub const fn next(&self) -> u64 {
        self.packer.now().next
    }

    /// The sequence number of the first frame that is not stored. Frames in front of it survive a crash.
    #[must_use]
    pub const fn stored(&self) -> u64 {
        self.packer.first().next
    }

    /// The lines and bytes that are stored.
    #[must_use]
    pub const fn stored_size(&self) -> (u64, u64) {
        (self.packer.first().lines, self.packer.first().bytes)
    }

    /// Length and hash of what is stored, to go on with after a restart. It reads all of it.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn transcript(&self) -> Result<Transcript, ArchiveError> {
        let mut transcript = Transcript::default();
        let end = self.stored();
        let query = Query { from: Begin::Start, ..Query::default() };
        let mut entries = std::pin::pin!(self.archive.read(&self.key, query));
        while let Some(entry) = futures::TryStreamExt::try_next(&mut entries).await? {
            if let Entry::Text(text) = entry {
                if text.sequence >= end {
                    break;
                }
                transcript.push(&text.text, text.ending);
            }
        }
        Ok(transcript)
    }

    /// Notes when the script started. Objects that are stored from now on hold it, so that somebody can ask for
    /// lines by time while the run is under way.
    pub const fn started(&mut self, at: Timestamp) {
        self.started = Some(at);
    }

    /// Adds the next frame, of any kind: only text is stored, but all have numbers. If there is much that is not
    /// stored, it is stored first.
    ///
    /// # Errors
    /// If the frame is not [the next one](Writer::next), or storing failed. It was then not added: add it again
    /// later, or drop the writer.
    pub async fn append(&mut self, frame: &Frame<'_>) -> Result<(), ArchiveError> {
        self.make_room().await?;
        self.packer.push(frame)?;
        self.added();
        Ok(())
    }

    /// Notes that the frames in front of the one with this number are missing for good, as far as they are not
    /// here yet. Readers are told.
    ///
    /// # Errors
    /// As [`Writer::append`].
    pub async fn skip_to(&mut self, next: u64) -> Result<(), ArchiveError> {
        self.make_room().await?;
        self.packer.skip(next)?;
        self.added();
        Ok(())
    }

    async fn make_room(&mut self) -> Result<(), ArchiveError> {
        if self.must_store() { self.flush().await.map(drop) } else { Ok(()) }
    }

    fn added(&mut self) {
        self.since.get_or_insert_with(Instant::now);
        self.held.set(self.packer.held());
    }

    fn must_store(&self) -> bool {
        let text = self.packer.plain_bytes();
        text >= OBJECT || (text >= WORTH && self.held.all.load(Ordering::Relaxed) >= HELD)
    }

    /// Whether there has been text for a minute that is not stored. Then call [`Writer::flush`].
    #[must_use]
    pub fn is_due(&self) -> bool {
        self.packer.plain_bytes() > 0 && self.since.is_some_and(|since| since.elapsed() >= EVERY)
    }

    /// Stores all that was added, and returns [`Writer::stored`]. Each call makes an object, unless there is
    /// nothing to store. So call it for a reason: it [is due](Writer::is_due), or the runner waits until frames
    /// are safe.
    ///
    /// # Errors
    /// If storing failed. The added frames are kept: call it again later.
    pub async fn flush(&mut self) -> Result<u64, ArchiveError> {
        // More than once only if somebody else writes the same log: then what that one stored is taken over.
        while !self.packer.is_empty() {
            self.packer.seal()?;
            let name = Archive::object_name(&self.key, &object::name(self.packer.first()));
            let parts = self.packer.object(self.started);
            let stored = match self.archive.create(&name, parts).await? {
                Created::Now => *self.packer.now(),
                Created::Before { size } => {
                    debug!(name, "the object is there already");
                    let index = self.archive.index(&Listed { name: name.clone(), size, written: 0 }).await?;
                    if index.first != *self.packer.first() || index.end.next <= index.first.next {
                        return Err(ArchiveError::damaged(name, "it does not begin where the log ends"));
                    }
                    index.end
                }
            };
            self.packer = self.packer.after(stored)?;
            self.held.set(self.packer.held());
        }
        self.since = None;
        Ok(self.stored())
    }

    /// Stores the rest, and the record of the run beside it. Then the log counts as ended. A record that is there
    /// already is replaced.
    ///
    /// # Errors
    /// If storing failed. Call it again later.
    pub async fn finish(&mut self, record: &RunRecord) -> Result<(), ArchiveError> {
        self.flush().await?;
        self.archive.put_record(&self.key, record).await
    }
}

impl Archive {
    /// Writes the record of a run. See [`Writer::finish`].
    ///
    /// # Errors
    /// If storing failed.
    pub async fn put_record(&self, key: &LogKey, record: &RunRecord) -> Result<(), ArchiveError> {
        let name = Self::object_name(key, run_record::NAME);
        let text = serde_json::to_vec_pretty(record)
            .map_err(|error| ArchiveError::damaged(&name, format!("not written: {error}")))?;
        self.overwrite(&name, text.into()).await
    }
}

/// The memory of one log, counted with all others.
#[derive(Debug)]
struct Held {
    all: Arc<AtomicUsize>,
    own: usize,
}

impl Held {
    fn set(&mut self, own: usize) {
        if own != self.own {
            self.all.fetch_add(own, Ordering::Relaxed);
            self.all.fetch_sub(self.own, Ordering::Relaxed);
            self.own = own;
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.all.fetch_sub(self.own, Ordering::Relaxed);
    }
}
