//! One case: what is sent to create a resource, and what is done to it then.

use serde_json::{Value, json};

use super::{kinds::Kind, mutate, policies, specs, templates, words};
use crate::support::random::Random;

/// One resource, and what becomes of it. The same for the same seed and number.
pub(crate) struct Case {
    pub(crate) number: u64,
    pub(crate) kind: Kind,
    /// The body, which is not always JSON.
    pub(crate) body: Vec<u8>,
    pub(crate) content_type: &'static str,
    /// Whether fields that nobody knows are refused, or dropped.
    pub(crate) validation: &'static str,
    pub(crate) place: Place,
    pub(crate) by: By,
    pub(crate) changes: Vec<Change>,
}

/// The place of a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// Places where pods can be made.
    Open,
    /// One of [`QUIET`] namespaces where none can be made. The last of them has an `ActionPolicy`.
    Quiet(usize),
}

/// How many namespaces let no pod be made.
pub(crate) const QUIET: usize = 4;

/// Who sends it, and whether anything comes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum By {
    /// An administrator, and the object is stored.
    Stored,
    /// An administrator; the API server judges it, and stores nothing.
    DryRun,
    /// The same by somebody who may write these resources and nothing else.
    Author,
}

/// A change of a stored resource.
pub(crate) enum Change {
    /// A merge patch.
    Merge(Value),
    /// A merge patch of the status, by somebody who may.
    Status(Value),
    /// A pod that looks like one of ours.
    Pod,
    /// Its run is cancelled.
    Cancel,
    /// A merge patch of the template that it is made of, or the template's end.
    Template(Option<Value>),
    /// It is deleted at once, while the operator looks at it.
    Delete,
}

/// How many of a hundred actions can have pods. An eighth of these run their scripts.
const OPEN: usize = 5;
/// How many of a hundred others are judged and not stored.
const DRY: usize = 50;
/// How many of a hundred actions wait until somebody asks for a run: the operator sees them and starts
/// nothing.
const MANUAL: usize = 40;

impl Case {
    /// Names of cluster-wide templates begin with `prefix`.
    pub(crate) fn of(seed: u64, number: u64, prefix: &str) -> Self {
        let random = &mut Random::of(seed, number);
        let kind = *random.pick(&Kind::mixed());
        let open = kind == Kind::Action && random.percent(OPEN);
        let by = match kind {
            _ if open || !random.percent(DRY) => By::Stored,
            Kind::ClusterTemplate => By::DryRun,
            _ => *random.pick(&[By::DryRun, By::Author]),
        };
        let place = match kind {
            _ if open => Place::Open,
            Kind::Policy => Place::Quiet(QUIET - 1),
            _ => Place::Quiet(random.below(QUIET)),
        };
        let mut object = json!({
            "apiVersion": "longshore.dev/v1alpha1",
            "kind": kind.name(),
            "metadata": {"name": name(random, kind, number, prefix)},
            "spec": if open { opened(random) } else { spec(random, kind, prefix) },
        });
        let other = format!("fuzz-{}", number.wrapping_sub(1));
        if !open {
            for _ in 0..random.below(3) {
                gently(random, kind, &mut object["spec"]);
            }
            if kind == Kind::Action && random.percent(MANUAL) {
                object["spec"]["runPolicy"] = json!("Manual");
                object["spec"].as_object_mut().map(|fields| fields.remove("runToken"));
            }
            if random.percent(20) {
                mutate::metadata(random, &mut object, &other);
            }
            if random.percent(45) {
                for _ in 0..=random.below(2) {
                    mutate::roughly(random, &mut object["spec"]);
                }
            }
            if random.percent(12) {
                top(random, &mut object, kind, number, prefix);
            }
        }
        let mut body = object.to_string().into_bytes();
        if !open && random.percent(4) {
            body = garbled(random, body);
        }
        let mut changes = Vec::new();
        while by == By::Stored && random.percent(55) && changes.len() < 4 {
            changes.push(change(random, kind, open, prefix, &other));
        }
        let content_type = if random.percent(5) { "application/yaml" } else { "application/json" };
        let validation = if random.percent(60) { "Strict" } else { "Ignore" };
        Self { number, kind, body, content_type, validation, place, by, changes }
    }
}

fn name(random: &mut Random, kind: Kind, number: u64, prefix: &str) -> String {
    match kind {
        Kind::Action => format!("fuzz-{number}"),
        Kind::Template => templates::name(random, ""),
        Kind::ClusterTemplate => templates::name(random, prefix),
        Kind::Policy => "default".into(),
    }
}

fn spec(random: &mut Random, kind: Kind, prefix: &str) -> Value {
    match kind {
        Kind::Action if random.percent(45) => templates::made(random, prefix),
        Kind::Action => specs::spec(random),
        Kind::Template | Kind::ClusterTemplate => templates::spec(random),
        Kind::Policy => policies::spec(random),
    }
}

/// An action that gets a pod. Most pods fit no node.
fn opened(random: &mut Random) -> Value {
    let mut spec = json!({
        "image": crate::support::namespace::examples_image(),
        "script": {"inline": "echo hello"},
        "pendingDeadlineSeconds": 30,
        // One of the texts that take a script's place is "yes".
        "runDeadlineSeconds": 3,
        "terminationGracePeriodSeconds": 1,
        "podRetentionSeconds": 0,
    });
    if !random.percent(12) {
        spec["pendingDeadlineSeconds"] = json!(random.pick(&[1, 2, 5, 30]));
        spec["podTemplate"] = json!({"nodeSelector": {specs::NOWHERE.0: specs::NOWHERE.1}});
    }
    spec
}

fn gently(random: &mut Random, kind: Kind, spec: &mut Value) {
    match kind {
        Kind::Action if !spec["templateRef"].is_object() => mutate::gently(random, spec),
        Kind::Action if random.percent(40) => mutate::when(random, spec),
        Kind::Action => templates::choose(random, spec),
        Kind::Policy => policies::change(random, spec),
        Kind::Template | Kind::ClusterTemplate if random.percent(75) => templates::declare(random, spec),
        Kind::Template | Kind::ClusterTemplate => mutate::gently(random, spec),
    }
}

/// Changes what stands beside the spec, or all of it.
fn top(random: &mut Random, object: &mut Value, kind: Kind, number: u64, prefix: &str) {
    // What is in no namespace must be found again by its name.
    let first = if kind == Kind::ClusterTemplate { prefix } else { "" };
    let named = |name: String| json!(format!("{first}{name}"));
    match random.below(17) {
        0 => {
            object["apiVersion"] =
                json!(random.pick(&["v1", "longshore.dev/v1", "longshore.dev/v1beta1", ""]));
        }
        1 => object["kind"] = json!(random.pick(&["Pod", "deploymentaction", "DeploymentActionList", ""])),
        2 => object["status"] = specs::status(),
        3 => object["status"] = json!("Succeeded"),
        // Bounds of names: 63 characters are allowed, of other kinds 253.
        4 => object["metadata"]["name"] = named(format!("{number:a>63}")),
        5 => object["metadata"]["name"] = named(format!("{number:a>64}")),
        6 => object["metadata"]["name"] = named(format!("{number}.a.b")),
        7 => object["metadata"]["name"] = named(format!("{number}")),
        8 => object["metadata"]["name"] = named(words::text(random)),
        9 => {
            let long = named("n".repeat(*random.pick(&[3, 58, 63, 250])));
            object["metadata"] = json!({"generateName": long});
        }
        10 => object["spec"] = json!({"containers": [{"name": "action", "image": "tools:1"}]}),
        11 => object["spec"] = mutate::nested(*random.pick(&[50, 200])),
        12 => object["spec"] = json!({}),
        13 => drop(object.as_object_mut().map(|fields| fields.remove("spec"))),
        14 => object["metadata"] = json!([]),
        15 => object["kind"] = json!(random.pick(&Kind::mixed()).name()),
        _ => object["spec"]["podTemplate"] = json!({"spec": {"hostNetwork": true}, "hostPID": true}),
    }
}

/// Text that no JSON library would write.
fn garbled(random: &mut Random, mut body: Vec<u8>) -> Vec<u8> {
    match random.below(7) {
        0 => body.truncate(random.below(body.len())),
        1 => body.extend_from_slice(b"}{\"a\":"),
        2 => body.insert(random.below(body.len()), 0xff),
        3 => body.insert(random.below(body.len()), 0),
        4 => body = replaced(&body, "\"image\":", "\"image\":\"twice:1\",\"image\":"),
        5 => {
            // Deeper than a stack may be.
            let depth = *random.pick(&[5_000, 9_990, 100_000]);
            let deep = format!("\"spec\":{{\"deep\":{}{},", "[".repeat(depth), "]".repeat(depth));
            body = replaced(&body, "\"spec\":{", &deep);
        }
        _ => body = [b"\xef\xbb\xbf".to_vec(), body].concat(),
    }
    body
}

fn replaced(body: &[u8], from: &str, to: &str) -> Vec<u8> {
    String::from_utf8_lossy(body).replacen(from, to, 1).into_bytes()
}

fn change(random: &mut Random, kind: Kind, open: bool, prefix: &str, other: &str) -> Change {
    let of_action = kind == Kind::Action;
    match random.below(12) {
        0..=2 => Change::Merge(respecified(random, kind, open, prefix)),
        3 => {
            let mut object = json!({"metadata": {}});
            mutate::metadata(random, &mut object, other);
            Change::Merge(object)
        }
        4 => Change::Delete,
        5 | 6 if open => Change::Pod,
        7 if of_action => Change::Cancel,
        8 | 9 if of_action && !open => {
            let changed = random.percent(70).then(|| respecified(random, Kind::Template, false, prefix));
            Change::Template(changed)
        }
        _ if of_action => Change::Status(json!({"status": status(random, other)})),
        _ => Change::Merge(respecified(random, kind, open, prefix)),
    }
}

/// A merge patch with another spec.
fn respecified(random: &mut Random, kind: Kind, open: bool, prefix: &str) -> Value {
    if open {
        let script = json!({"inline": words::text(random)});
        return json!({"spec": {"runToken": words::text(random), "script": script}});
    }
    let mut spec = spec(random, kind, prefix);
    for _ in 0..2 {
        gently(random, kind, &mut spec);
    }
    if random.percent(40) {
        mutate::roughly(random, &mut spec);
    }
    // Of the one there, most stays.
    if let Some(fields) = spec.as_object_mut()
        && !fields.is_empty()
        && random.percent(50)
    {
        let keys: Vec<String> = fields.keys().cloned().collect();
        let kept = random.pick(&keys).clone();
        fields.retain(|key, _| *key == kept);
    }
    json!({"spec": spec})
}

/// A status that somebody forges, or breaks.
fn status(random: &mut Random, other: &str) -> Value {
    let mut status = specs::status();
    match random.below(14) {
        0 => return Value::Null,
        1 => {
            return json!({"run": null, "conditions": null, "phase": null, "image": null, "observedGeneration": null});
        }
        2 => return json!({"phase": words::text(random)}),
        3 => return json!({"conditions": null}),
        4 => return json!({"run": null}),
        5 => {
            // A run under way, with a pod that is not its own.
            let of = |random: &mut Random| {
                json!(random.pick(&["", ".", "..", "../x", "a/b", "fuzz-pod-1", other]))
            };
            status["run"]["podName"] = of(random);
            status["run"]["podUID"] = of(random);
            status["run"]["finishedAt"] = Value::Null;
            status["conditions"] = json!([]);
            status["log"]["state"] = json!("Collecting");
        }
        6 => {
            for field in ["number", "attempt", "generation", "exitCode", "durationSeconds"] {
                if random.percent(50) {
                    status["run"][field] = words::number(random);
                }
            }
            status["run"]["finishedAt"] = Value::Null;
            status["conditions"] = json!([]);
        }
        7 => {
            for field in ["requestedAt", "startedAt", "finishedAt"] {
                if random.percent(60) {
                    status["run"][field] = words::time(random);
                }
            }
        }
        8 => status["log"][*random.pick(&["lines", "bytes", "foreignLines", "tail"])] = words::number(random),
        9 => {
            status["log"]["state"] = json!(random.pick(&["Collecting", "Incomplete", ""]));
            status["conditions"][0]["lastTransitionTime"] = words::time(random);
            status["conditions"][2]["status"] = json!(random.pick(&["Unknown", "True", "False", "x"]));
        }
        10 => status["image"]["resolved"] = json!(words::text(random)),
        // The rest stays, its pod's name among it.
        11 => {
            return json!({"run": {*random.pick(&["number", "attempt", "exitCode", "generation"]): words::number(random)}});
        }
        12 => {
            return json!({"run": {*random.pick(&["requestedAt", "startedAt", "finishedAt"]): words::time(random)}});
        }
        _ => {}
    }
    for _ in 0..random.below(3) {
        mutate::roughly(random, &mut status);
    }
    status
}
