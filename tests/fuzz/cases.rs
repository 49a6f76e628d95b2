//! One case: what is sent to create an action, and what is done to it then.

use serde_json::{Value, json};

use crate::{mutate, random::Random, specs, words};

/// One action, and what becomes of it. The same for the same seed and number.
pub(crate) struct Case {
    pub(crate) number: u64,
    /// What is sent; not always JSON.
    pub(crate) body: Vec<u8>,
    pub(crate) content_type: &'static str,
    /// Whether fields that nobody knows are refused, or dropped.
    pub(crate) validation: &'static str,
    /// Whether pods can be made for it.
    pub(crate) open: bool,
    pub(crate) changes: Vec<Change>,
}

/// What is done to an action that was accepted.
pub(crate) enum Change {
    /// A merge patch.
    Merge(Value),
    /// A merge patch of the status, by somebody who may.
    Status(Value),
    /// A pod that looks like one of ours.
    Pod,
    /// It is deleted at once, while the operator looks at it.
    Delete,
}

impl Case {
    pub(crate) fn of(seed: u64, number: u64) -> Self {
        let random = &mut Random::of(seed, number);
        let open = random.percent(4);
        let mut object = object(random, number, open);
        let other = name(number.wrapping_sub(1));
        if !open {
            for _ in 0..random.below(4) {
                mutate::gently(random, &mut object["spec"]);
            }
            if random.percent(20) {
                mutate::metadata(random, &mut object, &other);
            }
            if random.percent(50) {
                for _ in 0..=random.below(2) {
                    mutate::roughly(random, &mut object["spec"]);
                }
            }
            if random.percent(12) {
                top(random, &mut object, number);
            }
        }
        let mut body = object.to_string().into_bytes();
        if !open && random.percent(4) {
            body = garbled(random, body);
        }
        let mut changes = Vec::new();
        while random.percent(40) && changes.len() < 4 {
            changes.push(change(random, open, &other));
        }
        let content_type = if random.percent(5) { "application/yaml" } else { "application/json" };
        let validation = if random.percent(60) { "Strict" } else { "Ignore" };
        Self { number, body, content_type, validation, open, changes }
    }
}

fn name(number: u64) -> String {
    format!("fuzz-{number}")
}

fn object(random: &mut Random, number: u64, open: bool) -> Value {
    let mut spec = if open {
        json!({
            "image": crate::namespace::examples_image(),
            "script": {"inline": "echo hello"},
            "pendingDeadlineSeconds": random.pick(&[1, 2, 5, 30]),
            "podRetentionSeconds": 0,
        })
    } else {
        specs::spec(random)
    };
    if open {
        spec["podTemplate"] = json!({"nodeSelector": {specs::NOWHERE.0: specs::NOWHERE.1}});
    }
    json!({
        "apiVersion": "longshore.dev/v1alpha1",
        "kind": "DeploymentAction",
        "metadata": {"name": name(number)},
        "spec": spec,
    })
}

/// Changes what stands beside the spec, or all of it.
fn top(random: &mut Random, object: &mut Value, number: u64) {
    match random.below(16) {
        0 => {
            object["apiVersion"] =
                json!(random.pick(&["v1", "longshore.dev/v1", "longshore.dev/v1beta1", ""]));
        }
        1 => object["kind"] = json!(random.pick(&["Pod", "deploymentaction", "DeploymentActionList", ""])),
        2 => object["status"] = specs::status(),
        3 => object["status"] = json!("Succeeded"),
        // Bounds of names: 63 characters are allowed.
        4 => object["metadata"]["name"] = json!(format!("{number:a>63}")),
        5 => object["metadata"]["name"] = json!(format!("{number:a>64}")),
        6 => object["metadata"]["name"] = json!(format!("{number}.a.b")),
        7 => object["metadata"]["name"] = json!(format!("{number}")),
        8 => object["metadata"]["name"] = json!(words::text(random)),
        9 => object["metadata"] = json!({"generateName": "n".repeat(*random.pick(&[3, 58, 63, 250]))}),
        10 => object["spec"] = json!({"containers": [{"name": "action", "image": "tools:1"}]}),
        11 => object["spec"] = mutate::nested(*random.pick(&[50, 200])),
        12 => object["spec"] = json!({}),
        13 => drop(object.as_object_mut().map(|fields| fields.remove("spec"))),
        14 => object["metadata"] = json!([]),
        _ => object["spec"]["podTemplate"] = json!({"spec": {"hostNetwork": true}, "hostPID": true}),
    }
}

/// What no JSON library would write.
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

fn change(random: &mut Random, open: bool, other: &str) -> Change {
    match random.below(10) {
        0..=2 => {
            let mut spec = specs::spec(random);
            for _ in 0..2 {
                mutate::gently(random, &mut spec);
            }
            if open {
                spec = json!({"runToken": words::text(random), "script": {"inline": words::text(random)}});
            } else if random.percent(40) {
                mutate::roughly(random, &mut spec);
            }
            // Of the one there, most stays.
            if let Some(fields) = spec.as_object_mut()
                && random.percent(50)
            {
                let keys: Vec<String> = fields.keys().cloned().collect();
                let kept = random.pick(&keys).clone();
                fields.retain(|key, _| *key == kept);
            }
            Change::Merge(json!({"spec": spec}))
        }
        3 => {
            let mut object = json!({"metadata": {}});
            mutate::metadata(random, &mut object, other);
            Change::Merge(object)
        }
        4 => Change::Delete,
        5 | 6 if open => Change::Pod,
        _ => Change::Status(json!({"status": status(random, other)})),
    }
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
