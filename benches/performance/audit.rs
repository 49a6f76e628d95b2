//! What an object costs the API server: who asked it for what, by its audit log.

use std::{
    collections::{BTreeMap, HashSet},
    fs::File,
    io::{BufRead, BufReader, Seek, SeekFrom},
    os::unix::fs::MetadataExt,
    path::PathBuf,
};

use serde::Deserialize;

use crate::{Result, kinds::Kind, place::Place};

/// A kind of request: who, whether it writes, and what.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Request {
    pub(crate) user: String,
    pub(crate) is_read: bool,
    /// Verb, resource and subresource.
    pub(crate) what: String,
    /// Events are told apart: they are a courtesy, and the API server drops them.
    pub(crate) is_event: bool,
}

/// How many requests of each kind there were, and for how many objects.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    pub(crate) counts: BTreeMap<Request, BTreeMap<Kind, usize>>,
    pub(crate) objects: BTreeMap<Kind, usize>,
}

impl Requests {
    /// How many of those that `is_meant` there were for an object of this kind.
    pub(crate) fn each(&self, kind: Kind, is_meant: impl Fn(&Request) -> bool) -> f64 {
        let all = self.counts.iter().filter(|(request, _)| is_meant(request));
        let sum: usize = all.filter_map(|(_, of)| of.get(&kind)).sum();
        crate::samples::count(sum)
            / crate::samples::count(self.objects.get(&kind).copied().unwrap_or_default())
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    #[serde(rename = "auditID")]
    id: String,
    verb: String,
    user: User,
    object_ref: Option<ObjectRef>,
}

#[derive(Debug, Deserialize)]
struct User {
    username: String,
}

#[derive(Debug, Deserialize)]
struct ObjectRef {
    resource: String,
    namespace: Option<String>,
    subresource: Option<String>,
}

/// Read on from where it was last read.
pub(crate) struct AuditLog {
    path: PathBuf,
    /// Stays the same file when the API server renames it and begins another.
    file: BufReader<File>,
}

impl AuditLog {
    /// # Errors
    /// Where it cannot be read: only root may.
    pub(crate) fn open(path: PathBuf) -> Result<Self> {
        let file = File::open(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Self { path, file: BufReader::new(file) })
    }

    /// Passes over all that is written up to now.
    pub(crate) fn skip(&mut self) -> Result<()> {
        if self.is_renamed()? {
            self.file = BufReader::new(File::open(&self.path)?);
        }
        self.file.seek(SeekFrom::End(0))?;
        Ok(())
    }

    /// Counts what was asked about these places since the last time, for `objects` of each.
    ///
    /// # Errors
    /// Also where not every creation of ours is found: what is missing would look cheap.
    pub(crate) fn count(&mut self, places: &[Place], objects: usize, requests: &mut Requests) -> Result<()> {
        let mut seen = HashSet::new();
        let mut created = BTreeMap::<Kind, usize>::new();
        loop {
            let mut line = String::new();
            while self.file.read_line(&mut line)? > 0 {
                // Written line by line: a last one without its end is written at this moment, and
                // is not about anything that has ended.
                let Ok(entry) = serde_json::from_str::<Entry>(&line) else { break };
                line.clear();
                let Some(of) = entry.object_ref else { continue };
                let namespace = of.namespace.as_deref();
                let Some(place) = places.iter().find(|place| Some(place.namespace.as_str()) == namespace)
                else {
                    continue;
                };
                // A log that is followed has an entry when it begins and one when it ends.
                if !seen.insert(entry.id) {
                    continue;
                }
                let resource =
                    of.subresource.map_or(of.resource.clone(), |sub| format!("{}/{sub}", of.resource));
                if entry.verb == "create" && resource == place.kind.resource().plural {
                    *created.entry(place.kind).or_default() += 1;
                }
                let request = Request {
                    user: known(&entry.user.username),
                    is_read: matches!(entry.verb.as_str(), "get" | "list" | "watch"),
                    what: format!("{} {resource}", entry.verb),
                    is_event: resource == "events",
                };
                *requests.counts.entry(request).or_default().entry(place.kind).or_default() += 1;
            }
            if !self.is_renamed()? {
                break;
            }
            self.file = BufReader::new(File::open(&self.path)?);
        }
        for place in places {
            let found = created.get(&place.kind).copied().unwrap_or_default();
            if found != objects {
                let what = place.kind.name();
                return Err(format!("the audit log has {found} creations of a {what}, not {objects}").into());
            }
            *requests.objects.entry(place.kind).or_default() += objects;
        }
        Ok(())
    }

    fn is_renamed(&self) -> Result<bool> {
        Ok(self.file.get_ref().metadata()?.ino() != std::fs::metadata(&self.path)?.ino())
    }
}

/// The user as people call it.
fn known(user: &str) -> String {
    match user {
        "system:serviceaccount:longshore-system:longshore" => "operator",
        "system:kube-scheduler" => "scheduler",
        "system:kube-controller-manager" => "controller manager",
        "admin" => "the client that measures",
        node if node.starts_with("system:node:") => "kubelet",
        other => other.strip_prefix("system:serviceaccount:kube-system:").unwrap_or(other),
    }
    .to_owned()
}
