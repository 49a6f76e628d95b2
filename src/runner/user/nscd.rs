//! Tells programs who the script's user is, if the image does not know it.
//!
//! Programs such as ssh end at once if the C library has no entry for their user. They take the home from
//! that entry and not from `$HOME`. `/etc/passwd` belongs to the image and usually cannot be written. But
//! glibc asks a cache, nscd, before it reads that file, and musl asks nscd if the file has no answer
//! (`nscd/nscd-client.h` of glibc, `src/passwd` of musl). This is the part of nscd that answers for users. On
//! any other question it hangs up, and the library then looks for itself.

use std::{
    ffi::{OsStr, OsString},
    io::{self, Read, Write},
    os::unix::{
        ffi::OsStrExt,
        net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use nix::unistd::{Gid, Uid, getegid, geteuid};

use super::passwd::{self, Entry};

/// The one version of the protocol.
const VERSION: i32 = 2;
/// The two questions that are answered.
const BY_NAME: i32 = 0;
const BY_NUMBER: i32 = 1;
/// A question begins with version, kind, and the key's length.
const HEADER_BYTES: usize = 12;
/// Longer than any name. A key ends in NUL.
const MAX_KEY_BYTES: usize = 256;
/// How long one client may keep the others waiting.
const PATIENCE: Duration = Duration::from_millis(200);
/// The pause after a failure, such as a lack of descriptors.
const PAUSE: Duration = Duration::from_millis(100);
/// The thread needs no more.
const STACK_BYTES: usize = 64 * 1024;

/// The user that it answers for.
struct Names {
    passwd: PathBuf,
    user: Uid,
    group: Gid,
    home: OsString,
}

/// Answers at `socket` from now on, if the image's `passwd` has no entry for the user, or one with another
/// home. If the socket's folder is missing, it does nothing.
pub(in crate::runner) fn serve(socket: &Path, passwd: &Path, home: &OsStr) {
    let names = Names { passwd: passwd.to_owned(), user: geteuid(), group: getegid(), home: home.to_owned() };
    if names.is_known() {
        return;
    }
    let Ok(listener) = UnixListener::bind(socket) else { return };
    let answer = move || {
        loop {
            if listener.accept().and_then(|(stream, _)| names.answer(stream)).is_err() {
                thread::sleep(PAUSE);
            }
        }
    };
    let _ = thread::Builder::new().stack_size(STACK_BYTES).spawn(answer);
}

impl Names {
    fn is_known(&self) -> bool {
        let passwd = passwd::read(&self.passwd);
        passwd::of(&passwd, self.user).is_some_and(|entry| OsStr::new(entry.home) == self.home)
    }

    fn answer(&self, mut stream: UnixStream) -> io::Result<()> {
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let mut header = [0; HEADER_BYTES];
        stream.read_exact(&mut header)?;
        let [version, question, length] = [0, 4, 8].map(|at| number(&header, at));
        let Some(length) = usize::try_from(length).ok().filter(|length| *length <= MAX_KEY_BYTES) else {
            return Ok(());
        };
        let mut key = vec![0; length];
        stream.read_exact(&mut key)?;
        let key = key.strip_suffix(&[0]).unwrap_or(&key);
        match (version, str::from_utf8(key)) {
            (VERSION, Ok(key)) if matches!(question, BY_NAME | BY_NUMBER) => {
                stream.write_all(&self.entry(question == BY_NAME, key))
            }
            _ => Ok(()),
        }
    }

    /// Makes the answer about one user.
    fn entry(&self, by_name: bool, key: &str) -> Vec<u8> {
        let passwd = passwd::read(&self.passwd);
        let mut found = if by_name {
            passwd::named(&passwd, key)
        } else {
            key.parse().ok().and_then(|number| passwd::of(&passwd, Uid::from_raw(number)))
        };
        let own = Entry { user: self.user.as_raw(), group: self.group.as_raw(), ..passwd::UNKNOWN };
        let asks_for_own = if by_name { key == own.name } else { key == own.user.to_string() };
        if found.is_none() && asks_for_own {
            found = Some(own);
        }
        let Some(Entry { name, user, group, about, home, shell }) = found else {
            return words([VERSION, 0, 0, 0, 0, 0, 0, 0, 0]);
        };
        let home = if user == self.user.as_raw() { self.home.as_bytes() } else { home.as_bytes() };
        // Each text ends in NUL. The password `x` means none here.
        let [name, password, about, home, shell] =
            [name.as_bytes(), b"x", about.as_bytes(), home, shell.as_bytes()]
                .map(|text| [text, &[0]].concat());
        let length = |text: &Vec<u8>| i32::try_from(text.len()).unwrap_or_default();
        let mut answer = words([
            VERSION,
            1,
            length(&name),
            length(&password),
            user.cast_signed(),
            group.cast_signed(),
            length(&about),
            length(&home),
            length(&shell),
        ]);
        answer.extend([name, password, about, home, shell].concat());
        answer
    }
}

fn number(bytes: &[u8], at: usize) -> i32 {
    bytes.get(at..).and_then(|bytes| bytes.first_chunk()).map_or(-1, |bytes| i32::from_ne_bytes(*bytes))
}

fn words(numbers: [i32; 9]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_ne_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/bash\napp:x:7:8:An app:/app:/bin/app\n";

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("longshore-names-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("passwd"), PASSWD).unwrap();
        folder
    }

    fn names(folder: &Path, user: u32) -> Names {
        let (user, group) = (Uid::from_raw(user), Gid::from_raw(0));
        Names { passwd: folder.join("passwd"), user, group, home: "/longshore/home".into() }
    }

    /// Numbers of the answer, and its texts.
    fn told(answer: &[u8]) -> (Vec<i32>, Vec<&str>) {
        let numbers = (0..9).map(|index| number(answer, index * 4)).collect();
        let texts = str::from_utf8(&answer[36..]).unwrap();
        (numbers, texts.split_terminator('\0').collect())
    }

    #[test]
    fn the_user_has_an_entry_with_its_home_and_the_image_s_users_keep_theirs() {
        let folder = folder("entries");
        let names = names(&folder, 65532);
        for (by_name, key) in [(false, "65532"), (true, "longshore")] {
            let answer = names.entry(by_name, key);
            let (numbers, texts) = told(&answer);
            assert_eq!(numbers, [2, 1, 10, 2, 65532, 0, 1, 16, 8], "{key}");
            assert_eq!(texts, ["longshore", "x", "", "/longshore/home", "/bin/sh"], "{key}");
        }
        for (by_name, key) in [(false, "7"), (true, "app")] {
            let answer = names.entry(by_name, key);
            let (numbers, texts) = told(&answer);
            assert_eq!((numbers[1], numbers[4], numbers[5]), (1, 7, 8));
            assert_eq!(texts, ["app", "x", "An app", "/app", "/bin/app"]);
        }
        for (by_name, key) in [(false, "9"), (true, "nobody"), (false, "x"), (true, ""), (true, "65532")] {
            assert_eq!(told(&names.entry(by_name, key)).0[1], 0, "{key}");
        }
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_user_of_the_image_keeps_its_name_and_has_the_script_s_home() {
        let folder = folder("own");
        let own = names(&folder, 7);
        assert!(!own.is_known());
        assert_eq!(told(&own.entry(false, "7")).1, ["app", "x", "An app", "/longshore/home", "/bin/app"]);
        let at_home = Names { home: "/app".into(), ..names(&folder, 7) };
        assert!(at_home.is_known());
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn whoever_asks_for_nonsense_is_hung_up_on_and_the_next_one_is_answered() {
        let folder = folder("nonsense");
        let socket = folder.join("socket");
        serve(&socket, &folder.join("none"), OsStr::new("/longshore/home"));
        let ask = |numbers: [i32; 3], key: &[u8]| {
            let mut stream = UnixStream::connect(&socket).unwrap();
            let header: Vec<u8> = numbers.iter().flat_map(|number| number.to_ne_bytes()).collect();
            // The server may hang up before it has read everything.
            let _ = stream.write_all(&[&header, key].concat());
            let mut answer = vec![];
            let _ = stream.read_to_end(&mut answer);
            answer
        };
        for (numbers, key) in [
            ([1, BY_NUMBER, 2], &b"0\0"[..]),
            ([2, 11, 7], b"passwd\0"),
            ([2, BY_NAME, -1], b""),
            ([2, BY_NAME, i32::MAX], b"x"),
            ([2, BY_NAME, 2], b"\xff\0"),
            ([2, BY_NAME, 100], b"short\0"),
        ] {
            assert_eq!(ask(numbers, key), b"", "{numbers:?}");
        }
        let own = format!("{}\0", geteuid());
        let answer = ask([2, BY_NUMBER, i32::try_from(own.len()).unwrap()], own.as_bytes());
        assert_eq!(told(&answer).1[0], "longshore");
        fs::remove_dir_all(folder).unwrap();
    }
}
