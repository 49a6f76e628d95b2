//! What is explored in the suite, and that a protection that is missing is noticed.

use std::time::Instant;

use stateright::{Checker, HasDiscoveries, Model};

use crate::{Broken, Lifecycle, events::Kind, rules};
use longshore::api::action::RetryCause;

const ALL_CAUSES: &[RetryCause] = &[
    RetryCause::NeverStarted,
    RetryCause::ScriptFailed,
    RetryCause::Interrupted,
    RetryCause::DeadlineExceeded,
];

/// How many things go wrong or are asked for, in all; more take longer, by far.
fn budget(usual: u8) -> u8 {
    let more = std::env::var("LONGSHORE_MODEL_BUDGET").ok();
    more.map_or(usual, |more| more.parse().expect("LONGSHORE_MODEL_BUDGET is a number"))
}

fn explore(name: &str, model: Lifecycle) {
    let began = Instant::now();
    let budget = model.budget;
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let checker =
        model.checker().threads(threads).finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
    println!(
        "{name}, {budget} things: {} states, {} transitions, {} deep, {:.1} s",
        checker.unique_state_count(),
        checker.state_count(),
        checker.max_depth(),
        began.elapsed().as_secs_f64()
    );
    holds(&checker);
}

fn holds(checker: &impl Checker<Lifecycle>) {
    if let Some((rule, path)) = checker.discoveries().into_iter().next() {
        let told = path.last_state().told.clone();
        panic!("broken: {rule}, by {:?}; {told:?}", path.into_actions());
    }
}

#[test]
fn without_retries_every_rule_holds() {
    explore("without retries", Lifecycle::new(&[], Kind::ALL, budget(1)));
}

#[test]
fn with_retries_of_what_never_started_every_rule_holds() {
    explore("what never started", Lifecycle::new(&[RetryCause::NeverStarted], Kind::ALL, budget(1)));
}

#[test]
fn with_retries_of_everything_every_rule_holds() {
    explore("everything", Lifecycle::new(ALL_CAUSES, Kind::ALL, budget(1)));
}

/// Takes a protection away, and sees that one of these rules is broken by it, and none with it.
fn is_noticed(
    broken: Broken,
    retry: &'static [RetryCause],
    kinds: &'static [Kind],
    budget: u8,
    rules: &[&str],
) {
    let with = |broken| Lifecycle { broken, ..Lifecycle::new(retry, kinds, budget) };
    let checker = with(Some(broken)).checker().finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
    let found = checker.discoveries();
    println!("{broken:?}: {} states, {:?}", checker.unique_state_count(), found.keys());
    assert!(found.keys().any(|rule| rules.contains(rule)), "{broken:?} is not noticed: {:?}", found.keys());
    let checker = with(None).checker().finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
    println!("with it: {} states", checker.unique_state_count());
    holds(&checker);
}

#[test]
fn a_status_that_is_written_over_is_noticed() {
    is_noticed(Broken::StatusOverwritten, &[], &[Kind::Crash], 1, &[rules::NO_FAULT]);
}

#[test]
fn a_live_read_that_is_skipped_is_noticed() {
    is_noticed(Broken::LiveReadSkipped, &[], &[Kind::Crash, Kind::Cancel], 2, &[rules::NEVER_STARTED]);
}

#[test]
fn a_finalizer_that_is_dropped_is_noticed() {
    let kinds = &[Kind::LostAnswer, Kind::DeletePod];
    is_noticed(Broken::FinalizerDropped, &[], kinds, 2, &[rules::ONE_START, rules::COMES_TO_REST]);
}

#[test]
fn a_crash_that_is_forgotten_is_noticed() {
    is_noticed(Broken::CrashForgotten, &[], &[Kind::Crash, Kind::Cancel], 2, &[rules::NEVER_STARTED]);
}

#[test]
fn a_tombstone_that_is_removed_is_noticed() {
    let kinds = &[Kind::LostAnswer, Kind::Cancel];
    is_noticed(Broken::TombstoneRemoved, &[], kinds, 2, &[rules::NEVER_STARTED]);
}

#[test]
fn a_creation_without_bound_is_noticed() {
    is_noticed(Broken::LateWithoutBound, &[], &[Kind::LostAnswer], 1, &[rules::ONE_START]);
}

#[test]
fn a_runner_without_a_deadline_is_noticed() {
    is_noticed(Broken::NoDeadline, ALL_CAUSES, &[], 0, &[rules::ONE_RUNNING]);
}
