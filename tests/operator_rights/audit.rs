//! What one user has asked the API server for, by its audit log.

use std::{
    collections::BTreeSet,
    fs::File,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
};

use serde_json::Value;

use super::compared::{Right, Used};

/// The log, and what was put aside of it when it became too long (`audit-<time>.log`).
fn files(path: &Path) -> Vec<PathBuf> {
    let folder = path.parent().expect("a folder");
    let stem = path.file_stem().and_then(|name| name.to_str()).expect("a name");
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let ours = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name.starts_with(stem) && path.extension().is_some_and(|end| end == "log")
    };
    entries.map(|entry| entry.expect("an entry").path()).filter(ours).collect()
}

/// Each different request of `user`. A user who only impersonates it is somebody else.
pub(crate) fn read(path: &Path, user: &str) -> Vec<Used> {
    let mut requests = BTreeSet::new();
    each(path, user, |used| {
        requests.insert(used);
    });
    requests.into_iter().collect()
}

/// How often `user` has asked for this and got it.
pub(crate) fn count(path: &Path, user: &str, right: &Right) -> usize {
    let mut count = 0;
    each(path, user, |used| count += usize::from(used == Used::allowed(right)));
    count
}

fn each(path: &Path, user: &str, mut take: impl FnMut(Used)) {
    for path in files(path) {
        let file = File::open(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        for line in BufReader::new(file).lines() {
            let line = line.expect("the log is text");
            if !line.contains(user) {
                continue;
            }
            // The last line may be being written.
            let Ok(event) = serde_json::from_str::<Value>(&line) else { continue };
            if let Some(used) = request(&event, user) {
                take(used);
            }
        }
    }
}

/// The resource of an event; discovery names none.
fn request(event: &Value, user: &str) -> Option<Used> {
    if event["user"]["username"] != user {
        return None;
    }
    let object = event["objectRef"].as_object()?;
    let text = |field: &str| object.get(field).and_then(Value::as_str);
    let resource = match (text("resource")?, text("subresource")) {
        (resource, Some(below)) => format!("{resource}/{below}"),
        (resource, None) => resource.to_owned(),
    };
    Some(Used {
        right: Right::new(event["verb"].as_str()?, text("apiGroup").unwrap_or_default(), &resource),
        decision: event["annotations"]["authorization.k8s.io/decision"].as_str()?.to_owned(),
        code: event["responseStatus"]["code"].as_u64().unwrap_or_default(),
    })
}

#[test]
fn an_event_is_read_as_the_api_server_writes_it() {
    let event = serde_json::json!({
        "verb": "get", "user": {"username": "operator"},
        "objectRef": {"resource": "pods", "namespace": "shop", "name": "p", "apiVersion": "v1", "subresource": "log"},
        "responseStatus": {"metadata": {}, "code": 200},
        "annotations": {"authorization.k8s.io/decision": "allow"},
    });
    assert_eq!(request(&event, "operator"), Some(Used::allowed(&Right::new("get", "", "pods/log"))));
    assert_eq!(request(&event, "another"), None);
}
