//! Names that come from an address or a form.

use crate::cli::error::CliError;

/// The longest name of an object, in characters.
const LONGEST: usize = 253;

/// Refuses a text that is no name of an object. Such a text could lead a request to the API server elsewhere.
///
/// # Errors
/// It is no name.
pub(super) fn check(what: &str, name: &str) -> Result<(), CliError> {
    let plain = |letter: u8| matches!(letter, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.');
    if name.bytes().all(plain) && !name.is_empty() && !name.starts_with('.') && name.len() <= LONGEST {
        return Ok(());
    }
    Err(CliError::NotFound(format!(
        "no {what} has the name {name:?}: a name has lower-case letters, digits, '-' and '.'"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_leads_elsewhere_is_no_name() {
        for name in ["deploy", "a.b-c1", "0"] {
            assert!(check("action", name).is_ok(), "{name}");
        }
        for name in ["", ".", "..", "a/b", "../pods", "a?x=1", "a#b", "a%2fb", "A", "a b", "a\n", "ä"] {
            assert!(check("action", name).is_err(), "{name}");
        }
        assert!(check("action", &"a".repeat(254)).is_err());
    }
}
