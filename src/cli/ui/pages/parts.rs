//! Small parts that pages share.

use anstyle::Style;
use k8s_openapi::jiff::Timestamp;
use maud::{Markup, html};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::{
    api::Reason,
    cli::{
        table::Table,
        terminal::{BAD, BUSY, FAINT, GOOD, line, lines},
        ui::guard::CSRF,
        view::{duration, summary::Tone},
    },
};

/// What stays as it is in a part of a path.
const PART: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_');

/// The path of an action's page.
pub(in crate::cli::ui) fn action_path(namespace: &str, name: &str) -> String {
    format!("/actions/{}/{}", utf8_percent_encode(namespace, PART), utf8_percent_encode(name, PART))
}

/// The path of a template's page. Without a namespace it is one of the cluster.
pub(in crate::cli::ui) fn template_path(namespace: Option<&str>, name: &str) -> String {
    let name = utf8_percent_encode(name, PART);
    match namespace {
        Some(namespace) => format!("/templates/of/{}/{name}", utf8_percent_encode(namespace, PART)),
        None => format!("/templates/cluster/{name}"),
    }
}

/// The class of a tone.
pub(in crate::cli::ui) const fn class(tone: Tone) -> &'static str {
    match tone {
        Tone::Good => "good",
        Tone::Bad => "bad",
        Tone::Busy => "busy",
        Tone::Quiet => "quiet",
    }
}

fn class_of_style(style: Style) -> Option<&'static str> {
    [(GOOD, "good"), (BAD, "bad"), (BUSY, "busy"), (FAINT, "quiet")]
        .into_iter()
        .find_map(|(of, class)| (of == style).then_some(class))
}

/// How long ago a time was. The page keeps it up to date.
pub(in crate::cli::ui) fn ago(time: Option<Timestamp>, now: Timestamp) -> Markup {
    html! {
        @if let Some(time) = time {
            time datetime=(time) title=(time) data-age { (duration::age(time, now)) }
        }
    }
}

/// A row of a list of facts. It is left out if there is nothing to say.
pub(in crate::cli::ui) fn fact(title: &str, value: &str) -> Markup {
    html! {
        @if !value.is_empty() {
            dt { (title) }
            dd { (lines(value)) }
        }
    }
}

/// A table of the terminal. `link` may make a link of a cell, by its row and column.
pub(in crate::cli::ui) fn table(
    caption: &str,
    of: &Table,
    link: impl Fn(usize, usize, &str) -> Option<String>,
) -> Markup {
    html! {
        div.wide tabindex="0" role="region" aria-label=(caption) {
            table {
                caption.hidden { (caption) }
                thead { tr { @for title in of.titles() { th scope="col" { (title_case(title)) } } } }
                tbody {
                    @for (at, row) in of.rows().iter().enumerate() {
                        tr {
                            @for (column, cell) in row.iter().enumerate() {
                                td class=[class_of_style(cell.style())] {
                                    @if let Some(address) = link(at, column, cell.text()) {
                                        a href=(address) { (cell.text()) }
                                    } @else { (cell.text()) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// `QUEUED AT` is a title of a terminal; a page has `Queued at`.
fn title_case(title: &str) -> String {
    let mut letters = title.chars();
    letters.next().map_or_else(String::new, |first| format!("{first}{}", letters.as_str().to_lowercase()))
}

/// What a reason means, and what to do.
pub(in crate::cli::ui) fn advice(reason: &str) -> Markup {
    html! {
        @if let Some(reason) = Reason::parse(reason).filter(|reason| *reason != Reason::Succeeded) {
            dt { "Meaning" }
            dd { (reason.when()) }
            dt { "What to do" }
            dd.busy { (reason.advice()) }
        }
    }
}

/// The field that proves where a form came from.
pub(in crate::cli::ui) fn csrf(value: &str) -> Markup {
    html! { input type="hidden" name=(CSRF) value=(value); }
}

/// An error: what was wrong in the first line, then what to do.
pub(in crate::cli::ui) fn problem(words: &str) -> Markup {
    let (first, rest) = words.split_once('\n').unwrap_or((words, ""));
    html! {
        div.problem role="alert" {
            p { (line(first)) }
            @if !rest.is_empty() { pre { (lines(rest)) } }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::table::Cell;

    #[test]
    fn a_path_s_parts_cannot_leave_it() {
        assert_eq!(action_path("shop", "deploy-a.b"), "/actions/shop/deploy-a.b");
        assert_eq!(action_path("a/b", "?x=#\"<"), "/actions/a%2Fb/%3Fx%3D%23%22%3C");
        assert_eq!(template_path(None, "a b"), "/templates/cluster/a%20b");
    }

    #[test]
    fn a_table_of_the_terminal_is_one_of_the_page_with_its_colours_and_links() {
        let mut of = Table::new(&["NAME", "STATE"]);
        of.add(vec![Cell::of("<b>"), Cell::toned("held", Tone::Busy)]);
        let text = table("Runs", &of, |_, column, _| (column == 0).then(|| "/x".to_owned())).into_string();
        assert!(text.contains(r#"<td><a href="/x">&lt;b&gt;</a></td><td class="busy">held</td>"#), "{text}");
        assert!(text.contains(r#"<th scope="col">Name</th>"#), "{text}");
    }
}
