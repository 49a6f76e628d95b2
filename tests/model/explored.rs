//! What is explored in the suite, and that a protection that is missing is noticed.

use std::time::Instant;

use longshore::api::action::RetryCause;
use stateright::{Checker, HasDiscoveries, Model};

use crate::{Broken, Lifecycle, people::Kind, rules};

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

/// What goes wrong or is asked for in the suite; the others take long.
const USUAL: &[Kind] = &[
    Kind::Crash,
    Kind::LostAnswer,
    Kind::Refusal,
    Kind::BadExit,
    Kind::Kill,
    Kind::StartError,
    Kind::LostLog,
    Kind::ClockBack,
    Kind::Cancel,
    Kind::Suspend,
    Kind::DeletePod,
    Kind::ForceDeletePod,
    Kind::DeleteAction,
    Kind::DeleteInForeground,
    Kind::EmptyStatus,
    Kind::NodeOff,
    Kind::NodeSilent,
    Kind::NodeClockBehind,
    Kind::NodeClockAhead,
    Kind::Deaf,
    Kind::Believer,
];

/// So deep the suite explores a change of the spec: a second run follows it, and the whole takes minutes. By then
/// the first run has yielded and the second one has begun. `LONGSHORE_MODEL_KINDS=ChangeSpec` goes to the end.
const CHANGED_DEPTH: usize = 25;

/// The same, or those that `LONGSHORE_MODEL_KINDS` names, with commas between.
fn kinds() -> &'static [Kind] {
    let Ok(names) = std::env::var("LONGSHORE_MODEL_KINDS") else { return USUAL };
    let of = |name: &str| Kind::ALL.iter().copied().find(|kind| format!("{kind:?}") == name);
    names
        .split(',')
        .map(|name| of(name).unwrap_or_else(|| panic!("no such kind: {name}")))
        .collect::<Vec<_>>()
        .leak()
}

/// What is retried where a test allows little, or everything with `LONGSHORE_MODEL_RETRY=all`.
fn retry(usual: &'static [RetryCause]) -> &'static [RetryCause] {
    match std::env::var("LONGSHORE_MODEL_RETRY").as_deref() {
        Ok("all") => ALL_CAUSES,
        Ok(other) => panic!("LONGSHORE_MODEL_RETRY={other}: it is \"all\" or not set"),
        Err(_) => usual,
    }
}

fn explore(name: &str, model: Lifecycle) {
    explore_to(None, name, model);
}

/// Of ways that are longer than `depth` events, the beginning.
fn explore_to(depth: Option<usize>, name: &str, model: Lifecycle) {
    let began = Instant::now();
    let budget = model.budget;
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let checker = model.checker().threads(threads).finish_when(HasDiscoveries::AnyFailures);
    let checker = if let Some(depth) = depth { checker.target_max_depth(depth) } else { checker };
    let checker = checker.spawn_bfs().join();
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
        let last = path.last_state().clone();
        let model = checker.model();
        let rest = [true, false].map(|node| model.way_to_rest(&last, node));
        panic!("broken: {rule}, by {:?}; then {rest:?}; {last:#?}", path.into_actions());
    }
}

#[test]
fn without_retries_every_rule_holds() {
    explore("without retries", Lifecycle::new(&[], kinds(), budget(1)));
}

#[test]
fn with_retries_every_rule_holds() {
    explore("with retries", Lifecycle::new(retry(&[RetryCause::NeverStarted]), kinds(), budget(0)));
}

#[test]
fn with_a_spec_that_changes_every_rule_holds() {
    explore_to(Some(CHANGED_DEPTH), "a changed spec", Lifecycle::new(&[], &[Kind::ChangeSpec], 1));
}

/// Takes a protection away, and sees that one of these rules is broken by it; and that with it, none is in
/// as many events.
fn is_noticed(
    broken: Broken,
    retry: &'static [RetryCause],
    kinds: &'static [Kind],
    budget: u8,
    rules: &[&'static str],
) {
    let with = |broken| Lifecycle { broken, ..Lifecycle::new(retry, kinds, budget) };
    let sought = HasDiscoveries::AnyOf(rules.iter().copied().collect());
    let checker = with(Some(broken)).checker().finish_when(sought).spawn_bfs().join();
    let found = checker.discoveries().into_iter().filter(|(rule, _)| rules.contains(rule));
    let ways = found.map(|(rule, path)| (rule, path.into_actions().len()));
    let Some((rule, events)) = ways.min_by_key(|(_, events)| *events) else {
        panic!("{broken:?} is not noticed in {} states", checker.unique_state_count());
    };
    println!("{broken:?}: {} states, {events} events: {rule}", checker.unique_state_count());
    // The first state counts too.
    let checker = with(None).checker().target_max_depth(events + 1);
    let checker = checker.finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
    println!("with it: {} states, {} deep", checker.unique_state_count(), checker.max_depth());
    holds(&checker);
}

#[test]
fn a_status_that_is_written_over_is_noticed() {
    is_noticed(Broken::StatusOverwritten, &[], &[Kind::Crash], 1, &[rules::NO_FAULT]);
}

#[test]
fn a_live_read_that_is_skipped_is_noticed() {
    is_noticed(Broken::LiveReadSkipped, &[], &[Kind::Cancel], 1, &[rules::NO_FAULT]);
}

#[test]
fn a_finalizer_that_is_dropped_is_noticed() {
    let kinds = &[Kind::LostAnswer, Kind::DeletePod];
    is_noticed(Broken::FinalizerDropped, &[], kinds, 2, &[rules::ONE_START, rules::COMES_TO_REST]);
}

#[test]
fn a_crash_that_is_forgotten_is_noticed() {
    is_noticed(Broken::OthersForgotten, &[], &[Kind::Crash, Kind::Cancel], 2, &[rules::NEVER_STARTED]);
}

#[test]
fn another_that_believes_to_lead_and_is_forgotten_is_noticed() {
    let kinds = &[Kind::Believer, Kind::DeletePod];
    is_noticed(Broken::OthersForgotten, &[], kinds, 2, &[rules::ONE_START]);
}

#[test]
fn a_tombstone_that_is_removed_is_noticed() {
    let kinds = &[Kind::LostAnswer, Kind::Cancel];
    is_noticed(Broken::TombstoneRemoved, &[], kinds, 2, &[rules::NEVER_STARTED]);
}

#[test]
fn a_name_that_is_left_free_is_noticed() {
    is_noticed(Broken::NameLeftFree, &[], &[Kind::Crash, Kind::DeleteAction], 2, &[rules::ONE_START]);
}

#[test]
fn a_creation_without_bound_is_noticed() {
    is_noticed(Broken::LateWithoutBound, &[], &[Kind::LostAnswer], 1, &[rules::NEVER_STARTED]);
}

#[test]
fn a_runner_without_a_deadline_is_noticed() {
    is_noticed(Broken::NoDeadline, ALL_CAUSES, &[Kind::NodeSilent], 1, &[rules::ONE_RUNNING]);
}

#[test]
fn a_script_that_is_seen_running_and_is_not_heeded_is_noticed() {
    is_noticed(Broken::RunningUnheeded, ALL_CAUSES, &[Kind::Deaf], 1, &[rules::ONE_RUNNING]);
}

#[test]
fn a_node_that_is_called_off_and_runs_on_is_noticed() {
    is_noticed(Broken::OffNodeRuns, ALL_CAUSES, &[Kind::NodeOff], 1, &[rules::ONE_RUNNING]);
}
