//! The operator's rights: what the chart grants is what the operator uses, and nothing else. The audit
//! log of the cluster says what it has used in all tests before, so it runs last. The same for the chart's
//! hooks.

mod audit;
mod compared;

use std::path::PathBuf;

use crate::chart::tools::{render, values_file};
use compared::{Right, Used, findings, granted};

/// Granted, and not used by any test: each with its reason.
const UNUSED: &[(&str, &str, &str, &str)] = &[(
    "update",
    "longshore.dev",
    "deploymentactions/finalizers",
    "clusters with the admission plugin OwnerReferencesPermissionEnforcement ask for it when a pod is created, and this one has not got it",
)];

/// Used and not granted by the chart: each with its reason.
const FROM_ELSEWHERE: &[(&str, &str, &str, &str)] = &[(
    "get",
    "",
    "secrets",
    "beside the Secret with its keys, a namespace may let the operator read a pull Secret by its name, and the operator asks for each to find out whether it does",
)];

/// Requests that the API server answers with 403 after the authorizer has allowed them, since a test provokes
/// it.
const REFUSED_BY_ADMISSION: &[(&str, &str, &str, &str)] = &[
    ("create", "", "pods", "quotas, limit ranges, Pod Security, policies, and namespaces that terminate"),
    ("create", "", "secrets", "a quota on Secrets, where sensitive outputs must wait"),
    ("create", "events.k8s.io", "events", "namespaces that terminate"),
    ("create", "coordination.k8s.io", "leases", "namespaces that terminate, where a run waits for a lock"),
    ("patch", "", "pods", "the policy longshore-operator, where a pod has lost its label"),
];

fn known(list: &[(&str, &str, &str, &str)]) -> Vec<Right> {
    list.iter()
        .map(|(verb, group, resource, reason)| {
            assert!(reason.len() > 20, "a reason for {verb} {resource}");
            Right::new(verb, group, resource)
        })
        .collect()
}

const OPERATOR: &str = "system:serviceaccount:longshore-system:longshore";

fn audit_log() -> PathBuf {
    let path = std::env::var("LONGSHORE_AUDIT_LOG");
    path.expect("LONGSHORE_AUDIT_LOG is not set: eval \"$(make -s cluster-env)\" does").into()
}

#[test]
fn the_operator_has_the_rights_that_it_uses_and_no_others() {
    let path = audit_log();
    let used = audit::read(&path, OPERATOR);
    println!("{} different requests of the operator in {}", used.len(), path.display());
    // With all namespaces, and with some: the release that the tests use has been both.
    let of = |values| render("longshore-system", &values_file(values), &[]);
    let mut rights = granted(&of("default"), "ship-longshore");
    rights.extend(granted(&of("namespaces"), "ship-longshore"));
    assert!(rights.len() > 10, "the operator's rights were not found: {rights:?}");
    let found =
        findings(&rights, &used, &known(UNUSED), &known(FROM_ELSEWHERE), &known(REFUSED_BY_ADMISSION));
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// The chart's tests have run both hooks before.
#[test]
fn the_hooks_have_the_rights_that_they_use_and_no_others() {
    for hook in ["uninstall", "test"] {
        let used = audit::read(&audit_log(), &format!("{OPERATOR}-{hook}"));
        let objects = render("longshore-system", &values_file("default"), &[]);
        let rights = granted(&objects, &format!("ship-longshore-{hook}"));
        println!("{hook}: {} rights, {} different requests", rights.len(), used.len());
        let found = findings(&rights, &used, &[], &[], &[]);
        assert!(found.is_empty(), "{hook}: {}", found.join("\n"));
    }
}

/// How it knows the API server is granted by a role that every cluster has.
#[test]
fn the_log_server_has_the_rights_that_it_uses_and_no_others() {
    let used = audit::read(&audit_log(), &format!("{OPERATOR}-logs"));
    let of = |values| {
        let mut objects = render("longshore-system", &values_file(values), &["--set", "logApi.enabled=true"]);
        objects.retain(|one| one["roleRef"]["name"] != "extension-apiserver-authentication-reader");
        granted(&objects, "ship-longshore-logs")
    };
    let mut rights = of("default");
    rights.extend(of("namespaces"));
    let group = "apiregistration.k8s.io";
    let unused = [(
        "update",
        group,
        "apiservices",
        "its certificate is renewed after 60 days, and the APIService follows",
    )];
    let elsewhere = [("get", "", "configmaps", "the role extension-apiserver-authentication-reader")];
    let found = findings(&rights, &used, &known(&unused), &known(&elsewhere), &[]);
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// A template costs its actions no call: all are read when a process starts, and watched from there. So
/// they are listed about as often as actions are, however many of these are made of one.
#[test]
fn templates_and_policies_are_read_from_caches_alone() {
    let path = audit_log();
    let listed =
        |resource: &str| audit::count(&path, OPERATOR, &Right::new("list", "longshore.dev", resource));
    let begun = listed("deploymentactions");
    assert!(begun > 0, "no operator has ever listed actions");
    for resource in ["deploymentactiontemplates", "clusterdeploymentactiontemplates", "actionpolicies"] {
        let lists = listed(resource);
        println!("{lists} lists of {resource}, and {begun} of actions");
        assert!((1..=2 * begun + 10).contains(&lists), "{lists} lists of {resource}, and {begun} of actions");
        let read = audit::count(&path, OPERATOR, &Right::new("get", "longshore.dev", resource));
        assert_eq!(read, 0, "{resource} are read one by one");
    }
}

#[test]
fn a_right_that_nothing_uses_is_named() {
    let rights = granted(&render("system", &values_file("default"), &[]), "ship-longshore");
    let used: Vec<Used> = rights.iter().map(Used::allowed).collect();
    assert_eq!(findings(&rights, &used, &[], &[], &[]), Vec::<String>::new());
    let mut more = rights.clone();
    more.insert(Right::new("delete", "apps", "deployments/scale"));
    let found = findings(&more, &used, &[], &[], &[]);
    assert_eq!(found.len(), 1);
    assert!(found[0].starts_with("granted and never used: delete deployments/scale of apps"), "{found:?}");
}

#[test]
fn what_is_used_without_being_granted_and_what_is_refused_are_named() {
    let rights = [Right::new("get", "", "pods")].into();
    let secrets = Right::new("get", "", "secrets");
    let pods = Right::new("get", "", "pods");
    let used = |right: &Right, decision: &str, code| Used {
        right: right.clone(),
        decision: decision.to_owned(),
        code,
    };
    let of = |one: Used| findings(&rights, &[Used::allowed(&pods), one], &[], &[], &[]).join("");
    assert!(of(used(&secrets, "allow", 200)).starts_with("used and not granted by the chart: get secrets"));
    assert!(of(used(&secrets, "forbid", 403)).starts_with("asked for, and neither granted"));
    assert!(of(used(&pods, "allow", 403)).starts_with("refused by admission: get pods"));
    // A release that is changed takes rights from an operator that is about to end.
    assert_eq!(of(used(&pods, "forbid", 403)), "");
    // A list that is longer than it must be says so.
    let stale = findings(&rights, &[Used::allowed(&pods)], std::slice::from_ref(&pods), &[], &[]);
    assert!(stale[0].starts_with("listed as unused, and used"), "{stale:?}");
    let gone = findings(&rights, &[Used::allowed(&pods)], std::slice::from_ref(&secrets), &[], &[]);
    assert!(gone[0].starts_with("listed as unused, and not granted"), "{gone:?}");
}

#[test]
fn a_wildcard_is_never_granted() {
    for values in ["default", "namespaces", "everything"] {
        let objects = render("system", &values_file(values), &[]);
        for rule in objects.iter().flat_map(|one| one["rules"].as_array().into_iter().flatten()) {
            assert!(!rule.to_string().contains('*'), "{rule}");
        }
    }
}
