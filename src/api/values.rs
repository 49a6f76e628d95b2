//! Sources of values, and amounts as people write them. Actions, templates and policies share these types.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::rules;

/// A key of a Secret or of a `ConfigMap`: exactly one of the two.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-map-type" = "atomic", "x-kubernetes-validations" = rules::value_from()))]
pub struct ValueFrom {
    /// A key of a Secret in the action's namespace. Its value is masked in the log and in outputs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_key_ref: Option<KeyRef>,
    /// A key of a `ConfigMap` in the action's namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map_key_ref: Option<KeyRef>,
}

/// A key of a Secret or `ConfigMap`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-map-type" = "atomic"))]
pub struct KeyRef {
    /// The object's name.
    #[schemars(length(min = 1, max = 253), extend("x-kubernetes-validations" = rules::object_name()))]
    pub name: String,
    /// The key in it.
    #[schemars(length(min = 1, max = 253), extend("x-kubernetes-validations" = rules::data_key()))]
    pub key: String,
    /// Whether the object or the key may be missing. Then the variable is not set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub optional: Option<bool>,
}

/// The name of a Secret in the action's namespace.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-map-type" = "atomic"))]
pub struct SecretName {
    /// The Secret's name.
    #[schemars(length(min = 1, max = 253), extend("x-kubernetes-validations" = rules::object_name()))]
    pub name: String,
}

/// A quantity as people write it: `cpu: 1` as well as `memory: 256Mi`. Kubernetes' own type has 32 bits, which
/// is too few for 4 GiB written as a number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Amount {
    /// A whole number.
    Whole(i64),
    /// A quantity.
    Text(String),
}

/// The amounts as a pod's spec has them. An empty map gives `None`.
#[must_use]
pub fn to_quantities(amounts: &BTreeMap<String, Amount>) -> Option<BTreeMap<String, Quantity>> {
    let of = |amount: &Amount| match amount {
        Amount::Whole(number) => Quantity(number.to_string()),
        Amount::Text(text) => Quantity(text.clone()),
    };
    (!amounts.is_empty()).then(|| amounts.iter().map(|(name, amount)| (name.clone(), of(amount))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_gibibytes_may_be_written_as_a_number() {
        let limits: BTreeMap<String, Amount> =
            serde_json::from_value(serde_json::json!({"cpu": "500m", "memory": 4_294_967_296_i64})).unwrap();
        let limits = to_quantities(&limits).unwrap();
        assert_eq!((limits["memory"].0.as_str(), limits["cpu"].0.as_str()), ("4294967296", "500m"));
    }
}
