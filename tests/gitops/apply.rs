//! Server-side apply, and applying as somebody with few rights, as Flux and Argo CD do both.

use serde_json::json;

use super::tools::repository;
use crate::support::{
    action::{Action, from_secret},
    namespace::in_namespace,
    rights::Subject,
};

const WAIT: [&str; 4] = ["wait", "deploymentaction/deploy", "--for=condition=Finished", "--timeout=60s"];

#[tokio::test]
async fn from_client_side_to_server_side_with_another_kind_of_script() {
    in_namespace(async |namespace| {
        namespace.config_map("scripts", json!({"deploy.sh": "echo two"})).await;
        let inline = Action::script("echo one").object("deploy").to_string();
        namespace.kubectl_with(&["apply", "--filename=-"], &inline).succeeded();
        namespace.kubectl(&WAIT).succeeded();
        let script = json!({"configMapKeyRef": {"name": "scripts", "key": "deploy.sh"}});
        let other = Action::script("").with("script", script).object("deploy").to_string();
        let flux = [
            "apply",
            "--server-side",
            "--field-manager=kustomize-controller",
            "--force-conflicts",
            "--filename=-",
        ];
        namespace.kubectl_with(&flux, &other).succeeded();
        namespace.kubectl(&WAIT).succeeded();
        let first = namespace.settled("deploy").await;
        assert_eq!(
            first["spec"]["script"],
            json!({"configMapKeyRef": {"name": "scripts", "key": "deploy.sh"}})
        );
        assert_eq!(first["status"]["log"]["tail"], "two\n");
        // Again and again, as at each interval: the API server sees no change, so nothing does.
        for _ in 0..3 {
            namespace.kubectl_with(&flux, &other).succeeded();
        }
        assert_eq!(
            namespace.object("deploy")["metadata"]["resourceVersion"],
            first["metadata"]["resourceVersion"]
        );
    })
    .await;
}

#[tokio::test]
async fn what_the_operator_writes_is_no_drift() {
    in_namespace(async |namespace| {
        let wanted = Action::script("echo one").object("deploy").to_string();
        let apply = ["apply", "--server-side", "--field-manager=argocd-controller", "--filename=-"];
        namespace.kubectl_with(&apply, &wanted).succeeded();
        namespace.kubectl(&WAIT).succeeded();
        // kubectl's exit code is 0 where there is nothing to change.
        let diff = ["diff", "--server-side", "--field-manager=argocd-controller", "--filename=-"];
        assert_eq!(namespace.kubectl_with(&diff, &wanted).succeeded(), "");
        let managers = namespace
            .kubectl(&[
                "get",
                "deploymentaction/deploy",
                "--show-managed-fields",
                "--output=jsonpath={.metadata.managedFields[*].subresource}",
            ])
            .succeeded();
        // The operator's entry is of the status alone.
        assert_eq!(managers, "status");
    })
    .await;
}

/// The roles of docs/guides/gitops.md.
#[tokio::test]
async fn a_tenant_s_service_account_may_name_what_it_was_given() {
    in_namespace(async |namespace| {
        let documentation = std::fs::read_to_string(repository("docs/guides/gitops.md")).unwrap();
        let roles = documentation
            .split("```yaml\n")
            .skip(1)
            .filter_map(|block| block.split("```").next())
            .find(|block| block.contains("kind: ServiceAccount") && block.contains("verbs: [use]"))
            .expect("docs/guides/gitops.md has the roles")
            .replace("namespace: shop", &format!("namespace: {}", namespace.name));
        namespace.kubectl_with(&["apply", "--filename=-"], &roles).succeeded();
        let heard = [
            json!({"apiGroups": ["longshore.dev"], "resources": ["deploymentactions"], "verbs": ["patch"]}),
            json!({"apiGroups": [""], "resources": ["secrets"], "verbs": ["use"], "resourceNames": ["orders-db"]}),
        ];
        namespace.allows(&Subject::account(&namespace.name, "orders-deploys"), &heard).await;
        namespace.secret("orders-db", json!({"password": "correct horse"})).await;
        namespace.secret("other", json!({"password": "battery staple"})).await;
        let tenant = format!("--as=system:serviceaccount:{}:orders-deploys", namespace.name);
        let apply =
            ["apply", &tenant, "--server-side", "--field-manager=kustomize-controller", "--filename=-"];
        let of = |secret: &str| {
            let variables = [from_secret("PASSWORD", secret, "password")];
            let action = Action::script("echo \"${#PASSWORD} letters\"").with("variables", variables);
            action.with("serviceAccountName", "orders-deployer").object("deploy").to_string()
        };
        // Both controllers try first without writing: the policy answers then, too.
        for dry_run in ["--dry-run=server", "--dry-run=none"] {
            let refused = namespace.kubectl_with(&[&apply[..], &[dry_run]].concat(), &of("other")).failed();
            assert!(refused.contains("\"use\" secrets/other"), "{refused}");
        }
        namespace.kubectl_with(&apply, &of("orders-db")).succeeded();
        namespace.kubectl(&WAIT).succeeded();
        assert_eq!(namespace.settled("deploy").await["status"]["log"]["tail"], "13 letters\n");
    })
    .await;
}
