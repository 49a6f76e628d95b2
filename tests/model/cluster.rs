//! The state at one moment: the API server's objects, and the operator's caches and memory.

use std::{
    collections::{BTreeMap, BTreeSet},
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ManagedFieldsEntry, Time};
use longshore::{
    api::{DeploymentAction, DeploymentActionStatus, status::RunStatus},
    operator::spec::{
        expand::{Blocked, check},
        validate::Checked,
    },
};

use crate::{
    decided::Created,
    pods::{Attempt, Flying, Millis, Pod, Pods, Process, Read, Shown, at},
};

/// An action as the API server has it, with what is costly to make of it. Its version is its content: two
/// that say the same are the same to whoever decides, and so to the compare-and-swap here.
#[derive(Debug)]
pub(crate) struct Stored {
    pub(crate) action: DeploymentAction,
    pub(crate) spec: Arc<Result<Checked, Blocked>>,
    print: u64,
}

impl Stored {
    pub(crate) fn new(action: DeploymentAction) -> Arc<Self> {
        let spec = Arc::new(check(&action, None, "amd64"));
        Self::with(action, spec)
    }

    fn with(action: DeploymentAction, spec: Arc<Result<Checked, Blocked>>) -> Arc<Self> {
        let mut hasher = DefaultHasher::new();
        serde_json::to_string(&action).unwrap().hash(&mut hasher);
        Arc::new(Self { print: hasher.finish(), action, spec })
    }

    /// The next version, with another spec or other metadata.
    pub(crate) fn changed(&self, change: impl FnOnce(&mut DeploymentAction)) -> Arc<Self> {
        let mut action = self.action.clone();
        change(&mut action);
        let same = action.spec == self.action.spec;
        if !same {
            action.metadata.generation = action.metadata.generation.map(|generation| generation + 1);
        }
        let spec = if same { Arc::clone(&self.spec) } else { Arc::new(check(&action, None, "amd64")) };
        Self::with(action, spec)
    }

    /// The next version, with another status. The API server puts down that somebody wrote it; when, does
    /// not matter here.
    pub(crate) fn written(&self, status: Option<DeploymentActionStatus>) -> Arc<Self> {
        let mut action = DeploymentAction { status, ..self.action.clone() };
        action.metadata.managed_fields = Some(vec![ManagedFieldsEntry {
            subresource: Some("status".to_owned()),
            time: Some(Time(at(1000))),
            ..ManagedFieldsEntry::default()
        }]);
        Self::with(action, Arc::clone(&self.spec))
    }

    pub(crate) fn run(&self) -> Option<&RunStatus> {
        self.action.status.as_ref()?.run.as_ref()
    }

    /// The attempt whose pod the status names.
    pub(crate) fn named(&self) -> Option<Attempt> {
        let run = self.run()?;
        run.pod_name.as_ref().map(|_| (run.number, run.attempt))
    }

    pub(crate) fn is_deleted(&self) -> bool {
        self.action.metadata.deletion_timestamp.is_some()
    }
}

impl PartialEq for Stored {
    fn eq(&self, other: &Self) -> bool {
        self.print == other.print
    }
}

impl Eq for Stored {}

impl Hash for Stored {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.print.hash(state);
    }
}

/// Knowledge of a pass that the caches do not have.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Pass {
    pub(crate) action: Arc<Stored>,
    /// The pod as it was looked at, if it was.
    pub(crate) looked: Option<Option<Pod>>,
    /// All pods, if they were looked for.
    pub(crate) all_pods: Option<Vec<Pod>>,
    pub(crate) resolved: bool,
    pub(crate) steps: u8,
}

/// Why the operator does nothing, until it learns of something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) enum Rests {
    #[default]
    No,
    /// It has changed something, and looks again once its caches have it: in truth after a second too.
    UntilSeen,
    /// There is nothing to do before the next time to look.
    UntilWoken,
}

/// What the operator knows beside its caches: lost when it crashes. As `memory.rs` has it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(crate) struct Memory {
    pub(crate) created: Option<Pod>,
    pub(crate) attempt: Option<Attempt>,
    pub(crate) creation: Created,
    pub(crate) settled: BTreeSet<Attempt>,
    pub(crate) not_before: Option<Millis>,
    pub(crate) released: Option<u32>,
    pub(crate) logs: BTreeMap<u32, Read>,
    pub(crate) pass: Option<Pass>,
    pub(crate) rests: Rests,
    /// Something became known in the midst of a pass, which another one follows then.
    pub(crate) news: bool,
}

impl Memory {
    /// Something is new.
    pub(crate) fn learns(&mut self) {
        self.rests = Rests::No;
        self.news = self.pass.is_some();
    }

    pub(crate) fn turn_to(&mut self, attempt: Attempt, announced: bool) {
        if self.attempt != Some(attempt) {
            self.attempt = Some(attempt);
            self.creation = Created { unanswered: !announced, ..Created::default() };
            (self.created, self.not_before) = (None, None);
        }
    }

    /// `ours`: whether no other process can have asked for the pod of the latest attempt; `gone`: whether the
    /// action is known to be.
    pub(crate) fn settle(&mut self, action: &Stored, ours: bool, gone: bool) {
        let Some(run) = action.run() else {
            self.creation.unanswered |= self.attempt.is_some();
            return;
        };
        let attempt = (run.number, run.attempt);
        self.settled.remove(&attempt);
        if self.attempt != Some(attempt) {
            return;
        }
        self.creation.unanswered |= !ours;
        if (gone || run.is_launched_no_more() || action.is_deleted()) && !self.creation.unanswered {
            self.settled.insert(attempt);
        }
    }

    /// Whether no creation of this attempt can arrive.
    pub(crate) fn has_all_creations(&self, attempt: Attempt) -> bool {
        let under_way = self.attempt == Some(attempt) && self.creation.unanswered;
        self.settled.contains(&attempt) && !under_way
    }
}

/// The history, for the rules alone: nobody in the model looks at it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(crate) struct Told {
    /// How often the script of an attempt was started.
    pub(crate) starts: BTreeMap<Attempt, u8>,
    /// How runs ended: reason and exit code.
    pub(crate) verdicts: BTreeMap<u32, (String, Option<i32>)>,
    /// Attempts of which it was said that they never started.
    pub(crate) never: BTreeSet<Attempt>,
    /// Other broken rules.
    pub(crate) fault: Option<&'static str>,
}

/// All of it, at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct State {
    pub(crate) now: Millis,
    /// How far the operator's clock is ahead of all others.
    pub(crate) skew: Millis,
    /// When somebody wants to look again.
    pub(crate) wake: Option<Millis>,
    pub(crate) action: Option<Arc<Stored>>,
    pub(crate) pods: Pods,
    pub(crate) flying: Vec<Flying>,
    pub(crate) processes: BTreeMap<u32, Process>,
    pub(crate) next_uid: u32,
    /// Whether the first node is off.
    pub(crate) off: bool,
    /// Whether the operator has read that.
    pub(crate) seen_off: bool,
    /// The bits of the nodes that say nothing.
    pub(crate) silent: u8,
    /// As the operator has read it.
    pub(crate) seen_silent: u8,
    /// How far the clocks of nodes are ahead of all others.
    pub(crate) node_skew: Millis,
    pub(crate) seen_action: Option<Arc<Stored>>,
    pub(crate) seen_pods: Pods,
    pub(crate) memory: Memory,
    /// Which process of the operator this is: one that died is followed by the next.
    pub(crate) process: u8,
    /// An attempt that another process has taken over, which believes that it leads.
    pub(crate) believer: Option<Attempt>,
    /// The action at its end, until the operator hears of that.
    pub(crate) last: Option<Arc<Stored>>,
    /// When that was.
    pub(crate) gone: Option<Millis>,
    /// How many more things may go wrong, or be asked for.
    pub(crate) budget: u8,
    pub(crate) told: Told,
}

/// Whether the bit of this node is set.
pub(crate) const fn is_silent(nodes: u8, node: u8) -> bool {
    nodes & (1 << (node - 1)) > 0
}

impl State {
    pub(crate) fn new(action: DeploymentAction, budget: u8) -> Self {
        let stored = Stored::new(action);
        Self {
            now: 0,
            skew: 0,
            wake: None,
            action: Some(Arc::clone(&stored)),
            pods: Pods::new(),
            flying: vec![],
            processes: BTreeMap::new(),
            next_uid: 1,
            off: false,
            seen_off: false,
            silent: 0,
            seen_silent: 0,
            node_skew: 0,
            seen_action: Some(stored),
            seen_pods: Pods::new(),
            memory: Memory::default(),
            process: 1,
            believer: None,
            last: None,
            gone: None,
            budget,
            told: Told::default(),
        }
    }

    /// Whether the operator waits.
    pub(crate) fn rests(&self) -> bool {
        match self.memory.rests {
            Rests::No => false,
            Rests::UntilSeen => self.is_behind(),
            Rests::UntilWoken => true,
        }
    }

    /// Whether a cache is behind.
    pub(crate) fn is_behind(&self) -> bool {
        self.seen_action != self.action || self.seen_pods != self.pods
    }

    /// Processes that run at this moment.
    pub(crate) fn running(&self) -> impl Iterator<Item = (&u32, &Process)> {
        self.processes.iter().filter(|(_, process)| process.end.is_none())
    }

    /// A creation arrives. `None` where the name is taken.
    pub(crate) fn create(&mut self, of: &Flying, finalizer: bool) -> Option<Pod> {
        if self.pods.contains_key(&of.attempt) {
            return None;
        }
        let pod = Pod {
            attempt: of.attempt,
            uid: self.next_uid,
            created: self.now,
            tombstone: of.tombstone,
            bundle: of.bundle.clone(),
            finalizer: finalizer && !of.tombstone,
            deleted: None,
            forced: false,
            expired: false,
            told: None,
            node: if self.off || self.silent & 1 > 0 { 2 } else { 1 },
            shown: Shown::Waiting,
        };
        self.next_uid += 1;
        self.pods.insert(of.attempt, pod.clone());
        Some(pod)
    }

    /// Whether its node is off.
    pub(crate) const fn is_off(&self, pod: &Pod) -> bool {
        self.off && pod.is_on_first()
    }

    /// Whether its node says nothing.
    pub(crate) const fn is_mute(&self, pod: &Pod) -> bool {
        !pod.tombstone && (self.is_off(pod) || is_silent(self.silent, pod.node))
    }

    pub(crate) fn pod(&self, uid: u32) -> Option<&Pod> {
        self.pods.values().find(|pod| pod.uid == uid)
    }

    pub(crate) fn pod_mut(&mut self, uid: u32) -> Option<&mut Pod> {
        self.pods.values_mut().find(|pod| pod.uid == uid)
    }

    /// The operator's memory of an action has the UID as its key, which never comes again, and it waits for
    /// nothing any more. Which creations were its own it may still be asked.
    pub(crate) fn forget_what_is_gone(&mut self) {
        if self.action.is_none() && self.seen_action.is_none() && self.memory.pass.is_none() {
            let Memory { attempt, creation, settled, .. } = std::mem::take(&mut self.memory);
            (self.memory, self.wake) = (Memory { attempt, creation, settled, ..Memory::default() }, None);
        }
    }

    /// Pods that nothing keeps go.
    pub(crate) fn sweep(&mut self) {
        self.pods.retain(|_, pod| !pod.may_go());
        if self.action.as_ref().is_some_and(|action| action.is_deleted()) && self.pods.is_empty() {
            self.remove_action();
        }
    }

    pub(crate) fn remove_action(&mut self) {
        (self.last, self.gone) = (self.action.take(), Some(self.now));
    }

    /// The operator dies, and another process begins in its place.
    pub(crate) fn crash(&mut self) {
        self.memory = Memory::default();
        self.process += 1;
    }
}
