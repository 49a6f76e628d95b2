//! `kubectl wait` as people write it.

use longshore::api::Reason;
use serde_json::json;

use super::tools::{Ended, run};
use crate::support::{
    action::{Action, from_secret},
    namespace::{Namespace, in_namespace},
};

const FINISHED: &str = "--for=condition=Finished";
const SUCCEEDED: &str = "--for=condition=Succeeded";
const NOT_SUCCEEDED: &str = "--for=condition=Succeeded=False";
const READY: &str = "--for=condition=Ready";
const NOT_READY: &str = "--for=condition=Ready=False";

fn wait(namespace: &Namespace, name: &str, on: &str, timeout: &str) -> Ended {
    let action = format!("deploymentaction/{name}");
    namespace.kubectl(&["wait", &action, on, &format!("--timeout={timeout}")])
}

/// The state does not change while this is asked: what does not hold at once never does.
#[track_caller]
fn assert_waits(namespace: &Namespace, name: &str, holds: &[&str], waits: &[&str]) {
    for on in holds {
        wait(namespace, name, on, "10s").succeeded();
    }
    for on in waits {
        let said = wait(namespace, name, on, "1s").failed();
        assert!(said.contains("timed out waiting for the condition"), "{on}: {said}");
    }
}

#[tokio::test]
async fn of_an_action_that_was_just_applied() {
    in_namespace(async |namespace| {
        // All wait from before the operator has seen it.
        std::thread::scope(|threads| {
            for (name, on) in [
                ("finished", FINISHED),
                ("succeeded", SUCCEEDED),
                ("ready", READY),
                ("phase", "--for=jsonpath={.status.phase}=Succeeded"),
                ("code", "--for=jsonpath={.status.run.exitCode}=0"),
            ] {
                threads.spawn(move || {
                    let object = Action::script("sleep 0.5").object(name).to_string();
                    namespace.kubectl_with(&["apply", "--filename=-"], &object).succeeded();
                    wait(namespace, name, on, "60s").succeeded();
                    assert_eq!(namespace.object(name)["status"]["phase"], "Succeeded");
                });
            }
        });
    })
    .await;
}

#[tokio::test]
async fn of_one_that_failed() {
    in_namespace(async |namespace| {
        let object = Action::script("sleep 0.5; exit 3").object("action").to_string();
        namespace.kubectl_with(&["apply", "--filename=-"], &object).succeeded();
        wait(namespace, "action", FINISHED, "60s").succeeded();
        let phase = "--for=jsonpath={.status.phase}=Failed";
        let code = "--for=jsonpath={.status.run.exitCode}=3";
        assert_waits(namespace, "action", &[NOT_SUCCEEDED, NOT_READY, phase, code], &[SUCCEEDED, READY]);
    })
    .await;
}

#[tokio::test]
async fn of_one_that_is_under_way() {
    in_namespace(async |namespace| {
        let pending =
            Action::script("echo $TOKEN").with("variables", [from_secret("TOKEN", "missing", "token")]);
        namespace.apply("pending", pending).await.reason(Reason::SecretMissing).await;
        namespace.apply("running", Action::script("sleep 600")).await.reason(Reason::Running).await;
        for name in ["pending", "running"] {
            let reconciling = "--for=condition=Reconciling";
            // Ready=False holds here too: it is no sign of failure.
            assert_waits(namespace, name, &[reconciling, NOT_READY], &[FINISHED, NOT_SUCCEEDED]);
        }
    })
    .await;
}

#[tokio::test]
async fn of_one_that_nobody_asked_to_run() {
    in_namespace(async |namespace| {
        namespace.apply("manual", Action::script("echo hello").with("runPolicy", "Manual")).await;
        // There is no run that could finish.
        assert_waits(namespace, "manual", &[READY], &[FINISHED, SUCCEEDED]);
    })
    .await;
}

#[tokio::test]
async fn after_a_change_on_the_new_run() {
    in_namespace(async |namespace| {
        let action = namespace.apply("changed", Action::script("exit 3")).await;
        action.finished().await;
        for (round, on) in [FINISHED, SUCCEEDED, READY].into_iter().enumerate() {
            let script = format!("sleep 1; echo round {round}");
            let patch = format!("--patch={}", json!({"spec": {"script": {"inline": script}}}));
            // kubectl compares the condition's observedGeneration: the old run's does not count.
            namespace.kubectl(&["patch", "deploymentaction", "changed", "--type=merge", &patch]).succeeded();
            wait(namespace, "changed", on, "60s").succeeded();
            let status = &namespace.object("changed")["status"];
            assert_eq!(
                (&status["run"]["number"], &status["phase"]),
                (&json!(round + 2), &json!("Succeeded"))
            );
        }
    })
    .await;
}

/// The script of docs/guides/gitops.md: applies, waits, prints, and ends as the action did.
#[tokio::test]
async fn in_a_pipeline_as_the_documentation_says() {
    in_namespace(async |namespace| {
        let documentation =
            std::fs::read_to_string(super::tools::repository("docs/guides/gitops.md")).unwrap();
        let script = documentation
            .split("```sh\n")
            .skip(1)
            .filter_map(|block| block.split("```").next())
            .find(|block| block.contains("kubectl wait"))
            .expect("docs/guides/gitops.md has the script");
        for (script_of_action, well) in
            [("echo hello; sleep 1", true), ("echo hello; sleep 1; exit 3", false)]
        {
            let folder = super::tools::Folder::with(&format!("{}-{well}", namespace.name), &[]);
            let object = Action::script(script_of_action).object("deploy-orders").to_string();
            std::fs::write(folder.0.join("deploy-orders.yaml"), object).unwrap();
            let text = format!("cd {}\n{script}", folder.0.display());
            let script = text.replace("-n shop", &format!("-n {}", namespace.name));
            let ended = run("sh", ["-c", &script], "");
            assert_eq!(ended.well, well, "{ended:?}");
            assert!(ended.out.contains("hello\n"), "{ended:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn of_one_that_is_corrected_while_it_waits() {
    in_namespace(async |namespace| {
        let wanted = Action::script("true").with("variables", [from_secret("PASSWORD", "bd", "password")]);
        let action = namespace.apply("deploy", wanted).await;
        action.reason(Reason::SecretMissing).await;
        // The end of the run that yields is nobody's.
        std::thread::scope(|threads| {
            let finished = threads.spawn(|| wait(namespace, "deploy", FINISHED, "2m"));
            let failed = threads.spawn(|| wait(namespace, "deploy", NOT_SUCCEEDED, "20s"));
            let object = Action::script("true").object("deploy").to_string();
            namespace.kubectl_with(&["replace", "--filename=-"], &object).succeeded();
            finished.join().expect("waiting").succeeded();
            failed.join().expect("waiting").failed();
        });
        let done = action.finished().await;
        done.assert_succeeded();
        assert_eq!(done.run().number, 2);
    })
    .await;
}
