//! The shortest schedule that still shows what a longer one showed.

use super::{
    hostile::{Clock, Temper},
    play::{Report, Rules},
    schedule::{Schedule, Second, Slot},
    stage::Stage,
};

/// What is chance is given so many chances.
const TRIES: usize = 3;

/// Leaves out one fault after the other, as long as something is still wrong.
pub(crate) async fn shrink(stage: &Stage, mut shown: Report, rules: Rules) -> Report {
    loop {
        let mut shorter = None;
        for candidate in candidates(&shown.schedule) {
            if let Some(report) = fails(stage, &candidate, rules).await {
                shorter = Some(report);
                break;
            }
        }
        match shorter {
            Some(report) => shown = report,
            None => return shown,
        }
    }
}

fn candidates(schedule: &Schedule) -> Vec<Schedule> {
    let mut all = Vec::new();
    if schedule.second != Second::None {
        let mut alone = Schedule { second: Second::None, ..schedule.clone() };
        alone.faults.retain(|fault| fault.slot == Slot::A);
        all.push(alone);
    }
    if schedule.temper != Temper::Honest {
        all.push(Schedule { temper: Temper::Honest, ..schedule.clone() });
    }
    if schedule.clock != Clock::Right {
        all.push(Schedule { clock: Clock::Right, ..schedule.clone() });
    }
    for at in 0..schedule.faults.len() {
        let mut shorter = schedule.clone();
        shorter.faults.remove(at);
        all.push(shorter);
    }
    all
}

async fn fails(stage: &Stage, schedule: &Schedule, rules: Rules) -> Option<Report> {
    for _ in 0..TRIES {
        let report = stage.play(schedule, rules).await;
        if !report.wrong.is_empty() {
            return Some(report);
        }
    }
    None
}

#[test]
fn what_is_tried_is_shorter() {
    let schedule: Schedule = "success+second+deaf+ahead,a/create-pod#1=cut,b/get-pod#2=cut".parse().unwrap();
    let all: Vec<String> = candidates(&schedule).iter().map(ToString::to_string).collect();
    assert_eq!(
        all,
        [
            "success+deaf+ahead,a/create-pod#1=cut",
            "success+second+ahead,a/create-pod#1=cut,b/get-pod#2=cut",
            "success+second+deaf,a/create-pod#1=cut,b/get-pod#2=cut",
            "success+second+deaf+ahead,b/get-pod#2=cut",
            "success+second+deaf+ahead,a/create-pod#1=cut",
        ]
    );
}
