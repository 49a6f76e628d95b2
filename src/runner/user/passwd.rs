//! Reads the image's users, and finds the one that the script runs as.

use std::path::Path;

use nix::unistd::{Uid, geteuid};

use crate::runner::reach;

/// Longer than any useful image's file.
const MAX_BYTES: u64 = 1024 * 1024;

/// A line of `passwd`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry<'a> {
    pub(super) name: &'a str,
    pub(super) user: u32,
    pub(super) group: u32,
    pub(super) about: &'a str,
    pub(super) home: &'a str,
    pub(super) shell: &'a str,
}

/// A user that the image does not know. Its numbers must be filled in.
pub(super) const UNKNOWN: Entry<'static> =
    Entry { name: "longshore", user: 0, group: 0, about: "", home: "", shell: "/bin/sh" };

/// Reads the image's `passwd`. Without the file, returns an empty text.
pub(in crate::runner) fn read(passwd: &Path) -> String {
    let passwd = reach::read_mounted(passwd, MAX_BYTES).unwrap_or_default();
    String::from_utf8_lossy(&passwd).into_owned()
}

/// Returns the name and the home that the image's `passwd` gives the runner's user.
pub(in crate::runner) fn own(passwd: &str) -> (String, Option<String>) {
    let entry = of(passwd, geteuid());
    (entry.unwrap_or(UNKNOWN).name.to_owned(), entry.map(|entry| entry.home.to_owned()))
}

/// Finds the user with this number: the first if there are several.
pub(super) fn of(passwd: &str, user: Uid) -> Option<Entry<'_>> {
    entries(passwd).find(|entry| entry.user == user.as_raw())
}

/// Finds the user with this name.
pub(super) fn named<'a>(passwd: &'a str, name: &str) -> Option<Entry<'a>> {
    entries(passwd).find(|entry| entry.name == name)
}

fn entries(passwd: &str) -> impl Iterator<Item = Entry<'_>> {
    passwd.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next().filter(|name| !name.is_empty())?;
        let user = fields.nth(1)?.parse().ok()?;
        let group = fields.next()?.parse().ok()?;
        let mut text = || fields.next().unwrap_or_default();
        Some(Entry { name, user, group, about: text(), home: text(), shell: text() })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_is_that_of_the_first_line_with_the_number() {
        let passwd =
            "root:x:0:0:root:/root:/bin/sh\nbroken\n:x:7:7::/:\nseven:x:7:8:A:/s:/b\nalso:x:7:7::/:\n";
        let name = |number| of(passwd, Uid::from_raw(number)).map(|entry| entry.name);
        assert_eq!((name(0), name(7), name(8)), (Some("root"), Some("seven"), None));
        let seven = Entry { name: "seven", user: 7, group: 8, about: "A", home: "/s", shell: "/b" };
        assert_eq!((named(passwd, "seven"), named(passwd, "")), (Some(seven), None));
        assert_eq!(own(&read(Path::new("/no/such"))), ("longshore".to_owned(), None));
    }
}
