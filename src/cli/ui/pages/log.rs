//! The log's place on an action's page. The lines themselves come to it as data, and are written as text alone.

use maud::{Markup, html};

/// Which log is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli::ui) struct Shown {
    /// The path of the action's page.
    pub(in crate::cli::ui) path: String,
    pub(in crate::cli::ui) run: u32,
    /// `None` is the last one.
    pub(in crate::cli::ui) attempt: Option<u32>,
}

impl Shown {
    fn query(&self) -> String {
        let attempt = self.attempt.map(|attempt| format!("&attempt={attempt}")).unwrap_or_default();
        format!("run={}{attempt}", self.run)
    }
}

/// The log, with what one can do with it.
pub(in crate::cli::ui) fn section(of: &Shown) -> Markup {
    let (path, query) = (&of.path, of.query());
    let attempt = of.attempt.map(|attempt| format!(", attempt {attempt}")).unwrap_or_default();
    html! {
        section #log-section aria-labelledby="log-title" {
            h2 #log-title { "Log of run " (of.run) (attempt) }
            div.tools role="group" aria-label="Log" {
                label { "Search"
                    input #log-search type="search" autocomplete="off" aria-describedby="log-found";
                }
                button #log-before type="button" { "Previous" }
                button #log-after type="button" { "Next" }
                span #log-found role="status" {}
                label.check { input #log-stderr type="checkbox"; " standard error only" }
                label.check { input #log-wrap type="checkbox" checked; " wrap" }
                label.check { input #log-follow type="checkbox" checked; " follow" }
                a href={ (path) "/log.txt?" (query) } download { "Download" }
            }
            div #log tabindex="0" role="region" aria-label="Lines of the log" data-log={ (path) "/log?" (query) } {}
            p #log-state role="status" {}
            noscript { p { "The log is shown by a script. Without scripts, download it." } }
        }
    }
}
