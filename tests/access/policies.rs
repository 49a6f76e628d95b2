//! The policies are in force, and are those of the code.

use std::time::Duration;

use k8s_openapi::api::admissionregistration::v1::{
    ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding,
};
use kube::{
    Api, Client,
    api::{DynamicObject, Patch, PatchParams, PostParams},
    core::{GroupVersionKind, TypeMeta},
    discovery::ApiResource,
};
use longshore::api::policy;
use serde_json::{Value, json};

use super::person::{Person, actions, rule};
use crate::support::namespace::{Namespace, in_namespace, until, within};

const POLICIES: &str = include_str!("../../charts/longshore/files/policies.yaml");
const CRDS: [&str; 3] = [
    include_str!("../../crds/deploymentactions.yaml"),
    include_str!("../../crds/deploymentactiontemplates.yaml"),
    include_str!("../../crds/clusterdeploymentactiontemplates.yaml"),
];

/// As the chart that `make deploy` installs would own it, so that it can be installed later.
fn owned_by_the_chart(mut object: Value) -> Value {
    object["metadata"]["labels"] = json!({"app.kubernetes.io/managed-by": "Helm"});
    object["metadata"]["annotations"] = json!({
        "meta.helm.sh/release-name": "longshore",
        "meta.helm.sh/release-namespace": "longshore-system",
    });
    if object["kind"] == "CustomResourceDefinition" {
        object["metadata"]["annotations"]["helm.sh/resource-policy"] = json!("keep");
    }
    object
}

/// Applies `object` unless what is there is the same already.
pub(crate) async fn apply(client: &Client, object: Value) {
    let TypeMeta { api_version, kind } = serde_json::from_value(object.clone()).expect("a type");
    let (group, version) = api_version.split_once('/').expect("a group and a version");
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, &kind));
    let api: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
    let name = object["metadata"]["name"].as_str().expect("a name").to_owned();
    let patch = Patch::Apply(owned_by_the_chart(object.clone()));
    // As helm itself, which finds no conflict then.
    let parameters = PatchParams::apply("helm").force();
    let Some(mut live) = api.get_opt(&name).await.expect("reading what is there") else {
        api.patch(&name, &parameters, &patch).await.expect("applying what was not there");
        return;
    };
    match api.patch(&name, &parameters.clone().dry_run(), &patch).await {
        Ok(would) if would.data["spec"] == live.data["spec"] => {}
        Ok(_) => drop(api.patch(&name, &parameters, &patch).await.expect("applying what is new")),
        // Somebody added a validation action that does not go with ours: applying keeps both.
        Err(_) => {
            live.data["spec"] = object["spec"].clone();
            // Another test may be quicker.
            let _ = api.replace(&name, &PostParams::default(), &live).await;
        }
    }
}

/// Puts the definition and the policies for everyone into force, and waits until they are: the API
/// server needs a moment to see a policy.
pub(crate) async fn in_force(namespace: &Namespace) {
    for crd in CRDS {
        apply(&namespace.client, serde_saphyr::from_str(crd).expect("a definition")).await;
    }
    for document in POLICIES.split("\n---\n") {
        let document: Value = serde_saphyr::from_str(document).expect("a policy");
        let name = document["metadata"]["name"].as_str().expect("a name");
        // Those of the operator are on its user, whom the chart alone knows.
        if matches!(
            name,
            policy::USE
                | policy::USE_TEMPLATES
                | policy::USE_CLUSTER_TEMPLATES
                | policy::LATEST
                | policy::REQUESTER
        ) {
            apply(&namespace.client, document).await;
        }
    }
    let stranger = Person::new(namespace, "policy-stranger", &[rule("longshore.dev", "*", "*")]).await;
    let writer = [rule("longshore.dev", "clusterdeploymentactiontemplates", "create")];
    stranger.may_everywhere(namespace, &writer).await;
    let secret = json!({"imagePullSecrets": [{"name": "secret"}]});
    within(Duration::from_secs(30), "the policies are in force", async || {
        let harmless = actions(&stranger, &namespace.name).would_create(&json!({})).await;
        let secret = actions(&stranger, &namespace.name).would_create(&secret).await;
        let latest = actions(&stranger, &namespace.name).would_create(&json!({"image": "a/b:latest"})).await;
        let by = |answer: Result<(), String>, name| answer.is_err_and(|words| words.contains(name));
        let templates = templates_are_judged(namespace, &stranger).await;
        (harmless.is_ok() && by(secret, policy::USE) && by(latest, policy::LATEST) && templates).then_some(())
    })
    .await;
}

/// Whether the policies on templates are seen by now: an administrator is judged by neither, so a person
/// asks who may write templates and nothing else.
async fn templates_are_judged(namespace: &Namespace, person: &Person) -> bool {
    let secret = json!({"imagePullSecrets": [{"name": "secret"}]});
    let mut judged = true;
    for (kind, name) in [
        ("DeploymentActionTemplate", policy::USE_TEMPLATES),
        ("ClusterDeploymentActionTemplate", policy::USE_CLUSTER_TEMPLATES),
    ] {
        let answer = super::templates::would_create(person, namespace, kind, &secret).await;
        judged &= answer.is_err_and(|words| words.contains(name));
    }
    judged
}

#[tokio::test]
async fn what_the_cluster_has_differs_in_nothing_from_the_code() {
    in_namespace(async |namespace: &Namespace| {
        in_force(namespace).await;
        let policies: Api<ValidatingAdmissionPolicy> = Api::all(namespace.client.clone());
        let bindings: Api<ValidatingAdmissionPolicyBinding> = Api::all(namespace.client.clone());
        for (name, expected) in
            policy::use_policies().into_iter().chain([(policy::LATEST, policy::latest_policy())])
        {
            let live = serde_json::to_value(policies.get(name).await.expect("the policy")).expect("JSON");
            assert_eq!(policy::differs(&expected, &live["spec"]), None);
            let live = serde_json::to_value(bindings.get(name).await.expect("the binding")).expect("JSON");
            assert_eq!(policy::differs(&policy::binding(name), &live["spec"]), None);
        }
    })
    .await;
}

#[tokio::test]
async fn the_api_server_finds_no_wrong_types_in_them() {
    in_namespace(async |namespace: &Namespace| {
        in_force(namespace).await;
        let policies: Api<ValidatingAdmissionPolicy> = Api::all(namespace.client.clone());
        // Of the operator's, copies: on a user that there is not.
        for document in policy::documents("system:serviceaccount:nobody:nobody") {
            let mut document = document;
            let name =
                format!("{}-{}", document["metadata"]["name"].as_str().expect("a name"), namespace.name);
            if document["kind"] != "ValidatingAdmissionPolicy" {
                continue;
            }
            document["metadata"] =
                json!({"name": name, "ownerReferences": [namespace.owner_reference().await]});
            let policy = serde_json::from_value(document).expect("a policy");
            policies.create(&PostParams::default(), &policy).await.expect("creating a policy");
            let checked = until("the policy's types are checked", async || {
                let status = policies.get(&name).await.expect("the policy").status?;
                status.observed_generation?;
                Some(status)
            })
            .await;
            let warnings = checked.type_checking.and_then(|checked| checked.expression_warnings);
            assert_eq!(warnings.unwrap_or_default(), [], "{name}");
        }
    })
    .await;
}

impl Namespace {
    /// Goes with the namespace.
    pub(crate) async fn owner_reference(&self) -> Value {
        let namespace = self.namespaces().get(&self.name).await.expect("the namespace");
        json!({"apiVersion": "v1", "kind": "Namespace", "name": self.name, "uid": namespace.metadata.uid})
    }
}
