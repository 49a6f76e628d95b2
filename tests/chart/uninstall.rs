//! `helm uninstall` while scripts run: nothing is stuck, and who comes back finds what is still there.

use std::time::Duration;

use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{Namespace as KubeNamespace, Pod},
};
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, ListParams},
};
use longshore::api::{DeploymentAction, FINALIZER_COLLECT, LABEL_MANAGED_BY, MANAGED_BY, Reason};

use super::{
    release::{GATED, NAME, NAMESPACE, changing_the_release, operators},
    tools::{helm, kubectl},
};
use crate::support::{
    action::{Action, Done},
    namespace::{Namespace, until, within},
};

/// The grace of a pod of an action is 30 s for its script and 15 s for the runner.
const GONE: Duration = Duration::from_secs(75);

async fn uninstall(client: &Client) {
    helm(&["uninstall", NAME, "--namespace", NAMESPACE, "--wait", "--timeout", "3m"]);
    assert!(operators(client).await.is_empty(), "an operator is still there");
    let labels = ListParams::default().labels(&format!("{LABEL_MANAGED_BY}={MANAGED_BY}"));
    let pods = Api::<Pod>::all(client.clone()).list(&labels).await.expect("listing pods");
    let held: Vec<_> =
        pods.iter().filter(|pod| pod.finalizers().iter().any(|one| one == FINALIZER_COLLECT)).collect();
    assert!(held.is_empty(), "{held:?}");
    // Neither the release nor its hooks leave anything: by label, and by name where labels fail.
    let kinds = "deployments,services,pods,jobs,serviceaccounts,roles,rolebindings,clusterroles,clusterrolebindings,\
        validatingadmissionpolicies,validatingadmissionpolicybindings,networkpolicies";
    let of_release = format!("app.kubernetes.io/instance={NAME}");
    let left =
        kubectl(&["get", kinds, "--namespace", NAMESPACE, "--selector", &of_release, "--output", "name"]);
    assert_eq!(left, "");
    // A dead APIService keeps every namespace from being deleted.
    assert!(!kubectl(&["get", "apiservices", "--output", "name"]).contains("log.longshore.dev"));
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), NAMESPACE);
    assert!(deployments.get_opt(NAME).await.expect("reading").is_none());
}

async fn is_gone(namespace: &Namespace) {
    let namespaces: Api<KubeNamespace> = namespace.namespaces();
    within(GONE, "the namespace is gone", async || {
        namespaces.get_opt(&namespace.name).await.expect("reading a namespace").is_none().then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_uninstall_leaves_nothing_stuck_and_a_new_operator_takes_up_what_is_there() {
    changing_the_release(async |release, namespace| {
        let doomed = namespace.sibling().await;
        let through = namespace.apply("through", Action::script(GATED)).await;
        let meanwhile = namespace.apply("meanwhile", Action::script(GATED)).await;
        let deleted = namespace.apply("deleted", Action::script(GATED)).await;
        let with_namespace = doomed.apply("doomed", Action::script(GATED)).await;
        let through_pod = through.under_way().await;
        let meanwhile_pod = meanwhile.under_way().await;
        let deleted_pod = deleted.under_way().await;
        with_namespace.under_way().await;
        let pods: Api<Pod> = namespace.api();

        uninstall(&namespace.client).await;
        // The scripts go on, and nobody writes what becomes of them.
        doomed.remove().await;
        meanwhile.open(&meanwhile_pod);
        until("its pod has ended", async || {
            let status = pods.get(&meanwhile_pod.name_any()).await.expect("the pod stays").status?;
            (status.phase.as_deref() == Some("Succeeded")).then_some(())
        })
        .await;
        pods.delete(&deleted_pod.name_any(), &DeleteParams::default().grace_period(1))
            .await
            .expect("deleting a pod");
        within(GONE, "the pod is gone", async || {
            pods.get_opt(&deleted_pod.name_any()).await.expect("reading a pod").is_none().then_some(())
        })
        .await;
        is_gone(&doomed).await;
        for action in [&through, &meanwhile, &deleted] {
            let seen = Done::of(action.get().await);
            assert!(!seen.is_finished(), "{}: {}", action.name, seen.message());
        }

        release.install(&[]);
        meanwhile.assert_ran_once(&meanwhile_pod).await;
        through.open(&through_pod);
        through.assert_ran_once(&through_pod).await;
        let lost = deleted.finished().await;
        assert_eq!(lost.reason(), Some(Reason::Unknown), "{}", lost.message());
        assert_eq!((lost.run().number, lost.run().attempt), (1, 1));
    })
    .await;
}

#[tokio::test]
async fn an_uninstall_that_keeps_nothing_leaves_nothing_stuck() {
    changing_the_release(async |release, namespace| {
        let actions: Api<DeploymentAction> = Api::all(namespace.client.clone());
        if std::env::var("LONGSHORE_CLUSTER").as_deref() == Ok("current") {
            let all = actions.list(&ListParams::default()).await.expect("listing actions");
            assert!(
                all.items.is_empty(),
                "this test removes every action in the cluster, and {} are not its own: delete them, or run \
                 the tests on a cluster of `make cluster-up`",
                all.items.len()
            );
        }
        release.install(&["--set", "crds.keep=false"]);
        let running = namespace.apply("running", Action::script(GATED)).await;
        running.under_way().await;
        namespace.apply("ended", Action::script("echo ended")).await.finished().await.assert_succeeded();

        uninstall(&namespace.client).await;
        until("the definition is gone", async || {
            let left = kubectl(&["get", "customresourcedefinitions", "--output", "name"]);
            (!left.contains("longshore.dev")).then_some(())
        })
        .await;
        // Their actions own them.
        within(GONE, "the pods are gone", async || namespace.pods().await.is_empty().then_some(())).await;
    })
    .await;
}
