//! Beyond the table of [`super::matrix`]: release creators choose only what the template leaves open, and
//! authors of templates release nothing.

use longshore::api::{ANNOTATION_CANCEL, ANNOTATION_RERUN, DeploymentAction};
use serde_json::{Value, json};

use super::{
    deeds::{ACTION, Ask, Place, Who, author_s_rules, creator_s_rules, in_place, of_template},
    person::{Person, action, actions, on, rule, says},
};

const TEMPLATES: &str = include_str!("../../crds/deploymentactiontemplates.yaml");

/// All that a template says and a release does not choose, with a value that would be right elsewhere.
fn owned() -> Value {
    json!({
        "image": "registry.example.com/mine:1",
        "imagePullSecrets": [{"name": "mine"}],
        "script": {"inline": "env"},
        "command": ["env"],
        "args": ["-i"],
        "variables": [{"name": "PATH", "value": "/mine"}],
        "variablesFrom": [{"configMapRef": {"name": "mine"}}],
        "outputs": [{"name": "token"}],
        "serviceAccountName": "deployer",
        "runDeadlineSeconds": 604_800,
        "pendingDeadlineSeconds": 60,
        "terminationGracePeriodSeconds": 0,
        "resources": {"limits": {"cpu": 64}},
        "podTemplate": {"nodeSelector": {"disk": "ssd"}},
        "workingDir": "/app",
        "log": {"streams": "Separate"},
    })
}

/// A field that a template gets later is in here too, or this fails.
#[test]
fn all_that_a_template_says_is_tried() {
    let crd: Value = serde_saphyr::from_str(TEMPLATES).expect("a definition");
    let spec = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"];
    let mut fields: Vec<&String> = spec.as_object().expect("fields").keys().collect();
    // The last is in no template: it is there to be refused.
    fields.retain(|field| !["parameters", "packages", "templateRef"].contains(&field.as_str()));
    fields.sort();
    let owned = owned();
    let mut tried: Vec<&String> = owned.as_object().expect("fields").keys().collect();
    tried.sort();
    assert_eq!(tried, fields);
}

/// The API server's answer to this change, as a dry run.
async fn would_change(
    person: &Person,
    place: &Place<'_>,
    name: &'static str,
    change: Value,
) -> Result<(), String> {
    Ask::Patch(ACTION, name, change).by(person, place).await
}

#[tokio::test]
async fn what_the_template_says_no_release_says_otherwise() {
    in_place(async |place: &Place<'_>| {
        let creator = Who::Creator.arrives(place).await;
        for (field, value) in owned().as_object().expect("fields") {
            let words = format!("{field} is what the template in templateRef says");
            let mut spec = of_template(&json!([]));
            spec[field] = value.clone();
            says(actions(&creator, &place.namespace.name).would_create(&spec).await, &[&words]);
            let change = json!({"spec": {field: value}});
            says(would_change(&creator, place, "release", change).await, &[&words]);
        }
        // A package comes from where the template says.
        let packages = json!([{"name": "orders", "reference": "registry.example.com/mine:1"}]);
        says(
            would_change(&creator, place, "release", json!({"spec": {"packages": packages}})).await,
            &["the template says where the package is"],
        );
    })
    .await;
}

/// The deputy ends where the template does: an action of one's own has one's own rights.
#[tokio::test]
async fn a_release_that_leaves_its_template_names_what_its_creator_may_name() {
    in_place(async |place: &Place<'_>| {
        let creator = Who::Creator.arrives(place).await;
        let own = async |mut spec: Value| {
            spec["templateRef"] = Value::Null;
            spec["parameters"] = Value::Null;
            spec["image"] = json!("registry.example.com/tools:1");
            spec["script"] = json!({"inline": "env"});
            would_change(&creator, place, "release", json!({"spec": spec})).await
        };
        says(
            own(json!({"serviceAccountName": "deployer"})).await,
            &["longshore-use", "\"use\" serviceaccounts/deployer"],
        );
        let password =
            json!([{"name": "A", "valueFrom": {"secretKeyRef": {"name": "db", "key": "password"}}}]);
        says(own(json!({"variables": password})).await, &["longshore-use", "\"use\" secrets/db"]);
        own(json!({})).await.expect("an action that names nothing");
        let other = json!({"spec": {"templateRef": {"name": "other"}}});
        says(
            would_change(&creator, place, "release", other).await,
            &["longshore-use", "\"use\" deploymentactiontemplates.longshore.dev/other"],
        );
    })
    .await;
}

#[tokio::test]
async fn a_release_with_a_secret_as_a_parameter_is_for_who_may_use_the_secret() {
    in_place(async |place: &Place<'_>| {
        let here = place.namespace;
        let token =
            json!([{"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "db", "key": "password"}}}]);
        here.put::<DeploymentAction>(action("theirs", &of_template(&token))).await;
        let creator = Who::Creator.arrives(place).await;
        let rules = [&creator_s_rules()[..], &[on("secrets", "use", &["db"])]].concat();
        let trusted = Person::new(here, "trusted", &rules).await;
        actions(&trusted, &here.name).must_create(&of_template(&token)).await;

        let answer = actions(&creator, &here.name).would_create(&of_template(&token)).await;
        says(answer, &["longshore-use", "\"use\" secrets/db"]);
        let annotated = |name: &str| json!({"metadata": {"annotations": {name: "x-1"}}});
        for change in [
            json!({"spec": {"runToken": "again"}}),
            json!({"spec": {"parameters": [token[0], {"name": "SERVICE", "value": "billing"}]}}),
            annotated(ANNOTATION_RERUN),
        ] {
            let answer = would_change(&creator, place, "theirs", change.clone()).await;
            says(answer, &["longshore-use", "creator", "\"use\" secrets/db"]);
            would_change(&trusted, place, "theirs", change).await.expect("they may use the Secret");
        }
        // Stopping it shows nobody the Secret, and neither does taking the Secret away.
        would_change(&creator, place, "theirs", annotated(ANNOTATION_CANCEL)).await.expect("a cancel");
        let without = json!({"spec": {"parameters": null}});
        would_change(&creator, place, "theirs", without).await.expect("an action without the Secret");
    })
    .await;
}

#[tokio::test]
async fn a_template_s_author_releases_nothing_of_it_unless_allowed() {
    in_place(async |place: &Place<'_>| {
        let here = place.namespace;
        let of = || of_template(&json!([{"name": "SERVICE", "value": "orders"}]));
        let only = Who::TemplateAuthor.arrives(place).await;
        says(actions(&only, &here.name).would_create(&of()).await, &["author", "cannot create resource"]);

        // Actions of their own, with what they may name; and none of the template.
        let rules = [&author_s_rules()[..], &[rule("longshore.dev", "deploymentactions", "*")]].concat();
        let both = Person::new(here, "both", &rules).await;
        actions(&both, &here.name).must_create(&json!({"serviceAccountName": "deployer"})).await;
        says(
            actions(&both, &here.name).would_create(&of()).await,
            &["longshore-use", "both", "\"use\" deploymentactiontemplates.longshore.dev/deploy"],
        );

        let rules = [&author_s_rules()[..], &creator_s_rules()[..]].concat();
        let allowed = Person::new(here, "allowed", &rules).await;
        actions(&allowed, &here.name).must_create(&of()).await;
    })
    .await;
}
