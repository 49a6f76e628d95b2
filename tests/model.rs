//! A model of all that can happen around `longshore::operator::decide`, explored state by state.
//!
//! The function that decides is the real one. Its surroundings are small. There is an API server with one
//! action and its pods ([`cluster`], [`pods`]), and caches may be behind it. Nodes start and end containers;
//! they may report late, have wrong clocks, fall silent and come back, or be off. Scripts may ignore every
//! signal. The operator may lose its memory at any moment, and its calls may be carried out unanswered or
//! arrive late ([`operator`]). Another process beside it may believe that it leads, and people change their
//! minds ([`people`]). stateright takes every event ([`events`]) in every state, up to a number of faults and
//! requests, and checks the rules ([`rules`]). Time stands still while things happen, and jumps to the next
//! moment for which somebody waits.
//!
//! It leaves out other actions, templates, policies, the registry and injected containers. The tables of
//! tests beside `decide` have those.

// clippy knows `#[test]` functions, and not what they share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(
    clippy::struct_excessive_bools,
    clippy::option_option,
    reason = "a state is many small facts, and what was not looked for is not what was not found"
)]
#![allow(
    clippy::too_many_lines,
    clippy::single_match_else,
    clippy::unused_self,
    reason = "what each step and event does stands in one list, one arm beside the other"
)]

#[path = "model/cluster.rs"]
mod cluster;
#[path = "model/decided.rs"]
mod decided;
#[path = "model/events.rs"]
mod events;
#[path = "model/explored.rs"]
mod explored;
#[path = "model/operator.rs"]
mod operator;
#[path = "model/people.rs"]
mod people;
#[path = "model/pods.rs"]
mod pods;
#[path = "model/rules.rs"]
mod rules;

use std::{collections::HashSet, sync::Mutex};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::ObjectMeta;
use longshore::api::{
    DeploymentAction, DeploymentActionSpec,
    action::{Retry, RetryCause, Script},
};
use stateright::{Model, Property};

use crate::{cluster::State, events::Event, people::Kind};

/// A protection that is not there, to see that the model notices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Broken {
    /// A status is written even if somebody has changed it meanwhile.
    StatusOverwritten,
    /// A pod is created without another look at its action.
    LiveReadSkipped,
    /// Pods have no finalizer.
    FinalizerDropped,
    /// An operator takes it that no other process has sent a creation: before it, or beside it.
    OthersForgotten,
    /// A creation may arrive however late.
    LateWithoutBound,
    /// Tombstones are removed.
    TombstoneRemoved,
    /// A pod of an action that is gone is let go although a creation may arrive.
    NameLeftFree,
    /// The runner keeps no deadline.
    NoDeadline,
    /// The taint is on a node whose processes go on.
    OffNodeRuns,
    /// An operator does not heed what a node says that reports.
    RunningUnheeded,
}

/// The exploration.
struct Lifecycle {
    /// After which ends another attempt is allowed; none where it is empty.
    retry: &'static [RetryCause],
    /// Possible faults and requests.
    kinds: &'static [Kind],
    /// How often, in all.
    budget: u8,
    broken: Option<Broken>,
    /// Prints of states that are known to come to rest.
    settled: Mutex<HashSet<u64>>,
}

impl Lifecycle {
    fn new(retry: &'static [RetryCause], kinds: &'static [Kind], budget: u8) -> Self {
        Self { retry, kinds, budget, broken: None, settled: Mutex::default() }
    }

    fn action(&self) -> DeploymentAction {
        let mut spec = DeploymentActionSpec {
            image: Some("registry.example.com/tools:1".into()),
            script: Some(Script { inline: Some("echo hi".into()), ..Default::default() }),
            pending_deadline_seconds: Some(pods::PENDING),
            run_deadline_seconds: Some(pods::RUN),
            termination_grace_period_seconds: Some(pods::GRACE),
            pod_retention_seconds: 0,
            ..Default::default()
        };
        if !self.retry.is_empty() {
            let (limit, causes) = (1, self.retry.to_vec());
            spec.retry = Some(Retry { limit, causes, backoff_seconds: Some(1), ..Retry::default() });
        }
        let metadata = ObjectMeta {
            name: Some("deploy".into()),
            namespace: Some("shop".into()),
            uid: Some(pods::UID.into()),
            creation_timestamp: Some(Time(pods::at(0))),
            generation: Some(1),
            ..Default::default()
        };
        DeploymentAction { metadata, spec, status: None }
    }
}

impl Model for Lifecycle {
    type State = State;
    type Action = Event;

    fn init_states(&self) -> Vec<State> {
        vec![State::new(self.action(), self.budget)]
    }

    fn actions(&self, state: &State, events: &mut Vec<Event>) {
        // Beyond a broken rule nothing is of interest.
        if state.told.fault.is_none() {
            self.possible(state, events);
        }
    }

    fn next_state(&self, state: &State, event: Event) -> Option<State> {
        let mut next = state.clone();
        self.happens(&mut next, event);
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        rules::all()
    }
}
