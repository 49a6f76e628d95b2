//! Notices changes of the `ConfigMap`s that scripts came from.
//!
//! The operator may get a `ConfigMap` by its name, but may not list or watch them. So it looks regularly at
//! each one that a script came from. It reads the metadata alone, and the content only after a change.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use k8s_openapi::{api::core::v1::ConfigMap, jiff::Timestamp};
use kube::{
    Api, Client, ResourceExt,
    runtime::reflector::{ObjectRef, Store},
};
use tokio::{sync::mpsc, time::Instant};
use tracing::debug;

use super::{cached::Cached, templates::Templates};
use crate::{
    api::{DeploymentAction, action::ScriptRef},
    operator::{
        call::{CallError, call},
        lifecycle::facts::Source,
        spec::{expanded::Version, script_source::script_sha256},
    },
};

/// How often each is looked at, if there are at most [`MOST`].
const ROUND: Duration = Duration::from_mins(1);
/// The most looks in a round. The others have their turn in the next round.
const MOST: usize = 300;
/// The pause between two looks. A round is over when the next one begins.
const PAUSE: Duration = Duration::from_millis(200);

/// Namespace and name of a `ConfigMap`.
type Place = (String, String);

/// The `ConfigMap`s as they were at the last look. Clones share them.
#[derive(Clone, Default)]
pub(crate) struct Sources(Arc<Mutex<HashMap<Place, Known>>>);

/// A `ConfigMap` at the last look.
#[derive(Debug, Clone, Default)]
struct Known {
    /// Its resource version. `None` if there was no `ConfigMap` of that name.
    version: Option<String>,
    /// SHA-256 of each key that was asked for. `None` if there is no such key.
    hashes: HashMap<String, Option<String>>,
    /// When the API server was asked.
    asked: Option<Timestamp>,
}

/// An action whose script came from a `ConfigMap`.
struct User {
    action: ObjectRef<DeploymentAction>,
    key: String,
    /// SHA-256 of the latest run's script.
    sha256: Box<str>,
    /// Whether its status says that the script is another one now.
    outdated: bool,
}

impl Sources {
    /// The source of this action's script as it is now, if the latest run had its script from a `ConfigMap`.
    #[must_use]
    pub(crate) fn of(&self, action: &DeploymentAction, templates: &Templates) -> Source {
        let had = action.status.as_ref().and_then(|status| status.run.as_ref()?.script_sha256.as_ref());
        if had.is_none() {
            return Source::None;
        }
        let from = match &action.spec.template_ref {
            None => action.spec.script.as_ref().and_then(|script| script.config_map_key_ref.clone()),
            Some(_) if templates.version_of(action) == Some(Version::Unread) => return Source::Unread,
            Some(reference) => {
                let namespace = action.metadata.namespace.as_deref().unwrap_or_default();
                templates.script_of(reference.kind(), &reference.name, namespace)
            }
        };
        let Some(from) = from else { return Source::None };
        let place = (action.namespace().unwrap_or_default(), from.name);
        let known = self.lock();
        let Some(known) = known.get(&place) else { return Source::Unread };
        match (known.hashes.get(&from.key), known.asked) {
            (Some(Some(sha256)), Some(asked)) => {
                Source::Found { name: place.1, key: from.key, sha256: sha256.clone(), asked }
            }
            // The next run will say what is missing.
            (Some(None), Some(_)) => Source::None,
            _ => Source::Unread,
        }
    }

    /// Looks at all `ConfigMap`s that scripts came from, forever. It wakes each action whose status does not
    /// say what was found.
    pub(crate) async fn follow(
        self,
        client: Client,
        actions: Store<Cached>,
        templates: Templates,
        news: mpsc::UnboundedSender<ObjectRef<DeploymentAction>>,
    ) {
        loop {
            let begun = Instant::now();
            let users = users(&actions, &templates);
            for place in self.turns(&users) {
                tokio::time::sleep(PAUSE).await;
                let users = users.get(&place).map(Vec::as_slice).unwrap_or_default();
                if let Err(error) = self.look(&client, &place, users).await {
                    debug!(namespace = place.0, name = place.1, %error, "a script's ConfigMap cannot be read");
                }
                for user in self.unlike(&place, users) {
                    // The receiver is gone only if the process ends.
                    let _ = news.send(user.action.clone());
                }
            }
            tokio::time::sleep_until(begun + ROUND).await;
        }
    }

    /// The `ConfigMap`s that are looked at next. Those that no script came from are forgotten. Namespaces
    /// take turns. In a namespace, the one with the oldest look comes first.
    fn turns(&self, users: &BTreeMap<Place, Vec<User>>) -> Vec<Place> {
        let mut known = self.lock();
        known.retain(|place, _| users.contains_key(place));
        let mut of_namespace: BTreeMap<&str, Vec<(Option<Timestamp>, &Place)>> = BTreeMap::new();
        for place in users.keys() {
            let asked = known.get(place).and_then(|known| known.asked);
            of_namespace.entry(place.0.as_str()).or_default().push((asked, place));
        }
        let mut turns: Vec<(usize, Option<Timestamp>, &Place)> = Vec::with_capacity(users.len());
        for mut places in of_namespace.into_values() {
            places.sort_unstable();
            turns.extend(places.into_iter().enumerate().map(|(turn, (asked, place))| (turn, asked, place)));
        }
        turns.sort_unstable();
        turns.into_iter().take(MOST).map(|(_, _, place)| place.clone()).collect()
    }

    async fn look(&self, client: &Client, place: &Place, users: &[User]) -> Result<(), CallError> {
        let (namespace, name) = place;
        let maps: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
        let asked = Some(Timestamp::now());
        let before = self.lock().get(place).cloned().unwrap_or_default();
        let version = call(maps.get_metadata_opt(name)).await?.and_then(|map| map.resource_version());
        let all_known = users.iter().all(|user| before.hashes.contains_key(&user.key));
        let known = if version.is_some() && version == before.version && all_known {
            Known { asked, ..before }
        } else {
            let map = if version.is_some() { call(maps.get_opt(name)).await? } else { None };
            let hash = |key: &str| map.as_ref().and_then(|map| script_sha256(map, key));
            let hashes = users.iter().map(|user| (user.key.clone(), hash(&user.key))).collect();
            Known { version: map.as_ref().and_then(ResourceExt::resource_version), hashes, asked }
        };
        self.lock().insert(place.clone(), known);
        Ok(())
    }

    /// The actions whose status does not say what is known.
    fn unlike<'a>(&self, place: &Place, users: &'a [User]) -> Vec<&'a User> {
        let known = self.lock();
        let Some(known) = known.get(place) else { return Vec::new() };
        let outdated = |user: &User| {
            let now = known.hashes.get(&user.key).and_then(Option::as_deref);
            now.is_some_and(|now| *now != *user.sha256)
        };
        users.iter().filter(|user| outdated(user) != user.outdated).collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Place, Known>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The actions, by the `ConfigMap` of their script.
fn users(actions: &Store<Cached>, templates: &Templates) -> BTreeMap<Place, Vec<User>> {
    let mut users: BTreeMap<Place, Vec<User>> = BTreeMap::new();
    for action in actions.state() {
        let Some(script) = action.script() else { continue };
        let namespace = action.namespace().unwrap_or_default();
        let from = match (&script.from, action.template()) {
            (Some(from), _) => Some(from.clone()),
            (None, Some((kind, name))) => templates.script_of(kind, name, &namespace),
            (None, None) => None,
        };
        let Some(ScriptRef { name, key }) = from else { continue };
        users.entry((namespace, name)).or_default().push(User {
            action: action.reference(),
            key,
            sha256: script.sha256.clone(),
            outdated: script.outdated,
        });
    }
    users
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use serde_json::json;

    use super::*;
    use crate::{
        operator::testing::server::{failure, server},
        record::sha256_hex,
    };

    fn place(namespace: &str, name: &str) -> Place {
        (namespace.to_owned(), name.to_owned())
    }

    fn user(script: &str, outdated: bool) -> User {
        let sha256 = sha256_hex(script.as_bytes()).into_boxed_str();
        User { action: ObjectRef::new("deploy").within("shop"), key: "run.sh".into(), sha256, outdated }
    }

    #[tokio::test]
    async fn content_is_read_when_the_version_is_another_one_and_only_then() {
        let version = Arc::new(AtomicU32::new(1));
        let current = Arc::clone(&version);
        let (client, seen) = server(move |_| {
            let version = current.load(Ordering::SeqCst);
            if version == 0 {
                return failure(404, "NotFound", "none");
            }
            let map = json!({
                "apiVersion": "v1", "kind": "ConfigMap",
                "metadata": {"name": "scripts", "resourceVersion": version.to_string()},
                "data": {"run.sh": format!("echo {version}")},
            });
            (200, map)
        });
        let sources = Sources::default();
        let scripts = place("shop", "scripts");
        let reads = async |version_now: u32, users: &[User]| {
            version.store(version_now, Ordering::SeqCst);
            let before = seen.lock().unwrap().len();
            sources.look(&client, &scripts, users).await.unwrap();
            (seen.lock().unwrap().len() - before, sources.unlike(&scripts, users).len())
        };
        assert_eq!(reads(1, &[user("echo 1", false)]).await, (2, 0));
        assert_eq!(reads(1, &[user("echo 1", false)]).await, (1, 0));
        assert_eq!(reads(2, &[user("echo 1", false)]).await, (2, 1), "it is another script");
        assert_eq!(reads(2, &[user("echo 1", true)]).await, (1, 0), "and is told of once");
        assert_eq!(reads(2, &[user("echo 2", true)]).await, (1, 1), "a run had it since");
        assert_eq!(reads(0, &[user("echo 2", true)]).await, (1, 1), "of none that is gone is told");
        let mut other = user("echo 3", false);
        other.key = "other.sh".into();
        assert_eq!(reads(3, &[user("echo 3", false), other]).await, (2, 0), "nor of a key that is gone");
    }

    #[test]
    fn namespaces_take_turns_and_those_that_waited_longest_come_first() {
        let sources = Sources::default();
        let mut users: BTreeMap<Place, Vec<User>> =
            (0..2 * MOST).map(|number| (place("many", &format!("m{number:04}")), vec![])).collect();
        users.insert(place("few", "a"), vec![]);
        users.insert(place("few", "b"), vec![]);
        let first = sources.turns(&users);
        assert_eq!(first.len(), MOST);
        assert!(
            first[..4].contains(&place("few", "a")) && first[..4].contains(&place("few", "b")),
            "{first:?}"
        );
        for place in &first {
            let known = Known { asked: Some(Timestamp::UNIX_EPOCH), ..Known::default() };
            sources.lock().insert(place.clone(), known);
        }
        let next = sources.turns(&users);
        assert!(next.iter().filter(|place| place.0 == "many").all(|place| !first.contains(place)));
        users.clear();
        assert!(sources.turns(&users).is_empty() && sources.lock().is_empty());
    }
}
