//! Rights: what a refusal says is missing, and the command that grants it.

use std::fmt::{self, Display};

use crate::api::{GROUP, LOG_GROUP};

/// A right to do something with a resource.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Right {
    /// The verb.
    pub verb: String,
    /// The API group. The core group is empty.
    pub group: String,
    /// The resource, with its subresource after a slash.
    pub resource: String,
    /// The namespace, or none for the whole cluster.
    pub namespace: Option<String>,
    /// The only object that it is about, if it is about one.
    pub name: Option<String>,
}

/// A right that a user does not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denied {
    /// Who.
    pub user: String,
    /// What.
    pub right: Right,
}

impl Right {
    /// A right on one of Longshore's own resources.
    #[must_use]
    pub fn own(verb: &str, resource: &str, namespace: Option<&str>) -> Self {
        Self::new(verb, GROUP, resource, namespace)
    }

    /// A right on all objects of a resource.
    #[must_use]
    pub fn new(verb: &str, group: &str, resource: &str, namespace: Option<&str>) -> Self {
        Self {
            verb: verb.to_owned(),
            group: group.to_owned(),
            resource: resource.to_owned(),
            namespace: namespace.map(str::to_owned),
            name: None,
        }
    }

    /// Reads the right that is missing from the API server's message. It is none if another thing is wrong.
    #[must_use]
    pub fn denied(message: &str) -> Option<Denied> {
        let (_, told) = message.rsplit_once("User \"")?;
        let (user, told) = told.split_once("\" cannot ")?;
        let (verb, told) = told.split_once(" resource \"")?;
        let (resource, told) = told.split_once("\" in API group \"")?;
        let (group, told) = told.split_once('"')?;
        let namespace = told
            .strip_prefix(" in the namespace \"")
            .and_then(|told| told.split_once('"'))
            .map(|(namespace, _)| namespace);
        let right = Self::new(verb, group, resource, namespace);
        Some(Denied { user: user.to_owned(), right })
    }

    /// The resource with its group, as kubectl names it.
    #[must_use]
    pub fn full_resource(&self) -> String {
        match (self.group.as_str(), self.resource.split_once('/')) {
            ("", _) => self.resource.clone(),
            (group, None) => format!("{}.{group}", self.resource),
            (group, Some((resource, part))) => format!("{resource}.{group}/{part}"),
        }
    }

    /// The commands that grant it to a user. Somebody has to run them who has the right, and may grant it.
    #[must_use]
    pub fn grant(&self, user: &str) -> String {
        let subject = match user.strip_prefix("system:serviceaccount:") {
            Some(account) => format!("--serviceaccount={}", quoted(account)),
            None => format!("--user={}", quoted(user)),
        };
        let (kind, place) = match &self.namespace {
            Some(namespace) => ("role", format!(" -n {}", quoted(namespace))),
            None => ("clusterrole", String::new()),
        };
        let who = name_of(user);
        if let Some(role) = self.usual_role() {
            return format!(
                "kubectl create {kind}binding {who}-{role} --clusterrole={role} {subject}{place}"
            );
        }
        let role = format!("{who}-{}-{}", self.verb, self.resource.replace('/', "-"));
        let only =
            self.name.as_ref().map_or_else(String::new, |name| format!(" --resource-name={}", quoted(name)));
        format!(
            "kubectl create {kind} {role} --verb={} --resource={}{only}{place}\nkubectl create {kind}binding {role} --{kind}={role} {subject}{place}",
            self.verb,
            self.full_resource()
        )
    }

    /// The cluster's role that has it, once the chart has added Longshore's kinds to it.
    fn usual_role(&self) -> Option<&'static str> {
        let reads = matches!(self.verb.as_str(), "get" | "list" | "watch");
        match (self.group.as_str(), self.resource.as_str()) {
            ("", "pods" | "pods/log" | "events" | "configmaps" | "serviceaccounts")
            | (LOG_GROUP | GROUP, _)
                if reads =>
            {
                Some("view")
            }
            (GROUP, "deploymentactions" | "deploymentactiontemplates")
                if matches!(self.verb.as_str(), "create" | "update" | "patch" | "delete") =>
            {
                Some("edit")
            }
            _ => None,
        }
    }
}

impl Display for Right {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{} {}", self.verb, self.full_resource())?;
        if let Some(name) = &self.name {
            write!(to, " {name}")?;
        }
        match &self.namespace {
            Some(namespace) => write!(to, " in the namespace {namespace}"),
            None => to.write_str(" in the whole cluster"),
        }
    }
}

impl Display for Denied {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            to,
            "{} may not {}\nsomebody who may grant it can run:\n{}",
            self.user,
            self.right,
            self.right.grant(&self.user)
        )
    }
}

/// A user's name, as a part of an object's name.
fn name_of(user: &str) -> String {
    let last = user.rsplit([':', '/']).next().unwrap_or(user);
    let name: String = last
        .to_lowercase()
        .chars()
        .map(|character| if character.is_ascii_alphanumeric() { character } else { '-' })
        .collect();
    let name = name.trim_matches('-');
    if name.is_empty() { "longshore".to_owned() } else { name.to_owned() }
}

/// A text as a word of a shell.
pub(super) fn quoted(text: &str) -> String {
    let plain = |character: char| character.is_ascii_alphanumeric() || "-_./:@,+=".contains(character);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn denied(message: &str) -> String {
        Right::denied(message).unwrap().to_string()
    }

    #[test]
    fn a_refusal_says_the_command_that_grants_the_right() {
        let list = r#"deploymentactions.longshore.dev is forbidden: User "alice" cannot list resource "deploymentactions" in API group "longshore.dev" in the namespace "shop""#;
        insta::assert_snapshot!(denied(list), @r"
        alice may not list deploymentactions.longshore.dev in the namespace shop
        somebody who may grant it can run:
        kubectl create rolebinding alice-view --clusterrole=view --user=alice -n shop
        ");
        let everywhere = r#"deploymentactions.longshore.dev is forbidden: User "system:serviceaccount:ci:bot" cannot list resource "deploymentactions" in API group "longshore.dev" at the cluster scope"#;
        insta::assert_snapshot!(denied(everywhere), @r"
        system:serviceaccount:ci:bot may not list deploymentactions.longshore.dev in the whole cluster
        somebody who may grant it can run:
        kubectl create clusterrolebinding bot-view --clusterrole=view --serviceaccount=ci:bot
        ");
        let other = r#"leases.coordination.k8s.io is forbidden: User "Bob Ross" cannot list resource "leases" in API group "coordination.k8s.io" in the namespace "shop": not allowed"#;
        insta::assert_snapshot!(denied(other), @r"
        Bob Ross may not list leases.coordination.k8s.io in the namespace shop
        somebody who may grant it can run:
        kubectl create role bob-ross-list-leases --verb=list --resource=leases.coordination.k8s.io -n shop
        kubectl create rolebinding bob-ross-list-leases --role=bob-ross-list-leases --user='Bob Ross' -n shop
        ");
    }

    #[test]
    fn a_policy_s_refusal_is_no_missing_right() {
        assert_eq!(Right::denied("admission webhook denied the request: User \"x\" is odd"), None);
        assert_eq!(Right::denied(""), None);
    }

    #[test]
    fn a_shell_reads_a_quoted_word_as_it_is() {
        assert_eq!(quoted("a-b.c"), "a-b.c");
        assert_eq!(quoted("it's $HOME"), r"'it'\''s $HOME'");
        assert_eq!(quoted(""), "''");
    }
}
