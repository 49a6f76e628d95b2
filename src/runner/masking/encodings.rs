//! How common tools spell a text.
//!
//! Each function returns every spelling it knows. Some may be equal.

use std::fmt::Write;

const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const URL_SAFE: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const LOWER: &[u8; 16] = b"0123456789abcdef";
const UPPER: &[u8; 16] = b"0123456789ABCDEF";

/// After how many characters common tools break the lines of base64: `openssl` and PEM files, then `base64`.
const LINE_WIDTHS: [usize; 2] = [64, 76];
/// The shortest last line that is masked. Shorter ones occur in innocent text.
const MIN_LAST_LINE: usize = 8;

/// Returns the value in base64, for each of the three offsets at which it may begin within a longer text.
pub(super) fn base64(value: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    [STANDARD, URL_SAFE]
        .into_iter()
        .flat_map(move |alphabet| (0..3).map(move |before| base64_inner(value, before, alphabet)))
}

/// Returns the lines of base64 into which tools break a value that is encoded alone. Returns none if it fits
/// one line.
pub(super) fn base64_lines(value: &[u8]) -> Vec<Vec<u8>> {
    let whole = base64_inner(value, 0, STANDARD);
    LINE_WIDTHS
        .into_iter()
        .filter(|&width| whole.len() > width)
        .flat_map(|width| whole.chunks(width))
        .filter(|line| line.len() >= MIN_LAST_LINE)
        .map(<[u8]>::to_vec)
        .collect()
}

/// Returns the characters that do not depend on the text around the value. `before` is the number of bytes in
/// front of the value, modulo 3 (0 to 2).
fn base64_inner(value: &[u8], before: usize, alphabet: &[u8; 64]) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len() / 3 * 4 + 4);
    // This many first bits share a character with the byte in front.
    let mut skip = [0, 4, 2][before];
    let mut bits = 0u32;
    let mut count = 0;
    for &byte in value {
        bits = (bits << 8) | u32::from(byte);
        count += 8 - skip;
        skip = 0;
        while count >= 6 {
            count -= 6;
            out.push(alphabet[(bits >> count) as usize & 63]);
        }
    }
    // The last bits share a character with the byte behind the value.
    out
}

/// Returns the value in hexadecimal digits.
pub(super) fn hex(value: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    [LOWER, UPPER].into_iter().map(move |digits| {
        value
            .iter()
            .flat_map(|&byte| [digits[usize::from(byte >> 4)], digits[usize::from(byte & 15)]])
            .collect()
    })
}

/// The characters that stay as they are, besides letters and digits. The flag says whether a blank becomes
/// `+`.
const URL: [(&[u8], bool); 5] = [
    // RFC 3986; jq's @uri, curl.
    (b"-_.~", false),
    // Go's QueryEscape, Python's quote_plus.
    (b"-_.~", true),
    // Python's quote.
    (b"-_.~/", false),
    // JavaScript's encodeURIComponent.
    (b"-_.~!'()*", false),
    // Forms as browsers and Java write them.
    (b"-_.*", true),
];

/// Returns the value in percent-encoding.
pub(super) fn url(value: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    URL.into_iter().flat_map(move |(kept, plus)| {
        [UPPER, LOWER].into_iter().map(move |digits| {
            let mut out = Vec::with_capacity(value.len());
            for &byte in value {
                if byte.is_ascii_alphanumeric() || kept.contains(&byte) {
                    out.push(byte);
                } else if byte == b' ' && plus {
                    out.push(b'+');
                } else {
                    out.extend([b'%', digits[usize::from(byte >> 4)], digits[usize::from(byte & 15)]]);
                }
            }
            out
        })
    })
}

/// The characters that a JSON encoder escapes, though it need not.
#[derive(Debug, Clone, Copy)]
struct Json {
    slash: bool,
    ascii: bool,
    html: bool,
}

/// Returns the value as the inner part of a JSON string. A value that is not UTF-8 has none.
pub(super) fn json(value: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    let encoders = [
        (false, false, false),
        (true, false, false),
        (false, true, false),
        (true, true, false),
        (
            // Go.
            false, false, true,
        ),
    ];
    let text = str::from_utf8(value).ok();
    text.into_iter().flat_map(move |text| {
        encoders.into_iter().flat_map(move |(slash, ascii, html)| {
            [false, true].into_iter().map(move |upper| json_as(text, Json { slash, ascii, html }, upper))
        })
    })
}

fn json_as(text: &str, encoder: Json, upper: bool) -> Vec<u8> {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '/' if encoder.slash => out.push_str("\\/"),
            _ if character < ' '
                || (encoder.ascii && character > '~')
                || (encoder.html && matches!(character, '<' | '>' | '&' | '\u{2028}' | '\u{2029}')) =>
            {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    // Writing to a String cannot fail.
                    let _ = if upper { write!(out, "\\u{unit:04X}") } else { write!(out, "\\u{unit:04x}") };
                }
            }
            _ => out.push(character),
        }
    }
    out.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(forms: impl Iterator<Item = Vec<u8>>) -> Vec<String> {
        let mut texts: Vec<String> = forms.map(|form| String::from_utf8(form).unwrap()).collect();
        texts.sort_unstable();
        texts.dedup();
        texts
    }

    #[test]
    fn base64_has_what_does_not_depend_on_the_neighbours() {
        // "hunter2!", "xhunter2!x" and "xxhunter2!xx" are aHVudGVyMiE=, eGh1bnRlcjIheA== and
        // eHhodW50ZXIyIXh4.
        assert_eq!(texts(base64(b"hunter2!")), ["aHVudGVyMi", "h1bnRlcjIh", "odW50ZXIyI"]);
    }

    #[test]
    fn base64_has_both_alphabets() {
        let forms = texts(base64(b"\xfb\xff\xfe\xfb\xff\xfe"));
        assert!(forms.contains(&"+//++//+".to_owned()) && forms.contains(&"-__--__-".to_owned()));
    }

    #[test]
    fn base64_has_the_lines_that_tools_break_it_into() {
        assert_eq!(base64_lines(&[0; 48]), [b""; 0]);
        let forms = texts(base64_lines(&[0; 60]).into_iter());
        // A last line of 4 is too short.
        assert_eq!(forms, [16, 64, 76].map(|width| "A".repeat(width)));
    }

    #[test]
    fn hex_has_both_cases() {
        assert_eq!(texts(hex(b"\x00\xab")), ["00AB", "00ab"]);
    }

    #[test]
    fn percent_encoding_differs_from_tool_to_tool() {
        assert_eq!(
            texts(url(b"a b/\xff~*")),
            [
                "a%20b%2F%FF~%2A",
                "a%20b%2F%FF~*",
                "a%20b%2f%ff~%2a",
                "a%20b%2f%ff~*",
                "a%20b/%FF~%2A",
                "a%20b/%ff~%2a",
                "a+b%2F%FF%7E*",
                "a+b%2F%FF~%2A",
                "a+b%2f%ff%7e*",
                "a+b%2f%ff~%2a",
            ]
        );
        assert_eq!(texts(url(b"plain-_.")), ["plain-_."]);
    }

    #[test]
    fn json_differs_from_encoder_to_encoder() {
        let forms = texts(json("\"\\\n/<\u{1f}\u{e9}\u{1f600}".as_bytes()));
        for wanted in [
            "\\\"\\\\\\n/<\\u001f\u{e9}\u{1f600}",
            "\\\"\\\\\\n\\/<\\u001F\u{e9}\u{1f600}",
            "\\\"\\\\\\n/<\\u001f\\u00e9\\ud83d\\ude00",
            "\\\"\\\\\\n\\/<\\u001F\\u00E9\\uD83D\\uDE00",
            "\\\"\\\\\\n/\\u003c\\u001f\u{e9}\u{1f600}",
        ] {
            assert!(forms.iter().any(|form| form == wanted), "{wanted}: {forms:?}");
        }
        assert_eq!(texts(json(b"plain")), ["plain"]);
        assert_eq!(texts(json(b"\xff")), [""; 0]);
    }
}
