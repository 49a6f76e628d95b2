//! Which lines are wanted, and in which form.

use jiff::Timestamp;

/// How the lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Shape {
    /// Text or JSON.
    pub format: Format,
    /// Whether each line begins with its time.
    pub timestamps: bool,
    /// What lines of standard error begin with, in text.
    pub stderr_mark: &'static str,
}

/// The form of the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// The bytes that the script wrote.
    #[default]
    Text,
    /// A JSON object for each frame.
    JsonLines,
}

/// Which lines are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Selection {
    /// Only the last ones.
    pub tail_lines: Option<usize>,
    /// Only those that were written at this time or later.
    pub since: Option<Timestamp>,
}
