//! The name of the user whom the script runs as.

use std::path::Path;

use nix::unistd::{Uid, geteuid};

use super::reach;

/// Longer than the file of any image that is meant to run.
const MAX_BYTES: u64 = 1024 * 1024;
/// Where the image has no user of this number.
const NOBODY_S: &str = "longshore";

/// The name that the image's `passwd` gives the user that runs this.
pub(super) fn name(passwd: &Path) -> String {
    let passwd = reach::read_mounted(passwd, MAX_BYTES).unwrap_or_default();
    of(&String::from_utf8_lossy(&passwd), geteuid()).unwrap_or(NOBODY_S).to_owned()
}

fn of(passwd: &str, user: Uid) -> Option<&str> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next().filter(|name| !name.is_empty())?;
        let number: u32 = fields.nth(1)?.parse().ok()?;
        (number == user.as_raw()).then_some(name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_is_that_of_the_first_line_with_the_number() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\nbroken\n:x:7:7::/:\nseven:x:7:7::/:\nalso:x:7:7::/:\n";
        assert_eq!(of(passwd, Uid::from_raw(0)), Some("root"));
        assert_eq!(of(passwd, Uid::from_raw(7)), Some("seven"));
        assert_eq!(of(passwd, Uid::from_raw(8)), None);
        assert_eq!(name(Path::new("/no/such")), NOBODY_S);
    }
}
