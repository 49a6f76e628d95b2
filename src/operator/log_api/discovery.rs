//! What the API server asks of an API behind it: its groups, its resources, and its schema.

use serde_json::{Value, json};

use super::request::Asked;
use crate::api::{LOG_GROUP, LOG_VERSION};

/// The document that is asked for. `None` for a log.
pub(super) fn document(asked: &Asked) -> Option<Value> {
    let version = json!({"groupVersion": format!("{LOG_GROUP}/{LOG_VERSION}"), "version": LOG_VERSION});
    let group = json!({"name": LOG_GROUP, "versions": [version], "preferredVersion": version});
    Some(match asked {
        Asked::Groups => json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": [group]}),
        Asked::Group => {
            let mut document = group;
            document["kind"] = "APIGroup".into();
            document["apiVersion"] = "v1".into();
            document
        }
        // There is no resource `deploymentactions` in this group: kubectl would not know which of the two
        // is meant by the word.
        Asked::Resources => json!({
            "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": format!("{LOG_GROUP}/{LOG_VERSION}"),
            "resources": [{
                "name": "deploymentactions/log", "singularName": "", "namespaced": true,
                "kind": "DeploymentActionLog", "verbs": ["get"],
            }],
        }),
        Asked::OpenApiV2 => json!({
            "swagger": "2.0", "info": {"title": "Longshore's logs", "version": LOG_VERSION}, "paths": {},
        }),
        Asked::OpenApiV3 => json!({"paths": {}}),
        Asked::Log(_) => return None,
    })
}
