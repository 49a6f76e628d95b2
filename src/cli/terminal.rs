//! What the output goes to, and what may be written to it.
//!
//! Texts from the cluster are others' texts. Their control characters could move the cursor or set the title, and
//! so are written as escapes.

use std::{
    borrow::Cow,
    io::{IsTerminal, Write},
};

use anstyle::{AnsiColor, Style};

use super::error::CliError;

/// What the output goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Terminal {
    /// Whether it is a terminal, with somebody who sees it change.
    pub interactive: bool,
    /// Whether it has colours.
    pub colour: bool,
    /// Its width in columns, if it has one.
    pub width: Option<usize>,
}

impl Terminal {
    /// Standard output.
    #[must_use]
    pub fn stdout() -> Self {
        Self::of(std::io::stdout().is_terminal())
    }

    /// Standard error.
    #[must_use]
    pub fn stderr() -> Self {
        Self::of(std::io::stderr().is_terminal())
    }

    fn of(interactive: bool) -> Self {
        let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let width = terminal_size::terminal_size().map(|(width, _)| usize::from(width.0));
        Self {
            interactive,
            colour: interactive && !set("NO_COLOR") && !dumb,
            width: width.filter(|width| interactive && *width > 0),
        }
    }

    /// A text in a style, if there are colours.
    #[must_use]
    pub fn paint(&self, style: Style, text: &str) -> String {
        if self.colour && style != Style::new() { format!("{style}{text}{style:#}") } else { text.to_owned() }
    }
}

/// What went well.
pub const GOOD: Style = AnsiColor::Green.on_default();
/// What failed.
pub const BAD: Style = AnsiColor::Red.on_default();
/// What is under way, or deserves a look.
pub const BUSY: Style = AnsiColor::Yellow.on_default();
/// What matters less.
pub const FAINT: Style = Style::new().dimmed();
/// Titles.
pub const TITLE: Style = Style::new().bold();

/// Whether a terminal would act on a character, or show the text in another order.
fn acts(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn escaped(text: &str, kept: fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(|character| acts(character) && !kept(character)) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        if acts(character) && !kept(character) {
            safe.extend(character.escape_default());
        } else {
            safe.push(character);
        }
    }
    Cow::Owned(safe)
}

/// A text of the cluster in one line. Characters that a terminal acts on are escapes, such as `\n` and `\u{1b}`.
#[must_use]
pub fn line(text: &str) -> Cow<'_, str> {
    escaped(text, |_| false)
}

/// A text of the cluster that may have several lines and tabs.
#[must_use]
pub fn lines(text: &str) -> Cow<'_, str> {
    escaped(text, |character| matches!(character, '\n' | '\t'))
}

/// Writes to standard output at once.
///
/// # Errors
/// It cannot be written. [`CliError::Closed`] if nobody reads it any more.
pub fn print(text: &str) -> Result<(), CliError> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()?;
    Ok(())
}

/// Writes to standard error. That nobody reads it is no reason to stop.
pub fn tell(text: &str) {
    drop(writeln!(std::io::stderr().lock(), "{text}"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_of_the_cluster_cannot_act_on_the_terminal() {
        let hostile = "a\u{1b}]0;title\u{7}\u{9b}2J\r\n\u{202e}b\tc";
        let shown = r"a\u{1b}]0;title\u{7}\u{9b}2J\r\n\u{202e}b\tc";
        assert_eq!(line(hostile), shown);
        assert_eq!(lines(hostile), shown.replace(r"\n", "\n").replace(r"\t", "\t"));
        assert_eq!(line("plain, ä and 漢"), "plain, ä and 漢");
    }

    #[test]
    fn without_colours_nothing_is_added() {
        assert_eq!(Terminal::default().paint(GOOD, "ok"), "ok");
        let colours = Terminal { colour: true, ..Terminal::default() };
        assert_eq!(colours.paint(GOOD, "ok"), "\u{1b}[32mok\u{1b}[0m");
        assert_eq!(colours.paint(Style::new(), "ok"), "ok");
    }
}
