//! Passwords in addresses: `scheme://user:password@host`, `user:password@tcp(host)/name`.

/// The user and the password that an address shows.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct UserInfo<'a> {
    pub(super) user: &'a [u8],
    pub(super) password: Option<&'a [u8]>,
}

/// Finds the user and the password of every address in `text`.
pub(super) fn of(text: &[u8]) -> impl Iterator<Item = UserInfo<'_>> {
    text.split(|&byte| byte.is_ascii_whitespace() || b"\"'`<>".contains(&byte)).filter_map(user_info)
}

fn user_info(word: &[u8]) -> Option<UserInfo<'_>> {
    let scheme = word.windows(3).position(|window| window == b"://");
    let rest = scheme.map_or(word, |scheme| &word[scheme + 3..]);
    let end = rest.iter().position(|byte| b"/?#".contains(byte)).unwrap_or(rest.len());
    let at = |text: &[u8]| text.iter().rposition(|&byte| byte == b'@');
    let info = match at(&rest[..end]) {
        Some(at) if scheme.is_some() => &rest[..at],
        // An image with its digest has no password.
        Some(at) if !rest[at..].starts_with(b"@sha256:") => &rest[..at],
        // A password may hold characters that should be encoded. A host with a port is no password.
        None if scheme.is_some() && !ends_in_port(&rest[..end]) => &rest[..at(rest)?],
        Some(_) | None => return None,
    };
    let colon = info.iter().position(|&byte| byte == b':');
    let (user, password) = colon.map_or((info, None), |colon| (&info[..colon], Some(&info[colon + 1..])));
    // Without this condition a mail address would count.
    (scheme.is_some() || password.is_some()).then_some(UserInfo { user, password })
}

fn ends_in_port(host: &[u8]) -> bool {
    host.iter()
        .position(|&byte| byte == b':')
        .is_none_or(|colon| host[colon + 1..].iter().all(u8::is_ascii_digit))
}

/// Decodes `%41` and the like. Returns none if there is nothing to decode.
pub(super) fn percent_decoded(text: &[u8]) -> Option<Vec<u8>> {
    let digit = |at: usize| {
        text.get(at)
            .and_then(|&byte| char::from(byte).to_digit(16))
            .and_then(|digit| u8::try_from(digit).ok())
    };
    let mut out = Vec::with_capacity(text.len());
    let mut at = 0;
    while at < text.len() {
        if text[at] == b'%'
            && let (Some(high), Some(low)) = (digit(at + 1), digit(at + 2))
        {
            out.push(high << 4 | low);
            at += 3;
        } else {
            out.push(text[at]);
            at += 1;
        }
    }
    (out.len() < text.len()).then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passwords(text: &str) -> Vec<&str> {
        of(text.as_bytes())
            .filter_map(|info| info.password)
            .map(|password| str::from_utf8(password).unwrap())
            .collect()
    }

    #[test]
    fn passwords_are_found() {
        for (text, wanted) in [
            ("postgres://user:hunter2!@db:5432/x", "hunter2!"),
            ("A=1\nURL=\"amqp://u:a:b@mq/\"", "a:b"),
            ("redis://:hunter2!@cache", "hunter2!"),
            ("mongodb://u:hu@nter@a:1,b:2/x", "hu@nter"),
            ("https://u:hun/ter#2@host/", "hun/ter#2"),
            ("user:hunter2!@tcp(db:3306)/x", "hunter2!"),
        ] {
            assert_eq!(passwords(text), [wanted], "{text}");
        }
    }

    #[test]
    fn addresses_without_have_none() {
        for text in [
            "https://example.com:6443/a@b",
            "git@github.com:a/b",
            "a/b:1@sha256:00",
            "me@example.com",
            "ssh://git@h/x",
            "@",
            "",
        ] {
            assert_eq!(passwords(text), [""; 0], "{text}");
        }
        assert_eq!(of(b"https://token@host/").next(), Some(UserInfo { user: b"token", password: None }));
    }

    #[test]
    fn percent_signs_are_decoded() {
        assert_eq!(percent_decoded(b"a%40%2fb%zz%4"), Some(b"a@/b%zz%4".to_vec()));
        assert_eq!(percent_decoded(b"a%zz"), None);
    }
}
