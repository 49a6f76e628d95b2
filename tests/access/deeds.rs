//! People with the rights that the docs give them, and what they try: for [`super::matrix`].

use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Client,
    api::{DynamicObject, LogParams, Patch, PatchParams, PostParams},
    core::GroupVersionKind,
    discovery::ApiResource,
};
use longshore::api::{
    ANNOTATION_CANCEL, ANNOTATION_RERUN, DeploymentAction, DeploymentActionTemplate, Reason,
};
use serde_json::{Value, json};

use super::{
    person::{Person, SEEN, action, on, refused},
    policies::in_force,
};
use crate::support::namespace::{Namespace, in_namespace, within};

pub(crate) const ACTION: &str = "DeploymentAction";
const TEMPLATE: &str = "DeploymentActionTemplate";
const CLUSTER_TEMPLATE: &str = "ClusterDeploymentActionTemplate";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Who {
    TemplateAuthor,
    Creator,
    Reader,
    Stranger,
    Elsewhere,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Deed {
    Create,
    Change,
    Rerun,
    Cancel,
    ReadOutcome,
    ReadLog,
    NameAccount,
    NameSecret,
    NameTemplate,
    NamePackage,
    WriteTemplate,
    NameAccountInTemplate,
    NameSecretInTemplate,
    NameOtherInTemplate,
    WriteClusterTemplate,
    ChangeConfigMap,
}

/// A namespace with a pod, a template and two actions. The template `deploy` names a service account and a
/// Secret, and the action `release` uses it. The action `own` names the service account itself and has its
/// script from a `ConfigMap`. And another namespace. No action runs.
pub(crate) struct Place<'a> {
    pub(crate) namespace: &'a Namespace,
    elsewhere: Namespace,
}

/// A request, which changes nothing.
#[derive(Debug)]
pub(crate) enum Ask {
    /// A new object of this kind, with this spec.
    Create(&'static str, Value),
    /// A change of the object of this kind and name.
    Patch(&'static str, &'static str, Value),
    /// What `release` brought about: outputs, and the end of the log.
    ReadOutcome,
    /// The log of a pod.
    ReadLog,
}

use Ask::{Create, Patch as Changes};

impl Who {
    pub(crate) const ALL: [Self; 5] =
        [Self::TemplateAuthor, Self::Creator, Self::Reader, Self::Stranger, Self::Elsewhere];

    /// As the docs call them.
    pub(crate) const fn title(self) -> &'static str {
        match self {
            Self::TemplateAuthor => "template author",
            Self::Creator => "release creator",
            Self::Reader => "reader",
            Self::Stranger => "stranger in the namespace",
            Self::Elsewhere => "stranger elsewhere",
        }
    }

    /// Gives them what the docs say that they have; where they may do nothing here, they may elsewhere.
    pub(crate) async fn arrives(self, place: &Place<'_>) -> Person {
        let here = place.namespace;
        let (person, witness) = match self {
            Self::TemplateAuthor => {
                let person = Person::new(here, "author", &author_s_rules()).await;
                (person, Create(TEMPLATE, templated_inputs()))
            }
            Self::Creator => {
                let person = Person::new(here, "creator", &creator_s_rules()).await;
                (person, Create(ACTION, of_template(&json!([]))))
            }
            Self::Reader => {
                let person = Person::called("reader").await;
                person.is(here, "view").await;
                (person, Ask::ReadOutcome)
            }
            Self::Stranger => {
                let rules = json!({
                    "apiGroups": [""],
                    "resources": ["configmaps"],
                    "verbs": ["get", "list", "watch", "create", "update", "patch", "delete"],
                });
                (Person::new(here, "stranger", &[rules]).await, changed_config_map())
            }
            Self::Elsewhere => {
                let person = Person::called("elsewhere").await;
                person.is(&place.elsewhere, "admin").await;
                let spec = json!({"serviceAccountName": "deployer", "imagePullSecrets": [{"name": "db"}]});
                (person, Create(ACTION, spec))
            }
        };
        let home = if self == Self::Elsewhere { &place.elsewhere } else { here };
        within(SEEN, "they have the rights that they should have", async || {
            witness.at(&person, home).await.map_err(|words| eprintln!("{words}")).ok()
        })
        .await;
        person
    }
}

/// The rights of who maintains templates.
pub(crate) fn author_s_rules() -> Vec<Value> {
    vec![
        json!({
            "apiGroups": ["longshore.dev"],
            "resources": ["deploymentactiontemplates"],
            "verbs": ["get", "list", "watch", "create", "update", "patch", "delete"],
        }),
        on("serviceaccounts", "use", &["deployer"]),
        on("secrets", "use", &["db"]),
    ]
}

/// The rights of who makes releases of the template `deploy`, as docs/guides/templates.md has them.
pub(crate) fn creator_s_rules() -> Vec<Value> {
    vec![
        json!({
            "apiGroups": ["longshore.dev"],
            "resources": ["deploymentactions"],
            "verbs": ["get", "list", "watch", "create", "update", "patch"],
        }),
        json!({
            "apiGroups": ["longshore.dev"],
            "resources": ["deploymentactiontemplates"],
            "resourceNames": ["deploy"],
            "verbs": ["get", "use"],
        }),
    ]
}

/// The Secrets and service accounts of the template `deploy`.
fn templated_inputs() -> Value {
    json!({
        "serviceAccountName": "deployer",
        "variables": [{"name": "PASSWORD", "valueFrom": secret("db")}],
    })
}

fn secret(name: &str) -> Value {
    json!({"secretKeyRef": {"name": name, "key": "password"}})
}

/// The spec of an action of the template, with these parameters.
pub(crate) fn of_template(parameters: &Value) -> Value {
    json!({"image": null, "script": null, "templateRef": {"name": "deploy"}, "parameters": parameters})
}

fn annotated(annotation: &str, text: &str) -> Value {
    json!({"metadata": {"annotations": {annotation: text}}})
}

fn changed_config_map() -> Ask {
    Changes("ConfigMap", "settings", json!({"data": {"script": "echo other"}}))
}

impl Deed {
    pub(crate) const ALL: [Self; 16] = [
        Self::Create,
        Self::Change,
        Self::Rerun,
        Self::Cancel,
        Self::ReadOutcome,
        Self::ReadLog,
        Self::NameAccount,
        Self::NameSecret,
        Self::NameTemplate,
        Self::NamePackage,
        Self::WriteTemplate,
        Self::NameAccountInTemplate,
        Self::NameSecretInTemplate,
        Self::NameOtherInTemplate,
        Self::WriteClusterTemplate,
        Self::ChangeConfigMap,
    ];

    /// As the docs call it.
    pub(crate) const fn title(self) -> &'static str {
        match self {
            Self::Create => "create an action that names nothing",
            Self::Change => "change the spec of an action of the template",
            Self::Rerun => "run it again (`longshore.dev/rerun`)",
            Self::Cancel => "cancel a run (`longshore.dev/cancel`)",
            Self::ReadOutcome => "read outputs and the end of the log (`status`)",
            Self::ReadLog => "read the whole log (`pods/log`)",
            Self::NameAccount => "name the service account in an action, change or rerun one that does",
            Self::NameSecret => "name the Secret in an action, a parameter included",
            Self::NameTemplate => "name the template in an action",
            Self::NamePackage => "name a package in an action, or choose its version",
            Self::WriteTemplate => "write a template of the namespace",
            Self::NameAccountInTemplate => "name the service account in a template",
            Self::NameSecretInTemplate => "name the Secret in a template",
            Self::NameOtherInTemplate => "name another Secret in a template",
            Self::WriteClusterTemplate => "write a template of the cluster",
            Self::ChangeConfigMap => "change the ConfigMap that an action has its script from",
        }
    }

    /// The ways to do it.
    pub(crate) fn asks(self) -> Vec<Ask> {
        let action = |spec: Value| Create(ACTION, spec);
        let template = |spec: Value| Create(TEMPLATE, spec);
        let release = |change: Value| Changes(ACTION, "release", change);
        let own = |change: Value| Changes(ACTION, "own", change);
        let parameter = json!([{"name": "TOKEN", "valueFrom": secret("db")}]);
        let variable = |name: &str| json!({"variables": [{"name": "A", "valueFrom": secret(name)}]});
        match self {
            Self::Create => vec![action(json!({}))],
            Self::Change => vec![
                release(json!({"spec": {"runToken": "again"}})),
                release(json!({"spec": {"suspend": true}})),
                release(json!({"spec": {"parameters": [{"name": "SERVICE", "value": "billing"}]}})),
            ],
            Self::Rerun => vec![release(annotated(ANNOTATION_RERUN, "again"))],
            Self::Cancel => {
                vec![release(annotated(ANNOTATION_CANCEL, "x-1")), own(annotated(ANNOTATION_CANCEL, "x-1"))]
            }
            Self::ReadOutcome => vec![Ask::ReadOutcome],
            Self::ReadLog => vec![Ask::ReadLog],
            Self::NameAccount => vec![
                action(json!({"serviceAccountName": "deployer"})),
                own(json!({"spec": {"args": ["--force"]}})),
                own(json!({"spec": {"runToken": "again"}})),
                own(annotated(ANNOTATION_RERUN, "again")),
            ],
            Self::NameSecret => vec![
                action(variable("db")),
                action(json!({"variablesFrom": [{"secretRef": {"name": "db"}}]})),
                action(json!({"imagePullSecrets": [{"name": "db"}]})),
                action(of_template(&parameter)),
                release(json!({"spec": {"parameters": parameter}})),
            ],
            Self::NameTemplate => vec![
                action(of_template(&json!([{"name": "SERVICE", "value": "orders"}]))),
                own(
                    json!({"spec": {"image": null, "script": null, "serviceAccountName": null, "templateRef": {"name": "deploy"}}}),
                ),
            ],
            Self::NamePackage => {
                let mut release = of_template(&json!([]));
                release["packages"] = json!([{"name": "orders", "version": "1.4.2"}]);
                let chart =
                    json!({"name": "orders", "reference": "registry.example.com/charts/orders:1.4.2"});
                vec![action(json!({"packages": [chart]})), action(release)]
            }
            Self::WriteTemplate => vec![
                template(json!({})),
                Changes(TEMPLATE, "deploy", json!({"spec": {"script": {"inline": "echo other"}}})),
            ],
            Self::NameAccountInTemplate => vec![template(json!({"serviceAccountName": "deployer"}))],
            Self::NameSecretInTemplate => {
                vec![template(variable("db")), template(json!({"imagePullSecrets": [{"name": "db"}]}))]
            }
            Self::NameOtherInTemplate => vec![template(variable("payroll"))],
            Self::WriteClusterTemplate => vec![Create(CLUSTER_TEMPLATE, json!({}))],
            Self::ChangeConfigMap => vec![changed_config_map()],
        }
    }
}

fn api(client: &Client, namespace: &Namespace, kind: &str) -> Api<DynamicObject> {
    let (group, version) = if kind == "ConfigMap" { ("", "v1") } else { ("longshore.dev", "v1alpha1") };
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
    if kind == CLUSTER_TEMPLATE {
        Api::all_with(client.clone(), &resource)
    } else {
        Api::namespaced_with(client.clone(), &namespace.name, &resource)
    }
}

/// An object of this kind with `spec` on top of the least that it must have.
fn object(kind: &str, name: &str, spec: &Value) -> Value {
    let mut object = action(name, spec);
    object["kind"] = kind.into();
    if kind != ACTION {
        object["spec"].as_object_mut().expect("fields").remove("runPolicy");
    }
    object
}

impl Ask {
    /// As RBAC calls it.
    pub(crate) const fn verb(&self) -> &'static str {
        match self {
            Create(..) => "create",
            Changes(..) => "patch",
            Self::ReadOutcome | Self::ReadLog => "get",
        }
    }

    /// The API server's answer.
    pub(crate) async fn by(&self, person: &Person, place: &Place<'_>) -> Result<(), String> {
        self.at(person, place.namespace).await
    }

    async fn at(&self, person: &Person, namespace: &Namespace) -> Result<(), String> {
        match self {
            Create(kind, spec) => {
                let object = serde_json::from_value(object(kind, "asked", spec)).expect("an object");
                let parameters = PostParams { dry_run: true, ..PostParams::default() };
                let api = api(&person.client, namespace, kind);
                refused(api.create(&parameters, &object).await).map(|_| ())
            }
            Changes(kind, name, change) => {
                let api = api(&person.client, namespace, kind);
                let parameters = PatchParams { dry_run: true, ..PatchParams::default() };
                refused(api.patch(name, &parameters, &Patch::Merge(change)).await).map(|_| ())
            }
            Self::ReadOutcome => {
                let actions: Api<DeploymentAction> = Api::namespaced(person.client.clone(), &namespace.name);
                let status = refused(actions.get("release").await)?.status.unwrap_or_default();
                let url = status.outputs.get("url").map(String::as_str);
                let tail = status.log.map(|log| log.tail);
                (url == Some("https://shop") && tail.as_deref() == Some("the end"))
                    .then_some(())
                    .ok_or_else(|| format!("outputs and log were read as {url:?} and {tail:?}"))
            }
            Self::ReadLog => {
                let pods: Api<Pod> = Api::namespaced(person.client.clone(), &namespace.name);
                refused(pods.logs("pod", &LogParams::default()).await).map(|_| ())
            }
        }
    }
}

/// Runs `test` where people can try all of this.
pub(crate) async fn in_place(test: impl AsyncFnOnce(&Place<'_>)) {
    in_namespace(async |namespace: &Namespace| {
        in_force(namespace).await;
        namespace.config_map("settings", json!({"script": "echo"})).await;
        let mut template = templated_inputs();
        template["parameters"] = json!([{"name": "SERVICE"}, {"name": "TOKEN", "type": "Secret"}]);
        template["packages"] =
            json!([{"name": "orders", "repository": "registry.example.com/charts/orders", "versions": "1.x"}]);
        namespace.put::<DeploymentActionTemplate>(object(TEMPLATE, "deploy", &template)).await;
        let release = of_template(&json!([{"name": "SERVICE", "value": "orders"}]));
        namespace.put::<DeploymentAction>(object(ACTION, "release", &release)).await;
        let script = json!({"configMapKeyRef": {"name": "settings", "key": "script"}});
        let own = json!({"serviceAccountName": "deployer", "script": script});
        namespace.put::<DeploymentAction>(object(ACTION, "own", &own)).await;
        // As if it had run. An operator, where one is deployed, leaves it: nobody asked for a run. Without
        // the condition, an operator that sees it for the first time takes the status for an emptied one.
        let log = json!({"state": "Complete", "lines": 1, "bytes": 8, "tail": "the end"});
        let ready = json!({
            "type": "Ready",
            "status": "True",
            "reason": Reason::NotRequested.as_str(),
            "message": "",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        });
        let status = json!({"outputs": {"url": "https://shop"}, "log": log, "conditions": [ready]});
        let status = Patch::Merge(json!({"status": status}));
        let actions = namespace.api::<DeploymentAction>();
        actions.patch_status("release", &PatchParams::default(), &status).await.expect("a status");
        // No node ever has it, so its log is empty.
        let sandbox = json!({
            "runAsNonRoot": true,
            "allowPrivilegeEscalation": false,
            "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        });
        namespace
            .put::<Pod>(json!({"metadata": {"name": "pod"}, "spec": {
                "schedulingGates": [{"name": "example.com/never"}],
                "containers": [{"name": "script", "image": "registry.example.com/tools:1", "securityContext": sandbox}],
            }}))
            .await;
        let elsewhere = namespace.sibling().await;
        let place = Place { namespace, elsewhere };
        test(&place).await;
        place.elsewhere.remove().await;
    })
    .await;
}
