//! The policies on the operator's own user, tried on a user of the test.

use k8s_openapi::api::{
    admissionregistration::v1::{ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding},
    coordination::v1::Lease,
    core::v1::{Pod, Secret},
};
use k8s_openapi::kube_aggregator::pkg::apis::apiregistration::v1::APIService;
use kube::{
    Api, Resource,
    api::{DeleteParams, Patch, PatchParams, PostParams},
};
use longshore::api::{DeploymentAction, policy};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::person::{Person, refused, rule, says};
use crate::support::namespace::{Namespace, in_namespace, until};

/// In a namespace where pods may be anything: somebody with the operator's rights and more, held by
/// the operator's policies.
async fn with_operator(test: impl AsyncFnOnce(&Namespace, &Person)) {
    in_namespace(async |namespace: &Namespace| {
        let open = json!({"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "privileged"}}});
        namespace
            .namespaces()
            .patch(&namespace.name, &PatchParams::default(), &Patch::Merge(open))
            .await
            .expect("opening the namespace");
        let user = format!("system:serviceaccount:{}:operator", namespace.name);
        let rights = [
            rule("", "pods", "*"),
            rule("", "secrets", "*"),
            rule("coordination.k8s.io", "leases", "*"),
            rule("longshore.dev", "deploymentactions", "*"),
        ];
        let everywhere = [rule("apiregistration.k8s.io", "apiservices", "*")];
        let person = Person::new(namespace, &user, &rights).await;
        person.may_everywhere(namespace, &everywhere).await;
        hold(namespace, &user).await;
        let spec = json!({"image": "longshore.invalid/a:1", "command": ["a"], "runPolicy": "Manual"});
        namespace.put::<DeploymentAction>(json!({"metadata": {"name": "kept"}, "spec": spec})).await;
        let pods: Api<Pod> = Api::namespaced(person.client.clone(), &namespace.name);
        let secrets: Api<Secret> = Api::namespaced(person.client.clone(), &namespace.name);
        let leases: Api<Lease> = Api::namespaced(person.client.clone(), &namespace.name);
        let actions: Api<DeploymentAction> = Api::namespaced(person.client.clone(), &namespace.name);
        let dry_run = DeleteParams { dry_run: true, ..DeleteParams::default() };
        // Each comes into force by itself.
        until("the policies are in force", async || {
            let answers = [
                would_create(&pods, &changed(&pod(), "/metadata/labels", json!({}))).await,
                would_create(&secrets, &changed(&secret(), "/type", json!("Opaque"))).await,
                would_create(&leases, &changed(&lease(), "/metadata/name", json!("other"))).await,
                refused(actions.delete("kept", &dry_run).await).map(|_| ()),
            ];
            let held =
                |answer: Result<(), String>| answer.is_err_and(|words| words.contains("longshore-operator"));
            answers.into_iter().all(held).then_some(())
        })
        .await;
        test(namespace, &person).await;
    })
    .await;
}

/// The policies on `user`, under names of their own; they go with the namespace.
async fn hold(namespace: &Namespace, user: &str) {
    let owner = namespace.owner_reference().await;
    let policies: Api<ValidatingAdmissionPolicy> = Api::all(namespace.client.clone());
    let bindings: Api<ValidatingAdmissionPolicyBinding> = Api::all(namespace.client.clone());
    for (name, spec) in [
        (policy::OPERATOR_PODS, policy::operator_pods_policy(user)),
        (policy::OPERATOR_SECRETS, policy::operator_secrets_policy(user, &namespace.name)),
        (policy::OPERATOR_LEASES, policy::operator_leases_policy(user, &namespace.name)),
        (policy::OPERATOR_ACTIONS, policy::operator_actions_policy(user)),
        (policy::LOG_SERVER, policy::log_server_policy(user, &namespace.name)),
    ] {
        let name = format!("{name}-{}", namespace.name);
        let metadata = json!({"name": name, "ownerReferences": [owner]});
        let object = json!({"metadata": metadata, "spec": spec});
        let object = serde_json::from_value(object).expect("a policy");
        policies.create(&PostParams::default(), &object).await.expect("creating a policy");
        let object = json!({"metadata": metadata, "spec": policy::binding(&name)});
        let object = serde_json::from_value(object).expect("a binding");
        bindings.create(&PostParams::default(), &object).await.expect("creating a binding");
    }
}

fn owner() -> Value {
    json!([{
        "apiVersion": "longshore.dev/v1alpha1", "kind": "DeploymentAction", "name": "a",
        "uid": "5f3c9a1b-1234-4321-8765-123456789abc", "controller": true, "blockOwnerDeletion": true,
    }])
}

/// A pod as the operator creates it, as far as the policy looks; the gate keeps it from running.
fn pod() -> Value {
    json!({
        "metadata": {"name": "p", "labels": {"app.kubernetes.io/managed-by": "longshore"}, "ownerReferences": owner()},
        "spec": {
            "schedulingGates": [{"name": "longshore.dev/tombstone"}],
            "activeDeadlineSeconds": 100,
            "initContainers": [{"name": "i", "image": "a:1"}],
            "containers": [{"name": "c", "image": "a:1", "securityContext": {"privileged": false}}],
            "volumes": [{"name": "v", "emptyDir": {}}],
        },
    })
}

fn secret() -> Value {
    json!({"metadata": {"name": "s", "ownerReferences": owner()}, "type": "longshore.dev/outputs", "immutable": true, "stringData": {"a": "b"}})
}

fn lease() -> Value {
    json!({
        "metadata": {"name": "longshore-lock-prod", "labels": {"app.kubernetes.io/managed-by": "longshore"}},
        "spec": {"holderIdentity": "a/b-1"},
    })
}

fn changed(object: &Value, pointer: &str, value: Value) -> Value {
    let mut object = object.clone();
    let (parent, field) = pointer.rsplit_once('/').expect("a pointer");
    object.pointer_mut(parent).expect("a parent")[field] = value;
    object
}

async fn would_create<K>(api: &Api<K>, object: &Value) -> Result<(), String>
where
    K: Resource + Clone + std::fmt::Debug + serde::Serialize + DeserializeOwned,
{
    let object = serde_json::from_value(object.clone()).expect("an object");
    let parameters = PostParams { dry_run: true, ..PostParams::default() };
    refused(api.create(&parameters, &object).await).map(|_| ())
}

#[tokio::test]
async fn it_creates_pods_of_actions_inside_their_sandbox() {
    with_operator(async |namespace, operator| {
        let pods: Api<Pod> = Api::namespaced(operator.client.clone(), &namespace.name);
        would_create(&pods, &pod()).await.expect("a pod of an action");
        let job =
            json!([{"apiVersion": "batch/v1", "kind": "Job", "name": "a", "uid": "x", "controller": true}]);
        for (pointer, value, words) in [
            ("/metadata/labels", json!({}), "app.kubernetes.io/managed-by=longshore"),
            (
                "/metadata/labels",
                json!({"app.kubernetes.io/managed-by": "Helm"}),
                "app.kubernetes.io/managed-by=longshore",
            ),
            ("/metadata/ownerReferences", json!([]), "DeploymentAction controls"),
            ("/metadata/ownerReferences", job, "DeploymentAction controls"),
            ("/metadata/ownerReferences/0/controller", json!(false), "DeploymentAction controls"),
            ("/metadata/ownerReferences/0/apiVersion", json!("example.com/v1"), "DeploymentAction controls"),
            ("/spec/volumes", json!([{"name": "v", "hostPath": {"path": "/"}}]), "hostPath"),
            ("/spec/hostNetwork", json!(true), "hostNetwork"),
            ("/spec/hostPID", json!(true), "hostPID"),
            ("/spec/hostIPC", json!(true), "hostIPC"),
            ("/spec/containers/0/securityContext", json!({"privileged": true}), "privileged"),
            ("/spec/initContainers/0/securityContext", json!({"privileged": true}), "privileged"),
            ("/spec/nodeName", json!("node"), "scheduler"),
            (
                "/spec/containers/0/securityContext",
                json!({"capabilities": {"add": ["CHOWN", "SYS_ADMIN"]}}),
                "capabilities",
            ),
            (
                "/spec/initContainers/0/securityContext",
                json!({"capabilities": {"add": ["ALL"]}}),
                "capabilities",
            ),
            ("/spec/securityContext", json!({"seccompProfile": {"type": "Unconfined"}}), "Unconfined"),
            (
                "/spec/containers/0/securityContext",
                json!({"appArmorProfile": {"type": "Unconfined"}}),
                "Unconfined",
            ),
            ("/spec/containers/0/ports", json!([{"containerPort": 1, "hostPort": 1}]), "hostPort"),
        ] {
            let mut object = changed(&pod(), pointer, value);
            if pointer == "/spec/nodeName" {
                // The API server itself refuses both.
                object["spec"].as_object_mut().expect("fields").remove("schedulingGates");
            }
            says(would_create(&pods, &object).await, &["longshore-operator", words]);
        }
        let root = changed(&pod(), "/spec/hostUsers", json!(false));
        let capabilities = json!({"capabilities": {"add": ["SYS_ADMIN"]}});
        let root = changed(&root, "/spec/containers/0/securityContext", capabilities);
        would_create(&pods, &root).await.expect("root in a user namespace");
    })
    .await;
}

#[tokio::test]
async fn it_changes_no_more_of_its_pods_than_it_must() {
    with_operator(async |namespace, operator| {
        namespace.put::<Pod>(changed(&pod(), "/metadata/ownerReferences", json!([]))).await;
        let pods: Api<Pod> = Api::namespaced(operator.client.clone(), &namespace.name);
        let patch = async |patch: Value| {
            refused(pods.patch("p", &PatchParams::default(), &Patch::Strategic(patch)).await)
        };
        for allowed in [
            json!({"metadata": {"annotations": {"longshore.dev/stop-reason": "Cancelled"}}}),
            json!({"metadata": {"finalizers": ["longshore.dev/collect"]}}),
            json!({"metadata": {"$deleteFromPrimitiveList/finalizers": ["longshore.dev/collect"]}}),
            json!({"spec": {"activeDeadlineSeconds": 1}}),
        ] {
            patch(allowed.clone()).await.unwrap_or_else(|words| panic!("{allowed}: {words}"));
        }
        // The API server lets them be added to.
        let spec = pods.get("p").await.expect("the pod").spec.expect("a spec");
        let mut tolerations = serde_json::to_value(spec.tolerations.unwrap_or_default()).expect("JSON");
        tolerations.as_array_mut().expect("a list").push(json!({"operator": "Exists"}));
        for (refused, words) in [
            (json!({"metadata": {"labels": {"app": "shop"}}}), "no labels"),
            (json!({"metadata": {"labels": {"app.kubernetes.io/managed-by": null}}}), "no labels"),
            (json!({"metadata": {"ownerReferences": owner()}}), "no owner"),
            (json!({"spec": {"containers": [{"name": "c", "image": "b:1"}]}}), "but activeDeadlineSeconds"),
            (json!({"spec": {"tolerations": tolerations}}), "but activeDeadlineSeconds"),
            (json!({"spec": {"schedulingGates": null}}), "but activeDeadlineSeconds"),
            (json!({"spec": {"nodeSelector": {"a": "b"}}}), "but activeDeadlineSeconds"),
        ] {
            says(patch(refused).await, &["longshore-operator", words]);
        }
        refused(pods.delete("p", &DeleteParams::default()).await).expect("deleting its own pod");
    })
    .await;
}

#[tokio::test]
async fn it_sets_a_deadline_where_there_is_none() {
    with_operator(async |namespace, operator| {
        let mut object = changed(&pod(), "/metadata/ownerReferences", json!([]));
        object["spec"].as_object_mut().expect("fields").remove("activeDeadlineSeconds");
        namespace.put::<Pod>(object).await;
        let pods: Api<Pod> = Api::namespaced(operator.client.clone(), &namespace.name);
        let patch = Patch::Strategic(json!({"spec": {"activeDeadlineSeconds": 1}}));
        refused(pods.patch("p", &PatchParams::default(), &patch).await).expect("setting a deadline");
    })
    .await;
}

#[tokio::test]
async fn it_lets_go_of_a_pod_that_lost_its_label() {
    with_operator(async |namespace, operator| {
        let mut object = pod();
        object["metadata"]["labels"] = json!({});
        object["metadata"]["finalizers"] = json!(["longshore.dev/collect"]);
        // An owner that is not there has the pod collected: then it waits for its finalizer.
        namespace.put::<Pod>(object).await;
        let pods: Api<Pod> = Api::namespaced(operator.client.clone(), &namespace.name);
        let patch = json!({"metadata": {"$deleteFromPrimitiveList/finalizers": ["longshore.dev/collect"]}});
        refused(pods.patch("p", &PatchParams::default(), &Patch::Strategic(patch)).await)
            .expect("letting go of it");
    })
    .await;
}

#[tokio::test]
async fn it_touches_no_pod_of_others() {
    with_operator(async |namespace, operator| {
        let mut object = changed(&pod(), "/metadata/ownerReferences", json!([]));
        object["metadata"]["labels"] = json!({"app.kubernetes.io/managed-by": "Helm"});
        namespace.put::<Pod>(object).await;
        let pods: Api<Pod> = Api::namespaced(operator.client.clone(), &namespace.name);
        for patch in [
            json!({"metadata": {"annotations": {"a": "b"}}}),
            json!({"metadata": {"labels": {"app.kubernetes.io/managed-by": "longshore"}}}),
            json!({"spec": {"activeDeadlineSeconds": 1}}),
        ] {
            let answer = pods.patch("p", &PatchParams::default(), &Patch::Strategic(patch)).await;
            says(refused(answer), &["longshore-operator", "app.kubernetes.io/managed-by=longshore"]);
        }
        let answer = refused(pods.delete("p", &DeleteParams::default()).await).map(|_| ());
        says(answer, &["longshore-operator", "deletes only pods"]);
    })
    .await;
}

#[tokio::test]
async fn it_creates_no_secrets_but_outputs() {
    with_operator(async |namespace, operator| {
        let secrets: Api<Secret> = Api::namespaced(operator.client.clone(), &namespace.name);
        would_create(&secrets, &secret()).await.expect("outputs of an action");
        for (pointer, value, words) in [
            ("/type", json!("Opaque"), "longshore.dev/outputs"),
            ("/type", json!("kubernetes.io/service-account-token"), "longshore.dev/outputs"),
            ("/immutable", json!(false), "immutable"),
            ("/immutable", json!(null), "immutable"),
            ("/metadata/ownerReferences", json!([]), "DeploymentAction controls"),
            ("/metadata/ownerReferences/0/kind", json!("Other"), "DeploymentAction controls"),
            ("/metadata/ownerReferences/0/controller", json!(false), "DeploymentAction controls"),
        ] {
            let mut object = changed(&secret(), pointer, value);
            if object["type"] == "kubernetes.io/service-account-token" {
                object["metadata"]["annotations"] = json!({"kubernetes.io/service-account.name": "default"});
            }
            says(would_create(&secrets, &object).await, &["longshore-operator", words]);
        }
    })
    .await;
}

#[tokio::test]
async fn it_creates_the_secret_with_its_keys_in_its_own_namespace_alone() {
    with_operator(async |namespace, operator| {
        let secrets: Api<Secret> = Api::namespaced(operator.client.clone(), &namespace.name);
        let keys =
            json!({"metadata": {"name": "longshore-outputs-keys"}, "type": "longshore.dev/outputs-keys"});
        // The test's own namespace is the operator's.
        would_create(&secrets, &keys).await.expect("its keys");
        for (pointer, value) in [
            ("/metadata/name", json!("other")),
            ("/type", json!("Opaque")),
            ("/type", json!("longshore.dev/outputs")),
        ] {
            let answer = would_create(&secrets, &changed(&keys, pointer, value)).await;
            says(answer, &["longshore-operator-secrets"]);
        }
    })
    .await;
}

#[tokio::test]
async fn it_changes_and_deletes_no_secrets_even_with_the_right_to() {
    with_operator(async |namespace, operator| {
        let keys =
            json!({"metadata": {"name": "longshore-outputs-keys"}, "type": "longshore.dev/outputs-keys"});
        for object in [keys, changed(&secret(), "/metadata/ownerReferences", json!([]))] {
            let name = object["metadata"]["name"].as_str().expect("a name").to_owned();
            namespace.put::<Secret>(object).await;
            let secrets: Api<Secret> = Api::namespaced(operator.client.clone(), &namespace.name);
            let patch = Patch::Merge(json!({"metadata": {"labels": {"a": "b"}}}));
            let answer = refused(secrets.patch(&name, &PatchParams::default(), &patch).await);
            says(answer, &["longshore-operator-secrets", "changes and deletes no Secrets"]);
            let answer = refused(secrets.delete(&name, &DeleteParams::default()).await).map(|_| ());
            says(answer, &["longshore-operator-secrets", "changes and deletes no Secrets"]);
        }
    })
    .await;
}

#[tokio::test]
async fn it_writes_no_leases_but_its_own_and_those_of_locks() {
    with_operator(async |namespace, operator| {
        let leases: Api<Lease> = Api::namespaced(operator.client.clone(), &namespace.name);
        would_create(&leases, &lease()).await.expect("a lock's");
        // The test's own namespace is the operator's.
        let own = json!({"metadata": {"name": "longshore"}, "spec": {"holderIdentity": "a"}});
        would_create(&leases, &own).await.expect("its own");
        for (pointer, value) in [
            ("/metadata/name", json!("longshore-lock")),
            ("/metadata/name", json!("kube-scheduler")),
            ("/metadata/labels", json!({})),
        ] {
            let answer = would_create(&leases, &changed(&lease(), pointer, value)).await;
            says(answer, &["longshore-operator-leases", "only the Leases of locks"]);
        }
        let stranger = changed(&lease(), "/metadata/labels", json!({}));
        namespace.put::<Lease>(stranger).await;
        let patch = Patch::Merge(json!({"spec": {"holderIdentity": "x"}}));
        let label =
            Patch::Merge(json!({"metadata": {"labels": {"app.kubernetes.io/managed-by": "longshore"}}}));
        for patch in [patch, label] {
            let answer = leases.patch("longshore-lock-prod", &PatchParams::default(), &patch).await;
            says(refused(answer), &["longshore-operator-leases"]);
        }
        let answer =
            refused(leases.delete("longshore-lock-prod", &DeleteParams::default()).await).map(|_| ());
        says(answer, &["longshore-operator-leases"]);
    })
    .await;
}

#[tokio::test]
async fn it_deletes_no_actions_but_those_that_ask_for_it() {
    with_operator(async |namespace, operator| {
        let actions: Api<DeploymentAction> = Api::namespaced(operator.client.clone(), &namespace.name);
        let delete = async |name: &str| {
            let parameters = DeleteParams { dry_run: true, ..DeleteParams::default() };
            refused(actions.delete(name, &parameters).await).map(|_| ())
        };
        let spec = json!({"image": "longshore.invalid/a:1", "command": ["a"], "runPolicy": "Manual", "ttlSecondsAfterFinished": 1});
        let put = async |metadata: Value, spec: &Value| {
            namespace.put::<DeploymentAction>(json!({"metadata": metadata, "spec": spec})).await;
        };
        let bare = changed(&json!({"spec": spec}), "/spec/ttlSecondsAfterFinished", Value::Null)["spec"].clone();
        put(json!({"name": "fixed"}), &bare).await;
        put(json!({"name": "stays-1", "generateName": "stays-"}), &bare).await;
        put(json!({"name": "unfinished-1", "generateName": "unfinished-"}), &spec).await;
        put(json!({"name": "goes-1", "generateName": "goes-"}), &spec).await;
        let finished = json!({"status": {"conditions": [{
            "type": "Finished", "status": "True", "reason": "Succeeded", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z",
        }]}});
        let all: Api<DeploymentAction> = namespace.api();
        for name in ["fixed", "stays-1"] {
            says(delete(name).await, &["longshore-operator-actions", "generateName"]);
        }
        says(delete("unfinished-1").await, &["longshore-operator-actions", "has ended"]);
        // The operator that runs here takes what it did not write for lost, and writes its own.
        until("one that asks for it may be deleted", async || {
            all.patch_status("goes-1", &PatchParams::default(), &Patch::Merge(&finished)).await.ok()?;
            delete("goes-1").await.ok()
        })
        .await;
    })
    .await;
}

/// An `APIService` takes over a whole API group.
#[tokio::test]
async fn the_log_server_writes_its_own_api_service_and_no_other() {
    with_operator(async |namespace, person| {
        let services: Api<APIService> = Api::all(person.client.clone());
        let service = |group: &str, namespace: &str| {
            json!({
                "metadata": {"name": format!("v1alpha1.{group}")},
                "spec": {
                    "group": group, "version": "v1alpha1", "groupPriorityMinimum": 100, "versionPriority": 10,
                    "service": {"name": "logs", "namespace": namespace, "port": 443},
                },
            })
        };
        until("the policy is in force", async || {
            would_create(&services, &service("example.longshore.dev", &namespace.name))
                .await
                .is_err()
                .then_some(())
        })
        .await;
        let words = ["writes only the APIService"];
        says(would_create(&services, &service("metrics.k8s.io", &namespace.name)).await, &words);
        says(would_create(&services, &service("log.longshore.dev", "kube-system")).await, &words);
        // The one of the suite's release has this name already.
        match would_create(&services, &service("log.longshore.dev", &namespace.name)).await {
            Ok(()) => {}
            Err(words) => assert!(words.contains("already exists"), "{words}"),
        }
    })
    .await;
}
