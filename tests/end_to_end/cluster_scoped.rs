//! Objects of the whole cluster that a test needs for its own namespace. The namespace owns them,
//! so that they go with it, whatever the test's end.

use std::fmt::Debug;

use k8s_openapi::{
    ClusterResourceScope,
    api::{
        admissionregistration::v1::{
            MutatingAdmissionPolicy, MutatingAdmissionPolicyBinding, ValidatingAdmissionPolicy,
            ValidatingAdmissionPolicyBinding, ValidatingWebhookConfiguration,
        },
        core::v1::Pod,
    },
};
use kube::{
    Api, Resource,
    api::{DeleteParams, PostParams},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::support::namespace::{Namespace, examples_image, until};

impl Namespace {
    /// Creates an object under the namespace's own name.
    pub(crate) async fn put_for_cluster<K>(&self, object: &Value) -> K
    where
        K: Resource<Scope = ClusterResourceScope, DynamicType = ()>
            + Clone
            + Debug
            + Serialize
            + DeserializeOwned,
    {
        let mut object: K = serde_json::from_value(object.clone()).expect("an object of its kind");
        object.meta_mut().name = Some(self.name.clone());
        object.meta_mut().owner_references = Some(vec![self.as_owner().await]);
        let all = Api::<K>::all(self.client.clone());
        all.create(&PostParams::default(), &object).await.expect("creating an object of the cluster")
    }

    /// Has every pod of the namespace changed on its way, by what a CEL expression gives: a list of
    /// JSON patches.
    pub(crate) async fn mutate_pods(&self, patches: &str) {
        let before = self.dry_run().await.expect("a pod is let in").spec;
        self.put_for_cluster::<MutatingAdmissionPolicy>(&json!({"spec": {
            "matchConstraints": self.its_pods(),
            "reinvocationPolicy": "Never",
            "failurePolicy": "Fail",
            "mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression": patches}}],
        }}))
        .await;
        self.put_for_cluster::<MutatingAdmissionPolicyBinding>(&json!({"spec": {"policyName": self.name}}))
            .await;
        until("pods are changed", async || {
            let after = self.dry_run().await.expect("a changed pod is let in").spec;
            (after != before).then_some(())
        })
        .await;
    }

    /// Has every pod of the namespace refused with this message.
    pub(crate) async fn refuse_pods(&self, message: &str) {
        self.put_for_cluster::<ValidatingAdmissionPolicy>(&json!({"spec": {
            "matchConstraints": self.its_pods(),
            "failurePolicy": "Fail",
            "validations": [{"expression": "false", "message": message}],
        }}))
        .await;
        self.put_for_cluster::<ValidatingAdmissionPolicyBinding>(
            &json!({"spec": {"policyName": self.name, "validationActions": ["Deny"]}}),
        )
        .await;
        self.until_refused().await;
    }

    /// Has the API server ask a webhook about every pod of the namespace that nobody serves.
    pub(crate) async fn ask_nobody(&self) {
        let constraints = self.its_pods();
        self.put_for_cluster::<ValidatingWebhookConfiguration>(&json!({"webhooks": [{
            "name": "nobody.longshore.test",
            "admissionReviewVersions": ["v1"],
            "sideEffects": "None",
            "failurePolicy": "Fail",
            "timeoutSeconds": 2,
            "clientConfig": {"service": {"namespace": self.name, "name": "nobody"}},
            "namespaceSelector": constraints["namespaceSelector"],
            "rules": constraints["resourceRules"],
        }]}))
        .await;
        self.until_refused().await;
    }

    /// Has it ask nobody any more.
    pub(crate) async fn ask_no_more(&self) {
        let webhooks: Api<ValidatingWebhookConfiguration> = Api::all(self.client.clone());
        webhooks.delete(&self.name, &DeleteParams::default()).await.expect("deleting the webhook");
    }

    async fn until_refused(&self) {
        until("pods are refused", async || self.dry_run().await.is_err().then_some(())).await;
    }

    fn its_pods(&self) -> Value {
        json!({
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": self.name}},
            "resourceRules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}],
        })
    }

    /// The API server's answer to a pod that "restricted" lets in. New policies take a moment.
    async fn dry_run(&self) -> kube::Result<Pod> {
        let pod = serde_json::from_value(json!({
            "metadata": {"name": "dry-run"},
            "spec": {
                "automountServiceAccountToken": false,
                "restartPolicy": "Never",
                "securityContext": {"runAsNonRoot": true, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}},
                "containers": [{
                    "name": "action",
                    "image": "example.com/image",
                    "command": ["/program"],
                    "env": [{"name": "A", "value": "b"}],
                    "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
                }],
            },
        }))
        .expect("a pod");
        self.api::<Pod>().create(&PostParams { dry_run: true, ..PostParams::default() }, &pod).await
    }
}

/// A container that others inject, as a CEL expression: `script` by the shell of the examples'
/// image.
pub(crate) fn injected(list: &str, script: &str, more: &str) -> String {
    format!(
        "Object.spec.{list}{{name: 'beside', image: '{image}', command: ['sh', '-c', {script:?}], {more} \
         securityContext: Object.spec.{list}.securityContext{{allowPrivilegeEscalation: false, \
         capabilities: Object.spec.{list}.securityContext.capabilities{{drop: ['ALL']}}}}}}",
        image = examples_image(),
    )
}
