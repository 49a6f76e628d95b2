//! Parameters: the values that a template asks for, and those that an action gives.

use std::{fmt, str::FromStr};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    rules::{self, MAX_WHOLE, rule},
    values::ValueFrom,
};

/// The most parameters that a template may declare.
pub const MAX_PARAMETERS: usize = 64;
/// The longest that the patterns of a template may be together, in characters: reading them costs time.
pub const MAX_PATTERNS: usize = 4096;
/// The longest plain value, in characters. Variables have the same bound.
const MAX_VALUE: usize = 32_768;
/// The longest value that a template itself names (a default, or one of an `enum`), in characters.
const MAX_NAMED_VALUE: usize = 1024;

/// A parameter that a template declares. It reaches the script as a variable of the same name.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-map-type" = "atomic", "x-kubernetes-validations" = parameter_rules()))]
pub struct Parameter {
    /// The name of the parameter, and of the script's variable.
    #[schemars(length(min = 1, max = 63), extend("x-kubernetes-validations" = name_rules()))]
    pub name: String,

    /// The purpose of the parameter, in words for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub description: Option<String>,

    /// `String` (default), `Integer`, `Boolean` (true or false), or `Secret`. For a `Secret` the action names a
    /// key of a Secret, and the log masks its value.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<ParameterType>,

    /// The only values that are allowed.
    #[serde(default, rename = "enum", skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "named_values")]
    pub allowed: Vec<Scalar>,

    /// The value if the action gives none. A `Secret` has no default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "named_value")]
    pub default: Option<Scalar>,

    /// Whether the action must give a value. Otherwise a parameter without value and default is an empty
    /// variable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub required: Option<bool>,

    /// A regular expression in RE2's syntax that a `String` must match. It may match anywhere in the value:
    /// write `^` and `$` to match all of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub pattern: Option<String>,

    /// The smallest `Integer` that is allowed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = -9_007_199_254_740_991_i64, max = 9_007_199_254_740_991_i64))]
    pub minimum: Option<i64>,

    /// The largest `Integer` that is allowed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = -9_007_199_254_740_991_i64, max = 9_007_199_254_740_991_i64))]
    pub maximum: Option<i64>,

    /// How many characters a `String` may have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 32_768))]
    pub max_length: Option<i64>,
}

/// `String` (default), `Integer`, `Boolean` (true or false), or `Secret`. For a `Secret` the action names a key
/// of a Secret, and the log masks its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum ParameterType {
    /// Any text.
    #[default]
    String,
    /// A whole number.
    Integer,
    /// `true` or `false`.
    Boolean,
    /// A key of a Secret.
    Secret,
}

/// The value that an action gives for a parameter of its template.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-map-type" = "atomic", "x-kubernetes-validations" = value_rules()))]
pub struct ParameterValue {
    /// The parameter's name.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,

    /// The value: a text or a whole number. Write true and false in quotes, as texts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "given_value")]
    pub value: Option<Scalar>,

    /// A key that holds the value: `secretKeyRef` for a `Secret`, `configMapKeyRef` for other types. A
    /// `configMapKeyRef` needs a template without rules on the value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value_from: Option<ValueFrom>,
}

/// A text, or a whole number as people write it in YAML.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Scalar {
    /// A whole number.
    Whole(i64),
    /// A text.
    Text(String),
}

impl fmt::Display for Scalar {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(number) => number.fmt(formatter),
            Self::Text(text) => text.fmt(formatter),
        }
    }
}

impl Scalar {
    /// The whole number, also if it is written as a text.
    #[must_use]
    pub fn whole(&self) -> Option<i64> {
        match self {
            Self::Whole(number) => Some(*number),
            Self::Text(text) => i64::from_str(text).ok(),
        }
    }
}

fn scalar(longest: usize, description: &str) -> Schema {
    json_schema!({
        "description": description,
        "x-kubernetes-int-or-string": true,
        "anyOf": [{"type": "integer"}, {"type": "string"}],
        "maxLength": longest,
        "minimum": -MAX_WHOLE,
        "maximum": MAX_WHOLE,
    })
}

fn named_value(_: &mut SchemaGenerator) -> Schema {
    scalar(MAX_NAMED_VALUE, "The value if the action gives none. A `Secret` has no default.")
}

fn named_values(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "description": "The only values that are allowed.",
        "type": "array",
        "maxItems": 64,
        "x-kubernetes-list-type": "atomic",
        "items": scalar(MAX_NAMED_VALUE, "A value."),
    })
}

fn given_value(_: &mut SchemaGenerator) -> Schema {
    scalar(MAX_VALUE, "The value: a text or a whole number. Write true and false in quotes, as texts.")
}

fn name_rules() -> Value {
    json!([
        rule(
            "self.matches('^[a-zA-Z_][a-zA-Z0-9_]*$')",
            "a parameter's name is a variable's too: write letters, digits and '_', and no digit first"
        ),
        rule(
            "!self.startsWith('LONGSHORE_')",
            "names that begin with LONGSHORE_ are set by Longshore itself: choose another name"
        ),
    ])
}

/// Whether the field is there and not null. The schema allows null.
fn given(field: &str) -> String {
    rules::given("self", field)
}

fn is(kind: &str) -> String {
    format!("({} && self.type == '{kind}')", given("type"))
}

/// Rules of one declaration. Only the operator can tell whether a default fits a pattern.
fn parameter_rules() -> Value {
    let (secret, integer, boolean) = (is("Secret"), is("Integer"), is("Boolean"));
    let (default, least, most) = (given("default"), given("minimum"), given("maximum"));
    let whole = "(type(self.default) == int || string(self.default).matches('^(0|-?[1-9][0-9]{0,15})$'))";
    json!([
        rule(
            &format!("!{secret} || !{default}"),
            "a parameter of type Secret has no default, which readers of the template would see: leave default out, and let the action name a Secret's key in valueFrom"
        ),
        rule(
            &format!("!({secret} || {boolean}) || !has(self.enum) || self.enum.size() == 0"),
            "enum is for parameters of type String and Integer: leave it out"
        ),
        rule(
            &format!("{integer} || (!{least} && !{most})"),
            "minimum and maximum are for parameters of type Integer: leave them out, or write type: Integer"
        ),
        rule(
            &format!(
                "!({integer} || {boolean} || {secret}) || (!{} && !{})",
                given("pattern"),
                given("maxLength")
            ),
            "pattern and maxLength are for parameters of type String: leave them out"
        ),
        rule(
            &format!("!{least} || !{most} || self.minimum <= self.maximum"),
            "minimum is larger than maximum, so no value is allowed: exchange them"
        ),
        rule(
            &format!("!{} || !self.required || !{default}", given("required")),
            "a parameter with a default is never missing: leave out either required or default"
        ),
        rule(
            &format!("!{boolean} || !{default} || string(self.default) in ['true', 'false']"),
            "the default of a Boolean is \"true\" or \"false\": write one of them, in quotes"
        ),
        rule(
            &format!("!{integer} || !{default} || {whole}"),
            "the default of an Integer is a whole number: write one, for example 3"
        ),
        rule(
            &format!("!{integer} || !{default} || !{whole} || !{least} || int(self.default) >= self.minimum"),
            "the default is smaller than the minimum: change one of them"
        ),
        rule(
            &format!("!{integer} || !{default} || !{whole} || !{most} || int(self.default) <= self.maximum"),
            "the default is larger than the maximum: change one of them"
        ),
        rule(
            &format!(
                "!{default} || !{} || string(self.default).size() <= self.maxLength",
                given("maxLength")
            ),
            "the default is longer than maxLength: shorten default, or raise maxLength"
        ),
        rule(
            &format!(
                "!{default} || !has(self.enum) || self.enum.size() == 0 || self.enum.exists(value, string(value) == string(self.default))"
            ),
            "the default is none of the values of enum: write one of them, or add it to enum"
        ),
    ])
}

fn value_rules() -> Value {
    json!([rule(
        &format!("{} != {}", given("value"), given("valueFrom")),
        "a parameter has exactly one of value and valueFrom: write one of them"
    )])
}
