//! Without the policy that guards what actions may name, nothing that names anything starts. It
//! takes the policy's binding away from the whole cluster, so it runs alone, and puts it back.

use std::panic::{AssertUnwindSafe, resume_unwind};

use futures::FutureExt;
use k8s_openapi::api::admissionregistration::v1::ValidatingAdmissionPolicyBinding;
use kube::{
    Api,
    api::{DeleteParams, Patch, PatchParams, PostParams},
};
use longshore::api::{Reason, policy};
use serde_json::json;

use crate::support::{
    action::{Action, from_secret},
    namespace::{client, in_namespace},
    turns::alone,
};

#[tokio::test]
async fn nothing_that_names_anything_starts_without_the_policy() {
    let _alone = alone().await;
    let bindings: Api<ValidatingAdmissionPolicyBinding> = Api::all(client().await);
    let mut installed = bindings.get(policy::USE).await.expect("the chart installs the binding");
    let warn = json!({"spec": {"validationActions": ["Warn"]}});
    bindings.patch(policy::USE, &PatchParams::default(), &Patch::Merge(warn)).await.unwrap();
    let outcome = AssertUnwindSafe(in_namespace(async |namespace| {
        namespace.secret("token", json!({"token": "not-for-the-log"})).await;
        let naming = Action::script("echo \"token $TOKEN\"")
            .with("variables", json!([from_secret("TOKEN", "token", "token")]));
        let waiting = namespace.apply("waiting", naming.clone()).await;
        let told = waiting.reason(Reason::PolicyMissing).await;
        told.assert_says(&["Secret token", policy::USE, "validationActions"]);
        // Taken away altogether it is no better.
        bindings.delete(policy::USE, &DeleteParams::default()).await.unwrap();
        waiting.until("the binding is missed", |action| action.message().contains("is missing")).await;
        // What names nothing needs no policy.
        namespace.apply("plain", Action::script("echo hello")).await.finished().await.assert_succeeded();
        let ended = namespace.apply("ended", naming.with("pendingDeadlineSeconds", 3)).await;
        ended.finished().await.assert_failed(Reason::PolicyMissing, None);
        assert_eq!(namespace.pods().await.len(), 1);
        installed.metadata.resource_version = None;
        installed.metadata.uid = None;
        bindings.create(&PostParams::default(), &installed).await.unwrap();
        waiting.finished().await.assert_succeeded().assert_tail_has(&["token ***\n"]);
    }))
    .catch_unwind()
    .await;
    if let Err(panic) = outcome {
        let _ = bindings.delete(policy::USE, &DeleteParams::default()).await;
        installed.metadata.resource_version = None;
        let _ = bindings.create(&PostParams::default(), &installed).await;
        resume_unwind(panic);
    }
}
