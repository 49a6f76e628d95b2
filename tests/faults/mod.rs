//! A script starts at most once, whatever goes wrong. The operator, the API server and etcd are real, and a
//! fake node runs the real runner (`tests/node`). A layer in the operator's HTTP client breaks what a
//! schedule says. docs/understand/faults.md lists the promises and the faults.
//!
//! `LONGSHORE_FAULTS_COUNT` says how many schedules are drawn, `LONGSHORE_FAULTS_SEED` which ones;
//! `LONGSHORE_FAULTS_LONG=1` tries more at each write, and `LONGSHORE_FAULTS_SCHEDULE` plays one that was
//! printed. `make faults` sets them. `LONGSHORE_FAULTS_PATHS` leaves of those that are drawn only the ones of
//! these paths.
//!
//! It needs root, the cluster of `make cluster-up` with the definitions, and no operator in it.

mod call;
mod counter;
mod defeat;
mod etcd;
mod hostile;
mod operator;
mod oracle;
mod paths;
mod plan;
mod play;
mod process;
mod scene;
mod schedule;
mod seen;
mod shrink;
mod stage;
mod stream;
mod tally;
pub(crate) mod told;
mod uncached;
mod usual;
mod usurp;
mod wire;

use std::{collections::BTreeMap, str::FromStr};

use call::Call;
use defeat::Protection;
use paths::Path;
use play::{Report, Rules};
use schedule::{Fault, Schedule, Slot, What};
use stage::{Server, Stage, on_stage, on_stage_of};
use tally::Tally;

/// Where one crash must change nothing, nothing may be too late for being slow either.
const STRICT: Rules = Rules { strict: true, pending_seconds: 30, without: None, process: false };
const DRAWN: Rules = Rules { strict: false, pending_seconds: 6, without: None, process: false };

/// Schedules by hand: each takes aim at one protection.
const AIMED: [&str; 6] = [
    // One that was paused between its decision and the creation, and another one took over: by now the
    // run has ended, and its pod is gone. Both would delete what comes late, and are slow.
    "pod-removed+takeover,a/get-action#1=paused,a/delete-pod#1=delay-before:10000,b/delete-pod#1=delay-before:10000",
    // One that writes what was so before that.
    "pod-removed+takeover,a/write-status#1=paused",
    // Somebody else's pod has the name.
    "success,a/create-pod#1=usurp",
    // The next operator must find the run on record.
    "success,a/create-pod#1=crash-after",
    // The second operator takes the attempt over while the creation is under way, and its own creation is
    // paused. The run has ended by then. The name must stay taken when the pod is let go.
    "pod-removed+takeover,a/create-pod#1=delay-before:3000,b/create-pod#1=paused,a/delete-pod#1=delay-before:10000,b/delete-pod#1=delay-before:10000",
    // The same of a pod that never started.
    "retry-never-started+second,a/create-pod#1=paused",
];

/// Scripts that attack and clocks that are wrong, where they hurt most: so that no seed leaves them out.
const HOSTILE: [&str; 9] = [
    "cancel-running+fifo",
    "timeout-running+fifo+ahead",
    "again+deaf",
    // The cache does not have the pod of the action that was deleted.
    "again+deaf,a/watch-pods#1=cut",
    "lock+fifo+behind",
    "success+forger",
    "success+denier",
    "retry-failed+behind",
    "success+ahead,a/write-status#3=crash-lost",
];

fn setting<T: FromStr>(name: &str) -> Option<T> {
    let text = std::env::var(name).ok().filter(|text| !text.is_empty())?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text} cannot be read")))
}

fn is_long() -> bool {
    setting::<u8>("LONGSHORE_FAULTS_LONG").is_some_and(|long| long > 0)
}

/// All paths, or those that `LONGSHORE_FAULTS_PATHS` names.
fn paths() -> Vec<Path> {
    let Some(names) = setting::<String>("LONGSHORE_FAULTS_PATHS") else { return Path::ALL.to_vec() };
    let of = |name: &str| Path::ALL.into_iter().find(|path| path.name() == name);
    names.split(',').map(|name| of(name).unwrap_or_else(|| panic!("there is no path {name:?}"))).collect()
}

/// Says what is wrong, with the shortest schedule that shows it.
async fn assert_none(stage: &Stage, tally: &mut Tally, rules: Rules) {
    let failed = std::mem::take(&mut tally.failed);
    let (late, failed): (Vec<_>, Vec<_>) = failed.into_iter().partition(|report| report.only_late);
    let mut failed = failed;
    for report in late {
        // Many at once, and others beside them, may be more than this machine can do in time.
        let alone = stage.play(&report.schedule, report.rules).await;
        if alone.wrong.is_empty() {
            println!(
                "late only among others, alone at rest after {:.1} s: {}",
                alone.rest.as_secs_f64(),
                report.schedule
            );
            report.journal.iter().for_each(|line| println!("    {line}"));
        } else {
            failed.push(alone);
        }
    }
    let count = failed.len();
    for report in failed.into_iter().take(3) {
        let whole = report.schedule.to_string();
        let shortest = shrink::shrink(stage, report, rules).await;
        println!("\n{whole}\n  shortest: make faults SCHEDULE={}", shortest.schedule);
        shortest.wrong.iter().for_each(|what| println!("  {what}"));
        shortest.journal.iter().for_each(|line| println!("    {line}"));
    }
    assert_eq!(count, 0, "schedules with a violation; the first ones are above");
}

/// Plays them all, tells what came of them as `what`, and that nothing is wrong. `each` sees each first.
async fn all_hold(
    stage: &Stage,
    what: &str,
    schedules: impl IntoIterator<Item = Schedule>,
    rules: Rules,
    mut each: impl FnMut(&Report),
) -> Tally {
    let mut tally = Tally::new();
    let add = |report: Report| {
        each(&report);
        tally.add(report);
    };
    stage.play_all(schedules.into_iter().map(|one| (one, rules)), add).await;
    tally.print(what);
    assert_none(stage, &mut tally, rules).await;
    tally
}

/// Paths whose every write the short form tries all crashes at.
const WHOLE: [Path; 6] = [
    Path::Success,
    Path::Failure,
    Path::RetryFailed,
    Path::CancelPending,
    Path::CancelRunning,
    Path::Correct,
];

/// A crash at each write of each path. The short form takes one kind of crash in turn for most paths,
/// and leaves out Kubernetes' events, on which nothing depends.
fn crashes(calls: &BTreeMap<Path, BTreeMap<Call, u32>>) -> Vec<Schedule> {
    let modes: &[What] = if is_long() {
        &[
            What::CrashBefore,
            What::CrashLost,
            What::CrashAfter,
            What::CrashLate(1500),
            What::BreakAfter,
            What::Late(1500),
            What::Forget(504),
        ]
    } else {
        &[What::CrashBefore, What::CrashLost, What::CrashAfter]
    };
    let mut all = Vec::new();
    for (path, calls) in calls {
        let counts = |call: Call| call.is_write() && (is_long() || call != Call::WriteEvent);
        for (call, count) in calls.iter().filter(|(call, _)| counts(**call)) {
            for nth in 1..=*count {
                let whole = is_long() || WHOLE.contains(path);
                let turn = all.len() % modes.len();
                for what in if whole { modes } else { &modes[turn..=turn] } {
                    let fault = Fault { slot: Slot::A, call: *call, nth, what: *what };
                    all.push(Schedule { faults: vec![fault], ..Schedule::without_faults(*path) });
                }
            }
        }
    }
    all
}

#[test]
fn a_crash_at_any_write_changes_nothing() {
    on_stage(async |stage| {
        let mut calls = BTreeMap::new();
        let count = |report: &Report| {
            calls.insert(report.schedule.path, report.calls.clone());
        };
        all_hold(stage, "undisturbed", Path::ALL.map(Schedule::without_faults), STRICT, count).await;
        all_hold(stage, "a crash at each write", crashes(&calls), STRICT, |_| {}).await;
    });
}

#[test]
fn schedules_of_a_seed_show_no_violation() {
    on_stage(async |stage| {
        let seed = setting("LONGSHORE_FAULTS_SEED").unwrap_or(1_u64);
        let count = setting("LONGSHORE_FAULTS_COUNT").unwrap_or(40_u64);
        let one = setting::<Schedule>("LONGSHORE_FAULTS_SCHEDULE");
        let paths = paths();
        let drawn = one.is_none();
        let all: Vec<Schedule> = match one {
            Some(one) => vec![one],
            None => AIMED
                .iter()
                .chain(&HOSTILE)
                .map(|text| text.parse().expect("a schedule"))
                .chain((0..count).map(|case| Schedule::drawn(seed, case)))
                .filter(|schedule: &Schedule| paths.contains(&schedule.path))
                .collect(),
        };
        let tally = all_hold(stage, &format!("seed {seed}"), all, DRAWN, |_| {}).await;
        // Else what is drawn knows nothing any more of what an operator asks: tests/faults/usual.rs.
        assert!(!drawn || tally.met() > tally.unmet, "{} faults met, {} not", tally.met(), tally.unmet);
    });
}

/// No API server can serve revisions that etcd has compacted away: the operator lists anew.
#[test]
fn a_watch_whose_past_was_compacted_begins_anew() {
    on_stage_of(Server::Uncached, async |stage| {
        let all = Path::ALL.into_iter().flat_map(|path| {
            [Call::ActionEvent, Call::PodEvent].map(|call| Schedule {
                faults: vec![Fault { slot: Slot::A, call, nth: 2, what: What::Compact }],
                ..Schedule::without_faults(path)
            })
        });
        let tally = all_hold(stage, "compacted", all, DRAWN, |_| {}).await;
        assert!(tally.real_gone > 0, "no API server has given a 410 of its own");
    });
}

/// The same with the operator as a process of its own, killed at any moment.
#[test]
fn a_killed_process_changes_nothing() {
    on_stage(async |stage| {
        let rules = Rules { process: true, ..STRICT };
        let rounds = if is_long() { 10 } else { 1 };
        let all = (0..rounds).flat_map(|_| Path::ALL.map(Schedule::without_faults));
        all_hold(stage, "a killed process", all, rules, |_| {}).await;
    });
}

/// A test of the test: without one of its protections the operator is caught.
#[test]
fn an_operator_without_one_of_its_protections_is_found_out() {
    on_stage(async |stage| {
        let aimed = AIMED.map(|text| text.parse::<Schedule>().expect("a schedule"));
        let all = Protection::ALL.into_iter().flat_map(|without| {
            let rules = Rules { without: Some(without), ..DRAWN };
            aimed.clone().map(|schedule| (schedule, rules))
        });
        let mut found = BTreeMap::<Protection, Vec<String>>::new();
        let mut missed = BTreeMap::<Protection, Vec<Report>>::new();
        let each = |report: Report| {
            let without = report.rules.without.expect("one is taken away");
            let of = found.entry(without).or_default();
            if report.wrong.is_empty() {
                missed.entry(without).or_default().push(report);
            } else {
                of.push(format!("{}: {}", report.schedule, report.wrong.join("; ")));
            }
        };
        stage.play_all(all, each).await;
        println!("{found:#?}");
        for without in Protection::ALL {
            let found = found.get(&without).is_some_and(|found| !found.is_empty());
            for report in missed.remove(&without).into_iter().flatten().filter(|_| !found) {
                println!("{}", report.schedule);
                report.journal.iter().for_each(|line| println!("    {line}"));
            }
            assert!(found, "nothing is found although {without:?} is taken away");
        }
    });
}
