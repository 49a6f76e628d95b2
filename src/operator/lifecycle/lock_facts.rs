//! Facts about a lock.

use k8s_openapi::jiff::Timestamp;

use crate::{api::LEASE_PREFIX, operator::pod::view::PodView};

/// The Lease's name.
#[must_use]
pub fn lease_name(lock: &str) -> String {
    format!("{LEASE_PREFIX}{lock}")
}

/// The result of a live look at a lock.
#[derive(Debug, Clone, PartialEq)]
pub enum LockSeen {
    /// The look failed, and why.
    Unreadable(String),
    /// A Lease that is not ours has the name.
    Stranger(String),
    /// No run has it.
    Free {
        /// Pods of the lock that have not ended. They are looked for only if there is no Lease, because
        /// somebody may have deleted it.
        pods: Vec<PodView>,
    },
    /// This very run has it.
    Ours {
        /// Since when.
        since: Timestamp,
    },
    /// Another run has it.
    Held(Box<Held>),
}

impl LockSeen {
    /// The pods that were found.
    pub fn pods_mut(&mut self) -> impl Iterator<Item = &mut PodView> {
        let (pods, recorded) = match self {
            Self::Free { pods } => (Some(pods), None),
            Self::Held(held) => (Some(&mut held.pods), held.recorded.as_mut()),
            Self::Unreadable(_) | Self::Stranger(_) | Self::Ours { .. } => (None, None),
        };
        pods.into_iter().flatten().chain(recorded)
    }
}

/// A lock that another run has.
#[derive(Debug, Clone, PartialEq)]
pub struct Held {
    /// The run.
    pub by: Holder,
    /// How that run stands by its action, which was just read.
    pub stands: HolderStands,
    /// The name of the pod that was recorded before its creation. `None`: no creation was sent.
    pub pod: Option<String>,
    /// The recorded pod, if it exists.
    pub recorded: Option<PodView>,
    /// Pods of the lock that have not ended.
    pub pods: Vec<PodView>,
    /// When every clock has passed that lets the recorded pod run.
    pub until: Option<Timestamp>,
}

/// The state of a run that the Lease names, as its action says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HolderStands {
    /// The run has the lock, and will release it.
    UnderWay,
    /// By its status the run still waits for the lock: its operator took the Lease and has written nothing
    /// yet.
    Waiting,
    /// The action is gone, or has another run, or its run has ended without the lock.
    Gone,
}

/// A run that has a lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Its action's name.
    pub action: String,
    /// Its id.
    pub run: String,
    /// Since when.
    pub since: Option<Timestamp>,
}

impl Holder {
    /// The holder, for people.
    #[must_use]
    pub fn words(&self) -> String {
        let since = self.since.map(|since| format!(", since {since}")).unwrap_or_default();
        format!("{} (run {}{since})", self.action, self.run)
    }
}

/// The place of a run that waits for a lock.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Place {
    /// Whether all actions are known. Before that, no place is known.
    pub known: bool,
    /// How many runs wait before it.
    pub ahead: u32,
    /// The run of another action that has the lock.
    pub holder: Option<Holder>,
}

/// Facts about an action's lock.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LockFact {
    /// The run's place among those that wait.
    pub place: Place,
    /// The result of a live look in this pass.
    pub seen: Option<LockSeen>,
    /// The pod's name, and its UID, that this process has written onto the Lease for the run.
    pub marked: Option<(String, Option<String>)>,
    /// Whether the Lease named another holder when this process tried to write onto it.
    pub lost: bool,
    /// Whether this process has released the lock that the status names.
    pub given_back: bool,
    /// Whether enough time has passed since the last status that only reported the place.
    pub position_due: bool,
}
