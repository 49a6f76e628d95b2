//! The log server goes away: everything else works, and namespaces still go.

use std::{os::unix::fs::PermissionsExt, time::Duration};

use k8s_openapi::{
    api::core::v1::Namespace as KubeNamespace, kube_aggregator::pkg::apis::apiregistration::v1::APIService,
};
use kube::{Api, Client, ResourceExt};
use longshore::api::LOG_API_SERVICE;

use super::{
    release::{NAMESPACE, changing_the_release},
    tools::{kubectl, output, run},
};
use crate::support::{
    action::Action,
    namespace::{Namespace, within},
};

/// The operator waits 10 s, and looks every 5 s.
const REMOVED: Duration = Duration::from_secs(30);

async fn available(client: &Client) -> Option<bool> {
    let services: Api<APIService> = Api::all(client.clone());
    let service = services.get_opt(LOG_API_SERVICE).await.expect("reading the APIService")?;
    let conditions = service.status.and_then(|status| status.conditions).unwrap_or_default();
    Some(conditions.iter().any(|one| one.type_ == "Available" && one.status == "True"))
}

fn replicas(count: u8) {
    let count = format!("--replicas={count}");
    kubectl(&["scale", "deployment/longshore-logs", "--namespace", NAMESPACE, &count]);
}

async fn is_gone(namespace: &Namespace) {
    let namespaces: Api<KubeNamespace> = namespace.namespaces();
    within(Duration::from_mins(1), "the namespace is gone", async || {
        namespaces.get_opt(&namespace.name).await.expect("reading a namespace").is_none().then_some(())
    })
    .await;
}

#[tokio::test]
async fn without_its_log_server_a_cluster_works_and_namespaces_go() {
    changing_the_release(async |release, namespace| {
        release.install(&["--set", "logApi.enabled=true"]);
        within(Duration::from_mins(1), "the log server is there", async || {
            (available(&namespace.client).await == Some(true)).then_some(())
        })
        .await;
        let doomed = namespace.sibling().await;
        replicas(0);
        // At once, while the API server still believes in the log server.
        doomed.remove().await;
        is_gone(&doomed).await;
        within(REMOVED, "the APIService is gone", async || {
            available(&namespace.client).await.is_none().then_some(())
        })
        .await;
        namespace.apply("works", Action::script("echo hi")).await.finished().await.assert_succeeded();

        replicas(1);
        within(Duration::from_mins(1), "the log server is back", async || {
            (available(&namespace.client).await == Some(true)).then_some(())
        })
        .await;

        // An installation that has no log server any more.
        release.install(&["--set", "logApi.enabled=false"]);
        within(REMOVED, "the APIService is gone", async || {
            available(&namespace.client).await.is_none().then_some(())
        })
        .await;
    })
    .await;
}

/// A volume for the release's archive: a folder of the node, which is this machine.
struct Volume;

impl Volume {
    const SET: &str =
        "logApi.enabled=true,archive.volume.size=1Gi,archive.volume.storageClass=longshore-test-archive";

    fn new() -> Self {
        let folder = std::path::PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("archive-volume");
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir(&folder).expect("a folder");
        // A folder of a node keeps its owner.
        std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o777)).expect("its mode");
        let volume = serde_json::json!({
            "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "longshore-test-archive"},
            "spec": {
                "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"],
                "storageClassName": "longshore-test-archive", "hostPath": {"path": folder, "type": "Directory"},
            },
        });
        run("kubectl", &["create", "--filename=-"], &volume.to_string());
        Self
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        // The claim outlives the release, and protects the volume.
        let gone = ["--ignore-not-found", "--wait=false"];
        let claim = ["delete", "pvc/longshore-archive", "--namespace", NAMESPACE];
        output("kubectl", &[&claim[..], &gone].concat(), "");
        output("kubectl", &[&["delete", "pv/longshore-test-archive"][..], &gone].concat(), "");
    }
}

/// Operator and log server share a pod. The log is read from the volume once the action's pod is gone.
#[tokio::test]
async fn with_a_volume_a_log_outlives_its_pod() {
    changing_the_release(async |release, namespace| {
        let _volume = Volume::new();
        release.install(&["--set", Volume::SET]);
        within(Duration::from_mins(1), "the log server is there", async || {
            (available(&namespace.client).await == Some(true)).then_some(())
        })
        .await;
        let gone = ["get", "deployment/longshore-logs", "--namespace", NAMESPACE];
        assert!(!output("kubectl", &gone, "").status.success(), "it has no pod of its own");

        let action = namespace.apply("kept", Action::script("seq 1000; echo end")).await;
        action.finished().await.assert_succeeded();
        let path = format!(
            "/apis/log.longshore.dev/v1alpha1/namespaces/{}/deploymentactions/kept/log",
            namespace.name
        );
        let live = kubectl(&["get", "--raw", &format!("{path}?timestamps=true")]);
        assert!(live.ends_with("Z end\n"), "{live}");
        let pod = action.pod().await.name_any();
        kubectl(&["delete", "pod", &pod, "--namespace", &namespace.name, "--wait=true"]);
        assert_eq!(kubectl(&["get", "--raw", &format!("{path}?timestamps=true")]), live);
        assert_eq!(kubectl(&["get", "--raw", &format!("{path}?run=1&tailLines=2")]), "1000\nend\n");
        // A new pod of the operator has them too.
        kubectl(&["rollout", "restart", "deployment/longshore", "--namespace", NAMESPACE]);
        kubectl(&["rollout", "status", "deployment/longshore", "--namespace", NAMESPACE, "--timeout=2m"]);
        within(Duration::from_mins(1), "the log is read again", async || {
            let read = output("kubectl", &["get", "--raw", &format!("{path}?tailLines=1")], "");
            (String::from_utf8_lossy(&read.stdout) == "end\n").then_some(())
        })
        .await;
    })
    .await;
}

/// The Secret's content is the server's. A release that is applied again leaves it alone.
#[tokio::test]
async fn an_upgrade_leaves_the_certificate_alone() {
    changing_the_release(async |release, namespace| {
        let certificate = || {
            let content = "--output=jsonpath={.data.tls\\.crt}";
            kubectl(&["get", "secret/longshore-logs", "--namespace", NAMESPACE, content])
        };
        release.install(&["--set", "logApi.enabled=true"]);
        within(Duration::from_mins(1), "the log server is there", async || {
            (available(&namespace.client).await == Some(true)).then_some(())
        })
        .await;
        let before = certificate();
        assert!(!before.is_empty());
        release.install(&["--set", "logApi.enabled=true,logApi.maxRequests=10"]);
        assert_eq!(certificate(), before);
        // As a tool for GitOps applies it. All the rest would then be that tool's, and helm could not change it.
        let manifest = super::tools::helm(&["get", "manifest", "longshore", "--namespace", NAMESPACE]);
        let is_secret = |part: &&str| part.contains("\nkind: Secret\n") && part.contains("longshore-logs");
        let secret = manifest.split("\n---\n").find(is_secret).expect("the release has the Secret");
        let arguments =
            ["apply", "--server-side", "--force-conflicts", "--field-manager=gitops", "--filename=-"];
        run("kubectl", &arguments, secret);
        assert_eq!(certificate(), before);
    })
    .await;
}
