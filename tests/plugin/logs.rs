//! `kubectl longshore logs`, wherever the log is.

use std::{
    net::TcpListener,
    process::{Child, Stdio},
    time::Duration,
};

use kube::api::DeleteParams;
use serde_json::{Value, json};

use super::{longshore, program, until_out};
use crate::{
    access::person::{Person, rule},
    support::{
        action::Action,
        namespace::{Namespace, in_namespace, tool, until, within},
        rights::Subject,
    },
};

/// Numbers from 1 to `last`, a line each, `pause` seconds apart.
fn counting(last: u32, pause: &str) -> Action {
    Action::script(&format!("for i in $(seq {last}); do echo \"line $i\"; sleep {pause}; done"))
}

fn numbers(last: u32) -> String {
    (1..=last).fold(String::new(), |text, number| text + &format!("line {number}\n"))
}

/// Starts the plugin, and waits for it in a thread that no test waits in.
async fn in_background(namespace: &Namespace, words: &[&str]) -> std::process::Output {
    let mut command = program();
    command.args(["--namespace", &namespace.name]).args(words);
    tokio::task::spawn_blocking(move || command.output().expect("the plugin runs")).await.expect("it ends")
}

#[tokio::test]
async fn a_log_is_followed_from_before_its_pod_to_its_end_and_the_exit_code_is_the_script_s() {
    in_namespace(async |namespace| {
        let script = "for i in $(seq 60); do echo \"line $i\"; sleep 0.05; done; exit 7";
        namespace.apply("deploy", Action::script(script).with("suspend", true)).await;
        let follow =
            async || in_background(namespace, &["logs", "deploy", "-f", "--exit-code", "--events"]).await;
        let begin = async {
            tokio::time::sleep(Duration::from_secs(2)).await;
            longshore(namespace, &["resume", "deploy"]).out();
        };
        let (output, ()) = tokio::join!(follow(), begin);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(String::from_utf8(output.stdout).unwrap(), numbers(60), "{said}");
        assert_eq!(output.status.code(), Some(7), "{said}");
        // What it waited for, and what Kubernetes said meanwhile.
        assert!(said.contains("Suspended") && said.contains("Scheduled: "), "{said}");
        assert_eq!(longshore(namespace, &["logs", "deploy"]).out(), numbers(60));
    })
    .await;
}

#[tokio::test]
async fn parts_and_forms_of_a_log_are_printed_as_asked() {
    in_namespace(async |namespace| {
        let script = "echo one; sleep 0.5; echo two >&2; sleep 0.5; printf '\\033[2Jthree\\n'; printf four";
        let action = namespace
            .apply("deploy", Action::script(script).with("log", json!({"streams": "Separate"})))
            .await;
        action.finished().await.assert_succeeded();
        let logs = |more: &[&str]| longshore(namespace, &[&["logs", "deploy"], more].concat());
        assert_eq!(logs(&["--tail", "2"]).out(), "\u{1b}[2Jthree\nfour");
        assert_eq!(logs(&["--since", "2035-01-01T00:00:00Z"]).out(), "");
        let timed = logs(&["--timestamps", "--run", "1", "--attempt", "1"]).out();
        assert!(timed.starts_with("20") && timed.contains("Z one\n"), "{timed}");
        let pieces: Vec<Value> =
            logs(&["-o", "jsonl"]).out().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let text: Vec<_> =
            pieces.iter().map(|piece| (piece["stream"].as_str(), piece["text"].as_str())).collect();
        assert!(text.contains(&(Some("stderr"), Some("two"))) && text.len() == 4, "{text:?}");
        assert!(logs(&["--run", "2"]).err(3).contains("kubectl longshore history deploy"));
        assert!(logs(&["--attempt", "2"]).err(3).contains("it has had 1"));
        assert!(logs(&["--since", "soon"]).err(2).contains("5m"));
    })
    .await;
}

#[tokio::test]
async fn without_its_pod_the_last_lines_are_those_of_the_status() {
    in_namespace(async |namespace| {
        let action = namespace.apply("deploy", counting(3, "0")).await;
        let done = action.finished().await;
        let pod = done.run().pod_name.clone().unwrap();
        until("the log is read", async || {
            let seen = action.get().await.status?;
            (seen.log?.lines == 3).then_some(())
        })
        .await;
        let pods = namespace.api::<k8s_openapi::api::core::v1::Pod>();
        pods.delete(&pod, &DeleteParams::default()).await.unwrap();
        until("the pod is gone", async || pods.get_opt(&pod).await.unwrap().is_none().then_some(())).await;
        let said = longshore(namespace, &["logs", "deploy"]);
        assert!(
            said.err.contains("the pod is gone") && said.err.contains("from the action's status"),
            "{said:?}"
        );
        assert_eq!(said.out(), numbers(3));
    })
    .await;
}

#[tokio::test]
async fn a_right_on_the_action_s_log_is_enough() {
    in_namespace(async |namespace| {
        let user = format!("reader@{}", namespace.name);
        let reads = [rule("longshore.dev", "deploymentactions", "get")];
        Person::new(namespace, &user, &reads).await;
        let action = namespace.apply("deploy", counting(40, "0.1")).await;
        action.under_way().await;
        let refused = until("the role is seen", async || {
            let said = longshore(namespace, &["logs", "deploy", "-f", "--as", &user]);
            said.err.contains("no right on pods/log").then_some(said)
        })
        .await;
        assert!(refused.err.contains("deploymentactions/log"), "{refused:?}");
        let log = rule("log.longshore.dev", "deploymentactions/log", "get");
        namespace.lets(&Subject::user(&user), "read-log", &[log]).await;
        within(Duration::from_mins(1), "the log comes by the log server", async || {
            let said = longshore(namespace, &["logs", "deploy", "-f", "--as", &user]);
            (said.code == 0 && said.out == numbers(40) && said.err.is_empty()).then_some(())
        })
        .await;
    })
    .await;
}

/// A proxy to the API server that can be ended and started again.
struct Proxy {
    port: u16,
    child: Child,
}

impl Proxy {
    fn start(port: u16) -> Self {
        let child = tool("kubectl")
            .args(["proxy", "--port", &port.to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("kubectl");
        Self { port, child }
    }

    fn end(&mut self) {
        self.child.kill().expect("it was ours to end");
        self.child.wait().expect("it ends");
    }
}

#[tokio::test]
async fn a_connection_that_breaks_costs_no_line_and_doubles_none() {
    in_namespace(async |namespace| {
        let action = namespace.apply("deploy", counting(100, "0.1")).await;
        action.under_way().await;
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut proxy = Proxy::start(port);
        let address = format!("http://127.0.0.1:{}", proxy.port);
        until_out(namespace, &["list", "--server", &address], "deploy").await;
        let words = ["logs", "deploy", "-f", "--server", &address];
        let follow = in_background(namespace, &words);
        let breaks = async {
            for _ in 0..2 {
                tokio::time::sleep(Duration::from_secs(2)).await;
                proxy.end();
                tokio::time::sleep(Duration::from_millis(500)).await;
                proxy = Proxy::start(port);
            }
        };
        let (output, ()) = tokio::join!(follow, breaks);
        proxy.end();
        assert_eq!(
            String::from_utf8(output.stdout).unwrap(),
            numbers(100),
            "{:?}",
            String::from_utf8(output.stderr)
        );
        assert!(output.status.success());
    })
    .await;
}
