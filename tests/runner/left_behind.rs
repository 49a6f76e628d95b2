//! Processes that outlive the script: what they still write is in the log, and after SIGTERM they have the
//! grace period that the script has.

use std::{
    fs,
    time::{Duration, Instant},
};

use longshore::record::{
    outcome::{Stop, StopCause},
    place,
};
use nix::sys::signal::Signal;

use super::sandbox::{As, Sandbox, wait_for};

const BOTH: [As; 2] = [As::Process, As::UnprivilegedPid1];

/// What its writer needs is over long before; a machine may be busy.
const BUSY: Duration = Duration::from_secs(30);
/// A reader who takes nothing may hold up the end for as long as [`BUSY`]. Without one, it ends so much sooner.
const OVER: Duration = Duration::from_secs(5);

#[test]
fn the_last_lines_of_a_process_substitution_are_in_the_log() {
    for (redirect, script) in [
        ("exec > >(tee -a log) 2>&1", "echo last; exit 1"),
        ("exec > >(tee -a log) 2> >(tee -a log >&2)", "echo last; exit 1"),
        ("exec > >(sed 's/^/x /; s/^x //') 2>&1", "echo last; exit 1"),
        ("exec > >(while read -r line; do sleep 0.1; echo \"$line\"; done)", "echo last; exit 1"),
        ("exec > >(cat | cat | cat)", "seq 1 20000 | tail -n 1 > /dev/null; echo last; exit 1"),
        ("", "{ sleep 0.1; echo last; } & exit 1"),
    ] {
        for how in BOTH {
            for separate in [false, true, true] {
                let sandbox = Sandbox::script(&format!("{redirect}\n{script}")).interpreter(&["/bin/bash"]);
                let sandbox = if separate { sandbox.separate() } else { sandbox };
                let told = sandbox.run_as(how);
                told.assert_exited(1);
                assert_eq!(told.out(), "last\n", "{redirect}; {script}; {separate}");
                assert!(!told.end.unwrap().cut, "{redirect}");
            }
        }
    }
}

#[test]
fn a_slow_filter_has_two_seconds_and_what_is_cut_off_is_told() {
    let told = Sandbox::script(
        "exec > >(while read -r line; do sleep 0.1; echo \"$line\"; done); seq 1 1000; echo last; exit 3",
    )
    .interpreter(&["/bin/bash"])
    .run_as(As::UnprivilegedPid1);
    told.assert_exited(3);
    let lines = told.out().lines().count();
    assert!((2..900).contains(&lines), "{lines}");
    assert!(told.end.unwrap().cut);
}

#[test]
fn a_script_is_not_held_up_by_what_writes_nothing() {
    for stays in ["sleep 1000 &", "setsid sleep 1000 &", "sleep 1000 > /dev/null 2>&1 &", "cat < fifo &"] {
        for how in BOTH {
            let sandbox = Sandbox::script(&format!("mkfifo fifo; {stays} echo done"));
            let told = sandbox.run_as(how);
            told.assert_exited(0);
            // The script's own time, not that of what it left.
            assert!(told.exit().millis < 1000 * BUSY.as_secs());
            assert_eq!((told.out().as_str(), told.end.unwrap().cut), ("done\n", false), "{stays}");
        }
    }
}

#[test]
fn a_child_that_cleans_up_has_the_grace_period_after_its_script_has_gone() {
    // Bash goes at once, as it has no trap.
    let script = "bash -c 'trap \"echo releasing; sleep 3; echo released; exit 0\" TERM; touch ready\n\
                  while :; do sleep 0.05; done'; echo never";
    for how in BOTH {
        let sandbox = Sandbox::script(script).interpreter(&["/bin/bash"]).separate();
        let running = sandbox.start(how);
        wait_for(&sandbox.at(place::WORK_DIR).join("ready"));
        running.signal(Signal::SIGTERM);
        let told = running.wait();
        told.assert_signaled(15);
        assert_eq!(told.out(), "releasing\nreleased\n");
        assert_eq!(told.exit().stop, Some(Stop { cause: StopCause::Terminated, killed: false }));
    }
    let told = Sandbox::script(script)
        .interpreter(&["/bin/bash"])
        .separate()
        .limits(2, 20)
        .run_as(As::UnprivilegedPid1);
    told.assert_signaled(15);
    assert_eq!(told.out(), "releasing\nreleased\n");
    assert_eq!(told.exit().stop, Some(Stop { cause: StopCause::RunDeadline, killed: false }));
}

#[test]
fn children_in_other_sessions_are_asked_too() {
    let sandbox = Sandbox::script(
        "setsid bash -c 'trap \"sleep 1; echo released > released; exit 0\" TERM; touch ready\n\
         while :; do sleep 0.05; done' > /dev/null 2>&1 &\n\
         trap 'exit 5' TERM; while :; do sleep 0.05; done",
    );
    let running = sandbox.start(As::UnprivilegedPid1);
    wait_for(&sandbox.at(place::WORK_DIR).join("ready"));
    running.signal(Signal::SIGTERM);
    let told = running.wait();
    told.assert_exited(5);
    assert!(fs::metadata(sandbox.at(place::WORK_DIR).join("released")).is_ok());
}

#[test]
fn what_refuses_to_end_is_killed_when_the_grace_is_over() {
    for how in BOTH {
        let begun = Instant::now();
        let told = Sandbox::script(
            "bash -c 'trap \"\" TERM; while :; do sleep 0.05; done' & trap 'exit 6' TERM\n\
             while :; do sleep 0.05; done",
        )
        .limits(1, 2)
        .run_as(how);
        told.assert_exited(6);
        assert!(begun.elapsed() >= Duration::from_secs(3), "{:?}", begun.elapsed());
        assert!(begun.elapsed() < BUSY);
    }
}

#[test]
fn a_script_that_is_killed_with_its_silent_children_cuts_no_log() {
    for how in BOTH {
        // A process with so much memory is not gone at once.
        let told = Sandbox::script(
            "trap '' TERM; head -c 300M /dev/zero | tail -c 300M | sleep 1000 & echo last; sleep 1000",
        )
        .limits(5, 1)
        .run_as(how);
        told.assert_signaled(9);
        assert_eq!((told.out().as_str(), told.end.unwrap().cut), ("last\n", false));
    }
}

#[test]
fn children_without_end_that_are_left_are_ended_in_time() {
    for (left, within) in [
        ("for i in 1 2 3 4; do while :; do (: &); done & done", 2 * BUSY),
        ("for i in $(seq 400); do while :; do sleep 0.01; done & done", 2 * BUSY),
        // They write as fast as the log takes it, and wait for nobody.
        (
            "for i in 1 2 3; do setsid sh -c 'trap \"\" TERM; while :; do echo x; done' & done",
            BUSY.saturating_sub(OVER),
        ),
    ] {
        let begun = Instant::now();
        let told = Sandbox::script(&format!("{left}\nexit 7")).run_as(As::UnprivilegedPid1);
        told.assert_exited(7);
        assert!(begun.elapsed() < within, "{left}: {:?}", begun.elapsed());
    }
}
