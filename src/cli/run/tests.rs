//! What `run` says, and how it ends.

use super::*;
use crate::{
    api::Reason,
    cli::error::FAILED,
    operator::testing::objects::{action, ended},
};

fn told(write: Write, action: DeploymentAction) -> String {
    said(&Applied { write, action }, " -n shop")
}

#[test]
fn what_was_written_and_what_follows_is_told() {
    assert_eq!(told(Write::Created, action()), "deploy: created; a run begins, because the action is new");
    insta::assert_snapshot!(told(Write::Unchanged, ended(Reason::Succeeded)), @r"
    deploy: unchanged, so nothing runs
    kubectl longshore rerun deploy -n shop runs it again
    ");
    let mut changed = ended(Reason::Succeeded);
    changed.metadata.generation = Some(2);
    changed.spec.args = vec!["another".into()];
    assert_eq!(
        told(Write::Changed, changed.clone()),
        "deploy: changed; a run begins, because the spec changed"
    );
    changed.spec.suspend = Some(true);
    insta::assert_snapshot!(told(Write::Changed, changed), @r"
    deploy: changed; spec.suspend holds back a run, because the spec changed
    kubectl longshore resume deploy -n shop lets it run
    ");
}

#[test]
fn without_a_run_of_its_own_the_command_ends_as_the_latest_run_did() {
    assert!(at_rest(&ended(Reason::Succeeded), "").is_ok());
    let failed = at_rest(&ended(Reason::ScriptFailed), "").unwrap_err();
    assert_eq!(failed.code(), FAILED);
    assert!(failed.to_string().contains("started no run, and run 1 of deploy failed"), "{failed}");
    let open = at_rest(&action(), "").unwrap_err().to_string();
    assert!(open.contains("kubectl longshore wait deploy"), "{open}");
}

#[test]
fn the_program_ends_as_the_run_did() {
    let verdict = |reason| Verdict::of(&ended(reason), 1).unwrap();
    assert!(conclude(&verdict(Reason::Succeeded), "deploy", "").is_ok());
    let code = |reason| conclude(&verdict(reason), "deploy", "").unwrap_err().code();
    assert_eq!(code(Reason::DeadlineExceeded), 124);
    assert_eq!(code(Reason::ImageNotFound), 1);
}
