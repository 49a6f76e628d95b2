//! Scripts that end the runner before it can speak, and speak for it: what they say is believed by nobody.
//!
//! The script has the runner's user, and so may set the runner's limits: one second of CPU time, or no more
//! memory, and the kernel ends it. A termination message that was written before stays.

use kube::ResourceExt;
use longshore::{api::Reason, record::VERSION};
use serde_json::json;

use super::{
    attack::{all_finished, attack, judged, lives, told},
    nodes::{on, on_fake_node},
    oracle::Alone,
};
use crate::{
    node::Order,
    support::{
        action::{Action, from_secret},
        namespace::{Namespace, until},
    },
};

const SECRET: &str = "correct-horse-battery-staple";

/// The identity for a forged record, as a script finds it: in the claim, or in its environment.
const OF: &str = r#"of=$(cat "$ROOT/longshore/state/claim" 2>/dev/null)
[ -n "$of" ] || of="{\"podUid\":\"$LONGSHORE_POD_UID\",\"runId\":\"$LONGSHORE_RUN_ID\"}""#;

/// Ways to kill the runner, each with a name for people. Each is given work for it to die of.
const KILLS: [(&str, &str); 2] = [
    (
        "cpu",
        "python3 -c 'import resource; resource.prlimit(1, resource.RLIMIT_CPU, (1, 1))' || leave 97\n\
         yes | head -c 16M; sleep 600",
    ),
    (
        "memory",
        "python3 -c 'import resource; resource.prlimit(1, resource.RLIMIT_AS, (4096, 4096))' || leave 97\n\
         head -c 300000 /dev/zero | tr '\\0' x; yes | head -c 1M; sleep 600",
    ),
];

/// A termination message in the runner's words, with this outcome.
fn message(outcome: &str, millis: u64) -> String {
    let outputs = r#"{\"url\":\"forged\",\"stolen\":\"$TOKEN\"}"#;
    format!(
        "{OF}\n\
         said=\"{{\\\"exit\\\":{{\\\"version\\\":{VERSION},\\\"of\\\":$of,\\\"outcome\\\":{outcome},\\\"millis\\\":{millis},\\\"outputs\\\":{outputs}}}}}\"\n\
         printf %s \"$said\" >\"$ROOT/dev/termination-log\" || leave 97\n"
    )
}

fn succeeded() -> String {
    message(r#"{\"exited\":{\"code\":0}}"#, 18_000_000_000_000_000)
}

fn not_started(problem: &str) -> String {
    message(&format!(r#"{{\"notStarted\":{{\"problem\":\"{problem}\",\"message\":\"nothing ran\"}}}}"#), 0)
}

/// With a Secret to steal.
fn with_secret(action: Action) -> Action {
    action.with("variables", [from_secret("TOKEN", "db", "password")]).outputs(&["url"])
}

async fn secret(namespace: &Namespace) {
    namespace.secret("db", json!({"password": SECRET})).await;
}

/// Nothing of what was forged is in the status, and nothing of the Secret.
fn is_believed_nowhere(done: &crate::support::action::Done) {
    assert_ne!(done.reason(), Some(Reason::Succeeded), "{}", done.message());
    assert!(done.status().outputs.is_empty(), "{:?}", done.status().outputs);
    let status = serde_json::to_string(done.status()).unwrap();
    assert!(!status.contains(SECRET) && !status.contains("forged"), "{status}");
}

#[tokio::test]
async fn a_success_that_is_forged_by_the_runner_s_killer_is_none() {
    judged(Alone::Action, async |namespace| {
        secret(namespace).await;
        let attacks = KILLS.map(|(name, kill)| {
            let body = format!("{}{kill}", succeeded());
            (name.to_owned(), with_secret(attack(&body)).with("runDeadlineSeconds", 30))
        });
        for done in all_finished(namespace, attacks).await {
            is_believed_nowhere(&done);
        }
    })
    .await;
}

#[tokio::test]
async fn a_start_that_is_denied_by_the_runner_s_killer_is_not_tried_again() {
    judged(Alone::Action, async |namespace| {
        secret(namespace).await;
        let retry = json!({"limit": 2, "causes": ["NeverStarted"], "backoffSeconds": 1});
        let mut attacks = Vec::new();
        for problem in ["Internal", "Stopped", "InterpreterNotFound"] {
            for retried in [true, false] {
                let body = format!("{}{}", not_started(problem), KILLS[1].1);
                let mut wanted = with_secret(attack(&body)).with("runDeadlineSeconds", 30);
                if retried {
                    wanted = wanted.with("retry", retry.clone());
                }
                attacks.push((format!("{}-{retried}", problem.to_lowercase()), wanted));
            }
        }
        for done in all_finished(namespace, attacks).await {
            let name = done.0.metadata.name.clone().unwrap();
            assert_eq!(done.run().attempt, 1, "{name} was tried again: {}", done.message());
            is_believed_nowhere(&done);
        }
    })
    .await;
}

/// The kernel takes the runner for the one that has too much memory.
#[tokio::test]
async fn a_runner_that_is_killed_for_the_script_s_memory_says_nothing_forged() {
    judged(Alone::Action, async |namespace| {
        secret(namespace).await;
        let body = format!(
            "{}echo 1000 >/proc/1/oom_score_adj 2>/dev/null\n\
             python3 -c 'a = []\nwhile True: a.append(bytearray(b\"x\" * (8 << 20)))'\n\
             leave 5",
            succeeded()
        );
        let wanted = with_secret(attack(&body))
            .with("runDeadlineSeconds", 30)
            .with("resources", json!({"limits": {"memory": "96Mi"}}));
        is_believed_nowhere(&namespace.apply("oom", wanted).await.finished().await);
    })
    .await;
}

/// Frames of a run that succeeded, on a standard output that the runner does not outlive, and on its own
/// where it can be reached.
#[tokio::test]
async fn records_that_are_printed_by_the_runner_s_killer_are_text() {
    judged(Alone::Action, async |namespace| {
        secret(namespace).await;
        let frames = format!(
            "{OF}\n\
             record=\"{{\\\"exit\\\":{{\\\"version\\\":{VERSION},\\\"of\\\":$of,\\\"outcome\\\":{{\\\"exited\\\":{{\\\"code\\\":0}}}},\\\"millis\\\":1}}}}\"\n\
             frame() {{ printf '%s %s\\n' ${{#1}} \"$1\"; }}\n\
             for n in $(seq 1 40); do frame \"$n x $n $record\"; done\n\
             for fd in 1 2; do frame \"2 x 1 $record\" >/proc/1/fd/$fd; done 2>/dev/null\n"
        );
        let wanted = with_secret(attack(&format!("{frames}{}", KILLS[1].1))).with("runDeadlineSeconds", 30);
        is_believed_nowhere(&namespace.apply("printed", wanted).await.finished().await);
    })
    .await;
}

/// The next action under a lock waits until the container has ended, whatever its message says.
#[tokio::test]
async fn a_forged_message_passes_no_lock_on_while_the_script_runs() {
    judged(Alone::Namespace, async |namespace| {
        secret(namespace).await;
        // It is written again and again, and nobody reads it before the end.
        let body = format!("{}echo begun; sleep 8; leave 3", succeeded());
        let lock = json!({"name": "prod"});
        let first = namespace.apply("first", with_secret(told(&body)).with("lock", lock.clone())).await;
        super::attack::started(&first, 1).await;
        let second = namespace.apply("second", told("leave 0").with("lock", lock)).await;
        first.finished().await.assert_failed(Reason::ScriptFailed, Some(3));
        second.finished().await.assert_succeeded();
    })
    .await;
}

/// A kubelet that starts the container again, and a script that has prepared it.
#[tokio::test]
async fn a_second_start_of_the_container_believes_nothing_that_the_script_put_down() {
    on_fake_node(
        Alone::Action,
        |options| options,
        async |namespace, node| {
            let body = format!(
                "{OF}\n\
                 printf %s \"{{\\\"version\\\":{VERSION},\\\"of\\\":$of,\\\"outcome\\\":{{\\\"exited\\\":{{\\\"code\\\":0}}}},\\\"millis\\\":1,\
                 \\\"outputs\\\":{{\\\"url\\\":\\\"forged\\\"}}}}\" >\"$ROOT/longshore/state/exit.json\"\n\
                 tell ready; echo begun; sleep 600"
            );
            let action = namespace.apply("twice", on(&[node.name()], told(&body)).outputs(&["url"])).await;
            until("it has put it down", async || {
                lives(&action).iter().any(|life| !life.said.is_empty()).then_some(())
            })
            .await;
            assert!(node.order(&action.pod().await.uid().unwrap(), Order::Restart));
            is_believed_nowhere(&action.finished().await);
        },
    )
    .await;
}
