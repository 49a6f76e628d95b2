//! The chart's rendered objects, without a cluster.

use serde_json::{Value, json};

use super::tools::{CHART, helm, names, output, render, text, the, values_file, values_files};

fn operator_arguments(objects: &[Value], name: &str) -> Vec<String> {
    arguments(&the(objects, "Deployment", name)["spec"]["template"]["spec"]["containers"][0])
}

fn arguments(container: &Value) -> Vec<String> {
    container["args"].as_array().unwrap().iter().map(|one| text(one).to_owned()).collect()
}

/// The flags of the archive, in order.
fn of_archive(container: &Value) -> Vec<String> {
    arguments(container).into_iter().filter(|one| one.starts_with("--archive-")).collect()
}

#[test]
fn helm_lint_finds_nothing() {
    for values in values_files() {
        helm(&["lint", "--strict", "--quiet", CHART, "--values", &values]);
    }
}

#[test]
fn what_is_misspelled_or_cannot_work_is_refused() {
    let values = values_file("default");
    for (set, words) in [
        ("imagge.tag=1", "imagge"),
        ("metrics.rules.enable=true", "enable"),
        ("metrics.rules.disabled={LongshoreDwn}", "disabled"),
        ("metrics.serviceMonitor.interval=often", "interval"),
        ("watchNamespaces={Shop}", "watchNamespaces"),
        ("watchNamespaces=shop", "watchNamespaces"),
        ("image.digest=sha256:12", "digest"),
        ("tracing.otlpEndpoint=collector:4317", "otlpEndpoint"),
        ("networkPolicy.registryPorts={0}", "registryPorts"),
        ("resources.limit.memory=1Gi", "limit"),
        ("containerLogMaxSize=10M", "containerLogMaxSize"),
        ("nameOverride=A_b", "nameOverride"),
        ("extraEnv[0].name=LONGSHORE_LOG", "extraEnv"),
        ("extraEnv[0].value=x", "extraEnv"),
        ("podDisruptionBudget.enabled=true,podDisruptionBudget.minAvailable=1", "no node"),
        ("podDisruptionBudget.enabled=true,podDisruptionBudget.maxUnavailable=0", "no node"),
        (
            "podDisruptionBudget.enabled=true,podDisruptionBudget.maxUnavailable=1,podDisruptionBudget.minAvailable=1",
            "one of them",
        ),
        ("metrics.serviceMonitor.enabled=true,metrics.podMonitor.enabled=true", "twice"),
        ("logApi.enable=true", "enable"),
        ("logApi.maxRequests=0", "maxRequests"),
        ("image.repository=", "image.repository is empty"),
        ("archive.bucket=logs", "bucket"),
        ("archive.url=file:///logs", "archive.volume.size"),
        ("archive.url=s3:bucket", "write s3://bucket/prefix"),
        ("archive.url=https://bucket/logs", "write s3://bucket/prefix"),
        ("archive.url=s3://key:word@bucket", "\"s3://…@bucket\": write"),
        ("archive.url=s3://bucket?region=eu", "archive.env"),
        ("archive.url=s3://logs,archive.volume.size=1Gi", "or a volume"),
        ("archive.volume.size=1Gi,archive.volume.existingClaim=logs", "existingClaim and size"),
        ("archive.volume.size=big", "archive.volume.size is \"big\""),
        ("archive.volume.storageClass=fast", "archive.volume.size"),
        ("archive.volume.size=1Gi,replicas=2", "set replicas to 1"),
        ("archive.volume.existingClaim=logs,replicas=2", "set replicas to 1"),
        ("archive.volume.size=1Gi,logApi.enabled=true,logApi.replicas=2", "set logApi.replicas to 1"),
        ("archive.volume.size=1Gi,archive.credentialsSecret=aws", "archive.url"),
        ("archive.credentialsSecret=aws", "give archive.url"),
        ("archive.retention.keepFor=90d", "give archive.url"),
        ("archive.retention.keepRuns=3", "give archive.url"),
        ("archive.url=s3://logs,archive.retention.keepFor=3 months", "archive.retention.keepFor"),
        ("archive.url=s3://logs,archive.retention.keepFor=90", "keepFor"),
        ("archive.url=s3://logs,archive.retention.keepRuns=-1", "keepRuns"),
        ("archive.url=s3://logs,archive.retention.maxBytes=50G", "archive.retention.maxBytes"),
        ("archive.url=s3://logs,archive.caBundle=ca.pem", "--set-file archive.caBundle"),
        ("networkPolicy.archivePorts={0}", "archivePorts"),
    ] {
        let arguments = ["template", "ship", CHART, "--values", &values, "--set", set];
        let output = output("helm", &arguments, "");
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && told.contains(words), "{set}: {told}");
    }
}

#[test]
fn a_flag_that_nobody_asks_for_is_not_there() {
    let arguments = operator_arguments(&render("system", &values_file("default"), &[]), "ship-longshore");
    let asked = |flag: &str| arguments.iter().any(|one| one.starts_with(flag));
    assert!(asked("--runner-image=") && asked("--use-policy=enforced"), "{arguments:?}");
    assert!(!asked("--watch-namespace") && !asked("--otlp-endpoint"), "{arguments:?}");
}

#[test]
fn names_and_labels_are_as_the_values_say() {
    let objects = render("system", &values_file("everything"), &[]);
    let outside =
        ["ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding", "CustomResourceDefinition"];
    for object in &objects {
        let (kind, name) = (text(&object["kind"]), text(&object["metadata"]["name"]));
        if name == "text" || name.ends_with("-note") {
            continue;
        }
        assert_eq!(object["metadata"]["labels"]["team"], "platform", "{kind} {name}");
        assert!(outside.contains(&kind) || name.starts_with("ships"), "{kind} {name}");
    }
    let deployment = &the(&objects, "Deployment", "ships-operator")["spec"];
    let selector = json!({"app.kubernetes.io/name": "ships", "app.kubernetes.io/instance": "ship"});
    assert_eq!(deployment["selector"]["matchLabels"], selector);
    let pod = &deployment["template"]["spec"];
    assert_eq!(pod["topologySpreadConstraints"][0]["labelSelector"]["matchLabels"], selector);
    assert_eq!(pod["imagePullSecrets"], json!([{"name": "shared"}, {"name": "registry"}]));
    assert!(text(&pod["containers"][0]["image"]).contains("/longshore@sha256:0123"));
    assert!(
        operator_arguments(&objects, "ships-operator")
            .contains(&"--otlp-endpoint=http://collector.monitoring:4317".to_owned())
    );
    let variables = pod["containers"][0]["env"].as_array().unwrap();
    let proxy = json!({"name": "HTTPS_PROXY", "value": "http://proxy.internal:3128"});
    assert!(variables.len() == 5 && variables.contains(&proxy), "{variables:?}");
    // A template in a value, as an object and as a text.
    assert_eq!(the(&objects, "ConfigMap", "ships-operator-note")["data"]["replicas"], "3");
    assert_eq!(the(&objects, "ConfigMap", "text")["metadata"]["namespace"], "system");
}

#[test]
fn no_name_is_too_long() {
    let long = "a".repeat(53);
    let arguments = ["template", &long, CHART, "--values", &values_file("everything")];
    let short = ["--set", "nameOverride=,fullnameOverride=", "--set", "serviceAccount.name="];
    for object in super::tools::documents(&helm(&[&arguments[..], &short[..]].concat())) {
        let name = text(&object["metadata"]["name"]);
        assert!(name.len() <= 63, "{name}");
    }
}

/// Rules of all roles of this kind that the operator's service account is bound to.
fn rules<'a>(objects: &'a [Value], kind: &str) -> Vec<(&'a str, &'a Value)> {
    objects
        .iter()
        .filter(|one| one["kind"] == kind && one["metadata"]["annotations"]["helm.sh/hook"].is_null())
        .filter(|one| {
            let labels = &one["metadata"]["labels"];
            !labels.as_object().unwrap().keys().any(|label| label.contains("aggregate-to"))
        })
        .flat_map(|role| {
            let namespace = text(&role["metadata"]["namespace"]);
            role["rules"].as_array().unwrap().iter().map(move |rule| (namespace, rule))
        })
        .collect()
}

#[test]
fn an_operator_of_some_namespaces_has_rights_in_them_alone() {
    let some = render("system", &values_file("namespaces"), &[]);
    let all = render("system", &values_file("default"), &[]);
    let cluster: Vec<_> =
        rules(&some, "ClusterRole").iter().map(|(_, rule)| rule["resources"].clone()).collect();
    let policies = json!(["validatingadmissionpolicies", "validatingadmissionpolicybindings"]);
    let service = json!(["apiservices"]);
    assert_eq!(cluster, [json!(["clusterdeploymentactiontemplates"]), policies, json!(["nodes"]), service]);
    // What is taken from the cluster is given in each namespace, and nothing more.
    let taken: Vec<_> = rules(&all, "ClusterRole")
        .into_iter()
        .map(|(_, rule)| rule)
        .filter(|rule| !cluster.contains(&rule["resources"]))
        .collect();
    for namespace in ["default", "kube-public"] {
        let given: Vec<_> = rules(&some, "Role")
            .into_iter()
            .filter(|(of, _)| *of == namespace)
            .map(|(_, rule)| rule)
            .collect();
        assert_eq!(given, taken, "{namespace}");
    }
    assert_eq!(taken.len(), 14);
    // The cluster's ActionPolicy is in the operator's namespace, which need not be among those.
    let own: Vec<_> = rules(&some, "Role").into_iter().filter(|(of, _)| *of == "system").collect();
    assert!(own.iter().any(|(_, rule)| rule["resources"] == json!(["actionpolicies"])), "{own:?}");
    for flag in ["--watch-namespace=default", "--watch-namespace=kube-public"] {
        assert!(operator_arguments(&some, "ship-longshore").contains(&flag.to_owned()));
        let job = the(&some, "Job", "ship-longshore-uninstall");
        let arguments = &job["spec"]["template"]["spec"]["containers"][0]["args"];
        assert!(arguments.as_array().unwrap().contains(&json!(flag)));
    }
    // The test's action is where it is served.
    assert_eq!(the(&some, "DeploymentAction", "ship-longshore-test")["metadata"]["namespace"], "default");
    assert_eq!(the(&all, "DeploymentAction", "ship-longshore-test")["metadata"]["namespace"], "system");
}

#[test]
fn hooks_may_do_little_and_look_like_no_operator() {
    for values in ["default", "namespaces", "everything"] {
        let objects = render("system", &values_file(values), &[]);
        let hooks: Vec<_> =
            objects.iter().filter(|one| !one["metadata"]["annotations"]["helm.sh/hook"].is_null()).collect();
        assert!(hooks.len() >= 11, "{:?}", names(&objects));
        for hook in &hooks {
            let policy = &hook["metadata"]["annotations"]["helm.sh/hook-delete-policy"];
            assert_eq!(policy, "before-hook-creation,hook-succeeded", "{}", hook["metadata"]["name"]);
            for rule in hook["rules"].as_array().into_iter().flatten() {
                let narrow = !rule["resourceNames"].is_null() || rule["resources"] == json!(["pods"]);
                assert!(narrow && !rule.to_string().contains('*'), "{rule}");
            }
        }
        // The Deployment's selector would count a hook's pod as the operator's, and wait for it forever.
        let deployment = objects.iter().find(|one| one["kind"] == "Deployment").unwrap();
        let name = &deployment["spec"]["selector"]["matchLabels"]["app.kubernetes.io/name"];
        for hook in hooks {
            let pod = if hook["kind"] == "Job" { &hook["spec"]["template"] } else { hook };
            assert_ne!(&pod["metadata"]["labels"]["app.kubernetes.io/name"], name);
        }
    }
}

#[test]
fn the_network_policy_names_the_ports_that_the_values_need() {
    let objects = render("system", &values_file("everything"), &[]);
    let policy = &the(&objects, "NetworkPolicy", "ships-operator")["spec"];
    let ports: Vec<Vec<&Value>> = policy["egress"]
        .as_array()
        .unwrap()
        .iter()
        .map(|rule| rule["ports"].as_array().unwrap().iter().map(|port| &port["port"]).collect())
        .collect();
    let expected: [&[u16]; 6] = [&[53, 53], &[6443], &[443, 5000, 80], &[9000], &[4317], &[3128]];
    assert_eq!(json!(ports), json!(expected));
    assert_eq!(policy["egress"][3]["to"][0]["ipBlock"]["cidr"], "203.0.113.0/24");
    let pods = &policy["podSelector"]["matchExpressions"][0]["values"];
    assert_eq!(pods, &json!(["ships", "ships-uninstall", "ships-test", "ships-logs"]));
    assert_eq!(policy["ingress"][1], json!({"ports": [{"port": 8443, "protocol": "TCP"}]}));
}

#[test]
fn the_log_server_is_there_where_it_is_asked_for() {
    let without = render("system", &values_file("default"), &[]);
    assert!(!names(&without).iter().any(|name| name.contains("-logs")), "{:?}", names(&without));
    assert!(!operator_arguments(&without, "ship-longshore").contains(&"--log-api".to_owned()));
    let with = render("system", &values_file("default"), &["--set", "logApi.enabled=true"]);
    assert!(operator_arguments(&with, "ship-longshore").contains(&"--log-api".to_owned()));
    let job = &the(&with, "Job", "ship-longshore-uninstall")["spec"]["template"]["spec"]["containers"][0];
    assert!(job["args"].as_array().unwrap().contains(&json!("--log-api-deployment=ship-longshore-logs")));
    // Its server makes it, and the operator removes it: whatever applies the chart does neither.
    assert!(with.iter().all(|object| object["kind"] != "APIService"));
    // The chart sets no content, so applying it again removes none.
    let secret = the(&with, "Secret", "ship-longshore-logs");
    assert!(secret["data"].is_null() && secret["stringData"].is_null());
    // The policy is on the service account that the server has.
    let account =
        &the(&with, "Deployment", "ship-longshore-logs")["spec"]["template"]["spec"]["serviceAccountName"];
    let policy = the(&with, "ValidatingAdmissionPolicy", "longshore-log-server");
    let user = format!("system:serviceaccount:system:{}'", text(account));
    assert!(policy["spec"]["matchConditions"].to_string().contains(&user), "{policy}");
    assert!(!names(&without).iter().any(|name| name.contains("longshore-log-server")));
    // Its pods are not the operator's.
    let selector = |name: &str| the(&with, "Deployment", name)["spec"]["selector"]["matchLabels"].clone();
    assert_ne!(selector("ship-longshore"), selector("ship-longshore-logs"));
    assert_eq!(
        the(&with, "Service", "ship-longshore-logs")["spec"]["selector"],
        selector("ship-longshore-logs")
    );
}

#[test]
fn a_log_server_of_some_namespaces_reads_logs_in_them_alone() {
    let objects = render("system", &values_file("namespaces"), &["--set", "logApi.enabled=true"]);
    let role = the(&objects, "ClusterRole", "ship-longshore-logs");
    assert!(!role["rules"].to_string().contains("pods"), "{role}");
    let of: Vec<&Value> = objects
        .iter()
        .filter(|one| one["kind"] == "Role" && one["metadata"]["name"] == "ship-longshore-logs-actions")
        .map(|one| &one["metadata"]["namespace"])
        .collect();
    assert_eq!(of, ["default", "kube-public"]);
    // It changes nothing of actions and pods, and reads one Secret.
    for object in objects.iter().filter(|one| text(&one["metadata"]["name"]).contains("longshore-logs")) {
        for rule in object["rules"].as_array().into_iter().flatten() {
            let rule_of = |group: &str| rule["apiGroups"] == json!([group]);
            if rule_of("") && rule["resources"] == json!(["secrets"]) {
                assert_eq!(rule["resourceNames"], json!(["ship-longshore-logs"]));
            } else if rule_of("") || rule_of("longshore.dev") {
                assert_eq!(rule["verbs"], json!(["get"]), "{rule}");
            }
        }
    }
}

#[test]
fn with_a_volume_one_pod_has_operator_and_log_server() {
    let objects = render("system", &values_file("volume"), &[]);
    let deployments: Vec<_> = objects.iter().filter(|one| one["kind"] == "Deployment").collect();
    assert_eq!(deployments.len(), 1);
    let deployment = &deployments[0]["spec"];
    assert_eq!((&deployment["replicas"], &deployment["strategy"]), (&json!(1), &json!({"type": "Recreate"})));
    let pod = &deployment["template"]["spec"];
    assert_eq!(pod["securityContext"]["fsGroup"], 65532);
    let (operator, logs) = (&pod["containers"][0], &pod["containers"][1]);
    let url = "--archive-url=file:///var/lib/longshore/archive";
    assert_eq!(of_archive(operator), [url, "--archive-max-bytes=40Gi"]);
    assert_eq!((text(&logs["name"]), of_archive(logs)), ("logs", vec![url.to_owned()]));
    let mount = |read_only: bool| json!({"name": "archive", "mountPath": "/var/lib/longshore/archive", "readOnly": read_only});
    assert_eq!(operator["volumeMounts"], json!([mount(false)]));
    // The log server only reads. It is not the operator, whose token would be mounted in this place.
    let token = json!({
        "name": "logs-token", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount", "readOnly": true,
    });
    assert_eq!(logs["volumeMounts"], json!([mount(true), token]));
    assert_eq!(pod["serviceAccountName"], "ship-longshore");
    assert_eq!(pod["volumes"][0]["persistentVolumeClaim"]["claimName"], "ship-longshore-archive");
    assert_eq!(pod["volumes"][1]["secret"]["secretName"], "ship-longshore-logs-token");
    let secret = the(&objects, "Secret", "ship-longshore-logs-token");
    let account = &secret["metadata"]["annotations"]["kubernetes.io/service-account.name"];
    assert_eq!(
        (account, &secret["type"]),
        (&json!("ship-longshore-logs"), &json!("kubernetes.io/service-account-token"))
    );
    the(&objects, "ServiceAccount", "ship-longshore-logs");
    // Both listen in one network.
    let ports: Vec<&Value> =
        [operator, logs].iter().flat_map(|one| one["ports"].as_array().unwrap()).collect();
    let mut numbers: Vec<_> = ports.iter().map(|port| port["containerPort"].as_u64().unwrap()).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, [8080, 8081, 8443]);
    assert!(arguments(logs).contains(&"--health-listen=0.0.0.0:8081".to_owned()));
    let selector = &the(&objects, "Service", "ship-longshore-logs")["spec"]["selector"];
    assert_eq!(selector, &deployment["selector"]["matchLabels"]);
    // The logs outlive the release.
    let claim = the(&objects, "PersistentVolumeClaim", "ship-longshore-archive");
    assert_eq!(claim["metadata"]["annotations"]["helm.sh/resource-policy"], "keep");
    assert_eq!(claim["spec"]["storageClassName"], "fast");
    assert_eq!(claim["spec"]["resources"]["requests"]["storage"], "50Gi");
}

#[test]
fn a_claim_of_one_s_own_is_used_and_none_is_made() {
    let set =
        ["--set", "archive.volume.size=,archive.volume.storageClass=,archive.volume.existingClaim=mine"];
    let objects = render("system", &values_file("volume"), &set);
    assert!(!objects.iter().any(|one| one["kind"] == "PersistentVolumeClaim"));
    let pod = &the(&objects, "Deployment", "ship-longshore")["spec"]["template"]["spec"];
    assert_eq!(pod["volumes"][0]["persistentVolumeClaim"]["claimName"], "mine");
}

#[test]
fn without_a_log_server_a_volume_is_the_operators_alone() {
    let objects = render("system", &values_file("volume"), &["--set", "logApi.enabled=false"]);
    let pod = &the(&objects, "Deployment", "ship-longshore")["spec"]["template"]["spec"];
    assert_eq!(pod["containers"].as_array().unwrap().len(), 1);
    assert_eq!(pod["volumes"].as_array().unwrap().len(), 1);
    assert!(!names(&objects).iter().any(|name| name.contains("-logs")));
}

#[test]
fn with_an_object_store_operator_and_log_server_scale_apart() {
    let objects = render("system", &values_file("everything"), &[]);
    let deployment = |name| &the(&objects, "Deployment", name)["spec"];
    let (operator, logs) = (deployment("ships-operator"), deployment("ships-operator-logs"));
    assert_eq!((&operator["replicas"], &logs["replicas"]), (&json!(3), &json!(2)));
    assert_eq!(operator["strategy"]["type"], "RollingUpdate");
    let container = |deployment: &Value| deployment["template"]["spec"]["containers"][0].clone();
    let shared = ["--archive-url=s3://ships/logs", "--archive-ca-file=/etc/longshore/archive-ca/ca.crt"];
    let limits = [
        "--archive-keep-for=90d",
        "--archive-keep-runs=20",
        "--archive-max-bytes=1Ti",
        "--archive-max-bytes-of-namespace=50Gi",
    ];
    assert_eq!(of_archive(&container(operator)), [&shared[..], &limits].concat());
    assert_eq!(of_archive(&container(logs)), shared);
    for deployment in [operator, logs] {
        let container = container(deployment);
        assert_eq!(container["envFrom"], json!([{"secretRef": {"name": "archive-credentials"}}]));
        let region = json!({"name": "AWS_REGION", "value": "eu-central-1"});
        assert!(container["env"].as_array().unwrap().contains(&region));
        let mount = json!({"name": "archive-ca", "mountPath": "/etc/longshore/archive-ca", "readOnly": true});
        assert!(container["volumeMounts"].as_array().unwrap().contains(&mount));
        let template = &deployment["template"];
        assert!(!template["metadata"]["annotations"]["longshore.dev/archive-ca-sha256"].is_null());
        assert!(template["spec"]["securityContext"]["fsGroup"].is_null());
    }
    // Each may have a workload identity of its own.
    for (account, role) in [("ships", "ships"), ("ships-logs", "ships-logs")] {
        let annotations = &the(&objects, "ServiceAccount", account)["metadata"]["annotations"];
        assert_eq!(annotations["example.com/role"], role);
    }
    assert!(!objects.iter().any(|one| one["kind"] == "PersistentVolumeClaim"));
}

#[test]
fn without_an_archive_there_is_none() {
    let objects = render("system", &values_file("default"), &["--set", "logApi.enabled=true"]);
    for name in ["ship-longshore", "ship-longshore-logs"] {
        let pod = &the(&objects, "Deployment", name)["spec"]["template"]["spec"];
        assert_eq!(of_archive(&pod["containers"][0]), [""; 0]);
        assert!(pod["containers"][0]["envFrom"].is_null() && pod["volumes"].is_null(), "{pod}");
    }
}
