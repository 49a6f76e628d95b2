//! Reads a log, or a part of it.

use std::{collections::VecDeque, time::Duration};

use futures::{Stream, TryStreamExt, stream};
use jiff::Timestamp;

use super::{
    error::ArchiveError,
    log_key::LogKey,
    object::{self, Found, Index, TAIL},
    position::{Position, missing},
    run_record::{self, RunRecord},
    store::{Archive, Listed},
};
use crate::record::frame::{Ending, Kind};

/// One request reads at most this many bytes of frames, and at least one chunk. They are all in memory, and the
/// entries of short lines take a few times as much. A log server reads many logs at the same time.
const READ: u64 = 256 * 1024;

/// How often the store is asked whether a log that is followed has grown.
const POLL: Duration = Duration::from_secs(2);

/// The place at which reading begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Begin {
    /// At the first line.
    #[default]
    Start,
    /// At the line with this number. The first one has 0.
    Line(u64),
    /// This many lines before the end.
    Last(u64),
    /// At the frame with this number. It may be in the middle of a line. If it is missing, the reading says so.
    Frame(u64),
    /// At the first frame that is not older, in milliseconds since the script's start.
    Millis(u64),
}

/// The part of a log to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Query {
    /// Where to begin.
    pub from: Begin,
    /// How many lines at most.
    pub lines: Option<u64>,
    /// Whether to wait for more at the end, until the run has ended. Only stored lines come, up to a minute
    /// late.
    pub follow: bool,
}

/// A piece of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// Text.
    Text(Text),
    /// Frames that never came, or that somebody removed from the archive.
    Missing {
        /// The number of the first of them.
        from: u64,
        /// The number of the last of them.
        to: u64,
    },
}

/// A line, or a part of one: a frame of text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    /// The frame's number.
    pub sequence: u64,
    /// The line's number. The first one has 0.
    pub line: u64,
    /// Whether a line begins with it.
    pub begins: bool,
    /// The stream that it came from.
    pub kind: Kind,
    /// Milliseconds since the script's start.
    pub millis: u64,
    /// How it ends.
    pub ending: Ending,
    /// The bytes that the script wrote, masked, without newline.
    pub text: Vec<u8>,
}

/// A log in the archive, without its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// When the script started, if that is known.
    pub started: Option<Timestamp>,
    /// The lines that are stored.
    pub lines: u64,
    /// Their bytes, newlines included.
    pub bytes: u64,
    /// The number of the first frame that is not stored.
    pub next: u64,
    /// The record of the run, once it has ended.
    pub record: Option<RunRecord>,
}

impl Archive {
    /// What the archive knows of a log.
    ///
    /// # Errors
    /// If there is none, or the store cannot be read.
    pub async fn summary(&self, key: &LogKey) -> Result<Summary, ArchiveError> {
        let (objects, ended) = self.parts(key).await?;
        if objects.is_empty() && !ended {
            return Err(ArchiveError::NotFound(key.to_string()));
        }
        let record = if ended { Some(self.record(key).await?) } else { None };
        let (end, started) = match objects.last() {
            Some(last) => {
                let index = self.index(last).await?;
                (index.end, index.started)
            }
            None => (Position::START, None),
        };
        Ok(Summary { started, lines: end.begun_lines(), bytes: end.bytes, next: end.next, record })
    }

    /// The record of a run that has ended.
    ///
    /// # Errors
    /// If there is none, or the store cannot be read.
    pub async fn record(&self, key: &LogKey) -> Result<RunRecord, ArchiveError> {
        let name = Self::object_name(key, run_record::NAME);
        let text = self.read_whole(&name, run_record::MAX_BYTES).await?;
        serde_json::from_slice(&text).map_err(|error| ArchiveError::damaged(name, error.to_string()))
    }

    /// The logs of an attempt, or of all attempts of an action that the archive has, the latest run last.
    ///
    /// # Errors
    /// If the namespace or the UID cannot be one, or the store cannot be read.
    pub async fn logs_of(&self, namespace: &str, action_uid: &str) -> Result<Vec<LogKey>, ArchiveError> {
        let folder = Self::folder_of(namespace, action_uid)?;
        let attempts = self.folders(&folder).await?;
        self.logs_in(&folder, attempts).await
    }

    /// The logs of one run of an action, the last attempt last. With `attempt`, those of this attempt alone: one,
    /// unless a cluster was restored from a backup.
    ///
    /// # Errors
    /// If the namespace or the UID cannot be one, or the store cannot be read.
    pub async fn logs_of_run(
        &self,
        namespace: &str,
        action_uid: &str,
        run: u32,
        attempt: Option<u32>,
    ) -> Result<Vec<LogKey>, ArchiveError> {
        let folder = Self::folder_of(namespace, action_uid)?;
        let attempts = if let Some(attempt) = attempt {
            vec![LogKey::attempt_folder(run, attempt)]
        } else {
            let of_run = |name: &String| LogKey::numbers(name).is_some_and(|(number, _)| number == run);
            self.folders(&folder).await?.into_iter().filter(of_run).collect()
        };
        self.logs_in(&folder, attempts).await
    }

    fn folder_of(namespace: &str, action_uid: &str) -> Result<String, ArchiveError> {
        let none = |_| ArchiveError::NotFound(format!("of {namespace}/{action_uid}"));
        LogKey::action_folder(namespace, action_uid).map_err(none)
    }

    /// The logs in these folders of attempts.
    async fn logs_in(&self, folder: &str, attempts: Vec<String>) -> Result<Vec<LogKey>, ArchiveError> {
        let mut logs = Vec::new();
        for attempt in attempts {
            for pod in self.folders(&format!("{folder}/{attempt}")).await? {
                logs.extend(format!("{folder}/{attempt}/{pod}").parse::<LogKey>());
            }
        }
        logs.sort_unstable();
        Ok(logs)
    }

    /// Reads a log, or a part of it. Memory is bounded, however long log and lines are.
    ///
    /// A log that the archive does not have is an error, unless it is followed.
    pub fn read(
        &self,
        key: &LogKey,
        query: Query,
    ) -> impl Stream<Item = Result<Entry, ArchiveError>> + Send + use<> {
        let reading = Reading {
            archive: self.clone(),
            key: key.clone(),
            query,
            begun: false,
            ended: false,
            objects: VecDeque::new(),
            current: None,
            next: None,
            from_line: 0,
            from_millis: None,
            to_line: None,
        };
        let batches = stream::try_unfold(reading, |mut reading| async move {
            let batch = reading.batch().await?;
            Ok(batch.map(|batch| (stream::iter(batch.into_iter().map(Ok)), reading)))
        });
        batches.try_flatten()
    }

    /// The objects of a log in order, and whether its record is there.
    async fn parts(&self, key: &LogKey) -> Result<(Vec<Listed>, bool), ArchiveError> {
        let folder = key.to_string();
        let mut objects = self.list(&folder).await?;
        let short = |object: &Listed| object.name[folder.len()..].trim_start_matches('/').to_owned();
        let ended = objects.iter().any(|object| short(object) == run_record::NAME);
        objects.retain(|object| object::begins_at(&short(object)).is_some());
        Ok((objects, ended))
    }

    pub(super) async fn objects(&self, key: &LogKey) -> Result<Vec<Listed>, ArchiveError> {
        Ok(self.parts(key).await?.0)
    }

    /// The index of an object.
    pub(super) async fn index(&self, object: &Listed) -> Result<Index, ArchiveError> {
        if object.size == 0 {
            return Err(ArchiveError::damaged(&object.name, "it is empty"));
        }
        let mut length = object.size.min(TAIL);
        loop {
            let tail = self.read_range(&object.name, object.size - length..object.size).await?;
            match Index::parse(&object.name, object.size, &tail)? {
                Found::Index(index) => return Ok(index),
                Found::Longer(needed) if needed > length => length = needed,
                Found::Longer(_) => return Err(ArchiveError::damaged(&object.name, "its index is cut")),
            }
        }
    }
}

/// The sequence number and the line at which an object begins.
fn begins_at(object: &Listed) -> (u64, u64) {
    let name = object.name.rsplit('/').next().unwrap_or_default();
    object::begins_at(name).unwrap_or_default()
}

/// The last of those that begin before `line` begins, so that its beginning is in it.
fn holds_line(begin: impl DoubleEndedIterator<Item = u64> + ExactSizeIterator, line: u64) -> usize {
    begin.enumerate().rev().find(|(_, begins)| *begins < line).map_or(0, |(at, _)| at)
}

struct Reading {
    archive: Archive,
    key: LogKey,
    query: Query,
    begun: bool,
    /// Whether the run has ended: no object comes any more.
    ended: bool,
    objects: VecDeque<Listed>,
    /// The object that is being read, and the next chunk of it.
    current: Option<(Listed, Index, usize)>,
    /// The number of the next frame, once one is known.
    next: Option<u64>,
    /// Lines in front of this one are left out.
    from_line: u64,
    /// Frames are left out up to the first one that is not older.
    from_millis: Option<u64>,
    /// The first line that is not read any more.
    to_line: Option<u64>,
}

impl Reading {
    /// The next entries. `None` at the end.
    async fn batch(&mut self) -> Result<Option<Vec<Entry>>, ArchiveError> {
        if self.query.lines == Some(0) {
            return Ok(None);
        }
        loop {
            if !self.begun && !self.begin().await? {
                if !self.query.follow {
                    return Err(ArchiveError::NotFound(self.key.to_string()));
                }
                tokio::time::sleep(POLL).await;
                continue;
            }
            if self.current.as_ref().is_none_or(|(_, index, chunk)| *chunk >= index.chunks.len())
                && !self.next_object().await?
            {
                if self.ended || !self.query.follow {
                    return Ok(None);
                }
                tokio::time::sleep(POLL).await;
                self.look().await?;
                continue;
            }
            let (batch, more) = self.chunks().await?;
            if !more {
                self.query.lines = Some(0);
            }
            if !batch.is_empty() || !more {
                return Ok(Some(batch));
            }
        }
    }

    /// Finds the first object and chunk. Returns whether there is a log.
    async fn begin(&mut self) -> Result<bool, ArchiveError> {
        let (objects, ended) = self.archive.parts(&self.key).await?;
        if objects.is_empty() && !ended {
            return Ok(false);
        }
        self.ended = ended;
        let first = match self.query.from {
            Begin::Start => 0,
            Begin::Line(line) => self.begin_at(line, &objects),
            Begin::Last(lines) => {
                let end = match objects.last() {
                    Some(last) => self.archive.index(last).await?.end,
                    None => Position::START,
                };
                self.begin_at(end.begun_lines().saturating_sub(lines), &objects)
            }
            Begin::Frame(frame) => {
                self.next = Some(frame);
                objects.iter().rposition(|object| begins_at(object).0 <= frame).unwrap_or(0)
            }
            Begin::Millis(millis) => {
                self.from_millis = Some(millis);
                self.object_at(millis, &objects).await?
            }
        };
        self.to_line = match self.query.from {
            Begin::Start | Begin::Line(_) | Begin::Last(_) => {
                self.query.lines.map(|lines| self.from_line.saturating_add(lines))
            }
            // Known with the first line.
            Begin::Frame(_) | Begin::Millis(_) => None,
        };
        self.objects = objects.into_iter().skip(first).collect();
        self.begun = true;
        Ok(true)
    }

    fn begin_at(&mut self, line: u64, objects: &[Listed]) -> usize {
        self.from_line = line;
        holds_line(objects.iter().map(|object| begins_at(object).1), line)
    }

    /// The first object with a frame that is not older.
    async fn object_at(&self, millis: u64, objects: &[Listed]) -> Result<usize, ArchiveError> {
        let (mut low, mut high) = (0, objects.len());
        while low < high {
            let middle = usize::midpoint(low, high);
            let end = self.archive.index(&objects[middle]).await?.end;
            if end.millis >= millis { high = middle } else { low = middle + 1 }
        }
        Ok(low)
    }

    /// Looks for objects that were not there before.
    async fn look(&mut self) -> Result<(), ArchiveError> {
        let (objects, ended) = self.archive.parts(&self.key).await?;
        self.ended = ended;
        let known = self.next.unwrap_or_default();
        self.objects = objects.into_iter().filter(|object| begins_at(object).0 >= known).collect();
        Ok(())
    }

    /// Opens the next object, and finds the first chunk in it. Returns whether there is one.
    async fn next_object(&mut self) -> Result<bool, ArchiveError> {
        let Some(object) = self.objects.pop_front() else {
            self.current = None;
            return Ok(false);
        };
        let index = self.archive.index(&object).await?;
        let mut chunk = holds_line(index.chunks.iter().map(|chunk| chunk.first.lines), self.from_line);
        if let Some(next) = self.next {
            chunk = chunk.max(index.chunks.iter().rposition(|chunk| chunk.first.next <= next).unwrap_or(0));
        }
        if let Some(millis) = self.from_millis {
            let since = (0..index.chunks.len()).find(|chunk| index.end_of(*chunk).millis >= millis);
            chunk = chunk.max(since.unwrap_or(index.chunks.len()));
        }
        self.current = Some((object, index, chunk));
        Ok(true)
    }

    /// Reads the next chunks. Returns what is wanted of them, and whether more may be.
    async fn chunks(&mut self) -> Result<(Vec<Entry>, bool), ArchiveError> {
        let Some((object, index, chunk)) = &mut self.current else { return Ok((Vec::new(), true)) };
        let chunks = &index.chunks[*chunk..];
        let Some(first) = chunks.first() else { return Ok((Vec::new(), true)) };
        let mut end = first.at + first.size;
        let mut count = 1;
        let mut plain = first.plain;
        for chunk in &chunks[1..] {
            plain += chunk.plain;
            if plain > READ {
                break;
            }
            end = chunk.at + chunk.size;
            count += 1;
        }
        let read = self.archive.read_range(&object.name, first.at..end).await?;
        let mut entries = Vec::new();
        let mut position = first.first;
        // Objects in the middle may have been removed by somebody.
        if let Some(next) = self.next
            && next < position.next
        {
            entries.push(Entry::Missing { from: next, to: position.next - 1 });
        }
        let mut at = 0;
        for chunk in &chunks[..count] {
            let end = at + usize::try_from(chunk.size).unwrap_or(usize::MAX);
            let plain = chunk.decompress(&object.name, &read[at..end])?;
            at = end;
            position = Position { next: position.next, ..chunk.first };
            for frame in object::frames(&object.name, &plain) {
                let frame = frame?;
                let before = position;
                position.pass(&frame);
                if self.next.is_some_and(|next| frame.sequence < next) {
                    continue;
                }
                if self.to_line.is_some_and(|to| before.lines >= to) {
                    return Ok((entries, false));
                }
                if self.from_millis.is_some_and(|millis| frame.millis < millis)
                    || before.lines < self.from_line
                {
                    continue;
                }
                if let Some((from, to)) = missing(&frame) {
                    entries.push(Entry::Missing { from, to });
                    continue;
                }
                self.from_millis = None;
                if self.to_line.is_none() {
                    self.to_line = self.query.lines.map(|lines| before.lines.saturating_add(lines));
                }
                entries.push(Entry::Text(Text {
                    sequence: frame.sequence,
                    line: before.lines,
                    begins: !before.open,
                    kind: frame.kind,
                    millis: frame.millis,
                    ending: frame.ending,
                    text: frame.text.into_owned(),
                }));
            }
        }
        *chunk += count;
        self.next = Some(index.end_of(*chunk - 1).next);
        Ok((entries, true))
    }
}
