//! Opens files that others can change, without waiting, and reads them with a bound.
//!
//! A script can write to the folder of the runner's own files. It can put a FIFO there or take a lease on a
//! file, and both hold up a program that opens them. It can also put a link there to a file that only the
//! runner may read, or a file without end. Files that the kubelet mounts are opened in the same way, but
//! these are links.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use nix::fcntl::OFlag;

use crate::record::hex;

/// Reads a regular file in a folder that the script can write to. Returns at most `max` bytes, and one more
/// if the file is longer. Follows no link.
pub(super) fn read(path: &Path, max: u64) -> io::Result<Vec<u8>> {
    bounded(&open_to_read(path)?, max)
}

/// Reads a file that the kubelet mounts, or one of the image, in the same way. Follows links.
pub(super) fn read_mounted(path: &Path, max: u64) -> io::Result<Vec<u8>> {
    bounded(&open(path, OpenOptions::new().read(true), OFlag::empty())?, max)
}

/// Opens a regular file in a folder that the script can write to, to read from it later. Follows no link.
pub(super) fn open_to_read(path: &Path) -> io::Result<File> {
    open(path, OpenOptions::new().read(true), OFlag::O_NOFOLLOW)
}

/// Opens an existing file, to write to it later.
pub(super) fn open_to_write(path: &Path) -> io::Result<File> {
    open(path, OpenOptions::new().write(true), OFlag::O_NOFOLLOW)
}

/// Creates a new file. A link under this name counts as an existing file.
pub(super) fn create(path: &Path, mode: u32) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(mode).open(path)
}

/// Creates a file that has no name and can get none, to write and to read. No other process can open it. It is gone
/// with its
/// descriptor.
///
/// # Errors
/// The file system of `folder` is full or read-only, or has no such files (NFS).
pub(super) fn create_unnamed(folder: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .mode(0o600)
        .custom_flags((OFlag::O_TMPFILE | OFlag::O_EXCL).bits())
        .open(folder)
}

/// Returns a random name in the same folder, which the script cannot have used before.
pub(super) fn beside(path: &Path) -> io::Result<PathBuf> {
    let mut random = [0; 16];
    getrandom::fill(&mut random)?;
    Ok(path.with_added_extension(hex(&random)))
}

fn open(path: &Path, options: &mut OpenOptions, flags: OFlag) -> io::Result<File> {
    let file = options.custom_flags((flags | OFlag::O_NONBLOCK).bits()).open(path)?;
    // Checks the opened file: the name may already mean another.
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    Ok(file)
}

fn bounded(file: &File, max: u64) -> io::Result<Vec<u8>> {
    let mut content = vec![];
    file.take(max.saturating_add(1)).read_to_end(&mut content)?;
    Ok(content)
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    #[test]
    fn what_is_no_plain_file_is_refused_at_once_and_a_long_one_cut() {
        let folder = std::env::temp_dir().join(format!("longshore-reach-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        let at = |name: &str| folder.join(name);
        fs::write(at("file"), "content").unwrap();
        symlink(at("file"), at("link")).unwrap();
        nix::unistd::mkfifo(&at("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert_eq!(read(&at("file"), 7).unwrap(), b"content");
        assert_eq!(read(&at("file"), 3).unwrap(), b"cont");
        assert_eq!(read_mounted(&at("link"), 7).unwrap(), b"content");
        for name in ["link", "fifo", "."] {
            assert!(read(&at(name), 7).is_err() && open_to_write(&at(name)).is_err(), "{name}");
            assert!(create(&at(name), 0o600).is_err(), "{name}");
        }
        assert!(read_mounted(&at("fifo"), 7).is_err());
        assert!(open_to_write(&at("file")).is_ok());
        fs::remove_dir_all(&folder).unwrap();
    }
}
