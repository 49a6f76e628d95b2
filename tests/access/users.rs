//! Which user wrote what, as the policies record it: nobody forges it, removes it, or loses it by applying again.

use kube::{
    Api,
    api::{DeleteParams, DynamicObject, Patch, PatchParams, PostParams},
    core::{ApiResource, GroupVersionKind},
};
use longshore::api::{
    ANNOTATION_CANCEL, ANNOTATION_CANCEL_BY, ANNOTATION_RERUN, ANNOTATION_RERUN_BY, ANNOTATION_SPEC_BY,
    DeploymentAction, policy,
};
use serde_json::{Value, json};

use super::{
    person::{Actions, Person, action, actions, rule, says},
    policies::in_force,
};
use crate::support::namespace::{Namespace, in_namespace, within};

const STAMPS: [&str; 3] = [ANNOTATION_SPEC_BY, ANNOTATION_RERUN_BY, ANNOTATION_CANCEL_BY];

/// Somebody who may write actions. Names no two tests share.
async fn writer(namespace: &Namespace, name: &str) -> Actions {
    let user = format!("{name}@{}", namespace.name);
    let person = Person::new(namespace, &user, &[rule("longshore.dev", "deploymentactions", "*")]).await;
    actions(&person, &namespace.name)
}

/// The names of the users that the action has, without what makes them unique.
fn users(action: &DeploymentAction) -> [Option<&str>; 3] {
    let all = action.metadata.annotations.as_ref();
    STAMPS.map(|stamp| all?.get(stamp)?.split('@').next())
}

fn annotations(pairs: &[(&str, Option<&str>)]) -> Value {
    let all: serde_json::Map<String, Value> =
        pairs.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
    json!({"metadata": {"annotations": all}})
}

/// As Argo CD and Flux do it.
async fn apply(actions: &Actions, object: &Value) -> DeploymentAction {
    let parameters = PatchParams::apply("gitops").force();
    let name = object["metadata"]["name"].as_str().unwrap();
    let applied = within(super::person::SEEN, "they may apply", async || {
        actions
            .0
            .patch(name, &parameters, &Patch::Apply(object))
            .await
            .inspect_err(|error| eprintln!("{error}"))
            .ok()
    });
    Box::pin(applied).await
}

#[tokio::test]
async fn each_write_records_its_user_and_nobody_forges_one() {
    Box::pin(in_namespace(async |namespace| {
        in_force(namespace).await;
        let alice = writer(namespace, "alice").await;
        let bob = writer(namespace, "bob").await;
        let created = apply(&alice, &action("deploy", &json!({}))).await;
        assert_eq!(users(&created), [Some("alice"), None, None]);

        let asked = Box::pin(bob.must_patch("deploy", &annotations(&[(ANNOTATION_RERUN, Some("1"))]))).await;
        assert_eq!(users(&asked), [Some("alice"), Some("bob"), None]);
        // Applied again, it stays as it is: no tool for GitOps sees a difference.
        let again = apply(&alice, &action("deploy", &json!({}))).await;
        assert_eq!(users(&again), [Some("alice"), Some("bob"), None]);
        assert_eq!(again.metadata.resource_version, asked.metadata.resource_version);

        let forged = STAMPS.map(|stamp| (stamp, Some("admin@x")));
        let forged = bob.patch("deploy", &annotations(&forged)).await.unwrap();
        assert_eq!(users(&forged), [Some("alice"), Some("bob"), None]);
        let gone = bob.patch("deploy", &json!({"metadata": {"annotations": null}})).await.unwrap();
        assert_eq!(users(&gone), [Some("alice"), None, None], "the rerun is gone, too");

        // Somebody else asks for the same, and changes the spec in the same write.
        let mut change = annotations(&[
            (ANNOTATION_RERUN, Some("2")),
            (ANNOTATION_CANCEL, Some("x-1")),
            (ANNOTATION_SPEC_BY, Some("alice")),
        ]);
        change["spec"] = json!({"args": ["x"]});
        let changed = bob.patch("deploy", &change).await.unwrap();
        assert_eq!(users(&changed), [Some("bob"); 3]);
        let same = alice.patch("deploy", &annotations(&[(ANNOTATION_RERUN, Some("2"))])).await.unwrap();
        assert_eq!(users(&same), [Some("bob"); 3], "nothing new is asked for");
    }))
    .await;
}

#[tokio::test]
async fn what_is_created_with_others_names_has_one_s_own() {
    in_namespace(async |namespace| {
        in_force(namespace).await;
        let bob = writer(namespace, "bob").await;
        let mut forged = action("forged", &json!({}));
        forged["metadata"]["annotations"] =
            json!({ANNOTATION_SPEC_BY: "admin@x", ANNOTATION_CANCEL_BY: "admin@x", ANNOTATION_RERUN: "1"});
        assert_eq!(users(&apply(&bob, &forged).await), [Some("bob"), Some("bob"), None]);
    })
    .await;
}

/// The policies again under a name of the test's own, for its namespace alone, and without the one that writes.
#[tokio::test]
async fn without_the_policy_that_writes_no_user_is_accepted() {
    in_namespace(async |namespace| {
        in_force(namespace).await;
        let name = format!("users-{}", namespace.name);
        let owner = namespace.owner_reference().await;
        let here = json!({"matchLabels": {"kubernetes.io/metadata.name": namespace.name}});
        // What the check says does not depend on who wrote the annotation. So it refuses what a policy that comes
        // after ours would write.
        let mut spec = policy::stamp_check_policy();
        spec["variables"][2]["expression"] = json!("'somebody-else'");
        spec["matchConstraints"]["namespaceSelector"] = here;
        let metadata = json!({"name": name, "ownerReferences": [owner]});
        for (kind, spec) in [
            ("ValidatingAdmissionPolicy", spec),
            ("ValidatingAdmissionPolicyBinding", policy::binding(&name)),
        ] {
            let gvk = GroupVersionKind::gvk("admissionregistration.k8s.io", "v1", kind);
            let api: Api<DynamicObject> =
                Api::all_with(namespace.client.clone(), &ApiResource::from_gvk(&gvk));
            let object = json!({
                "apiVersion": "admissionregistration.k8s.io/v1",
                "kind": kind,
                "metadata": metadata,
                "spec": spec,
            });
            let object = serde_json::from_value(object).unwrap();
            api.create(&PostParams::default(), &object).await.expect("creating the policy");
        }
        let alice = writer(namespace, "alice").await;
        within(super::person::SEEN, "the check refuses", async || {
            let answer = alice.would_create(&json!({})).await;
            answer
                .is_err_and(|words| words.contains("longshore.dev/spec-by must be somebody-else"))
                .then_some(())
        })
        .await;
        says(
            alice.would_create(&json!({})).await,
            &["MutatingAdmissionPolicy longshore-requester writes it"],
        );
        let kind =
            GroupVersionKind::gvk("admissionregistration.k8s.io", "v1", "ValidatingAdmissionPolicyBinding");
        let api: Api<DynamicObject> = Api::all_with(namespace.client.clone(), &ApiResource::from_gvk(&kind));
        let _ = api.delete(&name, &DeleteParams::default()).await;
    })
    .await;
}
