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
//!
//! The values of sensitive outputs are kept as they are, to be sealed. In everything else they are masked, also if
//! the script writes the same value under another name.

mod grammar;
mod sensitive;

use std::{collections::BTreeMap, path::Path};

use zeroize::Zeroizing;

use self::grammar::{Entry, What, entries};
pub(super) use self::sensitive::values as sensitive_values;
use crate::{
    record::{
        bundle::Bundle,
        outcome::{MAX_COMPLAINT_BYTES, MAX_COMPLAINTS, MAX_OUTPUT_BYTES, MAX_OUTPUTS_BYTES, truncate},
    },
    seal::Values,
};

use super::{
    masking::{patterns::Patterns, secrets::Secrets},
    reach,
};

/// How much of the file is read: several times the bound for all outputs together.
pub(super) const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// The outputs of a script.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Outputs {
    /// Masked values by name.
    pub(super) values: BTreeMap<String, String>,
    /// The sensitive ones, as they were written.
    pub(super) sensitive: Values,
    /// The names of those among them whose values are too short to be masked.
    pub(super) unmasked: Vec<String>,
    /// A sentence for each dropped output.
    pub(super) dropped: Vec<String>,
    /// Why the file could not be read completely. The outputs may be fewer than meant, or different.
    pub(super) unread: Option<String>,
}

/// The outputs that an action declares.
#[derive(Debug, Default)]
pub(super) struct Declared<'a> {
    plain: Vec<&'a str>,
    sensitive: &'a [String],
}

impl<'a> Declared<'a> {
    pub(super) fn of(bundle: &'a Bundle) -> Self {
        Self {
            plain: bundle.outputs.iter().map(|output| output.name.as_str()).collect(),
            sensitive: bundle.sensitive.as_ref().map_or(&[], |sensitive| &sensitive.names),
        }
    }

    /// The output with this name as it is declared, and whether it is sensitive.
    fn get(&self, name: &[u8]) -> Option<(&'a str, bool)> {
        let known = |known: &&str| known.as_bytes() == name;
        let sensitive = self.sensitive.iter().map(String::as_str).find(known);
        // Declared as both, it is sensitive.
        sensitive.map(|name| (name, true)).or_else(|| Some((self.plain.iter().copied().find(known)?, false)))
    }

    fn names(&self) -> impl Iterator<Item = &'a str> {
        self.plain.clone().into_iter().chain(self.sensitive.iter().map(String::as_str))
    }
}

/// Reads the file at `path`.
pub(super) fn read(path: &Path, declared: &Declared<'_>, patterns: &Patterns) -> Outputs {
    match reach::read(path, MAX_FILE_BYTES) {
        Ok(text) => parse(&Zeroizing::new(text), declared, patterns),
        Err(error) => {
            let why = format!("all outputs: $LONGSHORE_OUTPUT cannot be read ({error}); write to it with >>");
            Outputs { dropped: vec![why.clone()], unread: Some(why), ..Outputs::default() }
        }
    }
}

fn parse(text: &[u8], declared: &Declared<'_>, patterns: &Patterns) -> Outputs {
    let mut secrets = Secrets::default();
    for value in sensitive_values(text, declared.sensitive) {
        secrets.add("", &value);
    }
    let mut parser = Parser {
        declared,
        patterns: patterns.clone(),
        values: BTreeMap::new(),
        sensitive: Values::new(),
        dropped: vec![],
        complaints: 0,
        last: None,
        unread: None,
    };
    match secrets.take_patterns() {
        Ok(sensitive) => parser.patterns = patterns.and(&sensitive),
        Err(error) => {
            parser.unread(format!("all outputs: {error}"));
            return parser.finish();
        }
    }
    let mut whole = text;
    if text.len() as u64 > MAX_FILE_BYTES {
        // The last line is cut. The lines before it count.
        whole = &text[..text.iter().rposition(|&byte| byte == b'\n').unwrap_or(0)];
    }
    entries(whole).for_each(|entry| parser.entry(&entry));
    if whole.len() < text.len() {
        parser.unread(format!("all that is behind the first {MAX_FILE_BYTES} bytes of $LONGSHORE_OUTPUT"));
    }
    parser.finish()
}

struct Parser<'a> {
    declared: &'a Declared<'a>,
    /// Those of the run, and the values of sensitive outputs.
    patterns: Patterns,
    values: BTreeMap<String, String>,
    sensitive: Values,
    dropped: Vec<String>,
    complaints: usize,
    /// The name and value of the last `NAME=VALUE`, as text. The next lines may be meant to belong to it. A
    /// sensitive output's value is not shown.
    last: Option<(String, Option<String>)>,
    unread: Option<String>,
}

impl Parser<'_> {
    fn entry(&mut self, Entry { number, line, what }: &Entry<'_>) {
        // For messages. A secret may contain `=`, so the whole line is masked.
        let shown = self.text(line);
        match what {
            What::Line { name, value } => {
                let (shown, text) = shown.split_once('=').unwrap_or((&shown, ""));
                let sensitive = self.declared.get(name).is_some_and(|(_, sensitive)| sensitive);
                self.last = Some((short(shown), (!sensitive).then(|| short(text))));
                self.set(*number, (name, shown), value);
            }
            What::Block { name, value } => {
                let shown = shown.split("<<").next().unwrap_or_default();
                let value = Zeroizing::new(value.join(&b'\n'));
                self.set(*number, (name, shown), &value);
            }
            What::OpenBlock { delimiter, .. } => {
                let end = self.text(delimiter);
                self.unread(format!(
                    "line {number}: the block never ends; write a line that holds only `{end}` behind it"
                ));
            }
            What::NoDelimiter => {
                self.unread(format!("line {number}: nothing follows `<<`; write NAME<<END, lines, END"));
            }
            What::NoOutput => {
                let line = short(&shown);
                let several =
                    |name: &str| format!("a value of several lines is written {name}<<END, its lines, END");
                let what = match &self.last {
                    None => format!("`{line}` is no output; write NAME=VALUE"),
                    Some((name, Some(value))) => format!(
                        "`{line}` is no output; before it `{name}` was read as `{value}`; {}",
                        several(name)
                    ),
                    // The line may be a part of the value.
                    Some((name, None)) => {
                        format!(
                            "it is no output, and stands behind `{name}`, which is sensitive; {}",
                            several(name)
                        )
                    }
                };
                self.unread(format!("line {number}: {what}"));
            }
        }
    }

    fn set(&mut self, number: usize, (name, shown): (&[u8], &str), value: &[u8]) {
        let Some((name, sensitive)) = self.declared.get(name) else {
            let name = short(shown);
            self.complain(format!("line {number}: `{name}` is not declared; add it to spec.outputs"));
            return;
        };
        let text = if sensitive { String::new() } else { self.text(value) };
        let length = if sensitive { value.len() } else { text.len() };
        if length > MAX_OUTPUT_BYTES {
            // Otherwise an older value would count as the newest.
            self.values.remove(name);
            self.sensitive.remove(name);
            self.complain(format!(
                "line {number}: `{name}` has {length} bytes, and an output may have {MAX_OUTPUT_BYTES}; write the \
                 place of the value instead"
            ));
            return;
        }
        let differed = if sensitive {
            let before = self.sensitive.insert(name.to_owned(), Zeroizing::new(value.to_vec()));
            before.is_some_and(|before| before.as_slice() != value)
        } else {
            let before = self.values.insert(name.to_owned(), text);
            before.is_some_and(|before| Some(&before) != self.values.get(name))
        };
        if differed {
            self.complain(format!("line {number}: `{name}` had another value before; the last one counts"));
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
        let declared = self.declared;
        for name in declared.names() {
            let plain = self.values.get(name).map(String::len);
            let Some(length) = plain.or_else(|| Some(self.sensitive.get(name)?.len())) else { continue };
            if bytes + length > MAX_OUTPUTS_BYTES {
                self.values.remove(name);
                self.sensitive.remove(name);
                self.complain(format!("`{name}`: all outputs together may have {MAX_OUTPUTS_BYTES} bytes"));
            } else {
                bytes += length;
            }
        }
        let unsaid = self.complaints - self.dropped.len();
        if unsaid > 0 {
            self.dropped.push(format!("and {unsaid} more"));
        }
        let unmasked = self.sensitive.iter().filter(|(_, value)| Secrets::is_too_short(value));
        Outputs {
            values: self.values,
            unmasked: unmasked.map(|(name, _)| name.clone()).collect(),
            sensitive: self.sensitive,
            dropped: self.dropped,
            unread: self.unread,
        }
    }
}

/// Shortens a masked text for a message.
fn short(text: &str) -> String {
    let mut text = text.to_owned();
    truncate(&mut text, 40);
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parsed(text: impl AsRef<[u8]>) -> Outputs {
        let sensitive = ["token".to_owned(), "key".to_owned()];
        let declared = Declared { plain: vec!["a", "b", "c", "d", "e"], sensitive: &sensitive };
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
        let declared = Declared { plain: vec!["a"], sensitive: &[] };
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
    fn sensitive_values_are_kept_as_they_are_and_masked_everywhere_else() {
        let outputs = parsed(
            b"token=my secret \xff\na=is my secret \xff.\nkey<<E\none-line\n\nE\nb=b25lLWxpbmUK\nc=1\n",
        );
        let values = |name: &str| outputs.sensitive[name].as_slice();
        assert_eq!((values("token"), values("key")), (&b"my secret \xff"[..], &b"one-line\n"[..]));
        let shown = pairs(&[("a", "is ***."), ("b", "***UK"), ("c", "1")]);
        assert_eq!(outputs.values.into_iter().collect::<Vec<_>>(), shown);
        assert_eq!(outputs.dropped, [""; 0]);
    }

    #[test]
    fn a_sensitive_value_that_was_replaced_is_masked_too() {
        let outputs = parsed("token=first-value\ntoken=other-value\na=first-value\n");
        assert_eq!(outputs.sensitive["token"].as_slice(), b"other-value");
        assert_eq!(outputs.values["a"], "***");
        assert_eq!(outputs.dropped, ["line 2: `token` had another value before; the last one counts"]);
    }

    #[test]
    fn no_message_shows_a_part_of_a_sensitive_value() {
        for text in [
            "token={\n  \"hidden\": \"y\",\n}\n",
            "token<<E\nhidden-1\n",
            "x=1\ntoken=hidden-1\nhidden-1\n",
            "hidden-1\ntoken=hidden-1\n",
            "hidden-1=3\ntoken=hidden-1\n",
        ] {
            let outputs = parsed(text);
            let told = outputs.dropped.join("; ");
            assert!(!told.is_empty() && !told.contains("hidden"), "{told}");
        }
        let told = parsed("token={\n  \"hidden\": 1\n").unread.unwrap();
        assert!(
            told.starts_with("line 2: it is no output, and stands behind `token`, which is sensitive"),
            "{told}"
        );
    }

    #[test]
    fn sensitive_outputs_have_the_same_bounds() {
        let long = "x".repeat(MAX_OUTPUT_BYTES + 1);
        let outputs = parsed(format!("token=1234567\ntoken={long}\n"));
        assert!(outputs.sensitive.is_empty());
        assert_eq!(outputs.dropped.len(), 1);
        assert!(outputs.dropped[0].starts_with("line 2: `token` has 32769 bytes"), "{:?}", outputs.dropped);
        let long = ["a", "b", "c", "d"].map(|name| format!("{name}={}\n", "y".repeat(MAX_OUTPUT_BYTES)));
        let long = [&long[..], &[format!("token={}\n", "z".repeat(MAX_OUTPUT_BYTES))]].concat();
        let outputs = parsed(long.concat());
        assert_eq!((outputs.values.len(), outputs.sensitive.len()), (4, 0));
        assert_eq!(outputs.dropped, ["`token`: all outputs together may have 131072 bytes"]);
    }

    #[test]
    fn a_sensitive_value_that_is_too_short_to_be_masked_is_named() {
        let outputs = parsed("token=12345\nkey=123456\na=12345 123456\n");
        assert_eq!((outputs.unmasked, outputs.values["a"].as_str()), (vec!["token".to_owned()], "12345 ***"));
    }

    #[test]
    fn of_an_endless_file_the_beginning_counts() {
        let outputs = parsed(format!("a=1\n{}", "\n".repeat(2_000_000)));
        assert_eq!(outputs.values.get("a").map(String::as_str), Some("1"));
        assert_eq!(outputs.dropped.len(), 1);
    }

    proptest! {
        #[test]
        fn no_file_panics(text in "([abx]|token|=|<<|E|\n|\r|\0){0,40}") {
            parsed(text);
        }
    }
}
