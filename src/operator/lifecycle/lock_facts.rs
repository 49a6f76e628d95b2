//! What is known of a lock.

use k8s_openapi::jiff::Timestamp;

use crate::{api::LEASE_PREFIX, operator::pod::view::PodView};

/// The Lease's name.
#[must_use]
pub fn lease_name(lock: &str) -> String {
    format!("{LEASE_PREFIX}{lock}")
}

/// What a live look has found.
#[derive(Debug, Clone, PartialEq)]
pub enum LockSeen {
    /// It could not be looked at: why.
    Unreadable(String),
    /// A Lease that is not ours has the name.
    Stranger(String),
    /// Nobody has it.
    Free {
        /// Pods of the lock that have not ended, looked for only where there is no Lease: somebody may
        /// have deleted it.
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
    /// What its action says of it, read just now.
    pub stands: HolderStands,
    /// The pod that was put down before it was created. `None`: no creation was sent.
    pub pod: Option<String>,
    /// The recorded pod, where it is there.
    pub recorded: Option<PodView>,
    /// Pods of the lock that have not ended.
    pub pods: Vec<PodView>,
    /// When no clock lets the recorded pod run any more.
    pub until: Option<Timestamp>,
}

/// What a holder's action says of its run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HolderStands {
    /// It has the lock, and will give it back.
    UnderWay,
    /// The run waits for the lock, by what is on record: its operator took the Lease and wrote nothing
    /// yet.
    Waiting,
    /// The action is gone, or its run is another one, or has ended without the lock.
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
    /// For people.
    #[must_use]
    pub fn words(&self) -> String {
        let since = self.since.map(|since| format!(", since {since}")).unwrap_or_default();
        format!("{} (run {}{since})", self.action, self.run)
    }
}

/// How a run stands that waits for a lock.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Place {
    /// Whether all actions are known: before, nobody's place is.
    pub known: bool,
    /// How many wait before it.
    pub ahead: u32,
    /// The run of another action that has the lock.
    pub holder: Option<Holder>,
}

/// What is known of an action's lock.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LockFact {
    /// The run's place among those that wait.
    pub place: Place,
    /// What a live look in this pass has found.
    pub seen: Option<LockSeen>,
    /// What this process has put down on the Lease for the run: the pod's name, and its UID.
    pub marked: Option<(String, Option<String>)>,
    /// Whether the Lease named another holder when that was tried.
    pub lost: bool,
    /// Whether this process has given back the lock that the status speaks of.
    pub given_back: bool,
    /// Whether enough time has passed since the last status that only told of the place.
    pub position_due: bool,
}
