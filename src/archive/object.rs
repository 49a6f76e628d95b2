//! The content of an object of a log.
//!
//! An object is a sequence of zstd frames, and a frame of the kind that decompressors skip. So `zstd -dc` prints
//! what is in it: the frames of the log as the runner wrote them ([`crate::record::frame`]), one a line. Each
//! zstd frame, a chunk, can be read without the others. The skipped frame is the index: which chunk begins at
//! which line, and when.
//!
//! ```text
//! zstd frame      about 128 KiB of frames, with a checksum
//! zstd frame
//! ...
//! skipped frame   5A 2A 4D 18, length of what follows (4 bytes)
//!                 the index as JSON
//!                 length of the JSON (4 bytes), "LONGSHO1"
//! ```
//!
//! Numbers are little-endian, as in zstd. Everything here is pure.

use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    error::ArchiveError,
    position::{Position, gap, missing},
};
use crate::record::frame::{Frame, MAX_LINE_BYTES};

/// So much plain text makes a chunk. Smaller ones compress worse, and larger ones cost memory in each log that
/// is being written, and time when the end of a log is read.
///
/// In tests a short log has many.
pub(super) const CHUNK: usize = if cfg!(test) { 256 } else { 128 * 1024 };

/// The plain text of the largest chunk: its last frame may exceed [`CHUNK`].
const LARGEST: usize = CHUNK + MAX_LINE_BYTES;

/// The largest chunk that is read. A chunk of ours is at most one frame longer than [`CHUNK`].
const MAX_CHUNK: u64 = 1024 * 1024;

/// The largest index that is read.
const MAX_INDEX: usize = 4 * 1024 * 1024;

/// So much of an object's end is read to find its index.
pub(super) const TAIL: u64 = 16 * 1024;

/// zstd's default: as fast as a disk, and within a few percent of what slower levels reach on logs.
const LEVEL: i32 = 3;

const SKIPPED: [u8; 4] = [0x5A, 0x2A, 0x4D, 0x18];
const MAGIC: &[u8; 8] = b"LONGSHO1";
const VERSION: u32 = 1;

/// The suffix of an object's name.
const SUFFIX: &str = ".zst";

/// The name of the object that begins at this point.
///
/// The objects before it alone decide where it begins. So two writers that both believe they lead choose the
/// same name, and the second one finds it taken. It says in the listing at which line the object begins.
pub(super) fn name(first: &Position) -> String {
    format!("{:012}-{:012}{SUFFIX}", first.next, first.lines)
}

/// The sequence number and the line at which the object of this name begins. `None` if it is no such name.
pub(super) fn begins_at(name: &str) -> Option<(u64, u64)> {
    let (next, lines) = name.strip_suffix(SUFFIX)?.split_once('-')?;
    Some((next.parse().ok()?, lines.parse().ok()?))
}

/// The index of an object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Index {
    version: u32,
    /// When the script started, if it was known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) started: Option<Timestamp>,
    /// The beginning of the object.
    pub(super) first: Position,
    /// The beginning of the next object.
    pub(super) end: Position,
    pub(super) chunks: Vec<Chunk>,
}

/// A zstd frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Chunk {
    /// Its offset within the object.
    pub(super) at: u64,
    /// Its size, compressed.
    pub(super) size: u64,
    /// Its size, not compressed.
    pub(super) plain: u64,
    /// Where it begins.
    pub(super) first: Position,
}

/// The result of [`Index::parse`].
pub(super) enum Found {
    Index(Index),
    /// The index is longer than what was read. It needs this many bytes.
    Longer(u64),
}

impl Index {
    /// Reads the index from the end of an object of `size` bytes.
    pub(super) fn parse(object: &str, size: u64, tail: &[u8]) -> Result<Found, ArchiveError> {
        let wrong = |problem: &str| ArchiveError::damaged(object, problem);
        let rest = tail.strip_suffix(MAGIC).ok_or_else(|| wrong("it has no index"))?;
        let (rest, length) = rest.split_last_chunk::<4>().ok_or_else(|| wrong("it is too short"))?;
        let length = usize::try_from(u32::from_le_bytes(*length)).unwrap_or(usize::MAX);
        if length > MAX_INDEX {
            return Err(wrong("its index is too long"));
        }
        let Some(at) = rest.len().checked_sub(length) else {
            let needed = (length + 4 + MAGIC.len()) as u64;
            return if needed <= size { Ok(Found::Longer(needed)) } else { Err(wrong("its index is cut")) };
        };
        let index: Self = serde_json::from_slice(&rest[at..])
            .map_err(|error| wrong(&format!("its index cannot be read: {error}")))?;
        if index.version != VERSION {
            return Err(wrong(&format!(
                "it has version {}, which this release does not know",
                index.version
            )));
        }
        let mut end = 0;
        for chunk in &index.chunks {
            if chunk.at != end || chunk.plain > MAX_CHUNK || chunk.size > MAX_CHUNK {
                return Err(wrong("its index contradicts itself"));
            }
            end += chunk.size;
        }
        if end > size || index.chunks.first().is_none_or(|chunk| chunk.first != index.first) {
            return Err(wrong("its index contradicts itself"));
        }
        Ok(Found::Index(index))
    }

    /// The end of the chunk with this number.
    pub(super) fn end_of(&self, chunk: usize) -> Position {
        self.chunks.get(chunk + 1).map_or(self.end, |next| next.first)
    }
}

impl Chunk {
    /// The frames in it, one a line.
    pub(super) fn decompress(&self, object: &str, packed: &[u8]) -> Result<Vec<u8>, ArchiveError> {
        let capacity = usize::try_from(self.plain).unwrap_or(usize::MAX);
        let plain = zstd::bulk::decompress(packed, capacity)
            .map_err(|error| ArchiveError::damaged(object, format!("a chunk of it: {error}")))?;
        if plain.len() == capacity {
            Ok(plain)
        } else {
            Err(ArchiveError::damaged(object, "a chunk of it is too short"))
        }
    }
}

/// The frames in the plain text of a chunk.
pub(super) fn frames<'a>(
    object: &'a str,
    plain: &'a [u8],
) -> impl Iterator<Item = Result<Frame<'a>, ArchiveError>> {
    let lines = plain.split_inclusive(|&byte| byte == b'\n');
    lines.map(move |line| {
        let frame = line.strip_suffix(b"\n").and_then(Frame::decode);
        frame.ok_or_else(|| ArchiveError::damaged(object, "a line of it is no frame"))
    })
}

/// The end of a log that is not stored yet, as the object that it will be.
#[derive(Debug)]
pub(super) struct Packer {
    first: Position,
    now: Position,
    /// The frames of the chunk that is being filled, and where it begins.
    plain: Vec<u8>,
    plain_first: Position,
    /// The chunks that are complete, compressed.
    packed: Vec<Bytes>,
    chunks: Vec<Chunk>,
    /// The bytes of these, compressed and not.
    packed_bytes: usize,
    plain_bytes: usize,
}

impl Packer {
    pub(super) const fn at(first: Position) -> Self {
        Self {
            first,
            now: first,
            plain: Vec::new(),
            plain_first: first,
            packed: Vec::new(),
            chunks: Vec::new(),
            packed_bytes: 0,
            plain_bytes: 0,
        }
    }

    /// The beginning of the object.
    pub(super) const fn first(&self) -> &Position {
        &self.first
    }

    /// The end of the object so far.
    pub(super) const fn now(&self) -> &Position {
        &self.now
    }

    /// Whether there is nothing to store.
    pub(super) const fn is_empty(&self) -> bool {
        self.first.next == self.now.next
    }

    /// The memory that it holds, in bytes.
    pub(super) const fn held(&self) -> usize {
        self.packed_bytes + self.plain.capacity()
    }

    /// The text in it, in bytes.
    pub(super) const fn plain_bytes(&self) -> usize {
        self.plain_bytes + self.plain.len()
    }

    /// Adds the next frame. One that it has is ignored.
    pub(super) fn push(&mut self, frame: &Frame<'_>) -> Result<(), ArchiveError> {
        if frame.sequence < self.now.next {
            return Ok(());
        }
        if frame.sequence > self.now.next {
            return Err(ArchiveError::OutOfOrder { expected: self.now.next, got: frame.sequence });
        }
        if frame.kind.is_log() {
            self.add(frame)?;
        }
        self.now.pass(frame);
        Ok(())
    }

    /// Notes that the frames in front of the one with this number are missing, as far as it has not got them.
    pub(super) fn skip(&mut self, next: u64) -> Result<(), ArchiveError> {
        if next > self.now.next {
            let gap = gap(&self.now, next - 1);
            self.add(&gap)?;
            self.now.pass(&gap);
        }
        Ok(())
    }

    fn add(&mut self, frame: &Frame<'_>) -> Result<(), ArchiveError> {
        if self.plain.len() >= CHUNK {
            self.seal()?;
        }
        // A log of a few lines keeps a small buffer. Doubling the size of a large one would waste half of it.
        if self.plain.len() > CHUNK / 4 && self.plain.capacity() < LARGEST {
            self.plain.reserve_exact(LARGEST - self.plain.len());
        }
        frame.encode(&mut self.plain);
        Ok(())
    }

    /// Compresses the chunk that is being filled.
    pub(super) fn seal(&mut self) -> Result<(), ArchiveError> {
        // Frames that are no text leave nothing, but their numbers are stored.
        if self.plain_first.next == self.now.next {
            return Ok(());
        }
        let packed = compress(&self.plain)
            .map_err(|error| ArchiveError::damaged(name(&self.first), format!("not compressed: {error}")))?;
        self.chunks.push(Chunk {
            at: self.packed_bytes as u64,
            size: packed.len() as u64,
            plain: self.plain.len() as u64,
            first: self.plain_first,
        });
        self.packed_bytes += packed.len();
        self.plain_bytes += self.plain.len();
        self.packed.push(packed.into());
        self.plain.clear();
        self.plain_first = self.now;
        Ok(())
    }

    /// The object, of the chunks that are complete.
    pub(super) fn object(&self, started: Option<Timestamp>) -> Vec<Bytes> {
        let index = Index {
            version: VERSION,
            started,
            first: self.first,
            end: self.plain_first,
            chunks: self.chunks.clone(),
        };
        let json = serde_json::to_vec(&index).unwrap_or_default();
        let length = |length: usize| u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes();
        let mut tail = Vec::with_capacity(json.len() + 20);
        tail.extend_from_slice(&SKIPPED);
        tail.extend_from_slice(&length(json.len() + 4 + MAGIC.len()));
        tail.extend_from_slice(&json);
        tail.extend_from_slice(&length(json.len()));
        tail.extend_from_slice(MAGIC);
        self.packed.iter().cloned().chain([tail.into()]).collect()
    }

    /// The rest once the log is stored up to `stored`. The rest is empty if somebody else has stored more than
    /// this writer has.
    pub(super) fn after(&self, stored: Position) -> Result<Self, ArchiveError> {
        let mut rest = Self::at(stored);
        if stored.next >= self.now.next {
            return Ok(rest);
        }
        let object = name(&self.first);
        let packed = self.chunks.iter().zip(&self.packed).enumerate();
        for (number, (chunk, packed)) in packed {
            let end = self.chunks.get(number + 1).map_or(self.plain_first, |next| next.first);
            if end.next > stored.next {
                rest.push_all(&object, &chunk.decompress(&object, packed)?)?;
                rest.pass_to(end.next);
            }
        }
        rest.push_all(&object, &self.plain)?;
        rest.pass_to(self.now.next);
        Ok(rest)
    }

    fn push_all(&mut self, object: &str, plain: &[u8]) -> Result<(), ArchiveError> {
        for frame in frames(object, plain) {
            let frame = frame?;
            match missing(&frame) {
                None => {
                    self.pass_to(frame.sequence);
                    self.push(&frame)?;
                }
                Some((from, to)) => {
                    self.pass_to(from);
                    self.skip(to.saturating_add(1))?;
                }
            }
        }
        Ok(())
    }

    /// Passes frames that are no text: they are not in a chunk, and not missing.
    const fn pass_to(&mut self, next: u64) {
        if next > self.now.next {
            self.now.next = next;
        }
    }
}

fn compress(plain: &[u8]) -> std::io::Result<Vec<u8>> {
    // A compressor holds a megabyte. It lives for one chunk, since each log would have one otherwise.
    let mut compressor = zstd::bulk::Compressor::new(LEVEL)?;
    compressor.include_checksum(true)?;
    let mut packed = compressor.compress(plain)?;
    packed.shrink_to_fit();
    Ok(packed)
}
