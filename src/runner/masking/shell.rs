//! How shells spell a value so that they can read it again (`set -x`, `declare -p`, `export -p`, `printf
//! %q`), and how they read it.

type Spelling = fn(&[u8]) -> Vec<u8>;

/// Whether no shell quotes this byte.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_-./+:@%".contains(&byte)
}

/// Returns every spelling that may differ from the value, without the quotes around it. Returns none if
/// shells do not change the value.
pub(super) fn spellings(value: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    const OF_ALL: [Spelling; 4] =
        [double_quoted, backslashed, |value| dollar_quoted(value, true), |value| dollar_quoted(value, false)];
    // bash, zsh; Python's shlex.quote; dash, busybox; YAML and SQL.
    const OF_QUOTES: [Spelling; 4] = [
        |value| with_quotes_as(value, b"'\\''"),
        |value| with_quotes_as(value, b"'\"'\"'"),
        quoted_in_runs,
        |value| with_quotes_as(value, b"''"),
    ];
    let of_all: &[_] = if value.iter().all(|&byte| is_plain(byte)) { &[] } else { &OF_ALL };
    let of_quotes: &[_] = if value.contains(&b'\'') { &OF_QUOTES } else { &[] };
    // Made one at a time, since a value may have a mebibyte.
    of_all.iter().chain(of_quotes).map(move |spelling| spelling(value))
}

fn with_quotes_as(value: &[u8], quote: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len() + 16);
    for &byte in value {
        if byte == b'\'' {
            out.extend_from_slice(quote);
        } else {
            out.push(byte);
        }
    }
    without_outer(value, &out)
}

/// Puts each run of single quotes into double quotes.
fn quoted_in_runs(value: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len() + 16);
    let mut in_run = false;
    for &byte in value {
        if (byte == b'\'') != in_run {
            out.extend_from_slice(if in_run { b"\"'" } else { b"'\"" });
            in_run = !in_run;
        }
        out.push(byte);
    }
    if in_run {
        out.extend_from_slice(b"\"'");
    }
    without_outer(value, &out)
}

/// Removes the outer quotes: shells differ in whether an empty rest follows a quote at the end of the value.
fn without_outer(value: &[u8], spelled: &[u8]) -> Vec<u8> {
    let mut inner = spelled;
    if value.starts_with(b"'") {
        inner = inner.strip_prefix(b"'").unwrap_or(inner);
    }
    if value.ends_with(b"'") {
        inner = inner.strip_suffix(b"'").unwrap_or(inner);
    }
    inner.to_vec()
}

fn double_quoted(value: &[u8]) -> Vec<u8> {
    escaped(value, |byte| b"\"$`\\".contains(&byte))
}

/// Escapes as bash's `printf %q` does, if all characters are printable.
fn backslashed(value: &[u8]) -> Vec<u8> {
    let mut before = 0;
    escaped(value, |byte| {
        // Bash would read a home folder here.
        let home = byte == b'~' && matches!(before, b':' | b'=');
        before = byte;
        home || b" !\"$&'()*,;<>?[\\]^`{|}".contains(&byte)
    })
}

fn escaped(value: &[u8], mut special: impl FnMut(u8) -> bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len() + 16);
    for &byte in value {
        if special(byte) {
            out.push(b'\\');
        }
        out.push(byte);
    }
    out
}

/// Spells the inner part of `$'...'`, as bash writes unprintable characters. Characters beyond ASCII are
/// unprintable in some locales.
fn dollar_quoted(value: &[u8], ascii: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len() + 16);
    for &byte in value {
        let letter = match byte {
            b'\\' | b'\'' => byte,
            0x07 => b'a',
            0x08 => b'b',
            b'\t' => b't',
            b'\n' => b'n',
            0x0b => b'v',
            0x0c => b'f',
            b'\r' => b'r',
            0x1b => b'E',
            _ if byte < b' ' || byte == 0x7f || (ascii && !byte.is_ascii()) => {
                out.extend([b'\\', b'0' + (byte >> 6), b'0' + ((byte >> 3) & 7), b'0' + (byte & 7)]);
                continue;
            }
            _ => {
                out.push(byte);
                continue;
            }
        };
        out.extend([b'\\', letter]);
    }
    out
}

/// Reads the first word of `text` as a shell does, without expansions.
pub(super) fn first_word(text: &[u8]) -> Vec<u8> {
    let mut out = vec![];
    let mut quote = None;
    let mut bytes = text.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        match (quote, byte) {
            (None, b' ' | b'\t' | b'\n' | b'\r' | b';' | b'&') => break,
            (None, b'\'' | b'"') => quote = Some(byte),
            (Some(open), _) if byte == open => quote = None,
            (None, b'\\') => out.extend(bytes.next()),
            (Some(b'"'), b'\\') => {
                // Before any other character a backslash means itself.
                if !bytes.peek().is_some_and(|next| b"\"$`\\".contains(next)) {
                    out.push(byte);
                }
                out.extend(bytes.next());
            }
            _ => out.push(byte),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spelled(value: &str) -> Vec<String> {
        spellings(value.as_bytes()).map(|form| String::from_utf8(form).unwrap()).collect()
    }

    #[test]
    fn what_needs_no_quotes_has_no_spelling() {
        assert_eq!(spelled("aB3_-./+:@%"), [""; 0]);
    }

    #[test]
    fn quotes_and_dollars_are_spelled_as_shells_do() {
        // Taken from bash 5.2, dash 0.5.12 and Python 3.
        for (value, wanted) in [
            (
                "pa'ss$wo\"rd",
                &[
                    "pa'\\''ss$wo\"rd",
                    "pa\\'ss\\$wo\\\"rd",
                    "pa'ss\\$wo\\\"rd",
                    "pa'\"'\"'ss$wo\"rd",
                    "pa''ss$wo\"rd",
                ][..],
            ),
            ("a b`c\\!:~~", &["a\\ b\\`c\\\\\\!:\\~~", "a b\\`c\\\\!:~~"]),
            ("it''s", &["it'\"''\"'s", "it'\\'''\\''s"]),
            ("a\tb\x1b\x01'\u{e9}", &["a\\tb\\E\\001\\'\\303\\251", "a\\tb\\E\\001\\'\u{e9}"]),
        ] {
            let spelled = spelled(value);
            for wanted in wanted {
                assert!(spelled.iter().any(|form| form == wanted), "{wanted}: {spelled:?}");
            }
        }
    }

    #[test]
    fn a_quote_at_the_end_is_spelled_as_far_as_shells_agree() {
        let spelled = spelled("'ab'");
        // bash: ''\''ab'\''', zsh: \''ab'\', dash: ''"'"'ab'"'".
        for wanted in ["\\''ab'\\'", "\"'\"'ab'\"'\""] {
            assert!(spelled.iter().any(|form| form == wanted), "{wanted}: {spelled:?}");
        }
    }

    #[test]
    fn words_are_read_back() {
        for (text, wanted) in [
            ("'pa'\\''ss$wo\"rd' # x", "pa'ss$wo\"rd"),
            ("\"pa'ss\\$wo\\\"rd\\n\";x", "pa'ss$wo\"rd\\n"),
            ("pa\\'ss\\$wo rd", "pa'ss$wo"),
            ("'a'\"b\"c", "abc"),
            ("'open", "open"),
            ("", ""),
        ] {
            assert_eq!(first_word(text.as_bytes()), wanted.as_bytes(), "{text}");
        }
    }
}
