//! A file whose content is secret, and changes while the script runs.

use std::{
    collections::VecDeque,
    fs::{self, File},
    io::{self, Read},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    rc::Rc,
    time::{Duration, Instant},
};

use super::{patterns::Patterns, secrets::Secrets};

/// How often the file is looked at while the script says nothing: a token that it keeps, to print
/// it when the next one is there already, must have been seen in between.
const EVERY: Duration = Duration::from_secs(10);
/// What is longer is no token; its beginning alone is masked.
const MAX_BYTES: u64 = 64 * 1024;
/// So many tokens stay masked, the newest ones. With a new one every 48 minutes, as Kubernetes has
/// it, they are those of the last week, and each is valid for an hour.
const MAX_TOKENS: usize = 210;

/// The texts to be masked: those that stay the same, and what is in the file.
#[derive(Debug)]
pub(super) struct TokenFile {
    path: PathBuf,
    /// None where there was no file at the start: then none comes.
    seen: Option<Seen>,
    next: Instant,
    lasting: Patterns,
    tokens: VecDeque<Vec<Rc<[u8]>>>,
    patterns: Patterns,
}

/// A file that is replaced differs in one of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seen {
    file: (u64, u64),
    modified: (i64, i64),
    len: u64,
}

impl Seen {
    fn at(path: &Path) -> Option<Self> {
        // Followed: it is a link into the folder of its version.
        let file = fs::metadata(path).ok().filter(fs::Metadata::is_file)?;
        Some(Self {
            file: (file.dev(), file.ino()),
            modified: (file.mtime(), file.mtime_nsec()),
            len: file.len(),
        })
    }
}

impl TokenFile {
    /// Reads the file at `path`, if there is one, and joins it to the `lasting` texts.
    pub(super) fn new(path: PathBuf, lasting: Patterns) -> Self {
        let patterns = lasting.clone();
        let seen = None;
        let mut file =
            Self { path, seen, next: Instant::now() + EVERY, lasting, tokens: VecDeque::new(), patterns };
        if let Some(now) = Seen::at(&file.path) {
            file.seen = Some(now);
            file.read();
        }
        file
    }

    pub(super) const fn patterns(&self) -> &Patterns {
        &self.patterns
    }

    /// When to look again if nothing comes before.
    pub(super) fn next(&self) -> Option<Instant> {
        self.seen.map(|_| self.next)
    }

    /// Looks whether the file was replaced. To be asked after a text was read and before it is
    /// masked: so no token comes that is not known yet. Says whether there is a new one.
    pub(super) fn look(&mut self) -> bool {
        let Some(seen) = self.seen else { return false };
        // It is not there for a moment, or no longer: what was seen stays masked.
        let Some(now) = Seen::at(&self.path) else { return false };
        if now == seen || !self.read() {
            return false;
        }
        // As it was before the reading: what came after is seen the next time.
        self.seen = Some(now);
        true
    }

    /// The same, where it was not done for some time.
    pub(super) fn look_if_due(&mut self, now: Instant) -> bool {
        if now < self.next {
            return false;
        }
        self.next = now + EVERY;
        self.look()
    }

    fn read(&mut self) -> bool {
        // What the runner cannot read, the script cannot either.
        let Ok(token) = read(&self.path) else { return false };
        let mut secrets = Secrets::default();
        secrets.add("", &token);
        let Ok(forms) = secrets.take_forms() else { return false };
        if forms.is_empty() {
            return false;
        }
        self.tokens.push_back(forms.into_iter().map(Rc::from).collect());
        if self.tokens.len() > MAX_TOKENS {
            self.tokens.pop_front();
        }
        self.patterns = self.lasting.with(self.tokens.iter().flatten());
        true
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut token = vec![];
    File::open(path)?.take(MAX_BYTES).read_to_end(&mut token)?;
    Ok(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("longshore-token-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    fn replace(path: &Path, token: &str) {
        let new = path.with_extension("new");
        fs::write(&new, token).unwrap();
        fs::rename(new, path).unwrap();
    }

    #[test]
    fn every_token_that_was_seen_is_masked() {
        let folder = folder("every");
        let path = folder.join("token");
        replace(&path, "first-token-1");
        let mut file = TokenFile::new(path.clone(), Patterns::new([b"lasting".to_vec()]));
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
        let mut file = TokenFile::new(path.clone(), Patterns::default());
        replace(&path, "a-late-token");
        assert!(!file.look() && file.next().is_none());
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn the_oldest_of_many_are_forgotten() {
        let folder = folder("many");
        let path = folder.join("token");
        replace(&path, "token-number-0-end");
        let mut file = TokenFile::new(path.clone(), Patterns::default());
        for number in 1..=MAX_TOKENS {
            replace(&path, &format!("token-number-{number}-end"));
            assert!(file.look());
        }
        assert_eq!(
            file.patterns().mask_str("token-number-0-end token-number-1-end"),
            "token-number-0-end ***"
        );
        fs::remove_dir_all(folder).unwrap();
    }
}
