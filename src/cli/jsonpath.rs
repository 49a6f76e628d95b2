//! Kubectl's templates for `-o jsonpath=`: text, paths in braces, and `{range}` with `{end}`.
//!
//! A path is handed to a library for RFC 9535. Kubectl's paths are older than that. They may leave out `$`, a name may
//! have `-`, and `\.` is a dot within a name.

use std::str::FromStr;

use jsonpath_rust::{JsonPath, parser::parse_json_path};
use serde_json::Value;

/// A template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Template(Vec<Piece>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Path(String),
    Range(String, Vec<Self>),
}

impl FromStr for Template {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // As kubectl does, a path alone needs no braces.
        let braced = if text.contains('{') { text.to_owned() } else { format!("{{{text}}}") };
        let mut open: Vec<(String, Vec<Piece>)> = Vec::new();
        let mut pieces = Vec::new();
        let mut rest = braced.as_str();
        while let Some((before, after)) = rest.split_once('{') {
            push_text(&mut pieces, before);
            let end = closing(after).ok_or("a brace is not closed: write }")?;
            let inner = after[..end].trim();
            rest = &after[end + 1..];
            if let Some(path) = inner.strip_prefix("range ") {
                open.push((path_of(path.trim())?, std::mem::take(&mut pieces)));
            } else if inner == "end" {
                let (path, outer) = open.pop().ok_or("{end} without {range}")?;
                let within = std::mem::replace(&mut pieces, outer);
                pieces.push(Piece::Range(path, within));
            } else if let Some(text) = literal(inner) {
                push_text(&mut pieces, &text);
            } else {
                pieces.push(Piece::Path(path_of(inner)?));
            }
        }
        push_text(&mut pieces, rest);
        if open.is_empty() { Ok(Self(pieces)) } else { Err("{range} without {end}".to_owned()) }
    }
}

impl Template {
    /// The text that the template makes of a value. What is missing is empty.
    pub(super) fn text(&self, value: &Value) -> String {
        let mut text = String::new();
        write(&self.0, value, &mut text);
        text
    }
}

fn write(pieces: &[Piece], value: &Value, to: &mut String) {
    for piece in pieces {
        match piece {
            Piece::Text(text) => to.push_str(text),
            Piece::Path(path) => {
                let found: Vec<String> = found(value, path).into_iter().map(plain).collect();
                to.push_str(&found.join(" "));
            }
            Piece::Range(path, within) => {
                for each in found(value, path) {
                    write(within, each, to);
                }
            }
        }
    }
}

fn found<'a>(value: &'a Value, path: &str) -> Vec<&'a Value> {
    value.query(path).unwrap_or_default()
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

fn push_text(pieces: &mut Vec<Piece>, text: &str) {
    if !text.is_empty() {
        pieces.push(Piece::Text(text.to_owned()));
    }
}

/// Where the brace closes. Braces in quotes do not count.
fn closing(text: &str) -> Option<usize> {
    let mut quote = None;
    let mut escaped = false;
    for (at, character) in text.char_indices() {
        match (quote, character) {
            _ if escaped => escaped = false,
            (_, '\\') => escaped = true,
            (Some(open), _) if character == open => quote = None,
            (None, '"' | '\'') => quote = Some(character),
            (None, '}') => return Some(at),
            _ => {}
        }
    }
    None
}

/// A text in quotes, with its escapes.
fn literal(inner: &str) -> Option<String> {
    let quote = inner.chars().next().filter(|first| matches!(first, '"' | '\''))?;
    let within = inner.strip_prefix(quote)?.strip_suffix(quote)?;
    let mut text = String::new();
    let mut characters = within.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => match characters.next() {
                Some('n') => text.push('\n'),
                Some('t') => text.push('\t'),
                Some('r') => text.push('\r'),
                Some(other) => text.push(other),
                None => {}
            },
            other => text.push(other),
        }
    }
    Some(text)
}

/// Kubectl's path as one of RFC 9535.
fn path_of(path: &str) -> Result<String, String> {
    let mut standard = String::from("$");
    let mut rest = path.strip_prefix(['$', '@']).unwrap_or(path);
    if !rest.is_empty() && !rest.starts_with(['.', '[']) {
        return Err(format!("{path} is no path: begin with a dot, as in .metadata.name"));
    }
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix('[') {
            let end = bracket(after).ok_or_else(|| format!("a bracket of {path} is not closed: write ]"))?;
            standard.push_str(&rest[..end + 2]);
            rest = &after[end + 1..];
            continue;
        }
        let deep = rest.starts_with("..");
        rest = rest.trim_start_matches('.');
        if deep {
            standard.push_str("..");
        }
        let (name, after) = name(rest);
        match name.as_str() {
            "" => {}
            "*" if deep => standard.push('*'),
            "*" => standard.push_str(".*"),
            name => standard.push_str(&format!("['{}']", name.replace('\\', "\\\\").replace('\'', "\\'"))),
        }
        rest = after;
    }
    parse_json_path(&standard).map_err(|error| format!("{path} is no path: {error}"))?;
    Ok(standard)
}

/// The name at the beginning, and the rest.
fn name(text: &str) -> (String, &str) {
    let mut name = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '\\' => name.extend(characters.next().map(|(_, escaped)| escaped)),
            '.' | '[' => return (name, &text[at..]),
            other => name.push(other),
        }
    }
    (name, "")
}

/// Where the bracket closes. Brackets in quotes do not count, and inner ones are passed.
fn bracket(text: &str) -> Option<usize> {
    let (mut depth, mut quote) = (0_u32, None);
    for (at, character) in text.char_indices() {
        match (quote, character) {
            (Some(open), _) if character == open => quote = None,
            (None, '"' | '\'') => quote = Some(character),
            (None, '[') => depth += 1,
            (None, ']') if depth == 0 => return Some(at),
            (None, ']') => depth -= 1,
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_template_says_what_kubectl_s_does() {
        let value = json!({"kind": "List", "items": [
            {"metadata": {"name": "a", "labels": {"app.kubernetes.io/name": "x", "my-label": "y"}},
             "status": {"conditions": [{"type": "Ready", "status": "True"}, {"type": "Finished", "status": "False"}],
                "run": {"number": 3}}},
            {"metadata": {"name": "b"}},
        ]});
        for (template, text) in [
            ("{.items[*].metadata.name}", "a b"),
            (".items[0].metadata.name", "a"),
            ("{.items[0].status.run.number}", "3"),
            (r#"{range .items[*]}{.metadata.name}{"\t"}{.status.run.number}{"\n"}{end}"#, "a\t3\nb\t\n"),
            (r#"{.items[*].status.conditions[?(@.type=="Ready")].status}"#, "True"),
            (r"{.items[0].metadata.labels.app\.kubernetes\.io/name}", "x"),
            ("{.items[0].metadata.labels.my-label}", "y"),
            ("{$.kind}: {..name}", "List: a b"),
            ("{.items[1].missing}", ""),
            ("{.items[0].status.run}", r#"{"number":3}"#),
        ] {
            assert_eq!(template.parse::<Template>().unwrap().text(&value), text, "{template}");
        }
    }

    #[test]
    fn what_is_no_template_is_refused_with_the_cause() {
        for (template, cause) in [
            ("{.a", "not closed"),
            ("{range .a}{.b}", "{range} without {end}"),
            ("{end}", "{end} without {range}"),
            ("{.a[}", "not closed"),
            ("{name}", "begin with a dot"),
        ] {
            let error = template.parse::<Template>().unwrap_err();
            assert!(error.contains(cause), "{template}: {error}");
        }
    }
}
