//! The file that tells the script why it is asked to stop.
//!
//! It lies in a folder that the script can write, and so nothing that the script does to the folder may
//! hold up the signal that follows. The file is made before the script starts, and written to through
//! the descriptor that is held since: what the script has put under its name meanwhile fools the script
//! alone. A thread of its own does it, for which the signal waits a moment and no longer: a file system
//! can hold up a rename too (by a lease on the folder, from Linux 6.19 on).

use std::{
    fs::{self, File},
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::mpsc::{self, Receiver, SyncSender},
    thread,
    time::Duration,
};

use crate::runner::reach;

/// So long the signal waits for the file.
const PATIENCE: Duration = Duration::from_secs(1);
/// It does nothing that needs more.
const STACK_BYTES: usize = 64 * 1024;

/// A file that is ready to be written.
#[derive(Debug)]
pub(in crate::runner) struct Note {
    text: SyncSender<String>,
    done: Receiver<()>,
}

impl Note {
    /// Prepares the file that is to be at `path`; to be called before the script starts. Its name is
    /// another one until it is told.
    ///
    /// # Errors
    /// Where it cannot be made; the script is then stopped without.
    pub(in crate::runner) fn prepare(path: PathBuf) -> io::Result<Self> {
        let next = path.with_extension("new");
        let file = reach::create(&next, 0o644)?;
        let (text, texts) = mpsc::sync_channel::<String>(1);
        let (tell, done) = mpsc::sync_channel(1);
        let write = move || {
            if let Ok(text) = texts.recv() {
                let _ = write(&file, &next, &path, &text);
                let _ = tell.try_send(());
            }
        };
        thread::Builder::new().stack_size(STACK_BYTES).spawn(write)?;
        Ok(Self { text, done })
    }

    /// Lets the file appear, whole, if that can be done in a moment.
    pub(super) fn tell(&self, text: String) {
        if self.text.try_send(text).is_ok() {
            let _ = self.done.recv_timeout(PATIENCE);
        }
    }
}

fn write(file: &File, next: &Path, path: &Path, text: &str) -> io::Result<()> {
    file.set_len(0)?;
    file.write_all_at(text.as_bytes(), 0)?;
    fs::rename(next, path)
}
