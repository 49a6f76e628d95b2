//! Which texts must not be seen.

use super::mask::Patterns;
use aho_corasick::BuildError;

/// Shorter values are not masked: masking `true` or `1234` would make logs unreadable and hide
/// little.
const MIN_VALUE_BYTES: usize = 6;
/// Of a value with several lines, shorter words are not masked by themselves: lines of a kubeconfig
/// such as `apiVersion: v1` must stay legible.
const MIN_WORD_BYTES: usize = 16;

/// Gathers secret values as they are read.
#[derive(Debug, Default)]
pub(super) struct Secrets {
    forms: Vec<Vec<u8>>,
    unmasked: Vec<String>,
}

impl Secrets {
    /// Adds the value of the variable `name`.
    pub(super) fn add(&mut self, name: &str, value: &[u8]) {
        let value = without_trailing_newlines(value);
        if value.is_empty() {
            return;
        }
        if value.len() < MIN_VALUE_BYTES {
            if !self.unmasked.iter().any(|known| known == name) {
                self.unmasked.push(name.to_owned());
            }
            return;
        }
        self.forms.extend(forms(value));
    }

    /// The variables whose values are too short to be masked.
    pub(super) fn unmasked(&self) -> &[String] {
        &self.unmasked
    }

    /// All forms of all values.
    ///
    /// # Errors
    /// Where there are too many for the automaton's 31-bit state numbers.
    pub(super) fn patterns(&self) -> Result<Patterns, BuildError> {
        Patterns::new(&self.forms)
    }
}

/// The texts by which one value may show. The value's encodings (base64, URL, JSON, hex) belong
/// here.
fn forms(value: &[u8]) -> Vec<Vec<u8>> {
    let mut forms = vec![value.to_vec()];
    if value.contains(&b'\n') {
        forms.extend(
            value
                .split(u8::is_ascii_whitespace)
                .filter(|word| word.len() >= MIN_WORD_BYTES)
                .map(<[u8]>::to_vec),
        );
    }
    forms
}

/// Files often end in a newline that nobody counts as a part of the value.
fn without_trailing_newlines(value: &[u8]) -> &[u8] {
    let end = value.iter().rposition(|byte| !matches!(byte, b'\n' | b'\r')).map_or(0, |last| last + 1);
    &value[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets(values: &[&str]) -> Secrets {
        let mut secrets = Secrets::default();
        for value in values {
            secrets.add("NAME", value.as_bytes());
        }
        secrets
    }

    #[test]
    fn a_trailing_newline_is_no_part_of_the_secret() {
        assert_eq!(secrets(&["hunter2!\r\n\n"]).forms, [b"hunter2!".to_vec()]);
    }

    #[test]
    fn short_values_are_named_once_and_empty_ones_not_at_all() {
        let secrets = secrets(&["12345", "\n", "", "54321\n"]);
        assert!(secrets.forms.is_empty());
        assert_eq!(secrets.unmasked(), ["NAME"]);
    }

    #[test]
    fn of_several_lines_the_long_words_are_secret_by_themselves() {
        let value = "apiVersion: v1\ntoken: 0123456789abcdef\nkind: x";
        assert_eq!(secrets(&[value]).forms, [value.as_bytes().to_vec(), b"0123456789abcdef".to_vec()]);
    }

    #[test]
    fn one_line_is_secret_as_a_whole() {
        assert_eq!(secrets(&["a passphrase 0123456789abcdef"]).forms.len(), 1);
    }
}
