//! Secret files that may change while the script runs: values that the kubelet mounts, and the token of a
//! service account.

use std::{
    collections::VecDeque,
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    rc::Rc,
    time::{Duration, Instant},
};

use super::{additions::Additions, patterns::Patterns, secrets::Secrets, written_outputs::WrittenOutputs};
use crate::runner::reach;

/// How often the files are checked while the script writes nothing. A script may keep a value and print it
/// after the next value has arrived, so the runner must have seen it in between.
const EVERY: Duration = Duration::from_secs(10);
/// A Secret holds 1 MiB at most. Only the first bytes of a longer file are masked.
const MAX_BYTES: usize = 1024 * 1024;
/// How many later values stay masked: the newest ones. Kubernetes makes a new token every 48 minutes, each
/// valid for an hour. So these are the tokens of the last week.
const MAX_LATER: usize = 210;
/// The most bytes that the forms of later values may take together. They lie in the memory of the user's
/// container.
const MAX_LATER_BYTES: usize = 64 * 1024 * 1024;

/// Files that change together.
#[derive(Debug)]
struct Group {
    /// The path whose file is another one once they have changed: the link to their version, or the file
    /// itself.
    probe: PathBuf,
    files: Files,
    /// The state of the probe when the files were last read.
    seen: Seen,
}

#[derive(Debug)]
enum Files {
    These(Vec<PathBuf>),
    /// All files of a folder. A new version may have other files.
    AllOf(PathBuf),
}

/// Files to check again and again.
#[derive(Debug, Default)]
pub(in crate::runner) struct Watched(Vec<Group>);

/// The texts to mask: those known at the start, and those that came later.
#[derive(Debug)]
pub(in crate::runner) struct ChangingFiles {
    groups: Vec<Group>,
    /// The script's outputs file, if sensitive outputs may be in it.
    outputs: Option<WrittenOutputs>,
    next: Instant,
    lasting: Patterns,
    later: VecDeque<Vec<Rc<[u8]>>>,
    additions: Option<Additions>,
    patterns: Patterns,
}

/// The state of a file. A file that replaces it differs in at least one field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::runner) struct Seen {
    file: (u64, u64),
    modified: (i64, i64),
    len: u64,
}

impl Seen {
    pub(in crate::runner) fn at(path: &Path) -> Option<Self> {
        // Links are followed: the path is a link, or a link leads to it.
        let file = fs::metadata(path).ok()?;
        Some(Self {
            file: (file.dev(), file.ino()),
            modified: (file.mtime(), file.mtime_nsec()),
            len: file.len(),
        })
    }
}

impl Files {
    fn paths(&self) -> Vec<PathBuf> {
        match self {
            Self::These(paths) => paths.clone(),
            Self::AllOf(folder) => {
                let entries = fs::read_dir(folder).into_iter().flatten().flatten();
                // Names with this beginning are the kubelet's own.
                let keys = entries.filter(|entry| !entry.file_name().as_encoded_bytes().starts_with(b".."));
                keys.map(|entry| entry.path()).collect()
            }
        }
    }
}

impl Watched {
    /// Adds files of one folder, before they are first read. A missing file does not appear later.
    pub(in crate::runner) fn add(&mut self, folder: &Path, files: Vec<PathBuf>) {
        // The kubelet replaces this link once a new version of all files is complete.
        let link = folder.join("..data");
        match Seen::at(&link) {
            Some(seen) => self.0.push(Group { probe: link, files: Files::These(files), seen }),
            None => self.0.extend(files.into_iter().filter_map(|file| {
                let seen = Seen::at(&file)?;
                Some(Group { probe: file.clone(), files: Files::These(vec![file]), seen })
            })),
        }
    }

    /// Adds all files of a folder in the same way.
    pub(in crate::runner) fn add_all_of(&mut self, folder: &Path) {
        let link = folder.join("..data");
        if let Some(seen) = Seen::at(&link) {
            self.0.push(Group { probe: link, files: Files::AllOf(folder.to_owned()), seen });
        }
    }

    /// Adds a file that nothing else reads. Its content is masked from the start.
    pub(in crate::runner) fn add_unread(&mut self, file: &Path, secrets: &mut Secrets) {
        if let Some(seen) = Seen::at(file)
            && let Ok(value) = read(file)
        {
            secrets.add("", &value);
            let files = Files::These(vec![file.to_owned()]);
            self.0.push(Group { probe: file.to_owned(), files, seen });
        }
    }
}

impl ChangingFiles {
    /// Masks the `lasting` texts, and later also what the files will hold.
    pub(in crate::runner) fn new(Watched(groups): Watched, lasting: Patterns) -> Self {
        let patterns = lasting.clone();
        let next = Instant::now() + EVERY;
        Self { groups, outputs: None, next, lasting, later: VecDeque::new(), additions: None, patterns }
    }

    /// Masks also the lines that the script adds to this file.
    pub(in crate::runner) fn with_additions(self, path: PathBuf) -> Self {
        Self { additions: Some(Additions::new(path)), ..self }
    }

    /// Masks also the sensitive outputs that the script writes.
    pub(in crate::runner) fn with_outputs(self, outputs: Option<WrittenOutputs>) -> Self {
        Self { outputs, ..self }
    }

    /// Sentences about lines of the file of additions that are not masked.
    pub(in crate::runner) fn unmasked(&self) -> Vec<String> {
        self.additions.as_ref().map(Additions::told).unwrap_or_default()
    }

    pub(in crate::runner) const fn patterns(&self) -> &Patterns {
        &self.patterns
    }

    /// When to check again, if the script writes nothing until then.
    pub(in crate::runner) fn next(&self) -> Option<Instant> {
        (!self.groups.is_empty() || self.outputs.is_some()).then_some(self.next)
    }

    /// Checks whether files were replaced, and whether the script has added values. Call it after reading a text and before masking it, so that every
    /// value in the text is known. Returns whether there is a new value.
    pub(in crate::runner) fn look(&mut self) -> bool {
        let mut news = false;
        for group in &mut self.groups {
            // The file is missing for a moment, or for good. Values that were seen stay masked.
            let Some(now) = Seen::at(&group.probe) else { continue };
            if now == group.seen {
                continue;
            }
            for file in group.files.paths() {
                // The script cannot read a file that the runner cannot read.
                let Ok(value) = read(&file) else { continue };
                let mut secrets = Secrets::default();
                secrets.add("", &value);
                let Ok(forms) = secrets.take_forms() else { continue };
                if !forms.is_empty() {
                    self.later.push_back(forms.into_iter().map(Rc::from).collect());
                    news = true;
                }
            }
            // The state before reading: the next check sees a later change.
            group.seen = now;
        }
        let added = self.additions.as_mut().map(Additions::look).unwrap_or_default();
        if !added.is_empty() {
            // These are not forgotten: there are few of them.
            self.lasting = self.lasting.with(&added);
            news = true;
        }
        let written = self.outputs.as_mut().map(WrittenOutputs::look).unwrap_or_default();
        if !written.is_empty() {
            self.later.push_back(written.into_iter().map(Rc::from).collect());
            news = true;
        }
        if news {
            self.forget_the_oldest();
            self.patterns = self.lasting.with(self.later.iter().flatten());
        }
        news
    }

    fn forget_the_oldest(&mut self) {
        let bytes = |forms: &Vec<Rc<[u8]>>| forms.iter().map(|form| form.len()).sum::<usize>();
        let mut all: usize = self.later.iter().map(bytes).sum();
        while self.later.len() > 1 && (self.later.len() > MAX_LATER || all > MAX_LATER_BYTES) {
            all -= self.later.pop_front().as_ref().map_or(0, bytes);
        }
    }

    /// Does the same as [`Self::look`], if the last check is some time ago.
    pub(in crate::runner) fn look_if_due(&mut self, now: Instant) -> bool {
        if now < self.next {
            return false;
        }
        self.next = now + EVERY;
        self.look()
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut value = reach::read_mounted(path, MAX_BYTES as u64)?;
    value.truncate(MAX_BYTES);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("longshore-changing-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    fn replace(path: &Path, token: &str) {
        let new = path.with_extension("new");
        fs::write(&new, token).unwrap();
        fs::rename(new, path).unwrap();
    }

    fn unread(path: &Path, lasting: &[&[u8]]) -> ChangingFiles {
        let (mut watched, mut secrets) = (Watched::default(), Secrets::default());
        watched.add_unread(path, &mut secrets);
        let lasting = lasting.iter().map(|text| text.to_vec()).chain(secrets.take_forms().unwrap());
        ChangingFiles::new(watched, Patterns::new(lasting))
    }

    #[test]
    fn what_the_kubelet_replaces_as_a_whole_is_masked_from_then_on() {
        let folder = folder("version");
        let version = |number: u32, value: &str| {
            let name = format!("..2026_{number}");
            fs::create_dir(folder.join(&name)).unwrap();
            fs::write(folder.join(&name).join("password"), value).unwrap();
            std::os::unix::fs::symlink(&name, folder.join("..data_tmp")).unwrap();
            fs::rename(folder.join("..data_tmp"), folder.join("..data")).unwrap();
        };
        version(1, "first-password");
        let file = folder.join("password");
        std::os::unix::fs::symlink("..data/password", &file).unwrap();
        let mut watched = Watched::default();
        watched.add(&folder, vec![file, folder.join("not-there")]);
        let mut files = ChangingFiles::new(watched, Patterns::new([b"first-password".to_vec()]));
        assert!(!files.look());
        let mut whole = Watched::default();
        whole.add_all_of(&folder);
        let mut whole = ChangingFiles::new(whole, Patterns::default());
        version(2, "second-password");
        for files in [&mut files, &mut whole] {
            assert!(files.look() && !files.look());
            assert_eq!(files.patterns().mask_str("second-password"), "***");
        }
        assert_eq!(files.patterns().mask_str("first-password"), "***");
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn every_token_that_was_seen_is_masked() {
        let folder = folder("every");
        let path = folder.join("token");
        replace(&path, "first-token-1");
        let mut file = unread(&path, &[b"lasting"]);
        assert!(!file.look() && file.next().is_some());
        replace(&path, "second-token-2");
        assert!(file.look() && !file.look());
        replace(&path, "");
        assert!(!file.look());
        fs::remove_file(&path).unwrap();
        assert!(!file.look());
        replace(&path, "third-token-3\n");
        assert!(!file.look_if_due(Instant::now()));
        assert!(file.look_if_due(Instant::now() + EVERY));
        assert_eq!(
            file.patterns().mask_str("lasting first-token-1 second-token-2 third-token-3 other"),
            "*** *** *** *** other"
        );
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn where_no_file_is_nothing_is_looked_for() {
        let folder = folder("none");
        let path = folder.join("token");
        let mut file = unread(&path, &[]);
        replace(&path, "a-late-token");
        assert!(!file.look() && file.next().is_none());
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn the_oldest_of_many_are_forgotten() {
        let folder = folder("many");
        let path = folder.join("token");
        replace(&path, "token-number-0-end");
        let mut file = unread(&path, &[]);
        for number in 1..=MAX_LATER + 1 {
            replace(&path, &format!("token-number-{number}-end"));
            assert!(file.look());
        }
        assert_eq!(
            file.patterns().mask_str("token-number-1-end token-number-2-end"),
            "token-number-1-end ***"
        );
        fs::remove_dir_all(folder).unwrap();
    }
}
