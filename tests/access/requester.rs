//! Who may create which actions: each person with each thing that an action can name.

use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use longshore::{api::DeploymentAction, operator::spec::validate::validate};
use serde_json::{Value, json};

use super::{
    person::{Person, SEEN, action, actions, on, refused, rule, says},
    policies::in_force,
};
use crate::support::namespace::{Namespace, in_namespace, within};

/// A thing that an action names: what the spec says, and what the refusal says.
pub(crate) struct Thing {
    pub(crate) spec: Value,
    pub(crate) words: &'static str,
}

fn thing(spec: Value, words: &'static str) -> Thing {
    Thing { spec, words }
}

fn variable(from: &Value) -> Value {
    json!({"variables": [{"name": "PLAIN", "value": "x"}, {"name": "V", "valueFrom": from}]})
}

/// Fields that need a right on the named object.
pub(crate) fn named() -> Vec<Thing> {
    let key = json!({"name": "db", "key": "password"});
    let settings = json!({"name": "settings", "key": "url"});
    vec![
        thing(json!({"serviceAccountName": "deployer"}), r#""use" serviceaccounts/deployer"#),
        thing(variable(&json!({"secretKeyRef": key})), r#""use" secrets/db"#),
        thing(
            variable(&json!({"secretKeyRef": {"name": "db", "key": "k", "optional": true}})),
            r#""use" secrets/db"#,
        ),
        thing(json!({"variablesFrom": [{"secretRef": {"name": "db"}}]}), r#""use" secrets/db"#),
        thing(json!({"imagePullSecrets": [{"name": "db"}]}), r#""use" secrets/db"#),
        thing(variable(&json!({"configMapKeyRef": settings})), r#""get" configmaps/settings"#),
        thing(
            json!({"variablesFrom": [{"configMapRef": {"name": "settings"}}]}),
            r#""get" configmaps/settings"#,
        ),
        thing(json!({"script": {"configMapKeyRef": settings}}), r#""get" configmaps/settings"#),
    ]
}

/// Fields that need the right to create pods.
pub(crate) fn of_the_pod() -> Vec<Thing> {
    let term = json!([{"topologyKey": "kubernetes.io/hostname", "namespaceSelector": {}}]);
    [
        (json!({"securityProfile": "Baseline"}), "securityProfile"),
        (json!({"securityProfile": "UserNamespaceRoot"}), "securityProfile"),
        (json!({"securityContext": {"runAsUser": 0}}), "securityContext"),
        (json!({"containerSecurityContext": {"readOnlyRootFilesystem": false}}), "containerSecurityContext"),
        (json!({"runtimeClassName": "other"}), "runtimeClassName"),
        (json!({"hostAliases": [{"ip": "10.0.0.1", "hostnames": ["api"]}]}), "hostAliases"),
        (json!({"volumes": [{"name": "v", "secret": {"secretName": "db"}}]}), "volumes"),
        (json!({"volumes": [{"name": "v", "emptyDir": {}}], "volumeMounts": [{"name": "v", "mountPath": "/v"}]}), "volumeMounts"),
        (json!({"metadata": {"labels": {"app": "shop"}}}), "metadata.labels"),
        (json!({"metadata": {"annotations": {"vault.hashicorp.com/agent-inject": "true"}}}), "metadata.annotations"),
        (json!({"tolerations": [{"operator": "Exists"}]}), "tolerations"),
        (json!({"priorityClassName": "system-cluster-critical"}), "priorityClassName"),
        (json!({"affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": term}}}), "affinity.podAntiAffinity"),
        (json!({"affinity": {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": term}}}), "affinity.podAffinity"),
    ]
    .map(|(template, field)| thing(json!({"podTemplate": template}), field))
    .into_iter()
    .chain([
        thing(json!({"resources": {"limits": {"example.com/kvm": 1}}}), "example.com/kvm"),
        thing(json!({"resources": {"requests": {"cpu": 1, "hugepages-2Mi": "2Mi"}}}), "hugepages-2Mi"),
    ])
    .collect()
}

/// Fields that everyone may set who may create actions.
pub(crate) fn free() -> Vec<Value> {
    let nodes = json!({"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{"matchExpressions": [{"key": "disk", "operator": "Exists"}]}]}});
    vec![
        json!({}),
        json!({"resources": {"requests": {"cpu": "1"}, "limits": {"memory": "64Mi", "ephemeral-storage": "1Gi"}}}),
        json!({"variables": [{"name": "A", "value": "b"}], "args": ["x"], "outputs": [{"name": "url"}]}),
        json!({"podTemplate": {}}),
        json!({"podTemplate": {"nodeSelector": {"disk": "ssd"}, "affinity": {"nodeAffinity": nodes}, "securityProfile": "Restricted"}}),
        // As charts render what is not set.
        json!({"podTemplate": {"metadata": {"labels": {}, "annotations": {}}, "tolerations": [], "affinity": {}, "volumes": []}}),
        json!({"podTemplate": {"affinity": {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": []}, "podAntiAffinity": {}}}}),
        json!({"podTemplate": {"securityProfile": null}, "resources": null, "variables": [{"name": "A", "value": "b", "as": null}]}),
    ]
}

/// The right to create actions, and to do what is said on top.
fn and(rules: &[Value]) -> Vec<Value> {
    [&[rule("longshore.dev", "deploymentactions", "*")], rules].concat()
}

fn on_each(secret: &str, account: &str, settings: &str) -> Vec<Value> {
    and(&[
        on("secrets", "use", &[secret]),
        on("serviceaccounts", "use", &[account]),
        on("configmaps", "get", &[settings]),
    ])
}

async fn may_name(person: &Person, namespace: &Namespace, things: &[Thing]) {
    for thing in things {
        actions(person, &namespace.name).must_create(&thing.spec).await;
    }
}

async fn may_not_name(person: &Person, namespace: &Namespace, things: &[Thing]) {
    for thing in things {
        let answer = actions(person, &namespace.name).would_create(&thing.spec).await;
        says(
            answer,
            &["longshore-use", &person.user, &namespace.name, "create pods", thing.words, "ask for a role"],
        );
    }
}

async fn may_create(person: &Person, namespace: &Namespace) {
    for spec in free() {
        actions(person, &namespace.name).must_create(&spec).await;
    }
}

#[tokio::test]
async fn who_may_only_edit_actions_may_name_nothing() {
    in_namespace(async |namespace: &Namespace| {
        in_force(namespace).await;
        let plain = Person::new(namespace, "plain", &and(&[])).await;
        may_create(&plain, namespace).await;
        may_not_name(&plain, namespace, &named()).await;
        may_not_name(&plain, namespace, &of_the_pod()).await;
    })
    .await;
}

#[tokio::test]
async fn who_may_create_pods_may_name_everything() {
    in_namespace(async |namespace: &Namespace| {
        in_force(namespace).await;
        let pods = Person::new(namespace, "pods", &and(&[rule("", "pods", "create")])).await;
        let edits = Person::new(namespace, "edits", &and(&[])).await;
        edits.is(namespace, "edit").await;
        for person in [pods, edits] {
            may_create(&person, namespace).await;
            may_name(&person, namespace, &named()).await;
            may_name(&person, namespace, &of_the_pod()).await;
        }
    })
    .await;
}

#[tokio::test]
async fn who_may_use_an_object_may_name_it_and_no_other() {
    in_namespace(async |namespace: &Namespace| {
        in_force(namespace).await;
        let named_ones = Person::new(namespace, "named", &on_each("db", "deployer", "settings")).await;
        may_create(&named_ones, namespace).await;
        may_name(&named_ones, namespace, &named()).await;
        may_not_name(&named_ones, namespace, &of_the_pod()).await;

        let another = Person::new(namespace, "another", &on_each("other", "other", "other")).await;
        actions(&another, &namespace.name)
            .must_create(&json!({"serviceAccountName": "other", "imagePullSecrets": [{"name": "other"}], "variablesFrom": [{"configMapRef": {"name": "other"}}]}))
            .await;
        may_not_name(&another, namespace, &named()).await;
    })
    .await;
}

#[tokio::test]
async fn a_right_counts_in_its_own_namespace() {
    in_namespace(async |namespace: &Namespace| {
        in_force(namespace).await;
        let sibling = namespace.sibling().await;
        let elsewhere = Person::new(namespace, "elsewhere", &and(&[])).await;
        let mut rules = on_each("db", "deployer", "settings");
        rules.push(rule("", "pods", "create"));
        elsewhere.may(&sibling, &rules).await;
        may_name(&elsewhere, &sibling, &named()).await;
        may_name(&elsewhere, &sibling, &of_the_pod()).await;
        may_create(&elsewhere, namespace).await;
        may_not_name(&elsewhere, namespace, &named()).await;
        may_not_name(&elsewhere, namespace, &of_the_pod()).await;
        sibling.remove().await;
    })
    .await;
}

#[tokio::test]
async fn other_verbs_on_an_object_are_not_use() {
    in_namespace(async |namespace: &Namespace| {
        in_force(namespace).await;
        let rules = and(&[
            on("secrets", "get", &["db"]),
            on("serviceaccounts", "impersonate", &["deployer"]),
            on("configmaps", "use", &["settings"]),
        ]);
        let reader = Person::new(namespace, "reader", &rules).await;
        may_create(&reader, namespace).await;
        may_not_name(&reader, namespace, &named()).await;
    })
    .await;
}

#[tokio::test]
async fn who_may_view_creates_no_action() {
    in_namespace(async |namespace: &Namespace| {
        in_force(namespace).await;
        let viewer = Person::called("viewer").await;
        viewer.is(namespace, "view").await;
        for thing in named().iter().chain(&of_the_pod()) {
            says(
                actions(&viewer, &namespace.name).would_create(&thing.spec).await,
                &["viewer", "cannot create resource"],
            );
        }
        says(actions(&viewer, &namespace.name).would_create(&json!({})).await, &["cannot create resource"]);
    })
    .await;
}

/// Needs the chart: the two roles are its own.
#[tokio::test]
async fn the_cluster_s_roles_view_and_edit_reach_actions() {
    in_namespace(async |namespace: &Namespace| {
        in_force(namespace).await;
        let editor = Person::called("editor").await;
        editor.is(namespace, "edit").await;
        may_create(&editor, namespace).await;
        may_name(&editor, namespace, &named()).await;
        namespace.put::<DeploymentAction>(action("a", &json!({}))).await;
        let editor = actions(&editor, &namespace.name);
        editor.must_patch("a", &json!({"spec": {"runToken": "x"}})).await;
        let status = Patch::Merge(json!({"status": {"phase": "Succeeded"}}));
        let answer = editor.0.patch_status("a", &PatchParams::default(), &status).await;
        says(refused(answer), &["editor", "cannot patch resource"]);

        let viewer = Person::called("viewer").await;
        viewer.is(namespace, "view").await;
        let viewer = actions(&viewer, &namespace.name);
        within(SEEN, "view lets actions be read", async || viewer.0.get("a").await.ok()).await;
        refused(viewer.0.list(&ListParams::default()).await).expect("listing");
        refused(viewer.0.get_status("a").await).expect("reading the status");
        says(viewer.patch("a", &json!({"spec": {"runToken": "y"}})).await, &["cannot patch resource"]);
        refused(editor.0.delete("a", &DeleteParams::default()).await).expect("deleting");
    })
    .await;
}

/// `count` variables of different Secrets, or of different `ConfigMap`s.
fn many(count: usize, kind: &str) -> Value {
    let variables: Vec<Value> = (0..count)
        .map(|place| json!({"name": format!("V{place}"), "valueFrom": {kind: {"name": long(place), "key": "k"}}}))
        .collect();
    json!({"variables": variables})
}

/// A name that is as long as a name can be.
fn long(place: usize) -> String {
    format!("n{place}-{}", "x".repeat(248))
}

#[tokio::test]
async fn more_than_eight_need_the_right_to_all_of_them() {
    in_namespace(async |namespace: &Namespace| {
        in_force(namespace).await;
        let names: Vec<String> = (0..9).map(long).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let nine = Person::new(
            namespace,
            "nine",
            &and(&[on("secrets", "use", &names), on("configmaps", "get", &names)]),
        )
        .await;
        let all =
            Person::new(namespace, "all", &and(&[rule("", "secrets", "use"), rule("", "configmaps", "get")]))
                .await;
        for (kind, verb, resource) in
            [("secretKeyRef", "use", "secrets"), ("configMapKeyRef", "get", "configmaps")]
        {
            actions(&nine, &namespace.name).must_create(&many(8, kind)).await;
            let answer = actions(&nine, &namespace.name).would_create(&many(9, kind)).await;
            let words = format!("nor \"{verb}\" all {resource}");
            says(
                answer,
                &["longshore-use", "nine", "more than 8 different ones", &words, "without resourceNames"],
            );
            actions(&all, &namespace.name).must_create(&many(128, kind)).await;
        }
        // One that is not allowed is found wherever it stands.
        let mut last = many(8, "secretKeyRef");
        last["imagePullSecrets"] = json!([{"name": "db"}]);
        last["variables"].as_array_mut().expect("a list").remove(0);
        says(actions(&nine, &namespace.name).would_create(&last).await, &["\"use\" secrets/db"]);
    })
    .await;
}

#[tokio::test]
async fn the_largest_action_is_judged_within_the_budget() {
    in_namespace(async |namespace: &Namespace| {
        in_force(namespace).await;
        let names: Vec<String> = (0..8).map(long).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let rules = [on("secrets", "use", &names), on("configmaps", "get", &names), on("serviceaccounts", "use", &["deployer"])];
        let person = Person::new(namespace, "person", &and(&rules)).await;
        let variables: Vec<Value> = (0..128)
            .map(|place| {
                let kind = if place % 2 == 0 { "secretKeyRef" } else { "configMapKeyRef" };
                json!({"name": format!("V{place}"), "valueFrom": {kind: {"name": long(place / 2 % 8), "key": "k"}}})
            })
            .collect();
        let from: Vec<Value> = (0..16).map(|place| json!({"secretRef": {"name": long(place % 8)}})).collect();
        let pull: Vec<Value> = (0..8).map(|place| json!({"name": long(place)})).collect();
        let spec = json!({
            "serviceAccountName": "deployer",
            "variables": variables,
            "variablesFrom": from,
            "imagePullSecrets": pull,
            "script": {"inline": "x".repeat(131_000)},
            "args": vec!["y".repeat(8192); 100],
        });
        actions(&person, &namespace.name).must_create(&spec).await;
    })
    .await;
}

/// The operator holds the same back while the policy is missing: what counts as naming is written
/// down in both.
#[test]
fn the_operator_takes_the_same_for_naming() {
    let named_by = |spec: &Value| {
        let mut action: DeploymentAction = serde_json::from_value(action("named", spec)).unwrap();
        action.metadata.uid = Some("5f3c9a1b".into());
        validate(&action, "amd64").unwrap().named()
    };
    for Thing { spec, words } in named().into_iter().chain(of_the_pod()) {
        assert!(named_by(&spec).is_some(), "{words}: {spec}");
    }
    for spec in free() {
        assert_eq!(named_by(&spec), None, "{spec}");
    }
}
