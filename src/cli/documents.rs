//! Objects in files, as kubectl reads them: YAML or JSON, several in a file, lists, folders, and standard input.

use std::{
    fs,
    io::Read,
    path::{Path, PathBuf},
};

use serde_json::Value;

use super::{connect::Session, error::CliError};
use crate::api::GROUP;

/// The largest file, in bytes. An object has at most 3 MB as JSON.
const MOST_BYTES: u64 = 32 << 20;

/// An object, and where it is written.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Document {
    /// The file, and the place in it if the file has several objects.
    pub(super) place: String,
    /// The object.
    pub(super) object: Value,
}

impl Document {
    pub(super) fn kind(&self) -> &str {
        self.object["kind"].as_str().unwrap_or_default()
    }

    /// Its name, or the beginning that the server completes.
    pub(super) fn name(&self) -> &str {
        let metadata = &self.object["metadata"];
        metadata["name"].as_str().or_else(|| metadata["generateName"].as_str()).unwrap_or_default()
    }

    /// The path of its kind's objects, if the kind is one of Longshore's.
    pub(super) fn path(&self, session: &Session) -> Option<String> {
        let version = self.object["apiVersion"].as_str()?;
        let (group, _) = version.split_once('/')?;
        let plural = match self.kind() {
            _ if group != GROUP => return None,
            "DeploymentAction" => "deploymentactions",
            "DeploymentActionTemplate" => "deploymentactiontemplates",
            "ActionPolicy" => "actionpolicies",
            "ClusterDeploymentActionTemplate" => {
                return Some(format!("/apis/{version}/clusterdeploymentactiontemplates"));
            }
            _ => return None,
        };
        let namespace = self.namespace(session);
        Some(format!("/apis/{version}/namespaces/{namespace}/{plural}"))
    }

    /// The namespace that it names, or the session's.
    pub(super) fn namespace<'a>(&'a self, session: &'a Session) -> &'a str {
        self.object["metadata"]["namespace"].as_str().unwrap_or(&session.namespace)
    }
}

/// Reads all objects of these files and folders. `-` is standard input.
pub(super) fn read(paths: &[PathBuf]) -> Result<Vec<Document>, CliError> {
    let mut documents = Vec::new();
    for path in paths {
        for (place, text) in texts(path)? {
            documents.extend(parse(&place, &text)?);
        }
    }
    if documents.is_empty() {
        return Err(CliError::Usage("the files have no objects".to_owned()));
    }
    Ok(documents)
}

fn texts(path: &Path) -> Result<Vec<(String, String)>, CliError> {
    if path == Path::new("-") {
        let text = read_all(std::io::stdin().lock(), "standard input")?;
        return Ok(vec![("standard input".to_owned(), text)]);
    }
    let shown = path.display().to_string();
    let unread = |error: std::io::Error| CliError::Usage(format!("cannot read {shown}: {error}"));
    if !path.is_dir() {
        let file = fs::File::open(path).map_err(unread)?;
        return Ok(vec![(shown.clone(), read_all(file, &shown)?)]);
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(path).map_err(unread)? {
        let file = entry.map_err(unread)?.path();
        let end = file.extension().and_then(|end| end.to_str());
        if file.is_file() && matches!(end, Some("yaml" | "yml" | "json")) {
            files.push(file);
        }
    }
    files.sort();
    let all: Result<Vec<_>, _> = files.iter().map(|file| texts(file)).collect();
    Ok(all?.concat())
}

fn read_all(from: impl Read, place: &str) -> Result<String, CliError> {
    let mut text = String::new();
    let unread = |error| CliError::Usage(format!("cannot read {place}: {error}"));
    from.take(MOST_BYTES).read_to_string(&mut text).map_err(unread)?;
    if text.len() as u64 == MOST_BYTES {
        return Err(CliError::Usage(format!("{place} is too large: no object has {MOST_BYTES} bytes")));
    }
    Ok(text)
}

fn parse(place: &str, text: &str) -> Result<Vec<Document>, CliError> {
    // Kubectl, too, takes a number that begins with 0 for an octal one.
    let options = serde_saphyr::options! { legacy_octal_numbers: true };
    let values: Vec<Value> = serde_saphyr::from_multiple_with_options(text, options)
        .map_err(|error| CliError::Usage(format!("{place} is not YAML: {error}")))?;
    let several = values.len() > 1;
    let mut documents = Vec::new();
    for (at, object) in values.into_iter().enumerate().filter(|(_, value)| !value.is_null()) {
        let place = if several { format!("{place}, document {}", at + 1) } else { place.to_owned() };
        let is_list = object["kind"].as_str().is_some_and(|kind| kind.ends_with("List"));
        match object.get("items").and_then(Value::as_array).filter(|_| is_list) {
            Some(items) => documents.extend(items.iter().enumerate().map(|(at, item)| Document {
                place: format!("{place}, item {}", at + 1),
                object: item.clone(),
            })),
            None if object.is_object() => documents.push(Document { place, object }),
            None => {
                return Err(CliError::Usage(format!(
                    "{place} is no object: write apiVersion, kind and so on"
                )));
            }
        }
    }
    Ok(documents)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_may_have_several_objects_and_lists() {
        let text = "# a comment\n---\nkind: A\nmetadata: {name: a}\n---\n---\nkind: List\nitems:\n- kind: B\n- {kind: C, mode: 0400}\n";
        let documents = parse("f.yaml", text).unwrap();
        let told: Vec<_> = documents.iter().map(|of| (of.kind(), of.place.as_str())).collect();
        assert_eq!(told[0].0, "A");
        assert_eq!((told[1].0, told[2].0), ("B", "C"));
        assert!(told[2].1.starts_with("f.yaml, document ") && told[2].1.ends_with(", item 2"), "{told:?}");
        assert_eq!(documents[2].object["mode"], 256);
        assert_eq!(parse("f.json", r#"{"kind": "A"}"#).unwrap()[0].place, "f.json");
    }

    #[test]
    fn what_is_no_object_is_refused_with_its_place() {
        for text in ["kind: [", "just text", "a: 1\na: 2\n"] {
            let error = parse("f.yaml", text).unwrap_err();
            assert!(
                error.code() == super::super::error::USAGE && error.to_string().contains("f.yaml"),
                "{error}"
            );
        }
        let error = read(&[PathBuf::from("/does/not/exist")]).unwrap_err().to_string();
        assert!(error.contains("cannot read /does/not/exist"), "{error}");
    }
}
