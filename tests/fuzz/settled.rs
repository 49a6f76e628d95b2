//! Whether actions that were stored come to an end, or are held for somebody.

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::Client;
use serde_json::Value;

use super::{answers::Counts, kinds::Kind, places::Places};

/// How long after its own deadlines an action may take, with all the others there.
const LATE: Duration = Duration::from_mins(1);

/// The state of an action.
#[derive(Debug, PartialEq, Eq)]
enum State {
    /// It is finished, or held.
    Settled,
    /// It is within its own deadlines until then; `None` where it has not even been seen.
    Until(Option<Timestamp>),
}

/// Waits until every action in these places has come to an end or is held, as long as its own deadlines
/// and [`LATE`] allow. Actions whose status somebody forged say whatever they were told to.
pub(crate) async fn settle(client: &Client, places: &Places, forged: &HashSet<String>) -> Counts {
    let (begun, start) = (Instant::now(), Timestamp::now());
    loop {
        let now = Timestamp::now();
        let (mut settled, mut waiting, mut due) = (0, 0, Vec::new());
        for namespace in places.all() {
            for action in Kind::Action.list(client, namespace).await {
                let name = action["metadata"]["name"].as_str().unwrap_or_default();
                let leaving = action["metadata"]["deletionTimestamp"].is_string();
                if leaving || forged.contains(&format!("{namespace}/{name}")) {
                    continue;
                }
                match state(&action) {
                    State::Settled => settled += 1,
                    State::Until(until) if until.is_some_and(|until| until > now) => waiting += 1,
                    State::Until(until) => due.push((until.unwrap_or(start), action)),
                }
            }
        }
        if due.is_empty() {
            return Counts { settled, waiting, ..Counts::default() };
        }
        if begun.elapsed() > LATE {
            let late = SignedDuration::try_from(LATE).expect("a minute");
            let stuck: Vec<_> = due.iter().filter(|(until, _)| now.duration_since(*until) > late).collect();
            let words = stuck.iter().take(3).map(|(_, action)| action.to_string()).collect::<Vec<_>>();
            assert!(stuck.is_empty(), "{} actions do not come to an end: {words:#?}", stuck.len());
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

fn state(action: &Value) -> State {
    let (spec, status) = (&action["spec"], &action["status"]);
    let condition = |kind: &str| {
        let all = status["conditions"].as_array().into_iter().flatten();
        all.into_iter().find(|condition| condition["type"] == kind)
    };
    let seen = status["observedGeneration"] == action["metadata"]["generation"];
    let finished = condition("Finished").is_some_and(|finished| finished["status"] == "True");
    let held = condition("Ready")
        .is_some_and(|ready| ["Suspended", "NotRequested"].iter().any(|reason| ready["reason"] == *reason));
    if seen && (finished || held) {
        return State::Settled;
    }
    let run = &status["run"];
    if finished || held || run.is_null() {
        return State::Until(None);
    }
    let time = |field: &str| run[field].as_str().and_then(|text| text.parse::<Timestamp>().ok());
    let seconds = |frozen: &str, said: &str, otherwise: i64| {
        let said = run["deadlines"][frozen].as_i64().or_else(|| spec[said].as_i64());
        SignedDuration::from_secs(said.unwrap_or(otherwise))
    };
    let pending = seconds("pendingSeconds", "pendingDeadlineSeconds", 600);
    let running = seconds("runSeconds", "runDeadlineSeconds", 3600)
        + seconds("graceSeconds", "terminationGracePeriodSeconds", 30);
    if run["queuePosition"].is_number() {
        // It waits for its lock that long, or, with whenHeld Fail, until that can be looked at.
        let longest = spec["lock"]["queueDeadlineSeconds"].as_i64().unwrap_or(3600);
        let longest = SignedDuration::from_secs(longest).max(pending);
        return State::Until(time("requestedAt").map(|at| at + longest));
    }
    let acquired = run["lock"]["acquiredAt"].as_str().and_then(|text| text.parse().ok());
    let begun = time("attemptRequestedAt").or(acquired).or_else(|| time("requestedAt"));
    let ends =
        [begun.map(|at| at + pending), time("startedAt").map(|at| at + running), time("nextAttemptAt")];
    State::Until(ends.into_iter().flatten().max())
}

#[test]
fn an_action_is_settled_or_due() {
    use serde_json::json;

    let ready = |reason: &str| json!([{"type": "Ready", "status": "False", "reason": reason}]);
    let of = |status: Value| state(&json!({"metadata": {"generation": 2}, "spec": {}, "status": status}));
    let finished = json!([{"type": "Finished", "status": "True"}]);
    for held in [ready("Suspended"), ready("NotRequested"), finished.clone()] {
        assert_eq!(of(json!({"observedGeneration": 2, "conditions": held})), State::Settled);
    }
    assert_eq!(of(json!({"observedGeneration": -1, "phase": "Pending"})), State::Until(None));
    assert_eq!(of(json!({"observedGeneration": 1, "conditions": finished, "run": {}})), State::Until(None));
    let at = |text: &str| State::Until(Some(text.parse().unwrap()));
    let mut run = json!({
        "requestedAt": "2026-11-23T10:00:00Z",
        "deadlines": {"pendingSeconds": 5, "runSeconds": 60, "graceSeconds": 1},
    });
    let under_way =
        |run: &Value| of(json!({"observedGeneration": 2, "conditions": ready("PodPending"), "run": run}));
    assert_eq!(under_way(&run), at("2026-11-23T10:00:05Z"));
    run["queuePosition"] = json!(3);
    assert_eq!(under_way(&run), at("2026-11-23T11:00:00Z"));
    run["queuePosition"].take();
    run["lock"] = json!({"acquiredAt": "2026-11-23T10:00:02Z"});
    assert_eq!(under_way(&run), at("2026-11-23T10:00:07Z"));
    run["startedAt"] = json!("2026-11-23T10:00:04Z");
    assert_eq!(under_way(&run), at("2026-11-23T10:01:05Z"));
    run["nextAttemptAt"] = json!("2026-11-23T11:00:00Z");
    assert_eq!(under_way(&run), at("2026-11-23T11:00:00Z"));
}
