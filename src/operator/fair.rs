//! Turns: a limited number at once, given to one owner after the other. So an owner with a thousand requests
//! does not keep others waiting.
//!
//! [`Queue`] is pure. Tasks wait in [`Turns`].

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::oneshot;

/// How many may have a turn at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Limits {
    /// In all.
    pub all: usize,
    /// Of one owner. If this is less than `all`, another owner finds a free turn.
    pub of_owner: usize,
    /// At one place.
    pub at_place: usize,
}

/// A turn that was given. [`Queue::done`] takes it back.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Grant {
    owner: String,
    places: Vec<String>,
}

/// The number of a waiting item. Numbers grow, and none comes again.
pub(super) type Ticket = u64;

#[derive(Debug)]
struct Waiting<T> {
    places: Vec<String>,
    item: T,
}

/// The waiting items, and how many have a turn.
#[derive(Debug)]
pub(super) struct Queue<T> {
    limits: Limits,
    next: Ticket,
    /// The waiting items of each owner, in their order.
    waiting: HashMap<String, BTreeMap<Ticket, Waiting<T>>>,
    /// The owners of the waiting items, the next one first. Each owner is in it once.
    ring: VecDeque<String>,
    all: usize,
    of_owner: HashMap<String, usize>,
    at_place: HashMap<String, usize>,
}

impl<T> Queue<T> {
    #[must_use]
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            next: 0,
            waiting: HashMap::new(),
            ring: VecDeque::new(),
            all: 0,
            of_owner: HashMap::new(),
            at_place: HashMap::new(),
        }
    }

    /// Lets `item` wait for a turn of `owner` at all of `places`.
    pub(super) fn push(&mut self, owner: &str, mut places: Vec<String>, item: T) -> Ticket {
        places.sort_unstable();
        places.dedup();
        let ticket = self.next;
        self.next += 1;
        if !self.waiting.contains_key(owner) {
            self.ring.push_back(owner.to_owned());
        }
        self.waiting.entry(owner.to_owned()).or_default().insert(ticket, Waiting { places, item });
        ticket
    }

    /// Removes an item that no longer waits for a turn. `None` if it is not in the queue.
    pub(super) fn remove(&mut self, owner: &str, ticket: Ticket) -> Option<T> {
        let waiting = self.waiting.get_mut(owner)?;
        let removed = waiting.remove(&ticket)?;
        if waiting.is_empty() {
            self.waiting.remove(owner);
            self.ring.retain(|other| other != owner);
        }
        Some(removed.item)
    }

    /// Gives a turn to the next item, if a turn is free: to the first owner in the ring that may have one. An
    /// owner that is skipped keeps its place. An owner that is served goes to the end of the ring.
    pub(super) fn serve(&mut self) -> Option<(Grant, T)> {
        if self.all >= self.limits.all {
            return None;
        }
        let (at, ticket) =
            self.ring.iter().enumerate().find_map(|(at, owner)| Some((at, self.first_of(owner)?)))?;
        let owner = self.ring.remove(at)?;
        let waiting = self.waiting.get_mut(&owner)?;
        let Waiting { places, item } = waiting.remove(&ticket)?;
        if waiting.is_empty() {
            self.waiting.remove(&owner);
        } else {
            self.ring.push_back(owner.clone());
        }
        self.all += 1;
        *self.of_owner.entry(owner.clone()).or_default() += 1;
        for place in &places {
            *self.at_place.entry(place.clone()).or_default() += 1;
        }
        Some((Grant { owner, places }, item))
    }

    /// The first item of this owner that may have a turn.
    fn first_of(&self, owner: &str) -> Option<Ticket> {
        if self.of_owner.get(owner).is_some_and(|taken| *taken >= self.limits.of_owner) {
            return None;
        }
        let full =
            |place: &String| self.at_place.get(place).is_some_and(|taken| *taken >= self.limits.at_place);
        let waiting = self.waiting.get(owner)?.iter();
        waiting.filter(|(_, one)| !one.places.iter().any(full)).map(|(ticket, _)| *ticket).next()
    }

    /// Takes a turn back.
    pub(super) fn done(&mut self, grant: Grant) {
        let Grant { owner, places } = grant;
        self.all = self.all.saturating_sub(1);
        less(&mut self.of_owner, &owner);
        for place in &places {
            less(&mut self.at_place, place);
        }
    }

    /// How many items wait.
    #[must_use]
    pub(super) fn waiting(&self) -> usize {
        self.waiting.values().map(BTreeMap::len).sum()
    }

    /// How many items have a turn.
    #[cfg(test)]
    pub(super) const fn taken(&self) -> usize {
        self.all
    }
}

fn less(counts: &mut HashMap<String, usize>, of: &str) {
    if let Some(count) = counts.get_mut(of) {
        *count -= 1;
        if *count == 0 {
            counts.remove(of);
        }
    }
}

/// A queue that tasks wait in. Clones share it.
#[derive(Debug, Clone)]
pub(super) struct Turns(Arc<Mutex<Queue<oneshot::Sender<Turn>>>>);

/// A turn. It lasts until this is dropped.
#[derive(Debug)]
pub(super) struct Turn {
    turns: Turns,
    grant: Option<Grant>,
}

/// The place of a waiting task. It lasts until this is dropped.
struct Place<'a> {
    turns: &'a Turns,
    owner: &'a str,
    ticket: Ticket,
}

impl Turns {
    #[must_use]
    pub(super) fn new(limits: Limits) -> Self {
        Self(Arc::new(Mutex::new(Queue::new(limits))))
    }

    fn queue(&self) -> MutexGuard<'_, Queue<oneshot::Sender<Turn>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a turn of `owner` at all of `places`. A task that is dropped while it waits leaves the
    /// queue.
    pub(super) async fn take(&self, owner: &str, places: Vec<String>) -> Turn {
        let (sender, turn) = oneshot::channel();
        let ticket = self.queue().push(owner, places, sender);
        let _place = Place { turns: self, owner, ticket };
        self.serve();
        match turn.await {
            Ok(turn) => turn,
            // Only this very future drops the sender of a waiting task.
            Err(_) => std::future::pending().await,
        }
    }

    /// How many tasks wait.
    #[must_use]
    pub(super) fn waiting(&self) -> usize {
        self.queue().waiting()
    }

    /// How many tasks have a turn.
    #[cfg(test)]
    pub(super) fn taken(&self) -> usize {
        self.queue().taken()
    }

    fn serve(&self) {
        loop {
            let next = self.queue().serve();
            let Some((grant, waiting)) = next else { return };
            // A task that no longer waits drops the turn, which gives it back. So the queue must not be
            // locked here.
            let _ = waiting.send(Turn { turns: self.clone(), grant: Some(grant) });
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.turns.queue().remove(self.owner, self.ticket);
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(grant) = self.grant.take() {
            self.turns.queue().done(grant);
            self.turns.serve();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    const LIMITS: Limits = Limits { all: 4, of_owner: 3, at_place: 2 };

    #[test]
    fn one_who_waits_with_a_thousand_keeps_another_waiting_for_one_turn() {
        let mut queue = Queue::new(Limits { all: 1, of_owner: 1, at_place: 1 });
        for at in 0..1000 {
            queue.push("crowd", Vec::new(), at);
        }
        let (grant, _) = queue.serve().unwrap();
        queue.push("lone", Vec::new(), 5000);
        queue.done(grant);
        let (first, _) = queue.serve().unwrap();
        queue.done(first);
        let (_, second) = queue.serve().unwrap();
        assert_eq!(second, 5000, "it came after one of the crowd");
    }

    #[test]
    fn an_owner_never_has_all_turns_where_it_may_not() {
        let mut queue = Queue::new(LIMITS);
        for at in 0..10 {
            queue.push("crowd", Vec::new(), at);
        }
        let granted = std::iter::from_fn(|| queue.serve()).count();
        assert_eq!(granted, 3);
        queue.push("lone", Vec::new(), 100);
        assert_eq!(queue.serve().unwrap().1, 100, "it finds one that is free");
    }

    #[test]
    fn a_place_that_is_full_holds_back_nobody_who_goes_elsewhere() {
        let mut queue = Queue::new(LIMITS);
        let at = |place: &str| vec!["registry.example.com".to_owned(), place.to_owned()];
        for item in 0..3 {
            queue.push(&format!("owner-{item}"), vec!["tarpit.example.com".to_owned()], item);
        }
        queue.push("owner-2", at("other.example.com"), 10);
        queue.push("owner-3", at("tarpit.example.com"), 11);
        let granted: Vec<_> = std::iter::from_fn(|| queue.serve()).map(|(_, item)| item).collect();
        assert_eq!(granted, [0, 1, 10], "and the last one goes to both");
    }

    #[derive(Debug, Clone)]
    enum Event {
        Push(u8, u8),
        Remove(usize),
        Done(usize),
    }

    fn events() -> impl Strategy<Value = Vec<Event>> {
        let event = prop_oneof![
            4 => (0..6u8, 0..4u8).prop_map(|(owner, place)| Event::Push(owner, place)),
            1 => any::<usize>().prop_map(Event::Remove),
            3 => any::<usize>().prop_map(Event::Done),
        ];
        vec(event, 1..200)
    }

    proptest! {
        #[test]
        fn limits_hold_nobody_is_forgotten_and_no_owner_is_served_twice_before_one_who_could_be(events in events()) {
            let mut queue = Queue::new(LIMITS);
            let mut granted: Vec<Grant> = Vec::new();
            let mut waiting: Vec<(String, Ticket)> = Vec::new();
            // For each owner that could have been served all the time: the owners that were served meanwhile.
            let mut passed: HashMap<String, Vec<String>> = HashMap::new();
            for event in events {
                match event {
                    Event::Push(owner, place) => {
                        let owner = format!("owner-{owner}");
                        let places = vec![format!("place-{place}")];
                        let ticket = queue.push(&owner, places, ());
                        waiting.push((owner, ticket));
                    }
                    Event::Remove(at) if !waiting.is_empty() => {
                        let (owner, ticket) = waiting.remove(at % waiting.len());
                        prop_assert!(queue.remove(&owner, ticket).is_some());
                        prop_assert!(queue.remove(&owner, ticket).is_none());
                        if !queue.waiting.contains_key(&owner) {
                            // It starts at the end of the ring when it comes again.
                            passed.remove(&owner);
                        }
                    }
                    Event::Done(at) if !granted.is_empty() => queue.done(granted.remove(at % granted.len())),
                    Event::Remove(_) | Event::Done(_) => {}
                }
                loop {
                    let able = |owner: &String| queue.first_of(owner).is_some();
                    let able: Vec<String> = queue.ring.iter().filter(|owner| able(owner)).cloned().collect();
                    let Some((grant, ())) = queue.serve() else { break };
                    let served = grant.owner.clone();
                    passed.retain(|owner, _| able.contains(owner) && *owner != served);
                    for owner in able.into_iter().filter(|owner| *owner != served) {
                        let by = passed.entry(owner.clone()).or_default();
                        prop_assert!(!by.contains(&served), "{owner} was passed by {served} twice");
                        by.push(served.clone());
                    }
                    let left = |of: &String, ticket: &Ticket| queue.waiting.get(of).is_some_and(|of| of.contains_key(ticket));
                    waiting.retain(|(owner, ticket)| left(owner, ticket));
                    granted.push(grant);
                }
                prop_assert_eq!((queue.waiting(), queue.taken()), (waiting.len(), granted.len()));
                prop_assert!(granted.len() <= LIMITS.all);
                for at in 0..6 {
                    let (owner, place) = (format!("owner-{at}"), format!("place-{at}"));
                    let of_owner = granted.iter().filter(|grant| grant.owner == owner).count();
                    let at_place = granted.iter().filter(|grant| grant.places.contains(&place)).count();
                    prop_assert!(of_owner <= LIMITS.of_owner && at_place <= LIMITS.at_place);
                }
                // An item that waits without need waits forever.
                prop_assert!(queue.serve().is_none());
            }
            for (owner, ticket) in waiting {
                prop_assert!(queue.remove(&owner, ticket).is_some());
            }
            for grant in granted {
                queue.done(grant);
            }
            prop_assert!(queue.ring.is_empty() && queue.waiting.is_empty(), "something is left: {queue:?}");
            prop_assert!(queue.all == 0 && queue.of_owner.is_empty() && queue.at_place.is_empty(), "{queue:?}");
        }
    }

    #[tokio::test]
    async fn a_turn_goes_on_when_it_is_dropped_and_who_is_dropped_leaves_nothing() {
        let turns = Turns::new(Limits { all: 1, of_owner: 1, at_place: 1 });
        let first = turns.take("a", Vec::new()).await;
        let mut dropped = Box::pin(turns.take("b", Vec::new()));
        assert!(futures::poll!(&mut dropped).is_pending());
        assert_eq!((turns.taken(), turns.waiting()), (1, 1));
        drop(dropped);
        assert_eq!((turns.taken(), turns.waiting()), (1, 0));
        let last = tokio::spawn({
            let turns = turns.clone();
            async move { turns.take("c", Vec::new()).await }
        });
        tokio::task::yield_now().await;
        drop(first);
        drop(last.await.unwrap());
        assert_eq!((turns.taken(), turns.waiting()), (0, 0));
    }

    #[tokio::test]
    async fn a_turn_that_reaches_somebody_who_has_just_gone_is_handed_on() {
        let turns = Turns::new(Limits { all: 1, of_owner: 1, at_place: 1 });
        let first = turns.take("a", Vec::new()).await;
        let mut gone = Box::pin(turns.take("b", Vec::new()));
        assert!(futures::poll!(&mut gone).is_pending());
        // The turn is on its way to it, and nobody polls it any more.
        drop(first);
        assert_eq!((turns.taken(), turns.waiting()), (1, 0));
        drop(gone);
        assert_eq!((turns.taken(), turns.waiting()), (0, 0));
        drop(turns.take("c", Vec::new()).await);
    }
}
