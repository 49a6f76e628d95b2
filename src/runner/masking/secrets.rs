//! Gathers the texts that must not be shown.

use std::collections::HashSet;

use super::{
    credentials::{self, MIN_CREDENTIAL_BYTES, MIN_WORD_BYTES, Spelled},
    encodings,
    patterns::{MIN_TEXT_BYTES, Patterns},
    shell,
};

/// The shortest value that is masked. Masking `true` or `1234` would make logs unreadable and hide little.
pub(super) const MIN_VALUE_BYTES: usize = MIN_CREDENTIAL_BYTES;

/// The most bytes of all forms of all values. They use the memory of the user's container. A Secret has 1 MiB
/// at most, and its forms 15 to 45 MiB. They have twice as much if every part of it has a credential's name.
pub(super) const MAX_FORMS_BYTES: usize = 64 * 1024 * 1024;

// A value of this length is masked in every form. The shortest form is base64 without the characters shared
// with its neighbours, and has 7 characters.
const _: () = assert!(MIN_VALUE_BYTES >= MIN_TEXT_BYTES && MIN_WORD_BYTES >= MIN_TEXT_BYTES);

/// Gathers secret values as they are read.
#[derive(Debug, Default)]
pub(in crate::runner) struct Secrets {
    forms: HashSet<Vec<u8>>,
    forms_bytes: usize,
    values_bytes: usize,
    unmasked: Vec<String>,
}

/// The secret values are too long to be masked.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the secret values have {values_bytes} bytes together, too much to mask: with all their encodings they may have \
     {MAX_FORMS_BYTES} bytes; take only what the script needs (spec.variables and spec.variablesFrom), or put long \
     values that are not secret into a ConfigMap"
)]
pub(in crate::runner) struct TooLong {
    values_bytes: usize,
}

impl Secrets {
    /// Adds the value of the variable `name`.
    pub(in crate::runner) fn add(&mut self, name: &str, value: &[u8]) {
        // Files often end in a newline that is not meant as part of the value. A shell drops blanks at both
        // ends of a value without quotes.
        let value = value.trim_ascii();
        if value.is_empty() {
            return;
        }
        if Self::is_too_short(value) {
            if !self.unmasked.iter().any(|known| known == name) {
                self.unmasked.push(name.to_owned());
            }
            return;
        }
        self.values_bytes += value.len();
        credentials::of(value, &mut |part, spelled| self.add_part(part, spelled));
    }

    fn add_part(&mut self, part: &[u8], spelled: Spelled) {
        if part.len() < MIN_VALUE_BYTES {
            return;
        }
        self.add_form(part.to_vec());
        if spelled == Spelled::Plainly {
            return;
        }
        let quoted = shell::spellings(part).chain(encodings::json(part));
        quoted.for_each(|form| self.add_form(form));
        if spelled == Spelled::Quoted {
            return;
        }
        let encoded = encodings::base64(part)
            .chain(encodings::base64_lines(part))
            .chain(encodings::hex(part))
            .chain(encodings::url(part));
        encoded.for_each(|form| self.add_form(form));
    }

    fn add_form(&mut self, form: Vec<u8>) {
        // Above the bound nothing runs, so no form is needed.
        if self.forms_bytes <= MAX_FORMS_BYTES {
            let len = form.len();
            if self.forms.insert(form) {
                self.forms_bytes += len;
            }
        }
    }

    /// Whether this value is too short to be masked. An empty one hides nothing.
    pub(in crate::runner) fn is_too_short(value: &[u8]) -> bool {
        (1..MIN_VALUE_BYTES).contains(&value.trim_ascii().len())
    }

    /// The variables whose values are too short to be masked.
    pub(in crate::runner) fn unmasked(&self) -> &[String] {
        &self.unmasked
    }

    /// Takes all forms of all values.
    ///
    /// # Errors
    /// Where they have too many bytes.
    pub(super) fn take_forms(&mut self) -> Result<HashSet<Vec<u8>>, TooLong> {
        if self.forms_bytes > MAX_FORMS_BYTES {
            return Err(TooLong { values_bytes: self.values_bytes });
        }
        Ok(std::mem::take(&mut self.forms))
    }

    /// Takes the same as patterns.
    ///
    /// # Errors
    /// Where they have too many bytes.
    pub(in crate::runner) fn take_patterns(&mut self) -> Result<Patterns, TooLong> {
        Ok(Patterns::new(self.take_forms()?))
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use proptest::prelude::*;

    use super::{super::mask::Masker, *};

    const KUBECONFIG: &str = "apiVersion: v1\nkind: Config\nclusters:\n- name: prod\n  cluster:\n    \
        server: https://api.example.com:6443\nusers:\n- name: ci\n  user:\n    token: 0123456789abcdefXYZ\n";

    fn secrets(values: &[&str]) -> Secrets {
        let mut secrets = Secrets::default();
        for value in values {
            secrets.add("NAME", value.as_bytes());
        }
        secrets
    }

    fn mask(secret: &str, text: &str) -> String {
        secrets(&[secret]).take_patterns().unwrap().mask_str(text)
    }

    #[test]
    fn a_trailing_newline_is_no_part_of_the_secret() {
        assert_eq!(mask("hunter2!\r\n\n", "a hunter2! b"), "a *** b");
    }

    #[test]
    fn short_values_are_named_once_and_empty_ones_not_at_all() {
        let secrets = secrets(&["12345", "\n", "", "54321\n"]);
        assert!(secrets.forms.is_empty());
        assert_eq!(secrets.unmasked(), ["NAME"]);
    }

    #[test]
    fn lines_of_a_kubeconfig_stay_legible_and_its_token_does_not() {
        let text = "apiVersion: v1\nkind: Config\n    token: 0123456789abcdefXYZ\n- name: prod\n";
        assert_eq!(mask(KUBECONFIG, text), "apiVersion: v1\nkind: Config\n    token: ***\n- name: prod\n");
        assert_eq!(mask(KUBECONFIG, &format!("x {KUBECONFIG}")), "x ***\n");
    }

    #[test]
    fn one_line_is_secret_as_a_whole() {
        assert_eq!(mask("a passphrase 0123456789abcdef", "0123456789abcdef"), "0123456789abcdef");
    }

    #[test]
    fn base64_in_lines_is_masked() {
        let value = "0123456789".repeat(10);
        let whole = String::from_utf8(encodings::base64(value.as_bytes()).next().unwrap()).unwrap();
        for width in [64, 76] {
            let text = format!("{}\n{}==\nend", &whole[..width], &whole[width..]);
            assert_eq!(mask(&value, &text), "***\n***==\nend");
        }
    }

    #[test]
    fn no_form_of_a_value_that_is_masked_is_left_out() {
        for value in ["abcdef", "\u{1f600}\u{1f600}", "%%%%%%", "\"\"\"\"\"\""] {
            let forms = secrets(&[value]).take_forms().unwrap();
            assert!(forms.iter().all(|form| form.len() > MIN_VALUE_BYTES || form == value.as_bytes()));
        }
    }

    #[test]
    fn too_much_is_refused_and_not_kept() {
        let mut secrets = Secrets::default();
        for letter in b'a'..=b'e' {
            secrets.add("LONG", &vec![letter; 2 * 1024 * 1024]);
        }
        assert!(secrets.forms_bytes < MAX_FORMS_BYTES + 8 * 1024 * 1024);
        let error = secrets.take_patterns().unwrap_err();
        assert_eq!(error, TooLong { values_bytes: 10 * 1024 * 1024 });
        assert!(error.to_string().contains("10485760 bytes together"));
    }

    /// Encodes like other programs, only for these tests.
    fn plain_base64(bytes: &[u8], url: bool) -> String {
        let bits = bytes.iter().fold(String::new(), |bits, byte| bits + &format!("{byte:08b}"));
        let mut out = String::new();
        for start in (0..bits.len()).step_by(6) {
            let six = format!("{:0<6}", &bits[start..bits.len().min(start + 6)]);
            out.push(match u8::from_str_radix(&six, 2).unwrap() {
                n @ 0..26 => char::from(b'A' + n),
                n @ 26..52 => char::from(b'a' + n - 26),
                n @ 52..62 => char::from(b'0' + n - 52),
                62 => {
                    if url {
                        '-'
                    } else {
                        '+'
                    }
                }
                _ => {
                    if url {
                        '_'
                    } else {
                        '/'
                    }
                }
            });
        }
        out
    }

    fn plain_url(bytes: &[u8]) -> String {
        bytes.iter().fold(String::new(), |mut out, &byte| {
            if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
                out.push(char::from(byte));
            } else {
                write!(out, "%{byte:02X}").unwrap();
            }
            out
        })
    }

    fn plain_shell(bytes: &[u8], quote: &str, escaped: impl Fn(u8) -> bool) -> Vec<u8> {
        bytes.iter().fold(vec![], |mut out, &byte| {
            match byte {
                b'\'' => out.extend_from_slice(quote.as_bytes()),
                _ if escaped(byte) => out.extend([b'\\', byte]),
                _ => out.push(byte),
            }
            out
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]
        #[test]
        fn whatever_the_encoding_and_the_cut_nothing_leaks(
            secret in proptest::collection::vec(any::<u8>(), 8..80),
            text in "[!-~ \n\u{e9}\u{1f600}]{8,60}",
            before in proptest::collection::vec(any::<u8>(), 0..7),
            behind in proptest::collection::vec(any::<u8>(), 0..7),
            size in 1usize..40,
        ) {
            for secret in [secret.as_slice(), text.as_bytes()] {
                let secret = secret.trim_ascii();
                prop_assume!(secret.len() >= MIN_VALUE_BYTES);
                let around = [before.as_slice(), secret, behind.as_slice()].concat();
                let hex = crate::record::hex(secret);
                let json = str::from_utf8(secret).map(|text| serde_json::to_string(text).unwrap());
                let mut shown = vec![
                    (secret.to_vec(), 0),
                    (plain_base64(&around, false).into_bytes(), 4),
                    (plain_base64(&around, true).into_bytes(), 4),
                    (plain_url(secret).into_bytes(), 0),
                    (hex.to_uppercase().into_bytes(), 0),
                    (hex.into_bytes(), 0),
                    (plain_shell(secret, "'\\''", |_| false), 0),
                    (plain_shell(secret, "'\"'\"'", |_| false), 0),
                    (plain_shell(secret, "'", |byte| b"$`\"\\".contains(&byte)), 0),
                ];
                shown.extend(json.map(|json| (json.as_bytes()[1..json.len() - 1].to_vec(), 0)));
                let mut secrets = Secrets::default();
                secrets.add("NAME", secret);
                let patterns = secrets.take_patterns().unwrap();
                for (encoded, edge) in shown {
                    let stream = [b"<<", encoded.as_slice(), b">>\nkind: Config\n"].concat();
                    let mut masker = Masker::new(patterns.clone());
                    let mut out = vec![];
                    for piece in stream.chunks(size) {
                        out.extend_from_slice(masker.push(piece));
                    }
                    out.extend_from_slice(masker.finish());
                    prop_assert!(out.ends_with(b">>\nkind: Config\n"));
                    // An outer quote stays if the secret ends in one.
                    let edge = if secret.starts_with(b"'") || secret.ends_with(b"'") { edge.max(2) } else { edge };
                    prop_assert!(out.windows(3).any(|window| window == b"***"));
                    // Base64 of the neighbours stays, with the characters shared with them.
                    let rest = out.len() - b"<<***>>\nkind: Config\n".len();
                    let neighbours = if edge == 0 { 0 } else { (before.len() + behind.len()) * 4 / 3 + edge };
                    prop_assert!(rest <= neighbours, "{}", String::from_utf8_lossy(&out));
                }
            }
        }
    }
}
