//! The queue of each lock, made of the actions' statuses. The operator finds the next action without a
//! search through all of them, and wakes it when its turn has come.
//!
//! This saves work and keeps the order. It does not keep two runs apart: the Lease does.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
};

use kube::{
    Resource, ResourceExt,
    runtime::{reflector::ObjectRef, watcher::Event},
};
use tokio::sync::mpsc::UnboundedSender;

use super::cached::Cached;
use crate::{
    api::{DeploymentAction, action::RunPolicy, status::LockStatus},
    operator::lifecycle::lock_facts::{Holder, Place},
};

/// Namespace and name: of an action, or of a lock.
type Key = (String, String);

/// An action, whole or from the cache.
pub(crate) trait Stands: Resource {
    /// Its entry in the queue, by its status. `None` if its run has nothing to do with one.
    fn entry(&self) -> Option<Entry>;
}

impl Stands for DeploymentAction {
    fn entry(&self) -> Option<Entry> {
        entry(self)
    }
}

impl Stands for Cached {
    fn entry(&self) -> Option<Entry> {
        // Most actions name no lock, and need not be read.
        self.concerns_lock().then(|| self.known()).and_then(|action| {
            // A stand-in does not carry its resource version.
            let version = self.resource_version();
            entry(&action).map(|entry| Entry { version: number_of(version.as_deref()), ..entry })
        })
    }
}

fn number_of(version: Option<&str>) -> u64 {
    version.and_then(|version| version.parse().ok()).unwrap_or_default()
}

/// A run's place in the queue. The lowest number comes first. The UID orders equal numbers.
type Ticket = (u64, String);

/// All locks. Clones share them.
#[derive(Debug, Clone)]
pub(crate) struct LockIndex {
    state: Arc<Mutex<State>>,
    news: UnboundedSender<ObjectRef<DeploymentAction>>,
}

#[derive(Debug, Default)]
struct State {
    known: bool,
    actions: HashMap<Key, Entry>,
    locks: HashMap<Key, Queue>,
    /// The actions that a list under way has shown.
    listing: HashSet<Key>,
    /// Actions whose status cannot be written, by UID. Nothing waits for them, because they may never go on.
    passed_over: HashMap<Key, String>,
}

/// An action's entry in the queue of a lock.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    uid: String,
    version: u64,
    lock: String,
    stand: Option<Stand>,
}

#[derive(Debug, Clone, PartialEq)]
enum Stand {
    Waits(Ticket),
    Holds(Holder),
}

#[derive(Debug, Default)]
struct Queue {
    waiting: BTreeMap<Ticket, String>,
    holding: BTreeMap<String, Holder>,
}

impl Queue {
    /// The next action, and the holder.
    fn front(&self) -> (Option<&String>, Option<&Holder>) {
        (self.waiting.values().next(), self.holding.values().next())
    }
}

/// A ticket in the form that is compared. One that is not a number comes last.
fn ticket(lock: &LockStatus, uid: &str) -> Ticket {
    number(&lock.ticket, uid)
}

fn number(text: &str, uid: &str) -> Ticket {
    (text.parse().unwrap_or(u64::MAX), uid.to_owned())
}

/// The action's entry in the queue, by its status. `None` if its run has nothing to do with a lock.
fn entry(action: &DeploymentAction) -> Option<Entry> {
    let uid = action.uid().unwrap_or_default();
    let version = number_of(action.resource_version().as_deref());
    let Some(run) = action.status.as_ref().and_then(|status| status.run.as_ref()) else {
        // A new action waits before those that were created after it, even if they were looked at first.
        let lock = action.spec.lock.as_ref().filter(|_| is_about_to_wait(action))?;
        let ticket = number(&action.resource_version().unwrap_or_default(), &uid);
        return Some(Entry { uid, version, lock: lock.name.clone(), stand: Some(Stand::Waits(ticket)) });
    };
    let lock = run.lock.as_ref()?;
    let waits = run.queue_position.is_some()
        && run.finished_at.is_none()
        && lock.acquired_at.is_none()
        && action.metadata.deletion_timestamp.is_none();
    let stand = if let Some(held) = run.held_lock() {
        let since = held.acquired_at.as_ref().map(|time| time.0);
        Some(Stand::Holds(Holder { action: action.name_any(), run: run.id.clone(), since }))
    } else {
        waits.then(|| Stand::Waits(ticket(lock, &uid)))
    };
    Some(Entry { uid, version, lock: lock.name.clone(), stand })
}

/// Whether the first look at an action begins a run. That run then waits for its lock, or ends.
fn is_about_to_wait(action: &DeploymentAction) -> bool {
    let seen = action.status.as_ref().and_then(|status| status.observed_generation);
    let asked = action.spec.run_policy != RunPolicy::Manual || action.spec.run_token.is_some();
    seen.is_none_or(|generation| generation < 0)
        && asked
        && action.spec.suspend != Some(true)
        && action.metadata.deletion_timestamp.is_none()
}

fn key(action: &impl Resource) -> Key {
    (action.namespace().unwrap_or_default(), action.name_any())
}

impl LockIndex {
    /// An empty queue. It sends the next action for a lock to `news`.
    #[must_use]
    pub(crate) fn new(news: UnboundedSender<ObjectRef<DeploymentAction>>) -> Self {
        Self { state: Arc::default(), news }
    }

    /// Takes an event of the watch of actions. Call it after the cache has taken the event.
    pub(crate) fn take(&self, event: &Event<impl Stands>) {
        let mut state = self.lock();
        match event {
            Event::Init => state.listing.clear(),
            Event::InitApply(action) => {
                state.listing.insert(key(action));
                self.put(&mut state, action);
            }
            Event::InitDone => {
                let listed = std::mem::take(&mut state.listing);
                let gone: Vec<Key> =
                    state.actions.keys().filter(|key| !listed.contains(*key)).cloned().collect();
                for key in gone {
                    self.set(&mut state, key, None);
                }
                state.known = true;
            }
            Event::Apply(action) => self.put(&mut state, action),
            Event::Delete(action) => {
                let key = key(action);
                let same =
                    state.actions.get(&key).is_some_and(|known| Some(&known.uid) == action.uid().as_ref());
                if same {
                    self.set(&mut state, key, None);
                }
            }
        }
    }

    /// Takes the result of our own write, ahead of the watch.
    pub(crate) fn written(&self, action: &DeploymentAction) {
        let mut state = self.lock();
        state.passed_over.remove(&key(action));
        self.put(&mut state, action);
    }

    /// Notes that the action's status cannot be written. Until it is, other actions go first, whatever this
    /// status says. Its own run takes no lock meanwhile, because the status must say so first.
    pub(crate) fn pass_over(&self, action: &DeploymentAction) {
        let mut state = self.lock();
        let Some(uid) = action.uid() else { return };
        let key = key(action);
        if let Some(mut entry) = state.actions.get(&key).filter(|entry| entry.uid == uid).cloned() {
            state.passed_over.insert(key.clone(), uid);
            entry.stand = None;
            self.set(&mut state, key, Some(entry));
        }
    }

    /// The place in the queue of this action's run, by its ticket.
    #[must_use]
    pub(crate) fn place(&self, action: &DeploymentAction, lock: &str, ticket: &str) -> Place {
        let state = self.lock();
        let (namespace, name) = key(action);
        let mine = number(ticket, &action.uid().unwrap_or_default());
        let Some(queue) = state.locks.get(&(namespace, lock.to_owned())) else {
            return Place { known: state.known, ..Place::default() };
        };
        let ahead = queue.waiting.range(..mine).filter(|(_, other)| **other != name).count();
        Place {
            known: state.known,
            ahead: u32::try_from(ahead).unwrap_or(u32::MAX),
            holder: queue.holding.values().find(|holder| holder.action != name).cloned(),
        }
    }

    /// Whether any action waits for the lock.
    #[must_use]
    pub(crate) fn is_wanted(&self, namespace: &str, lock: &str) -> bool {
        let state = self.lock();
        state
            .locks
            .get(&(namespace.to_owned(), lock.to_owned()))
            .is_some_and(|queue| !queue.waiting.is_empty())
    }

    /// If no action claims the lock, wakes the next one to check it.
    pub(crate) fn wake(&self, namespace: &str, lock: &str) {
        let state = self.lock();
        let queue = state.locks.get(&(namespace.to_owned(), lock.to_owned()));
        if let Some((Some(next), None)) = queue.map(Queue::front) {
            self.tell(namespace, next);
        }
    }

    /// Forgets all actions but those with these UIDs.
    pub(crate) fn keep(&self, uids: &HashSet<String>) {
        let mut state = self.lock();
        let gone = state.actions.iter().filter(|(_, entry)| !uids.contains(&entry.uid));
        let gone: Vec<Key> = gone.map(|(key, _)| key.clone()).collect();
        for key in gone {
            self.set(&mut state, key, None);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, state: &mut State, action: &impl Stands) {
        let (key, mut entry) = (key(action), action.entry());
        if let Some(entry) = &mut entry
            && state.passed_over.get(&key) == Some(&entry.uid)
        {
            entry.stand = None;
        }
        let older = |known: &Entry, new: &Entry| known.uid == new.uid && known.version > new.version;
        match (state.actions.get(&key), &entry) {
            // The watch is behind what we wrote.
            (Some(known), Some(new)) if older(known, new) => {}
            (None, None) => {}
            _ => self.set(state, key, entry),
        }
    }

    fn set(&self, state: &mut State, key: Key, entry: Option<Entry>) {
        let namespace = key.0.clone();
        let name = key.1.clone();
        if entry.is_none() {
            state.passed_over.remove(&key);
        }
        let before = match entry.clone() {
            Some(entry) => state.actions.insert(key, entry),
            None => state.actions.remove(&key),
        };
        if let (Some(before), Some(after)) = (&before, &entry)
            && (&before.lock, &before.stand) == (&after.lock, &after.stand)
        {
            return;
        }
        if let Some(Entry { lock, stand: Some(stand), .. }) = before {
            self.change(state, &(namespace.clone(), lock), |queue| match stand {
                Stand::Waits(ticket) => drop(queue.waiting.remove(&ticket)),
                Stand::Holds(_) => drop(queue.holding.remove(&name)),
            });
        }
        if let Some(Entry { lock, stand: Some(stand), .. }) = entry {
            self.change(state, &(namespace, lock), |queue| match stand {
                Stand::Waits(ticket) => drop(queue.waiting.insert(ticket, name.clone())),
                Stand::Holds(holder) => drop(queue.holding.insert(name.clone(), holder)),
            });
        }
    }

    /// Changes a queue, and wakes the next action if the front has changed.
    fn change(&self, state: &mut State, lock: &Key, change: impl FnOnce(&mut Queue)) {
        let queue = state.locks.entry(lock.clone()).or_default();
        let front = |queue: &Queue| {
            let (next, holder) = queue.front();
            (next.cloned(), holder.cloned())
        };
        let before = front(queue);
        change(queue);
        let after = front(queue);
        if queue.waiting.is_empty() && queue.holding.is_empty() {
            state.locks.remove(lock);
        }
        if before != after
            && let Some(next) = &after.0
        {
            self.tell(&lock.0, next);
        }
    }

    fn tell(&self, namespace: &str, action: &str) {
        // The receiver is gone only if the process ends.
        let _ = self.news.send(ObjectRef::new(action).within(namespace));
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};
    use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

    use super::*;
    use crate::api::status::RunStatus;

    struct Told(UnboundedReceiver<ObjectRef<DeploymentAction>>);

    impl Told {
        fn all(&mut self) -> Vec<String> {
            std::iter::from_fn(|| self.0.try_recv().ok()).map(|name| name.name).collect()
        }
    }

    fn index() -> (LockIndex, Told) {
        let (news, told) = unbounded_channel();
        let index = LockIndex::new(news);
        index.take(&Event::<DeploymentAction>::Init);
        index.take(&Event::<DeploymentAction>::InitDone);
        (index, Told(told))
    }

    fn action(name: &str, version: u64, run: RunStatus) -> DeploymentAction {
        let mut action = crate::operator::testing::objects::action();
        action.metadata.name = Some(name.into());
        action.metadata.uid = Some(format!("uid-{name}"));
        action.metadata.resource_version = Some(version.to_string());
        action.status.get_or_insert_default().run = Some(run);
        action
    }

    fn lock(ticket: u64) -> LockStatus {
        LockStatus { name: "prod".into(), ticket: ticket.to_string(), ..LockStatus::default() }
    }

    fn waiting(ticket: u64) -> RunStatus {
        RunStatus { lock: Some(lock(ticket)), queue_position: Some(1), ..RunStatus::default() }
    }

    fn holding() -> RunStatus {
        let acquired_at = Some(Time(Timestamp::UNIX_EPOCH));
        RunStatus {
            id: "run-1".into(),
            lock: Some(LockStatus { acquired_at, ..lock(1) }),
            ..RunStatus::default()
        }
    }

    fn released() -> RunStatus {
        let run = holding();
        let released_at = Some(Time(Timestamp::UNIX_EPOCH));
        RunStatus {
            finished_at: released_at.clone(),
            lock: run.lock.map(|lock| LockStatus { released_at, ..lock }),
            ..RunStatus::default()
        }
    }

    #[test]
    fn who_asked_first_is_the_next() {
        let (index, mut told) = index();
        for (name, ticket) in [("b", 20), ("c", 30), ("a", 10)] {
            index.take(&Event::Apply(action(name, 100, waiting(ticket))));
        }
        assert_eq!(told.all(), ["b", "a"], "each time that another one is the next");
        let ahead = |name: &str, ticket: u64| {
            index.place(&action(name, 100, waiting(ticket)), "prod", &ticket.to_string()).ahead
        };
        assert_eq!((ahead("a", 10), ahead("b", 20), ahead("c", 30)), (0, 1, 2));
        assert_eq!(ahead("new", 25), 2, "one that is not on record yet");
        assert_eq!(index.place(&action("x", 1, waiting(1)), "other", "1").ahead, 0, "another lock");
    }

    #[test]
    fn one_that_was_just_made_comes_before_those_that_were_made_after_it() {
        let (index, _told) = index();
        let new = |change: &dyn Fn(&mut DeploymentAction)| {
            let mut action = action("new", 10, RunStatus::default());
            action.status = None;
            action.spec.lock = Some(crate::api::action::Lock { name: "prod".into(), ..Default::default() });
            change(&mut action);
            action
        };
        let ahead = |index: &LockIndex| index.place(&action("b", 21, waiting(20)), "prod", "20").ahead;
        for change in [
            &|new: &mut DeploymentAction| new.spec.suspend = Some(true),
            &|new: &mut DeploymentAction| new.spec.run_policy = RunPolicy::Manual,
            &|new: &mut DeploymentAction| new.spec.lock = None,
            &|new: &mut DeploymentAction| {
                new.status.get_or_insert_default().observed_generation = Some(1);
            },
        ] as [&dyn Fn(&mut DeploymentAction); 4]
        {
            index.take(&Event::Apply(new(change)));
            assert_eq!(ahead(&index), 0);
        }
        index.take(&Event::Apply(new(&|_| {})));
        assert_eq!(ahead(&index), 1);
        index.written(&action("new", 22, waiting(10)));
        assert_eq!(ahead(&index), 1);
        index.written(&action("new", 23, released()));
        assert_eq!(ahead(&index), 0);
    }

    #[test]
    fn only_the_next_is_told_that_the_lock_is_free() {
        let (index, mut told) = index();
        index.take(&Event::Apply(action("a", 1, holding())));
        for number in 0..100 {
            index.take(&Event::Apply(action(&format!("w-{number}"), 2, waiting(number + 10))));
        }
        assert_eq!(told.all(), ["w-0"]);
        assert_eq!(index.place(&action("w-0", 2, waiting(10)), "prod", "10").holder.unwrap().run, "run-1");
        index.wake("shop", "prod");
        assert!(told.all().is_empty(), "somebody has it");
        index.written(&action("a", 3, released()));
        assert_eq!(told.all(), ["w-0"]);
        index.wake("shop", "prod");
        assert_eq!(told.all(), ["w-0"]);
        assert_eq!(index.place(&action("w-0", 2, waiting(10)), "prod", "10").holder, None);
        assert!(index.is_wanted("shop", "prod") && !index.is_wanted("shop", "other"));
    }

    #[test]
    fn an_event_that_is_older_than_our_write_changes_nothing() {
        let (index, mut told) = index();
        index.take(&Event::Apply(action("b", 2, waiting(10))));
        index.written(&action("a", 5, released()));
        told.all();
        index.take(&Event::Apply(action("a", 4, holding())));
        assert_eq!(index.place(&action("b", 2, waiting(10)), "prod", "10").holder, None);
    }

    #[test]
    fn whoever_goes_lets_the_next_be_told() {
        let (index, mut told) = index();
        index.take(&Event::Apply(action("a", 1, holding())));
        index.take(&Event::Apply(action("b", 2, waiting(10))));
        index.take(&Event::Apply(action("c", 3, waiting(11))));
        told.all();
        index.take(&Event::Delete(action("a", 4, holding())));
        assert_eq!(told.all(), ["b"], "the holder's action is gone");
        index.take(&Event::Apply(action("b", 5, RunStatus { queue_position: None, ..waiting(10) })));
        assert_eq!(told.all(), ["c"], "suspended");
        let mut another = action("c", 9, waiting(11));
        another.metadata.uid = Some("before".into());
        index.take(&Event::Delete(another));
        assert!(index.is_wanted("shop", "prod"), "the end of another one of that name");
        let mut leaving = action("c", 10, waiting(11));
        leaving.metadata.deletion_timestamp = Some(Time(Timestamp::UNIX_EPOCH));
        index.take(&Event::Apply(leaving));
        assert!(!index.is_wanted("shop", "prod"));
    }

    #[test]
    fn one_whose_status_cannot_be_written_holds_nobody_up_until_it_is_written() {
        let (index, mut told) = index();
        let new = |version: u64| {
            let mut action = action("a", version, RunStatus::default());
            action.status = None;
            action.spec.lock = Some(crate::api::action::Lock { name: "prod".into(), ..Default::default() });
            action
        };
        index.take(&Event::Apply(new(1)));
        index.take(&Event::Apply(action("b", 3, waiting(2))));
        let ahead = || index.place(&action("b", 3, waiting(2)), "prod", "2").ahead;
        assert_eq!((ahead(), told.all()), (1, vec!["a".to_owned()]));
        index.pass_over(&new(1));
        assert_eq!((ahead(), told.all()), (0, vec!["b".to_owned()]), "the next one is told");
        index.take(&Event::Apply(new(4)));
        assert_eq!(ahead(), 0, "somebody changed it, and it is not written yet");
        index.written(&action("a", 5, waiting(1)));
        assert_eq!(ahead(), 1, "it has its place again");
        index.take(&Event::Apply(action("a", 6, holding())));
        index.pass_over(&action("a", 6, holding()));
        assert_eq!(index.place(&action("b", 3, waiting(2)), "prod", "2").holder, None);
        let mut another = new(8);
        another.metadata.uid = Some("another".into());
        index.take(&Event::Apply(another));
        let last = index.place(&action("c", 9, waiting(9)), "prod", "9");
        assert_eq!(last.ahead, 2, "another one of that name");
        index.take(&Event::Delete(action("b", 10, waiting(2))));
        index.pass_over(&action("b", 10, waiting(2)));
        index.keep(&HashSet::new());
        assert!(index.lock().passed_over.is_empty(), "kept for nothing");
    }

    #[test]
    fn a_list_and_a_sweep_forget_what_is_gone() {
        let (index, _told) = index();
        index.take(&Event::Apply(action("a", 1, holding())));
        index.take(&Event::Apply(action("b", 2, waiting(10))));
        index.take(&Event::<DeploymentAction>::Init);
        index.take(&Event::InitApply(action("b", 2, waiting(10))));
        let place = || index.place(&action("c", 3, waiting(11)), "prod", "11");
        assert!(place().holder.is_some(), "the list is not whole");
        index.take(&Event::<DeploymentAction>::InitDone);
        assert_eq!((place().holder, place().ahead), (None, 1));
        index.keep(&HashSet::new());
        assert_eq!(place().ahead, 0);
        assert!(index.lock().actions.is_empty() && index.lock().locks.is_empty(), "kept for nothing");
    }

    #[test]
    fn before_all_actions_are_known_nobody_has_a_place() {
        let (news, _told) = unbounded_channel();
        let index = LockIndex::new(news);
        assert!(!index.place(&action("a", 1, waiting(1)), "prod", "1").known);
    }
}
