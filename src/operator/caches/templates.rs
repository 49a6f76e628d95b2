//! A cache of the templates, so that an action that names one costs no call to the API server.

use std::{
    fmt::Debug,
    hash::Hash,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use futures::{StreamExt, future, stream::BoxStream};
use kube::{
    Api, Client, Resource, ResourceExt,
    core::DeserializeGuard,
    runtime::{
        WatchStreamExt,
        reflector::{self, ObjectRef, Store, store::Writer},
        watcher::{self, Event},
    },
};
use tokio::sync::mpsc;
use tracing::warn;

use super::{cached::Cached, watch};
use crate::{
    api::{
        ClusterDeploymentActionTemplate, DeploymentAction, DeploymentActionTemplate,
        action::ScriptRef,
        template::{TemplateKind, TemplateSpec},
    },
    lasting_watch::lasting_watch,
    operator::spec::{
        expand::{Lookup, Template},
        expanded::Version,
    },
};

/// Both kinds of templates. Clones share them.
#[derive(Clone)]
pub(crate) struct Templates {
    namespaced: Cache<DeploymentActionTemplate>,
    cluster: Cache<ClusterDeploymentActionTemplate>,
}

/// The templates of one kind.
#[derive(Clone)]
struct Cache<K: Resource<DynamicType = ()> + 'static>
where
    K::DynamicType: Hash + Eq,
{
    store: Store<K>,
    /// Whether the first list has arrived. Before, a template that the cache does not have may exist.
    filled: Arc<AtomicBool>,
}

/// Common access to both kinds of templates.
trait Content: Resource<DynamicType = ()> {
    const KIND: TemplateKind;
    fn content(&self) -> &TemplateSpec;
}

impl Content for DeploymentActionTemplate {
    const KIND: TemplateKind = TemplateKind::DeploymentActionTemplate;
    fn content(&self) -> &TemplateSpec {
        &self.spec.0
    }
}

impl Content for ClusterDeploymentActionTemplate {
    const KIND: TemplateKind = TemplateKind::ClusterDeploymentActionTemplate;
    fn content(&self) -> &TemplateSpec {
        &self.spec.0
    }
}

impl Templates {
    /// Watches the templates of `namespaces`, or of all if none is named, and those of the cluster. When a
    /// template changes, the actions among `actions` that name it are looked at.
    #[must_use]
    pub(crate) fn watch(
        client: &Client,
        namespaces: &[String],
        actions: &Store<Cached>,
        news: &mpsc::UnboundedSender<ObjectRef<DeploymentAction>>,
    ) -> Self {
        let all = watcher::Config::default();
        let of_namespaces = watch::watches(client, namespaces, &all).into_iter().map(readable).collect();
        let cluster = lasting_watch(Api::all(client.clone()), all);
        Self {
            namespaced: Cache::fill(watch::merge(of_namespaces), actions.clone(), news.clone()),
            cluster: Cache::fill(readable(cluster), actions.clone(), news.clone()),
        }
    }

    /// The template that the action names. `None` if it names none.
    #[must_use]
    pub(crate) fn of(&self, action: &DeploymentAction) -> Option<Lookup> {
        let reference = action.spec.template_ref.as_ref()?;
        let name = reference.name.as_str();
        Some(match reference.kind() {
            TemplateKind::DeploymentActionTemplate => {
                let namespace = action.metadata.namespace.as_deref().unwrap_or_default();
                self.namespaced.get(&ObjectRef::new(name).within(namespace))
            }
            TemplateKind::ClusterDeploymentActionTemplate => self.cluster.get(&ObjectRef::new(name)),
        })
    }
}

impl Templates {
    /// The version of the template that the action names. `None` if it names none.
    #[must_use]
    pub(crate) fn version_of(&self, action: &DeploymentAction) -> Option<Version> {
        let reference = action.spec.template_ref.as_ref()?;
        let name = reference.name.as_str();
        Some(match reference.kind() {
            TemplateKind::DeploymentActionTemplate => {
                let namespace = action.metadata.namespace.as_deref().unwrap_or_default();
                self.namespaced.version(&ObjectRef::new(name).within(namespace))
            }
            TemplateKind::ClusterDeploymentActionTemplate => self.cluster.version(&ObjectRef::new(name)),
        })
    }
}

impl Templates {
    /// The `ConfigMap` key that this template names as its script, if it names one.
    #[must_use]
    pub(crate) fn script_of(&self, kind: TemplateKind, name: &str, namespace: &str) -> Option<ScriptRef> {
        match kind {
            TemplateKind::DeploymentActionTemplate => {
                self.namespaced.script(&ObjectRef::new(name).within(namespace))
            }
            TemplateKind::ClusterDeploymentActionTemplate => self.cluster.script(&ObjectRef::new(name)),
        }
    }
}

impl<K> Cache<K>
where
    K: Content + Clone + Debug + Send + Sync + 'static,
{
    fn fill(
        events: BoxStream<'static, watcher::Result<Event<K>>>,
        actions: Store<Cached>,
        news: mpsc::UnboundedSender<ObjectRef<DeploymentAction>>,
    ) -> Self {
        let (store, writer): (_, Writer<K>) = reflector::store();
        let filled = Arc::new(AtomicBool::new(false));
        let events = events
            .modify(|template| {
                template.managed_fields_mut().clear();
                // `kubectl apply` keeps a copy of the whole object here.
                template.annotations_mut().clear();
            })
            .reflect(writer);
        let told = Arc::clone(&filled);
        tokio::spawn(async move {
            let mut events = std::pin::pin!(events);
            while let Some(event) = events.next().await {
                match event {
                    Ok(Event::Apply(template) | Event::Delete(template)) => {
                        tell(&actions, &news, |action| names(action, &template));
                    }
                    Ok(Event::InitDone) => {
                        told.store(true, Ordering::Release);
                        tell(&actions, &news, |action| kind_of(action) == Some(K::KIND));
                    }
                    Ok(Event::Init | Event::InitApply(_)) => {}
                    Err(error) => {
                        warn!(kind = K::KIND.as_str(), %error, "templates cannot be watched");
                    }
                }
            }
        });
        Self { store, filled }
    }

    fn script(&self, name: &ObjectRef<K>) -> Option<ScriptRef> {
        self.store.get(name)?.content().script.as_ref()?.config_map_key_ref.clone()
    }

    /// The version of what [`Self::get`] returns, without a copy of the template.
    fn version(&self, name: &ObjectRef<K>) -> Version {
        let filled = self.filled.load(Ordering::Acquire);
        match self.store.get(name) {
            Some(template) => Version::Found {
                uid: template.uid().unwrap_or_default(),
                generation: template.meta().generation.unwrap_or_default(),
            },
            None if filled => Version::Missing,
            None => Version::Unread,
        }
    }

    fn get(&self, name: &ObjectRef<K>) -> Lookup {
        // Read first: a template that arrives meanwhile counts as unread once more, and not as missing.
        let filled = self.filled.load(Ordering::Acquire);
        match self.store.get(name) {
            Some(template) => Lookup::Found(Template {
                kind: K::KIND,
                name: template.name_any(),
                uid: template.uid().unwrap_or_default(),
                generation: template.meta().generation.unwrap_or_default(),
                spec: template.content().clone(),
            }),
            None if filled => Lookup::Missing,
            None => Lookup::Unread,
        }
    }
}

/// Skips a template that cannot be read, with a warning, and treats it as absent. It must not end the watch.
fn readable<K>(
    watch: BoxStream<'static, watcher::Result<Event<DeserializeGuard<K>>>>,
) -> BoxStream<'static, watcher::Result<Event<K>>>
where
    K: Content + Clone + Default + Send + 'static,
{
    let read = |guard: DeserializeGuard<K>| {
        guard.0.map_err(|invalid| {
            warn!(
                kind = K::KIND.as_str(),
                name = invalid.metadata.name,
                namespace = invalid.metadata.namespace,
                error = %invalid.error,
                "this template cannot be read and is passed over"
            );
            let mut bare = K::default();
            *bare.meta_mut() = invalid.metadata;
            Box::new(bare)
        })
    };
    let read = move |event| match event {
        Event::Init => Some(Event::Init),
        Event::InitDone => Some(Event::InitDone),
        Event::InitApply(guard) => read(guard).ok().map(Event::InitApply),
        Event::Apply(guard) => Some(read(guard).map_or_else(|bare| Event::Delete(*bare), Event::Apply)),
        Event::Delete(guard) => Some(Event::Delete(read(guard).unwrap_or_else(|bare| *bare))),
    };
    watch.filter_map(move |event| future::ready(event.map(read).transpose())).boxed()
}

fn kind_of(action: &Cached) -> Option<TemplateKind> {
    Some(action.template()?.0)
}

/// Whether the action names this template.
fn names<K: Content>(action: &Cached, template: &K) -> bool {
    let place = &template.meta().namespace;
    action
        .template()
        .is_some_and(|(kind, name)| kind == K::KIND && Some(name) == template.meta().name.as_deref())
        && (place.is_none() || *place == action.meta().namespace)
}

fn tell(
    actions: &Store<Cached>,
    news: &mpsc::UnboundedSender<ObjectRef<DeploymentAction>>,
    concerned: impl Fn(&Cached) -> bool,
) {
    for action in actions.state().iter().filter(|action| concerned(action)) {
        // The receiver is gone only if the process ends.
        let _ = news.send(action.reference());
    }
}
