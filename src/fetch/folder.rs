//! A package's folder while it is filled, and the one place that writes to it.
//!
//! Nothing else writes to it, so this program knows its content without asking the file system. It sees
//! whether a path leads through a link, and never writes through one.

use std::{
    collections::BTreeMap,
    fs::{self, OpenOptions, Permissions},
    io::{self, Read, Write},
    ops::Bound,
    os::unix::{
        ffi::OsStrExt,
        fs::{OpenOptionsExt, PermissionsExt},
    },
    path::{Path, PathBuf},
};

use super::{
    fault::{Aside, Fault},
    path::shown,
};
use crate::record::fetch::Problem;

/// A file takes disk space in blocks of this size, in bytes.
const BLOCK: u64 = 4096;

/// How large a package may be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// On disk, in bytes.
    pub(super) bytes: u64,
    /// Files, folders and links.
    pub(super) entries: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    Folder,
    File,
    /// With its target.
    Link(PathBuf),
}

#[derive(Debug)]
struct Node {
    kind: Kind,
    /// The layer that it came with.
    layer: usize,
}

/// The folder.
#[derive(Debug)]
pub(super) struct Folder {
    root: PathBuf,
    limits: Limits,
    nodes: BTreeMap<PathBuf, Node>,
    layer: usize,
    used: u64,
    entries: u32,
}

impl Folder {
    /// Empties the folder at `root`, and makes it if it is missing.
    pub(super) fn emptied(root: &Path, limits: Limits) -> Result<Self, Fault> {
        let failed = |error: io::Error| Fault::io("empty", root, &error);
        fs::create_dir_all(root).map_err(failed)?;
        for entry in fs::read_dir(root).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let is_folder = entry.file_type().map_err(failed)?.is_dir();
            let removed =
                if is_folder { fs::remove_dir_all(entry.path()) } else { fs::remove_file(entry.path()) };
            removed.map_err(failed)?;
        }
        let nodes = BTreeMap::new();
        Ok(Self { root: root.to_owned(), limits, nodes, layer: 0, used: 0, entries: 0 })
    }

    /// Begins the next layer, above everything so far.
    pub(super) const fn next_layer(&mut self) {
        self.layer += 1;
    }

    /// Entries and bytes so far.
    pub(super) const fn size(&self) -> (u32, u64) {
        (self.entries, self.used)
    }

    /// How large the folder may be.
    pub(super) const fn limits(&self) -> Limits {
        self.limits
    }

    /// Counts an entry of this size, before any byte of it is written.
    pub(super) fn charge(&mut self, bytes: u64) -> Result<(), Fault> {
        let Limits { bytes: most, entries } = self.limits;
        self.entries = self.entries.saturating_add(1);
        if self.entries > entries {
            let message = format!("it has more than {entries} files, folders and links");
            return Err(Fault::new(Problem::TooLarge, message));
        }
        let blocks = bytes.max(1).div_ceil(BLOCK).saturating_mul(BLOCK);
        self.used = self.used.saturating_add(blocks);
        if self.used > most {
            let message = format!("unpacked it takes more than {most} bytes (in blocks of {BLOCK})");
            return Err(Fault::new(Problem::TooLarge, message));
        }
        Ok(())
    }

    /// Makes a folder and its parents.
    pub(super) fn folder(&mut self, path: &Path) -> Result<(), Fault> {
        if path.as_os_str().is_empty() {
            return Ok(());
        }
        self.around(path)?;
        self.one_folder(path)
    }

    fn one_folder(&mut self, path: &Path) -> Result<(), Fault> {
        match self.nodes.get_mut(path) {
            Some(node) if node.kind == Kind::Folder => {
                node.layer = self.layer;
                return Ok(());
            }
            Some(_) => self.replace(path)?,
            None => {}
        }
        self.charge(0)?;
        let at = self.root.join(path);
        fs::create_dir(&at).map_err(|error| Fault::io("make folder", &at, &error))?;
        set_mode(&at, 0o755)?;
        self.put(path, Kind::Folder);
        Ok(())
    }

    /// Writes a file of `size` bytes.
    pub(super) fn file(
        &mut self,
        path: &Path,
        size: u64,
        executable: bool,
        content: &mut dyn Read,
        aside: &Aside,
    ) -> Result<(), Fault> {
        self.room_for(path)?;
        self.charge(size)?;
        let at = self.root.join(path);
        let failed = |error: io::Error| Fault::io("write", &at, &error);
        // This fails if a file or a link is already there.
        let mut file =
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(&at).map_err(failed)?;
        let mut left = size;
        let mut buffer = vec![0; 64 << 10];
        while left > 0 {
            let most = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
            let read = match content.read(&mut buffer[..most]) {
                Ok(0) => Err(io::Error::from(io::ErrorKind::UnexpectedEof)),
                other => other,
            };
            let read = read.map_err(|error| aside.fault(&error).of(shown(path.as_os_str().as_bytes())))?;
            file.write_all(&buffer[..read]).map_err(failed)?;
            left -= read as u64;
        }
        // The archive's owner and set-user-id are dropped. Every user may read the file, so the script's user
        // can.
        set_mode(&at, if executable { 0o755 } else { 0o644 })?;
        self.put(path, Kind::File);
        Ok(())
    }

    /// Makes a symbolic link. [`super::links`] checks its target in the end.
    pub(super) fn link(&mut self, path: &Path, target: PathBuf) -> Result<(), Fault> {
        if target.is_absolute() {
            return Err(leads_out(path, &target));
        }
        self.room_for(path)?;
        self.charge(0)?;
        let at = self.root.join(path);
        std::os::unix::fs::symlink(&target, &at).map_err(|error| Fault::io("make link", &at, &error))?;
        self.put(path, Kind::Link(target));
        Ok(())
    }

    /// Makes a second name for an existing file.
    pub(super) fn hard_link(&mut self, path: &Path, target: &Path) -> Result<(), Fault> {
        self.check_around(target)?;
        if self.nodes.get(target).map(|node| &node.kind) != Some(&Kind::File) {
            let message =
                format!("{} is another name of {}, which is no file of it", quoted(path), quoted(target));
            return Err(Fault::new(Problem::Unsafe, message));
        }
        if path == target {
            return Ok(());
        }
        self.room_for(path)?;
        self.charge(0)?;
        let at = self.root.join(path);
        fs::hard_link(self.root.join(target), &at).map_err(|error| Fault::io("make link", &at, &error))?;
        self.put(path, Kind::File);
        Ok(())
    }

    /// Removes the entry of lower layers at the path, with everything in it.
    pub(super) fn white_out(&mut self, path: &Path) -> Result<(), Fault> {
        self.check_around(path)?;
        self.remove_below(path, true)
    }

    /// Removes the content of lower layers in the folder.
    pub(super) fn make_opaque(&mut self, path: &Path) -> Result<(), Fault> {
        self.check_around(path)?;
        self.remove_below(path, false)
    }

    fn remove_below(&mut self, path: &Path, itself: bool) -> Result<(), Fault> {
        let below = self.nodes.range::<Path, _>((Bound::Included(path), Bound::Unbounded));
        let older: Vec<PathBuf> = below
            .take_while(|(at, _)| at.starts_with(path))
            .filter(|(at, node)| node.layer < self.layer && (itself || at.as_path() != path))
            .map(|(at, _)| at.clone())
            .collect();
        // The deepest first.
        for at in older.iter().rev() {
            let holds = self.nodes.range::<Path, _>((Bound::Excluded(at.as_path()), Bound::Unbounded));
            if holds.take(1).any(|(inner, _)| inner.starts_with(at)) {
                continue;
            }
            self.remove(at)?;
        }
        Ok(())
    }

    fn remove(&mut self, path: &Path) -> Result<(), Fault> {
        let at = self.root.join(path);
        let Some(node) = self.nodes.remove(path) else { return Ok(()) };
        let removed = if node.kind == Kind::Folder { fs::remove_dir(&at) } else { fs::remove_file(&at) };
        removed.map_err(|error| Fault::io("remove", &at, &error))
    }

    fn put(&mut self, path: &Path, kind: Kind) {
        self.nodes.insert(path.to_owned(), Node { kind, layer: self.layer });
    }

    /// Makes room for a file or a link.
    fn room_for(&mut self, path: &Path) -> Result<(), Fault> {
        if path.as_os_str().is_empty() {
            return Err(Fault::new(Problem::Invalid, "the package's folder itself is no folder in it"));
        }
        self.around(path)?;
        if self.nodes.contains_key(path) { self.replace(path) } else { Ok(()) }
    }

    /// Removes the old entry. A file or a link gives way to anything, a folder only to an entry of a higher
    /// layer.
    fn replace(&mut self, path: &Path) -> Result<(), Fault> {
        if self.nodes.get(path).is_some_and(|node| node.kind != Kind::Folder) {
            return self.remove(path);
        }
        self.remove_below(path, true)?;
        if self.nodes.contains_key(path) {
            let message = format!("{} is a folder and something else as well", quoted(path));
            return Err(Fault::new(Problem::Invalid, message));
        }
        Ok(())
    }

    /// Makes the parents of a path.
    fn around(&mut self, path: &Path) -> Result<(), Fault> {
        self.check_around(path)?;
        let around: Vec<&Path> = ancestors(path).collect();
        for folder in around.into_iter().rev() {
            if !self.nodes.contains_key(folder) {
                self.one_folder(folder)?;
            }
        }
        Ok(())
    }

    /// Checks that all existing parents of the path are folders.
    fn check_around(&self, path: &Path) -> Result<(), Fault> {
        for folder in ancestors(path) {
            let (problem, what) = match self.nodes.get(folder).map(|node| &node.kind) {
                None | Some(Kind::Folder) => continue,
                Some(Kind::Link(_)) => (Problem::Unsafe, "a link"),
                Some(Kind::File) => (Problem::Invalid, "a file"),
            };
            let message =
                format!("the path {} leads through {}, which is {what}", quoted(path), quoted(folder));
            return Err(Fault::new(problem, message));
        }
        Ok(())
    }

    /// Returns each link with its target.
    pub(super) fn links(&self) -> impl Iterator<Item = (&Path, &Path)> {
        self.nodes.iter().filter_map(|(path, node)| match &node.kind {
            Kind::Link(target) => Some((path.as_path(), target.as_path())),
            Kind::Folder | Kind::File => None,
        })
    }

    /// Returns the kind of the entry at the path.
    pub(super) fn kind(&self, path: &Path) -> Option<&Kind> {
        self.nodes.get(path).map(|node| &node.kind)
    }
}

/// Returns the parents of a path, the innermost first, without the package's folder.
fn ancestors(path: &Path) -> impl Iterator<Item = &Path> {
    path.ancestors().skip(1).filter(|folder| !folder.as_os_str().is_empty())
}

fn set_mode(at: &Path, mode: u32) -> Result<(), Fault> {
    fs::set_permissions(at, Permissions::from_mode(mode))
        .map_err(|error| Fault::io("set the mode of", at, &error))
}

fn quoted(path: &Path) -> String {
    shown(path.as_os_str().as_bytes())
}

/// Makes the fault for a link that leads out.
pub(super) fn leads_out(path: &Path, target: &Path) -> Fault {
    let message =
        format!("the link {} leads to {}, out of the package's folder", quoted(path), quoted(target));
    Fault::new(Problem::Unsafe, message)
}
