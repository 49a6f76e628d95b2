//! Rights that are granted, and requests that were made.

use std::{collections::BTreeSet, fmt};

use serde_json::Value;

/// A verb on a resource.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Right {
    verb: String,
    group: String,
    /// With its subresource: `pods/log`.
    resource: String,
}

impl Right {
    pub(crate) fn new(verb: &str, group: &str, resource: &str) -> Self {
        Self { verb: verb.to_owned(), group: group.to_owned(), resource: resource.to_owned() }
    }
}

impl fmt::Display for Right {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} {}", self.verb, self.resource)?;
        if self.group.is_empty() { Ok(()) } else { write!(out, " of {}", self.group) }
    }
}

/// A request, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Used {
    pub(crate) right: Right,
    /// The authorizer's: `allow` or `forbid`.
    pub(crate) decision: String,
    /// HTTP.
    pub(crate) code: u64,
}

impl Used {
    pub(crate) fn allowed(right: &Right) -> Self {
        Self { right: right.clone(), decision: "allow".to_owned(), code: 200 }
    }
}

/// What the service account `account` may do by roles and bindings among `objects`.
pub(crate) fn granted(objects: &[Value], account: &str) -> BTreeSet<Right> {
    let mut rights = BTreeSet::new();
    let bindings = objects.iter().filter(|one| {
        let subjects = one["subjects"].as_array().into_iter().flatten();
        subjects.into_iter().any(|subject| subject["kind"] == "ServiceAccount" && subject["name"] == account)
    });
    for binding in bindings {
        let role = objects.iter().find(|one| {
            one["kind"] == binding["roleRef"]["kind"]
                && one["metadata"]["name"] == binding["roleRef"]["name"]
                && one["metadata"]["namespace"] == binding["metadata"]["namespace"]
        });
        let role = role.unwrap_or_else(|| panic!("no role of {}", binding["roleRef"]));
        for rule in role["rules"].as_array().expect("rules") {
            let texts = |field: &str| {
                rule[field].as_array().into_iter().flatten().map(|one| one.as_str().expect("a text"))
            };
            for group in texts("apiGroups") {
                for resource in texts("resources") {
                    rights.extend(texts("verbs").map(|verb| Right::new(verb, group, resource)));
                }
            }
        }
    }
    assert!(!rights.is_empty(), "the chart grants {account} nothing");
    rights
}

/// What does not fit, each with what to do about it.
pub(crate) fn findings(
    granted: &BTreeSet<Right>,
    used: &[Used],
    unused: &[Right],
    from_elsewhere: &[Right],
    refused_by_admission: &[Right],
) -> Vec<String> {
    let mut found = Vec::new();
    let allowed: BTreeSet<&Right> =
        used.iter().filter(|one| one.decision == "allow").map(|one| &one.right).collect();
    for right in granted.iter().filter(|right| !allowed.contains(right) && !unused.contains(right)) {
        found.push(format!(
            "granted and never used: {right}: take it out of charts/longshore/templates, or list it with its reason"
        ));
    }
    for right in unused {
        if allowed.contains(right) {
            found.push(format!("listed as unused, and used: {right}"));
        } else if !granted.contains(right) {
            found.push(format!("listed as unused, and not granted: {right}"));
        }
    }
    for right in &allowed {
        if !granted.contains(right) && !from_elsewhere.contains(right) {
            found.push(format!("used and not granted by the chart: {right}: by which role?"));
        }
    }
    for one in used.iter().filter(|one| one.code == 403) {
        let right = &one.right;
        if one.decision == "allow" && !refused_by_admission.contains(right) {
            found.push(format!("refused by admission: {right}: which policy, and is it meant?"));
        }
        // What is granted is forbidden while a release is changed or removed under its operator.
        if one.decision != "allow" && !granted.contains(right) && !from_elsewhere.contains(right) {
            found.push(format!("asked for, and neither granted nor listed: {right}"));
        }
    }
    found
}
