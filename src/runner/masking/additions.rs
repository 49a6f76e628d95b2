//! Values that the script itself adds to be masked: the lines of the file that `LONGSHORE_MASK` names.
//!
//! A script appends a line and may print the value at once. So the line is in the file before the value is in
//! the pipe. The runner reads from the pipe first and then checks the file, before it masks what it has read.
//!
//! The file belongs to the script, which may empty it, remove it or put something else in its place. A value
//! that the runner has read stays masked. Nothing in that place holds the runner up.

use std::{
    collections::HashSet,
    fs::{self, File, Metadata},
    io,
    os::unix::fs::{FileExt, MetadataExt},
    path::PathBuf,
    rc::Rc,
    time::{Duration, Instant},
};

use super::secrets::{MAX_FORMS_BYTES, MIN_VALUE_BYTES, Secrets};
use crate::{record::place::ENV_MASK, runner::reach};

/// The most values, the longest one, and the most bytes of all. A Secret has 1 MiB at most. The forms of the
/// values use the memory of the user's container.
const MAX_VALUES: usize = 1000;
const MAX_VALUE_BYTES: usize = 64 * 1024;
const MAX_VALUES_BYTES: usize = 1024 * 1024;
/// How much is read in one check. A script that writes more between two lines of its output does not mean
/// values.
const MAX_READ_BYTES: usize = 2 * 1024 * 1024;
/// How many of the bytes that were read are compared with the file, to see whether it was written anew.
const COMPARED_BYTES: u64 = 64 * 1024;
/// File systems have clocks of up to a second. Until this much later, a file may change and look the same.
const SETTLES: Duration = Duration::from_secs(2);

/// The file, and the values that it has held.
#[derive(Debug)]
pub(super) struct Additions {
    path: PathBuf,
    file: Option<Held>,
    values: HashSet<Vec<u8>>,
    values_bytes: usize,
    forms_bytes: usize,
    left_out: LeftOut,
}

/// Counts lines that are not masked.
#[derive(Debug, Default)]
struct LeftOut {
    short: usize,
    long: usize,
    beyond: usize,
    unread: bool,
    error: Option<String>,
}

/// The file under that name. It stays open, so that a script that removes it loses no value.
#[derive(Debug)]
struct Held {
    file: File,
    id: (u64, u64),
    /// The state at the last check, and since when the file has it.
    seen: Option<(State, Instant)>,
    /// Lines before this place were taken.
    offset: u64,
    /// The last bytes before that place.
    before: Vec<u8>,
    /// Whether `offset` is within a line that is skipped.
    within: bool,
    /// The bytes of the line that has not ended, without white space at its ends.
    open_bytes: usize,
}

/// Differs after a change, unless the file system's clock has not moved on. A script cannot set the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct State {
    len: u64,
    changed: (i64, i64),
}

/// A part of the file.
#[derive(Debug)]
enum Part<'a> {
    Line(&'a [u8]),
    /// A line without an end that is longer than any value.
    TooLong,
    /// More than is read in one check.
    Unread,
}

impl Additions {
    /// Opens the file, before the script can hinder it.
    pub(super) fn new(path: PathBuf) -> Self {
        let file = reach::open_to_read(&path).and_then(Held::new).ok();
        Self {
            path,
            file,
            values: HashSet::new(),
            values_bytes: 0,
            forms_bytes: 0,
            left_out: LeftOut::default(),
        }
    }

    /// Checks the file. Returns the forms of new values.
    pub(super) fn look(&mut self) -> Vec<Rc<[u8]>> {
        let mut forms = vec![];
        if let Err(error) = self.read(&mut forms) {
            self.left_out.error.get_or_insert_with(|| error.to_string());
        }
        forms
    }

    fn read(&mut self, forms: &mut Vec<Rc<[u8]>>) -> io::Result<()> {
        if let Some(mut held) = self.file.take() {
            let read = held.news(&mut |part| self.take(&part, forms));
            self.file = Some(held);
            read?;
        }
        let now = match fs::symlink_metadata(&self.path) {
            Ok(now) => now,
            // The values in it are known.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        if self.file.as_ref().is_some_and(|held| held.id == id(&now)) {
            return Ok(());
        }
        let mut other = Held::new(reach::open_to_read(&self.path)?)?;
        let read = other.news(&mut |part| self.take(&part, forms));
        self.file = Some(other);
        read
    }

    fn take(&mut self, part: &Part<'_>, forms: &mut Vec<Rc<[u8]>>) {
        match part {
            Part::Line(line) => self.add(line.trim_ascii(), forms),
            Part::TooLong => self.left_out.long += 1,
            Part::Unread => self.left_out.unread = true,
        }
    }

    fn add(&mut self, value: &[u8], forms: &mut Vec<Rc<[u8]>>) {
        if value.is_empty() || self.values.contains(value) {
            return;
        }
        match value.len() {
            0..MIN_VALUE_BYTES => return self.left_out.short += 1,
            MIN_VALUE_BYTES..=MAX_VALUE_BYTES => {}
            _ => return self.left_out.long += 1,
        }
        let values_bytes = self.values_bytes + value.len();
        if self.values.len() == MAX_VALUES || values_bytes > MAX_VALUES_BYTES {
            return self.left_out.beyond += 1;
        }
        let mut secrets = Secrets::default();
        secrets.add("", value);
        let new = secrets.take_forms().unwrap_or_default();
        let forms_bytes = self.forms_bytes + new.iter().map(Vec::len).sum::<usize>();
        if new.is_empty() || forms_bytes > MAX_FORMS_BYTES {
            return self.left_out.beyond += 1;
        }
        self.values.insert(value.to_vec());
        (self.values_bytes, self.forms_bytes) = (values_bytes, forms_bytes);
        forms.extend(new.into_iter().map(Rc::from));
    }

    /// Sentences about what is not masked, for people.
    pub(super) fn told(&self) -> Vec<String> {
        let LeftOut { short, long, beyond, unread, error } = &self.left_out;
        let open_bytes = self.file.as_ref().map_or(0, |held| held.open_bytes);
        let short = short + usize::from((1..MIN_VALUE_BYTES).contains(&open_bytes));
        let lines = |count: usize, what: String| {
            let lines = if count == 1 { "line" } else { "lines" };
            (count > 0).then(|| format!("{count} {lines} of ${ENV_MASK} with {what}"))
        };
        [
            lines(short, format!("fewer than {MIN_VALUE_BYTES} bytes")),
            lines(*long, format!("more than {MAX_VALUE_BYTES} bytes")),
            lines(*beyond, format!("more than {MAX_VALUES} values or {MAX_VALUES_BYTES} bytes before")),
            unread.then(|| format!("lines of ${ENV_MASK} behind {MAX_READ_BYTES} bytes written at once")),
            error.as_ref().map(|error| {
                format!("lines of ${ENV_MASK} that could not be read ({error}): append to the file with >>")
            }),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

impl Held {
    fn new(file: File) -> io::Result<Self> {
        let id = id(&file.metadata()?);
        Ok(Self { file, id, seen: None, offset: 0, before: vec![], within: false, open_bytes: 0 })
    }

    /// Passes on what is new in the file.
    fn news(&mut self, take: &mut dyn FnMut(Part<'_>)) -> io::Result<()> {
        // The state before reading: the next check sees a later change.
        let state = State::of(&self.file.metadata()?);
        let now = Instant::now();
        match self.seen {
            Some((seen, since)) if seen == state => {
                if now >= since + SETTLES {
                    return Ok(());
                }
            }
            _ => self.seen = Some((state, now)),
        }
        if !self.is_as_it_was(state.len)? {
            (self.offset, self.within) = (0, false);
        }
        let text = self.bytes(self.offset, MAX_READ_BYTES)?;
        let mut rest = text.as_slice();
        if self.within && !rest.is_empty() {
            let end = rest.iter().position(|&byte| byte == b'\n');
            self.within = end.is_none();
            rest = end.map_or(&[], |end| &rest[end + 1..]);
        }
        while let Some(end) = rest.iter().position(|&byte| byte == b'\n') {
            take(Part::Line(&rest[..end]));
            rest = &rest[end + 1..];
        }
        let read_to = self.offset + text.len() as u64;
        if text.len() == MAX_READ_BYTES && state.len > read_to {
            take(Part::Unread);
            (self.offset, self.within, rest) = (state.len, true, &[]);
        } else if rest.len() > MAX_VALUE_BYTES {
            take(Part::TooLong);
            (self.offset, self.within, rest) = (read_to, true, &[]);
        } else {
            self.offset = read_to - rest.len() as u64;
        }
        // A script may leave out the last newline, and print the value.
        take(Part::Line(if rest.trim_ascii().len() < MIN_VALUE_BYTES { &[] } else { rest }));
        self.open_bytes = rest.trim_ascii().len();
        let from = self.offset.saturating_sub(COMPARED_BYTES);
        self.before = self.bytes(from, usize::try_from(self.offset - from).unwrap_or_default())?;
        Ok(())
    }

    /// Whether the file only grew.
    fn is_as_it_was(&self, len: u64) -> io::Result<bool> {
        let compared = self.before.len();
        let from = self.offset.saturating_sub(compared as u64);
        Ok(len >= self.offset && self.bytes(from, compared)? == self.before)
    }

    /// At most `max` bytes of the file, from `from` on.
    fn bytes(&self, from: u64, max: usize) -> io::Result<Vec<u8>> {
        let len = self.file.metadata()?.len().saturating_sub(from);
        let mut bytes = vec![0; usize::try_from(len).unwrap_or(max).min(max)];
        let mut read = 0;
        while read < bytes.len() {
            match self.file.read_at(&mut bytes[read..], from + read as u64) {
                // It was cut meanwhile.
                Ok(0) => break,
                Ok(more) => read += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        bytes.truncate(read);
        Ok(bytes)
    }
}

impl State {
    fn of(file: &Metadata) -> Self {
        Self { len: file.len(), changed: (file.ctime(), file.ctime_nsec()) }
    }
}

fn id(file: &Metadata) -> (u64, u64) {
    (file.dev(), file.ino())
}

#[cfg(test)]
mod tests {
    use std::{fs::OpenOptions, io::Write, os::unix::fs::symlink, path::Path};

    use super::{super::patterns::Patterns, *};

    struct Place {
        path: PathBuf,
        additions: Additions,
        patterns: Patterns,
    }

    impl Place {
        fn new(name: &str) -> Self {
            let folder = std::env::temp_dir().join(format!("longshore-added-{name}-{}", std::process::id()));
            let _ = fs::remove_dir_all(&folder);
            fs::create_dir_all(&folder).unwrap();
            let path = folder.join("mask");
            fs::write(&path, "").unwrap();
            Self { additions: Additions::new(path.clone()), path, patterns: Patterns::default() }
        }

        fn append(&self, text: impl AsRef<[u8]>) {
            let mut file = OpenOptions::new().append(true).create(true).open(&self.path).unwrap();
            file.write_all(text.as_ref()).unwrap();
        }

        fn masks(&mut self, text: &str) -> String {
            self.patterns = self.patterns.with(&self.additions.look());
            self.patterns.mask_str(text)
        }

        fn masked(&mut self, text: &str) -> bool {
            self.masks(text) == "***"
        }
    }

    impl Drop for Place {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(self.path.parent().unwrap());
        }
    }

    #[test]
    fn a_line_is_masked_from_the_next_look_on() {
        let mut place = Place::new("line");
        assert!(!place.masked("first-value"));
        place.append("first-value\n");
        assert!(place.masked("first-value"));
        place.append("\n  \r\n\tsecond value \r\nthird-value\n");
        assert!(place.masked("second value") && place.masked("third-value") && place.masked("first-value"));
        assert!(place.masked("dGhpcmQtdmFsdW") && place.masked("second%20value"));
        assert_eq!(place.additions.told(), [""; 0]);
    }

    #[test]
    fn a_line_that_has_not_ended_is_masked_as_far_as_it_goes_and_then_as_a_whole() {
        let mut place = Place::new("open");
        place.append("abc");
        assert_eq!(place.masks("abc"), "abc");
        assert_eq!(place.additions.told(), ["1 line of $LONGSHORE_MASK with fewer than 6 bytes"]);
        place.append("defgh");
        assert!(place.masked("abcdefgh"));
        place.append("ijkl\n");
        assert!(place.masked("abcdefghijkl") && place.masked("abcdefgh"));
        assert_eq!(place.additions.told(), [""; 0]);
    }

    #[test]
    fn a_file_that_is_written_anew_at_once_and_as_long_is_read_anew() {
        let mut place = Place::new("anew");
        for number in 0..200 {
            let value = format!("value-number-{number:03}");
            fs::write(&place.path, format!("{value}\n")).unwrap();
            assert!(place.masked(&value), "{value}");
        }
        assert!(place.masked("value-number-000"), "what was seen stays masked");
    }

    #[test]
    fn what_was_written_before_the_file_was_removed_or_replaced_is_masked() {
        let mut place = Place::new("removed");
        place.append("first-value\n");
        assert!(place.masked("first-value"));
        place.append("second-value\n");
        fs::remove_file(&place.path).unwrap();
        assert!(place.masked("second-value"));
        place.append("third-value\n");
        assert!(place.masked("third-value"));
        let other = place.path.with_extension("other");
        fs::write(&other, "fourth-value\n").unwrap();
        place.append("fifth-value\n");
        fs::rename(&other, &place.path).unwrap();
        assert!(place.masked("fourth-value") && place.masked("fifth-value"));
        fs::write(&place.path, "").unwrap();
        for value in ["first-value", "second-value", "third-value", "fourth-value"] {
            assert!(place.masked(value), "{value}");
        }
        assert_eq!(place.additions.told(), [""; 0]);
    }

    #[test]
    fn what_is_no_file_is_told_and_holds_nothing_up() {
        let puts: [fn(&Path); 5] = [
            |path| nix::unistd::mkfifo(path, nix::sys::stat::Mode::S_IRWXU).unwrap(),
            |path| symlink("/dev/zero", path).unwrap(),
            |path| symlink("nowhere", path).unwrap(),
            |path| fs::create_dir(path).unwrap(),
            |path| drop(std::os::unix::net::UnixListener::bind(path).unwrap()),
        ];
        for (number, put) in puts.into_iter().enumerate() {
            let mut place = Place::new(&format!("kind-{number}"));
            place.append("first-value\n");
            assert!(place.masked("first-value"));
            place.append("second-value\n");
            fs::remove_file(&place.path).unwrap();
            put(&place.path);
            assert!(place.masked("second-value") && place.masked("first-value"));
            let told = place.additions.told();
            assert!(told.len() == 1 && told[0].contains("could not be read"), "{told:?}");
        }
    }

    #[test]
    fn a_file_without_end_is_read_as_far_as_the_bound_and_told() {
        let mut place = Place::new("endless");
        let begun = Instant::now();
        place.append("first-value\n");
        OpenOptions::new().write(true).open(&place.path).unwrap().set_len(1 << 40).unwrap();
        assert!(place.masked("first-value"));
        place.append("\nlast-value\n");
        assert!(place.masked("last-value"));
        let told = place.additions.told();
        assert!(told.len() == 1 && told[0].contains("bytes written at once"), "{told:?}");
        assert!(begun.elapsed() < Duration::from_secs(20));
    }

    #[test]
    fn values_are_bounded_in_count_and_size_and_what_is_beyond_is_told() {
        let mut place = Place::new("many");
        let lines = |from: usize, to: usize| {
            (from..to).map(|number| format!("value-number-{number}\n")).collect::<Vec<_>>().concat()
        };
        place.append(lines(0, MAX_VALUES - 1));
        place.append(lines(0, MAX_VALUES - 1));
        place.append("12345\n");
        place.append("x".repeat(MAX_VALUE_BYTES + 1));
        assert!(place.masked("value-number-0"));
        place.append("y".repeat(MAX_VALUE_BYTES));
        place.append("\nlast-value\nfirst-beyond\nsecond-beyond\n");
        assert!(place.masked("last-value") && !place.masked("first-beyond"));
        assert_eq!(
            place.additions.told(),
            [
                "1 line of $LONGSHORE_MASK with fewer than 6 bytes",
                "1 line of $LONGSHORE_MASK with more than 65536 bytes",
                "2 lines of $LONGSHORE_MASK with more than 1000 values or 1048576 bytes before",
            ]
        );
        let mut place = Place::new("large");
        for number in 0..=16 {
            let parts = (0..MAX_VALUE_BYTES / 8).map(|part| format!("{number:02}-{part:05}"));
            let value = parts.collect::<Vec<_>>().concat();
            place.append(format!("{value}\n"));
            assert_eq!(place.masked(&value), number < 16, "{number}");
        }
        assert_eq!(place.additions.told().len(), 1);
    }
}
