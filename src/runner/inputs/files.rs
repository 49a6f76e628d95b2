//! Values that a script gets as files. They are copies in memory that belong to the script's user. Links lead
//! to them from where the script looks for them.
//!
//! The kubelet's own files are no use: they belong to root and a group can read them, and ssh refuses such a
//! key. A thread updates each copy when its source changes. It is not the supervisor's thread: the script can
//! write to the folder, and must not be able to hold up the supervisor.

use std::{
    ffi::OsString,
    fs::{self, File, Permissions},
    io::{self, Write},
    os::{
        fd::{AsFd, OwnedFd},
        unix::fs::PermissionsExt,
    },
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use nix::{
    errno::Errno,
    fcntl::{OFlag, openat, readlinkat, renameat},
    sys::stat::{Mode, mkdirat},
    unistd::{UnlinkatFlags, symlinkat, unlinkat},
};

use super::mounted;
use crate::{
    record::{bundle::Variable, outcome::Problem},
    runner::{masking::changing_files::Seen, places::Places, reach, refusal::Refusal},
};

/// The mode of a file if none is given. ssh refuses a key that others can read.
const MODE: u32 = 0o600;
/// The mode of folders that are made for a link.
const FOLDER_MODE: Mode = Mode::S_IRWXU;
/// The beginning of a path below the home.
const HOME: &str = "~/";
/// The longest variable's name that becomes the name of a file. Linux takes 255 bytes, and a new copy has a
/// longer name for a moment.
const MAX_NAME_BYTES: usize = 200;
/// How often the sources are checked.
const EVERY: Duration = Duration::from_secs(2);
/// The thread needs no more.
const STACK_BYTES: usize = 64 * 1024;

/// Values as files.
#[derive(Debug, Default)]
pub(in crate::runner) struct Files {
    /// The copies whose sources may change.
    copied: Vec<Copied>,
    /// The home that the image gives the user. Some programs, such as ssh, use it instead of `$HOME`.
    image_home: Option<PathBuf>,
}

#[derive(Debug)]
struct Copied {
    source: PathBuf,
    /// The state of the source before it was last read.
    seen: Option<Seen>,
    name: OsString,
    mode: u32,
}

impl Files {
    /// Writes `value` for `variable`, which has the number `index` in the bundle, and the link to it. Returns
    /// the file's path.
    pub(super) fn add(
        &mut self,
        places: &Places,
        index: usize,
        variable: &Variable,
        value: &[u8],
    ) -> Result<PathBuf, Refusal> {
        let folder = places.files();
        let file = folder.join(file_name(index, &variable.name));
        let written = fs::create_dir_all(&folder).and_then(|()| {
            let name = Path::new(file.file_name().unwrap_or_default());
            replace(File::open(&folder)?.as_fd(), name, mode(variable), value)
        });
        written.map_err(|error| {
            refuse(format!(
                "variable {} is a file of {} bytes, which cannot be written to {}: {error}",
                variable.name,
                value.len(),
                file.display()
            ))
        })?;
        if let Some(path) = &variable.path {
            let (base, below) = match path.strip_prefix(HOME) {
                Some(below) => (places.home(), below),
                None => (places.work(), path.as_str()),
            };
            link(&base, below, &file).map_err(|why| {
                refuse(format!("variable {} is to lie at {path}, and {why}", variable.name))
            })?;
            if let Some(home) = &self.image_home
                && base == places.home()
            {
                // The home of most images cannot be written to. `$HOME` has the link in any case.
                let _ = link(home, below, &file);
            }
        }
        Ok(file)
    }

    /// Puts links that belong below the home also below this one, if that is possible.
    pub(super) fn also_below(&mut self, home: Option<PathBuf>) {
        self.image_home = home;
    }

    /// Makes `copy` follow `source`. `seen` is the state of the source before it was read.
    pub(super) fn follow(&mut self, source: PathBuf, seen: Option<Seen>, copy: &Path, variable: &Variable) {
        let name = copy.file_name().unwrap_or_default().to_owned();
        self.copied.push(Copied { source, seen, name, mode: mode(variable) });
    }

    /// Updates the copies when their sources change, from now on. If no thread can be started, the copies
    /// stay as they are.
    pub(in crate::runner) fn keep_up(mut self, places: &Places) {
        if self.copied.is_empty() {
            return;
        }
        // Held open from now on: once the script runs, the name could mean another folder.
        let Ok(folder) = File::open(places.files()).map(OwnedFd::from) else { return };
        let look = move || {
            loop {
                thread::sleep(EVERY);
                self.look(&folder);
            }
        };
        let _ = thread::Builder::new().stack_size(STACK_BYTES).spawn(look);
    }

    fn look(&mut self, folder: &OwnedFd) {
        for copied in &mut self.copied {
            // If the source is missing, the last copy stays.
            let now = Seen::at(&copied.source);
            if now.is_none() || now == copied.seen {
                continue;
            }
            let Ok(value) = reach::read_mounted(&copied.source, mounted::MAX_BYTES) else { continue };
            if value.len() as u64 > mounted::MAX_BYTES {
                continue;
            }
            if replace(folder.as_fd(), Path::new(&copied.name), copied.mode, &value).is_ok() {
                copied.seen = now;
            }
        }
    }
}

fn mode(variable: &Variable) -> u32 {
    variable.mode.unwrap_or(MODE)
}

/// Kubernetes allows nearly any character in a variable's name, slashes and dots among them.
fn file_name(index: usize, name: &str) -> String {
    let plain = !name.starts_with('.')
        && name.len() <= MAX_NAME_BYTES
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'));
    if plain { name.to_owned() } else { format!(".{index}") }
}

/// Puts a file with this content under `name`, whatever is there. Nobody sees an incomplete file.
fn replace(folder: impl AsFd, name: &Path, mode: u32, content: &[u8]) -> io::Result<()> {
    let next = reach::beside(name)?;
    let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_CLOEXEC;
    let mut file = File::from(openat(&folder, &next, flags, Mode::S_IRUSR | Mode::S_IWUSR)?);
    let written = file
        .write_all(content)
        .and_then(|()| file.set_permissions(Permissions::from_mode(mode)))
        .and_then(|()| Ok(renameat(&folder, &next, &folder, name)?));
    if written.is_err() {
        let _ = unlinkat(&folder, &next, UnlinkatFlags::NoRemoveDir);
    }
    written
}

/// Puts a link to `file` at `below` in `base`, and makes the folders on the way. No link on the way is
/// followed: the image or an earlier run may have put one there.
fn link(base: &Path, below: &str, file: &Path) -> Result<(), String> {
    let names: Vec<&str> = below.split('/').collect();
    if names.iter().any(|name| matches!(*name, "" | "." | "..")) {
        return Err(format!("that does not stay below {}", base.display()));
    }
    let cannot = |what: &str, errno: Errno| format!("{what}: {}", errno.desc());
    let mut folder =
        File::open(base).map(OwnedFd::from).map_err(|error| format!("{}: {error}", base.display()))?;
    let Some((last, folders)) = names.split_last() else { return Ok(()) };
    for name in folders {
        match mkdirat(&folder, *name, FOLDER_MODE) {
            Ok(()) | Err(Errno::EEXIST) => {}
            Err(errno) => return Err(cannot(&format!("the folder {name} cannot be made"), errno)),
        }
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        folder = openat(&folder, *name, flags, Mode::empty()).map_err(|errno| match errno {
            Errno::ELOOP | Errno::ENOTDIR => format!("{name} on the way there is a link, or no folder"),
            errno => cannot(&format!("the folder {name} cannot be opened"), errno),
        })?;
    }
    match symlinkat(file, &folder, *last) {
        Ok(()) => Ok(()),
        // The volume kept the link of an earlier run.
        Err(Errno::EEXIST) if readlinkat(&folder, *last).is_ok_and(|to| Path::new(&to) == file) => Ok(()),
        Err(Errno::EEXIST) => Err("something else is there already: choose another path".to_owned()),
        Err(errno) => Err(cannot("no link can be made there", errno)),
    }
}

fn refuse(message: String) -> Refusal {
    Refusal::new(Problem::Input, message)
}
