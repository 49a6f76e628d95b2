//! Whether the admission policies are in place that keep people from naming what they may not use.
//!
//! The operator never knows the person behind a run, so it cannot repeat the check. It watches the policies
//! and their bindings. While one is not as installed, no run starts that names anything.

use std::{
    collections::BTreeMap,
    fmt::Debug,
    sync::{Arc, PoisonError, RwLock},
};

use futures::{StreamExt, pin_mut};
use k8s_openapi::api::admissionregistration::v1::{
    ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding,
};
use kube::{Api, Client, Resource, runtime::watcher};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use tracing::{info, warn};

use crate::{
    api::policy::{self, BINDING, POLICY, fault},
    lasting_watch::lasting_watch,
    operator::options::UsePolicyOption,
};

/// The state of the use policies. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct UsePolicy(Option<Arc<RwLock<Known>>>);

/// The fault of each object, by its name and kind. Empty if all are as installed.
#[derive(Debug, Default)]
struct Known {
    faults: BTreeMap<(&'static str, &'static str), String>,
}

impl UsePolicy {
    /// Nothing is known yet.
    #[must_use]
    pub(crate) fn new(option: UsePolicyOption) -> Self {
        Self(match option {
            UsePolicyOption::Off => None,
            UsePolicyOption::Enforced => {
                let unread = |(name, kind)| ((name, kind), format!("{kind} {name} has not been read yet"));
                let faults = policy::use_policies()
                    .into_iter()
                    .flat_map(|(name, _)| [(name, POLICY), (name, BINDING)])
                    .map(unread)
                    .collect();
                Some(Arc::new(RwLock::new(Known { faults })))
            }
        })
    }

    /// Why no run that names anything may start. `None` if such runs may start.
    #[must_use]
    pub(crate) fn missing(&self) -> Option<String> {
        let known = self.0.as_ref()?.read().unwrap_or_else(PoisonError::into_inner);
        known.faults.values().next().cloned()
    }

    /// Watches the objects, forever.
    pub(crate) async fn watch(self, client: Client) {
        let all = policy::use_policies().map(|(name, expected)| {
            let (this, client) = (self.clone(), client.clone());
            async move {
                let binding = policy::binding(name);
                tokio::join!(
                    this.watch_one::<ValidatingAdmissionPolicy>(client.clone(), (name, POLICY), expected),
                    this.watch_one::<ValidatingAdmissionPolicyBinding>(client, (name, BINDING), binding),
                );
            }
        });
        futures::future::join_all(all).await;
    }

    async fn watch_one<K>(&self, client: Client, (name, kind): (&'static str, &'static str), expected: Value)
    where
        K: Resource<DynamicType = ()> + Clone + Debug + Serialize + DeserializeOwned + Send + 'static,
    {
        let Some(known) = &self.0 else { return };
        let only = watcher::Config::default().fields(&format!("metadata.name={name}"));
        let events = lasting_watch(Api::<K>::all(client), only);
        pin_mut!(events);
        let mut found = None;
        while let Some(event) = events.next().await {
            match event {
                // A list begins. Its result is known only at its end.
                Ok(watcher::Event::Init) => {
                    found = None;
                    continue;
                }
                Ok(watcher::Event::InitApply(object)) => {
                    found = Some(object);
                    continue;
                }
                Ok(watcher::Event::Delete(_)) => found = None,
                Ok(watcher::Event::Apply(object)) => found = Some(object),
                Ok(watcher::Event::InitDone) => {}
                Err(error) => {
                    // The state known so far stays. The API server enforces the policy, not the operator.
                    warn!(kind, name, %error, "the use policy cannot be watched");
                    continue;
                }
            }
            let fault = fault((name, kind), &expected, found.as_ref());
            let mut known = known.write().unwrap_or_else(PoisonError::into_inner);
            let before = match &fault {
                Some(fault) => known.faults.insert((name, kind), fault.clone()),
                None => known.faults.remove(&(name, kind)),
            };
            match fault {
                Some(fault) if before.as_ref() != Some(&fault) => {
                    warn!(fault, "nothing that names anything is started");
                }
                None if before.is_some() => info!(kind, name, "the use policy stands"),
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_not_as_installed_does_not_stand() {
        for (name, expected) in policy::use_policies() {
            let of = (name, POLICY);
            let live: ValidatingAdmissionPolicy =
                serde_json::from_value(json!({"metadata": {"name": name}, "spec": expected})).unwrap();
            assert_eq!(fault(of, &expected, Some(&live)), None);
            let missing = fault::<Value>(of, &expected, None).unwrap();
            assert!(missing.contains(name) && missing.contains("is missing"), "{missing}");
            let mut altered = serde_json::to_value(&live).unwrap();
            altered["spec"]["failurePolicy"] = "Ignore".into();
            assert!(fault(of, &expected, Some(&altered)).unwrap().contains("failurePolicy"));
        }
    }

    #[test]
    fn where_it_is_off_nothing_is_missing() {
        assert_eq!(UsePolicy::new(UsePolicyOption::Off).missing(), None);
        assert!(UsePolicy::new(UsePolicyOption::Enforced).missing().is_some());
    }
}
