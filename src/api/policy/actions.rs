//! The limits of an `ActionPolicy`, as the API server judges them. `crate::operator::action_policy` says the
//! same in Rust, with the same words. `tests/access` compares the two.

use serde_json::{Value, json};

use super::parts::variable;
use crate::api::names::GROUP;

/// Fields of the pod's security settings that everyone may set if only some profiles are allowed.
const OF_POD: &str = "'runAsUser', 'runAsGroup', 'runAsNonRoot', 'fsGroup', 'fsGroupChangePolicy', \
                      'supplementalGroups', 'supplementalGroupsPolicy'";
/// The same for the container's security settings.
const OF_CONTAINER: &str = "'runAsUser', 'runAsGroup', 'runAsNonRoot', 'readOnlyRootFilesystem'";

/// The spec of the policy that holds actions and templates to the `ActionPolicy` of their namespace and of the
/// cluster.
///
/// It reads everything untyped (`dyn`): a field of one kind is missing in another, and any may be null.
#[must_use]
pub fn action_policy() -> Value {
    json!({
        "failurePolicy": "Fail",
        "paramKind": {"apiVersion": format!("{GROUP}/v1alpha1"), "kind": "ActionPolicy"},
        "matchConstraints": constraints(&[
            "deploymentactions",
            "deploymentactiontemplates",
            "clusterdeploymentactiontemplates",
        ]),
        // A change of metadata alone changes nothing that runs.
        "matchConditions": [{
            "name": "spec-changes",
            "expression": "request.operation == 'CREATE' || object.spec != oldObject.spec",
        }],
        "variables": variables(),
        "validations": validations(),
    })
}

/// The spec of the binding that applies an `ActionPolicy` to its own namespace.
#[must_use]
pub fn own_binding(policy: &str) -> Value {
    json!({
        "policyName": policy,
        "validationActions": ["Deny"],
        "paramRef": {"selector": {}, "parameterNotFoundAction": "Allow"},
        // An object without a namespace has no ActionPolicy of its own.
        "matchResources": constraints(&["deploymentactions", "deploymentactiontemplates"]),
    })
}

/// The spec of the binding that applies the `ActionPolicy` of the operator's namespace everywhere.
///
/// It uses a selector although the name is known. The API server sends itself a request for a name that is not
/// in its cache, each time that an action is written. It refuses the action if that takes too long
/// (`policy/generic/policy_dispatcher.go`).
#[must_use]
pub fn cluster_binding(policy: &str, operator_namespace: &str) -> Value {
    json!({
        "policyName": policy,
        "validationActions": ["Deny"],
        "paramRef": {
            "namespace": operator_namespace,
            "selector": {},
            "parameterNotFoundAction": "Allow",
        },
    })
}

fn constraints(resources: &[&str]) -> Value {
    json!({
        "matchPolicy": "Equivalent",
        "resourceRules": [{
            "apiGroups": [GROUP],
            "apiVersions": ["v1alpha1"],
            "resources": resources,
            "operations": ["CREATE", "UPDATE"],
        }],
    })
}

/// `field` of `of`, or `otherwise` if the field is missing or null.
fn or(of: &str, field: &str, otherwise: &str) -> String {
    format!("({of}.?{field}.orValue(null) == null ? dyn({otherwise}) : {of}.{field})")
}

/// The entries of `packages` that have this field, each with the field's path and text.
fn of_packages(field: &str) -> String {
    format!(
        "{}.filter(p, p.?{field}.orValue(null) != null)\
         .map(p, {{'field': dyn('spec.packages[' + p.name + '].{field}'), 'text': dyn(p.{field})}})",
        or("variables.spec", "packages", "[]")
    )
}

fn variables() -> Vec<Value> {
    let context = |field: &str, free: &str| {
        let context = or("variables.pod", field, "{}");
        format!(
            "{context}.filter(k, {context}[k] != null && !(k in [{free}] \
             && !(k == 'runAsUser' && {context}[k] == 0 && variables.profile != 'UserNamespaceRoot') \
             && !(k == 'runAsNonRoot' && {context}[k] != true))).map(k, '{field}.' + k)"
        )
    };
    let above = |list: &str| {
        let list_of = or("variables.resources", list, "{}");
        format!(
            "{list_of}.filter(k, k in variables.most && quantity(string({list_of}[k]))\
             .isGreaterThan(quantity(string(variables.most[k])))).map(k, {{'field': '{list}.' + k, \
             'value': string({list_of}[k]), 'most': string(variables.most[k])}})"
        )
    };
    let named: &[(&str, String)] = &[
        ("spec", "dyn(object.spec)".into()),
        ("says", "dyn(params.spec)".into()),
        ("by", "'ActionPolicy/' + params.metadata.name + ' of namespace ' + params.metadata.namespace".into()),
        (
            "templated",
            "request.resource.resource == 'deploymentactions' && variables.spec.?templateRef.orValue(null) != null".into(),
        ),
        // Nothing else adds to it: what it does not say has its default.
        ("whole", "request.resource.resource == 'deploymentactions' && !variables.templated".into()),
        ("pod", or("variables.spec", "podTemplate", "{}")),
        ("image", or("variables.spec", "image", "''")),
        (
            "pinnable",
            format!(
                "(variables.image == '' ? [] : [{{'field': dyn('spec.image'), 'text': dyn(variables.image)}}]) + {}",
                of_packages("reference")
            ),
        ),
        // Without digest and tag: a colon before the last slash belongs to the registry's port.
        (
            "named",
            format!(
                "(variables.pinnable + {}).map(r, {{'field': r.field, 'text': r.text, \
                 'name': dyn(r.text.split('@')[0].find('^.*/') + r.text.split('@')[0].find('[^/]*$').split(':')[0])}})",
                of_packages("repository")
            ),
        ),
        // As `splitDockerDomain` of distribution/reference: the first part is a registry where it
        // could not be a part of a repository of Docker Hub's.
        (
            "placed",
            "variables.named.map(r, {'field': r.field, 'text': r.text, 'full': \
             dyn(r.name.matches('^(index[.])?docker[.]io/[^/]*$') ? 'docker.io/library/' + r.name.find('[^/]*$') \
             : r.name.startsWith('index.docker.io/') ? r.name.substring(6) \
             : r.name.matches('^(localhost|[^/]*[.:A-Z][^/]*)/') ? r.name \
             : r.name.contains('/') ? 'docker.io/' + r.name : 'docker.io/library/' + r.name)})"
                .into(),
        ),
        ("places", or("variables.says", "registries", "null")),
        (
            "outside",
            "variables.places == null ? [] : variables.placed.filter(r, \
             r.full.split('/').exists(part, part in ['', '.', '..']) \
             || !variables.places.exists(place, r.full == place || r.full.startsWith(place + '/')))"
                .into(),
        ),
        (
            "unpinned",
            "variables.says.?digestsOnly.orValue(null) != true ? [] : variables.placed.filter(r, \
             variables.pinnable.exists(p, p.field == r.field) && !r.text.contains('@'))"
                .into(),
        ),
        ("profiles", or("variables.says", "securityProfiles", "null")),
        ("ownProfile", or("variables.pod", "securityProfile", "''")),
        ("profile", "variables.ownProfile == '' ? 'Restricted' : variables.ownProfile".into()),
        (
            "loose",
            format!(
                "variables.profiles == null || 'Baseline' in variables.profiles ? [] : {} + {}",
                context("securityContext", OF_POD),
                context("containerSecurityContext", OF_CONTAINER)
            ),
        ),
        ("longest", or("variables.says", "maxRunDeadlineSeconds", "null")),
        ("deadline", or("variables.spec", "runDeadlineSeconds", "variables.whole ? 3600 : 0")),
        ("grace", or("variables.spec", "terminationGracePeriodSeconds", "variables.whole ? 30 : 0")),
        ("longestPending", or("variables.says", "maxPendingDeadlineSeconds", "null")),
        ("pending", or("variables.spec", "pendingDeadlineSeconds", "variables.whole ? 600 : 0")),
        ("most", or("variables.says", "maxResources", "{}")),
        ("resources", or("variables.spec", "resources", "{}")),
        (
            "unlimited",
            format!(
                "['cpu', 'memory', 'ephemeral-storage'].filter(k, variables.whole && k in variables.most && !(k in {}))",
                or("variables.resources", "limits", "{}")
            ),
        ),
        ("above", format!("{} + {}", above("limits"), above("requests"))),
    ];
    named.iter().map(|(name, expression)| variable(name, expression)).collect()
}

fn validations() -> Vec<Value> {
    vec![
        must(
            "!(variables.says.?templatesOnly.orValue(null) == true && variables.whole)",
            "'spec.templateRef is not set, and ' + variables.by + ' allows actions of templates only: \
             name a template there instead of image and script'",
        ),
        must(
            "size(variables.outside) == 0",
            "variables.outside[0].field + ' is ' + variables.outside[0].text + ', that is ' + variables.outside[0].full \
             + ', and ' + variables.by + ' allows only what is below ' + variables.places.join(', ') \
             + ': take it from there, or ask for its place in spec.registries of that policy'",
        ),
        must(
            "size(variables.unpinned) == 0",
            "variables.unpinned[0].field + ' is ' + variables.unpinned[0].text + ', and ' + variables.by \
             + ' allows digests only: write ' + variables.unpinned[0].full + '@sha256:...'",
        ),
        must(
            "variables.profiles == null || (variables.ownProfile == '' && !variables.whole) \
             || variables.profile in variables.profiles",
            "'spec.podTemplate.securityProfile is ' + variables.profile \
             + (variables.ownProfile == '' ? ', which counts where nothing is said' : '') \
             + ', and ' + variables.by + ' allows only ' + variables.profiles.join(', ') + ': write one of these'",
        ),
        must(
            "size(variables.loose) == 0",
            "'spec.podTemplate.' + variables.loose[0] + ' can give more than ' + variables.profiles.join(', ') \
             + ', and ' + variables.by + ' allows no other profile: leave it out'",
        ),
        must(
            "variables.longest == null || variables.deadline + variables.grace <= variables.longest",
            "'spec.runDeadlineSeconds is ' + string(variables.deadline) + ' and spec.terminationGracePeriodSeconds is ' \
             + string(variables.grace) + ', ' + string(variables.deadline + variables.grace) + ' together, and ' \
             + variables.by + ' allows at most ' + string(variables.longest) + ' for both: write two that are ' \
             + string(variables.longest) + ' or less together'",
        ),
        must(
            "variables.longestPending == null || variables.pending <= variables.longestPending",
            "'spec.pendingDeadlineSeconds is ' + string(variables.pending) + ', and ' + variables.by + ' allows at most ' \
             + string(variables.longestPending) + ': write ' + string(variables.longestPending) + ' or less'",
        ),
        must(
            "size(variables.unlimited) == 0",
            "'spec.resources.limits has no ' + variables.unlimited[0] + ', and ' + variables.by + ' allows at most ' \
             + string(variables.most[variables.unlimited[0]]) + ': write spec.resources.limits with ' \
             + variables.unlimited[0] + ' of that or less'",
        ),
        must(
            "size(variables.above) == 0",
            "'spec.resources.' + variables.above[0].field + ' is ' + variables.above[0].value + ', and ' + variables.by \
             + ' allows at most ' + variables.above[0].most + ': write that or less'",
        ),
    ]
}

/// The API server gives `message` if a refusal's own words are longer than its bound of 5 KiB.
fn must(expression: &str, message: &str) -> Value {
    json!({
        "expression": expression,
        "messageExpression": message,
        "message": "the ActionPolicy of this namespace or of the cluster does not allow it: kubectl get actionpolicies --all-namespaces --output yaml",
        "reason": "Forbidden",
    })
}
