//! The file that tells the script why it is asked to stop.
//!
//! The script can write to the folder of the file. Nothing that it does there may hold up the signal that
//! follows. So the file is made before the script starts, and the runner writes through the descriptor that
//! it has held since then. If the script puts something else under the name, it fools only itself. A thread
//! of its own writes and renames the file, and the signal waits for it only a moment. A file system can hold
//! up a rename too (by a lease on the folder, from Linux 6.19 on).

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

/// How long the signal waits for the file.
const PATIENCE: Duration = Duration::from_secs(1);
/// The thread needs no more.
const STACK_BYTES: usize = 64 * 1024;

/// A file that is ready to write.
#[derive(Debug)]
pub(in crate::runner) struct Note {
    text: SyncSender<String>,
    done: Receiver<()>,
}

impl Note {
    /// Prepares the file that will appear at `path`. Call it before the script starts. The file has another
    /// name until [`Self::tell`].
    ///
    /// # Errors
    /// The file cannot be made. The script is then stopped without it.
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

    /// Makes the complete file appear, if that takes only a moment.
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
