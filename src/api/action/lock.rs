//! `lock`: one of the actions that name the same lock runs at a time.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::defaults;
use crate::api::rules;

/// A lock, and what happens to a run while another run has it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = rules::lock()))]
pub struct Lock {
    /// The lock's name. Actions of a namespace that name the same lock never run at the same time.
    #[schemars(length(min = 1, max = 63), extend("x-kubernetes-validations" = rules::object_name()))]
    pub name: String,

    /// `Queue` (default): while another run has the lock, or has asked for it earlier, the run waits, first
    /// come, first served. `Fail`: the run fails at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when_held: Option<WhenHeld>,

    /// How long a run may wait for the lock, in seconds. Default: 3600.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 2_592_000))]
    pub queue_deadline_seconds: Option<i64>,
}

impl Lock {
    /// The choice, or its default.
    #[must_use]
    pub fn when_held(&self) -> WhenHeld {
        self.when_held.unwrap_or_default()
    }

    /// How long a run may wait, in seconds, or its default.
    #[must_use]
    pub fn queue_deadline(&self) -> i64 {
        self.queue_deadline_seconds.unwrap_or(defaults::QUEUE_DEADLINE)
    }
}

/// `Queue` (default): while another run has the lock, or has asked for it earlier, the run waits, first come,
/// first served. `Fail`: the run fails at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum WhenHeld {
    /// The run waits.
    #[default]
    Queue,
    /// The run fails.
    Fail,
}
