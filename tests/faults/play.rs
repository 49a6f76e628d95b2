//! One schedule, from the operator's start to the oracle's word.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use kube::{
    ResourceExt,
    api::{DeleteParams, Patch, PatchParams},
};
use longshore::{
    api::{ConditionType, DeploymentAction, Reason},
    operator::lifecycle::lock_facts::lease_name,
};
use tokio::time::{Instant, sleep};

use super::{
    call::Call,
    defeat::{Defeat, Protection},
    operator::Operator,
    oracle,
    plan::Plan,
    process::Killed,
    scene::{Place, Scene},
    schedule::{Fault, Schedule, Second, Slot, What},
    wire::Memory,
};

/// How long beyond what its rules prescribe an action may take to come to rest.
const LATE: Duration = Duration::from_secs(10);
/// How long an operator must ask for nothing to be taken for one at rest.
const QUIET: Duration = Duration::from_millis(1500);

/// How long one that takes over waits for what it takes over from to go wrong.
const TAKEOVER: Duration = Duration::from_secs(4);
/// How long one that was paused, and lacks a protection, has for what it does wrong then.
const AFTERMATH: Duration = Duration::from_secs(4);

/// How a schedule is played.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules {
    /// Whether the end must be the one that comes where nothing goes wrong.
    pub(crate) strict: bool,
    /// How long a run may wait for its script's start.
    pub(crate) pending_seconds: i64,
    /// The protection that the operators lack.
    pub(crate) without: Option<Protection>,
    /// Whether the operator is a process, which is killed at moments of its own and asks as it likes.
    pub(crate) process: bool,
}

/// The result of a schedule.
#[derive(Debug, Clone)]
pub(crate) struct Report {
    pub(crate) schedule: Schedule,
    pub(crate) rules: Rules,
    /// Violations.
    pub(crate) wrong: Vec<String>,
    /// Whether all of that is that it came to rest too late, or not at all.
    pub(crate) only_late: bool,
    pub(crate) met: Vec<Fault>,
    pub(crate) crashes: u32,
    pub(crate) requests: usize,
    /// 410s that the API server itself gave.
    pub(crate) real_gone: u32,
    /// Whether the last run's outcome is not known.
    pub(crate) unknown: bool,
    /// From the last fault, or the last thing that somebody did, to rest.
    pub(crate) rest: Duration,
    /// How often operator A made each kind of call until then.
    pub(crate) calls: BTreeMap<Call, u32>,
    /// The operators' requests, for people.
    pub(crate) journal: Vec<String>,
}

/// Violations that the fake node sees, by namespace.
pub(crate) type Early = Arc<Mutex<Vec<(String, String)>>>;

pub(crate) async fn play(
    place: &Place,
    early: &Early,
    name: &str,
    schedule: &Schedule,
    rules: Rules,
) -> Report {
    let plan = Arc::new(Plan::new(schedule.clone()));
    let scene = Scene::new(place, schedule, name, rules.pending_seconds);
    scene.counter.remove();
    let memory = || Memory::defeated(rules.without.map(Defeat::new));
    let begun = Instant::now();
    let killed = rules.process.then(|| Killed::start(place, number(name)));
    let mut operators = Vec::new();
    if !rules.process {
        operators.push(Operator::start(place, Slot::A, &plan, memory()));
    }
    if schedule.second == Second::Beside {
        operators.push(Operator::start(place, Slot::B, &plan, memory()));
    }
    // So that the order of the first requests is no matter of chance.
    let ready = async {
        plan.until_asked(Slot::A, Call::WatchActions).await;
        if schedule.second == Second::Beside {
            plan.until_asked(Slot::B, Call::WatchActions).await;
        }
    };
    if !rules.process {
        let _ = tokio::time::timeout(Duration::from_secs(4), ready).await;
    }
    let takeover = async {
        if schedule.second == Second::TakesOver {
            // If nothing has gone wrong by then, it is one more.
            let _ = tokio::time::timeout(TAKEOVER, plan.until_met()).await;
            operators.push(Operator::start(place, Slot::B, &plan, memory()));
        }
    };
    tokio::join!(Box::pin(schedule.path.play(&scene)), takeover);
    plan.play_is_over();
    if rules.without.is_some() && plan.met().iter().any(|fault| fault.what == What::Paused) {
        // What it does then is looked at, and not only that it does something.
        sleep(AFTERMATH).await;
    }
    while killed.as_ref().is_some_and(|killed| !killed.is_calm()) {
        sleep(Duration::from_millis(50)).await;
    }
    let played = Instant::now();

    let (rested, rest) = come_to_rest(&scene, &plan, rules, played).await;
    plan.stop();
    let calls = Call::ALL.map(|call| (call, plan.count(Slot::A, call))).into_iter().collect();
    let mut wrong = std::mem::take(&mut *scene.wrong.lock().unwrap());
    if rested {
        wrong.extend(calm_down(&plan).await);
    }
    let action = scene.actions().get_opt(name).await.expect("reading the action");
    let other = scene.actions().get_opt(&scene.other_name()).await.expect("reading the action beside it");
    wrong.extend(oracle::judge(&scene, &plan, action.iter().chain(&other)));
    // An operator may take the lock so late that its run has ended, and leave it behind. The next one sees
    // that, and takes it.
    if rested && (rules.strict || plan.met().is_empty()) {
        wrong.extend(still_held(&scene).await);
    }
    if rules.strict && wrong.is_empty() {
        wrong.extend(as_expected(&scene, action.as_ref()));
        if let Some(reason) = other.as_ref().and_then(reason).filter(|reason| *reason != Reason::Succeeded) {
            wrong.push(format!("the action beside it ended as {reason}"));
        }
    }
    early.lock().unwrap().retain(|(namespace, what)| {
        let ours = *namespace == place.namespace;
        if ours {
            wrong.push(what.clone());
        }
        !ours
    });
    let only_late = !rested && wrong.is_empty();
    if !rested {
        wrong.push(format!("not at rest {:.1} s after the last fault", rest.as_secs_f64()));
    }
    let reason = action.as_ref().and_then(reason);
    let journal = if wrong.is_empty() && rules.without.is_none() {
        Vec::new()
    } else {
        journal(&plan, begun, action.as_ref(), &scene)
    };
    let kills = killed.as_ref().map_or(0, Killed::kills);
    for operator in operators {
        operator.end().await;
    }
    if let Some(killed) = killed {
        killed.end().await;
    }
    clear(&scene).await;
    Report {
        schedule: schedule.clone(),
        rules,
        wrong,
        only_late,
        met: plan.met(),
        crashes: plan.crashes() + u32::try_from(kills).expect("a few"),
        requests: plan.asked().len(),
        real_gone: plan.real_gone(),
        unknown: matches!(reason, Some(Reason::Unknown | Reason::NodeLost)),
        rest,
        calls,
        journal,
    }
}

/// The number at the end of a name.
fn number(name: &str) -> u64 {
    name.rsplit('-').next().and_then(|number| number.parse().ok()).unwrap_or_default()
}

/// Waits until nothing is left to do, as long as the rules allow. How long it took from when nothing
/// went wrong any more.
async fn come_to_rest(scene: &Scene, plan: &Plan, rules: Rules, played: Instant) -> (bool, Duration) {
    let longest = Duration::from_secs(scene.path.longest_seconds(scene).unsigned_abs());
    loop {
        let since = plan.last_met().map_or(played, |met| met.max(played));
        // A pause doubles with each failure in a row, of a call and of a watch alike.
        let failures = u32::try_from(plan.met().len().min(6)).expect("at most 6");
        let pauses = Duration::from_millis(1_250 * (1 << failures)).min(Duration::from_secs(38));
        let limit = since + longest + pauses + LATE;
        // A process that is killed is no fault of the layer's, nor is one more that takes attempts over.
        let one_more = plan.schedule.second != Second::None;
        let disturbed = rules.process || one_more || !plan.met().is_empty();
        let is = || {
            oracle::is_at_rest(scene, disturbed) && plan.last_met().is_none_or(|met| met <= Instant::now())
        };
        // Faults meanwhile move the limit.
        let rested = scene.place.seen.until(limit.min(Instant::now() + Duration::from_secs(1)), is).await;
        let now = Instant::now();
        if rested || now >= limit {
            return (rested, now.saturating_duration_since(since));
        }
    }
}

/// Requests of the operators some time after all is done, such as writing an event.
async fn calm_down(plan: &Plan) -> Vec<String> {
    let limit = Instant::now() + LATE;
    loop {
        let before = plan.asked().len();
        sleep(QUIET).await;
        let restless = oracle::restless(&plan.asked()[before..]);
        if restless.is_empty() || Instant::now() > limit {
            return restless;
        }
    }
}

/// A lock that nobody has given back, although all is done.
async fn still_held(scene: &Scene) -> Option<String> {
    let lease = scene.leases().get_opt(&lease_name(&scene.name)).await.expect("reading the lock's Lease")?;
    let holder = lease.spec?.holder_identity?;
    Some(format!("{holder} still has the lock"))
}

fn reason(action: &DeploymentAction) -> Option<Reason> {
    Reason::parse(&action.status.as_ref()?.conditions().get(ConditionType::Ready)?.reason)
}

/// How the end differs from that of a path on which nothing goes wrong.
fn as_expected(scene: &Scene, action: Option<&DeploymentAction>) -> Vec<String> {
    let expected = scene.path.expected();
    let mut wrong = Vec::new();
    if let (Some(action), Some(runs)) = (action, expected.runs) {
        let run = action.status.as_ref().and_then(|status| status.run.as_ref());
        let number = run.map(|run| run.number);
        if (reason(action), number) != (Some(expected.reason), Some(runs)) {
            let words = reason(action).map(Reason::as_str);
            wrong.push(format!("it ended as {words:?} in run {number:?}, and should as {expected:?}"));
        }
    }
    let starts = scene.counter.started();
    if starts != expected.starts && !scene.path.may_start() {
        wrong.push(format!("{starts} attempts started, and {} should have", expected.starts));
    }
    wrong
}

fn journal(plan: &Plan, begun: Instant, action: Option<&DeploymentAction>, scene: &Scene) -> Vec<String> {
    let mut lines: Vec<String> = plan
        .asked()
        .iter()
        .map(|asked| {
            let at = asked.at.saturating_duration_since(begun).as_secs_f64();
            let fault = asked.fault.map(|what| format!("  <- {what}")).unwrap_or_default();
            format!("{at:7.3} {:?} {}#{} {}{fault}", asked.slot, asked.call, asked.nth, asked.name)
        })
        .collect();
    lines.push(format!("scripts: {:?}", scene.counter.marks()));
    for pod in scene.pods() {
        let phase = pod.status.as_ref().and_then(|status| status.phase.clone()).unwrap_or_default();
        lines.push(format!("pod {} {phase} {:?}", pod.name_any(), pod.metadata.finalizers));
    }
    if let Some(action) = action {
        lines.push(serde_json::to_string(&action.status).unwrap_or_default());
    }
    lines
}

/// Leaves nothing behind, whatever came of it.
async fn clear(scene: &Scene) {
    // Each may be gone.
    for name in [&scene.name, &scene.other_name()] {
        let _ = scene.actions().delete(name, &DeleteParams::background()).await;
    }
    let _ = scene.leases().delete(&lease_name(&scene.name), &DeleteParams::default()).await;
    for pod in scene.pods() {
        if !pod.finalizers().is_empty() {
            let none = Patch::Merge(serde_json::json!({"metadata": {"finalizers": null}}));
            let _ = scene.pods_api().patch_metadata(&pod.name_any(), &PatchParams::default(), &none).await;
        }
        let _ = scene.pods_api().delete(&pod.name_any(), &DeleteParams::default().grace_period(0)).await;
    }
    scene.counter.remove();
}
