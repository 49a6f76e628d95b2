//! `ActionPolicy` with the operator: what it does not start, and what it leaves alone. One of these
//! policies is the whole cluster's, and the operator is stopped meanwhile, so it runs alone.

use std::{
    panic::{AssertUnwindSafe, resume_unwind},
    time::Duration,
};

use futures::FutureExt;
use k8s_openapi::api::{apps::v1::Deployment, core::v1::Pod};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
};
use longshore::api::{ActionPolicy, DeploymentAction, Reason, action_policy::NAME};
use serde_json::{Value, json};

use crate::support::{
    action::Action,
    namespace::{Namespace, client, in_namespace, until},
    turns,
};

const OPERATOR: &str = "longshore-system";

async fn put(policies: &Api<ActionPolicy>, spec: Value) {
    let object = json!({
        "apiVersion": "longshore.dev/v1alpha1", "kind": "ActionPolicy",
        "metadata": {"name": NAME}, "spec": spec,
    });
    policies.patch(NAME, &PatchParams::apply("test"), &Patch::Apply(&object)).await.expect("a policy");
}

/// Whether the API server would take an action with this spec on top, and its words where not.
async fn would_create(namespace: &Namespace, action: Action) -> Result<(), String> {
    let object: DeploymentAction = serde_json::from_value(action.object("asked")).expect("an action");
    let parameters = PostParams { dry_run: true, ..PostParams::default() };
    match namespace.api().create(&parameters, &object).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) => Err(status.message),
        Err(other) => panic!("the API server did not answer: {other}"),
    }
}

async fn scale(replicas: u32) {
    let deployments: Api<Deployment> = Api::namespaced(client().await, OPERATOR);
    let patch = json!({"spec": {"replicas": replicas}});
    deployments.patch("longshore", &PatchParams::default(), &Patch::Merge(patch)).await.expect("scaling");
    let pods: Api<Pod> = Api::namespaced(client().await, OPERATOR);
    let labels = ListParams::default().labels("app.kubernetes.io/name=longshore");
    until("the operator is there, or gone", async || {
        let live = deployments.get("longshore").await.expect("the deployment").status.unwrap_or_default();
        let left = pods.list(&labels).await.expect("listing pods").items.len();
        let done = if replicas == 0 { left == 0 } else { live.ready_replicas.unwrap_or_default() > 0 };
        done.then_some(())
    })
    .await;
    // Helm refuses to change what another field manager has written.
    let mut live = deployments.get("longshore").await.expect("the deployment");
    live.managed_fields_mut().retain(|entry| entry.manager.as_deref() != Some("unknown"));
    let fields = json!({"metadata": {"managedFields": live.managed_fields()}});
    deployments.patch("longshore", &PatchParams::default(), &Patch::Merge(fields)).await.expect("disowning");
}

/// Puts the operator back and takes the cluster's policy away, whatever the test's end.
async fn alone(test: impl AsyncFnOnce(&Namespace, &Api<ActionPolicy>)) {
    let _alone = turns::alone().await;
    let cluster: Api<ActionPolicy> = Api::namespaced(client().await, OPERATOR);
    let outcome = AssertUnwindSafe(in_namespace(async |namespace| test(namespace, &cluster).await))
        .catch_unwind()
        .await;
    let _ = cluster.delete(NAME, &DeleteParams::default()).await;
    scale(1).await;
    if let Err(panic) = outcome {
        resume_unwind(panic);
    }
}

#[tokio::test]
async fn what_was_there_before_the_policies_is_not_started_under_them() {
    alone(async |namespace, cluster| {
        scale(0).await;
        let early = namespace.apply("early", Action::script("echo hello")).await;
        put(&namespace.api(), json!({"registries": ["registry.example.com/team"]})).await;
        put(cluster, json!({"maxRunDeadlineSeconds": 60})).await;
        scale(1).await;
        let refused = early.finished().await;
        refused.assert_failed(Reason::PolicyViolated, None).assert_says(&[
            "spec.image is ",
            &format!("ActionPolicy/default of namespace {} allows only what is below registry.example.com/team", namespace.name),
            "spec.runDeadlineSeconds is 3600 and spec.terminationGracePeriodSeconds is 30, 3630 together, and ActionPolicy/default of namespace longshore-system allows at most 60 for both",
        ]);
        assert_eq!(namespace.pods().await.len(), 0);

        // Looser policies start nothing by themselves, and let a new run through.
        cluster.delete(NAME, &DeleteParams::default()).await.unwrap();
        put(&namespace.api(), json!({})).await;
        // API server and operator need a moment to see them, each its own.
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(early.get().await.status.unwrap().run.unwrap().number, 1);
        let again = Patch::Merge(json!({"spec": {"runToken": "again"}}));
        let actions = namespace.api::<DeploymentAction>();
        actions.patch("early", &PatchParams::default(), &again).await.expect("a new run");
        early.until("the second run is there", |action| action.run().number == 2).await;
        early.finished().await.assert_succeeded();
    })
    .await;
}

#[tokio::test]
async fn the_cluster_s_policy_holds_in_every_namespace_at_once() {
    alone(async |namespace, cluster| {
        let hello = || Action::script("echo hello");
        put(cluster, json!({"digestsOnly": true})).await;
        let words = until("it is in force", async || would_create(namespace, hello()).await.err()).await;
        assert!(
            words.contains("ActionPolicy/default of namespace longshore-system allows digests only"),
            "{words}"
        );
        cluster.delete(NAME, &DeleteParams::default()).await.unwrap();
        until("it is gone", async || would_create(namespace, hello()).await.ok()).await;
    })
    .await;
}

#[tokio::test]
async fn a_script_that_runs_is_left_alone_by_a_policy_that_comes() {
    alone(async |namespace, _| {
        let running = namespace.apply("running", Action::script("echo begun; sleep 6; echo ended")).await;
        running.under_way().await;
        put(&namespace.api(), json!({"digestsOnly": true, "maxRunDeadlineSeconds": 1})).await;
        running.finished().await.assert_succeeded().assert_tail_has(&["ended\n"]);
    })
    .await;
}
