//! Actions as a test writes them, and what became of them.

use k8s_openapi::{api::core::v1::Pod, apimachinery::pkg::apis::meta::v1::Condition};
use kube::api::{DeleteParams, Patch, PatchParams};
use longshore::{
    api::{
        ConditionType, DeploymentAction, DeploymentActionStatus, Phase, Reason,
        status::{ImageStatus, LogState, LogStatus, RunStatus},
    },
    record::frame::{Kind, kind_of},
};
use serde_json::{Value, json};

use super::namespace::{Namespace, examples_image, until};

/// The spec of an action.
#[derive(Debug, Clone)]
pub(crate) struct Action(Value);

impl Action {
    /// A script without an interpreter of its own.
    pub(crate) fn script(inline: &str) -> Self {
        Self(json!({"image": examples_image(), "script": {"inline": inline}}))
    }

    pub(crate) fn command(argv: &[&str]) -> Self {
        Self(json!({"image": examples_image(), "command": argv}))
    }

    /// What a template says, of the namespace unless a kind is named.
    pub(crate) fn of_template(kind: Option<&str>, name: &str) -> Self {
        Self(json!({"templateRef": {"kind": kind, "name": name}}))
    }

    /// Sets a field of the spec.
    pub(crate) fn with(mut self, field: &str, value: impl Into<Value>) -> Self {
        self.0[field] = value.into();
        self
    }

    pub(crate) fn image(self, image: &str) -> Self {
        self.with("image", image)
    }

    /// Declares outputs that need not be written.
    pub(crate) fn outputs(self, names: &[&str]) -> Self {
        let outputs: Vec<Value> = names.iter().map(|name| json!({"name": name})).collect();
        self.with("outputs", outputs)
    }

    pub(crate) fn object(self, name: &str) -> Value {
        json!({
            "apiVersion": "longshore.dev/v1alpha1",
            "kind": "DeploymentAction",
            "metadata": {"name": name},
            "spec": self.0,
        })
    }
}

/// A variable from a Secret.
pub(crate) fn from_secret(variable: &str, name: &str, key: &str) -> Value {
    json!({"name": variable, "valueFrom": {"secretKeyRef": {"name": name, "key": key}}})
}

/// A variable from a `ConfigMap`.
pub(crate) fn from_config_map(variable: &str, name: &str, key: &str) -> Value {
    json!({"name": variable, "valueFrom": {"configMapKeyRef": {"name": name, "key": key}}})
}

/// An action in the cluster.
pub(crate) struct Handle<'a> {
    pub(crate) namespace: &'a Namespace,
    pub(crate) name: String,
}

impl Handle<'_> {
    pub(crate) async fn get(&self) -> DeploymentAction {
        self.namespace.api().get(&self.name).await.expect("reading the action")
    }

    /// Changes the action by a merge patch.
    pub(crate) async fn patch(&self, patch: Value) -> DeploymentAction {
        let actions = self.namespace.api::<DeploymentAction>();
        actions
            .patch(&self.name, &PatchParams::default(), &Patch::Merge(patch))
            .await
            .expect("patching the action")
    }

    pub(crate) async fn annotate(&self, name: &str, value: impl Into<Value>) {
        self.patch(json!({"metadata": {"annotations": {name: value.into()}}})).await;
    }

    pub(crate) async fn patch_spec(&self, spec: Value) -> DeploymentAction {
        self.patch(json!({"spec": spec})).await
    }

    pub(crate) async fn delete(&self, parameters: &DeleteParams) {
        let actions = self.namespace.api::<DeploymentAction>();
        actions.delete(&self.name, parameters).await.expect("deleting the action");
    }

    pub(crate) async fn until(&self, what: &str, when: impl Fn(&Done) -> bool) -> Done {
        until(what, async || {
            let seen = Done::of(self.get().await);
            when(&seen).then_some(seen)
        })
        .await
    }

    /// Waits for the end of the run of the latest spec, and of its log.
    pub(crate) async fn finished(&self) -> Done {
        self.until("the action is finished", Done::is_over).await
    }

    /// Waits until Ready has this reason.
    pub(crate) async fn reason(&self, reason: Reason) -> Done {
        let what = format!("Ready has the reason {}", reason.as_str());
        self.until(&what, |action| action.is_seen() && action.reason() == Some(reason)).await
    }

    /// Waits until the pod shows the script's first line. The status may say Running seconds later, since a
    /// busy kubelet reports late.
    pub(crate) async fn under_way(&self) -> Pod {
        let launched = self
            .until("the pod is named", |action| {
                action.status().run.as_ref().is_some_and(|run| run.pod_name.is_some())
            })
            .await;
        let name = launched.run().pod_name.clone().expect("it is named");
        let pods = self.namespace.api::<Pod>();
        until("the script's first line", async || {
            let log = pods.logs(&name, &kube::api::LogParams::default()).await.unwrap_or_default();
            log.lines().any(|line| kind_of(line.as_bytes()) == Some(Kind::Both)).then_some(())
        })
        .await;
        pods.get(&name).await.expect("reading the pod")
    }

    /// The pod of the latest run.
    pub(crate) async fn pod(&self) -> Pod {
        let name = Done::of(self.get().await).run().pod_name.clone().expect("the action has a pod");
        self.namespace.api::<Pod>().get(&name).await.expect("reading the pod")
    }
}

/// The state of an action.
#[derive(Debug, Clone)]
pub(crate) struct Done(pub(crate) Box<DeploymentAction>);

impl Done {
    pub(crate) fn of(action: DeploymentAction) -> Self {
        Self(Box::new(action))
    }

    pub(crate) fn status(&self) -> &DeploymentActionStatus {
        self.0.status.as_ref().expect("the API server sets a status")
    }

    /// Whether the status speaks of the latest spec.
    pub(crate) fn is_seen(&self) -> bool {
        self.status().observed_generation == self.0.metadata.generation
    }

    /// Whether the run of the latest spec has ended, and its log is read.
    pub(crate) fn is_over(&self) -> bool {
        let reading = self.status().log.as_ref().is_some_and(|log| log.state == LogState::Collecting);
        self.is_seen() && self.is_finished() && !reading
    }

    pub(crate) fn is_finished(&self) -> bool {
        self.status().conditions().is_true(ConditionType::Finished)
    }

    pub(crate) fn run(&self) -> &RunStatus {
        self.status().run.as_ref().expect("there was a run")
    }

    pub(crate) fn image(&self) -> &ImageStatus {
        self.status().image.as_ref().expect("the image was resolved")
    }

    pub(crate) fn log(&self) -> &LogStatus {
        self.status().log.as_ref().expect("there is a log")
    }

    pub(crate) fn tail(&self) -> &str {
        &self.log().tail
    }

    pub(crate) fn output(&self, name: &str) -> &str {
        self.status().outputs.get(name).unwrap_or_else(|| panic!("there is no output {name}"))
    }

    pub(crate) fn condition(&self, kind: ConditionType) -> &Condition {
        self.status()
            .conditions()
            .get(kind)
            .unwrap_or_else(|| panic!("there is no condition {}: {}", kind.as_str(), self.conditions()))
    }

    pub(crate) fn reason(&self) -> Option<Reason> {
        Reason::parse(&self.status().conditions().get(ConditionType::Ready)?.reason)
    }

    pub(crate) fn message(&self) -> &str {
        &self.condition(ConditionType::Ready).message
    }

    /// All conditions, in one line.
    pub(crate) fn conditions(&self) -> String {
        let line = |condition: &Condition| format!("{}={}", condition.type_, condition.status);
        self.status().conditions.iter().map(line).collect::<Vec<_>>().join(" ")
    }

    /// It succeeded, and looks as DESIGN's table says.
    pub(crate) fn assert_succeeded(&self) -> &Self {
        assert_eq!(self.reason(), Some(Reason::Succeeded), "{}", self.message());
        assert_eq!(self.status().phase, Some(Phase::Succeeded));
        assert!(
            self.conditions().starts_with("Ready=True Succeeded=True Finished=True")
                && !self.conditions().contains("Stalled")
                && !self.conditions().contains("Reconciling"),
            "{}",
            self.conditions()
        );
        assert_eq!(self.run().exit_code, Some(0));
        self.assert_log_complete();
        self
    }

    /// It failed for this reason, and looks as DESIGN's table says.
    pub(crate) fn assert_failed(&self, reason: Reason, exit_code: Option<i32>) -> &Self {
        assert_eq!(self.reason(), Some(reason), "{}", self.message());
        assert_eq!(self.status().phase, Some(Phase::Failed));
        assert!(
            self.conditions().starts_with("Ready=False Succeeded=False Finished=True Stalled=True")
                && !self.conditions().contains("Reconciling"),
            "{}",
            self.conditions()
        );
        for condition in &self.status().conditions[..4] {
            assert_eq!(condition.reason, reason.as_str(), "{}", condition.type_);
            assert_eq!(condition.observed_generation, self.0.metadata.generation, "{}", condition.type_);
        }
        // The runner's own words say what to do where it knows better than the table.
        let advised = matches!(
            reason,
            Reason::InputInvalid
                | Reason::WorkingDirUnusable
                | Reason::InterpreterNotFound
                | Reason::CommandNotFound
                | Reason::FrozenInputsChanged
                | Reason::OutputsUnreadable
        );
        let silent = reason == Reason::ScriptFailed && self.message().contains("It wrote nothing");
        assert!(
            advised || silent || self.message().contains(reason.advice()),
            "no way out: {}",
            self.message()
        );
        let stalled = &self.condition(ConditionType::Stalled).message;
        assert!(stalled.starts_with(reason.as_str()) && stalled.len() <= 512, "{stalled}");
        assert_eq!(self.run().exit_code, exit_code);
        self
    }

    /// Each of the words is in the message.
    pub(crate) fn assert_says(&self, words: &[&str]) -> &Self {
        for word in words {
            assert!(self.message().contains(word), "{word:?} is not in: {}", self.message());
        }
        self
    }

    pub(crate) fn assert_log_complete(&self) -> &Self {
        let log = self.log();
        assert_eq!(log.state, LogState::Complete, "{:?}", log.missing);
        assert_eq!((log.missing.len(), log.foreign_lines), (0, 0));
        assert!(log.sha256.is_some());
        self
    }

    pub(crate) fn assert_tail_has(&self, words: &[&str]) -> &Self {
        for word in words {
            assert!(self.tail().contains(word), "{word:?} is not in the log:\n{}", self.tail());
        }
        self
    }
}
