//! The policy on authors: an action must not give its author more than the author has.

use serde_json::{Value, json};

use super::parts::{actions, must_or, variable};
use crate::api::names::{ANNOTATION_CANCEL, ANNOTATION_RERUN, GROUP};

/// The most different Secrets, and the most different `ConfigMap`s, that an action may name if its author may
/// neither use all of them nor create pods. Each name is one question to the authorizer. A policy can afford 28
/// questions, and this one asks at most 20.
const MOST_NAMES: usize = 8;

/// Fields of `podTemplate` that everyone may set. They can only narrow the choice of nodes.
const FREE: [&str; 2] = ["nodeSelector", "affinity.nodeAffinity"];

/// Resources that everyone may ask for.
const EVERYONES: [&str; 3] = ["cpu", "memory", "ephemeral-storage"];

/// A kind of object that an action may name many times.
struct Named {
    /// As RBAC names it.
    resource: &'static str,
    /// The verb that lets somebody name it.
    verb: &'static str,
    /// The beginning of the names of its variables.
    variable: &'static str,
    /// An expression for the list of names, with '' for an entry without a name.
    names: &'static str,
    /// The same for fields that only actions have.
    of_actions: &'static str,
}

/// The kind of object whose spec is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Subject {
    Action,
    /// Everyone who may use the template uses what it names. So its author needs the same rights as the author
    /// of an action that names it.
    Template,
    /// It names objects of every namespace that has an action of it. So its author needs the rights in all
    /// namespaces.
    ClusterTemplate,
}

impl Subject {
    const fn noun(self) -> &'static str {
        match self {
            Self::Action => "action",
            Self::Template | Self::ClusterTemplate => "template",
        }
    }

    const fn resource(self) -> &'static str {
        match self {
            Self::Action => "deploymentactions",
            Self::Template => "deploymentactiontemplates",
            Self::ClusterTemplate => "clusterdeploymentactiontemplates",
        }
    }

    /// The namespace in which the rights are asked for. '' is everywhere.
    const fn namespace(self) -> &'static str {
        match self {
            Self::Action | Self::Template => "request.namespace",
            Self::ClusterTemplate => "''",
        }
    }

    /// The same in words, as an expression.
    const fn place(self) -> &'static str {
        match self {
            Self::Action | Self::Template => "'in namespace ' + request.namespace",
            Self::ClusterTemplate => "'in all namespaces (by a ClusterRoleBinding)'",
        }
    }

    /// Whether the requester may do this there. Without a name the question is about all objects.
    fn allowed(self, resource: &str, name: Option<&str>, verb: &str) -> String {
        let name = name.map(|name| format!(".name({name})")).unwrap_or_default();
        format!(
            "authorizer.group('').resource('{resource}').namespace({}){name}.check('{verb}').allowed()",
            self.namespace()
        )
    }

    /// The message: the requester, the missing right, and what to do about it.
    fn refusal(self, resource: &str, verb: &str, name: &str) -> String {
        format!(
            "variables.who + '\"{verb}\" {resource}/' + {name} + ', which the {} names and its script could read or act as: \
             leave it out, or ask for a role there that allows the verb {verb} on {resource} with resourceNames [' + {name} + ']'",
            self.noun()
        )
    }
}

const NAMED: [Named; 2] = [
    Named {
        resource: "secrets",
        verb: "use",
        variable: "secrets",
        names: "object.spec.?variables.orValue([]).map(v, v.?valueFrom.?secretKeyRef.?name.orValue('')) \
                + object.spec.?variablesFrom.orValue([]).map(v, v.?secretRef.?name.orValue('')) \
                + object.spec.?imagePullSecrets.orValue([]).map(s, s.name)",
        of_actions: " + object.spec.?parameters.orValue([]).map(p, p.?valueFrom.?secretKeyRef.?name.orValue(''))",
    },
    // An author who names a ConfigMap reads it. People who may read it anyway, such as everyone with the role view,
    // need no other right. Asking for either of two verbs would cost 9 more questions, which is too much.
    Named {
        resource: "configmaps",
        verb: "get",
        variable: "configMaps",
        names: "object.spec.?variables.orValue([]).map(v, v.?valueFrom.?configMapKeyRef.?name.orValue('')) \
                + object.spec.?variablesFrom.orValue([]).map(v, v.?configMapRef.?name.orValue('')) \
                + [object.spec.?script.?configMapKeyRef.?name.orValue('')]",
        of_actions: " + object.spec.?parameters.orValue([]).map(p, p.?valueFrom.?configMapKeyRef.?name.orValue(''))",
    },
];

/// The spec of the policy on people who create an action, change its spec or ask for a rerun. They must be
/// allowed to create pods in its namespace, or to use each thing that it names, such as its template. The
/// author of the template needed the rights to what the template names.
///
/// Only people who may create pods may write the status.
///
/// The policy judges no other change of metadata: the garbage collector patches finalizers when an action is
/// deleted, and has no right to use a Secret.
#[must_use]
pub fn use_policy() -> Value {
    let subject = Subject::Action;
    let (mut variables, mut validations) = named_by(subject);
    variables.extend(template());
    validations.push(must_or(
        &format!(
            "variables.templateName == '' || variables.free || authorizer.group('{GROUP}').resource(variables.templateResource)\
             .namespace(variables.ofCluster ? '' : request.namespace).name(variables.templateName).check('use').allowed()"
        ),
        &format!(
            "variables.who + '\"use\" ' + variables.templateResource + '.{GROUP}/' + variables.templateName + ', of which the action is made: \
             ask for a role' + (variables.ofCluster ? ', bound by a ClusterRoleBinding,' : ' there') + ' that allows the verb use on ' + variables.templateResource \
             + ' of the group {GROUP} with resourceNames [' + variables.templateName + ']'"
        ),
    ));
    // The status says which image the operator starts next, as which user, and whose log it reads.
    validations.insert(
        0,
        must_or(
            &format!("!({OF_STATUS})"),
            &format!(
                "request.userInfo.username + ' may not create pods in namespace ' + request.namespace \
                 + ', without which nobody but the operator may write the status of an action: to ask for a run, \
                 set spec.runToken or the annotation {ANNOTATION_RERUN}; to end one, the annotation {ANNOTATION_CANCEL}'"
            ),
        ),
    );
    let free = subject.allowed("pods", None, "create");
    json!({
        "failurePolicy": "Fail",
        "matchConstraints": constraints(),
        "matchConditions": [{
            "name": "what-runs-changes",
            // A requester who may create pods is not judged further when writing a status: the operator writes often.
            "expression": format!(
                "{OF_STATUS} ? !{free} : (request.operation == 'CREATE' || object.spec != oldObject.spec \
                 || (object.metadata.?annotations[?'{ANNOTATION_RERUN}'].hasValue() \
                 && object.metadata.?annotations[?'{ANNOTATION_RERUN}'] != oldObject.metadata.?annotations[?'{ANNOTATION_RERUN}']))"
            ),
        }],
        "variables": variables,
        "validations": validations,
    })
}

/// The spec of the policy on people who create a template of a namespace or change its spec. They need the same
/// rights as the author of an action.
#[must_use]
pub fn use_templates_policy() -> Value {
    of_templates(Subject::Template)
}

/// The spec of the policy on people who create a template of the cluster or change its spec. They need the same
/// rights in all namespaces.
#[must_use]
pub fn use_cluster_templates_policy() -> Value {
    of_templates(Subject::ClusterTemplate)
}

fn of_templates(subject: Subject) -> Value {
    let (variables, validations) = named_by(subject);
    let mut constraints = actions();
    constraints["resourceRules"][0]["resources"] = json!([subject.resource()]);
    json!({
        "failurePolicy": "Fail",
        "matchConstraints": constraints,
        "matchConditions": [{
            "name": "what-runs-changes",
            "expression": "request.operation == 'CREATE' || object.spec != oldObject.spec",
        }],
        "variables": variables,
        "validations": validations,
    })
}

/// Variables for the template that an action names.
fn template() -> Vec<Value> {
    vec![
        variable(
            "ref",
            "has(object.spec.templateRef) && dyn(object.spec).templateRef != null ? dyn(object.spec).templateRef : dyn({})",
        ),
        variable("templateName", "variables.ref.?name.orValue('')"),
        variable("ofCluster", "variables.ref.?kind.orValue('') == 'ClusterDeploymentActionTemplate'"),
        variable(
            "templateResource",
            "variables.ofCluster ? 'clusterdeploymentactiontemplates' : 'deploymentactiontemplates'",
        ),
    ]
}

/// Variables and validations for what the subject's spec names, and for what it asks of its pod.
fn named_by(subject: Subject) -> (Vec<Value>, Vec<Value>) {
    let (noun, place) = (subject.noun(), subject.place());
    let mut variables = vec![
        variable("free", &subject.allowed("pods", None, "create")),
        variable(
            "who",
            &format!("request.userInfo.username + ' may neither create pods ' + {place} + ' nor '"),
        ),
        // The schema allows null.
        variable(
            "resources",
            "has(object.spec.resources) && dyn(object.spec).resources != null ? dyn(object.spec).resources : dyn({})",
        ),
        variable("devices", &format!("{} + {}", devices("limits"), devices("requests"))),
        variable(
            "account",
            "has(object.spec.serviceAccountName) && dyn(object.spec).serviceAccountName != null ? object.spec.serviceAccountName : ''",
        ),
    ];
    let mut validations = vec![must_or(
        &format!(
            "variables.account == '' || variables.free || {}",
            subject.allowed("serviceaccounts", Some("variables.account"), "use")
        ),
        &subject.refusal("serviceaccounts", "use", "variables.account"),
    )];
    for named in &NAMED {
        variables.extend(named.variables(subject));
        validations.extend(named.validations(subject));
    }
    variables.extend(pod_template());
    let article = if subject == Subject::Action { "an" } else { "a" };
    validations.push(must_or(
        "size(variables.beyond) == 0 || variables.free",
        &format!(
            "request.userInfo.username + ' may not create pods ' + {place} \
             + ', without which {article} {noun} may not have spec.podTemplate.' + variables.beyond.join(', spec.podTemplate.') \
             + ': leave it out, or ask for a role there that allows the verb create on pods'"
        ),
    ));
    validations.push(must_or(
        "size(variables.devices) == 0 || variables.free",
        &format!(
            "request.userInfo.username + ' may not create pods ' + {place} \
             + ', without which {article} {noun} may not have spec.resources for ' + variables.devices.join(', ') \
             + ': leave it out (cpu, memory and ephemeral-storage are for everyone), or ask for a role there that allows the verb create on pods'"
        ),
    ));
    (variables, validations)
}

/// A request for the action itself does not have this field, and reading a missing field is an error, which
/// refuses.
const OF_STATUS: &str = "has(request.subResource) && request.subResource == 'status'";

/// Actions and their statuses.
fn constraints() -> Value {
    let mut constraints = actions();
    constraints["resourceRules"][0]["resources"] = json!(["deploymentactions", "deploymentactions/status"]);
    constraints
}

/// Resources that the action asks for beyond everyone's share. Device plugins hand out parts of the node under
/// such names, and huge pages are reserved for somebody.
fn devices(list: &str) -> String {
    let free = EVERYONES.map(|name| format!("'{name}'")).join(", ");
    format!(
        "(variables.resources.?{list}.orValue(null) == null ? [] : variables.resources.{list}.filter(name, !(name in [{free}])))"
    )
}

impl Named {
    /// The names that are left after the first `slot` different ones.
    fn left(&self, slot: usize) -> String {
        format!("variables.{}{slot}", self.variable)
    }

    /// Each slot's variable holds the names that are left, and the slot judges the first of them. So every name
    /// is judged once, without `distinct()`, which older API servers lack.
    fn variables(&self, subject: Subject) -> Vec<Value> {
        let mut variables = vec![variable(
            &format!("{}Any", self.variable),
            &format!("variables.free || {}", subject.allowed(self.resource, None, self.verb)),
        )];
        variables.push(variable(
            &format!("{}0", self.variable),
            &format!(
                "({}{}).filter(name, name != '')",
                self.names,
                if subject == Subject::Action { self.of_actions } else { "" }
            ),
        ));
        for slot in 0..MOST_NAMES {
            let left = self.left(slot);
            variables.push(variable(
                &format!("{}{}", self.variable, slot + 1),
                &format!("{left}.filter(name, name != {left}[0])"),
            ));
        }
        variables
    }

    fn validations(&self, subject: Subject) -> Vec<Value> {
        let Self { resource, verb, variable, .. } = self;
        let any = format!("variables.{variable}Any");
        let judge = |slot: usize| {
            let left = self.left(slot);
            let first = format!("{left}[0]");
            must_or(
                &format!("size({left}) == 0 || {any} || {}", subject.allowed(resource, Some(&first), verb)),
                &subject.refusal(resource, verb, &first),
            )
        };
        let mut validations: Vec<Value> = (0..MOST_NAMES).map(judge).collect();
        validations.push(must_or(
            &format!("size({}) == 0 || {any}", self.left(MOST_NAMES)),
            &format!(
                "variables.who + '\"{verb}\" all {resource}, which {} with more than {MOST_NAMES} different ones needs: \
                 name fewer, or ask for a role there that allows the verb {verb} on {resource} without resourceNames'",
                if subject == Subject::Action { "an action" } else { "a template" }
            ),
        ));
        validations
    }
}

/// The fields of `podTemplate` that not everyone may set. A field that is not named here needs the right to
/// create pods. Null and empty values count as not written: charts write them.
fn pod_template() -> Vec<Value> {
    let filled = |map: &str| {
        format!("{map}.filter(key, {map}[key] != null && {map}[key] != [] && {map}[key] != {{}})")
    };
    // The kinds of affinity that have a list with an entry.
    let affine = "variables.affinity.filter(key, variables.affinity[key] != null \
                  && variables.affinity[key].exists(list, variables.affinity[key][list] != null && variables.affinity[key][list] != []))";
    let free = FREE.map(|field| format!("'{field}'")).join(", ");
    let part = |name: &str| {
        format!("variables.template.?{name}.orValue(null) == null ? dyn({{}}) : variables.template.{name}")
    };
    vec![
        variable(
            "template",
            "has(object.spec.podTemplate) && dyn(object.spec).podTemplate != null ? dyn(object.spec).podTemplate : dyn({})",
        ),
        // Labels lead a Service's traffic to the pod and lift network policies; annotations speak
        // to injectors of secrets and of cloud roles.
        variable("metadata", &part("metadata")),
        // Affinity with pods keeps other people's pods off nodes, in other namespaces too.
        variable("affinity", &part("affinity")),
        variable("profile", "variables.template.?securityProfile.orValue(null)"),
        variable(
            "beyond",
            &format!(
                "({}.filter(key, !(key in ['metadata', 'affinity', 'securityProfile'])) \
                 + {}.map(key, 'metadata.' + key) \
                 + {}.map(key, 'affinity.' + key) \
                 + (variables.profile == null || variables.profile == 'Restricted' ? [] : ['securityProfile'])\
                 ).filter(field, !(field in [{free}]))",
                filled("variables.template"),
                filled("variables.metadata"),
                affine,
            ),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The budget of a policy, and the cost of a question.
    const BUDGET: usize = 10_000_000;
    const QUESTION: usize = 350_000;

    fn questions(text: &str) -> usize {
        text.matches(".check(").count()
    }

    fn all() -> [Value; 3] {
        [use_policy(), use_templates_policy(), use_cluster_templates_policy()]
    }

    #[test]
    fn all_questions_fit_into_the_budget_with_a_fifth_left() {
        let counts = all().map(|policy| questions(&policy.to_string()));
        // For an action, its template beside.
        let most = 1 + 1 + 1 + 2 * (1 + MOST_NAMES) + 1;
        assert_eq!(counts, [most, most - 2, most - 2]);
        assert!(most * QUESTION <= BUDGET * 4 / 5, "{most}");
    }

    #[test]
    fn no_expression_asks_more_than_once() {
        for policy in all() {
            for part in ["variables", "validations"] {
                for item in policy[part].as_array().unwrap() {
                    assert!(questions(item["expression"].as_str().unwrap()) <= 1, "{item}");
                }
            }
        }
    }

    #[test]
    fn no_message_sees_the_authorizer() {
        for policy in all() {
            for validation in policy["validations"].as_array().unwrap() {
                let words = validation["messageExpression"].as_str().unwrap();
                assert!(!words.contains("free") && !words.contains("Any"), "{words}");
            }
        }
    }

    #[test]
    fn of_a_template_of_the_cluster_the_request_has_no_namespace() {
        let policy = use_cluster_templates_policy().to_string();
        assert!(!policy.contains("request.namespace"));
    }
}
