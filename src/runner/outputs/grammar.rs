//! The forms in which a script writes its outputs.

/// A line of the outputs file, or the lines of a block.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Entry<'a> {
    /// The number of its first line, from 1.
    pub(super) number: usize,
    /// Its first line.
    pub(super) line: &'a [u8],
    pub(super) what: What<'a>,
}

/// The meaning of an entry.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum What<'a> {
    /// `NAME=VALUE`
    Line { name: &'a [u8], value: &'a [u8] },
    /// `NAME<<END`, the lines of the value, `END`
    Block { name: &'a [u8], value: Vec<&'a [u8]> },
    /// The same, and the end is missing.
    OpenBlock { name: &'a [u8], delimiter: &'a [u8], value: Vec<&'a [u8]> },
    /// `NAME<<`
    NoDelimiter,
    /// Any other line that is not empty.
    NoOutput,
}

/// Reads the outputs file.
pub(super) fn entries(text: &[u8]) -> impl Iterator<Item = Entry<'_>> {
    let mut lines = text
        .split(|&byte| byte == b'\n')
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line))
        .enumerate()
        .map(|(index, line)| (index + 1, line));
    std::iter::from_fn(move || {
        let (number, line) = lines.by_ref().find(|(_, line)| !line.iter().all(u8::is_ascii_whitespace))?;
        let equals = line.iter().position(|&byte| byte == b'=').unwrap_or(line.len());
        let block = line.windows(2).position(|pair| pair == b"<<").unwrap_or(line.len());
        let what = if block < equals {
            let (name, delimiter) = (&line[..block], &line[block + 2..]);
            if delimiter.is_empty() {
                What::NoDelimiter
            } else {
                let mut value = vec![];
                let end = lines.by_ref().find(|(_, line)| {
                    let ends = *line == delimiter;
                    if !ends {
                        value.push(*line);
                    }
                    ends
                });
                match end {
                    Some(_) => What::Block { name, value },
                    None => What::OpenBlock { name, delimiter, value },
                }
            }
        } else if equals < line.len() && may_be_a_name(&line[..equals]) {
            What::Line { name: &line[..equals], value: &line[equals + 1..] }
        } else {
            What::NoOutput
        };
        Some(Entry { number, line, what })
    })
}

/// Whether an output can have this name, as the resource's definition says. Any other text before a `=` is
/// part of a value that was meant to have several lines.
fn may_be_a_name(name: &[u8]) -> bool {
    let first = name.first().is_some_and(|&byte| byte.is_ascii_alphabetic() || byte == b'_');
    first && name.iter().all(|&byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte))
}
