//! What actions take in memory that are as large as an action may be.

use serde_json::{Map, Value, json};

use crate::{load::Load, node::Cluster, operator::Operator};

/// `count` of them, finished and without pods: how much more the operator has resident than before.
pub(crate) async fn measure(cluster: &Cluster, operator: Operator, load: &mut Load, count: u32) -> Value {
    println!("\n{count} of the largest actions ...");
    let operator = operator.current(cluster.sandbox());
    let before = operator.mib();
    load.more = largest();
    let command = std::mem::replace(&mut load.command, vec!["sh".into(), "-c".into(), SCRIPT.into()]);
    let created = load.create(count, 5).await;
    (load.command, load.more) = (command, Map::new());
    created.ended().await;
    load.pods_gone(crate::PODS_GONE).await;
    let operator = operator.current(cluster.sandbox());
    let (after, peak) = (operator.mib(), operator.peak_mib());
    println!("{before:.1} MiB before, {after:.1} MiB with them, {peak:.1} MiB at the most");
    json!({"count": count, "beforeMib": before, "afterMib": after, "peakMib": peak})
}

/// Reports as much as a script may, and ends with as much of a log as the status keeps.
const SCRIPT: &str = "set -e
for name in a b c d; do
  { printf '%s=' $name; head -c 32000 /dev/zero | tr '\\0' x; echo; } >> \"$LONGSHORE_OUTPUT\"
done
for line in $(seq 400); do echo \"line $line of a log, as long as lines of logs are\"; done";

/// Fields of a spec of nearly 256 KiB, of which most travels with the pod.
fn largest() -> Map<String, Value> {
    let value = "x".repeat(32_000);
    let variables: Vec<_> =
        (0..5).map(|number| json!({"name": format!("V{number}"), "value": value})).collect();
    let outputs: Vec<_> = ["a", "b", "c", "d"].map(|name| json!({"name": name})).into();
    // Such a node is not there, and is not needed.
    let values: Vec<_> = (0..64).map(|number| format!("{number:0>60}")).collect();
    let expression = json!({"key": "example.com/zone", "operator": "In", "values": values});
    let terms: Vec<_> =
        (0..20).map(|_| json!({"weight": 1, "preference": {"matchExpressions": [expression]}})).collect();
    let affinity = json!({"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": terms}});
    let fields = json!({"variables": variables, "outputs": outputs, "podTemplate": {"affinity": affinity}});
    fields.as_object().cloned().unwrap_or_default()
}
