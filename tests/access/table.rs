//! Actions and the verdicts of policies on them. API server and operator must agree.

use serde_json::{Value, json};

/// Policies, each with specs of which it allows some.
#[allow(clippy::too_many_lines, reason = "it is data")]
pub(crate) fn table() -> Vec<(Value, Vec<Value>)> {
    let images = |images: &[&str]| images.iter().map(|image| json!({"image": image})).collect::<Vec<_>>();
    let digest = format!("@sha256:{}", "b".repeat(64));
    let template = |template: Value| json!({"podTemplate": template});
    vec![
        (
            json!({"registries": ["registry.example.com/team", "docker.io/library", "localhost:5000", "[::1]:5000/x"]}),
            images(&[
                "registry.example.com/team/tools:1",
                "registry.example.com/team:1",
                "registry.example.com/team/a/b@sha512:0"
                    .replace("sha512:0", &format!("sha512:{}", "0".repeat(128)))
                    .as_str(),
                "registry.example.com/teamwork/tools:1",
                "registry.example.com/tea/m/tools:1",
                "registry.example.com/other:1",
                "registry.example.com:443/team/tools:1",
                "registry.example.com.evil.test/team/tools:1",
                "evil.test/registry.example.com/team/tools:1",
                "Registry.example.com/team/tools:1",
                "Evil/library:1",
                "Evil/docker.io/library/x:1",
                "alpine:3",
                &format!("alpine:3{digest}"),
                "library/alpine:3",
                "docker.io/alpine:3",
                "docker.io/library/alpine:3",
                "index.docker.io/alpine:3",
                "index.docker.io/library/alpine:3",
                "index.docker.io/evil/alpine:3",
                "docker.io/evil/alpine:3",
                "bitnami/kubectl:1",
                "localhost/x:1",
                "localhost:1",
                "localhost:5000/x:1",
                "localhost:5000/x/y:5000",
                "localhost:5001/x:1",
                "[::1]:5000/x/y:1",
                "[::1]:5000/y:1",
                "library:1",
                "docker:1",
            ]),
        ),
        (
            json!({"digestsOnly": true}),
            images(&[
                "tools:1",
                &format!("tools{digest}"),
                &format!("tools:1{digest}"),
                "registry.example.com:5000/tools:sha256",
                &format!("registry.example.com:5000/tools{digest}"),
            ]),
        ),
        (
            json!({"securityProfiles": ["Restricted"]}),
            vec![
                json!({}),
                template(json!({"securityProfile": "Restricted"})),
                template(json!({"securityProfile": "Baseline"})),
                template(json!({"securityProfile": "UserNamespaceRoot"})),
                template(
                    json!({"securityContext": {"runAsUser": 1000, "fsGroup": 5, "supplementalGroups": [7]}}),
                ),
                template(json!({"securityContext": {"runAsUser": 0}})),
                template(json!({"securityContext": {"sysctls": []}})),
                template(json!({"securityContext": {"seccompProfile": {"type": "Unconfined"}}})),
                template(
                    json!({"containerSecurityContext": {"readOnlyRootFilesystem": false, "runAsNonRoot": true}}),
                ),
                template(json!({"containerSecurityContext": {"runAsNonRoot": false}})),
                template(json!({"containerSecurityContext": {"capabilities": {"drop": []}}})),
                template(json!({"containerSecurityContext": {"allowPrivilegeEscalation": true}})),
            ],
        ),
        (
            json!({"securityProfiles": ["UserNamespaceRoot"]}),
            vec![
                json!({}),
                template(
                    json!({"securityProfile": "UserNamespaceRoot", "securityContext": {"runAsUser": 0}}),
                ),
                template(
                    json!({"securityProfile": "UserNamespaceRoot", "containerSecurityContext": {"procMount": "Unmasked"}}),
                ),
            ],
        ),
        (
            json!({"securityProfiles": ["Baseline", "Restricted"]}),
            vec![
                template(json!({"securityContext": {"runAsUser": 0}})),
                template(json!({"securityProfile": "Baseline"})),
            ],
        ),
        (
            json!({"maxRunDeadlineSeconds": 3629, "maxPendingDeadlineSeconds": 600}),
            vec![
                json!({}),
                json!({"runDeadlineSeconds": 3599}),
                json!({"runDeadlineSeconds": 3600}),
                json!({"runDeadlineSeconds": 3629, "terminationGracePeriodSeconds": 0}),
                json!({"runDeadlineSeconds": 3629, "terminationGracePeriodSeconds": 1}),
                json!({"runDeadlineSeconds": 30, "terminationGracePeriodSeconds": 3600}),
                json!({"terminationGracePeriodSeconds": 29}),
                json!({"terminationGracePeriodSeconds": 3600}),
                json!({"runDeadlineSeconds": 60, "pendingDeadlineSeconds": 601}),
                json!({"runDeadlineSeconds": 60, "pendingDeadlineSeconds": 1}),
            ],
        ),
        (
            json!({"maxResources": {"memory": "1Gi", "nvidia.com/gpu": 1}}),
            [
                json!({}),
                json!({"limits": {"cpu": 64}}),
                json!({"limits": {"memory": "1Gi"}}),
                json!({"limits": {"memory": 1_073_741_824}}),
                json!({"limits": {"memory": 1_073_741_825}}),
                json!({"limits": {"memory": "1025Mi"}}),
                json!({"limits": {"memory": "1.5Gi"}}),
                json!({"limits": {"memory": "500M"}}),
                json!({"limits": {"memory": "1e9"}}),
                json!({"limits": {"memory": "2E9"}}),
                json!({"limits": {"memory": "+1Gi"}}),
                json!({"limits": {"memory": "1073741824000m"}}),
                json!({"limits": {"memory": "1073741824001m"}}),
                json!({"limits": {"memory": "16Ei"}}),
                json!({"limits": {"memory": "1e99"}}),
                json!({"limits": {"memory": ".5Gi"}}),
                json!({"limits": {"memory": "1Gi", "nvidia.com/gpu": "1"}}),
                json!({"limits": {"memory": "1Gi", "nvidia.com/gpu": "2"}}),
                json!({"limits": {"memory": "1Gi"}, "requests": {"memory": "2Gi"}}),
            ]
            .into_iter()
            .map(|resources| json!({"resources": resources}))
            .collect(),
        ),
        (json!({"templatesOnly": true}), vec![json!({})]),
        (json!({}), vec![json!({}), template(json!({"securityProfile": "Baseline"}))]),
    ]
}
