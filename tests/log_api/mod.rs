//! The log server on a real cluster: people read logs by their right on the action. The suite's release has
//! `logApi.enabled`.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures::{AsyncBufReadExt, StreamExt};
use k8s_openapi::api::core::v1::Pod;
use kube::{
    ResourceExt,
    api::{DeleteParams, ListParams},
};
use longshore::api::LABEL_ACTION;
use serde_json::Value;

use crate::{
    access::person::{Person, rule},
    support::{
        action::Action,
        namespace::{Namespace, in_namespace, until},
    },
};

fn path(namespace: &Namespace, name: &str, query: &str) -> String {
    format!(
        "/apis/log.longshore.dev/v1alpha1/namespaces/{}/deploymentactions/{name}/log?{query}",
        namespace.name
    )
}

/// The log as this person gets it, or the code and the sentence of the refusal.
async fn read(
    person: &Person,
    namespace: &Namespace,
    name: &str,
    query: &str,
) -> Result<String, (u16, String)> {
    let request = http::Request::get(path(namespace, name, query)).body(Vec::new()).expect("a request");
    match person.client.request_text(request).await {
        Ok(text) => Ok(text),
        Err(kube::Error::Api(status)) => Err((status.code, status.message)),
        Err(other) => panic!("no answer: {other}"),
    }
}

/// The server may not be there yet, or hear of a role a moment later.
async fn must_read(person: &Person, namespace: &Namespace, name: &str, query: &str) -> String {
    until("the log can be read", async || match read(person, namespace, name, query).await {
        Ok(text) => Some(text),
        Err((code, words)) => {
            eprintln!("{code} {words}");
            None
        }
    })
    .await
}

fn refused(answer: Result<String, (u16, String)>, code: u16, words: &str) {
    let (answered, message) = answer.expect_err("it must be refused");
    assert!(answered == code && message.contains(words), "{answered} {message}");
}

async fn reader(namespace: &Namespace, user: &str) -> Person {
    Person::new(namespace, user, &[rule("log.longshore.dev", "deploymentactions/log", "get")]).await
}

#[tokio::test]
async fn a_log_is_read_by_right_on_the_action_and_without_one_on_pods() {
    in_namespace(async |namespace: &Namespace| {
        let action = Action::script("for n in $(seq 1000); do echo line $n; done; echo end >&2");
        namespace.apply("talks", action).await.finished().await.assert_succeeded();
        let anna = reader(namespace, "anna").await;
        let whole: String = (1..=1000).map(|n| format!("line {n}\n")).collect::<Vec<_>>().concat() + "end\n";
        assert_eq!(must_read(&anna, namespace, "talks", "").await, whole);
        assert_eq!(must_read(&anna, namespace, "talks", "run=1&attempt=1").await, whole);
        assert_eq!(must_read(&anna, namespace, "talks", "tailLines=2").await, "line 1000\nend\n");
        assert_eq!(must_read(&anna, namespace, "talks", "follow=true&tailLines=1").await, "end\n");
        assert_eq!(must_read(&anna, namespace, "talks", "sinceTime=2100-01-01T00:00:00Z").await, "");
        let stamped = must_read(&anna, namespace, "talks", "timestamps=true&tailLines=1").await;
        assert!(stamped.starts_with("20") && stamped.ends_with("Z end\n"), "{stamped}");
        let json = must_read(&anna, namespace, "talks", "format=jsonl&tailLines=1").await;
        let json: Value = serde_json::from_str(&json).expect("a line of JSON");
        assert_eq!(json["text"], "end");
        // Not by the pod.
        let pods = kube::Api::<Pod>::namespaced(anna.client.clone(), &namespace.name);
        assert!(pods.list(&ListParams::default()).await.is_err());

        let viewer = Person::called("victor").await;
        viewer.is(namespace, "view").await;
        assert_eq!(must_read(&viewer, namespace, "talks", "").await, whole);

        let nobody =
            Person::new(namespace, "nobody", &[rule("longshore.dev", "deploymentactions", "get")]).await;
        refused(read(&nobody, namespace, "talks", "").await, 403, "deploymentactions/log");
        let other = namespace.sibling().await;
        let elsewhere = reader(&other, "elsewhere").await;
        refused(read(&elsewhere, namespace, "talks", "").await, 403, "elsewhere");
        other.remove().await;

        for (query, code, words) in [
            ("run=2", 404, "its latest run is 1"),
            ("attempt=2", 404, "its latest attempt is 1"),
            ("format=xml", 400, "text or jsonl"),
            ("tailLines=x", 400, "tailLines"),
        ] {
            refused(read(&anna, namespace, "talks", query).await, code, words);
        }
        refused(read(&anna, namespace, "none", "").await, 404, "no DeploymentAction");
    })
    .await;
}

#[tokio::test]
async fn a_log_is_never_that_of_a_predecessor_and_goes_with_its_pod() {
    in_namespace(async |namespace: &Namespace| {
        let anna = reader(namespace, "anna").await;
        let first = namespace.apply("again", Action::script("echo of the first")).await;
        first.finished().await.assert_succeeded();
        assert_eq!(must_read(&anna, namespace, "again", "").await, "of the first\n");
        // Its pod may stay for a while.
        first.delete(&DeleteParams::background()).await;
        until("it is gone", async || {
            let actions = namespace.api::<longshore::api::DeploymentAction>();
            actions.get_opt("again").await.expect("reading").is_none().then_some(())
        })
        .await;
        let second =
            namespace.apply("again", Action::script("echo of the second").with("runPolicy", "Manual")).await;
        refused(read(&anna, namespace, "again", "").await, 404, "not run yet");
        second.patch_spec(serde_json::json!({"runToken": "now"})).await;
        second.finished().await.assert_succeeded();
        assert_eq!(must_read(&anna, namespace, "again", "").await, "of the second\n");

        let pods = namespace.api::<Pod>();
        let pod = second.pod().await.name_any();
        pods.delete(&pod, &DeleteParams::default().grace_period(0)).await.expect("deleting a pod");
        until("the pod is gone", async || {
            let of = ListParams::default().labels(&format!("{LABEL_ACTION}=again"));
            let left = pods.list(&of).await.expect("listing pods");
            (!left.iter().any(|left| left.name_any() == pod)).then_some(())
        })
        .await;
        refused(read(&anna, namespace, "again", "").await, 410, "podRetentionSeconds");
    })
    .await;
}

#[tokio::test]
async fn a_log_is_followed_from_before_its_script_starts() {
    in_namespace(async |namespace: &Namespace| {
        let anna = reader(namespace, "anna").await;
        let script = "echo begun; until [ -e /tmp/open ]; do sleep 0.2; done; echo ended";
        let action = namespace.apply("slow", Action::script(script)).await;
        let request =
            http::Request::get(path(namespace, "slow", "follow=true")).body(Vec::new()).expect("a request");
        let stream = anna.client.request_stream(request).await.expect("a stream");
        let mut lines = Box::pin(stream.lines());
        assert_eq!(lines.next().await.expect("a line").expect("it is whole"), "begun");
        let pod = action.pod().await.name_any();
        // The script still waits.
        let opened = crate::support::namespace::tool("kubectl")
            .args(["exec", &pod, "--namespace", &namespace.name, "--container", "action", "--"])
            .args(["touch", "/tmp/open"])
            .status()
            .expect("kubectl");
        assert!(opened.success());
        assert_eq!(lines.next().await.expect("a line").expect("it is whole"), "ended");
        assert!(lines.next().await.is_none(), "the log ends with the script");
        action.finished().await.assert_succeeded();
    })
    .await;
}

/// The node is this machine, so both times are of one clock.
#[tokio::test]
async fn a_line_can_be_read_within_two_seconds_of_being_written() {
    in_namespace(async |namespace: &Namespace| {
        let anna = reader(namespace, "anna").await;
        let script = "for n in $(seq 60); do date +%s%N; sleep 0.1; done";
        namespace.apply("ticks", Action::script(script)).await;
        let request =
            http::Request::get(path(namespace, "ticks", "follow=true")).body(Vec::new()).expect("a request");
        let stream = anna.client.request_stream(request).await.expect("a stream");
        let mut lines = Box::pin(stream.lines());
        let mut late = Vec::new();
        while let Some(line) = lines.next().await {
            let written: u64 = line.expect("it is whole").parse().expect("nanoseconds");
            let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a time after 1970");
            late.push(now.saturating_sub(Duration::from_nanos(written)));
        }
        assert_eq!(late.len(), 60);
        late.sort_unstable();
        println!("a line is read after {:?}, at most after {:?}", late[30], late[59]);
        assert!(late[59] < Duration::from_secs(2), "{:?}", late[59]);
    })
    .await;
}

/// The group has no resource, so words for actions mean actions.
#[tokio::test]
async fn kubectl_finds_actions_as_before() {
    in_namespace(async |namespace: &Namespace| {
        let anna = reader(namespace, "anna").await;
        namespace.apply("talks", Action::script("echo hi")).await.finished().await.assert_succeeded();
        must_read(&anna, namespace, "talks", "").await;
        for words in ["deploymentactions", "deploymentaction", "da"] {
            let output = crate::support::namespace::tool("kubectl")
                .args(["get", words, "--namespace", &namespace.name, "--output", "name"])
                .output()
                .expect("kubectl");
            let told = String::from_utf8_lossy(&output.stdout);
            assert_eq!(told.trim(), "deploymentaction.longshore.dev/talks", "{words}");
        }
        let raw = crate::support::namespace::tool("kubectl")
            .args(["get", "--raw", &path(namespace, "talks", "")])
            .output()
            .expect("kubectl");
        assert_eq!(String::from_utf8_lossy(&raw.stdout), "hi\n");
    })
    .await;
}
