//! The policies that record who asked: one writes the users into annotations, the other refuses an action in which
//! they say something else. Both know the same rules, so nobody can forge a user, remove one or keep one that is not
//! theirs.
//!
//! A `MutatingAdmissionPolicy` is served from Kubernetes 1.36 on.

use serde_json::{Value, json};

use super::parts::{actions, must_or, variable};
use crate::api::names::{
    ANNOTATION_CANCEL, ANNOTATION_CANCEL_BY, ANNOTATION_RERUN, ANNOTATION_RERUN_BY, ANNOTATION_SPEC_BY,
};

/// An annotation with a user, and the name of the variable with the value that it must have. That is '' if it must
/// not be there.
const STAMPS: [(&str, &str); 3] =
    [(ANNOTATION_SPEC_BY, "specBy"), (ANNOTATION_RERUN_BY, "rerunBy"), (ANNOTATION_CANCEL_BY, "cancelBy")];

/// The variables that both policies compute. Users whose names say nothing cannot exist (`''`).
fn variables() -> Vec<Value> {
    // The annotation keeps its user as long as what they wrote stays as it is.
    let kept = |stamp: &str| format!("('{stamp}' in variables.before ? variables.before['{stamp}'] : '')");
    let of_request = |request: &str, stamp: &str| {
        format!(
            "!('{request}' in variables.now) ? '' : '{request}' in variables.before && \
             variables.before['{request}'] == variables.now['{request}'] ? {} : request.userInfo.username",
            kept(stamp)
        )
    };
    vec![
        variable("now", "has(object.metadata.annotations) ? object.metadata.annotations : {}"),
        variable(
            "before",
            "request.operation == 'UPDATE' && has(oldObject.metadata.annotations) ? \
             oldObject.metadata.annotations : {}",
        ),
        variable(
            "specBy",
            &format!(
                "request.operation == 'UPDATE' && dyn(object.spec) == dyn(oldObject.spec) ? {} : \
                 request.userInfo.username",
                kept(ANNOTATION_SPEC_BY)
            ),
        ),
        variable("rerunBy", &of_request(ANNOTATION_RERUN, ANNOTATION_RERUN_BY)),
        variable("cancelBy", &of_request(ANNOTATION_CANCEL, ANNOTATION_CANCEL_BY)),
    ]
}

/// The spec of the policy that writes the users.
#[must_use]
pub fn stamp_policy() -> Value {
    let patch = |(annotation, wanted): &(&str, &str)| {
        let path = format!("'/metadata/annotations/' + jsonpatch.escapeKey('{annotation}')");
        format!(
            "(variables.{wanted} != '' ? [JSONPatch{{op: 'add', path: {path}, value: variables.{wanted}}}] : \
             '{annotation}' in variables.now ? [JSONPatch{{op: 'remove', path: {path}}}] : [])"
        )
    };
    let patches = STAMPS.iter().map(patch).collect::<Vec<_>>().join(" + ");
    let wanted = STAMPS.map(|(_, wanted)| format!("variables.{wanted}")).join(" + ");
    json!({
        "failurePolicy": "Fail",
        "reinvocationPolicy": "IfNeeded",
        "matchConstraints": actions(),
        "variables": variables(),
        "mutations": [{
            "patchType": "JSONPatch",
            "jsonPatch": {
                "expression": format!(
                    "(!has(object.metadata.annotations) && {wanted} != '' ? \
                     [JSONPatch{{op: 'add', path: '/metadata/annotations', value: {{}}}}] : []) + {patches}"
                ),
            },
        }],
    })
}

/// The spec of its binding: everywhere.
#[must_use]
pub fn stamp_binding(policy: &str) -> Value {
    json!({"policyName": policy})
}

/// The spec of the policy that refuses what the first one would not write: it may be missing, or something may have
/// changed the action after it.
#[must_use]
pub fn stamp_check_policy() -> Value {
    let check = |(annotation, wanted): &(&str, &str)| {
        must_or(
            &format!(
                "variables.{wanted} == ('{annotation}' in variables.now ? variables.now['{annotation}'] : '')"
            ),
            &format!(
                "'annotation {annotation} must be ' + (variables.{wanted} == '' ? 'absent' : variables.{wanted}) + \
                 ': MutatingAdmissionPolicy longshore-requester writes it. Do not write it, and see whether that \
                 policy and its binding exist'"
            ),
        )
    };
    json!({
        "failurePolicy": "Fail",
        "matchConstraints": actions(),
        "variables": variables(),
        "validations": STAMPS.iter().map(check).collect::<Vec<_>>(),
    })
}
