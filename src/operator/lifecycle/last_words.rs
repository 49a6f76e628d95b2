//! The lines at the end of a log that most likely say why a script failed.

use super::facts::LogFact;
use crate::{api::Reason, record::outcome::truncate};

/// The most bytes of these lines, with what separates them.
pub(super) const MAX_BYTES: usize = 500;
/// How many lines are taken from the end.
const LINES: usize = 3;
const SEPARATOR: &str = " | ";

/// Whether the end of the script's log explains a run that ended like this.
pub(super) const fn explain(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::ScriptFailed | Reason::ScriptKilled | Reason::OutOfMemory | Reason::DeadlineExceeded
    )
}

/// The last lines of standard error, or of both streams if they are one. In front of them is the line in which
/// the shell says where it stopped, if that is further up. They have at most `most` bytes.
#[must_use]
pub(super) fn last_words(log: &LogFact, most: usize) -> Option<String> {
    let lines_of = |text: &'_ str| -> Vec<String> {
        text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect()
    };
    let mut lines = lines_of(&log.errors);
    if lines.is_empty() {
        lines = lines_of(&log.tail);
    }
    let mut last = lines.split_off(lines.len().saturating_sub(LINES));
    let stop = if last.iter().any(|line| tells_of_a_stop(line)) {
        None
    } else {
        lines.into_iter().rfind(|line| tells_of_a_stop(line))
    };
    let stop = stop.map(|mut stop| {
        // The last lines need room too.
        truncate(&mut stop, most / 3);
        stop
    });
    // The very last line says most.
    let mut room = most.saturating_sub(stop.as_ref().map_or(0, |stop| stop.len() + SEPARATOR.len()));
    truncate(last.last_mut()?, room);
    let mut kept = Vec::new();
    for line in last.into_iter().rev() {
        let Some(left) = room.checked_sub(line.len()) else { break };
        room = left.saturating_sub(SEPARATOR.len());
        kept.push(line);
    }
    kept.extend(stop);
    kept.reverse();
    Some(kept.join(SEPARATOR))
}

/// Whether a shell says in this line which line of the script it was at, or which command it was about to run
/// (`set -x`).
fn tells_of_a_stop(line: &str) -> bool {
    let traced = line.starts_with('+') && line.trim_start_matches('+').starts_with(' ');
    traced || tells_of_a_line(line).unwrap_or_default()
}

/// `deploy.sh: line 3: x: not found` of bash and busybox, `deploy.sh: 3: x: not found` of dash, `deploy.sh:3: x
/// not found` of zsh.
fn tells_of_a_line(line: &str) -> Option<bool> {
    let (name, rest) = line.split_once(':')?;
    let rest = rest.strip_prefix(' ').unwrap_or(rest);
    let (number, _) = rest.strip_prefix("line ").unwrap_or(rest).split_once(": ")?;
    let named = name.contains(char::is_alphabetic) && !name.contains(char::is_whitespace);
    Some(named && !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(errors: &str, tail: &str) -> Option<String> {
        last_words(&LogFact { errors: errors.into(), tail: tail.into(), ..LogFact::default() }, MAX_BYTES)
    }

    #[test]
    fn the_last_lines_of_standard_error_are_taken_or_of_both_streams() {
        assert_eq!(words("", "one\ntwo\n\n  three\nfour\n").unwrap(), "two | three | four");
        assert_eq!(words("e1\ne2\n", "o1\ne1\no2\ne2\no3\no4\no5\n").unwrap(), "e1 | e2");
        assert_eq!(words("", "\n \n"), None);
    }

    #[test]
    fn the_line_at_which_a_shell_stopped_comes_first() {
        for stop in [
            "/longshore/script/script: line 12: kubectx: command not found",
            "/longshore/script/script: 12: kubectx: not found",
            "deploy.sh:12: command not found: kubectx",
            "bash: line 1: X: unbound variable",
            "+ kubectl apply -f x.yaml",
            "++ date",
        ] {
            let tail = format!("+ earlier\n{stop}\none\ntwo\nthree\nfour\n");
            assert_eq!(words("", &tail).unwrap(), format!("{stop} | two | three | four"));
            assert_eq!(words("", &format!("one\n{stop}\ntwo\n")).unwrap(), format!("one | {stop} | two"));
        }
        for other in [
            "2026-11-23T12:00:00Z INFO x",
            "error: line 12 is wrong: x",
            "Step 3: done",
            "a b: 12: c",
            ":12: x",
            "C++ rules",
            "+1 for that",
            "note: 3 of 4: x",
        ] {
            assert_eq!(words("", &format!("{other}\none\ntwo\nthree\n")).unwrap(), "one | two | three");
        }
    }

    #[test]
    fn the_lines_are_bounded_and_the_last_one_is_kept_longest() {
        let (long, wide) = ("x".repeat(9000), "\u{e4}".repeat(300));
        let words = words("", &format!("a: line 1: {long}\nfirst\n{long}\n{wide}\nlast\n")).unwrap();
        assert!(words.starts_with("a: line 1: xx") && words.ends_with("... | last"), "{words}");
        assert!(words.len() <= MAX_BYTES);
        let words = super::tests::words("", &format!("first\n{long}\n")).unwrap();
        assert!(words.len() == MAX_BYTES && words.ends_with("xxx..."));
    }
}
