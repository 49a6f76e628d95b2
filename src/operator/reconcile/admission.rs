//! Decides which actions are looked at now: a limited number at once, and namespaces in turn. The controller
//! alone takes actions in the order of their events, so a thousand actions of one namespace would come before
//! one of another.
//!
//! An action that waits for its turn costs only its name in a queue. When its turn has come, the controller
//! gets its name.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use kube::runtime::reflector::ObjectRef;
use tokio::sync::mpsc;

use crate::{
    api::DeploymentAction,
    operator::fair::{Grant, Limits, Queue},
};

type Name = ObjectRef<DeploymentAction>;

/// Turns for looks at actions. Clones share them.
#[derive(Debug, Clone)]
pub(crate) struct Admission {
    state: Arc<Mutex<State>>,
    news: mpsc::UnboundedSender<Name>,
}

#[derive(Debug)]
struct State {
    queue: Queue<Name>,
    waiting: HashSet<Name>,
    /// Actions whose turn has come and that have not been looked at since.
    granted: HashMap<Name, Grant>,
}

/// The turn of one look. It lasts until this is dropped.
#[derive(Debug)]
pub(crate) struct Admitted {
    admission: Admission,
    grant: Option<Grant>,
}

impl Admission {
    /// At most `most` looks at once. An action whose turn has come is sent to `news`.
    #[must_use]
    pub(crate) fn new(most: u16, news: mpsc::UnboundedSender<Name>) -> Self {
        let all = usize::from(most);
        // All calls for one namespace can be slow at once, for example because of the webhook of its quota. A
        // quarter of the places always stays free for others.
        let limits = Limits { all, of_owner: all - all / 4, at_place: all };
        let state = State { queue: Queue::new(limits), waiting: HashSet::new(), granted: HashMap::new() };
        Self { state: Arc::new(Mutex::new(state)), news }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets a look at this action begin. `None` if its turn comes later; it is then sent to `news`.
    #[must_use]
    pub(crate) fn enter(&self, name: &Name) -> Option<Admitted> {
        let mut state = self.state();
        if !state.granted.contains_key(name) && state.waiting.insert(name.clone()) {
            state.queue.push(name.namespace.as_deref().unwrap_or_default(), Vec::new(), name.clone());
        }
        self.serve(&mut state, Some(name));
        let grant = state.granted.remove(name);
        drop(state);
        grant.map(|grant| Admitted { admission: self.clone(), grant: Some(grant) })
    }

    /// Takes back the turn of an action that is gone.
    pub(crate) fn is_gone(&self, name: &Name) {
        let mut state = self.state();
        if let Some(grant) = state.granted.remove(name) {
            state.queue.done(grant);
            self.serve(&mut state, None);
        }
    }

    /// How many wait for their turn.
    #[must_use]
    pub(crate) fn waiting(&self) -> usize {
        self.state().queue.waiting()
    }

    /// Gives all free turns, and sends each action to `news`. `here` is not sent, because its caller is
    /// asking now.
    fn serve(&self, state: &mut State, here: Option<&Name>) {
        while let Some((grant, name)) = state.queue.serve() {
            state.waiting.remove(&name);
            if here != Some(&name) {
                // The receiver is gone only if the process ends.
                let _ = self.news.send(name.clone());
            }
            state.granted.insert(name, grant);
        }
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        if let Some(grant) = self.grant.take() {
            let mut state = self.admission.state();
            state.queue.done(grant);
            self.admission.serve(&mut state, None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admission(most: u16) -> (Admission, impl FnMut() -> Vec<String>) {
        let (news, mut told) = mpsc::unbounded_channel();
        let told = move || std::iter::from_fn(|| told.try_recv().ok()).map(|name: Name| name.name).collect();
        (Admission::new(most, news), told)
    }

    fn name(namespace: &str, name: &str) -> Name {
        ObjectRef::new(name).within(namespace)
    }

    #[test]
    fn a_namespace_with_a_thousand_leaves_another_a_turn_and_serves_its_own_in_order() {
        let (admission, mut told) = admission(8);
        let crowd: Vec<_> = (0..1000).map(|at| name("crowd", &format!("a{at}"))).collect();
        let mut looks: Vec<_> = crowd.iter().filter_map(|name| admission.enter(name)).collect();
        assert_eq!((looks.len(), admission.waiting()), (6, 994));
        assert!(admission.enter(&name("lone", "b")).is_some(), "a quarter is left for others");
        assert!(told().is_empty());
        looks.truncate(4);
        assert_eq!(told(), ["a6", "a7"]);
        assert!(admission.enter(&crowd[6]).is_some());
        assert!(admission.enter(&crowd[900]).is_none(), "its turn comes once, however often it asks");
        assert_eq!(admission.waiting(), 991);
    }

    #[test]
    fn the_turn_of_one_that_is_gone_is_another_s() {
        let (admission, mut told) = admission(1);
        let look = admission.enter(&name("a", "first"));
        for waits in ["gone", "last"] {
            assert!(admission.enter(&name("a", waits)).is_none());
        }
        drop(look);
        assert_eq!(told(), ["gone"]);
        admission.is_gone(&name("a", "gone"));
        assert_eq!(told(), ["last"]);
        assert!(admission.enter(&name("a", "last")).is_some());
        // An action that waits for nothing.
        admission.is_gone(&name("a", "other"));
        assert!(admission.enter(&name("a", "other")).is_some(), "and nothing is left of the looks before");
    }
}
