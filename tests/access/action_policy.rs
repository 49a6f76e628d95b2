//! `ActionPolicy` at admission: what it refuses, in the same words as the operator, and whose holds.

use std::time::Duration;

use k8s_openapi::api::admissionregistration::v1::{
    ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding,
};
use kube::{
    Api,
    api::{Patch, PatchParams, PostParams},
};
use longshore::{
    api::{ActionPolicy, DeploymentAction, action_policy::NAME, policy},
    operator::spec::policy::{Policy, violations},
};
use serde_json::{Value, json};

use super::{
    deeds::{creator_s_rules, of_template},
    person::{Actions, Person, SEEN, action, refused, rule, says},
    policies::{apply, in_force},
    table::table,
};
use crate::support::namespace::{Namespace, in_namespace, within};

const CRD: &str = include_str!("../../crds/actionpolicies.yaml");

/// A namespace with the policies in force, and another one that counts as the operator's for it.
struct Held<'a> {
    namespace: &'a Namespace,
    cluster: Namespace,
    /// Asks as somebody who may do everything.
    actions: Actions,
}

async fn held(test: impl AsyncFnOnce(&Held<'_>)) {
    in_namespace(async |namespace: &Namespace| {
        in_force(namespace).await;
        apply(&namespace.client, serde_saphyr::from_str(CRD).expect("the definition")).await;
        let cluster = namespace.sibling().await;
        bind(namespace, &cluster).await;
        let actions = Actions(Api::namespaced(namespace.client.clone(), &namespace.name));
        test(&Held { namespace, cluster, actions }).await;
    })
    .await;
}

/// The policy and its bindings under names of their own and for this namespace alone: the cluster's
/// own `ActionPolicy` would be every other test's too. They go with the namespace.
async fn bind(namespace: &Namespace, cluster: &Namespace) {
    let owner = namespace.owner_reference().await;
    let policies: Api<ValidatingAdmissionPolicy> = Api::all(namespace.client.clone());
    let bindings: Api<ValidatingAdmissionPolicyBinding> = Api::all(namespace.client.clone());
    let name = format!("{}-{}", policy::ACTION_POLICY, namespace.name);
    let object =
        json!({"metadata": {"name": name, "ownerReferences": [owner]}, "spec": policy::action_policy()});
    let object = serde_json::from_value(object).expect("a policy");
    policies.create(&PostParams::default(), &object).await.expect("creating a policy");
    for (suffix, mut spec) in
        [("own", policy::own_binding(&name)), ("all", policy::cluster_binding(&name, &cluster.name))]
    {
        spec["matchResources"]["namespaceSelector"] =
            json!({"matchLabels": {"kubernetes.io/metadata.name": namespace.name}});
        let metadata = json!({"name": format!("{name}-{suffix}"), "ownerReferences": [owner]});
        let object = serde_json::from_value(json!({"metadata": metadata, "spec": spec})).expect("a binding");
        bindings.create(&PostParams::default(), &object).await.expect("creating a binding");
    }
}

/// Puts an `ActionPolicy` and waits until the API server judges by it: a resource that nobody has
/// tells one from the one before.
async fn put(held: &Held<'_>, namespace: &Namespace, spec: &Value) {
    static MARKS: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let mark = format!("example.com/mark-{}", MARKS.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
    let mut spec = spec.clone();
    spec["maxResources"][&mark] = json!(0);
    let object = json!({
        "apiVersion": "longshore.dev/v1alpha1", "kind": "ActionPolicy",
        "metadata": {"name": NAME}, "spec": spec,
    });
    let policies = namespace.api::<ActionPolicy>();
    if policies.get_opt(NAME).await.expect("reading the policy").is_some() {
        policies.delete(NAME, &kube::api::DeleteParams::default()).await.expect("removing the one before");
    }
    // The definition may have come a moment ago.
    within(Duration::from_secs(30), "the policy is put", async || {
        let parameters = PatchParams::apply("test");
        policies.patch(NAME, &parameters, &Patch::Apply(&object)).await.ok()
    })
    .await;
    let probe =
        json!({"resources": {"limits": {mark.as_str(): 1, "cpu": 1, "memory": 1, "ephemeral-storage": 1}}});
    within(Duration::from_secs(30), "the policy is in force", async || {
        // Another violation may be told first.
        let words = held.actions.would_create(&merged(&spec_that_passes(&spec), &probe)).await.err()?;
        words.contains(&mark).then_some(())
    })
    .await;
}

/// A spec that breaks no policy of these tests but in its resources.
fn spec_that_passes(policy: &Value) -> Value {
    let place = policy["registries"][0].as_str().unwrap_or("registry.example.com/team");
    let profile = policy["securityProfiles"][0].as_str().unwrap_or("Restricted");
    json!({
        "image": format!("{place}/tools@sha256:{}", "a".repeat(64)),
        "podTemplate": {"securityProfile": profile},
        "runDeadlineSeconds": 1,
        "pendingDeadlineSeconds": 1,
    })
}

fn merged(one: &Value, other: &Value) -> Value {
    let mut merged = one.clone();
    for (field, value) in other.as_object().expect("fields") {
        merged[field] = value.clone();
    }
    merged
}

/// The operator's verdict on the same.
fn operator(namespace: &Namespace, policy: &Value, spec: &Value) -> Vec<String> {
    let policy = Policy {
        namespace: namespace.name.clone(),
        spec: serde_json::from_value(policy.clone()).expect("a policy"),
    };
    let action: DeploymentAction = serde_json::from_value(action("asked", spec)).expect("an action");
    violations(&policy, &action.spec, action.spec.template_ref.is_some())
}

#[tokio::test]
async fn the_api_server_and_the_operator_agree_in_verdict_and_words() {
    held(async |held| {
        for (policy, specs) in table() {
            put_or_wait(held, &policy).await;
            let (mut allowed, mut forbidden) = (0, 0);
            for spec in &specs {
                let answer = held.actions.would_create(spec).await;
                let own = operator(held.namespace, &policy, spec);
                match (answer, own.first()) {
                    (Ok(()), None) => allowed += 1,
                    (Err(words), Some(own)) => {
                        assert!(words.contains(own.as_str()), "{policy} {spec}\n{words}\n{own}");
                        forbidden += 1;
                    }
                    (answer, own) => panic!("{policy} {spec}: {answer:?} and {own:?}"),
                }
            }
            assert_eq!(allowed + forbidden, specs.len());
        }
    })
    .await;
}

/// As [`put`]; a policy that refuses every action is in force once it refuses one.
async fn put_or_wait(held: &Held<'_>, policy: &Value) {
    if policy["templatesOnly"] != true {
        return put(held, held.namespace, policy).await;
    }
    let patch = Patch::Merge(json!({"spec": policy}));
    held.namespace
        .api::<ActionPolicy>()
        .patch(NAME, &PatchParams::default(), &patch)
        .await
        .expect("a policy");
    within(Duration::from_secs(30), "the policy is in force", async || {
        let words = held.actions.would_create(&json!({})).await.err()?;
        words.contains("templateRef").then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_namespace_s_policy_and_the_cluster_s_both_hold() {
    held(async |held| {
        put(held, held.namespace, &json!({"registries": ["registry.example.com"]})).await;
        put(held, &held.cluster, &json!({"digestsOnly": true})).await;
        let pinned = format!("@sha256:{}", "c".repeat(64));
        held.actions.must_create(&json!({"image": format!("registry.example.com/tools{pinned}")})).await;
        says(
            held.actions.would_create(&json!({"image": "registry.example.com/tools:1"})).await,
            &[&format!("ActionPolicy/default of namespace {}", held.cluster.name), "digests only"],
        );
        says(
            held.actions.would_create(&json!({"image": format!("other.example.com/tools{pinned}")})).await,
            &[&format!("ActionPolicy/default of namespace {} allows only", held.namespace.name)],
        );
    })
    .await;
}

#[tokio::test]
async fn no_way_of_writing_an_image_gets_round_the_registries() {
    held(async |held| {
        put(held, held.namespace, &json!({"registries": ["registry.example.com/team"]})).await;
        for image in [
            "registry.example.com/../evil:1",
            "registry.example.com/team/../evil:1",
            "registry.example.com/team/./../evil:1",
            "registry.example.com//team/x:1",
            "registry.example.com/team//x:1",
            "registry.example.com/team/%2e%2e/evil:1",
            "registry.example.com/team\\..\\evil:1",
            "registry.example.com/TEAM/x:1",
            "REGISTRY.example.com/team/x:1",
            "https://registry.example.com/team/x:1",
            "user@registry.example.com/team/x:1",
            "evil.test/x@registry.example.com/team/x:1",
            "registry.example.com/team:1/evil:1",
            "registry.example.com/team@evil.test/x:1",
            "registry.example.com./team/x:1",
            "registry.example.com/team",
            " registry.example.com/team/x:1",
            "registry.example.com/team/x:1\n",
            "team/x:1",
            "x:1",
        ] {
            let answer = held.actions.would_create(&json!({"image": image})).await;
            assert!(answer.is_err(), "{image:?} is allowed");
        }
    })
    .await;
}

#[tokio::test]
async fn only_a_change_of_the_spec_is_judged() {
    held(async |held| {
        held.namespace.put::<DeploymentAction>(action("before", &json!({}))).await;
        put(held, held.namespace, &json!({"digestsOnly": true})).await;
        let label = json!({"metadata": {"labels": {"a": "b"}, "finalizers": ["example.com/a"]}});
        held.actions.patch("before", &label).await.expect("a change of metadata");
        held.actions.patch("before", &json!({"metadata": {"finalizers": null}})).await.expect("the same");
        says(
            held.actions.patch("before", &json!({"spec": {"runToken": "again"}})).await,
            &["digests only", "registry.example.com/tools@sha256:..."],
        );
    })
    .await;
}

#[tokio::test]
async fn a_policy_that_cannot_be_meant_is_refused() {
    held(async |held| {
        let policies = held.namespace.api::<ActionPolicy>();
        let would = async |name: &str, spec: Value| {
            let object = json!({
                "apiVersion": "longshore.dev/v1alpha1", "kind": "ActionPolicy",
                "metadata": {"name": name}, "spec": spec,
            });
            let parameters = PatchParams::apply("test").dry_run();
            refused(policies.patch(name, &parameters, &Patch::Apply(&object)).await).map(|_| ())
        };
        within(Duration::from_secs(30), "the kind is known", async || would(NAME, json!({})).await.ok())
            .await;
        says(would("another", json!({})).await, &["its name is default"]);
        says(would(NAME, json!({"registries": []})).await, &["spec.registries", "leave registries out"]);
        says(would(NAME, json!({"securityProfiles": []})).await, &["leave securityProfiles out"]);
        says(would(NAME, json!({"securityProfiles": ["Privileged"]})).await, &["spec.securityProfiles[0]"]);
        for place in [
            "",
            "team",
            "team/tools",
            "registry.example.com/",
            "registry.example.com/team/",
            "https://registry.example.com",
            "Registry.example.com",
            "registry.example.com/Team",
            "registry.example.com/team:1",
            "registry.example.com/../team",
            "registry.example.com/*",
            "*.example.com",
            "registry.example.com /team",
        ] {
            says(would(NAME, json!({"registries": [place]})).await, &["spec.registries", "by its full name"]);
        }
        says(would(NAME, json!({"registries": ["index.docker.io/library"]})).await, &["write docker.io"]);
        says(would(NAME, json!({"maxRunDeadlineSeconds": 0})).await, &["spec.maxRunDeadlineSeconds"]);
        says(would(NAME, json!({"maxResources": {"memory": "lots"}})).await, &["spec.maxResources.memory"]);
        says(would(NAME, json!({"signatures": []})).await, &["signatures"]);
        for place in
            ["registry.example.com", "localhost", "registry:5000/a/b-c", "[::1]:5000", "docker.io/library"]
        {
            would(NAME, json!({"registries": [place]})).await.expect(place);
        }
    })
    .await;
}

#[tokio::test]
async fn of_the_cluster_s_roles_admin_writes_policies_edit_none_and_view_reads_them() {
    held(async |held| {
        put(held, held.namespace, &json!({"digestsOnly": true})).await;
        let of = async |role: &str| {
            let person = Person::called(role).await;
            person.is(held.namespace, role).await;
            Api::<ActionPolicy>::namespaced(person.client.clone(), &held.namespace.name)
        };
        let looser = Patch::Merge(json!({"spec": {"digestsOnly": false}}));
        let patch = async |policies: &Api<ActionPolicy>| {
            refused(policies.patch(NAME, &PatchParams::default(), &looser).await).map(|_| ())
        };
        for role in ["view", "edit"] {
            let policies = of(role).await;
            within(SEEN, "it may be read", async || policies.get(NAME).await.ok()).await;
            says(patch(&policies).await, &[role, "cannot patch"]);
        }
        let policies = of("admin").await;
        within(SEEN, "admin may write it", async || patch(&policies).await.ok()).await;
        // Its own namespace's, and not the cluster's.
        let person = Person::called("admin").await;
        let cluster = Api::<ActionPolicy>::namespaced(person.client.clone(), &held.cluster.name);
        says(patch(&cluster).await, &["admin", "cannot patch"]);
    })
    .await;
}

#[tokio::test]
async fn only_who_may_write_policies_changes_what_is_allowed() {
    held(async |held| {
        put(held, held.namespace, &json!({"digestsOnly": true})).await;
        // All that an author of actions has, and the right to create pods.
        let rules = [rule("longshore.dev", "deploymentactions", "*"), rule("", "pods", "*")];
        let author = Person::new(held.namespace, "author", &rules).await;
        let policies: Api<ActionPolicy> = Api::namespaced(author.client.clone(), &held.namespace.name);
        let looser = Patch::Merge(json!({"spec": {"digestsOnly": false}}));
        says(
            refused(policies.patch(NAME, &PatchParams::default(), &looser).await),
            &["author", "cannot patch", "actionpolicies"],
        );
        let actions = super::person::actions(&author, &held.namespace.name);
        says(actions.would_create(&json!({})).await, &["digests only"]);
    })
    .await;
}

#[tokio::test]
async fn where_only_templates_are_allowed_a_release_creator_writes_no_script() {
    held(async |held| {
        let creator = Person::new(held.namespace, "creator", &creator_s_rules()).await;
        let actions = super::person::actions(&creator, &held.namespace.name);
        actions.must_create(&json!({})).await;
        put(held, held.namespace, &json!({})).await;
        put_or_wait(held, &json!({"templatesOnly": true})).await;
        actions.must_create(&of_template(&json!([]))).await;
        says(
            actions.would_create(&json!({})).await,
            &["longshore-action-policy", "spec.templateRef is not set", "allows actions of templates only"],
        );
    })
    .await;
}
