//! The answers of the real [`decide`]. Each set of facts is asked once only, since many states look the same
//! to the operator.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
    sync::{Arc, LazyLock, Mutex, PoisonError},
};

use longshore::{
    api::Reason,
    operator::{
        lifecycle::{
            cause::Cause,
            decide::{Step, decide, stand_in},
            facts::{Creation, Facts, NodeState, PodFact, Refusal, Resolution, SecretFact, Source},
            lock_facts::LockFact,
            requests::Requests,
        },
        pod::view::PodView,
        spec::{expand::Blocked, policy::Standing},
    },
    registry::ImageUser,
};

use crate::{
    cluster::{Stored, is_silent},
    pods::{Millis, Pod, Read, at, is_first_node},
};

/// The operator's knowledge, in the model's terms.
#[derive(Hash)]
pub(crate) struct Known<'a> {
    pub(crate) process: u8,
    pub(crate) action: &'a Stored,
    pub(crate) pod: Option<Pod>,
    /// Whether the API server said so just now.
    pub(crate) looked: bool,
    pub(crate) log: Option<(u32, &'a Read)>,
    /// With whether no creation of its attempt can arrive.
    pub(crate) older: Vec<(&'a Pod, bool)>,
    pub(crate) creation: Created,
    pub(crate) not_before: Option<Millis>,
    pub(crate) resolved: bool,
    /// Whether those are all that the API server has just now.
    pub(crate) all_pods: bool,
    /// Whether the first node is known to be off.
    pub(crate) off: bool,
    /// The bits of the nodes that are known to say nothing.
    pub(crate) silent: u8,
    /// Whether it does not matter to the operator what runs by the word of its node.
    pub(crate) unheeded: bool,
    /// By the operator's clock.
    pub(crate) now: Millis,
}

/// Knowledge of creations of the attempt's pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) struct Created {
    pub(crate) unanswered: bool,
    /// By a quota, say: it may pass.
    pub(crate) refused: bool,
    pub(crate) tombstone_refused: bool,
}

impl Created {
    fn fact(self) -> Creation {
        let words = || "quota".to_owned();
        let refusal = || Refusal { reason: Reason::QuotaExceeded, may_pass: true, message: words() };
        Creation {
            pod_uid: None,
            unanswered: self.unanswered,
            refusal: self.refused.then(refusal),
            error: None,
            tombstone_refused: self.tombstone_refused.then(words),
            tombstone_tries: 0,
        }
    }
}

/// The next step, and what the action is once a status that it writes is written.
pub(crate) struct Decided {
    pub(crate) step: Step,
    pub(crate) written: Option<Arc<Stored>>,
}

/// By the print of what was known. It is the same for all tests: what is broken in one is not here.
static DECIDED: LazyLock<Mutex<HashMap<u64, Arc<Decided>>>> = LazyLock::new(Mutex::default);

impl Known<'_> {
    pub(crate) fn decided(&self) -> Arc<Decided> {
        let mut hasher = DefaultHasher::new();
        self.hash(&mut hasher);
        let print = hasher.finish();
        if let Some(decided) = DECIDED.lock().unwrap_or_else(PoisonError::into_inner).get(&print) {
            return Arc::clone(decided);
        }
        let step = self.decide();
        let written = match &step {
            Step::WriteStatus(status) => Some(self.action.written(Some((**status).clone()))),
            _ => None,
        };
        let decided = Arc::new(Decided { step, written });
        DECIDED.lock().unwrap_or_else(PoisonError::into_inner).insert(print, Arc::clone(&decided));
        decided
    }

    fn decide(&self) -> Step {
        let view = |pod: &Pod| {
            let mut view = pod.view();
            view.off = self.off && view.deleting && pod.is_on_first();
            let mute = self.off && pod.is_on_first() || is_silent(self.silent, pod.node);
            view.reports = !pod.tombstone && !mute && !self.unheeded;
            // As `Nodes::tell`.
            let seen = view.terminated().is_some_and(|end| !end.is_unknown());
            view.gone &= seen || !mute || pod.tombstone;
            view
        };
        let pod = match &self.pod {
            Some(pod) => PodFact::Present(Box::new(view(pod))),
            None if self.looked => PodFact::Absent,
            None => PodFact::NotSeen,
        };
        let log = self.log.map(|(uid, read)| read.fact(uid));
        let older = self.older.iter().map(|(pod, settled)| PodView { settled: *settled, ..view(pod) });
        let older: Vec<PodView> = older.collect();
        let ran_on = self.action.run().and_then(|run| run.node_name.as_deref());
        let node = pod.view().and_then(|view| view.node.as_deref()).or(ran_on);
        let off = self.off && node.is_some_and(is_first_node);
        let process = process_name(self.process);
        let generation = self.action.action.metadata.generation;
        let facts = Facts {
            process: &process,
            action: &self.action.action,
            requests: Requests::of(&self.action.action),
            spec: &self.action.spec,
            template: None,
            source: Source::None,
            resolution: self.resolved.then(resolved),
            resolver: None,
            policy_missing: None,
            standing: Standing::Allowed,
            user_namespaces: Some(true),
            pod,
            older,
            all_pods: self.all_pods,
            previous: Vec::new(),
            creation: self.creation.fact(),
            not_before: self.not_before.map(at),
            log,
            // What is changed is changed for what keeps the script from starting, as far as is known.
            cause: self.action.run().is_some_and(|run| Some(run.generation) != generation).then(cause),
            node: off.then_some(NodeState::OutOfService),
            progress_due: true,
            // The action names none.
            lock: LockFact::default(),
            keys: None,
            secret: SecretFact::default(),
            // Nothing that is decided about a script depends on it.
            archive: None,
        };
        let step = decide(&facts, at(self.now));
        if let Some(action) = stand_in(&self.action.action) {
            // What the cache has of an action at rest leads to the same.
            let spec = Err(Blocked::Unread(String::new()));
            let requests = Requests::of(&action);
            let other = decide(&Facts { action: &action, requests, spec: &spec, ..facts }, at(self.now));
            let waits = |step: &Step| matches!(step, Step::Wait(_));
            assert!(
                other == step || !(waits(&other) || waits(&step)),
                "{step:?}, of the cached one {other:?}"
            );
        }
        step
    }
}

fn cause() -> Cause {
    Cause { reason: Reason::SecretMissing, message: "secret \"db\" not found".into() }
}

/// The name of a process of the operator.
pub(crate) fn process_name(process: u8) -> String {
    format!("operator-{process}")
}

fn resolved() -> Resolution {
    Resolution::Resolved {
        pinned: format!("registry.example.com/tools@sha256:{}", "1".repeat(64)),
        platform_digest: None,
        config_digest: None,
        user: ImageUser::Root,
        packages: Vec::new(),
        script_sha256: None,
    }
}
