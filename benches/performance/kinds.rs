//! The comparison: the same echo of the same image, as a pod, as a Job's pod and as an action.

use k8s_openapi::api::{batch::v1::Job, core::v1::Pod};
use kube::{
    ResourceExt,
    api::{ApiResource, DynamicObject},
};
use longshore::api::DeploymentAction;
use serde_json::{Value, json};

use crate::Result;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Pod,
    Job,
    Action,
}

impl Kind {
    pub(crate) const ALL: [Self; 3] = [Self::Pod, Self::Job, Self::Action];

    /// As tables and plots name it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Pod => "bare pod",
            Self::Job => "Job",
            Self::Action => "DeploymentAction",
        }
    }

    /// The end that is waited for.
    pub(crate) const fn end(self) -> &'static str {
        match self {
            Self::Pod => "phase Succeeded",
            Self::Job => "condition Complete",
            Self::Action => "condition Finished",
        }
    }

    /// The sign that shows before it, if there is one.
    pub(crate) const fn before(self) -> &'static str {
        match self {
            Self::Pod => "phase Running",
            Self::Job => "condition SuccessCriteriaMet",
            Self::Action => "",
        }
    }

    /// In names of objects.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Pod => "pod",
            Self::Job => "job",
            Self::Action => "action",
        }
    }

    pub(crate) fn resource(self) -> ApiResource {
        match self {
            Self::Pod => ApiResource::erase::<Pod>(&()),
            Self::Job => ApiResource::erase::<Job>(&()),
            Self::Action => ApiResource::erase::<DeploymentAction>(&()),
        }
    }

    pub(crate) fn object(self, name: &str, image: &str) -> Result<DynamicObject> {
        let pod = json!({
            "restartPolicy": "Never",
            "automountServiceAccountToken": false,
            "securityContext": {"runAsNonRoot": true, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [{
                "name": "echo",
                "image": image,
                "command": ["echo", "hello"],
                "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
            }],
        });
        let spec = match self {
            Self::Pod => pod,
            Self::Job => json!({"backoffLimit": 0, "template": {"spec": pod}}),
            Self::Action => json!({"image": image, "command": ["echo", "hello"]}),
        };
        let resource = self.resource();
        let object = json!({
            "apiVersion": resource.api_version, "kind": resource.kind, "metadata": {"name": name}, "spec": spec,
        });
        Ok(serde_json::from_value(object)?)
    }

    /// Whether it has ended well.
    ///
    /// # Errors
    /// Where it has ended otherwise: a figure of it would be none of an echo.
    pub(crate) fn has_ended(self, object: &DynamicObject) -> Result<bool> {
        let (ended, failed) = match self {
            Self::Pod => {
                let phase = &object.data["status"]["phase"];
                (phase == "Succeeded", phase == "Failed")
            }
            Self::Job => (is(object, "Complete", "True"), is(object, "Failed", "True")),
            Self::Action => (is(object, "Finished", "True"), is(object, "Succeeded", "False")),
        };
        if failed {
            return Err(
                format!("{} {} failed: {}", self.name(), object.name_any(), object.data["status"]).into()
            );
        }
        Ok(ended)
    }

    /// Whether it has come this far. A pod's container may have ended by then, and a Job's pods may still be
    /// counted.
    pub(crate) fn is_before(self, object: &DynamicObject) -> bool {
        match self {
            Self::Pod => object.data["status"]["phase"] == "Running",
            Self::Job => is(object, "SuccessCriteriaMet", "True"),
            Self::Action => false,
        }
    }
}

fn is(object: &DynamicObject, condition: &str, status: &str) -> bool {
    let conditions = object.data["status"]["conditions"].as_array().map_or(&[][..], Vec::as_slice);
    conditions.iter().any(|has: &Value| has["type"] == condition && has["status"] == status)
}
