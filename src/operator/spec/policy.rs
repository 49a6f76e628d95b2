//! Finds what an `ActionPolicy` does not allow in an action.
//!
//! The API server checks the same when an action is written, with the expressions of
//! [`crate::api::policy::action_policy`]. The operator checks again when a run starts, so a policy also holds
//! for actions that were there before it.

#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, fmt};

use serde::Serialize;
use serde_json::Value;

use super::quantity;
use crate::{
    api::{
        ActionPolicySpec, DeploymentActionSpec,
        action::{Amount, SecurityProfile},
        action_policy::NAME,
        status::Deadlines,
    },
    registry::ImageReference,
};

/// An `ActionPolicy` and its namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Its namespace.
    pub namespace: String,
    /// Its spec.
    pub spec: ActionPolicySpec,
}

impl fmt::Display for Policy {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "ActionPolicy/{NAME} of namespace {}", self.namespace)
    }
}

/// The field that names the image.
const IMAGE: &str = "spec.image";
/// If an action names no limit for these, they have none. It gets nothing of other resources that it does not
/// name.
const UNLIMITED: [&str; 3] = ["cpu", "memory", "ephemeral-storage"];
/// Security settings of the pod that are allowed if only some profiles are.
const OF_POD: [&str; 7] = [
    "runAsUser",
    "runAsGroup",
    "runAsNonRoot",
    "fsGroup",
    "fsGroupChangePolicy",
    "supplementalGroups",
    "supplementalGroupsPolicy",
];
/// The same for those of the container.
const OF_CONTAINER: [&str; 4] = ["runAsUser", "runAsGroup", "runAsNonRoot", "readOnlyRootFilesystem"];

/// Everything in `spec` that `policy` does not allow. Each sentence names the field, the value, the policy
/// and what to write instead. `spec` is what is executed, whichever part comes from the action or its
/// template. `templated` says whether it has a template.
#[must_use]
pub fn violations(policy: &Policy, spec: &DeploymentActionSpec, templated: bool) -> Vec<String> {
    let mut found = Vec::new();
    if policy.spec.templates_only && !templated {
        found.push(format!(
            "spec.templateRef is not set, and {policy} allows actions of templates only: name a template there instead of image and script"
        ));
    }
    found.extend(references(policy, spec, templated));
    found.extend(profile(policy, spec));
    let says = &policy.spec;
    let deadlines = spec.deadlines();
    found.extend(runs_longer(policy, &deadlines, says.max_run_deadline_seconds));
    found.extend(pends_longer(policy, deadlines.pending_seconds, says.max_pending_deadline_seconds));
    found.extend(resources(policy, spec));
    found
}

/// Every reference that is pulled, with the field that names it.
fn pulled(spec: &DeploymentActionSpec) -> impl Iterator<Item = (String, &str)> {
    let image = spec.image.iter().map(|image| (IMAGE.to_owned(), image.as_str()));
    let packages = spec.packages.iter().filter_map(|package| {
        let reference = package.reference.as_deref()?;
        Some((format!("spec.packages[{}].reference", package.name), reference))
    });
    image.chain(packages)
}

/// The version of a template's package is mostly a tag, which is pinned when the run starts. So `digestsOnly`
/// asks for no digest there. It does not at admission either.
fn references(policy: &Policy, spec: &DeploymentActionSpec, templated: bool) -> Vec<String> {
    let (mut outside, mut unpinned) = (Vec::new(), Vec::new());
    for (field, text) in pulled(spec) {
        let reference = match ImageReference::parse(text) {
            Ok(reference) => reference,
            Err(error) => {
                outside.push(format!("{field}: {error}"));
                continue;
            }
        };
        let full = format!("{}/{}", reference.registry(), reference.repository());
        if let Some(places) = &policy.spec.registries
            && !places.iter().any(|place| is_below(&full, place))
        {
            outside.push(format!(
                "{field} is {text}, that is {full}, and {policy} allows only what is below {}: take it from there, or ask for its place in spec.registries of that policy",
                places.join(", ")
            ));
        }
        let chosen = templated && field != IMAGE;
        if policy.spec.digests_only && reference.digest().is_none() && !chosen {
            unpinned.push(format!(
                "{field} is {text}, and {policy} allows digests only: write {full}@sha256:..."
            ));
        }
    }
    outside.append(&mut unpinned);
    outside
}

/// Whether `full` begins with the parts of `place`.
fn is_below(full: &str, place: &str) -> bool {
    let mut parts = full.split('/');
    place.split('/').all(|part| parts.next() == Some(part))
}

fn profile(policy: &Policy, spec: &DeploymentActionSpec) -> Vec<String> {
    let Some(allowed) = &policy.spec.security_profiles else { return Vec::new() };
    let shown = allowed.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let template = spec.pod_template.clone().unwrap_or_default();
    let profile = template.security_profile.unwrap_or_default();
    let mut found = Vec::new();
    if !allowed.contains(&profile) {
        let silent =
            if template.security_profile.is_none() { ", which counts where nothing is said" } else { "" };
        found.push(format!(
            "spec.podTemplate.securityProfile is {profile}{silent}, and {policy} allows only {shown}: write one of these"
        ));
    }
    if !allowed.contains(&SecurityProfile::Baseline) {
        let of_pod = loose("securityContext", template.security_context.as_ref(), &OF_POD, profile);
        let of_container = loose(
            "containerSecurityContext",
            template.container_security_context.as_ref(),
            &OF_CONTAINER,
            profile,
        );
        found.extend(of_pod.into_iter().chain(of_container).map(|field| {
            format!("spec.podTemplate.{field} can give more than {shown}, and {policy} allows no other profile: leave it out")
        }));
    }
    found
}

/// Settings that could give more than the profile: all that are not known to be harmless.
fn loose(
    field: &str,
    context: Option<&impl Serialize>,
    free: &[&str],
    profile: SecurityProfile,
) -> Vec<String> {
    let context = serde_json::to_value(context).unwrap_or_default();
    let harmless = |key: &str, value: &Value| {
        free.contains(&key)
            && !(key == "runAsUser" && *value == 0 && profile != SecurityProfile::UserNamespaceRoot)
            && !(key == "runAsNonRoot" && *value != true)
    };
    let settings = context.as_object().into_iter().flatten();
    settings
        .filter(|(key, value)| !value.is_null() && !harmless(key, value))
        .map(|(key, _)| format!("{field}.{key}"))
        .collect()
}

/// A script that was asked to stop at its deadline may run on until its grace period is over.
fn runs_longer(policy: &Policy, deadlines: &Deadlines, most: Option<i64>) -> Option<String> {
    let Deadlines { run_seconds: run, grace_seconds: grace, pending_seconds: _ } = deadlines;
    let both = run.saturating_add(*grace);
    let most = most.filter(|most| both > *most)?;
    Some(format!(
        "spec.runDeadlineSeconds is {run} and spec.terminationGracePeriodSeconds is {grace}, {both} together, and {policy} allows at most {most} for both: write two that are {most} or less together"
    ))
}

fn pends_longer(policy: &Policy, seconds: i64, most: Option<i64>) -> Option<String> {
    let most = most.filter(|most| seconds > *most)?;
    Some(format!(
        "spec.pendingDeadlineSeconds is {seconds}, and {policy} allows at most {most}: write {most} or less"
    ))
}

fn resources(policy: &Policy, spec: &DeploymentActionSpec) -> Vec<String> {
    let most = &policy.spec.max_resources;
    let resources = spec.resources.clone().unwrap_or_default();
    let mut found = Vec::new();
    for name in UNLIMITED {
        if let Some(most) = most.get(name)
            && !resources.limits.contains_key(name)
        {
            found.push(format!(
                "spec.resources.limits has no {name}, and {policy} allows at most {}: write spec.resources.limits with {name} of that or less",
                text(most)
            ));
        }
    }
    for (list, amounts) in [("limits", &resources.limits), ("requests", &resources.requests)] {
        found.extend(above(amounts, most).map(|(name, amount, most)| {
            format!(
                "spec.resources.{list}.{name} is {}, and {policy} allows at most {}: write that or less",
                text(amount),
                text(most)
            )
        }));
    }
    found
}

/// Amounts that exceed the most that is allowed, or cannot be compared with it.
fn above<'a>(
    amounts: &'a BTreeMap<String, Amount>,
    most: &'a BTreeMap<String, Amount>,
) -> impl Iterator<Item = (&'a String, &'a Amount, &'a Amount)> {
    amounts.iter().filter_map(|(name, amount)| {
        let most = most.get(name)?;
        let fits = quantity::nanos(&text(amount))
            .zip(quantity::nanos(&text(most)))
            .is_some_and(|(amount, most)| amount <= most);
        (!fits).then_some((name, amount, most))
    })
}

fn text(amount: &Amount) -> String {
    match amount {
        Amount::Whole(number) => number.to_string(),
        Amount::Text(text) => text.clone(),
    }
}

/// The policies' word on an action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// They allow it.
    Allowed,
    /// They cannot be read, or not all of them. The text says why.
    Unread(String),
    /// They do not allow it. The text says what.
    Refused(String),
}
