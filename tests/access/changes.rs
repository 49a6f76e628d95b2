//! Changes of an action that names what others may not use: what they may do to it all the same.

use kube::api::{DeleteParams, Patch, PatchParams, PostParams, PropagationPolicy};
use longshore::api::{ANNOTATION_CANCEL, ANNOTATION_RERUN, DeploymentAction};
use serde_json::{Value, json};

use super::{
    person::{Actions, Person, action, actions, on, refused, rule, says},
    policies::in_force,
};
use crate::support::namespace::{Namespace, in_namespace, until};

/// An action of somebody who may name a Secret.
fn theirs() -> Value {
    action("theirs", &json!({"serviceAccountName": "deployer", "imagePullSecrets": [{"name": "db"}]}))
}

/// In a namespace with such an action: a stranger to what it names, who may do all with actions.
async fn with_stranger(test: impl AsyncFnOnce(&Namespace, &Actions)) {
    in_namespace(async |namespace: &Namespace| {
        in_force(namespace).await;
        let rules = [
            rule("longshore.dev", "deploymentactions", "*"),
            rule("longshore.dev", "deploymentactions/status", "*"),
        ];
        let stranger = actions(&Person::new(namespace, "somebody", &rules).await, &namespace.name);
        stranger.must_create(&json!({})).await;
        namespace.put::<DeploymentAction>(theirs()).await;
        test(namespace, &stranger).await;
    })
    .await;
}

#[tokio::test]
async fn what_runs_is_changed_only_by_who_may_use_what_it_names() {
    with_stranger(async |namespace, stranger| {
        let changes = [
            json!({"spec": {"script": {"inline": "cat /secrets"}}}),
            json!({"spec": {"runToken": "again"}}),
            json!({"spec": {"image": "registry.example.com/mine:1"}}),
            json!({"metadata": {"annotations": {"longshore.dev/rerun": "again"}}}),
        ];
        for change in &changes {
            says(
                stranger.patch("theirs", change).await,
                &["longshore-use", "somebody", &namespace.name, "\"use\" serviceaccounts/deployer"],
            );
        }
        let rules = [
            rule("longshore.dev", "deploymentactions", "*"),
            on("secrets", "use", &["db"]),
            on("serviceaccounts", "use", &["deployer"]),
        ];
        let owner = actions(&Person::new(namespace, "owner", &rules).await, &namespace.name);
        for change in &changes {
            owner.must_patch("theirs", change).await;
        }
        // Taking the request back starts nothing.
        let back = json!({"metadata": {"annotations": {"longshore.dev/rerun": null}}});
        stranger.patch("theirs", &back).await.expect("removing an annotation");
    })
    .await;
}

#[tokio::test]
async fn who_takes_the_names_away_needs_none_of_them() {
    with_stranger(async |_, stranger| {
        let less = json!({"spec": {"serviceAccountName": null}});
        says(stranger.patch("theirs", &less).await, &["\"use\" secrets/db"]);
        let less = json!({"spec": {"serviceAccountName": null, "imagePullSecrets": null}});
        stranger.patch("theirs", &less).await.expect("an action that names nothing");
    })
    .await;
}

#[tokio::test]
async fn metadata_is_not_judged() {
    with_stranger(async |_, stranger| {
        for metadata in [
            json!({"labels": {"argocd.argoproj.io/instance": "shop"}}),
            json!({"annotations": {"argocd.argoproj.io/tracking-id": "x", "longshore.dev/cancel": "x-1"}}),
            json!({"finalizers": ["example.com/a", "example.com/b"]}),
            json!({"finalizers": ["example.com/a"]}),
            json!({"finalizers": null}),
        ] {
            stranger.patch("theirs", &json!({"metadata": metadata})).await.expect("a change of metadata");
        }
    })
    .await;
}

#[tokio::test]
async fn the_status_is_written_by_who_may_create_pods_and_nobody_else() {
    with_stranger(async |namespace, stranger| {
        // It says which image is started next: who writes it would choose what reads the Secret.
        let image = json!({"requested": "a:1", "resolved": "registry.example.com/evil:1", "runAsUser": 0});
        let status = Patch::Merge(json!({"status": {"phase": "Testing", "image": image}}));
        let patched = stranger.0.patch_status("theirs", &PatchParams::default(), &status).await;
        says(
            refused(patched),
            &[
                "longshore-use",
                "somebody",
                &namespace.name,
                "spec.runToken",
                ANNOTATION_RERUN,
                ANNOTATION_CANCEL,
            ],
        );
        // Where an operator is deployed, it may write the status in between.
        let words = until("writing the status is refused", async || {
            let live = stranger.0.get("theirs").await.expect("the action");
            let replaced = stranger.0.replace_status("theirs", &PostParams::default(), &live).await;
            Some(refused(replaced).expect_err("a refusal"))
                .filter(|words| !words.contains("has been modified"))
        })
        .await;
        says(Err::<(), _>(words), &["longshore-use", "somebody"]);
        let rules = [rule("longshore.dev", "deploymentactions/status", "*"), rule("", "pods", "create")];
        let free = actions(&Person::new(namespace, "free", &rules).await, &namespace.name);
        let harmless = Patch::Merge(json!({"status": {"phase": "Pending"}}));
        let patched = free.0.patch_status("theirs", &PatchParams::default(), &harmless).await;
        refused(patched).expect("a status by who may create pods");
    })
    .await;
}

#[tokio::test]
async fn the_same_applied_by_another_is_no_change() {
    with_stranger(async |_, stranger| {
        let mut same = theirs();
        same["metadata"]["labels"] = json!({"app.kubernetes.io/instance": "shop"});
        let parameters = PatchParams::apply("argocd-controller").force();
        refused(stranger.0.patch("theirs", &parameters, &Patch::Apply(&same)).await)
            .expect("the same applied");
        // Where an operator is deployed, it may write the status in between.
        until("the same is put", async || {
            let live = stranger.0.get("theirs").await.expect("the action");
            match refused(stranger.0.replace("theirs", &PostParams::default(), &live).await) {
                Ok(_) => Some(()),
                Err(words) if words.contains("has been modified") => None,
                Err(words) => panic!("{words}"),
            }
        })
        .await;
        same["spec"]["script"]["inline"] = json!("cat");
        let other = refused(stranger.0.patch("theirs", &parameters, &Patch::Apply(&same)).await);
        says(other, &["longshore-use", "somebody"]);
    })
    .await;
}

#[tokio::test]
async fn it_is_deleted_in_every_way() {
    with_stranger(async |namespace, stranger| {
        for policy in
            [PropagationPolicy::Background, PropagationPolicy::Foreground, PropagationPolicy::Orphan]
        {
            let shown = format!("{policy:?}");
            let parameters = DeleteParams { propagation_policy: Some(policy), ..DeleteParams::default() };
            refused(stranger.0.delete("theirs", &parameters).await).expect("deleting");
            // The garbage collector takes its finalizer off.
            until(&format!("the action is gone ({shown})"), async || {
                stranger.0.get_opt("theirs").await.expect("reading").is_none().then_some(())
            })
            .await;
            namespace.put::<DeploymentAction>(theirs()).await;
        }
    })
    .await;
}
