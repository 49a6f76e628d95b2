//! The values of sensitive outputs, found in the outputs file while the script still writes it.

use super::grammar::{What, entries};
use crate::record::outcome::MAX_OUTPUTS_BYTES;

/// The most values that are looked for.
const MAX_VALUES: usize = 256;
/// The most bytes of them: twice what all outputs may have. Masking takes time, and a script may write again and
/// again.
const MAX_BYTES: usize = 2 * MAX_OUTPUTS_BYTES;

/// Everything in `text` that belongs to an output with one of these names, or may be meant to. That is each value
/// that it ever had there, a block that has no end yet, and lines behind such a value that are no output.
pub(in crate::runner) fn values(text: &[u8], names: &[String]) -> Vec<Vec<u8>> {
    let sensitive = |name: &[u8]| names.iter().any(|known| known.as_bytes() == name);
    let mut values: Vec<Vec<u8>> = vec![];
    // Whether the last value is one of a single line, and more lines may be meant to belong to it.
    let mut open = false;
    let mut left = MAX_BYTES;
    for entry in entries(text) {
        if open
            && matches!(entry.what, What::NoOutput | What::NoDelimiter)
            && let Some(last) = values.last_mut()
        {
            let Some(less) = left.checked_sub(entry.line.len() + 1) else { continue };
            left = less;
            last.push(b'\n');
            last.extend_from_slice(entry.line);
            continue;
        }
        let (name, value, single) = match entry.what {
            What::Line { name, value } => (name, value.to_vec(), true),
            What::Block { name, value } | What::OpenBlock { name, value, .. } => {
                (name, value.join(&b'\n'), false)
            }
            What::NoDelimiter | What::NoOutput => continue,
        };
        open = false;
        if sensitive(name)
            && values.len() < MAX_VALUES
            && let Some(less) = left.checked_sub(value.len())
        {
            left = less;
            values.push(value);
            open = single;
        }
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<String> {
        let names = ["token".to_owned(), "key".to_owned()];
        values(text.as_bytes(), &names).into_iter().map(|value| String::from_utf8(value).unwrap()).collect()
    }

    #[test]
    fn every_value_of_a_sensitive_output_is_found() {
        assert_eq!(
            found("url=x\ntoken=one\ntoken=two\nkey<<E\na\n\nb\nE\nurl=y\r\n"),
            ["one", "two", "a\n\nb"]
        );
        assert_eq!(found("tokens=x\nto=y\n"), [""; 0]);
    }

    #[test]
    fn what_is_half_written_or_written_wrongly_is_found_too() {
        assert_eq!(found("token=ab"), ["ab"]);
        assert_eq!(found("key<<E\na\nb"), ["a\nb"]);
        assert_eq!(found("token={\n  \"a\": 1\n}\nurl=x\nnoise\n"), ["{\n  \"a\": 1\n}"]);
    }

    #[test]
    fn an_endless_list_is_cut() {
        assert_eq!(found(&"token=x\n".repeat(1000)).len(), MAX_VALUES);
        let long = "y".repeat(MAX_BYTES / 2);
        assert_eq!(found(&format!("token={long}\n").repeat(3)).len(), 2);
        let parts = format!("token=x\n{long}\n{long}\n{long}\n");
        assert!(found(&parts).iter().map(String::len).sum::<usize>() <= MAX_BYTES);
    }
}
