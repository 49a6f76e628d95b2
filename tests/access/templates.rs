//! The rights to use a template, and to write one.

use kube::{
    Api,
    api::{DynamicObject, PostParams},
    core::GroupVersionKind,
    discovery::ApiResource,
};
use longshore::{
    api::{DeploymentAction, DeploymentActionTemplate, template::TemplateKind},
    operator::spec::expand::{Lookup, Template, check},
};
use serde_json::{Value, json};

use super::{
    person::{Person, SEEN, action, actions, on, refused, rule, says},
    policies::in_force,
    requester::{free, named, of_the_pod},
};
use crate::support::namespace::{Namespace, in_namespace, within};

const TEMPLATES: [&str; 2] = ["DeploymentActionTemplate", "ClusterDeploymentActionTemplate"];

fn of(kind: &str) -> Value {
    json!({"image": null, "script": null, "templateRef": {"kind": kind, "name": "deploy"}})
}

fn resource(kind: &str) -> String {
    format!("{}s", kind.to_lowercase())
}

/// The right to use templates of this kind, by name.
fn using(kind: &str, name: &str) -> Value {
    json!({"apiGroups": ["longshore.dev"], "resources": [resource(kind)], "verbs": ["use"], "resourceNames": [name]})
}

fn requester() -> Value {
    rule("longshore.dev", "deploymentactions", "*")
}

/// What the API server says of a template that they would create.
pub(crate) async fn would_create(
    person: &Person,
    namespace: &Namespace,
    kind: &str,
    spec: &Value,
) -> Result<(), String> {
    let mut whole = action("asked", spec);
    whole["kind"] = kind.into();
    whole["spec"].as_object_mut().expect("fields").remove("runPolicy");
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("longshore.dev", "v1alpha1", kind));
    let api: Api<DynamicObject> = if kind == TEMPLATES[0] {
        Api::namespaced_with(person.client.clone(), &namespace.name, &resource)
    } else {
        Api::all_with(person.client.clone(), &resource)
    };
    let object = serde_json::from_value(whole).expect("an object");
    refused(api.create(&PostParams { dry_run: true, ..PostParams::default() }, &object).await).map(|_| ())
}

async fn must_create(person: &Person, namespace: &Namespace, kind: &str, spec: &Value) {
    within(SEEN, &format!("they may create a template with {spec}"), async || {
        match would_create(person, namespace, kind, spec).await {
            Ok(()) => Some(()),
            Err(words) => {
                eprintln!("{words}");
                None
            }
        }
    })
    .await;
}

#[tokio::test]
async fn an_action_is_made_of_a_template_by_who_may_use_it() {
    in_namespace(async |namespace: &Namespace| {
        in_force(namespace).await;
        let stranger = Person::new(namespace, "stranger", &[requester()]).await;
        actions(&stranger, &namespace.name).must_create(&json!({})).await;
        for kind in TEMPLATES {
            let words = format!("\"use\" {}.longshore.dev/deploy", resource(kind));
            says(
                actions(&stranger, &namespace.name).would_create(&of(kind)).await,
                &["longshore-use", "stranger", &namespace.name, &words, "ask for a role"],
            );
        }
        let rules = [requester(), using(TEMPLATES[0], "deploy")];
        let user = Person::new(namespace, "user", &rules).await;
        actions(&user, &namespace.name).must_create(&of(TEMPLATES[0])).await;
        // Where no kind is written it is the same.
        let bare = json!({"image": null, "script": null, "templateRef": {"name": "deploy"}});
        actions(&user, &namespace.name).must_create(&bare).await;
        // Neither another template, nor one of the cluster with the same name.
        let mut other = of(TEMPLATES[0]);
        other["templateRef"]["name"] = "other".into();
        for spec in [other, of(TEMPLATES[1])] {
            says(actions(&user, &namespace.name).would_create(&spec).await, &["longshore-use", "user"]);
        }
        // Nor may they say what the template says.
        let mut overridden = of(TEMPLATES[0]);
        overridden["serviceAccountName"] = "admin".into();
        says(
            actions(&user, &namespace.name).would_create(&overridden).await,
            &["serviceAccountName is what the template"],
        );
        let pods = Person::new(namespace, "pods", &[requester(), rule("", "pods", "create")]).await;
        for kind in TEMPLATES {
            actions(&pods, &namespace.name).must_create(&of(kind)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_template_of_the_cluster_is_used_by_a_right_in_the_whole_cluster() {
    in_namespace(async |namespace: &Namespace| {
        in_force(namespace).await;
        let rules = [requester(), using(TEMPLATES[1], "deploy")];
        let here = Person::new(namespace, "here", &rules).await;
        actions(&here, &namespace.name).must_create(&json!({})).await;
        let words = "\"use\" clusterdeploymentactiontemplates.longshore.dev/deploy";
        let answer = actions(&here, &namespace.name).would_create(&of(TEMPLATES[1])).await;
        says(answer, &["longshore-use", "here", words, "ClusterRoleBinding"]);

        let user = Person::new(namespace, "cluster-user", &[requester()]).await;
        user.may_everywhere(namespace, &[using(TEMPLATES[1], "deploy")]).await;
        actions(&user, &namespace.name).must_create(&of(TEMPLATES[1])).await;
        // It is a right to the template, and to no namespace.
        let sibling = namespace.sibling().await;
        says(
            actions(&user, &sibling.name).would_create(&of(TEMPLATES[1])).await,
            &["cannot create resource"],
        );
        sibling.remove().await;
    })
    .await;
}

#[tokio::test]
async fn what_parameters_name_needs_a_right_of_its_own() {
    in_namespace(async |namespace: &Namespace| {
        in_force(namespace).await;
        let with = |from: Value| {
            let mut spec = of(TEMPLATES[0]);
            spec["parameters"] = json!([{"name": "PLAIN", "value": "x"}, {"name": "P", "valueFrom": from}]);
            spec
        };
        let secret = with(json!({"secretKeyRef": {"name": "db", "key": "password"}}));
        let settings = with(json!({"configMapKeyRef": {"name": "settings", "key": "url"}}));
        let rules = [requester(), using(TEMPLATES[0], "deploy")];
        let user = Person::new(namespace, "user", &rules).await;
        actions(&user, &namespace.name).must_create(&of(TEMPLATES[0])).await;
        says(actions(&user, &namespace.name).would_create(&secret).await, &["\"use\" secrets/db"]);
        says(actions(&user, &namespace.name).would_create(&settings).await, &["\"get\" configmaps/settings"]);
        let rules =
            [&rules[..], &[on("secrets", "use", &["db"]), on("configmaps", "get", &["settings"])]].concat();
        let both = Person::new(namespace, "both", &rules).await;
        actions(&both, &namespace.name).must_create(&secret).await;
        actions(&both, &namespace.name).must_create(&settings).await;
    })
    .await;
}

#[tokio::test]
async fn a_template_names_what_its_author_may_name() {
    in_namespace(async |namespace: &Namespace| {
        in_force(namespace).await;
        let writer = || rule("longshore.dev", &resource(TEMPLATES[0]), "*");
        let plain = Person::new(namespace, "plain", &[writer()]).await;
        for spec in free() {
            must_create(&plain, namespace, TEMPLATES[0], &spec).await;
        }
        for thing in named().iter().chain(&of_the_pod()) {
            let answer = would_create(&plain, namespace, TEMPLATES[0], &thing.spec).await;
            says(
                answer,
                &["longshore-use-templates", "plain", &namespace.name, thing.words, "ask for a role"],
            );
        }
        let rules = [
            writer(),
            on("secrets", "use", &["db"]),
            on("serviceaccounts", "use", &["deployer"]),
            on("configmaps", "get", &["settings"]),
        ];
        let author = Person::new(namespace, "author", &rules).await;
        for thing in named() {
            must_create(&author, namespace, TEMPLATES[0], &thing.spec).await;
        }
        let pods = Person::new(namespace, "pods", &[writer(), rule("", "pods", "create")]).await;
        for thing in named().iter().chain(&of_the_pod()) {
            must_create(&pods, namespace, TEMPLATES[0], &thing.spec).await;
        }
        // A change of what others wrote is judged as a whole; metadata is not.
        let mut theirs = action("theirs", &json!({"serviceAccountName": "deployer"}));
        theirs["kind"] = TEMPLATES[0].into();
        theirs["spec"].as_object_mut().expect("fields").remove("runPolicy");
        namespace.put::<DeploymentActionTemplate>(theirs).await;
        let api: Api<DeploymentActionTemplate> = Api::namespaced(plain.client.clone(), &namespace.name);
        let patch = |patch: Value| {
            let api = api.clone();
            async move {
                refused(
                    api.patch("theirs", &kube::api::PatchParams::default(), &kube::api::Patch::Merge(patch))
                        .await,
                )
            }
        };
        let script = json!({"spec": {"script": {"inline": "cat token"}}});
        says(patch(script).await, &["longshore-use-templates", "\"use\" serviceaccounts/deployer"]);
        patch(json!({"metadata": {"labels": {"a": "b"}}})).await.expect("a label");
    })
    .await;
}

#[tokio::test]
async fn a_template_of_the_cluster_names_what_its_author_may_name_everywhere() {
    in_namespace(async |namespace: &Namespace| {
        in_force(namespace).await;
        let writer = || rule("longshore.dev", &resource(TEMPLATES[1]), "*");
        let plain = Person::new(
            namespace,
            "cluster-plain",
            &[rule("", "pods", "create"), on("secrets", "use", &["db"])],
        )
        .await;
        plain.may_everywhere(namespace, &[writer()]).await;
        must_create(&plain, namespace, TEMPLATES[1], &json!({})).await;
        // Rights in one namespace are not those in all, where the template can be used.
        for thing in named().iter().chain(&of_the_pod()) {
            let answer = would_create(&plain, namespace, TEMPLATES[1], &thing.spec).await;
            says(
                answer,
                &["longshore-use-cluster-templates", "cluster-plain", "all namespaces", thing.words],
            );
        }
        let author = Person::called("cluster-author").await;
        let rules = [
            writer(),
            on("secrets", "use", &["db"]),
            on("serviceaccounts", "use", &["deployer"]),
            on("configmaps", "get", &["settings"]),
        ];
        author.may_everywhere(namespace, &rules).await;
        for thing in named() {
            must_create(&author, namespace, TEMPLATES[1], &thing.spec).await;
        }
        let pods = Person::called("cluster-pods").await;
        pods.may_everywhere(namespace, &[writer(), rule("", "pods", "create")]).await;
        for thing in named().iter().chain(&of_the_pod()) {
            must_create(&pods, namespace, TEMPLATES[1], &thing.spec).await;
        }
    })
    .await;
}

/// As [`super::requester`] has it for actions that name no template.
#[test]
fn the_operator_takes_a_template_for_naming() {
    let spec = json!({"image": "registry.example.com/tools:1", "script": {"inline": "echo"}});
    let template = Template {
        kind: TemplateKind::DeploymentActionTemplate,
        name: "deploy".into(),
        uid: "t-1".into(),
        generation: 1,
        spec: serde_json::from_value(spec).unwrap(),
    };
    let mut action: DeploymentAction = serde_json::from_value(action("named", &of(TEMPLATES[0]))).unwrap();
    action.metadata.uid = Some("5f3c9a1b".into());
    assert!(check(&action, Some(&Lookup::Found(template)), "amd64").unwrap().named().is_some());
}
