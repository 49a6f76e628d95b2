//! `run` and `wait`: they stand for a run, with its log and its exit code.

use std::{
    io::{BufRead, BufReader},
    process::{Command, Stdio},
};

use longshore::api::{DeploymentActionTemplate, Reason};
use serde_json::{Value, json};

use super::{Said, longshore, longshore_with, program};
use crate::support::{
    action::{Action, Handle},
    namespace::{Namespace, examples_image, in_namespace},
};

/// Runs `run -f -` with an action.
fn run(namespace: &Namespace, name: &str, action: Action, flags: &[&str]) -> Said {
    longshore_with(namespace, &[&["run", "-f", "-"], flags].concat(), &action.object(name).to_string())
}

fn handle<'a>(namespace: &'a Namespace, name: &str) -> Handle<'a> {
    Handle { namespace, name: name.to_owned() }
}

#[tokio::test]
async fn a_run_that_succeeds_prints_its_log_alone_and_exits_with_0() {
    in_namespace(async |namespace: &Namespace| {
        let said = run(namespace, "deploy", Action::script("echo one; sleep 1; echo two"), &["--logs"]);
        assert_eq!((said.code, said.out.as_str()), (0, "one\ntwo\n"), "{said:?}");
        assert!(said.err.contains("deploy: created; a run begins"), "{said:?}");
        assert!(said.err.contains("run 1 of deploy succeeded"), "{said:?}");
    })
    .await;
}

#[tokio::test]
async fn the_exit_code_is_that_of_the_script_or_tells_of_a_deadline() {
    in_namespace(async |namespace: &Namespace| {
        let failed = run(namespace, "failed", Action::script("echo bad; exit 7"), &["--logs"]);
        assert_eq!((failed.code, failed.out.as_str()), (7, "bad\n"), "{failed:?}");
        assert!(failed.err.contains("kubectl longshore describe failed"), "{failed:?}");
        let long = Action::script("sleep 600").with("runDeadlineSeconds", 2);
        let late = run(namespace, "late", long, &["--wait"]);
        assert_eq!(late.code, 124, "{late:?}");
        assert!(late.err.contains("DeadlineExceeded"), "{late:?}");
    })
    .await;
}

#[tokio::test]
async fn the_log_of_each_attempt_is_printed() {
    in_namespace(async |namespace: &Namespace| {
        let retry = json!({"limit": 1, "backoffSeconds": 1, "causes": ["ScriptFailed"]});
        let action = Action::script("echo tried; exit 4").with("retry", retry);
        let said = run(namespace, "deploy", action, &["--logs"]);
        assert_eq!((said.code, said.out.as_str()), (4, "tried\ntried\n"), "{said:?}");
    })
    .await;
}

#[tokio::test]
async fn an_unchanged_file_runs_nothing_and_says_so() {
    in_namespace(async |namespace: &Namespace| {
        let action = |word: &str| Action::script("echo \"$1\"").with("args", json!([word]));
        run(namespace, "deploy", action("a"), &["--wait"]).out();
        let same = run(namespace, "deploy", action("a"), &["--logs"]);
        assert_eq!((same.code, same.out.as_str()), (0, ""), "{same:?}");
        assert!(same.err.contains("deploy: unchanged, so nothing runs"), "{same:?}");
        assert!(same.err.contains("kubectl longshore rerun deploy"), "{same:?}");
        let changed = run(namespace, "deploy", action("b"), &["--logs"]);
        assert_eq!((changed.code, changed.out.as_str()), (0, "b\n"), "{changed:?}");
        let settings = run(namespace, "deploy", action("b").with("runDeadlineSeconds", 60), &["--wait"]);
        assert!(settings.code == 0 && settings.out.contains("changed; no run begins"), "{settings:?}");
        let status = handle(namespace, "deploy").get().await.status.unwrap();
        assert_eq!(status.run.unwrap().number, 2);
    })
    .await;
}

fn template() -> Value {
    json!({"metadata": {"name": "release"},
        "spec": {"image": examples_image(), "script": {"inline": "echo \"$SERVICE $STAGE $REPLICAS\""},
            "parameters": [
                {"name": "SERVICE", "required": true},
                {"name": "STAGE", "required": true, "enum": ["test", "production"]},
                {"name": "REPLICAS", "type": "Integer", "default": 2, "maximum": 9}]}})
}

#[tokio::test]
async fn a_template_s_missing_parameters_are_all_named_and_nothing_is_created() {
    in_namespace(async |namespace: &Namespace| {
        namespace.put::<DeploymentActionTemplate>(template()).await;
        let missing = longshore(namespace, &["run", "--template", "release"]).err(6);
        assert!(
            missing.contains("SERVICE is required") && missing.contains("STAGE is required"),
            "{missing}"
        );
        let words =
            ["run", "--template", "release", "-p", "SERVCE=a", "-p", "STAGE=prod", "-p", "REPLICAS=10"];
        let wrong = longshore(namespace, &words).err(6);
        for mistake in ["did you mean SERVICE?", "must be one of test, production", "must be at most 9"] {
            assert!(wrong.contains(mistake), "{mistake:?} is not in:\n{wrong}");
        }
        assert!(longshore(namespace, &["list"]).err(0).contains("no actions"));
        let words = [
            "run",
            "--template",
            "release",
            "-p",
            "SERVICE=web",
            "-p",
            "STAGE=test",
            "-p",
            "REPLICAS=3",
            "--logs",
        ];
        let said = longshore(namespace, &words);
        assert_eq!((said.code, said.out.as_str()), (0, "web test 3\n"), "{said:?}");
        let near = longshore(namespace, &["run", "--template", "releese"]).err(3);
        assert!(near.contains("names like it: release"), "{near}");
    })
    .await;
}

#[tokio::test]
async fn a_file_with_other_objects_is_refused() {
    in_namespace(async |namespace: &Namespace| {
        let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "other"}});
        let text = format!("{map}\n---\n{}", Action::script("true").object("deploy"));
        let refused = longshore_with(namespace, &["run", "-f", "-"], &text).err(2);
        assert!(refused.contains("ConfigMap other") && refused.contains("kubectl apply -f"), "{refused}");
        assert!(longshore(namespace, &["list"]).err(0).contains("no actions"));
    })
    .await;
}

#[tokio::test]
async fn ctrl_c_without_a_terminal_leaves_the_run_alone() {
    in_namespace(async |namespace: &Namespace| {
        let deploy = handle(namespace, "deploy");
        let file = std::env::temp_dir().join(format!("{}.yaml", namespace.name));
        std::fs::write(&file, Action::script("echo begun; sleep 600").object("deploy").to_string()).unwrap();
        let mut command = program();
        command.args(["--namespace", &namespace.name, "run", "--wait", "-f"]).arg(&file);
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut words = BufReader::new(child.stderr.take().unwrap()).lines();
        let progress = words.by_ref().map(Result::unwrap).find(|line| line.contains("deploy: Running"));
        assert!(progress.is_some(), "the plugin says that the script is running");
        let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
        assert!(sent.success());
        let said: String = words.map(|line| line.unwrap() + "\n").collect();
        assert_eq!(child.wait().unwrap().code(), Some(130), "{said}");
        assert!(said.contains("run 1 of deploy goes on\nkubectl longshore cancel deploy"), "{said}");
        assert!(deploy.get().await.status.unwrap().run.unwrap().finished_at.is_none());
        let late = longshore(namespace, &["wait", "deploy", "--timeout", "1s"]).err(124);
        assert!(late.contains("deploy has not finished in time"), "{late}");
        longshore(namespace, &["cancel", "deploy"]).out();
        let ended = longshore(namespace, &["wait", "deploy", "--for", "succeeded"]).err(1);
        assert!(ended.contains("run 1 of deploy was cancelled"), "{ended}");
        assert_eq!(deploy.finished().await.reason(), Some(Reason::Cancelled));
        std::fs::remove_file(&file).unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_rerun_is_waited_for_from_when_it_is_asked_for() {
    in_namespace(async |namespace: &Namespace| {
        run(namespace, "deploy", Action::script("sleep 2"), &["--wait"]).out();
        longshore(namespace, &["rerun", "deploy"]).out();
        let said = longshore(namespace, &["wait", "deploy", "--for=succeeded"]).out();
        assert_eq!(said, "run 2 of deploy succeeded\n");
    })
    .await;
}
