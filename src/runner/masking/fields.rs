//! Finds names and their values in a text of any format: `.env`, ini, YAML, JSON, XML, connection strings.

use std::borrow::Cow;

use super::shell;

/// Words that name a credential wherever they occur in a name.
const PARTS_OF_NAMES: [&[u8]; 9] =
    [b"passw", b"passphrase", b"pwd", b"secret", b"token", b"key", b"credential", b"bearer", b"cookie"];
/// Words that name a credential only as a whole word of the name.
const WORDS_OF_NAMES: [&[u8]; 9] =
    [b"pass", b"pw", b"pin", b"pat", b"psk", b"jwt", b"otp", b"creds", b"salt"];
/// Words in front of a token in a header.
const SCHEMES: [&[u8]; 4] = [b"bearer ", b"basic ", b"token ", b"apikey "];
/// A value inside a line is at most this long. Following every field of a long line to its end would take
/// unbounded time.
const MAX_INNER_BYTES: usize = 512;

/// A name, and the text behind it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Field<'a> {
    pub(super) name: &'a [u8],
    /// Whether the name is at a place where formats put names.
    pub(super) leads: bool,
    /// Whether it is the first field of its line.
    first: bool,
    separator: u8,
    /// The text up to the end of the line.
    rest: &'a [u8],
}

/// Finds the fields of one line.
pub(super) fn of_line(line: &[u8]) -> impl Iterator<Item = Field<'_>> {
    let mut first = true;
    line.iter().enumerate().filter_map(move |(at, &separator)| {
        let rest = &line[at + 1..];
        // The scheme of an address is no field.
        if !matches!(separator, b'=' | b':' | b'>') || (separator == b':' && rest.starts_with(b"//")) {
            return None;
        }
        let mut before = line[..at].trim_ascii_end();
        if separator != b':' {
            // `:=`, `=>`.
            before = before.strip_suffix(b":").or(before.strip_suffix(b"=")).unwrap_or(before);
        }
        let arrow = separator == b'>' && before.len() < line[..at].trim_ascii_end().len();
        let before = before.trim_ascii_end();
        let before = before.strip_suffix(b"]").unwrap_or(before);
        let unquoted = before.strip_suffix(b"\"").or(before.strip_suffix(b"'"));
        let quoted = unquoted.is_some();
        let before = unquoted.unwrap_or(before);
        let start = before.iter().rposition(|&byte| !is_of_name(byte)).map_or(0, |last| last + 1);
        let (in_front, name) = before.split_at(start);
        if name.is_empty() || (separator == b'>' && !arrow && !in_front.ends_with(b"<")) {
            return None;
        }
        let leads = (first && begins_line(in_front)) || (quoted && in_object(in_front));
        Some(Field { name, leads, first: std::mem::take(&mut first), separator, rest: rest.trim_ascii() })
    })
}

fn is_of_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.')
}

fn begins_line(in_front: &[u8]) -> bool {
    let in_front = in_front.trim_ascii();
    in_front.iter().all(|byte| b"\"'-{[(<, ".contains(byte))
        || matches!(in_front, b"export" | b"set" | b"declare -x")
}

fn in_object(in_front: &[u8]) -> bool {
    let in_front = in_front.strip_suffix(b"\"").unwrap_or(in_front).trim_ascii_end();
    in_front.is_empty() || in_front.ends_with(b"{") || in_front.ends_with(b",")
}

impl<'a> Field<'a> {
    /// Returns the possible values, as written and as programs read them.
    pub(super) fn values(&self) -> Vec<Cow<'a, [u8]>> {
        let rest = self.rest;
        let mut values: Vec<Cow<'a, [u8]>> = vec![];
        let Some(&quote) = rest.first() else { return values };
        if self.separator == b'>' && self.rest.contains(&b'<') {
            values.push(until(rest, b"<").into());
            return values;
        }
        if matches!(quote, b'"' | b'\'')
            && let Some(end) = end_of_quoted(rest)
        {
            let inner = &rest[1..end];
            let decoded =
                (quote == b'"').then(|| serde_json::from_slice::<String>(&rest[..=end]).ok()).flatten();
            // If JSON can decode it, the raw spelling is one of the value's spellings anyway.
            let raw = decoded.is_none().then_some(inner);
            values.extend(raw.map(Cow::from));
            values.extend(decoded.map(|text| text.into_bytes().into()));
            if self.separator == b'=' {
                // Inside a line every value must stay short.
                let end = if self.first { rest.len() } else { end + 1 };
                values.push(shell::first_word(&rest[..end]).into());
            }
            if quote == b'\'' && inner.windows(2).any(|pair| pair == b"''") {
                values.push(undoubled(inner).into());
            }
            return values;
        }
        if self.first {
            let whole = rest.strip_suffix(b",").unwrap_or(rest);
            values.push(whole.into());
            let comment = whole.windows(2).position(|pair| matches!(pair, b" #" | b"\t#"));
            let whole = &whole[..comment.unwrap_or(whole.len())];
            values.push(whole.trim_ascii_end().into());
            if let Some(len) = SCHEMES.iter().map(|scheme| scheme.len()).find(|&len| {
                whole
                    .get(..len)
                    .is_some_and(|start| SCHEMES.iter().any(|scheme| start.eq_ignore_ascii_case(scheme)))
            }) {
                values.push(whole[len..].trim_ascii().into());
                return values;
            }
        }
        let rest = &rest[..rest.len().min(MAX_INNER_BYTES + 1)];
        let ends: &[&[u8]] = if self.separator == b'=' {
            &[b" \t", b";", b"&", b" \t,;&}])\"'"]
        } else {
            &[b";", b",}])", b",;}])\"'"]
        };
        let inner = ends.iter().map(|ends| until(rest, ends).trim_ascii_end());
        values.extend(inner.filter(|inner| inner.len() <= MAX_INNER_BYTES).map(Cow::from));
        if self.separator == b'=' && rest.contains(&b'\\') {
            values.push(shell::first_word(rest).into());
        }
        values
    }

    /// Whether a YAML block follows that holds the value.
    pub(super) fn opens_block(&self) -> bool {
        self.first
            && self.separator == b':'
            && matches!(self.rest, [b'|' | b'>'] | [b'|' | b'>', b'-' | b'+' | b'1'..=b'9'])
    }

    /// Whether the name says that its value is a credential.
    pub(super) fn is_credential(&self) -> bool {
        names_credential(self.name)
    }
}

fn until<'a>(text: &'a [u8], ends: &[u8]) -> &'a [u8] {
    &text[..text.iter().position(|byte| ends.contains(byte)).unwrap_or(text.len())]
}

/// Finds the end of the quote that opens `text`.
fn end_of_quoted(text: &[u8]) -> Option<usize> {
    let quote = *text.first()?;
    let mut at = 1;
    while at < text.len() {
        if text[at] == b'\\' && quote == b'"' || (text[at..].starts_with(b"''") && quote == b'\'') {
            at += 2;
        } else if text[at] == quote {
            return Some(at);
        } else {
            at += 1;
        }
    }
    None
}

/// Reads doubled single quotes, as YAML does.
fn undoubled(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.iter().peekable();
    while let Some(&byte) = bytes.next() {
        if byte == b'\'' {
            bytes.next_if(|&&next| next == b'\'');
        }
        out.push(byte);
    }
    out
}

/// Whether a value with this name is a credential.
pub(super) fn names_credential(name: &[u8]) -> bool {
    // `smtpPass` has two words, like `SMTP_PASS`.
    let mut words = name.split(|byte| !byte.is_ascii_alphanumeric()).flat_map(|word| {
        word.chunk_by(|byte, next| !(byte.is_ascii_lowercase() && next.is_ascii_uppercase()))
    });
    if words.any(|word| WORDS_OF_NAMES.iter().any(|known| known.eq_ignore_ascii_case(word))) {
        return true;
    }
    let name = name.to_ascii_lowercase();
    let has = |part: &[u8]| name.windows(part.len()).any(|window| window == part);
    PARTS_OF_NAMES.into_iter().any(has)
        // `auth`, but neither `author` nor `authority`.
        || has(b"authoriz")
        || name.windows(4).enumerate().any(|(at, window)| window == b"auth" && !name[at + 4..].starts_with(b"or"))
}

/// Whether a name is made of words, such as `client-certificate-data`. Random characters are a token, even at
/// the place of a name.
pub(super) fn is_of_words(name: &[u8]) -> bool {
    name.first().is_some_and(u8::is_ascii_alphabetic) && name.split(|byte| b"_-.".contains(byte)).all(is_word)
}

/// A word is in lower case, upper case or `camelCase`, with few digits behind it: `x509`.
fn is_word(word: &[u8]) -> bool {
    const MAX_LETTERS: usize = 20;
    let letters = word.iter().position(|byte| !byte.is_ascii_alphabetic()).unwrap_or(word.len());
    let (word, digits) = word.split_at(letters);
    if word.is_empty() || digits.len() > 4 || !digits.iter().all(u8::is_ascii_digit) {
        return false;
    }
    if word.iter().all(u8::is_ascii_uppercase) {
        return word.len() <= MAX_LETTERS;
    }
    let mut humps = word.chunk_by(|_, next| next.is_ascii_lowercase());
    let one = word.iter().all(u8::is_ascii_lowercase);
    humps.all(|hump| (one || hump.len() >= 3) && hump.len() <= MAX_LETTERS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(line: &str, name: &str) -> Vec<String> {
        of_line(line.as_bytes())
            .filter(|field| field.name == name.as_bytes())
            .flat_map(|field| field.values())
            .map(|value| String::from_utf8(value.into_owned()).unwrap())
            .collect()
    }

    #[test]
    fn a_value_is_found_in_any_format() {
        for (line, name, wanted) in [
            ("PASSWORD=hunter2!", "PASSWORD", "hunter2!"),
            ("export PASSWORD='it'\\''s mine' # x", "PASSWORD", "it's mine"),
            ("PASSWORD=\"a\\\"b\\$c\"", "PASSWORD", "a\"b$c"),
            ("  password: hunter2! # rotated", "password", "hunter2!"),
            ("  password: 'it''s'", "password", "it's"),
            ("- {user: a, password: hunter2!}", "password", "hunter2!"),
            ("{\"a\": 1, \"password\":\"a\\u0062\"}", "password", "ab"),
            ("password = hunter 2!", "password", "hunter 2!"),
            ("Server=db;Password=my pass;Timeout=3", "Password", "my pass"),
            ("host=db password=hunter2! dbname=x", "password", "hunter2!"),
            ("jdbc:postgresql://db/x?user=a&password=hunter2!&ssl=true", "password", "hunter2!"),
            ("  <password>a{b}c</password>", "password", "a{b}c"),
            ("$c['password'] => 'hunter2!',", "password", "hunter2!"),
            ("Authorization: Bearer abc.def", "Authorization", "abc.def"),
            ("a=b password=x", "a", "b"),
        ] {
            let values = values(line, name);
            assert!(values.iter().any(|value| value == wanted), "{line}: {values:?}");
        }
        assert_eq!(of_line(b"https://example.com/a-b").count(), 0);
    }

    #[test]
    fn a_block_is_seen() {
        for (line, wanted) in [("a: |", true), ("- a: >-", true), ("a: |x", false), ("a=|", false)] {
            assert_eq!(of_line(line.as_bytes()).any(|field| field.opens_block()), wanted, "{line}");
        }
    }

    #[test]
    fn names_say_what_is_a_credential() {
        for name in [
            "DB_PASSWORD",
            "dbPwd",
            "apiKey",
            "token",
            "X-Auth",
            "authorization",
            "SMTP_PASS",
            "smtpPass",
            "client_secret",
        ] {
            assert!(names_credential(name.as_bytes()), "{name}");
        }
        for name in ["author", "authority", "user", "passenger", "spin", "host", "", "apiVersion"] {
            assert!(!names_credential(name.as_bytes()), "{name}");
        }
    }

    #[test]
    fn names_are_told_from_tokens() {
        for name in
            ["client-certificate-data", "client_x509_cert_url", "clientCertificateData", "LOG_LEVEL_DEFAULT"]
        {
            assert!(is_of_words(name.as_bytes()), "{name}");
        }
        for name in [
            "0123456789abcdefXYZ",
            "hunter2hunter2hunter2",
            "aGVsbG8gd29ybGQhISE",
            "kJmNqRsTvWxYzAbCd",
            "a--b",
            "",
        ] {
            assert!(!is_of_words(name.as_bytes()), "{name}");
        }
    }

    #[test]
    fn names_stand_where_formats_have_them() {
        let leading = |line: &str| -> Vec<String> {
            of_line(line.as_bytes())
                .filter(|field| field.leads)
                .map(|field| String::from_utf8_lossy(field.name).into_owned())
                .collect()
        };
        assert_eq!(leading("  - name: x"), ["name"]);
        assert_eq!(leading("export A=b:c"), ["A"]);
        assert_eq!(leading("{\"a\": \"b:c\", \"d\":{\"e\" : 1}}"), ["a", "d", "e"]);
        assert_eq!(leading("see there: x"), [""; 0]);
    }
}
