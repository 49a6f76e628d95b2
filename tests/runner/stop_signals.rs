//! Each signal that an image can have as STOPSIGNAL stops the script as SIGTERM does.

use std::process::Command;

use longshore::record::outcome::{Stop, StopCause};

use super::sandbox::{As, Sandbox, wait_for};

#[test]
fn whatever_the_runtime_sends_the_script_is_asked_by_sigterm() {
    // nginx, Apache, systemd (SIGRTMIN+3), and others that images name.
    for signal in ["QUIT", "WINCH", "37", "HUP", "USR1", "USR2", "PWR"] {
        let sandbox =
            Sandbox::script("trap 'echo term; exit 5' TERM; touch ready; while :; do sleep 0.05; done")
                .separate();
        let running = sandbox.start(As::Process);
        wait_for(&sandbox.at("longshore/work/run/ready"));
        let sent = Command::new("kill").args(["-s", signal, &running.child.id().to_string()]).status();
        assert!(sent.unwrap().success(), "{signal}");
        let told = running.wait();
        told.assert_exited(5);
        assert_eq!(told.out(), "term\n", "{signal}");
        assert_eq!(told.exit().stop, Some(Stop { cause: StopCause::Terminated, killed: false }), "{signal}");
    }
}

#[test]
fn what_nobody_stops_a_container_with_changes_nothing() {
    let sandbox = Sandbox::script("touch ready; sleep 1; echo done");
    let running = sandbox.start(As::Process);
    wait_for(&sandbox.at("longshore/work/run/ready"));
    for signal in ["CONT", "URG"] {
        let sent = Command::new("kill").args(["-s", signal, &running.child.id().to_string()]).status();
        assert!(sent.unwrap().success(), "{signal}");
    }
    let told = running.wait();
    told.assert_exited(0);
    assert_eq!(told.out(), "done\n");
}
