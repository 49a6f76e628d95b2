//! `variables` and `variablesFrom`: what the script receives.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::{rules, values::ValueFrom};

/// A variable of the script.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-map-type" = "atomic", "x-kubernetes-validations" = rules::variable()))]
pub struct Variable {
    /// The environment variable's name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,

    /// The value. Without `value` and `valueFrom` the variable is empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32_768))]
    pub value: Option<String>,

    /// A key of a Secret or `ConfigMap` that holds the value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value_from: Option<ValueFrom>,

    /// `Env` (default): the variable holds the value. `File`: the variable holds the path of a file with the
    /// value.
    #[serde(default, rename = "as", skip_serializing_if = "Option::is_none")]
    pub form: Option<VariableForm>,

    /// With `as: File`, the file's mode: `0600` in YAML, 384 in JSON. Only the script's user may get the right
    /// to write. Default: 0600.
    // The schema allows more than the rule, so that users read the rule's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 4_095), extend("x-kubernetes-validations" = rules::file_mode()))]
    pub mode: Option<i32>,

    /// With `as: File`, the path of a link to the file. A path that begins with `~/` is below the home
    /// (`~/.ssh/id_ed25519`). Any other is below the working folder (`config/app.yaml`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 200), extend("x-kubernetes-validations" = rules::file_path()))]
    pub path: Option<String>,
}

impl Variable {
    /// The default mode of a file with a value: ssh refuses keys that others can read.
    pub const MODE: i32 = 0o600;
}

/// How a variable's value reaches the script. `Env` (default): the variable holds the value. `File`: the
/// variable holds the path of a file with the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum VariableForm {
    /// In the environment.
    Env,
    /// In a file, whose path is in the environment.
    File,
}

/// A whole Secret or `ConfigMap` whose keys become environment variables: exactly one of the two.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-map-type" = "atomic", "x-kubernetes-validations" = rules::variables_from()))]
pub struct VariablesFrom {
    /// A text that is put in front of each key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub prefix: Option<String>,
    /// A Secret in the action's namespace. All its values are masked in the log and in outputs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<ObjectRef>,
    /// A `ConfigMap` in the action's namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map_ref: Option<ObjectRef>,
}

/// A Secret or `ConfigMap` as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-map-type" = "atomic"))]
pub struct ObjectRef {
    /// The object's name.
    #[schemars(length(min = 1, max = 253), extend("x-kubernetes-validations" = rules::object_name()))]
    pub name: String,
    /// Whether the object may be missing. Then none of its variables is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub optional: Option<bool>,
}
