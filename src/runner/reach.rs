//! Files that others than the runner had, or have, in their hands: opened so that nothing of it waits,
//! and read within a bound.
//!
//! A script writes to the folder of the runner's own files as it likes: it can put a FIFO there, which
//! holds up whoever opens it, a link to what the runner alone may see, a file without end, or a lease,
//! which holds up whoever opens the file. What the kubelet mounts is opened in the same way, but that its
//! files are links.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use nix::fcntl::OFlag;

use crate::record::hex;

/// What lies in a folder that the script can write: at most `max` bytes of a regular file, and one more
/// where it has more. A link is not followed.
pub(super) fn read(path: &Path, max: u64) -> io::Result<Vec<u8>> {
    bounded(&open(path, OpenOptions::new().read(true), OFlag::O_NOFOLLOW)?, max)
}

/// The same of what the kubelet mounts, or of the image's: links are followed.
pub(super) fn read_mounted(path: &Path, max: u64) -> io::Result<Vec<u8>> {
    bounded(&open(path, OpenOptions::new().read(true), OFlag::empty())?, max)
}

/// A file that is there, to be written to later.
pub(super) fn open_to_write(path: &Path) -> io::Result<File> {
    open(path, OpenOptions::new().write(true), OFlag::O_NOFOLLOW)
}

/// A file that was not there; a link in its place is one that is.
pub(super) fn create(path: &Path, mode: u32) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(mode).open(path)
}

/// A name in the same folder that the script cannot have taken before.
pub(super) fn beside(path: &Path) -> io::Result<PathBuf> {
    let mut random = [0; 16];
    getrandom::fill(&mut random)?;
    Ok(path.with_added_extension(hex(&random)))
}

fn open(path: &Path, options: &mut OpenOptions, flags: OFlag) -> io::Result<File> {
    let file = options.custom_flags((flags | OFlag::O_NONBLOCK).bits()).open(path)?;
    // Asked of what was opened: the name may stand for another file by now.
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
