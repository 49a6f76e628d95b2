//! Changes since the latest run that start nothing.

use k8s_openapi::jiff::Timestamp;

use super::clocks::after;
use crate::{
    api::{DeploymentActionStatus, condition::ConditionType},
    operator::{
        lifecycle::{
            facts::{Facts, Source},
            status::told,
        },
        spec::expand::Lookup,
    },
    record::quoted,
};

/// How the template differs from the one of the latest run. A template that does not exist, or that the
/// action no longer names, is no news.
pub(super) fn template_news(facts: &Facts<'_>, status: &DeploymentActionStatus) -> Option<String> {
    let frozen = status.template.as_ref()?;
    let Some(Lookup::Found(now)) = facts.template else {
        // If the template is not known yet, the condition stays as it is.
        let told = told(status, ConditionType::TemplateOutdated);
        return told.filter(|_| facts.template == Some(&Lookup::Unread));
    };
    let same_name = (now.kind, &now.name) == (frozen.kind, &frozen.name);
    if !same_name || now.is(frozen) {
        return None;
    }
    let again = if now.uid == frozen.uid { "" } else { " of another template under its name" };
    Some(format!(
        "{} {} is at generation {}{again}, and the latest run was made of generation {}: set a new spec.runToken to run it as it is now",
        now.kind.as_str(),
        now.name,
        now.generation,
        frozen.generation
    ))
}

/// News of the script's `ConfigMap`: it holds another script than the latest run had.
pub(super) fn source_news(facts: &Facts<'_>, status: &DeploymentActionStatus) -> Option<String> {
    let run = status.run.as_ref()?;
    let had = run.script_sha256.as_ref()?;
    // An answer from before the run's end may be older than its script. Times in a status are in whole
    // seconds.
    let ended = run.finished_at.as_ref().map_or(Timestamp::MAX, |time| after(time.0, 1));
    match &facts.source {
        Source::None => None,
        Source::Found { sha256, .. } if sha256 == had => None,
        Source::Found { name, key, asked, .. } if *asked >= ended => Some(format!(
            "key {} of ConfigMap {} holds another script than the latest run had: set a new spec.runToken, or the annotation longshore.dev/rerun, to run it as it is now",
            quoted(key),
            quoted(name)
        )),
        Source::Unread | Source::Found { .. } => told(status, ConditionType::SourceOutdated),
    }
}
