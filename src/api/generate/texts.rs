//! Texts that YAML reads as another type if they have no quotes: `true`, `1.10`, `on`.
//!
//! The API server's own message for a wrong type does not say what to write, and it runs no rule then
//! (`hasBlockingErr` in `apiextensions-apiserver/pkg/registry/customresource`). But it prints the values of an
//! `enum`. So each of these fields has a second check beside its type. A value of another type fails that
//! check, and its only `enum` value is the advice.

use serde_json::{Value, json};

/// The advice. The API server prints it as the supported value.
pub const IN_QUOTES: &str = "a text: write it in quotes, such as 'true', '1.10' or 'on'";

/// The fields, below the spec of an action or of a template.
const FIELDS: [&str; 20] = [
    "args/items",
    "command/items",
    "outputs/items/properties/name",
    "packages/items/properties/reference",
    "packages/items/properties/version",
    "packages/items/properties/versions",
    "parameters/items/properties/default",
    "parameters/items/properties/enum/items",
    "parameters/items/properties/name",
    "parameters/items/properties/value",
    "podTemplate/properties/metadata/properties/annotations/additionalProperties",
    "podTemplate/properties/metadata/properties/labels/additionalProperties",
    "podTemplate/properties/nodeSelector/additionalProperties",
    "resources/properties/limits/additionalProperties",
    "resources/properties/requests/additionalProperties",
    "runToken",
    "script/properties/interpreter/items",
    "variables/items/properties/name",
    "variables/items/properties/value",
    "variablesFrom/items/properties/prefix",
];

/// Makes the API server give the advice for each of these fields.
pub(super) fn ask_for_quotes(spec: &mut Value) {
    for field in FIELDS {
        if let Some(schema) = spec.pointer_mut(&format!("/properties/{field}")) {
            ask(schema);
        }
    }
}

/// A schema without a type allows every text, except by `enum`. If two branches fail alike, the API server
/// reports the first.
fn ask(schema: &mut Value) {
    let words = json!({"enum": [IN_QUOTES]});
    if schema["x-kubernetes-int-or-string"] == true {
        let (number, no_other) =
            (schema["anyOf"].take(), json!({"not": {"enum": [true, false]}, "multipleOf": 1}));
        if let Some(schema) = schema.as_object_mut() {
            schema.remove("anyOf");
        }
        schema["allOf"] = json!([{"anyOf": number}, {"anyOf": [words, no_other]}]);
    } else {
        // No number is at least 1 and at most 0.
        let no_other = json!({"not": {"enum": [true, false]}, "minimum": 1, "maximum": 0});
        schema["anyOf"] = json!([words, no_other]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::generate::crd::{deployment_action, deployment_action_template};

    #[test]
    fn each_field_is_one_of_an_action_or_of_a_template() {
        let definitions = [deployment_action().unwrap(), deployment_action_template().unwrap()]
            .map(|definition| serde_json::to_value(definition).unwrap());
        for field in FIELDS {
            let path = format!("/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/{field}");
            let asks = |definition: &Value| {
                definition.pointer(&path).is_some_and(|schema| schema.to_string().contains(IN_QUOTES))
            };
            assert!(definitions.iter().any(asks), "{field}");
        }
    }
}
