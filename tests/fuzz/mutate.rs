//! Changes JSON: anywhere and anyhow, or in places where it may well be accepted.

use serde_json::{Map, Value, json};

use super::{
    policies,
    words::{self, SENTINEL},
};
use crate::support::random::Random;

/// Changes something anywhere in `value`.
pub(crate) fn roughly(random: &mut Random, value: &mut Value) {
    let mut places = Vec::new();
    pointers(value, String::new(), &mut places);
    if places.is_empty() {
        return;
    }
    let place = random.pick(&places).clone();
    let Some(there) = value.pointer(&place).cloned() else { return };
    let new = match random.below(13) {
        0 | 1 => return remove(value, &place),
        2 => Value::Null,
        3 => another_type(random, &there),
        4 => json!([there.clone(), there]),
        5 => json!({"value": there}),
        6 => return duplicate(random, value, &place),
        7 => {
            // A part of it in another's place.
            let other = random.pick(&places).clone();
            value.pointer(&other).filter(|part| is_harmless(part)).cloned().unwrap_or(Value::Null)
        }
        8 if random.percent(30) => nested(*random.pick(&[3, 20, 120])),
        9 => unlisted(there),
        _ => like(random, &there),
    };
    if let Some(there) = value.pointer_mut(&place) {
        *there = new;
    }
}

/// Sets a field of an action to what may be accepted, and is unusual.
pub(crate) fn gently(random: &mut Random, spec: &mut Value) {
    let seconds = |random: &mut Random, of: &[i64]| json!(random.pick(of));
    match random.below(19) {
        0 => spec["image"] = json!(words::image(random)),
        1 => spec["pendingDeadlineSeconds"] = seconds(random, &[1, 1, 1, 2, 3, 86_400]),
        2 => spec["runDeadlineSeconds"] = seconds(random, &[1, 604_800]),
        3 => spec["terminationGracePeriodSeconds"] = seconds(random, &[0, 3600]),
        4 | 11 | 12 => when(random, spec),
        5 => {
            spec["script"] = json!({"inline": words::text(random)});
            spec.as_object_mut().map(|fields| fields.remove("command"));
        }
        6 => spec["args"] = json!([words::text(random), words::text(random)]),
        7 => {
            let value = words::text(random) + SENTINEL;
            spec["variables"] =
                json!([{"name": "V", "value": value}, {"name": "W", "as": "File", "value": value}]);
        }
        8 => spec["variables"] = json!([{"name": words::text(random), "value": SENTINEL}]),
        9 => {
            let kind = *random.pick(&["secretRef", "configMapRef"]);
            spec["variablesFrom"] =
                json!([{"prefix": words::text(random), kind: {"name": words::name(random)}}]);
        }
        10 => spec["imagePullSecrets"] = json!([{"name": words::name(random)}]),
        13 => {
            spec["podTemplate"]["metadata"] =
                json!({"annotations": {words::name(random): words::text(random)}});
        }
        14 => spec["podTemplate"]["nodeSelector"] = json!({"disk": words::name(random)}),
        15 => {
            let quantity = random.pick(policies::QUANTITIES);
            spec["resources"] = json!({"limits": {"memory": quantity, words::name(random): quantity}});
        }
        16 => {
            let reference = words::image(random);
            spec["packages"] =
                json!([{"name": random.pick(&["tools", "a", "A", "-"]), "reference": reference}]);
        }
        17 => {
            spec["packages"] = json!([{"name": words::name(random), "reference": words::odd_image(random)}]);
        }
        _ => spec["outputs"] = json!([{"name": words::name(random), "required": true}]),
    }
}

/// Sets when and how often an action runs, whatever it executes.
pub(crate) fn when(random: &mut Random, spec: &mut Value) {
    match random.below(9) {
        0 => spec["podRetentionSeconds"] = json!(random.pick(&[0, 1, 31_536_000])),
        1 => spec["runToken"] = json!(words::text(random)),
        2 => spec["runPolicy"] = json!(random.pick(&["OnChange", "Once", "Manual"])),
        3 => spec["suspend"] = json!(random.percent(70)),
        4 | 5 => spec["lock"] = lock(random),
        6 => spec["ttlSecondsAfterFinished"] = json!(random.pick(&[-1, 0, 5])),
        _ => spec["retry"] = retry(random),
    }
}

fn lock(random: &mut Random) -> Value {
    let name = if random.percent(80) { (*random.pick(&["a", "b"])).to_owned() } else { words::name(random) };
    let mut lock = json!({"name": name, "whenHeld": random.pick(&["Queue", "Queue", "Fail", "Wait"])});
    if random.percent(80) {
        lock["queueDeadlineSeconds"] = json!(random.pick(&[0, 1, 3, 10]));
    }
    lock
}

fn retry(random: &mut Random) -> Value {
    let mut retry = json!({"limit": random.pick(&[0, 1, 1, 2, 10])});
    if random.percent(60) {
        let causes = ["NeverStarted", "ScriptFailed", "Interrupted", "DeadlineExceeded", "Unknown"];
        retry["causes"] = json!([random.pick(&causes), random.pick(&causes)]);
    }
    if random.percent(30) {
        retry["exitCodes"] = json!([random.pick(&[0, 1, 75, 255, 256])]);
    }
    for field in ["backoffSeconds", "maxBackoffSeconds"] {
        if random.percent(50) {
            retry[field] = json!(random.pick(&[1, 1, 2, 86_400]));
        }
    }
    retry
}

/// What the API server or the operator may read in metadata.
pub(crate) fn metadata(random: &mut Random, object: &mut Value, other: &str) {
    let set = &mut object["metadata"];
    match random.below(15) {
        0 => set["annotations"] = json!({"longshore.dev/rerun": words::text(random)}),
        1 => set["annotations"] = json!({"longshore.dev/cancel": words::text(random)}),
        2 => set["annotations"] = json!({words::text(random): words::text(random)}),
        3 => set["labels"] = json!({"longshore.dev/action": other, "longshore.dev/run": "1"}),
        4 => set["labels"] = json!({words::name(random): words::name(random)}),
        5 => {
            set["ownerReferences"] = json!([{
                "apiVersion": random.pick(&["v1", "longshore.dev/v1alpha1", ""]), "kind": "ConfigMap",
                "name": "settings", "uid": words::name(random), "controller": random.percent(50),
            }]);
        }
        6 => {
            set["finalizers"] =
                json!([random.pick(&["example.com/fuzz", "orphan", "longshore.dev/collect", ""])]);
        }
        7 => set["deletionGracePeriodSeconds"] = words::number(random),
        8 => set["deletionTimestamp"] = words::time(random),
        9 => set["generation"] = words::number(random),
        10 => set["uid"] = json!(words::text(random)),
        11 => set["creationTimestamp"] = words::time(random),
        12 => set["resourceVersion"] = json!(words::text(random)),
        13 => set["namespace"] = json!(words::name(random)),
        _ => {
            set["managedFields"] =
                json!([{"manager": words::text(random), "operation": "Apply", "fieldsType": "FieldsV1"}]);
        }
    }
}

fn pointers(value: &Value, here: String, into: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                let place = format!("{here}/{}", key.replace('~', "~0").replace('/', "~1"));
                pointers(value, place, into);
            }
        }
        Value::Array(items) => {
            for (index, value) in items.iter().enumerate() {
                pointers(value, format!("{here}/{index}"), into);
            }
        }
        _ => {}
    }
    if !here.is_empty() {
        into.push(here);
    }
}

fn parent<'a>(value: &'a mut Value, place: &str) -> Option<(&'a mut Value, String)> {
    let (parent, key) = place.rsplit_once('/')?;
    Some((value.pointer_mut(parent)?, key.replace("~1", "/").replace("~0", "~")))
}

fn remove(value: &mut Value, place: &str) {
    match parent(value, place) {
        Some((Value::Object(fields), key)) => drop(fields.remove(&key)),
        Some((Value::Array(items), index)) => drop(items.remove(index.parse().expect("an index"))),
        _ => {}
    }
}

fn duplicate(random: &mut Random, value: &mut Value, place: &str) {
    match parent(value, place) {
        Some((Value::Object(fields), key)) => {
            let copy = fields.get(&key).cloned().unwrap_or_default();
            let name = match random.below(3) {
                0 => key.to_uppercase(),
                1 => format!("{key}s"),
                _ => words::text(random),
            };
            fields.insert(name, copy);
        }
        Some((Value::Array(items), index)) => {
            let copy = items[index.parse::<usize>().expect("an index")].clone();
            let times = *random.pick(&[1, 1, 2, 20, 130]);
            items.extend(std::iter::repeat_n(copy, times));
        }
        _ => {}
    }
}

/// Whether it may stand where the operator may well write it to its log.
fn is_harmless(value: &Value) -> bool {
    !value.to_string().contains("sentinel")
}

/// A variable's value must stay a value: nobody promises the silence of an image's name.
fn like(random: &mut Random, there: &Value) -> Value {
    match there {
        Value::String(text) if text.contains(':') && random.percent(50) => json!(words::odd_image(random)),
        Value::String(_) if random.percent(40) => json!(words::name(random)),
        Value::String(_) => json!(words::text(random)),
        Value::Number(_) => words::number(random),
        Value::Bool(truth) => json!(!truth),
        Value::Array(_) => json!([]),
        Value::Object(_) | Value::Null => json!({}),
    }
}

fn another_type(random: &mut Random, there: &Value) -> Value {
    match there {
        Value::Number(number) => json!(number.to_string()),
        Value::String(_) if random.percent(50) => words::number(random),
        Value::String(_) => json!({"inline": words::text(random)}),
        Value::Object(fields) => json!(fields.values().cloned().collect::<Vec<_>>()),
        Value::Array(items) => {
            let fields = items.iter().enumerate().map(|(index, item)| (index.to_string(), item.clone()));
            Value::Object(fields.collect::<Map<_, _>>())
        }
        _ => json!(words::text(random)),
    }
}

/// A list's first item in its place, and a text's or a map's in a list.
fn unlisted(there: Value) -> Value {
    match there {
        Value::Array(mut items) if !items.is_empty() => items.swap_remove(0),
        other => json!([other]),
    }
}

pub(crate) fn nested(depth: usize) -> Value {
    (0..depth).fold(json!("bottom"), |inner, _| {
        Value::Object(Map::from_iter([("a".to_owned(), Value::Array(vec![inner]))]))
    })
}
