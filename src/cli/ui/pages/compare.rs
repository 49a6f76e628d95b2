//! Two runs side by side.

use k8s_openapi::jiff::SignedDuration;
use maud::{Markup, html};

use super::parts::action_path;
use crate::{
    api::history::PastRun,
    cli::{
        terminal::{line, lines},
        view::{
            duration::short,
            summary::{at, requester_words, trigger_words},
        },
    },
};

/// What a run was, in words.
fn facts(of: &PastRun) -> Vec<(String, String)> {
    let (started, finished) = (at(of.started_at.as_ref()), at(of.finished_at.as_ref()));
    let took =
        started.zip(finished).map(|(from, to)| short(to.duration_since(from).max(SignedDuration::ZERO)));
    let time =
        |time: Option<k8s_openapi::jiff::Timestamp>| time.map(|time| time.to_string()).unwrap_or_default();
    let mut facts = vec![
        ("Outcome", format!("{:?}", of.outcome)),
        ("Reason", of.reason.clone()),
        ("Exit code", of.exit_code.map(|code| code.to_string()).unwrap_or_default()),
        ("Because", trigger_words(of.trigger).to_owned()),
        ("Asked by", requester_words(of.requested_by.as_ref())),
        ("Cancelled by", requester_words(of.cancel_requested_by.as_ref())),
        ("Attempts", of.attempts.to_string()),
        ("Started", time(started)),
        ("Ended", time(finished)),
        ("Took", took.unwrap_or_default()),
        ("Image", of.image.clone().unwrap_or_default()),
    ]
    .into_iter()
    .map(|(title, value)| (title.to_owned(), value))
    .collect::<Vec<_>>();
    facts.extend(
        of.packages.iter().map(|package| (format!("Package {}", package.name), package.resolved.clone())),
    );
    facts
}

/// The facts of two runs: title, one, other.
fn pairs(one: &PastRun, other: &PastRun) -> Vec<(String, String, String)> {
    let (one, mut other) = (facts(one), facts(other));
    let mut pairs = Vec::new();
    for (title, value) in one {
        let at = other.iter().position(|(of, _)| *of == title);
        let theirs = at.map(|at| other.remove(at).1).unwrap_or_default();
        pairs.push((title, value, theirs));
    }
    pairs.extend(other.into_iter().map(|(title, value)| (title, String::new(), value)));
    pairs.retain(|(_, one, other)| !one.is_empty() || !other.is_empty());
    pairs
}

/// The main part of the page.
pub(in crate::cli::ui) fn main(namespace: &str, name: &str, one: &PastRun, other: &PastRun) -> Markup {
    let path = action_path(namespace, name);
    html! {
        h1 { "Runs " (one.number) " and " (other.number) " of " a href=(path) { (line(name)) } }
        div.wide tabindex="0" role="region" aria-label="Two runs" {
            table.compare {
                caption { "Lines that differ are marked. The status does not keep the parameters, script and variables of earlier runs." }
                thead {
                    tr {
                        th scope="col" { "Fact" }
                        @for run in [one, other] {
                            th scope="col" { a href={ (path) "?run=" (run.number) "#log-title" } { "Run " (run.number) } }
                        }
                        th scope="col" { "Same" }
                    }
                }
                tbody {
                    @for (title, one, other) in pairs(one, other) {
                        tr class=[(one != other).then_some("differs")] {
                            th scope="row" { (line(&title)) }
                            td { (lines(&one)) }
                            td { (lines(&other)) }
                            td { @if one == other { "same" } @else { "differs" } }
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::history::PastPackage;

    #[test]
    fn what_only_one_run_has_is_shown_too() {
        let package =
            |name: &str, resolved: &str| PastPackage { name: name.into(), resolved: resolved.into() };
        let one = PastRun {
            number: 1,
            packages: vec![package("a", "x@1"), package("b", "y@1")],
            ..PastRun::default()
        };
        let other = PastRun {
            number: 2,
            packages: vec![package("c", "z@1"), package("a", "x@2")],
            ..PastRun::default()
        };
        let packages: Vec<_> =
            pairs(&one, &other).into_iter().filter(|(title, ..)| title.starts_with("Package")).collect();
        let row = |title: &str, one: &str, other: &str| (title.to_owned(), one.to_owned(), other.to_owned());
        assert_eq!(
            packages,
            [row("Package a", "x@1", "x@2"), row("Package b", "y@1", ""), row("Package c", "", "z@1")]
        );
        let text = main("shop", "deploy", &one, &other).into_string();
        assert!(text.contains("Package a") && text.matches("class=\"differs\"").count() == 3, "{text}");
    }
}
