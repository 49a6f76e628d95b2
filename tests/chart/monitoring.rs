//! Alerts and dashboard: by promtool, by the runbooks, and by what the operator counts.

use std::{collections::BTreeSet, fs, path::Path, time::Duration};

use k8s_openapi::jiff::Timestamp;
use longshore::{
    api::{Reason, status::LogState},
    operator::telemetry::{
        metrics::{Active, Metrics},
        stages::{Stage, Timing},
    },
};
use regex::Regex;
use serde_json::Value;

use super::tools::{read, render, root, run, text, the, values_file};

/// The series of an operator that has counted each thing once.
fn counted() -> String {
    let metrics = Metrics::default();
    metrics.finished(Reason::NodeLost);
    let at = Timestamp::UNIX_EPOCH;
    metrics.stage(Timing { stage: Stage::Start, attempt: 1, begin: at, end: at });
    metrics.active(Active::default());
    metrics.log_read(LogState::Incomplete, 1);
    metrics.concurrency(1);
    metrics.look();
    metrics.looked(Duration::from_secs(1), Some("conflict"));
    metrics.text().expect("text")
}

/// promtool and the definitions of Prometheus' operator.
pub(crate) fn tools() -> String {
    run("tests/cluster/build/build.sh", &["monitoring"], "");
    run("tests/cluster/build/build.sh", &["--path", "monitoring"], "").trim().to_owned()
}

fn rules(namespace: &str, values: &str) -> Vec<Value> {
    let objects = render(namespace, &values_file(values), &[]);
    let rule = objects.iter().find(|one| one["kind"] == "PrometheusRule").expect("there are rules");
    let groups = rule["spec"]["groups"].as_array().unwrap();
    groups.iter().flat_map(|group| group["rules"].as_array().unwrap().clone()).collect()
}

#[test]
fn alerts_fire_when_they_should_and_not_otherwise() {
    let promtool = format!("{}/promtool", tools());
    let work = Path::new(env!("CARGO_TARGET_TMPDIR")).join("alerts");
    fs::create_dir_all(&work).unwrap();
    for values in ["namespaces", "everything"] {
        let objects = render("longshore-system", &values_file(values), &[]);
        let rule = objects.iter().find(|one| one["kind"] == "PrometheusRule").unwrap();
        fs::write(work.join("rules.yaml"), serde_saphyr::to_string(&rule["spec"]).unwrap()).unwrap();
        run(&promtool, &["check", "rules", &work.join("rules.yaml").display().to_string()], "");
        // The other one has matchers of its own, and leaves an alert out.
        if values == "namespaces" {
            let tests = work.join("rules_test.yaml");
            fs::copy(root().join("tests/chart/rules_test.yaml"), &tests).unwrap();
            run(&promtool, &["test", "rules", &tests.display().to_string()], "");
        }
    }
}

#[test]
fn each_alert_is_tested_and_has_a_section_in_the_runbooks() {
    let (runbooks, tests) = (read("docs/guides/runbooks.md"), read("tests/chart/rules_test.yaml"));
    let rules = rules("longshore-system", "namespaces");
    let mut alerts = BTreeSet::new();
    for rule in &rules {
        let alert = text(&rule["alert"]);
        alerts.insert(alert);
        let section = runbooks
            .split("\n## ")
            .find(|section| section.lines().next() == Some(alert))
            .unwrap_or_else(|| panic!("docs/guides/runbooks.md has no section {alert}"));
        for part in ["**Meaning.**", "**Impact.**", "**Look at.**", "**Do.**"] {
            assert!(section.contains(part), "{alert} has no {part}");
        }
        let link = format!("docs/guides/runbooks.md#{}", alert.to_lowercase());
        assert_eq!(rule["annotations"]["runbook_url"], link.as_str());
        for part in ["summary", "description"] {
            assert!(!text(&rule["annotations"][part]).is_empty(), "{alert} has no {part}");
        }
        let fires = format!("count(ALERTS{{alertname=\"{alert}\"");
        assert!(tests.contains(&fires), "no test has {alert} firing");
        assert!(tests.contains(&format!("alertname: {alert}, exp_alerts: []")), "no test has {alert} quiet");
    }
    assert_eq!(alerts.len(), 7);
    let sections = runbooks.matches("\n## Longshore").count();
    assert_eq!(sections, alerts.len(), "the runbooks have a section that no alert links to");
}

#[test]
fn alerts_are_as_the_values_say() {
    let rules = rules("longshore-system", "everything");
    assert!(rules.len() == 6 && rules.iter().all(|rule| rule["alert"] != "LongshoreLogsIncomplete"));
    for rule in rules {
        assert!(text(&rule["expr"]).contains("{cluster=\"eu\",namespace=\"longshore-system\""), "{rule}");
        assert_eq!(
            (&rule["labels"]["team"], &rule["labels"]["severity"]),
            (&"platform".into(), &"page".into())
        );
        assert!(text(&rule["annotations"]["runbook_url"]).starts_with("https://git.example.com/"));
    }
    let without = render("system", &values_file("namespaces"), &["--set", "policies.use.enabled=false"]);
    let rule = the(&without, "PrometheusRule", "ship-longshore").to_string();
    assert!(!rule.contains("LongshorePolicyMissing") && rule.contains("LongshoreDown"));
}

#[test]
fn alerts_and_dashboard_ask_for_what_the_operator_counts() {
    let name = Regex::new(r"\b(?:longshore|controller_runtime|process)_[a-z_]+\b").unwrap();
    let value = Regex::new(r#"\b(phase|state|reason|outcome)[!=]~?"([^"]+)""#).unwrap();
    let mut expressions: Vec<String> =
        rules("system", "namespaces").iter().map(|rule| text(&rule["expr"]).to_owned()).collect();
    let objects = render("system", &values_file("namespaces"), &[]);
    let dashboard = text(&the(&objects, "ConfigMap", "ship-longshore-dashboard")["data"]["longshore.json"]);
    let dashboard: Value = serde_json::from_str(dashboard).expect("the dashboard is JSON");
    let mut ids = BTreeSet::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        assert!(ids.insert(panel["id"].as_u64()), "two panels have the same id");
        for target in panel["targets"].as_array().into_iter().flatten() {
            let expression = text(&target["expr"]);
            assert!(expression.contains("{namespace=\"$namespace\""), "{expression}");
            expressions.push(expression.to_owned());
        }
    }
    let counted = counted();
    let mut asked = BTreeSet::new();
    for expression in &expressions {
        for name in name.find_iter(expression).map(|found| found.as_str()) {
            let there = |line: &str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']));
            assert!(counted.lines().any(there), "the operator counts no {name}:\n{counted}");
            asked.insert(name);
        }
        // Values of labels, unless they are patterns or the release's.
        for found in value.captures_iter(expression) {
            let known = found[2].split('|').all(|one| counted.contains(&format!("{}=\"{one}\"", &found[1])));
            assert!(known || ["succeeded", "Unknown|NodeLost"].contains(&&found[2]), "{}", &found[0]);
        }
    }
    assert!(asked.len() >= 16, "{asked:?}");
}

#[test]
fn the_operations_page_names_what_the_operator_counts() {
    let page = read("docs/guides/operations.md");
    let counted = counted();
    let series = Regex::new(r"(?m)^(longshore_[a-z_]+?)(?:_bucket|_sum|_count)?(?:\{([^}]*)\})? ").unwrap();
    let phase = Regex::new(r#"phase="([a-z]+)""#).unwrap();
    let (mut names, mut phases) = (BTreeSet::new(), BTreeSet::new());
    for found in series.captures_iter(&counted) {
        names.insert(found[1].to_owned());
        let labels = found.get(2).map_or("", |labels| labels.as_str());
        phases.extend(phase.captures(labels).map(|found| found[1].to_owned()));
    }
    assert!(names.len() >= 9 && phases.contains("retrying"), "{names:?} {phases:?}");
    for name in names {
        assert!(page.contains(&format!("`{name}")), "docs/guides/operations.md says nothing of {name}");
    }
    for phase in phases {
        assert!(
            page.contains(&format!("`{phase}`")),
            "docs/guides/operations.md says nothing of the phase {phase}"
        );
    }
}
