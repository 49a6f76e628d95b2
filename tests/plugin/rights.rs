//! What the plugin says to people without rights, without a cluster, and about the installation.

use serde_json::Value;

use super::{Said, longshore, program};
use crate::{
    access::person::{Person, SEEN},
    support::{
        action::Action,
        namespace::{Namespace, in_namespace, within},
    },
};

fn as_user(namespace: &Namespace, user: &str, words: &[&str]) -> Said {
    longshore(namespace, &[&["--as", user, "--as-group", "system:authenticated"], words].concat())
}

#[tokio::test]
async fn a_missing_right_is_told_with_the_command_that_grants_it() {
    in_namespace(async |namespace: &Namespace| {
        namespace.apply("deploy", Action::script("true")).await.finished().await;
        let user = format!("reader-{}", namespace.name);
        let refused = as_user(namespace, &user, &["list"]).err(4);
        assert!(
            refused.contains(&format!("{user} may not list deploymentactions.longshore.dev")),
            "{refused}"
        );
        let command = refused.lines().find(|line| line.starts_with("kubectl create rolebinding")).unwrap();
        // The command does what it says.
        let made = std::process::Command::new("sh").args(["-c", command]).status().unwrap();
        assert!(made.success(), "{command}");
        within(SEEN, "the right is there", async || {
            (as_user(namespace, &user, &["list"]).code == 0).then_some(())
        })
        .await;
        let refused = as_user(namespace, &user, &["suspend", "deploy"]).err(4);
        assert!(refused.contains("may not patch") && refused.contains("--clusterrole=edit"), "{refused}");
        let text = as_user(namespace, &user, &["describe", "deploy"]).out();
        assert!(text.contains("Succeeded"), "{text}");
    })
    .await;
}

#[tokio::test]
async fn check_says_whether_all_is_well_and_what_is_missing() {
    in_namespace(async |namespace: &Namespace| {
        let all = longshore(namespace, &["check"]);
        assert_eq!(all.code, 0, "{all:?}");
        for words in ["longshore.dev/v1alpha1", "pods ready", "stand as installed", "run actions"] {
            assert!(all.out.contains(words), "{words:?} is not in:\n{}", all.out);
        }
        let user = format!("viewer-{}", namespace.name);
        let person = Person::called(&user).await;
        person.is(namespace, "view").await;
        within(SEEN, "the role is there", async || {
            (as_user(namespace, &user, &["list"]).code == 0).then_some(())
        })
        .await;
        let some = as_user(namespace, &user, &["check", "-o", "json"]);
        assert_eq!(some.code, 4, "{some:?}");
        let findings: Value = serde_json::from_str(&some.out).unwrap();
        let verdict = |what: &str| {
            let all = findings.as_array().unwrap();
            all.iter().find(|one| one["what"] == what).map(|one| one["verdict"].clone())
        };
        assert_eq!(verdict("see actions"), Some("ok".into()));
        assert_eq!(verdict("run actions"), Some("bad".into()));
        assert!(some.out.contains("--clusterrole=edit"), "{}", some.out);
    })
    .await;
}

#[tokio::test]
async fn without_a_cluster_the_address_and_what_to_check_are_told() {
    let run = |words: &[&str]| {
        let output = program().args(words).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, said) = run(&["list", "--server", "https://127.0.0.1:1"]);
    assert_eq!(code, Some(5), "{said}");
    assert!(
        said.contains("https://127.0.0.1:1 does not answer") && said.contains("kubectl config"),
        "{said}"
    );
    let (code, said) = run(&["list", "--context", "no-such-context"]);
    assert_eq!(code, Some(5), "{said}");
    assert!(said.contains("kubectl config get-contexts"), "{said}");
    let (code, said) = run(&["list", "--phase", "Done"]);
    assert_eq!(code, Some(2), "{said}");
}
