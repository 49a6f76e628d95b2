//! An action in the cache, serialized. If its run has ended and nothing is asked for, the cache keeps only
//! what shows that this is still so.
//!
//! The cache holds every action for as long as it exists, and the operator hardly ever looks at one. As a
//! Rust value, even a small action takes kilobytes, and a list of short texts takes eight times what it takes
//! as JSON.

use std::borrow::Cow;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{Resource, ResourceExt, core::NamespaceResourceScope, runtime::reflector::ObjectRef};
use serde::{Deserialize, Deserializer};

use super::prune;
use crate::{
    api::{DeploymentAction, Phase, action::ScriptRef, condition::ConditionType, template::TemplateKind},
    operator::lifecycle::decide,
};

/// An action in the cache.
#[derive(Debug, Clone, Default)]
pub struct Cached {
    /// Only name, namespace, UID and resource version.
    metadata: ObjectMeta,
    phase: Option<Phase>,
    template: Option<(TemplateKind, Box<str>)>,
    concerns_lock: bool,
    script: Option<Box<ScriptRead>>,
    content: Content,
}

/// The script of the latest run, which came from a `ConfigMap`.
#[derive(Debug, Clone)]
pub struct ScriptRead {
    /// The key that the action names. `None` if its template names it.
    pub from: Option<ScriptRef>,
    /// SHA-256 of the script that the run executed.
    pub sha256: Box<str>,
    /// Whether the status says that the `ConfigMap` has another script now.
    pub outdated: bool,
}

impl ScriptRead {
    fn of(action: &DeploymentAction) -> Option<Box<Self>> {
        let status = action.status.as_ref()?;
        let sha256 = status.run.as_ref()?.script_sha256.as_deref()?.into();
        let from = action.spec.script.as_ref().and_then(|script| script.config_map_key_ref.clone());
        let outdated = status.conditions().is_true(ConditionType::SourceOutdated);
        Some(Box::new(Self { from, sha256, outdated }))
    }
}

/// The kept content, as JSON.
#[derive(Debug, Clone, Default)]
enum Content {
    /// Nothing. Only the metadata is known.
    #[default]
    Nothing,
    /// Everything that the operator ever reads.
    Whole(Box<[u8]>),
    /// The stand-in for an action that needs no work.
    StandIn(Box<[u8]>),
}

/// The stand-in for an action that needs no work: [`decide::stand_in`]. It has no resource version, so it can
/// never be written.
#[derive(Debug, Clone, PartialEq)]
pub struct StandIn(DeploymentAction);

impl StandIn {
    /// The action, with only the fields that show that it needs no work.
    #[must_use]
    pub fn into_action(self) -> DeploymentAction {
        self.0
    }
}

impl Cached {
    /// An action with its metadata alone.
    #[must_use]
    pub fn bare(metadata: &ObjectMeta) -> Self {
        Self { metadata: named(metadata), ..Self::default() }
    }

    /// The action with everything that the operator ever reads. `None` if the cache does not have that.
    #[must_use]
    pub fn whole(&self) -> Option<DeploymentAction> {
        match &self.content {
            Content::Whole(content) => serde_json::from_slice(content).ok(),
            Content::StandIn(_) | Content::Nothing => None,
        }
    }

    /// The stand-in for the action. `None` if the action may need work.
    #[must_use]
    pub fn stand_in(&self) -> Option<StandIn> {
        match &self.content {
            Content::StandIn(content) => serde_json::from_slice(content).ok().map(StandIn),
            Content::Whole(_) | Content::Nothing => None,
        }
    }

    /// All that is kept, for callers that only read the run and write nothing.
    #[must_use]
    pub fn known(&self) -> DeploymentAction {
        let known = self.whole().or_else(|| self.stand_in().map(StandIn::into_action));
        known.unwrap_or_else(|| DeploymentAction {
            metadata: self.metadata.clone(),
            ..DeploymentAction::default()
        })
    }

    /// Its namespace and name.
    #[must_use]
    pub fn reference(&self) -> ObjectRef<DeploymentAction> {
        ObjectRef::new(&self.name_any()).within(self.metadata.namespace.as_deref().unwrap_or_default())
    }

    /// The phase in its status.
    #[must_use]
    pub const fn phase(&self) -> Option<Phase> {
        self.phase
    }

    /// The template that it names.
    #[must_use]
    pub fn template(&self) -> Option<(TemplateKind, &str)> {
        self.template.as_ref().map(|(kind, name)| (*kind, name.as_ref()))
    }

    /// The script of its latest run, if that came from a `ConfigMap`.
    #[must_use]
    pub fn script(&self) -> Option<&ScriptRead> {
        self.script.as_deref()
    }

    /// Whether its spec or its run names a lock.
    #[must_use]
    pub const fn concerns_lock(&self) -> bool {
        self.concerns_lock
    }

    /// Whether this is a later state of the same action. Resource versions of one resource can be compared
    /// since Kubernetes 1.35 (KEP-5504). If they are not numbers, no state is later.
    #[must_use]
    pub fn is_newer_than(&self, other: &Self) -> bool {
        let version =
            |action: &Self| action.resource_version().and_then(|version| version.parse::<u64>().ok());
        self.metadata.uid == other.metadata.uid && version(self) > version(other)
    }
}

/// Only the metadata that identifies an object and its state.
fn named(metadata: &ObjectMeta) -> ObjectMeta {
    ObjectMeta {
        name: metadata.name.clone(),
        namespace: metadata.namespace.clone(),
        uid: metadata.uid.clone(),
        resource_version: metadata.resource_version.clone(),
        ..ObjectMeta::default()
    }
}

impl From<DeploymentAction> for Cached {
    fn from(mut action: DeploymentAction) -> Self {
        prune::action(&mut action);
        let status = action.status.as_ref();
        let lock = status.and_then(|status| status.run.as_ref()?.lock.as_ref());
        let template = action.spec.template_ref.as_ref();
        let bytes = |action: &DeploymentAction| serde_json::to_vec(action).map(Vec::into_boxed_slice);
        let content = match decide::stand_in(&action) {
            Some(stand_in) => bytes(&stand_in).map(Content::StandIn),
            None => bytes(&action).map(Content::Whole),
        };
        Self {
            metadata: named(&action.metadata),
            phase: status.and_then(|status| status.phase),
            template: template.map(|template| (template.kind(), template.name.as_str().into())),
            concerns_lock: action.spec.lock.is_some() || lock.is_some(),
            script: ScriptRead::of(&action),
            // Serializing never fails for these types. If it did, the action would be read from the API
            // server.
            content: content.unwrap_or_default(),
        }
    }
}

/// Each action of a list becomes small at once, so a page of them is never in memory as a whole.
impl<'de> Deserialize<'de> for Cached {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        DeploymentAction::deserialize(deserializer).map(Self::from)
    }
}

impl Resource for Cached {
    type DynamicType = ();
    type Scope = NamespaceResourceScope;

    fn kind((): &()) -> Cow<'_, str> {
        DeploymentAction::kind(&())
    }

    fn group((): &()) -> Cow<'_, str> {
        DeploymentAction::group(&())
    }

    fn version((): &()) -> Cow<'_, str> {
        DeploymentAction::version(&())
    }

    fn plural((): &()) -> Cow<'_, str> {
        DeploymentAction::plural(&())
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        api::{Reason, action::Lock},
        operator::{
            call::CallError,
            lifecycle::verdict::Verdict,
            steps::write_status::write_status,
            testing::{
                objects::{self, action},
                server::{failure, server},
            },
        },
    };

    fn finished() -> DeploymentAction {
        objects::finished(&Verdict::of(Reason::Succeeded, ""), None)
    }

    #[test]
    fn an_action_of_which_something_may_be_asked_is_kept_whole() {
        let mut action = action();
        action.spec.lock = Some(Lock { name: "prod".into(), ..Lock::default() });
        let read: Cached = serde_json::from_value(serde_json::to_value(&action).unwrap()).unwrap();
        let whole = read.whole().unwrap();
        assert_eq!((&whole.spec, &whole.status), (&action.spec, &action.status));
        assert_eq!((whole.resource_version(), read.stand_in()), (action.resource_version(), None));
        assert!(read.concerns_lock());
        assert_eq!(read.reference(), ObjectRef::from_obj(&action));
        assert_eq!(read.uid(), action.uid());
    }

    #[test]
    fn a_list_makes_each_of_its_actions_small() {
        let items: Vec<Cached> = serde_json::from_value(serde_json::json!([finished(), action()])).unwrap();
        assert_eq!(items.iter().map(|one| one.stand_in().is_some()).collect::<Vec<_>>(), [true, false]);
        assert_eq!(items[0].phase(), Some(Phase::Succeeded));
        // The checks over all actions need no more than that.
        assert_eq!(items[0].known().status.unwrap().run.unwrap().number, 1);
        assert_eq!(items[0].resource_version(), finished().resource_version());
    }

    #[tokio::test]
    async fn what_stands_in_for_an_action_is_never_written_in_its_place() {
        let (client, seen) = server(|_| failure(500, "InternalError", "not to be asked"));
        let stand_in = Cached::from(finished()).stand_in().unwrap().into_action();
        let status = stand_in.status.clone().unwrap();
        let error = write_status(&client, &stand_in, &status).await.unwrap_err();
        assert!(matches!(error, CallError::Partial), "{error}");
        assert!(seen.lock().unwrap().is_empty());
    }
}
