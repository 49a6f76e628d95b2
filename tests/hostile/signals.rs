//! Scripts that nothing impresses: they ignore, stop, multiply, or take from the runner what it waits for.
//! Each ends in time, and nothing of it is left.

use longshore::api::Reason;
use serde_json::json;

use super::{
    attack::{all_over_in_time, attack, cancel, judged, lives, over_in_time, started},
    oracle::Alone,
};
use crate::support::action::Action;

const REST: &str = "trap '' TERM INT HUP; echo begun; while :; do sleep 1; done";

/// Ignores every signal that can be ignored, whoever is left of it.
const DEAF: &str = "exec python3 -u -c 'import signal, time\n\
for number in range(1, 65):\n    try: signal.signal(number, signal.SIG_IGN)\n    except (OSError, ValueError): pass\n\
print(\"begun\")\nwhile True: time.sleep(1)'";

/// Reads its own standard output, before the runner does: who reads a pipe that was ready finds it empty.
const DRAINS: &str = "for n in 1 2 3 4; do cat </proc/self/fd/1 >/dev/null & done\n\
trap '' TERM; while :; do echo line; done";
/// The same, at its end: what the pipe had is gone, and nobody writes.
const DRAINS_AND_IS_SILENT: &str = "trap '' TERM; for n in $(seq 8); do cat </proc/self/fd/1 >/dev/null & done\n\
for n in 1 2 3 4; do sleep 1; echo line; done; sleep 600";

/// Stops its children and itself: what is stopped does nothing when it is asked.
const STOPPED: &str =
    "sleep 600 & kill -STOP $!\nsetsid sleep 600 & kill -STOP $!\necho begun; kill -STOP $$; sleep 600";

/// Children in sessions of their own, whose parents are gone.
const ORPHANS: &str = "for n in $(seq 20); do (setsid bash -c \"trap '' TERM HUP; while :; do sleep 1; done\" &); done\n\
trap '' TERM; echo begun; while :; do sleep 1; done";

/// Processes that are gone before anybody has their number, each with an heir, as many as at the start.
const COMETS: &str = "trap '' TERM\ncomet() { trap '' TERM HUP; (comet &); exit; }\n\
for n in $(seq 30); do (comet &); done\necho begun; while :; do sleep 1; done";

/// A tree that grows until it has so many processes, and ignores all.
const BOMB: &str = "trap '' TERM HUP\nbomb() { [ \"$1\" = 0 ] || { bomb $(($1 - 1)) & bomb $(($1 - 1)) & }; while :; do sleep 5; done; }\n\
echo begun; bomb 6";

/// Closes all that it has, and fills each number with something else.
const DESCRIPTORS: &str = "sleep 600 &\nexec python3 -u -c 'import os, signal, time\n\
signal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint(\"begun\")\nos.closerange(0, 256)\n\
try:\n    while True: os.open(\"/dev/zero\", os.O_RDWR)\nexcept OSError: pass\n\
while True: time.sleep(1)'";

fn sends(signals: &str) -> String {
    format!("for signal in {signals}; do kill -$signal 1; done 2>/dev/null; echo sent; sleep 1; {REST}")
}

/// Takes from the runner what it may use: `what` of Python's `resource`.
fn limits(what: &str) -> String {
    format!("python3 -c 'import resource; resource.prlimit(1, resource.{what}, (0, 0))' || leave 97\n{REST}")
}

#[tokio::test]
async fn scripts_that_ignore_stop_and_multiply_end_in_time() {
    judged(Alone::Action, async |namespace| {
        let attacks = [
            ("deaf", DEAF),
            ("drains", DRAINS),
            ("drains-silent", DRAINS_AND_IS_SILENT),
            ("stopped", STOPPED),
            ("orphans", ORPHANS),
            ("comets", COMETS),
            ("bomb", BOMB),
            ("descriptors", DESCRIPTORS),
        ];
        let attacks = attacks.map(|(name, body)| (name.to_owned(), attack(body)));
        for done in all_over_in_time(namespace, attacks).await {
            let reason = done.reason();
            assert!(matches!(reason, Some(Reason::DeadlineExceeded | Reason::Unknown)), "{}", done.message());
        }
    })
    .await;
}

#[tokio::test]
async fn a_runner_that_is_sent_signals_and_given_limits_still_ends_its_script() {
    judged(Alone::Action, async |namespace| {
        let attacks = [
            ("stop", sends("STOP TSTP TTIN")),
            ("term", sends("TERM")),
            ("all", sends("$(seq 1 64)")),
            ("descriptors", limits("RLIMIT_NOFILE")),
            ("file-size", limits("RLIMIT_FSIZE")),
            ("processes", limits("RLIMIT_NPROC")),
            ("stack", limits("RLIMIT_STACK")),
            ("locked", limits("RLIMIT_MEMLOCK")),
            ("pending", limits("RLIMIT_SIGPENDING")),
        ];
        let attacks = attacks.map(|(name, body)| (name.to_owned(), attack(&body)));
        for done in all_over_in_time(namespace, attacks).await {
            assert_ne!(done.reason(), Some(Reason::Succeeded), "{}", done.message());
        }
    })
    .await;
}

#[tokio::test]
async fn a_script_that_drains_its_own_output_is_cancelled_in_time() {
    judged(Alone::Action, async |namespace| {
        let wanted = attack(DRAINS).with("runDeadlineSeconds", 600);
        let action = namespace.apply("drains", wanted).await;
        started(&action, 1).await;
        action.reason(Reason::Running).await;
        cancel(&action).await;
        let cancelled = std::time::Instant::now();
        crate::support::namespace::until("the script is over", async || {
            lives(&action).iter().all(|life| life.ended.is_some()).then_some(())
        })
        .await;
        assert!(cancelled.elapsed() < super::attack::MARGIN, "it took {} s", cancelled.elapsed().as_secs());
        let reason = action.finished().await.reason();
        assert!(matches!(reason, Some(Reason::Cancelled | Reason::Unknown)), "{reason:?}");
    })
    .await;
}

/// It ends by itself, and what it left behind does not outlive it.
#[tokio::test]
async fn what_a_script_leaves_behind_ends_with_it() {
    judged(Alone::Namespace, async |namespace| {
        let lock = |action: Action| action.with("lock", json!({"name": "prod"}));
        let body = format!("({ORPHANS}) & ({COMETS}) & sleep 1; leave 0");
        let first = namespace.apply("first", lock(attack(&body).with("runDeadlineSeconds", 60))).await;
        started(&first, 1).await;
        let second = namespace.apply("second", lock(attack("leave 0"))).await;
        over_in_time(&first).await;
        first.finished().await.assert_succeeded();
        second.finished().await.assert_succeeded();
    })
    .await;
}
