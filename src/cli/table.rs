//! Tables as kubectl prints them: columns in capitals, three spaces between them.

use anstyle::Style;
use unicode_width::UnicodeWidthStr;

use super::{
    terminal::{BAD, BUSY, FAINT, GOOD, Terminal, line},
    view::summary::Tone,
};

/// A cell of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cell {
    text: String,
    style: Style,
}

impl Cell {
    /// A text of the cluster.
    pub(super) fn of(text: impl AsRef<str>) -> Self {
        Self { text: line(text.as_ref()).into_owned(), style: Style::new() }
    }

    pub(super) fn number(number: Option<impl ToString>) -> Self {
        Self::of(number.map(|number| number.to_string()).unwrap_or_default())
    }

    pub(super) fn styled(text: impl AsRef<str>, style: Style) -> Self {
        Self { style, ..Self::of(text) }
    }

    /// The text, without a style.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// The style.
    pub(super) const fn style(&self) -> Style {
        self.style
    }

    pub(super) fn toned(text: impl AsRef<str>, tone: Tone) -> Self {
        Self::styled(text, style(tone))
    }
}

/// The colour of a tone.
pub(super) const fn style(tone: Tone) -> Style {
    match tone {
        Tone::Good => GOOD,
        Tone::Bad => BAD,
        Tone::Busy => BUSY,
        Tone::Quiet => FAINT,
    }
}

/// A table.
#[derive(Debug, Clone, Default)]
pub(super) struct Table {
    header: Vec<&'static str>,
    rows: Vec<Vec<Cell>>,
}

const BETWEEN: &str = "   ";

impl Table {
    pub(super) fn new(header: &[&'static str]) -> Self {
        Self { header: header.to_vec(), rows: Vec::new() }
    }

    pub(super) fn add(&mut self, row: Vec<Cell>) {
        self.rows.push(row);
    }

    /// The columns' titles.
    pub(super) fn titles(&self) -> &[&'static str] {
        &self.header
    }

    pub(super) fn rows(&self) -> &[Vec<Cell>] {
        &self.rows
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The width of each column, with its title.
    pub(super) fn widths(&self) -> Vec<usize> {
        self.widths_with(true)
    }

    fn widths_with(&self, titles: bool) -> Vec<usize> {
        let width =
            |at: usize| self.rows.iter().filter_map(|row| row.get(at)).map(|cell| cell.text.width()).max();
        self.header
            .iter()
            .enumerate()
            .map(|(at, title)| if titles { title.len() } else { 0 }.max(width(at).unwrap_or(0)))
            .collect()
    }

    /// The table's text, with each line after `indent`.
    pub(super) fn text(&self, terminal: &Terminal, indent: &str, header: bool) -> String {
        let widths = self.widths_with(header);
        let mut text = String::new();
        if header {
            let titles: Vec<Cell> = self.header.iter().map(Cell::of).collect();
            text.push_str(indent);
            text.push_str(&row_text(&titles, &widths, terminal));
        }
        for row in &self.rows {
            text.push_str(indent);
            text.push_str(&row_text(row, &widths, terminal));
        }
        text
    }
}

/// A row's text. Cells that are wider than their column move the rest to the right.
pub(super) fn row_text(row: &[Cell], widths: &[usize], terminal: &Terminal) -> String {
    let last = row.iter().rposition(|cell| !cell.text.is_empty()).unwrap_or(0);
    let mut text = String::new();
    for (at, cell) in row.iter().enumerate().take(last + 1) {
        if at > 0 {
            text.push_str(BETWEEN);
        }
        text.push_str(&terminal.paint(cell.style, &cell.text));
        if at < last {
            let width = widths.get(at).copied().unwrap_or(0);
            text.push_str(&" ".repeat(width.saturating_sub(cell.text.width())));
        }
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_below_each_other_whatever_is_in_them() {
        let mut table = Table::new(&["NAME", "PHASE", "NOTE"]);
        table.add(vec![Cell::of("漢字"), Cell::toned("Failed", Tone::Bad), Cell::of("a\u{1b}[2Jb")]);
        table.add(vec![Cell::of("long-name"), Cell::of("Ok"), Cell::of("")]);
        insta::assert_snapshot!(table.text(&Terminal::default(), "  ", true), @r"
        NAME        PHASE    NOTE
        漢字        Failed   a\u{1b}[2Jb
        long-name   Ok
        ");
        let colours = Terminal { colour: true, ..Terminal::default() };
        let text = table.text(&colours, "", false);
        assert!(text.starts_with("漢字        \u{1b}[31mFailed\u{1b}[0m   a"), "{text:?}");
    }
}
