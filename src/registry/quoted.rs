//! Texts of others, quoted for a message.

/// Puts a text into quotes, and escapes the characters that people could not see or would take for the quote.
pub(super) fn quoted(text: &str) -> String {
    format!("{text:?}")
}
