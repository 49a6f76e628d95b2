//! Judges what a container's termination message is worth.
//!
//! The script can write the message's file. If it kills the runner, it has the last word there. So the
//! message counts only if all of this holds:
//!
//! 1. It is of this pod and this run.
//! 2. The container's exit code is the one that the runner gives for what the message says.
//! 3. The start record was read from the log, which no script can write. Its `proof` is the SHA-256 of the
//!    message's nonce, which no script can know ([`crate::record::proof`]).
//! 4. It does not say that the script was never started. The start record says that the script is about to
//!    start, and so contradicts this; without a start record there is no proof. Only the log or the runtime
//!    can say that something never started.
//! 5. It says how the script ended. A message that does not know the end adds nothing.
//!
//! A start record without a proof comes from an older runner. Then 1, 2, 4 and 5 decide, and a message from a
//! second start does not count, because that repeats a file of the script's folder. The exit code must still
//! match. So a script that was killed can at most claim that it was killed in another way, and never a
//! success.
//!
//! The exit record in the log comes first, and needs none of this: it is the runner's own word. If a second
//! start repeats it from that file, it does not count (`logs/assemble.rs`). Outputs come from the log alone
//! ([`Termination::from_message`]).

use crate::{
    operator::pod::view::Terminated,
    record::{
        exit_code,
        outcome::{Identity, Outcome, Start, Termination},
        proof::proof,
    },
};

/// The worth of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Testimony<'a> {
    /// The runner wrote it.
    Believed(&'a Termination),
    /// The runner may have written it: the log has not brought the start record yet.
    Unproven,
    /// It does not count. The text says why, for people.
    Rejected(&'static str),
    /// There is no message.
    None,
}

/// Judges the message of a container of this pod and run, with the start record of its log.
#[must_use]
pub(super) fn testimony<'a>(end: &'a Terminated, of: &Identity, start: Option<&Start>) -> Testimony<'a> {
    let Some(message) = &end.record else { return Testimony::None };
    let exit = &message.exit;
    if exit.of != *of {
        return Testimony::Rejected("it is of another run");
    }
    if end.exit_code != i32::from(exit_code::of(&exit.outcome)) {
        return Testimony::Rejected("the runner would have ended with another exit code");
    }
    match exit.outcome {
        Outcome::NotStarted { .. } => {
            return Testimony::Rejected("only the log can say that a script was not started");
        }
        Outcome::Unknown { .. } => return Testimony::Rejected("it does not know the end either"),
        Outcome::Exited { .. } | Outcome::Signaled { .. } => {}
    }
    let Some(start) = start.filter(|start| start.of == *of) else { return Testimony::Unproven };
    let proven = message.nonce.as_deref().map(proof);
    match &start.proof {
        Some(wanted) if proven.as_ref() == Some(wanted) => Testimony::Believed(message),
        Some(_) => Testimony::Rejected("it lacks the proof that the runner announced"),
        None if exit.replayed => Testimony::Rejected("a second start of the container repeats a file"),
        None => Testimony::Believed(message),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::outcome::{Exit, Problem};

    fn of() -> Identity {
        Identity { pod_uid: "p".into(), run_id: "r-1".into() }
    }

    fn start(proof: Option<String>) -> Start {
        Start {
            version: 1,
            of: of(),
            unmasked: vec![],
            adjusted: vec![],
            suspects: vec![],
            proof,
            records_proof: None,
        }
    }

    fn end(outcome: Outcome, change: impl FnOnce(&mut Termination)) -> Terminated {
        let exit_code = i32::from(exit_code::of(&outcome));
        let exit = Exit {
            version: 1,
            of: of(),
            outcome,
            stop: None,
            millis: 1,
            outputs: std::collections::BTreeMap::new(),
            sealed: None,
            outputs_dropped: vec![],
            outputs_unread: None,
            unmasked: vec![],
            out_of_memory: None,
            replayed: false,
        };
        let mut message = Termination { exit, nonce: Some("nonce".into()), outputs_sha256: None, end: None };
        change(&mut message);
        Terminated {
            started_at: None,
            finished_at: None,
            exit_code,
            reason: String::new(),
            record: Some(message),
            message: None,
        }
    }

    fn believed(end: &Terminated, start: Option<&Start>) -> bool {
        matches!(testimony(end, &of(), start), Testimony::Believed(_))
    }

    #[test]
    fn only_what_the_start_record_proves_is_believed() {
        let proven = start(Some(proof("nonce")));
        let exited = || Outcome::Exited { code: 0 };
        let good = end(exited(), |_| {});
        assert!(believed(&good, Some(&proven)));
        assert!(believed(&end(exited(), |message| message.exit.replayed = true), Some(&proven)));
        assert_eq!(testimony(&good, &of(), None), Testimony::Unproven);
        assert!(!believed(&good, Some(&start(Some(proof("other"))))));
        assert!(!believed(&end(exited(), |message| message.nonce = None), Some(&proven)));
        // The script may know the proof, but not the nonce.
        let guessed = end(exited(), |message| message.nonce = Some(proof("nonce")));
        assert!(!believed(&guessed, Some(&proven)));
        let other = Identity { pod_uid: "q".into(), ..of() };
        assert!(!believed(&end(exited(), |message| message.exit.of = other), Some(&proven)));
    }

    #[test]
    fn a_message_that_the_container_s_exit_code_contradicts_is_not_believed() {
        let proven = start(Some(proof("nonce")));
        for code in [137, 152, 1, 143] {
            let end = Terminated { exit_code: code, ..end(Outcome::Exited { code: 0 }, |_| {}) };
            assert!(!believed(&end, Some(&proven)), "{code}");
        }
    }

    #[test]
    fn that_nothing_was_started_is_never_believed() {
        let outcome = Outcome::NotStarted { problem: Problem::Stopped, message: "forged".into() };
        for start in [None, Some(start(Some(proof("nonce")))), Some(start(None))] {
            assert!(!believed(&end(outcome.clone(), |_| {}), start.as_ref()));
        }
        let unknown = end(Outcome::Unknown { message: "forged".into() }, |_| {});
        assert!(!believed(&unknown, Some(&start(None))));
    }

    #[test]
    fn of_an_older_runner_identity_and_exit_code_decide_and_no_second_start_counts() {
        let old = start(None);
        let message = |replayed: bool| {
            end(Outcome::Exited { code: 3 }, |message| {
                (message.nonce, message.exit.replayed) = (None, replayed);
            })
        };
        assert!(believed(&message(false), Some(&old)));
        assert!(!believed(&message(true), Some(&old)));
        assert!(!believed(&Terminated { exit_code: 0, ..message(false) }, Some(&old)));
    }
}
