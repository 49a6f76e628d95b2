//! Scripts that put something else in the place of the runner's files. The runner still ends each of them in
//! time: at a deadline, after a cancel, and under a lock.

use std::time::Duration;

use longshore::api::Reason;
use serde_json::json;

use super::{
    attack::{
        all_over_in_time, attack, cancel, finished_and_true, is_long, judged, locked, over_in_time, started,
        told,
    },
    oracle::Alone,
};

/// Below the container's root, all in a folder that the script can write.
const PLACES: [&str; 8] = [
    "longshore/state/stop-reason.new",
    "longshore/state/stop-reason",
    "longshore/state/claim",
    "longshore/state/exit.json",
    "longshore/state/exit.json.new",
    "longshore/state/output",
    "longshore/state/mask",
    "longshore/state/script",
];
/// Things to put there, each with a name for people.
const KINDS: [(&str, &str); 6] = [
    ("fifo", "mkfifo \"$at\""),
    ("folder", "mkdir -p \"$at/full\""),
    ("runner", "ln -s /proc/1/fd/1 \"$at\""),
    ("endless", "ln -s /dev/zero \"$at\""),
    ("full", "ln -s /dev/full \"$at\""),
    ("socket", "python3 -c 'import socket, sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])' \"$at\""),
];
/// First of all, for a busy machine may have it asked before it is ready.
const IGNORES: &str = "trap '' TERM INT HUP";
const GOES_ON: &str = "echo begun; while :; do sleep 1; done";

/// Puts it at these places, and then ignores what it is asked.
fn replaces(places: &[&str], put: &str) -> String {
    let places: Vec<String> = places.iter().map(|place| format!("\"$ROOT/{place}\"")).collect();
    let places = places.join(" ");
    format!("{IGNORES}\nfor at in {places}; do rm -rf \"$at\"; {put} || leave 97; done\n{GOES_ON}")
}

fn fifos() -> String {
    replaces(&PLACES, KINDS[0].1)
}

/// A FIFO at each place alone, and the other kinds at all places at once; in the long form each kind at each.
fn all() -> Vec<(String, String)> {
    let mut all = Vec::new();
    for (kind, put) in KINDS {
        if is_long() || kind == "fifo" {
            for place in PLACES {
                let file = place.rsplit('/').next().unwrap();
                all.push((format!("{kind}-{}", file.replace('.', "-")), replaces(&[place], put)));
            }
        } else {
            all.push((kind.to_owned(), replaces(&PLACES, put)));
        }
    }
    all
}

#[tokio::test]
async fn what_a_script_puts_at_the_runner_s_files_outlives_no_deadline() {
    judged(Alone::Action, async |namespace| {
        let attacks = all().into_iter().map(|(name, body)| (name, attack(&body)));
        for done in all_over_in_time(namespace, attacks).await {
            let reason = done.reason();
            assert!(matches!(reason, Some(Reason::DeadlineExceeded | Reason::Unknown)), "{}", done.message());
        }
    })
    .await;
}

#[tokio::test]
async fn what_a_script_puts_at_the_runner_s_files_outlives_no_cancel() {
    judged(Alone::Action, async |namespace| {
        let long = |body: &str| attack(body).with("runDeadlineSeconds", 600);
        let [fifo, folder] = [fifos(), replaces(&PLACES, KINDS[1].1)].map(|body| long(&body));
        for (name, wanted) in [("fifo", fifo), ("folder", folder)] {
            let action = namespace.apply(name, wanted).await;
            started(&action, 1).await;
            action.reason(Reason::Running).await;
            cancel(&action).await;
            over_in_time(&action).await;
            let reason = action.finished().await.reason();
            assert!(matches!(reason, Some(Reason::Cancelled | Reason::Unknown)), "{reason:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_fifo_under_a_lock_lets_nobody_in_and_holds_it_no_longer_than_its_deadline() {
    judged(Alone::Namespace, async |namespace| {
        let first = namespace.apply("first", locked(attack(&fifos()))).await;
        started(&first, 1).await;
        let second = namespace.apply("second", locked(told("leave 0"))).await;
        over_in_time(&first).await;
        second.finished().await.assert_succeeded();
    })
    .await;
}

/// If the runner hangs, only the operator's clocks are left. They must not count for more than a running
/// container. Here nothing fails for a script that lives too long: that is the tests' above.
#[tokio::test]
async fn no_attempt_no_run_and_no_lock_passes_beside_a_script_that_hides_behind_a_fifo() {
    judged(Alone::Namespace, async |namespace| {
        let retry = json!({"limit": 1, "causes": ["Interrupted", "DeadlineExceeded"], "backoffSeconds": 1});
        let wanted = attack(&fifos()).with("retry", retry).with("pendingDeadlineSeconds", 300);
        let first = namespace.apply("first", locked(wanted)).await;
        started(&first, 1).await;
        first.annotate(longshore::api::ANNOTATION_RERUN, "again").await;
        let second = namespace.apply("second", locked(told("leave 0"))).await;
        finished_and_true(&second, Alone::Namespace, Duration::from_secs(400)).await;
    })
    .await;
}

/// A script that reaches nothing: slowness alone does not make the tests above pass.
#[tokio::test]
async fn a_script_that_is_only_deaf_ends_in_time() {
    judged(Alone::Action, async |namespace| {
        // A script that is asked before it has set its trap ends by the signal.
        let deaf = attack(&format!("{IGNORES}; {GOES_ON}")).with("runDeadlineSeconds", 15);
        for done in all_over_in_time(namespace, [("deaf".to_owned(), deaf)]).await {
            done.assert_failed(Reason::DeadlineExceeded, Some(137)).assert_log_complete();
        }
    })
    .await;
}
