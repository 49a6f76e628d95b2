use serde_json::{Value, json};

use super::*;

fn found(policy: Value, spec: &Value) -> Vec<String> {
    let policy = Policy { namespace: "shop".into(), spec: serde_json::from_value(policy).unwrap() };
    let mut whole = json!({"image": "registry.example.com/team/tools:1", "script": {"inline": "echo"}});
    for (field, value) in spec.as_object().unwrap() {
        whole[field] = value.clone();
    }
    violations(&policy, &serde_json::from_value(whole).unwrap(), false)
}

fn images(policy: &Value, images: &[&str], allowed: bool) {
    for image in images {
        let found = found(policy.clone(), &json!({"image": image}));
        assert_eq!(found.is_empty(), allowed, "{image}: {found:?}");
    }
}

#[test]
fn packages_are_judged_as_images_are() {
    let policy = json!({"registries": ["registry.example.com/team"], "digestsOnly": true});
    let digest = format!("registry.example.com/team/tools@sha256:{}", "1".repeat(64));
    let of = |reference: &str| {
        let packages = json!([{"name": "orders", "reference": reference}]);
        found(policy.clone(), &json!({"image": digest, "packages": packages}))
    };
    assert_eq!(of(&digest.replace("tools", "orders")), Vec::<String>::new());
    for reference in ["registry.example.com/team/orders:1", "evil.example.com/orders:1"] {
        let found = of(reference);
        assert!(found.iter().all(|words| words.contains("spec.packages[orders].reference")), "{found:?}");
        assert!(!found.is_empty());
    }
}

#[test]
fn the_version_of_a_template_s_package_needs_no_digest() {
    let policy = Policy {
        namespace: "shop".into(),
        spec: serde_json::from_value(json!({"digestsOnly": true})).unwrap(),
    };
    let spec = |image: &str| {
        let packages = json!([{"name": "orders", "reference": "registry.example.com/orders:1"}]);
        serde_json::from_value(json!({"image": image, "packages": packages})).unwrap()
    };
    let pinned = format!("registry.example.com/tools@sha256:{}", "1".repeat(64));
    assert_eq!(violations(&policy, &spec(&pinned), true), Vec::<String>::new());
    assert_eq!(violations(&policy, &spec(&pinned), false).len(), 1);
    assert_eq!(violations(&policy, &spec("registry.example.com/tools:1"), true).len(), 1);
}

#[test]
fn an_action_of_a_template_is_one_where_only_those_are_allowed() {
    let policy = Policy {
        namespace: "shop".into(),
        spec: serde_json::from_value(json!({"templatesOnly": true})).unwrap(),
    };
    // The combined spec does not show that it has a template.
    let spec = serde_json::from_value(json!({"image": "r/x:1", "script": {"inline": "echo"}})).unwrap();
    assert_eq!(violations(&policy, &spec, true), Vec::<String>::new());
    assert!(violations(&policy, &spec, false)[0].contains("spec.templateRef"));
}

#[test]
fn registries_are_compared_part_by_part() {
    let policy = json!({"registries": ["registry.example.com/team", "docker.io/library", "localhost:5000"]});
    images(
        &policy,
        &[
            "registry.example.com/team/tools:1",
            "registry.example.com/team/a/b:1",
            "registry.example.com/team:1",
            "alpine:3",
            "docker.io/alpine:3",
            "index.docker.io/library/alpine:3",
            "localhost:5000/x:1",
        ],
        true,
    );
    images(
        &policy,
        &[
            "registry.example.com/teamwork/tools:1",
            "registry.example.com/other:1",
            "registry.example.com:443/team/tools:1",
            "registry.example.com.evil.test/team/tools:1",
            "evil.test/registry.example.com/team/tools:1",
            "Registry.example.com/team/tools:1",
            "REGISTRY.EXAMPLE.COM/team/tools:1",
            "team/tools:1",
            "Evil/library:1",
            "index.docker.io/evil/alpine:3",
            "localhost/x:1",
            "localhost:5001/x:1",
            "registry.example.com/team/../evil:1",
            "registry.example.com/../evil:1",
            "registry.example.com//team/x:1",
            "registry.example.com/team/./x:1",
        ],
        false,
    );
    assert_eq!(
        found(policy, &json!({"image": "bitnami/kubectl:1"})),
        [
            "spec.image is bitnami/kubectl:1, that is docker.io/bitnami/kubectl, and ActionPolicy/default of namespace shop \
          allows only what is below registry.example.com/team, docker.io/library, localhost:5000: take it from there, \
          or ask for its place in spec.registries of that policy"
        ]
    );
}

#[test]
fn a_digest_is_a_digest_with_a_tag_too() {
    let policy = json!({"digestsOnly": true});
    let digest = format!("sha256:{}", "a".repeat(64));
    images(&policy, &[&format!("tools@{digest}"), &format!("tools:1@{digest}")], true);
    images(&policy, &["tools:1", "tools:sha256", "registry.example.com:5000/tools:1"], false);
    let words = found(policy, &json!({"image": "tools:1"}));
    assert!(words[0].ends_with("write docker.io/library/tools@sha256:..."), "{words:?}");
}

#[test]
fn what_is_not_said_is_not_limited() {
    assert!(found(json!({}), &json!({"podTemplate": {"securityProfile": "Baseline"}})).is_empty());
}

#[test]
fn a_profile_is_not_got_round_by_its_settings() {
    let policy = json!({"securityProfiles": ["Restricted"]});
    for (template, allowed) in [
        (json!({}), true),
        (json!({"securityProfile": "Restricted"}), true),
        (json!({"securityProfile": "Baseline"}), false),
        (json!({"securityProfile": "UserNamespaceRoot"}), false),
        (json!({"securityContext": {"runAsUser": 1000, "fsGroup": 5, "supplementalGroups": [7]}}), true),
        (json!({"securityContext": {"runAsUser": 0}}), false),
        (json!({"securityContext": {"sysctls": []}}), false),
        (json!({"containerSecurityContext": {"readOnlyRootFilesystem": false, "runAsNonRoot": true}}), true),
        (json!({"containerSecurityContext": {"runAsNonRoot": false}}), false),
        (json!({"containerSecurityContext": {"capabilities": {"drop": []}}}), false),
        (json!({"containerSecurityContext": {"allowPrivilegeEscalation": true}}), false),
        (json!({"containerSecurityContext": {"seccompProfile": {"type": "Unconfined"}}}), false),
    ] {
        let found = found(policy.clone(), &json!({"podTemplate": template}));
        assert_eq!(found.is_empty(), allowed, "{template}: {found:?}");
    }
    let root =
        json!({"podTemplate": {"securityProfile": "UserNamespaceRoot", "securityContext": {"runAsUser": 0}}});
    assert!(found(json!({"securityProfiles": ["UserNamespaceRoot"]}), &root).is_empty());
    let any = json!({"podTemplate": {"securityContext": {"runAsUser": 0}}});
    assert!(found(json!({"securityProfiles": ["Restricted", "Baseline"]}), &any).is_empty());
    assert!(
        found(json!({"securityProfiles": ["Baseline"]}), &json!({}))[0].contains("Restricted, which counts")
    );
}

#[test]
fn defaults_count_where_nothing_is_said() {
    for (policy, spec, allowed) in [
        (json!({"maxRunDeadlineSeconds": 3629}), json!({}), false),
        (json!({"maxRunDeadlineSeconds": 3630}), json!({}), true),
        (json!({"maxRunDeadlineSeconds": 60}), json!({"runDeadlineSeconds": 30}), true),
        (json!({"maxRunDeadlineSeconds": 60}), json!({"runDeadlineSeconds": 31}), false),
        (
            json!({"maxRunDeadlineSeconds": 60}),
            json!({"runDeadlineSeconds": 60, "terminationGracePeriodSeconds": 0}),
            true,
        ),
        (
            json!({"maxRunDeadlineSeconds": 10}),
            json!({"runDeadlineSeconds": 1, "terminationGracePeriodSeconds": 3600}),
            false,
        ),
        (json!({"maxPendingDeadlineSeconds": 599}), json!({}), false),
        (json!({"maxPendingDeadlineSeconds": 600}), json!({}), true),
        (json!({"maxPendingDeadlineSeconds": 60}), json!({"pendingDeadlineSeconds": 61}), false),
    ] {
        assert_eq!(found(policy.clone(), &spec).is_empty(), allowed, "{policy} {spec}");
    }
}

#[test]
fn a_script_that_is_to_stop_does_not_run_on_beyond_the_maximum() {
    let spec = json!({"runDeadlineSeconds": 5, "terminationGracePeriodSeconds": 3600});
    assert_eq!(
        found(json!({"maxRunDeadlineSeconds": 10}), &spec),
        ["spec.runDeadlineSeconds is 5 and spec.terminationGracePeriodSeconds is 3600, 3605 together, and \
          ActionPolicy/default of namespace shop allows at most 10 for both: write two that are 10 or less together"]
    );
}

#[test]
fn a_maximum_asks_for_a_limit_and_a_device_for_none() {
    let policy = json!({"maxResources": {"memory": "1Gi", "nvidia.com/gpu": 1}});
    let limits = |memory: Value| json!({"resources": {"limits": {"memory": memory}}});
    assert!(found(policy.clone(), &json!({}))[0].starts_with("spec.resources.limits has no memory"));
    for (memory, allowed) in [
        (json!("1Gi"), true),
        (json!(1_073_741_824), true),
        (json!(1_073_741_825), false),
        (json!("1.5Gi"), false),
        (json!("1025Mi"), false),
        (json!("500M"), true),
    ] {
        let found = found(policy.clone(), &limits(memory.clone()));
        assert_eq!(found.is_empty(), allowed, "{memory}: {found:?}");
    }
    let more = json!({"resources": {"limits": {"memory": "1Mi", "nvidia.com/gpu": "2"}, "requests": {"memory": "2Gi"}}});
    let words = found(policy, &more);
    assert_eq!(words.len(), 2, "{words:?}");
    assert!(
        words[0].contains("spec.resources.limits.nvidia.com/gpu is 2")
            && words[1].contains("requests.memory")
    );
}

#[test]
fn templates_only_leaves_no_action_of_its_own() {
    let words = found(json!({"templatesOnly": true}), &json!({}));
    assert!(
        words[0].contains("spec.templateRef") && words[0].contains("ActionPolicy/default of namespace shop")
    );
}
