//! The outputs file while the script runs: the values of sensitive outputs are masked from the moment they are in
//! it.

use std::{
    collections::HashSet,
    fs::{self, Metadata},
    os::unix::fs::MetadataExt,
    path::PathBuf,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use zeroize::Zeroizing;

use super::secrets::Secrets;
use crate::runner::{
    outputs::{MAX_FILE_BYTES, sensitive_values},
    reach,
};

/// The kernel's time of a change is behind by a tick, up to 10 ms. A file that was changed this recently may change
/// again and look the same, so it is read again.
const RECENT: Duration = Duration::from_millis(50);

/// The outputs file, and the sensitive outputs to look for in it.
#[derive(Debug)]
pub(in crate::runner) struct WrittenOutputs {
    path: PathBuf,
    names: Vec<String>,
    /// The state of the file when it was last read, unless it may have changed since then without a trace.
    seen: Option<State>,
    /// The values that were last found.
    known: HashSet<Vec<u8>>,
}

/// A file that was changed differs in at least one field. A script can set the time of the content's change, but not
/// that of the file's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct State {
    file: (u64, u64),
    changed: (i64, i64),
    len: u64,
}

impl State {
    fn of(file: &Metadata) -> Self {
        Self { file: (file.dev(), file.ino()), changed: (file.ctime(), file.ctime_nsec()), len: file.len() }
    }

    /// Whether the change is long enough ago that a later one has another time. A time in the future tells nothing.
    fn is_settled(&self) -> bool {
        let since = |(seconds, nanos): (i64, i64)| {
            let seconds = Duration::from_secs(u64::try_from(seconds).ok()?);
            let changed = UNIX_EPOCH + seconds + Duration::from_nanos(u64::try_from(nanos).ok()?);
            SystemTime::now().duration_since(changed).ok()
        };
        since(self.changed).is_some_and(|since| since > RECENT)
    }
}

impl WrittenOutputs {
    /// Looks for outputs with these names. `None` if there are none to look for.
    pub(in crate::runner) fn new(path: PathBuf, names: &[String]) -> Option<Self> {
        (!names.is_empty()).then(|| Self { path, names: names.to_vec(), seen: None, known: HashSet::new() })
    }

    /// All forms of the values that are new since the last look. It reads at most [`MAX_FILE_BYTES`], and only if
    /// the file may have changed.
    pub(super) fn look(&mut self) -> HashSet<Vec<u8>> {
        // A link is not followed, and is no change: the outputs are not read through one either.
        let Ok(file) = fs::symlink_metadata(&self.path) else { return HashSet::new() };
        let now = State::of(&file);
        if self.seen == Some(now) {
            return HashSet::new();
        }
        let Ok(text) = reach::read(&self.path, MAX_FILE_BYTES).map(Zeroizing::new) else {
            return HashSet::new();
        };
        // The state before reading: the next look sees a later change.
        self.seen = Some(now).filter(State::is_settled);
        let mut secrets = Secrets::default();
        let mut found = HashSet::new();
        for value in sensitive_values(&text, &self.names) {
            if !self.known.contains(&value) {
                secrets.add("", &value);
            }
            found.insert(value);
        }
        self.known = found;
        // A value that is too long to be masked is too long for an output.
        secrets.take_forms().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("longshore-written-{name}-{}", std::process::id()));
        let _ = fs::remove_file(&path);
        path
    }

    fn outputs(path: &std::path::Path) -> WrittenOutputs {
        WrittenOutputs::new(path.to_owned(), &["token".to_owned()]).unwrap()
    }

    #[test]
    fn a_value_is_known_from_when_it_is_in_the_file() {
        let path = file("known");
        let mut outputs = outputs(&path);
        assert!(outputs.look().is_empty());
        fs::write(&path, "url=https://example.com\ntoken=first-value\n").unwrap();
        let forms = outputs.look();
        assert!(forms.contains(&b"first-value"[..]) && !forms.contains(&b"https://example.com"[..]));
        // It is told once, however often the file is read.
        assert!(outputs.look().is_empty());
        fs::write(&path, "token=other-value\n").unwrap();
        assert!(outputs.look().contains(&b"other-value"[..]));
        fs::remove_file(&path).unwrap();
        assert!(outputs.look().is_empty());
    }

    #[test]
    fn changes_within_one_tick_of_the_clock_are_all_seen() {
        let path = file("tick");
        let mut outputs = outputs(&path);
        for number in 10_000..10_300 {
            // The same length in the same file: often with the same time too.
            let value = format!("value-{number}");
            fs::write(&path, format!("token={value}\n")).unwrap();
            assert!(outputs.look().contains(value.as_bytes()), "{value}");
        }
        fs::remove_file(&path).unwrap();
    }

    #[test]
    fn a_file_that_stays_as_it_is_is_not_read_again() {
        let path = file("same");
        fs::write(&path, "token=first-value\n").unwrap();
        let mut outputs = outputs(&path);
        outputs.look();
        std::thread::sleep(RECENT * 2);
        outputs.look();
        assert!(outputs.seen.is_some());
        fs::remove_file(&path).unwrap();
    }

    #[test]
    fn what_stands_in_its_place_is_not_followed() {
        let (path, elsewhere) = (file("link"), file("elsewhere"));
        fs::write(&elsewhere, "token=first-value\n").unwrap();
        std::os::unix::fs::symlink(&elsewhere, &path).unwrap();
        assert!(outputs(&path).look().is_empty());
        assert!(WrittenOutputs::new(path.clone(), &[]).is_none());
        for path in [path, elsewhere] {
            fs::remove_file(path).unwrap();
        }
    }
}
