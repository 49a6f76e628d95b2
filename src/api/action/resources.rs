//! `resources`: CPU, memory and devices of the script's container.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::{rules, values::Amount};

/// Resources of the script's container.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Resources {
    /// Resources that are reserved for the container.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "rules::quantities")]
    pub requests: BTreeMap<String, Amount>,
    /// The most that the container may use.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "rules::quantities")]
    pub limits: BTreeMap<String, Amount>,
}

impl Resources {
    /// Whether it asks for more of a node than everyone may: devices or huge pages, for example.
    /// [`crate::api::policy::use_policy`] says the same, with the reasons.
    #[must_use]
    pub fn claims_more(&self) -> bool {
        let everyones = |name: &String| matches!(name.as_str(), "cpu" | "memory" | "ephemeral-storage");
        !self.requests.keys().chain(self.limits.keys()).all(everyones)
    }
}
