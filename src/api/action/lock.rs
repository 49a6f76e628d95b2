//! `lock`: of the actions that name the same one, one runs at a time.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::defaults;
use crate::api::rules;

/// A lock, and what becomes of a run while others have it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = rules::lock()))]
pub struct Lock {
    /// The lock's name: actions of the namespace that give the same one never run at the same time.
    #[schemars(length(min = 1, max = 63), extend("x-kubernetes-validations" = rules::object_name()))]
    pub name: String,

    /// What becomes of a run while another one has the lock, or has asked for it before. `Queue`: it
    /// waits, first come, first served. `Fail`: it fails at once. Where none is given, `Queue`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when_held: Option<WhenHeld>,

    /// How long a run may wait for the lock, in seconds from when it was taken up. Where none is given,
    /// 3600.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 2_592_000))]
    pub queue_deadline_seconds: Option<i64>,
}

impl Lock {
    /// What becomes of a run while another one has the lock.
    #[must_use]
    pub fn when_held(&self) -> WhenHeld {
        self.when_held.unwrap_or_default()
    }

    /// How long a run may wait, in seconds.
    #[must_use]
    pub fn queue_deadline(&self) -> i64 {
        self.queue_deadline_seconds.unwrap_or(defaults::QUEUE_DEADLINE)
    }
}

/// What becomes of a run while another one has its lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum WhenHeld {
    /// It waits.
    #[default]
    Queue,
    /// It fails.
    Fail,
}
