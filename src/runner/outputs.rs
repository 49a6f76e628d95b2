//! Reads the outputs file that scripts write.
//!
//! ```text
//! name=value
//! name<<DELIMITER
//! several
//! lines
//! DELIMITER
//! ```
//!
//! The script is not trusted: the file may be missing, endless, no regular file, or nonsense. Unusable lines
//! are named in a message and never end the run.

use std::{collections::BTreeMap, path::Path};

use crate::record::{
    bundle::Output,
    outcome::{MAX_COMPLAINT_BYTES, MAX_COMPLAINTS, MAX_OUTPUT_BYTES, MAX_OUTPUTS_BYTES, truncate},
};

use super::{masking::patterns::Patterns, reach};

/// How much of the file is read: several times the bound for all outputs together.
const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// The outputs of a script.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Outputs {
    /// Masked values by name.
    pub(super) values: BTreeMap<String, String>,
    /// A sentence for each dropped output.
    pub(super) dropped: Vec<String>,
    /// Why the file could not be read completely. The outputs may be fewer than meant, or different.
    pub(super) unread: Option<String>,
}

/// Reads the file at `path`.
pub(super) fn read(path: &Path, declared: &[Output], patterns: &Patterns) -> Outputs {
    match reach::read(path, MAX_FILE_BYTES) {
        Ok(text) => parse(&text, declared, patterns),
        Err(error) => {
            let why = format!("all outputs: $LONGSHORE_OUTPUT cannot be read ({error}); write to it with >>");
            Outputs { dropped: vec![why.clone()], unread: Some(why), ..Outputs::default() }
        }
    }
}

fn parse(text: &[u8], declared: &[Output], patterns: &Patterns) -> Outputs {
    let mut parser = Parser {
        declared,
        patterns,
        values: BTreeMap::new(),
        dropped: vec![],
        complaints: 0,
        last: None,
        unread: None,
    };
    let mut whole = text;
    if text.len() as u64 > MAX_FILE_BYTES {
        // The last line is cut. The lines before it count.
        whole = &text[..text.iter().rposition(|&byte| byte == b'\n').unwrap_or(0)];
    }
    parser.lines(whole);
    if whole.len() < text.len() {
        parser.unread(format!("all that is behind the first {MAX_FILE_BYTES} bytes of $LONGSHORE_OUTPUT"));
    }
    parser.finish()
}

struct Parser<'a> {
    declared: &'a [Output],
    patterns: &'a Patterns,
    values: BTreeMap<String, String>,
    dropped: Vec<String>,
    complaints: usize,
    /// The name and value of the last `NAME=VALUE`, as text. The next lines may be meant to belong to it.
    last: Option<(String, String)>,
    unread: Option<String>,
}

impl Parser<'_> {
    fn lines(&mut self, text: &[u8]) {
        let mut lines = text
            .split(|&byte| byte == b'\n')
            .map(|line| line.strip_suffix(b"\r").unwrap_or(line))
            .enumerate()
            .map(|(index, line)| (index + 1, line));
        while let Some((number, line)) = lines.next() {
            if line.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            // For messages. A secret may contain `=`, so the whole line is masked.
            let shown = self.text(line);
            let equals = line.iter().position(|&byte| byte == b'=').unwrap_or(line.len());
            let block = line.windows(2).position(|pair| pair == b"<<").unwrap_or(line.len());
            if block < equals {
                let (name, delimiter) = (&line[..block], &line[block + 2..]);
                if delimiter.is_empty() {
                    self.unread(format!("line {number}: nothing follows `<<`; write NAME<<END, lines, END"));
                    continue;
                }
                let mut value: Vec<&[u8]> = vec![];
                let mut ended = false;
                for (_, line) in lines.by_ref() {
                    if line == delimiter {
                        ended = true;
                        break;
                    }
                    value.push(line);
                }
                if ended {
                    let shown = shown.split("<<").next().unwrap_or_default();
                    self.set(number, (name, shown), &value.join(&b'\n'));
                } else {
                    let end = self.text(delimiter);
                    self.unread(format!(
                        "line {number}: the block never ends; write a line that holds only `{end}` behind it"
                    ));
                }
            } else if equals < line.len() && may_be_a_name(&line[..equals]) {
                let (name, value) = shown.split_once('=').unwrap_or((&shown, ""));
                self.last = Some((short(name), short(value)));
                self.set(number, (&line[..equals], name), &line[equals + 1..]);
            } else {
                let line = short(&shown);
                let instead = self.last.as_ref().map_or_else(
                    || "write NAME=VALUE".to_owned(),
                    |(name, value)| {
                        format!(
                            "before it `{name}` was read as `{value}`; a value of several lines is written \
                             {name}<<END, its lines, END"
                        )
                    },
                );
                self.unread(format!("line {number}: `{line}` is no output; {instead}"));
            }
        }
    }

    fn set(&mut self, number: usize, (name, shown): (&[u8], &str), value: &[u8]) {
        let known = self.declared.iter().find(|output| output.name.as_bytes() == name);
        let Some(Output { name }) = known else {
            let name = short(shown);
            self.complain(format!("line {number}: `{name}` is not declared; add it to spec.outputs"));
            return;
        };
        let value = self.text(value);
        if value.len() > MAX_OUTPUT_BYTES {
            // Otherwise an older value would count as the newest.
            self.values.remove(name);
            self.complain(format!(
                "line {number}: `{name}` has {} bytes, and an output may have {MAX_OUTPUT_BYTES}; write the \
                 place of the value instead",
                value.len()
            ));
        } else {
            let before = self.values.insert(name.clone(), value);
            if before.is_some_and(|before| Some(&before) != self.values.get(name)) {
                self.complain(format!(
                    "line {number}: `{name}` had another value before; the last one counts"
                ));
            }
        }
    }

    /// Masks the bytes and turns them into text.
    fn text(&self, bytes: &[u8]) -> String {
        String::from_utf8_lossy(&self.patterns.mask(bytes)).replace('\0', "\u{fffd}")
    }

    /// Adds a complaint that makes the rest of the file doubtful.
    fn unread(&mut self, mut sentence: String) {
        truncate(&mut sentence, MAX_COMPLAINT_BYTES);
        self.unread.get_or_insert_with(|| sentence.clone());
        self.complain(sentence);
    }

    fn complain(&mut self, mut sentence: String) {
        self.complaints += 1;
        if self.complaints < MAX_COMPLAINTS {
            truncate(&mut sentence, MAX_COMPLAINT_BYTES);
            self.dropped.push(sentence);
        }
    }

    fn finish(mut self) -> Outputs {
        let mut bytes = 0;
        for Output { name } in self.declared {
            let Some(value) = self.values.get(name) else { continue };
            if bytes + value.len() > MAX_OUTPUTS_BYTES {
                self.values.remove(name);
                self.complain(format!("`{name}`: all outputs together may have {MAX_OUTPUTS_BYTES} bytes"));
            } else {
                bytes += value.len();
            }
        }
        let unsaid = self.complaints - self.dropped.len();
        if unsaid > 0 {
            self.dropped.push(format!("and {unsaid} more"));
        }
        Outputs { values: self.values, dropped: self.dropped, unread: self.unread }
    }
}

/// Shortens a masked text for a message.
fn short(text: &str) -> String {
    let mut text = text.to_owned();
    truncate(&mut text, 40);
    text
}

/// Whether an output can have this name, as the resource's definition says. Any other text before a `=` is
/// part of a value that was meant to have several lines.
fn may_be_a_name(name: &[u8]) -> bool {
    let first = name.first().is_some_and(|&byte| byte.is_ascii_alphabetic() || byte == b'_');
    first && name.iter().all(|&byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parsed(text: impl AsRef<[u8]>) -> Outputs {
        let declared: Vec<Output> =
            ["a", "b", "c", "d", "e"].iter().map(|&name| Output { name: name.into() }).collect();
        parse(text.as_ref(), &declared, &Patterns::new(vec![b"secret".to_vec()]))
    }

    fn values(text: impl AsRef<[u8]>) -> Vec<(String, String)> {
        let outputs = parsed(text);
        assert_eq!(outputs.dropped, [""; 0]);
        outputs.values.into_iter().collect()
    }

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    fn complaint(text: impl AsRef<[u8]>) -> String {
        let outputs = parsed(text);
        assert_eq!(outputs.values, BTreeMap::new());
        assert_eq!(outputs.dropped.len(), 1);
        outputs.dropped[0].clone()
    }

    #[test]
    fn both_forms_are_read() {
        assert_eq!(
            values("a=1=2<<3\n\n  \nb<<END\nx=y\n\n END\nEND\nc="),
            pairs(&[("a", "1=2<<3"), ("b", "x=y\n\n END"), ("c", "")])
        );
    }

    #[test]
    fn a_later_value_wins() {
        let outputs = parsed("a=1\na<<E\n2\n3\nE\na=4\na=4\n");
        assert_eq!(outputs.values.into_iter().collect::<Vec<_>>(), pairs(&[("a", "4")]));
        assert_eq!(
            outputs.dropped,
            [
                "line 2: `a` had another value before; the last one counts",
                "line 6: `a` had another value before; the last one counts"
            ]
        );
        assert_eq!(outputs.unread, None);
    }

    #[test]
    fn a_value_of_several_lines_is_told_with_the_form_for_it() {
        let outputs = parsed("a={\n  \"x\": \"y\",\n  \"c=1\": 2\n}\nb=2");
        let why = outputs.unread.unwrap();
        assert_eq!(
            why,
            "line 2: `  \"x\": \"y\",` is no output; before it `a` was read as `{`; a value of several lines is \
             written a<<END, its lines, END"
        );
        assert_eq!(outputs.dropped[0], why);
        for whole in ["a=1", "", "x=1", "a=1\na=2"] {
            assert_eq!(parsed(whole).unread, None, "{whole}");
        }
        let outputs = parsed("a={\n  \"c=1\": 2\n}\nb=2");
        assert!(outputs.unread.unwrap().starts_with("line 2: `  \"c=1\": 2` is no output; before it `a`"));
        assert_eq!(complaint("a = 1"), "line 1: `a = 1` is no output; write NAME=VALUE");
        for broken in ["a<<\n", "a<<E\n1", "hello", "a=1\nhello"] {
            assert!(parsed(broken).unread.is_some(), "{broken}");
        }
    }

    #[test]
    fn windows_line_ends_are_taken() {
        assert_eq!(values("a=1\r\nb<<E\r\n2\r\n3\r\nE\r\n"), pairs(&[("a", "1"), ("b", "2\n3")]));
    }

    #[test]
    fn what_is_no_text_becomes_text() {
        assert_eq!(values(b"a=x\0\xffy"), pairs(&[("a", "x\u{fffd}\u{fffd}y")]));
    }

    #[test]
    fn values_and_complaints_are_masked() {
        assert_eq!(values("a=my secret."), pairs(&[("a", "my ***.")]));
        assert_eq!(complaint("secret"), "line 1: `***` is no output; write NAME=VALUE");
        // A secret that contains `=` is masked too.
        let patterns = Patterns::new(vec![b"user=hunter22x".to_vec(), b"abcdEFGH1234==".to_vec()]);
        let declared = [Output { name: "a".into() }];
        let told = parse(b"a=1\nuser=hunter22x\nabcdEFGH1234==\nnonsense\n", &declared, &patterns);
        let words = told.dropped.join("; ");
        assert!(!words.contains("hunter") && !words.contains("EFGH"), "{words}");
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        assert_eq!(complaint("\nhello\n"), "line 2: `hello` is no output; write NAME=VALUE");
        assert_eq!(complaint("x=1"), "line 1: `x` is not declared; add it to spec.outputs");
        assert_eq!(complaint("x<<E\na=1\nE\n"), "line 1: `x` is not declared; add it to spec.outputs");
        assert_eq!(complaint("a<<\n"), "line 1: nothing follows `<<`; write NAME<<END, lines, END");
        assert_eq!(
            complaint("a<<E\nb=1\n"),
            "line 1: the block never ends; write a line that holds only `E` behind it"
        );
        let long = complaint(format!("a=1\na={}", "x".repeat(MAX_OUTPUT_BYTES + 1)));
        assert!(long.starts_with("line 2: `a` has 32769 bytes"), "{long}");
    }

    #[test]
    fn complaints_are_few_and_short() {
        let outputs = parsed(format!("{}\n", "z".repeat(500)).repeat(100));
        assert_eq!(outputs.dropped.len(), MAX_COMPLAINTS);
        assert_eq!(outputs.dropped[MAX_COMPLAINTS - 1], "and 81 more");
        assert!(outputs.dropped.iter().all(|sentence| sentence.len() <= MAX_COMPLAINT_BYTES));
    }

    #[test]
    fn all_together_have_a_bound() {
        let text: String = ["a", "b", "c", "d", "e"]
            .map(|name| format!("{name}={}\n", "x".repeat(MAX_OUTPUT_BYTES)))
            .concat();
        let outputs = parsed(text);
        assert_eq!(outputs.values.keys().collect::<Vec<_>>(), ["a", "b", "c", "d"]);
        assert_eq!(outputs.dropped, ["`e`: all outputs together may have 131072 bytes"]);
    }

    #[test]
    fn of_an_endless_file_the_beginning_counts() {
        let outputs = parsed(format!("a=1\n{}", "\n".repeat(2_000_000)));
        assert_eq!(outputs.values.get("a").map(String::as_str), Some("1"));
        assert_eq!(outputs.dropped.len(), 1);
    }

    proptest! {
        #[test]
        fn no_file_panics(text in "([abx]|=|<<|E|\n|\r|\0){0,40}") {
            parsed(text);
        }
    }
}
