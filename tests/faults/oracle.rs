//! These hold whatever went wrong. The status is compared with the records that the scripts wrote themselves.

use std::{collections::BTreeMap, time::Duration};

use k8s_openapi::{api::core::v1::Pod, jiff::Timestamp};
use kube::ResourceExt;
use longshore::{
    api::{ANNOTATION_RERUN, DeploymentAction, status::LogState},
    operator::lifecycle::decide::NAME_NEEDED_SECONDS,
};

use super::{
    call::Call,
    counter::Mark,
    paths::Path,
    plan::{Asked, Plan},
    scene::{Scene, is_finished},
    told::{Attempt, Truth, disagrees, told},
};

/// Whether the operator has nothing left to do but to let pods go whose names must stay taken for a while.
/// These are the pods of earlier attempts. The latest pod is one of them after a fault (`disturbed`), or if no
/// record says any more who asked for it.
pub(crate) fn is_at_rest(scene: &Scene, disturbed: bool) -> bool {
    let path = scene.path;
    let pod_of = |action: &DeploymentAction| action.status.as_ref()?.run.as_ref()?.pod_name.clone();
    let latest = [scene.action(), scene.other()].map(|action| action.and_then(|action| pod_of(&action)));
    let needed = |pod: &Pod| -> bool {
        let age = pod.creation_timestamp().map(|time| Timestamp::now().duration_since(time.0));
        let name_is_needed = disturbed || path == Path::Restored || !latest.contains(&Some(pod.name_any()));
        name_is_needed && age.is_none_or(|age| age.as_secs() < NAME_NEEDED_SECONDS)
    };
    let held = scene.pods().iter().any(|pod| !pod.finalizers().is_empty() && !needed(pod));
    if path.expected().runs.is_none() {
        // Those whose names are needed are on their way out.
        let goes = |pod: &Pod| disturbed && pod.metadata.deletion_timestamp.is_some() && needed(pod);
        return scene.action().is_none() && scene.pods().iter().all(|pod| goes(pod));
    }
    let runs = scene.runs.load(std::sync::atomic::Ordering::Relaxed);
    let Some(action) = scene.action() else { return false };
    // The pod of an earlier action of the same name.
    let old =
        scene.deleted.lock().unwrap().as_ref().is_some_and(|(_, uid)| action.uid().as_ref() == Some(uid));
    if path == Path::Lock && !scene.other().is_some_and(|other| has_ended(&other)) {
        return false;
    }
    let Some(status) = &action.status else { return false };
    let token = action.annotations().get(ANNOTATION_RERUN);
    !held
        && !old
        && has_ended(&action)
        && status.observed_generation == action.metadata.generation
        && status.run.as_ref().is_some_and(|run| run.number >= runs)
        && (token.is_none() || token == status.last_handled_rerun.as_ref())
}

/// Whether nothing of its latest run is under way any more.
fn has_ended(action: &DeploymentAction) -> bool {
    let Some(status) = &action.status else { return false };
    is_finished(action)
        && status.log.as_ref().is_none_or(|log| log.state != LogState::Collecting)
        && status.run.as_ref().is_none_or(|run| run.held_lock().is_none())
}

/// What is wrong with the end of a schedule, by the actions that there are.
pub(crate) fn judge<'a>(
    scene: &Scene,
    plan: &Plan,
    actions: impl IntoIterator<Item = &'a DeploymentAction>,
) -> Vec<String> {
    let mut wrong = Vec::new();
    let truth = scene.counter.truth();
    for ((run, attempt), truth) in &truth {
        if truth.starts > 1 || truth.ends.len() > 1 {
            wrong.push(format!("attempt {attempt} of run {run} ran more than once: {truth:?}"));
        }
    }
    wrong.extend(overlap(&scene.counter.marks()));
    for action in actions {
        wrong.extend(verdicts(action, &truth));
    }
    wrong.extend(created_after_deletion(scene, plan));
    wrong
}

/// No two scripts of an action's name at the same time. One that was killed cannot say when it ended; one that
/// attacks gives signs of life until then.
fn overlap(marks: &[(Attempt, Mark)]) -> Vec<String> {
    let mut wrong = Vec::new();
    for (at, (attempt, mark)) in marks.iter().enumerate() {
        if *mark != Mark::Start {
            continue;
        }
        let lives = |(_, mark): &&(Attempt, Mark)| matches!(mark, Mark::Alive | Mark::End(_));
        let started = marks[..at].iter().filter(|(_, mark)| *mark == Mark::Start);
        for (other, _) in started.filter(|(other, _)| other != attempt) {
            if marks[at..].iter().filter(lives).any(|(one, _)| one == other) {
                wrong.push(format!("{attempt:?} started while {other:?} was running"));
            }
        }
    }
    wrong
}

fn verdicts(action: &DeploymentAction, truth: &BTreeMap<Attempt, Truth>) -> Vec<String> {
    let mut wrong = Vec::new();
    let Some(status) = &action.status else { return vec!["the status is gone".into()] };
    let Some(run) = &status.run else { return vec!["no run is on record".into()] };
    for told in told(status, run) {
        wrong.extend(disagrees(&told, truth.get(&told.attempt)));
    }
    // The runs on record.
    let uid = run.id.rsplit_once('-').map_or("", |(uid, _)| uid);
    for ((id, attempt), _) in truth.iter().filter(|((id, _), _)| id.starts_with(uid)) {
        let number: u32 = id.rsplit('-').next().and_then(|number| number.parse().ok()).unwrap_or(0);
        if (number, *attempt) > (run.number, run.attempt) {
            wrong.push(format!("attempt {attempt} of run {id} ran and is not on record"));
        }
    }
    // The output is that of this very run.
    if let Some(token) = status.outputs.get("token")
        && *token != run.id
    {
        wrong.push(format!("run {} has the output of {token}", run.id));
    }
    wrong
}

/// A deletion forbids every creation. One that was under way is not counted, nor one that the schedule
/// itself holds up.
fn created_after_deletion(scene: &Scene, plan: &Plan) -> Vec<String> {
    let deleted = scene.deleted.lock().unwrap().clone();
    let Some((at, uid)) = deleted else { return Vec::new() };
    if plan.schedule.delays(Call::CreatePod) || plan.schedule.delays(Call::GetAction) {
        return Vec::new();
    }
    let part: String = uid.chars().take(8).collect();
    let late = |asked: &&Asked| {
        asked.call == Call::CreatePod
            && asked.name.contains(&part)
            && asked.at > at + Duration::from_secs(1)
            && asked.fault.is_none()
    };
    plan.asked()
        .iter()
        .filter(late)
        .map(|asked| {
            let after = asked.at.duration_since(at).as_secs_f64();
            format!("{:?} created pod {} {after:.1} s after its action was deleted", asked.slot, asked.name)
        })
        .collect()
}

/// What an operator asked since then, which should have been at rest.
pub(crate) fn restless(asked: &[Asked]) -> Vec<String> {
    let lists = asked.iter().filter(|one| matches!(one.call, Call::ListActions | Call::ListPods)).count();
    let mut wrong: Vec<String> = asked
        .iter()
        .filter(|one| !one.call.is_renewal() && !matches!(one.call, Call::ActionEvent | Call::PodEvent))
        .map(|one| format!("{:?} asked {} {} although all is done", one.slot, one.call, one.name))
        .collect();
    if lists > 6 {
        wrong.push(format!("{lists} lists although all is done"));
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(run: &str, attempt: u32) -> Attempt {
        (run.to_owned(), attempt)
    }

    #[test]
    fn scripts_that_run_beside_each_other_are_told() {
        let marks = |order: &[(u32, Mark)]| {
            order.iter().map(|(attempt, mark)| (of("a-1", *attempt), *mark)).collect::<Vec<_>>()
        };
        let (start, end) = (Mark::Start, Mark::End(0));
        assert!(overlap(&marks(&[(1, start), (1, end), (2, start), (2, end)])).is_empty());
        assert!(overlap(&marks(&[(1, start), (2, start), (2, end)])).is_empty(), "the first was killed");
        assert_eq!(overlap(&marks(&[(1, start), (2, start), (1, end), (2, end)])).len(), 1);
        let alive = Mark::Alive;
        assert!(overlap(&marks(&[(1, start), (1, alive), (2, start), (2, end)])).is_empty());
        assert_eq!(overlap(&marks(&[(1, start), (2, start), (1, alive), (2, end)])).len(), 1);
    }
}
