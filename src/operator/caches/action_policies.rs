//! The `ActionPolicy` objects that count, watched.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock},
};

use futures::{StreamExt, stream};
use kube::{
    Client, ResourceExt,
    core::DeserializeGuard,
    runtime::watcher::{self, Event},
};
use tokio::sync::watch::{Receiver, Sender, channel};
use tracing::warn;

use super::watch;
use crate::{
    api::{ActionPolicy, DeploymentActionSpec, action_policy::NAME},
    operator::spec::policy::{Policy, Standing, violations},
};

/// The `ActionPolicy` objects that count, as the watches have them. Clones share them.
#[derive(Debug, Clone)]
pub(crate) struct ActionPolicies {
    known: Arc<RwLock<Known>>,
    operator_namespace: Arc<str>,
    filled: Receiver<bool>,
}

/// A policy's rules, or why they cannot be read.
type Read = Result<Policy, String>;

/// One watch, of all namespaces or of one.
#[derive(Debug, Default)]
struct Part {
    read: BTreeMap<String, Read>,
    /// The objects of a list that is under way.
    listing: BTreeMap<String, Read>,
    listed: bool,
}

#[derive(Debug, Default)]
struct Known {
    parts: Vec<Part>,
}

impl ActionPolicies {
    /// Knows nothing yet. The policy in `operator_namespace` holds for the whole cluster. Pass the sender to
    /// [`Self::watch`].
    #[must_use]
    pub(crate) fn new(operator_namespace: &str) -> (Self, Sender<bool>) {
        let (sender, filled) = channel(false);
        (Self { known: Arc::default(), operator_namespace: operator_namespace.into(), filled }, sender)
    }

    /// Waits until every watch has listed its policies once.
    pub(crate) async fn wait_until_filled(&self) {
        // If the watch has ended, the process ends too.
        let _ = self.filled.clone().wait_for(|filled| *filled).await;
    }

    /// Watches the policies of these namespaces and of the operator's own, forever. If no namespace is named,
    /// it watches all.
    pub(crate) async fn watch(self, client: Client, namespaces: Vec<String>, filled: Sender<bool>) {
        let mut of = namespaces;
        if !of.is_empty() && !of.iter().any(|name| **name == *self.operator_namespace) {
            of.push(self.operator_namespace.to_string());
        }
        let watches =
            watch::watches::<DeserializeGuard<ActionPolicy>>(&client, &of, &watcher::Config::default());
        self.write(|known| known.parts.resize_with(watches.len(), Part::default));
        let tagged =
            watches.into_iter().enumerate().map(|(part, watch)| watch.map(move |event| (part, event)));
        let mut events = stream::select_all(tagged);
        while let Some((part, event)) = events.next().await {
            match event {
                Ok(event) => {
                    let all = self.write(|known| {
                        if let Some(part) = known.parts.get_mut(part) {
                            part.take(event);
                        }
                        known.parts.iter().all(|part| part.listed)
                    });
                    filled.send_if_modified(|filled| !std::mem::replace(filled, all) && all);
                }
                // The policies known so far stay.
                Err(error) => warn!(%error, "ActionPolicies cannot be watched"),
            }
        }
    }

    fn write<T>(&self, change: impl FnOnce(&mut Known) -> T) -> T {
        change(&mut self.known.write().unwrap_or_else(PoisonError::into_inner))
    }

    /// Judges `spec` in `namespace` by the namespace's policy and the cluster's.
    #[must_use]
    pub(crate) fn judge(&self, namespace: &str, spec: &DeploymentActionSpec, templated: bool) -> Standing {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        if known.parts.is_empty() || !known.parts.iter().all(|part| part.listed) {
            return Standing::Unread(
                "the operator has not read the ActionPolicies yet and starts no run before; if this lasts, its log says why".into(),
            );
        }
        let of = |namespace: &str| known.parts.iter().find_map(|part| part.read.get(namespace));
        let own = of(namespace);
        let cluster =
            (*namespace != *self.operator_namespace).then(|| of(&self.operator_namespace)).flatten();
        let mut found = Vec::new();
        for policy in own.into_iter().chain(cluster) {
            match policy {
                Ok(policy) => found.extend(violations(policy, spec, templated)),
                Err(why) => return Standing::Unread(why.clone()),
            }
        }
        if found.is_empty() { Standing::Allowed } else { Standing::Refused(found.join("; ")) }
    }
}

impl Part {
    fn take(&mut self, event: Event<DeserializeGuard<ActionPolicy>>) {
        match event {
            Event::Init => self.listing.clear(),
            Event::InitApply(policy) => put(&mut self.listing, policy),
            Event::InitDone => {
                self.read = std::mem::take(&mut self.listing);
                self.listed = true;
            }
            Event::Apply(policy) => put(&mut self.read, policy),
            Event::Delete(policy) => {
                if let Some((namespace, _)) = read(policy) {
                    self.read.remove(&namespace);
                }
            }
        }
    }
}

fn put(into: &mut BTreeMap<String, Read>, policy: DeserializeGuard<ActionPolicy>) {
    into.extend(read(policy));
}

/// A policy by its namespace. `None` if its name says that it does not count. A policy that cannot be read
/// blocks every start that it may forbid.
fn read(policy: DeserializeGuard<ActionPolicy>) -> Option<(String, Read)> {
    match policy.0 {
        Ok(policy) => (policy.name_any() == NAME).then(|| {
            let namespace = policy.namespace().unwrap_or_default();
            (namespace.clone(), Ok(Policy { namespace, spec: policy.spec }))
        }),
        Err(invalid) => (invalid.metadata.name.as_deref() == Some(NAME)).then(|| {
            let namespace = invalid.metadata.namespace.unwrap_or_default();
            let why = format!(
                "ActionPolicy/{NAME} of namespace {namespace} cannot be read, so no run starts that it may forbid: {}",
                invalid.error
            );
            warn!(why, "an ActionPolicy cannot be read");
            (namespace, Err(why))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operator::testing::objects::action;
    use serde_json::{Value, json};

    fn guard(namespace: &str, name: &str, spec: &Value) -> DeserializeGuard<ActionPolicy> {
        let object = json!({
            "apiVersion": "longshore.dev/v1alpha1", "kind": "ActionPolicy",
            "metadata": {"name": name, "namespace": namespace}, "spec": spec,
        });
        serde_json::from_value(object).unwrap()
    }

    /// The policies of these watches, whose first lists have arrived.
    fn listed(policies: Vec<Vec<DeserializeGuard<ActionPolicy>>>) -> ActionPolicies {
        let (known, _) = ActionPolicies::new("system");
        known.write(|known| {
            for list in policies {
                let mut part = Part::default();
                part.take(Event::Init);
                for policy in list {
                    part.take(Event::InitApply(policy));
                }
                part.take(Event::InitDone);
                known.parts.push(part);
            }
        });
        known
    }

    fn refused(standing: &Standing) -> &str {
        match standing {
            Standing::Refused(words) => words,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn nothing_is_allowed_before_all_lists_are_there() {
        let spec = action().spec;
        let (unread, _) = ActionPolicies::new("system");
        assert!(matches!(unread.judge("shop", &spec, false), Standing::Unread(_)));
        let half = listed(vec![vec![]]);
        half.write(|known| known.parts.push(Part::default()));
        assert!(matches!(half.judge("shop", &spec, false), Standing::Unread(_)));
        assert_eq!(listed(vec![vec![]]).judge("shop", &spec, false), Standing::Allowed);
    }

    #[test]
    fn the_namespace_s_and_the_cluster_s_both_hold() {
        let spec = action().spec;
        let policies = listed(vec![vec![
            guard("shop", NAME, &json!({"digestsOnly": true})),
            guard("system", NAME, &json!({"maxRunDeadlineSeconds": 60})),
        ]]);
        let both = policies.judge("shop", &spec, false);
        assert!(refused(&both).contains("namespace shop") && refused(&both).contains("namespace system"));
        let other = policies.judge("other", &spec, false);
        assert!(!refused(&other).contains("shop") && refused(&other).contains("runDeadlineSeconds"));
        let own = policies.judge("system", &spec, false);
        assert_eq!(refused(&own).matches("runDeadlineSeconds").count(), 1);
    }

    #[test]
    fn one_that_cannot_be_read_holds_back_and_one_of_another_name_does_not_count() {
        let spec = action().spec;
        let unreadable = listed(vec![vec![guard("shop", NAME, &json!({"registries": "all"}))]]);
        assert!(
            matches!(unreadable.judge("shop", &spec, false), Standing::Unread(why) if why.contains("namespace shop"))
        );
        assert_eq!(unreadable.judge("other", &spec, false), Standing::Allowed);
        let other = listed(vec![vec![guard("shop", "another", &json!({"digestsOnly": true}))]]);
        assert_eq!(other.judge("shop", &spec, false), Standing::Allowed);
    }

    #[test]
    fn what_is_changed_and_what_goes_is_followed() {
        let spec = action().spec;
        let policies = listed(vec![vec![], vec![]]);
        let take = |event| policies.write(|known| known.parts[1].take(event));
        take(Event::Apply(guard("shop", NAME, &json!({"digestsOnly": true}))));
        refused(&policies.judge("shop", &spec, false));
        take(Event::Apply(guard("shop", NAME, &json!({}))));
        assert_eq!(policies.judge("shop", &spec, false), Standing::Allowed);
        take(Event::Apply(guard("shop", NAME, &json!({"digestsOnly": true}))));
        take(Event::Delete(guard("shop", NAME, &json!({}))));
        assert_eq!(policies.judge("shop", &spec, false), Standing::Allowed);
        // A list that begins anew forgets nothing before its end.
        take(Event::Apply(guard("shop", NAME, &json!({"digestsOnly": true}))));
        take(Event::Init);
        refused(&policies.judge("shop", &spec, false));
        take(Event::InitDone);
        assert_eq!(policies.judge("shop", &spec, false), Standing::Allowed);
    }
}
