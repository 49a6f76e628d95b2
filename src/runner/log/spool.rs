//! Keeps the log's frames until the operator has them.
//!
//! The newest frames are in memory, up to [`MEMORY_BYTES`]. Older ones go into files without a name, a few
//! mebibytes each, in the folder of the runner's own files. A file is freed once the operator has all of it. A
//! script cannot open a file that never had a name, and cannot read the runner's descriptors. So it cannot
//! write frames of its own.
//!
//! The files have a cap. If it is reached, the oldest one is dropped, and its frames are named. If they cannot
//! be written, frames are kept only as long as there is memory for them, and the script waits for a slow
//! reader.

use std::{
    collections::VecDeque,
    fs::File,
    io,
    os::unix::fs::FileExt,
    path::PathBuf,
    time::{Duration, Instant},
};

use super::ranges::Ranges;
use crate::{
    record::{credit::LINE_OVERHEAD_BYTES, frame::MAX_LINE_BYTES, outcome::FrameRange},
    runner::reach,
};

/// The most bytes in memory, apart from those that came at once.
pub(super) const MEMORY_BYTES: usize = 256 * 1024;
/// Into how many files the cap is divided. It bounds the runner's descriptors.
const FILES: u64 = 32;
/// How far apart the places are that the spool remembers.
const MARK_BYTES: u64 = 64 * 1024;
/// The most that is read at once. It holds at least one frame.
pub(super) const CHUNK_BYTES: usize = 64 * 1024;
const _: () = assert!(CHUNK_BYTES > MAX_LINE_BYTES);
/// When files that could not be written are tried again.
const RETRY: Duration = Duration::from_secs(10);

/// A place in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    /// The frame that begins here.
    pub(super) sequence: u64,
    /// The bytes of all frames before it.
    pub(super) at: u64,
}

/// Frames without a gap between them.
#[derive(Debug)]
struct Stretch {
    first: Place,
    /// The place behind the last frame.
    end: Place,
    /// Some of the places between them, in ascending order.
    marks: Vec<Place>,
}

impl Stretch {
    const fn new(first: Place) -> Self {
        Self { first, end: first, marks: vec![] }
    }

    const fn bytes(&self) -> u64 {
        self.end.at - self.first.at
    }

    fn extend(&mut self, frames: u64, bytes: u64) {
        self.mark(self.end);
        self.end = Place { sequence: self.end.sequence + frames, at: self.end.at + bytes };
    }

    fn mark(&mut self, place: Place) {
        if place.at - self.marks.last().unwrap_or(&self.first).at >= MARK_BYTES {
            self.marks.push(place);
        }
    }

    /// Appends frames that follow the last one.
    fn append(&mut self, next: &Self) {
        self.mark(next.first);
        for &place in &next.marks {
            self.mark(place);
        }
        self.end = next.end;
    }

    /// The last known place that is not behind this frame.
    fn near(&self, sequence: u64) -> Place {
        let behind = self.marks.partition_point(|place| place.sequence <= sequence);
        behind.checked_sub(1).and_then(|last| self.marks.get(last)).copied().unwrap_or(self.first)
    }

    fn places(&self) -> impl Iterator<Item = Place> {
        [self.first].into_iter().chain(self.marks.iter().copied())
    }
}

/// A file of frames.
#[derive(Debug)]
struct Segment {
    file: File,
    stretch: Stretch,
}

/// The frames that were made, as far as they are kept, and a cursor that reads them.
#[derive(Debug)]
pub(super) struct Spool {
    folder: PathBuf,
    /// The most bytes in files. 0 if nothing is to be kept there.
    cap: u64,
    /// The oldest comes first.
    files: VecDeque<Segment>,
    memory: Vec<u8>,
    /// The frames in `memory`. They follow those in the files.
    recent: Stretch,
    cursor: Place,
    /// The operator has all frames up to this one.
    acked: u64,
    /// A place near the first frame that the operator does not have.
    acked_at: u64,
    /// Frames that the operator does not have, as far as is known, and cannot get any more.
    dropped: Ranges,
    /// When files are tried again that could not be written.
    retry: Option<Instant>,
}

impl Spool {
    /// Makes an empty spool with its files in `folder`.
    pub(super) fn new(folder: PathBuf, cap: u64) -> Self {
        let start = Place { sequence: 1, at: 0 };
        Self {
            folder,
            cap: if cap < MEMORY_BYTES as u64 { 0 } else { cap },
            files: VecDeque::new(),
            memory: vec![],
            recent: Stretch::new(start),
            cursor: start,
            acked: 0,
            acked_at: 0,
            dropped: Ranges::default(),
            retry: None,
        }
    }

    /// Whether frames are kept after they were read, until the operator has them.
    pub(super) const fn keeps(&self) -> bool {
        self.cap > 0 && self.retry.is_none()
    }

    /// Whether more may be appended. Without files, the memory is the limit.
    pub(super) const fn has_room(&self) -> bool {
        self.keeps() || self.backlog() < MEMORY_BYTES as u64
    }

    /// The last frame that was appended. 0 without any.
    pub(super) const fn made(&self) -> u64 {
        self.recent.end.sequence - 1
    }

    /// The frame that the cursor reads next.
    pub(super) const fn next(&self) -> u64 {
        self.cursor.sequence
    }

    /// How many bytes the cursor has before it.
    pub(super) const fn backlog(&self) -> u64 {
        self.recent.end.at - self.cursor.at
    }

    /// How many bytes the cursor has before it until it is about here.
    pub(super) fn backlog_to(&self, sequence: u64) -> u64 {
        self.near(sequence).at.saturating_sub(self.cursor.at)
    }

    /// How many bytes behind the cursor the operator does not have.
    pub(super) const fn outstanding(&self) -> u64 {
        self.cursor.at.saturating_sub(self.acked_at)
    }

    /// The last frame of those that the operator has.
    pub(super) const fn acked(&self) -> u64 {
        self.acked
    }

    /// The oldest ranges of lost frames, at most `most`.
    pub(super) fn dropped(&self, most: usize) -> Vec<FrameRange> {
        self.dropped.oldest(most)
    }

    /// Appends encoded frames.
    pub(super) fn append(&mut self, frames: u64, bytes: &[u8], now: Instant) {
        if self.memory.is_empty() {
            self.recent = Stretch::new(self.recent.end);
        }
        self.memory.extend_from_slice(bytes);
        self.recent.extend(frames, bytes.len() as u64);
        if self.memory.len() > MEMORY_BYTES {
            self.make_room(now);
        }
    }

    fn make_room(&mut self, now: Instant) {
        if self.acked >= self.recent.first.sequence {
            self.cut(self.recent.near(self.acked + 1));
        }
        if self.memory.len() <= MEMORY_BYTES {
            return;
        }
        if self.cap > 0 && self.retry.is_none_or(|retry| retry <= now) {
            self.retry = self.store().is_err().then(|| now + RETRY);
        }
        if !self.keeps() {
            self.cut(self.cursor);
        }
    }

    /// Forgets what is in memory before `place`.
    fn cut(&mut self, place: Place) {
        let bytes = usize::try_from(place.at.saturating_sub(self.recent.first.at)).unwrap_or(usize::MAX);
        if bytes > 0 && bytes <= self.memory.len() {
            self.memory.drain(..bytes);
            self.recent.first = place;
            self.recent.marks.retain(|mark| mark.at > place.at);
        }
    }

    /// Moves what is in memory into a file.
    fn store(&mut self) -> io::Result<()> {
        let bytes = self.memory.len() as u64;
        if bytes > self.cap {
            return Err(io::ErrorKind::QuotaExceeded.into());
        }
        while self.files.iter().map(|segment| segment.stretch.bytes()).sum::<u64>() + bytes > self.cap {
            self.drop_oldest();
        }
        let largest = (self.cap / FILES).max(MEMORY_BYTES as u64);
        let last = self.files.back().map(|segment| &segment.stretch);
        if !last.is_some_and(|last| last.end == self.recent.first && last.bytes() < largest) {
            let file = reach::create_unnamed(&self.folder)?;
            // A file that cannot be written is dropped again here.
            file.write_all_at(&self.memory, 0)?;
            self.files.push_back(Segment { file, stretch: Stretch::new(self.recent.first) });
        } else if let Some(segment) = self.files.back() {
            segment.file.write_all_at(&self.memory, segment.stretch.bytes())?;
        }
        if let Some(segment) = self.files.back_mut() {
            segment.stretch.append(&self.recent);
        }
        self.memory.clear();
        self.recent = Stretch::new(self.recent.end);
        Ok(())
    }

    fn drop_oldest(&mut self) {
        if let Some(Segment { stretch, .. }) = self.files.pop_front() {
            self.name(stretch.first.sequence, stretch.end.sequence);
            if self.cursor.sequence < stretch.end.sequence {
                self.cursor = stretch.end;
            }
        }
    }

    /// Names the frames from `first` on, before `end`, as lost.
    fn name(&mut self, first: u64, end: u64) {
        self.dropped.add(first.max(self.acked + 1), end.saturating_sub(1));
    }

    /// Takes note that the operator has all frames up to this one, and frees them.
    pub(super) fn acknowledge(&mut self, sequence: u64) {
        let sequence = sequence.min(self.made());
        if sequence <= self.acked {
            return;
        }
        self.acked = sequence;
        self.dropped.forget_up_to(sequence);
        self.acked_at = self.acked_at.max(self.near(sequence + 1).at);
        while self.files.front().is_some_and(|oldest| oldest.stretch.end.sequence <= sequence + 1) {
            self.files.pop_front();
        }
        if self.cursor.sequence <= sequence {
            self.seek(sequence + 1);
        }
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.files.clear();
        self.memory.clear();
        self.recent = Stretch::new(self.recent.end);
        self.cursor = self.recent.end;
    }

    /// The last known place that is not behind this frame. If the frame is gone, the first one behind it.
    fn near(&self, sequence: u64) -> Place {
        if sequence >= self.recent.end.sequence {
            return self.recent.end;
        }
        let holds = |stretch: &&Stretch| sequence < stretch.end.sequence;
        let mut files = self.files.iter().map(|segment| &segment.stretch);
        files.find(holds).unwrap_or(&self.recent).near(sequence)
    }

    /// Moves the cursor to this frame. If it is gone, names it and those that follow it, up to one that is not.
    pub(super) fn seek(&mut self, sequence: u64) {
        self.cursor = self.near(sequence);
        if self.cursor.sequence > sequence {
            self.name(sequence, self.cursor.sequence);
            // Lost frames do not stand without an answer any more.
            self.acked_at = self.acked_at.max(self.cursor.at);
        }
        let mut chunk = vec![];
        while self.cursor.sequence < sequence && self.read(&mut chunk) {
            let most = usize::try_from(sequence - self.cursor.sequence).unwrap_or(usize::MAX);
            let lines = chunk.split_inclusive(|&byte| byte == b'\n').take(most);
            let (frames, bytes) =
                lines.fold((0, 0), |(frames, bytes), line| (frames + 1, bytes + line.len()));
            self.advance(frames, bytes as u64);
        }
    }

    /// Moves the cursor forward to the newest frames: as many as fit a file of `bytes`. Names those in between.
    pub(super) fn skip_to_tail(&mut self, bytes: u64) {
        let end = self.recent.end;
        let fits = |place: &Place| {
            end.at - place.at + (end.sequence - place.sequence) * LINE_OVERHEAD_BYTES <= bytes
        };
        let stretches = self.files.iter().map(|segment| &segment.stretch).chain([&self.recent]);
        let tail = stretches.flat_map(Stretch::places).find(fits).unwrap_or(end);
        if tail.sequence > self.cursor.sequence {
            self.name(self.cursor.sequence, tail.sequence);
            self.cursor = tail;
        }
    }

    /// Reads whole frames from the cursor on into `chunk`. Returns whether there are any.
    pub(super) fn read(&mut self, chunk: &mut Vec<u8>) -> bool {
        chunk.clear();
        while let Some(number) =
            self.files.iter().position(|segment| self.cursor.sequence < segment.stretch.end.sequence)
        {
            let Segment { file, stretch } = &self.files[number];
            let (first, end) = (stretch.first, stretch.end);
            let from = if self.cursor.sequence < first.sequence { first } else { self.cursor };
            chunk.resize(CHUNK_BYTES.min(usize::try_from(end.at - from.at).unwrap_or(CHUNK_BYTES)), 0);
            let read = file.read_exact_at(chunk, from.at - first.at);
            self.jump(from);
            chunk.truncate(chunk.iter().rposition(|&byte| byte == b'\n').map_or(0, |last| last + 1));
            if read.is_ok() && !chunk.is_empty() {
                return true;
            }
            // The disk lost it.
            self.files.remove(number);
            self.jump(end);
        }
        self.jump(self.recent.first);
        let from = usize::try_from(self.cursor.at - self.recent.first.at).unwrap_or(usize::MAX);
        let rest = self.memory.get(from..).unwrap_or_default();
        let rest = &rest[..rest.len().min(CHUNK_BYTES)];
        let len = rest.iter().rposition(|&byte| byte == b'\n').map_or(0, |last| last + 1);
        chunk.clear();
        chunk.extend_from_slice(&rest[..len]);
        !chunk.is_empty()
    }

    /// Moves the cursor forward to `place`, and names the frames in between.
    fn jump(&mut self, place: Place) {
        if self.cursor.sequence < place.sequence {
            self.name(self.cursor.sequence, place.sequence);
            self.cursor = place;
        }
    }

    /// Moves the cursor behind frames that were read.
    pub(super) const fn advance(&mut self, frames: u64, bytes: u64) {
        self.cursor.sequence += frames;
        self.cursor.at += bytes;
    }
}

#[cfg(test)]
mod tests;
