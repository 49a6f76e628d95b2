//! A release with an action in it: `helm install`, `upgrade`, what a failure says, and the hook.

use serde_json::Value;

use super::tools::{Ended, Folder};
use crate::support::namespace::{Namespace, examples_image, in_namespace};

/// The chart of a test, and where it is installed.
struct Release<'a> {
    namespace: &'a Namespace,
    chart: Folder,
}

impl<'a> Release<'a> {
    fn of(namespace: &'a Namespace) -> Self {
        Self { namespace, chart: Folder::with(&namespace.name, &["tests/gitops/chart"]) }
    }

    /// `helm VERB orders CHART` with this script and these flags.
    fn helm(&self, verb: &str, script: &str, flags: &[&str]) -> Ended {
        let chart = self.chart.0.to_str().expect("a path of text");
        let script = format!("script={script}");
        let image = format!("image={0},kubectlImage={0}", examples_image());
        let common = [verb, "orders", chart, "--set-literal", &script, "--set", &image];
        self.namespace.helm(&[&common, flags].concat())
    }

    fn status(&self) -> Value {
        self.namespace.object("orders")["status"].clone()
    }

    async fn assert_run(&self, number: u32, phase: &str, tail: &str) {
        // Helm has waited: the phase is there at once.
        assert_eq!(self.status()["phase"], phase);
        let status = self.namespace.settled("orders").await["status"].clone();
        let seen = (&status["run"]["number"], &status["phase"], &status["log"]["tail"]);
        assert_eq!(seen, (&number.into(), &phase.into(), &tail.into()), "{status}");
    }
}

#[tokio::test]
async fn install_waits_for_the_end_and_upgrade_for_the_new_one() {
    in_namespace(async |namespace| {
        let release = Release::of(namespace);
        release.helm("install", "sleep 1; echo one", &["--wait"]).succeeded();
        release.assert_run(1, "Succeeded", "one\n").await;
        release.helm("upgrade", "sleep 1; echo two", &["--wait"]).succeeded();
        release.assert_run(2, "Succeeded", "two\n").await;
        // The same chart and values: nothing runs.
        release.helm("upgrade", "sleep 1; echo two", &["--wait"]).succeeded();
        release.assert_run(2, "Succeeded", "two\n").await;
        // With the revision as a token, each upgrade runs it.
        let token = ["--wait", "--set-literal", "runToken={{ .Release.Name }}-{{ .Release.Revision }}"];
        for number in [3, 4] {
            release.helm("upgrade", "sleep 1; echo two", &token).succeeded();
            release.assert_run(number, "Succeeded", "two\n").await;
        }
        namespace.helm(&["uninstall", "--wait", "orders"]).succeeded();
        let left = namespace.kubectl(&["get", "deploymentactions", "--output=name"]).succeeded();
        assert_eq!(left, "");
    })
    .await;
}

#[tokio::test]
async fn a_failure_ends_the_wait_with_the_action_s_own_words() {
    in_namespace(async |namespace| {
        let release = Release::of(namespace);
        let said =
            release.helm("install", "echo one; echo two; exit 3", &["--wait", "--timeout=2m"]).failed();
        let what = "status: Failed, message: ScriptFailed: the script ended with exit code 3";
        assert!(said.contains(what), "{said}");
        let action = namespace.settled("orders").await;
        let conditions = action["status"]["conditions"].as_array().expect("conditions");
        let stalled = conditions.iter().find(|one| one["type"] == "Stalled").expect("Stalled");
        let message = stalled["message"].as_str().expect("a message");
        assert!(message.starts_with("ScriptFailed: ") && message.ends_with("log: one | two"), "{message}");
        // Nothing of the action changes: it is what it was, and so is Helm's answer.
        let again = release.helm("upgrade", "echo one; echo two; exit 3", &["--wait"]).failed();
        assert!(again.contains(&format!("status: Failed, message: {message}")), "{again}");
        release.assert_run(1, "Failed", "one\ntwo\n").await;
        release.helm("upgrade", "echo mended", &["--wait"]).succeeded();
        release.assert_run(2, "Succeeded", "mended\n").await;
    })
    .await;
}

#[tokio::test]
async fn without_wait_it_does_not_and_a_timeout_says_what_is_going_on_and_stops_nothing() {
    in_namespace(async |namespace| {
        let release = Release::of(namespace);
        // Long enough for Helm to look at it on a slow machine.
        let script = "sleep 45; echo done";
        release.helm("install", script, &[]).succeeded();
        assert_ne!(release.status()["phase"], "Succeeded");
        let wait = ["wait", "deploymentaction/orders", "--timeout=3m"];
        namespace.kubectl(&[&wait[..], &["--for=jsonpath={.status.phase}=Running"]].concat()).succeeded();
        let said = release.helm("upgrade", script, &["--wait", "--timeout=1s"]).failed();
        assert!(said.contains("status: InProgress, message: the script is running"), "{said}");
        assert!(said.contains("context deadline exceeded"), "{said}");
        namespace.kubectl(&[&wait[..], &["--for=condition=Succeeded"]].concat()).succeeded();
        release.assert_run(1, "Succeeded", "done\n").await;
    })
    .await;
}

#[tokio::test]
async fn a_failed_install_that_is_rolled_back_leaves_nothing() {
    in_namespace(async |namespace| {
        let release = Release::of(namespace);
        let said = release.helm("install", "echo one; exit 3", &["--rollback-on-failure"]).failed();
        assert!(said.contains("ScriptFailed: ") && said.contains("uninstalled"), "{said}");
        let left = namespace.kubectl(&["get", "deploymentactions", "--output=name"]).succeeded();
        assert_eq!(left, "");
    })
    .await;
}

#[tokio::test]
async fn a_failed_upgrade_that_is_rolled_back_runs_the_old_script_again() {
    in_namespace(async |namespace| {
        let release = Release::of(namespace);
        release.helm("install", "echo one", &["--wait"]).succeeded();
        let said = release.helm("upgrade", "echo two; exit 3", &["--rollback-on-failure"]).failed();
        assert!(said.contains("ScriptFailed: ") && said.contains("rolled back"), "{said}");
        release.assert_run(3, "Succeeded", "one\n").await;
    })
    .await;
}

#[tokio::test]
async fn an_action_that_is_itself_a_hook_is_not_waited_for() {
    in_namespace(async |namespace| {
        let release = Release::of(namespace);
        release.helm("install", "sleep 600", &["--wait", "--set=hook=pre-install"]).succeeded();
        let finished = ["wait", "deploymentaction/orders", "--for=condition=Finished", "--timeout=1s"];
        namespace.kubectl(&finished).failed();
    })
    .await;
}

#[tokio::test]
async fn a_hook_job_waits_and_ends_as_the_action_does() {
    in_namespace(async |namespace| {
        let mut release = Release::of(namespace);
        let parts = ["tests/gitops/chart", "gitops/helm"];
        release.chart = Folder::with(&format!("{}-hook", namespace.name), &parts);
        let templates = release.chart.0.join("templates");
        std::fs::rename(release.chart.0.join("hook-job.yaml"), templates.join("hook-job.yaml")).unwrap();
        std::fs::remove_file(templates.join("action.yaml")).unwrap();
        let run = |verb, script| release.helm(verb, script, &["--timeout=2m"]);
        run("install", "sleep 1; echo one").succeeded();
        let status = namespace.object("orders-before")["status"].clone();
        assert_eq!((&status["phase"], &status["run"]["number"]), (&"Succeeded".into(), &1.into()));
        // Unchanged but for the revision in its token.
        run("upgrade", "sleep 1; echo one").succeeded();
        let status = namespace.object("orders-before")["status"].clone();
        assert_eq!((&status["phase"], &status["run"]["number"]), (&"Succeeded".into(), &2.into()));
        let said = run("upgrade", "echo two; exit 3").failed();
        assert!(said.contains("pre-upgrade") && said.contains("Job Failed"), "{said}");
        // The Job's log, which Helm prints.
        assert!(said.contains("ScriptFailed: the script ended with exit code 3"), "{said}");
        // Not of the release, as the documentation says.
        namespace.helm(&["uninstall", "orders"]).succeeded();
        namespace.object("orders-before");
    })
    .await;
}
