//! All attacks share these: a namespace that is judged at its end, scripts that report themselves, and how
//! long a script may outlive its deadline.

use std::time::Duration;

use longshore::api::ANNOTATION_CANCEL;
use serde_json::json;
use tokio::sync::Semaphore;

use super::{
    oracle::{self, Alone},
    witness::{Life, Witness},
};
use crate::support::{
    action::{Action, Done, Handle},
    namespace::{Namespace, in_namespace, until, within},
    turns::among_others,
};

/// Deadline and grace of an attacking script, in seconds. A busy machine needs this long to get the attack
/// ready.
const DEADLINE_SECONDS: i64 = 5;
const GRACE_SECONDS: i64 = 1;
/// The kubelet's own deadline counts from the pod's start and includes the pending deadline. It comes long
/// after the runner should have ended the script.
const PENDING_SECONDS: i64 = 120;
/// How long a script that ignores everything may live past its deadline and its grace. A slow machine needs much.
pub(crate) const MARGIN: Duration = Duration::from_secs(20);

/// How many attacks run at a time. A node that starts fifty pods at once takes minutes.
static ROOM: Semaphore = Semaphore::const_new(8);

/// Whether the long form is wanted.
pub(crate) fn is_long() -> bool {
    std::env::var("LONGSHORE_HOSTILE_LONG").is_ok_and(|long| !long.is_empty() && long != "0")
}

/// Runs `test` in a namespace of its own, and judges all that happened there.
pub(crate) async fn judged(alone: Alone, test: impl AsyncFnOnce(&Namespace)) {
    let _others = among_others().await;
    in_namespace(async |namespace| {
        test(namespace).await;
        oracle::assert_true(namespace, alone).await;
    })
    .await;
}

/// A script that reports itself and attacks. Its deadline is short, and the runner alone keeps it.
pub(crate) fn attack(body: &str) -> Action {
    told(body)
        .with("runDeadlineSeconds", DEADLINE_SECONDS)
        .with("terminationGracePeriodSeconds", GRACE_SECONDS)
        .with("pendingDeadlineSeconds", PENDING_SECONDS)
}

/// A script that reports itself to the witness.
pub(crate) fn told(body: &str) -> Action {
    Action::script(&Witness::get().script(body))
}

/// The same under the lock of the namespace.
pub(crate) fn locked(action: Action) -> Action {
    action.with("lock", json!({"name": "prod"}))
}

/// Waits until the action's script has started, so often in all.
pub(crate) async fn started(action: &Handle<'_>, times: usize) -> Life {
    let what = format!("{} has started {times} scripts", action.name);
    until(&what, async || {
        let lives = lives(action);
        lives.get(times.checked_sub(1)?).cloned()
    })
    .await
}

/// All that were started for the action.
pub(crate) fn lives(action: &Handle<'_>) -> Vec<Life> {
    Witness::get().of(&action.namespace.name, &action.name)
}

/// Waits until no script of the action lives, and fails where one lived for too long.
pub(crate) async fn over_in_time(action: &Handle<'_>) {
    let begun = started(action, 1).await.began;
    let deadlines = action.get().await.spec.deadlines();
    let own =
        u64::try_from(deadlines.run_seconds + deadlines.grace_seconds).expect("no test has a longer one");
    let longest = Duration::from_secs(own) + MARGIN;
    loop {
        for life in lives(action) {
            let length = life.length();
            assert!(
                length <= longest,
                "the script of {} lives on {} s after its start, past deadline and grace",
                action.name,
                length.as_secs()
            );
        }
        if lives(action).iter().all(|life| life.ended.is_some()) {
            println!("{}: over after {:.1} s", action.name, begun.elapsed().as_secs_f64());
            return;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Starts all of them, and waits until each is over in time and has its verdict.
pub(crate) async fn all_over_in_time(
    namespace: &Namespace,
    attacks: impl IntoIterator<Item = (String, Action)>,
) -> Vec<Done> {
    each(namespace, attacks, over_in_time).await
}

/// Waits until each has its verdict, however long its script lives.
pub(crate) async fn all_finished(
    namespace: &Namespace,
    attacks: impl IntoIterator<Item = (String, Action)>,
) -> Vec<Done> {
    each(namespace, attacks, async |action: &Handle<'_>| {
        started(action, 1).await;
    })
    .await
}

async fn each(
    namespace: &Namespace,
    attacks: impl IntoIterator<Item = (String, Action)>,
    meanwhile: impl AsyncFn(&Handle<'_>),
) -> Vec<Done> {
    let meanwhile = &meanwhile;
    futures::future::join_all(attacks.into_iter().map(async |(name, action)| {
        let _room = ROOM.acquire().await.expect("it is never closed");
        let action = namespace.apply(&name, action).await;
        meanwhile(&action).await;
        action.finished().await
    }))
    .await
}

/// Cancels the present run of the action.
pub(crate) async fn cancel(action: &Handle<'_>) {
    let id = Done::of(action.get().await).run().id.clone();
    action.annotate(ANNOTATION_CANCEL, id).await;
}

/// Waits for the end of the action, and judges the namespace all the while.
pub(crate) async fn finished_and_true(action: &Handle<'_>, alone: Alone, bound: Duration) -> Done {
    within(bound, &format!("{} is finished", action.name), async || {
        oracle::assert_true(action.namespace, alone).await;
        let seen = Done::of(action.get().await);
        (seen.is_seen() && seen.is_finished()).then_some(seen)
    })
    .await
}

/// Watches for so long that no more scripts of the action start than these.
pub(crate) async fn no_more_than(action: &Handle<'_>, most: usize, duration: Duration) {
    let end = std::time::Instant::now() + duration;
    while std::time::Instant::now() < end {
        let lives = lives(action);
        assert!(lives.len() <= most, "{} started {} scripts: {lives:#?}", action.name, lives.len());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Waits for the end of an action whose verdict may take a while.
pub(crate) async fn finished_within(action: &Handle<'_>, bound: Duration) -> Done {
    within(bound, &format!("{} is finished", action.name), async || {
        let seen = Done::of(action.get().await);
        (seen.is_seen() && seen.is_finished()).then_some(seen)
    })
    .await
}
