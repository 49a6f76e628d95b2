//! The rules, which hold in every state.

use std::{
    collections::HashSet,
    hash::{DefaultHasher, Hash, Hasher},
    sync::PoisonError,
};

use longshore::api::action::RetryCause;
use stateright::Property;

use crate::{Lifecycle, cluster::State, events::Event, operator::Answer, pods::How};

/// How many events may pass until all is at rest, once nothing goes wrong any more.
const MOST_EVENTS: usize = 200;

pub(crate) const ONE_START: &str = "the script of an attempt starts at most once";
pub(crate) const ONE_RUNNING: &str = "no two scripts of an action run at a time";
pub(crate) const NEVER_STARTED: &str = "what is said never to have started never starts";
pub(crate) const ALLOWED: &str = "a run starts its script again only where that is allowed";
pub(crate) const NO_FAULT: &str = "no end changes, no status is written twice, no wait is without end";
pub(crate) const COMES_TO_REST: &str = "with a node that works, everything comes to an end";
pub(crate) const NODE_LOST: &str = "with a node that says nothing any more, everything comes to an end";

pub(crate) fn all() -> Vec<Property<Lifecycle>> {
    vec![
        Property::always(ONE_START, |_, state: &State| state.told.starts.values().all(|starts| *starts <= 1)),
        Property::always(ONE_RUNNING, |_, state: &State| state.running().count() <= 1),
        Property::always(NEVER_STARTED, |_, state: &State| {
            state.told.never.iter().all(|attempt| !state.told.starts.contains_key(attempt))
        }),
        Property::always(ALLOWED, |model: &Lifecycle, state: &State| {
            let again = model.retry.iter().any(|cause| *cause != RetryCause::NeverStarted);
            let mut runs = HashSet::new();
            again || state.told.starts.keys().all(|(run, _)| runs.insert(*run))
        }),
        Property::always(NO_FAULT, |_, state: &State| state.told.fault.is_none()),
        Property::always(COMES_TO_REST, |model: &Lifecycle, state: &State| model.comes_to_rest(state, true)),
        Property::always(NODE_LOST, |model: &Lifecycle, state: &State| model.comes_to_rest(state, false)),
    ]
}

fn print(state: &State, node: bool) -> u64 {
    let mut hasher = DefaultHasher::new();
    (state, node).hash(&mut hasher);
    hasher.finish()
}

impl Lifecycle {
    /// Whether all comes to rest from here in a bounded number of events, if nothing goes wrong and nobody
    /// asks for anything. At rest the run has ended, or waits for somebody with a reason.
    fn comes_to_rest(&self, from: &State, node: bool) -> bool {
        if from.told.fault.is_some() {
            return true;
        }
        let mut state = left_alone(from, node);
        let mut passed = Vec::new();
        for _ in 0..MOST_EVENTS {
            let mark = print(&state, node);
            if self.settled.lock().unwrap_or_else(PoisonError::into_inner).contains(&mark) {
                break;
            }
            passed.push(mark);
            let Some(event) = self.next_of_itself(&state, node) else {
                if !is_at_rest(&state) {
                    return false;
                }
                break;
            };
            self.happens(&mut state, event);
            if state.told.fault.is_some() {
                // Which is found by itself.
                return true;
            }
            if passed.len() == MOST_EVENTS {
                return false;
            }
        }
        self.settled.lock().unwrap_or_else(PoisonError::into_inner).extend(passed);
        true
    }

    /// The end of the way on which all should come to rest, for whoever reads of one that does not.
    pub(crate) fn way_to_rest(&self, from: &State, node: bool) -> Vec<Event> {
        let mut state = left_alone(from, node);
        let mut way = Vec::new();
        while way.len() < MOST_EVENTS
            && let Some(event) = self.next_of_itself(&state, node)
        {
            way.push(event.clone());
            self.happens(&mut state, event);
        }
        way.truncate(40);
        way
    }

    /// What happens next where all goes as it should, first what takes the least time.
    fn next_of_itself(&self, state: &State, node: bool) -> Option<Event> {
        let mut events = Vec::new();
        self.possible(state, &mut events);
        let of_node = |event: &Event| match event {
            // Of a pod that is gone the API server says that there is no log.
            Event::ReadLog(uid) => state.pod(*uid).is_some(),
            event => matches!(event, Event::Start(_) | Event::End(..) | Event::Tell(_) | Event::Drop(_)),
        };
        let rank = |event: &Event| match event {
            Event::SeeAction | Event::SeePods | Event::SeeNodes => Some(0),
            Event::Operate(Answer::Arrives) => Some(1),
            Event::Collect | Event::Evacuate | Event::LetGo(_) => Some(2),
            Event::Tick | Event::Outwait => Some(9),
            event if of_node(event) && !node => None,
            Event::ReadLog(_) | Event::Tell(_) => Some(3),
            Event::Drop(_) => Some(4),
            Event::Start(_) | Event::End(_, How::Exited(0) | How::Stopped | How::Killed) => Some(5),
            _ => None,
        };
        let best = events.into_iter().filter_map(|event| Some((rank(&event)?, event)));
        best.min_by_key(|(rank, _)| *rank).map(|(_, event)| event)
    }
}

/// Nothing goes wrong any more, and nodes speak, or none does.
fn left_alone(from: &State, node: bool) -> State {
    State { budget: 0, silent: if node { 0 } else { u8::MAX }, ..from.clone() }
}

/// Whether nothing is left to do, as far as the API server tells.
fn is_at_rest(state: &State) -> bool {
    let Some(action) = &state.action else {
        return state.pods.values().all(|pod| !pod.finalizer);
    };
    if action.is_deleted() {
        // A node that says nothing keeps its pod.
        return state.pods.values().all(|pod| !pod.finalizer);
    }
    // Objects that are being deleted are let go.
    if state.pods.values().any(|pod| pod.finalizer && pod.deleted.is_some()) {
        return false;
    }
    let suspended = action.action.spec.suspend == Some(true);
    let over = action.run().is_some_and(|run| run.finished_at.is_some());
    over || (suspended && action.run().is_none())
}
