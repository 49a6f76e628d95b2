//! Asks whether something is meant, before it is done.

use maud::{Markup, html};

use super::parts::{action_path, csrf};
use crate::cli::{terminal::line, ui::ask::Ask};

/// What is asked for, and of what.
#[derive(Debug, Clone, Copy)]
pub(in crate::cli::ui) struct Question<'a> {
    pub(in crate::cli::ui) ask: Ask,
    pub(in crate::cli::ui) namespace: &'a str,
    pub(in crate::cli::ui) name: &'a str,
    /// The run that would be cancelled.
    pub(in crate::cli::ui) run: Option<u32>,
    /// The text that asks for a rerun. If the form is sent twice, there is still one rerun.
    pub(in crate::cli::ui) token: &'a str,
    pub(in crate::cli::ui) csrf: &'a str,
}

/// The main part of the page.
pub(in crate::cli::ui) fn main(of: Question<'_>) -> Markup {
    let path = action_path(of.namespace, of.name);
    let (title, what) = of.ask.words();
    html! {
        h1 { (title) " " (line(of.name)) "?" }
        p { (what) }
        dl.facts {
            dt { "Action" } dd { (line(of.name)) }
            dt { "Namespace" } dd { (line(of.namespace)) }
            @if let Some(run) = of.run { dt { "Run" } dd { (run) } }
        }
        form action={ (path) "/" (of.ask.verb()) } method="post" {
            (csrf(of.csrf))
            input type="hidden" name="token" value=(of.token);
            @if let Some(run) = of.run { input type="hidden" name="run" value=(run); }
            button.primary type="submit" { (title) }
            " " a.button href=(path) { "Back" }
        }
    }
}
