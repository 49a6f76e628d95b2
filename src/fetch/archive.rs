//! Unpacks a tar archive into a folder. It reads the archive's headers one by one. The library can join them,
//! but then holds names of any length in memory, and accepts forms that are not needed here.

use std::{
    ffi::OsString,
    io::{self, Read},
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::{Path, PathBuf},
};

use flate2::read::MultiGzDecoder;
use tar::{Archive, Entry, EntryType, PaxExtensions};

use super::{
    fault::{Aside, Fault},
    folder::Folder,
    path::{inside, shown, target},
};
use crate::record::fetch::Problem;

/// The longest extended header, in bytes.
const MAX_EXTENDED: u64 = 1 << 20;
/// How many bytes an archive may have beside its files, for each entry: headers and padding.
const OVERHEAD: u64 = 4096;

/// How an archive is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Reading {
    /// Whether it is compressed.
    pub(super) gzip: bool,
    /// Whether everything is in one folder, which is left out: a Helm chart.
    pub(super) strip: bool,
    /// Whether it is a layer of an image, in which names that begin with `.wh.` remove others
    /// (OCI image specification, "whiteouts").
    pub(super) whiteouts: bool,
}

/// Unpacks an archive. Readers leave their faults in `aside`.
pub(super) fn unpack(
    packed: &mut dyn Read,
    reading: Reading,
    folder: &mut Folder,
    aside: &Aside,
) -> Result<(), Fault> {
    let limits = folder.limits();
    let most = limits.bytes.saturating_add(u64::from(limits.entries).saturating_mul(OVERHEAD));
    let mut unpacking = Unpacking { folder, aside, reading, top: None, extended: Extended::default() };
    if reading.gzip {
        unpacking.all(Bounded { inner: MultiGzDecoder::new(packed), left: most, aside })
    } else {
        unpacking.all(Bounded { inner: packed, left: most, aside })
    }
}

/// Bounds how much is unpacked, whatever the archive holds.
struct Bounded<'a, R> {
    inner: R,
    left: u64,
    aside: &'a Aside,
}

impl<R: Read> Read for Bounded<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        let Some(left) = self.left.checked_sub(read as u64) else {
            let message = "its archive is longer than all that it may hold";
            return Err(self.aside.leave(Fault::new(Problem::TooLarge, message)));
        };
        self.left = left;
        Ok(read)
    }
}

/// The fields that extended headers set for the next entry.
#[derive(Default)]
struct Extended {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
}

struct Unpacking<'a> {
    folder: &'a mut Folder,
    aside: &'a Aside,
    reading: Reading,
    /// The folder around everything, if it is left out.
    top: Option<OsString>,
    extended: Extended,
}

impl Unpacking<'_> {
    fn all(&mut self, archive: impl Read) -> Result<(), Fault> {
        let mut archive = Archive::new(archive);
        let entries = archive.entries().map_err(|error| self.aside.fault(&error))?;
        for entry in entries.raw(true) {
            let mut entry = entry.map_err(|error| self.aside.fault(&error))?;
            match entry.header().entry_type() {
                EntryType::GNULongName => self.extended.path = Some(self.name(&mut entry)?),
                EntryType::GNULongLink => self.extended.link = Some(self.name(&mut entry)?),
                EntryType::XHeader => self.extend(&mut entry)?,
                // git archive writes the commit here.
                EntryType::XGlobalHeader => {
                    self.text(&mut entry)?;
                }
                _ => {
                    let extended = std::mem::take(&mut self.extended);
                    self.entry(&mut entry, extended)?;
                }
            }
        }
        Ok(())
    }

    fn entry<R: Read>(&mut self, entry: &mut Entry<'_, R>, extended: Extended) -> Result<(), Fault> {
        let header = entry.header();
        let name = extended.path.unwrap_or_else(|| header.path_bytes().into_owned());
        let link = extended.link.or_else(|| header.link_name_bytes().map(std::borrow::Cow::into_owned));
        let mode = header.mode().unwrap_or(0o644);
        let kind = header.entry_type();
        let size = header.entry_size().map_err(|error| self.aside.fault(&error))?;
        if extended.size.is_some_and(|other| other != size) {
            let message = format!("{} has two sizes", shown(&name));
            return Err(Fault::new(Problem::Invalid, message));
        }
        let Some(path) = self.path(&name)? else { return Ok(()) };
        if self.reading.whiteouts
            && let Some(name) = path.file_name().and_then(|name| name.as_bytes().strip_prefix(b".wh."))
        {
            // It counts as an entry, since it takes time too.
            self.folder.charge(0)?;
            let around = path.parent().unwrap_or_else(|| Path::new(""));
            return match name {
                b".wh..opq" => self.folder.make_opaque(around),
                name if name.is_empty() || name.starts_with(b".wh.") => Ok(()),
                name => self.folder.white_out(&around.join(OsString::from_vec(name.to_vec()))),
            };
        }
        match kind {
            // Old archives have no type for folders.
            EntryType::Regular if name.ends_with(b"/") => self.folder.folder(&path),
            EntryType::Directory => self.folder.folder(&path),
            EntryType::Regular | EntryType::Continuous => {
                self.folder.file(&path, size, mode & 0o111 != 0, entry, self.aside)
            }
            EntryType::Symlink => self.folder.link(&path, target(&link.unwrap_or_default())?),
            EntryType::Link => {
                let link = link.unwrap_or_default();
                target(&link)?;
                let other = self.path(&link)?.unwrap_or_default();
                self.folder.hard_link(&path, &other)
            }
            EntryType::Char | EntryType::Block | EntryType::Fifo => {
                let message = format!("{} is a device or a pipe", shown(&name));
                Err(Fault::new(Problem::Unsafe, message))
            }
            other => {
                let message =
                    format!("{} has the type {} in its archive", shown(&name), shown(&[other.as_byte()]));
                Err(Fault::new(Problem::Invalid, message))
            }
        }
    }

    /// Returns the path below the package's folder, or `None` for the folder itself.
    fn path(&mut self, name: &[u8]) -> Result<Option<PathBuf>, Fault> {
        let path = inside(name)?;
        if !self.reading.strip {
            return Ok((!path.as_os_str().is_empty()).then_some(path));
        }
        let mut parts = path.components();
        let Some(first) = parts.next() else { return Ok(None) };
        let rest = parts.as_path();
        if self.top.get_or_insert_with(|| first.as_os_str().to_owned()) != first.as_os_str() {
            let message = format!(
                "a chart's archive has one folder around everything, and {} is not in it",
                shown(name)
            );
            return Err(Fault::new(Problem::Invalid, message));
        }
        Ok((!rest.as_os_str().is_empty()).then(|| rest.to_owned()))
    }

    /// Reads GNU's extended header: a name that ends in NUL.
    fn name<R: Read>(&mut self, entry: &mut Entry<'_, R>) -> Result<Vec<u8>, Fault> {
        let mut name = self.text(entry)?;
        while name.last() == Some(&0) {
            name.pop();
        }
        Ok(name)
    }

    /// Reads an extended header of POSIX.
    fn extend<R: Read>(&mut self, entry: &mut Entry<'_, R>) -> Result<(), Fault> {
        let text = self.text(entry)?;
        for extension in PaxExtensions::new(&text) {
            let extension = extension.map_err(|error| self.aside.fault(&error))?;
            let value = extension.value_bytes();
            match extension.key_bytes() {
                b"path" => self.extended.path = Some(value.to_vec()),
                b"linkpath" => self.extended.link = Some(value.to_vec()),
                b"size" => {
                    let size = std::str::from_utf8(value).ok().and_then(|size| size.parse().ok());
                    self.extended.size = Some(size.unwrap_or(u64::MAX));
                }
                key if key.starts_with(b"GNU.sparse.") => {
                    return Err(Fault::new(Problem::Invalid, "its archive has files with holes"));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Reads the content of an extended header. It counts as an entry, so that an archive cannot consist of
    /// headers alone.
    fn text<R: Read>(&mut self, entry: &mut Entry<'_, R>) -> Result<Vec<u8>, Fault> {
        self.folder.charge(0)?;
        let size = entry.header().entry_size().map_err(|error| self.aside.fault(&error))?;
        if size > MAX_EXTENDED {
            let message = format!("its archive has a header of {size} bytes");
            return Err(Fault::new(Problem::Invalid, message));
        }
        let mut text = Vec::new();
        entry.read_to_end(&mut text).map_err(|error| self.aside.fault(&error))?;
        if text.len() as u64 != size {
            return Err(Fault::new(Problem::Invalid, "its archive breaks off in a header"));
        }
        Ok(text)
    }
}
