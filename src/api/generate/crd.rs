//! Each `CustomResourceDefinition` as it is installed: the schema of its type, and what a type cannot say.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;
use serde_json::{Map, Value, json};

use super::texts;
use crate::api::{
    action::DeploymentAction,
    action_policy::{self, ActionPolicy},
    rules,
    status::Phase,
    template::{self, ClusterDeploymentActionTemplate, DeploymentActionTemplate},
};

/// The longest description that stays as it is, in bytes.
const MAX_DESCRIPTION: usize = 300;

/// The definition of `DeploymentAction`.
///
/// # Errors
/// Never for the types of this crate; the signature is serde's.
pub fn deployment_action() -> Result<CustomResourceDefinition, serde_json::Error> {
    let mut crd = serde_json::to_value(DeploymentAction::crd())?;
    let schema = &mut crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"];

    // A pod's labels hold the name, and a label's value has at most 63 characters.
    schema["properties"]["metadata"] = json!({
        "type": "object",
        "properties": {"name": {"type": "string", "maxLength": 63}},
    });
    schema["x-kubernetes-validations"] = rules::object();
    // kstatus must not take an action that no operator has seen for one that is done. A default
    // within the status would not be applied: it is set on the whole.
    schema["properties"]["status"]["default"] = json!({"observedGeneration": -1, "phase": Phase::Pending});

    // The bound of `meta/v1`, so that `tidy` puts no other one here.
    let conditions = &mut schema["properties"]["status"]["properties"]["conditions"];
    conditions["items"]["properties"]["message"]["maxLength"] = json!(32_768);

    for part in ["spec", "status"] {
        tidy(&mut schema["properties"][part]);
    }
    texts::ask_for_quotes(&mut schema["properties"]["spec"]);
    serde_json::from_value(crd)
}

/// The definition of `ActionPolicy`.
///
/// # Errors
/// Never for the types of this crate; the signature is serde's.
pub fn action_policy() -> Result<CustomResourceDefinition, serde_json::Error> {
    let mut crd = serde_json::to_value(ActionPolicy::crd())?;
    let schema = &mut crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
    // For the rule to name it.
    schema["properties"]["metadata"] = json!({
        "type": "object",
        "properties": {"name": {"type": "string"}},
    });
    schema["x-kubernetes-validations"] = action_policy::object();
    tidy(&mut schema["properties"]["spec"]);
    serde_json::from_value(crd)
}

/// The definition of `DeploymentActionTemplate`.
///
/// # Errors
/// Never for the types of this crate; the signature is serde's.
pub fn deployment_action_template() -> Result<CustomResourceDefinition, serde_json::Error> {
    of_template(&DeploymentActionTemplate::crd())
}

/// The definition of `ClusterDeploymentActionTemplate`.
///
/// # Errors
/// Never for the types of this crate; the signature is serde's.
pub fn cluster_deployment_action_template() -> Result<CustomResourceDefinition, serde_json::Error> {
    of_template(&ClusterDeploymentActionTemplate::crd())
}

fn of_template(crd: &CustomResourceDefinition) -> Result<CustomResourceDefinition, serde_json::Error> {
    let mut crd = serde_json::to_value(crd)?;
    let spec = &mut crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"];
    spec["properties"]["templateRef"] = template::no_template_ref();
    tidy(spec);
    texts::ask_for_quotes(spec);
    serde_json::from_value(crd)
}

/// A definition as a document, with whole numbers: the typed one has `3600.0`.
///
/// # Errors
/// Never for the types of this crate; the signature is serde's.
pub fn document(definition: &CustomResourceDefinition) -> Result<Value, serde_json::Error> {
    let mut document = serde_json::to_value(definition)?;
    whole_numbers(&mut document);
    Ok(document)
}

fn whole_numbers(value: &mut Value) {
    match value {
        Value::Object(fields) => fields.values_mut().for_each(whole_numbers),
        Value::Array(items) => items.iter_mut().for_each(whole_numbers),
        Value::Number(number) => {
            let text = number.to_string();
            if let Some(Ok(whole)) = text.strip_suffix(".0").map(str::parse::<i64>) {
                *number = whole.into();
            }
        }
        _ => {}
    }
}

/// Bounds every text, list, map and number that has no bound yet: each comes from somebody.
fn tidy(schema: &mut Value) {
    let Value::Object(object) = schema else { return };
    // A format alone refuses nothing. Without bounds the API server would accept a number that the type cannot
    // hold, and the operator could not read the action. A bound is a double, which is too short for 64 bits.
    let whole = match object.get("format").and_then(Value::as_str) {
        Some("int32") => Some((i64::from(i32::MIN), i64::from(i32::MAX))),
        Some("uint32") => Some((0, i64::from(u32::MAX))),
        _ => None,
    };
    if let Some((least, most)) = whole {
        object.entry("minimum").or_insert_with(|| json!(least));
        object.entry("maximum").or_insert_with(|| json!(most));
    }
    // The API server refuses null in an `enum`, even if null is one of its values (tried on 1.37). If the schema
    // does not allow null, the API server drops the field first. Charts that write null expect that.
    if let Some(Value::Array(values)) = object.get_mut("enum") {
        values.retain(|value| !value.is_null());
        object.remove("nullable");
    }
    // Kubernetes does not know `format: uint32` and warns.
    if object.get("format").and_then(Value::as_str).is_some_and(|format| format.starts_with("uint")) {
        object.remove("format");
    }
    if let Some(kind) = object.get("type").and_then(Value::as_str) {
        let open = kind != "object" || object.contains_key("additionalProperties");
        let dated = object.get("format").is_some_and(|format| format == "date-time");
        let closed = object.contains_key("enum");
        if let Some((bound, most)) = rules::bounds().get(kind)
            && open
            && !dated
            && !closed
        {
            object.entry(*bound).or_insert_with(|| json!(most));
        }
    }
    for below in ["properties"] {
        if let Some(Value::Object(fields)) = object.get_mut(below) {
            fields.values_mut().for_each(tidy);
        }
    }
    for below in ["items", "additionalProperties"] {
        if let Some(schema) = object.get_mut(below) {
            tidy(schema);
        }
    }
    shorten(object);
}

/// Kubernetes' own descriptions of affinity and tolerations are most of a CRD's size. Their first sentence says
/// enough.
fn shorten(object: &mut Map<String, Value>) {
    if let Some(Value::String(text)) = object.get_mut("description")
        && text.len() > MAX_DESCRIPTION
        && let Some(end) = text.find(". ")
    {
        text.truncate(end + 1);
    }
}

#[cfg(test)]
mod tests {
    use strum::VariantArray;

    use super::*;

    /// Every schema below `schema`, with its path.
    fn walk(path: &str, schema: &Value, seen: &mut Vec<(String, Value)>) {
        seen.push((path.to_owned(), schema.clone()));
        if let Some(fields) = schema["properties"].as_object() {
            for (name, below) in fields {
                walk(&format!("{path}.{name}"), below, seen);
            }
        }
        for below in ["items", "additionalProperties"] {
            if schema[below].is_object() {
                walk(&format!("{path}[]"), &schema[below], seen);
            }
        }
    }

    fn schemas() -> Vec<(String, Value)> {
        let crd = serde_json::to_value(deployment_action().unwrap()).unwrap();
        let root = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"];
        let mut seen = Vec::new();
        walk("spec", &root["spec"], &mut seen);
        walk("status", &root["status"], &mut seen);
        for (name, crd) in [
            ("DeploymentActionTemplate", deployment_action_template()),
            ("ClusterDeploymentActionTemplate", cluster_deployment_action_template()),
            ("ActionPolicy", action_policy()),
        ] {
            let crd = serde_json::to_value(crd.unwrap()).unwrap();
            let root = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"];
            walk(&format!("{name}.spec"), &root["spec"], &mut seen);
        }
        seen
    }

    #[test]
    fn no_number_is_accepted_that_its_type_cannot_hold() {
        let seen = schemas();
        let of_32_bits: Vec<_> = seen.iter().filter(|(_, schema)| schema["format"] == "int32").collect();
        assert!(of_32_bits.len() > 5);
        for (path, schema) in of_32_bits {
            assert!(schema["minimum"].as_f64() >= Some(f64::from(i32::MIN)), "{path}");
            assert!(schema["maximum"].as_f64() <= Some(f64::from(i32::MAX)), "{path}");
            assert!(schema["maximum"].is_number(), "{path}");
        }
        let (_, number) = seen.iter().find(|(path, _)| path == "status.run.number").unwrap();
        assert_eq!(number["maximum"].as_f64(), Some(f64::from(u32::MAX)));
    }

    #[test]
    fn every_text_list_and_map_is_bounded() {
        for (path, schema) in schemas() {
            let bounded = match schema["type"].as_str() {
                Some("string") => {
                    schema["maxLength"].is_u64()
                        || schema["enum"].is_array()
                        || schema["format"] == "date-time"
                }
                Some("array") => schema["maxItems"].is_u64(),
                Some("object") => {
                    schema["additionalProperties"].is_null() || schema["maxProperties"].is_u64()
                }
                _ => true,
            };
            assert!(bounded, "{path}: {schema}");
        }
    }

    #[test]
    fn null_is_dropped_where_only_certain_values_are_allowed() {
        for (path, schema) in schemas() {
            if let Some(values) = schema["enum"].as_array() {
                assert!(schema["nullable"].is_null() && !values.contains(&Value::Null), "{path}");
            }
        }
    }

    #[test]
    fn every_field_is_described() {
        for (path, schema) in schemas().into_iter().filter(|(path, _)| !path.ends_with("[]")) {
            assert!(schema["description"].is_string(), "{path}");
        }
    }

    #[test]
    fn no_description_of_our_own_is_cut() {
        let kubernetes_own =
            ["affinity", "tolerations", "hostAliases", "ecurityContext", "volume", "conditions"];
        for crd in [
            DeploymentAction::crd(),
            DeploymentActionTemplate::crd(),
            ClusterDeploymentActionTemplate::crd(),
            ActionPolicy::crd(),
        ] {
            let crd = serde_json::to_value(crd).unwrap();
            let mut seen = Vec::new();
            walk("", &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"], &mut seen);
            for (path, schema) in
                seen.iter().filter(|(path, _)| !kubernetes_own.iter().any(|own| path.contains(own)))
            {
                let description = schema["description"].as_str().unwrap_or_default();
                assert!(description.len() <= MAX_DESCRIPTION, "{path}: {description}");
            }
        }
    }

    #[test]
    fn an_atomic_item_has_no_default() {
        for (path, schema) in schemas() {
            if schema["x-kubernetes-map-type"] == "atomic" {
                let mut below = Vec::new();
                walk(&path, &schema, &mut below);
                for (path, schema) in below {
                    assert!(schema["default"].is_null(), "{path}");
                }
            }
        }
    }

    #[test]
    fn the_status_takes_what_the_operator_and_the_runner_may_write() {
        use crate::{api::condition::MAX_MESSAGE_BYTES, record::outcome};
        let schemas = schemas();
        let most = |path: &str| {
            let (_, schema) = schemas.iter().find(|(seen, _)| seen == path).unwrap();
            usize::try_from(schema["maxLength"].as_u64().unwrap()).unwrap()
        };
        assert!(most("status.outputs[]") >= outcome::MAX_OUTPUT_BYTES);
        assert!(most("status.conditions[].message") >= MAX_MESSAGE_BYTES);
        assert!(most("status.log.tail") >= crate::api::status::MAX_TAIL_BYTES);
        assert!(most("status.run.runToken") >= most("spec.runToken"));
        assert!(most("status.image.requested") >= most("spec.image"));
        assert!(most("status.image.resolved") >= crate::registry::reference::MAX_LENGTH);
    }

    #[test]
    fn the_phase_s_description_names_each_phase() {
        let schemas = schemas();
        let (_, phase) = schemas.iter().find(|(path, _)| path == "status.phase").unwrap();
        let words: Vec<_> =
            phase["description"].as_str().unwrap().split(|end: char| !end.is_alphabetic()).collect();
        for phase in Phase::VARIANTS {
            assert!(words.contains(&phase.to_string().as_str()), "{phase}");
        }
    }

    #[test]
    fn an_action_that_nobody_has_seen_says_so() {
        let crd = serde_json::to_value(deployment_action().unwrap()).unwrap();
        let status = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"];
        assert_eq!(status["default"], json!({"observedGeneration": -1, "phase": "Pending"}));
    }
}
