//! The chart's rendered objects, judged by an API server: each field, and Pod Security "restricted".

use k8s_openapi::{
    api::core::v1::{Pod, ServiceAccount},
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, ResourceExt,
    api::{ListParams, PostParams},
};
use serde_json::{Value, json};

use super::{
    monitoring::tools,
    tools::{output, render, run, text, values_file, values_files},
};
use crate::support::{
    namespace::{Namespace, in_namespace, until},
    turns::alone,
};

/// Has the API server judge all of it, and keeps nothing.
fn judge(objects: &[Value]) {
    // No List: kubectl would check what is in one by itself, and knows less than the API server.
    let list: String = objects.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n---\n");
    let arguments = [
        "apply",
        "--server-side",
        "--force-conflicts",
        "--dry-run=server",
        "--validate=strict",
        "--filename",
        "-",
    ];
    let told = run("kubectl", &arguments, &list);
    assert_eq!(told.lines().count(), objects.len(), "{told}");
}

/// The definitions that Prometheus' operator brings, unless the cluster has it. They go with the
/// namespace.
async fn define_monitoring(namespace: &Namespace) {
    let definitions: Api<CustomResourceDefinition> = Api::all(namespace.client.clone());
    let folder = tools();
    for kind in ["servicemonitors", "podmonitors", "prometheusrules"] {
        let text = std::fs::read_to_string(format!("{folder}/monitoring.coreos.com_{kind}.yaml"));
        let mut definition: CustomResourceDefinition =
            serde_saphyr::from_str(&text.expect("it was built")).expect("a definition");
        definition.metadata.owner_references = Some(vec![namespace.as_owner().await]);
        let name = definition.name_any();
        until("it is established", async || {
            let Some(live) = definitions.get_opt(&name).await.expect("reading a definition") else {
                definitions.create(&PostParams::default(), &definition).await.expect("creating a definition");
                return None;
            };
            let conditions = live.status?.conditions?;
            let established = conditions.iter().any(|one| one.type_ == "Established" && one.status == "True");
            // Of a test before this one.
            (established && live.metadata.deletion_timestamp.is_none()).then_some(())
        })
        .await;
    }
}

/// Every pod of it as a Pod, which is judged as none inside of a Deployment is.
fn as_pods(objects: &[Value]) -> Vec<Value> {
    let pod = |object: &Value| {
        let template = &object["spec"]["template"];
        let mut pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": template["metadata"], "spec": template["spec"]});
        pod["metadata"]["name"] = json!(format!("{}-pod", text(&object["metadata"]["name"])));
        pod["metadata"]["namespace"] = object["metadata"]["namespace"].clone();
        pod
    };
    objects.iter().filter(|one| one["kind"] == "Deployment" || one["kind"] == "Job").map(pod).collect()
}

#[tokio::test]
async fn an_api_server_takes_all_of_it() {
    let _alone = alone().await;
    in_namespace(async |namespace| {
        define_monitoring(namespace).await;
        for values in values_files() {
            let objects = render(&namespace.name, &values, &[]);
            // No pod is taken without its service account, not even for show.
            let accounts = objects
                .iter()
                .filter(|one| one["kind"] == "ServiceAccount")
                .map(|one| text(&one["metadata"]["name"]));
            for account in accounts.chain(["mine"]) {
                let api: Api<ServiceAccount> = namespace.api();
                if api.get_opt(account).await.expect("reading an account").is_none() {
                    namespace.service_account(account).await;
                }
            }
            judge(&[objects.clone(), as_pods(&objects)].concat());
        }
        // That it would have refused what is wrong.
        let objects = render(&namespace.name, &values_file("everything"), &[]);
        let mut monitor =
            objects.iter().find(|one| one["kind"] == "ServiceMonitor").expect("a monitor").clone();
        monitor["spec"]["endpoints"][0]["intervall"] = json!("1m");
        refuses(&monitor, "intervall");
        let mut pod = as_pods(&objects)[0].clone();
        pod["spec"]["containers"][0]["securityContext"]["allowPrivilegeEscalation"] = json!(true);
        refuses(&pod, "restricted");
        assert!(namespace.api::<Pod>().list(&ListParams::default()).await.unwrap().items.is_empty());
    })
    .await;
}

fn refuses(object: &Value, words: &str) {
    let arguments = ["apply", "--server-side", "--dry-run=server", "--validate=strict", "--filename", "-"];
    let answer = output("kubectl", &arguments, &object.to_string());
    let told = String::from_utf8_lossy(&answer.stderr).into_owned();
    assert!(!answer.status.success() && told.contains(words), "{told}");
}
