//! What went wrong, with what to do.

use maud::{Markup, html};

use super::parts::problem;

/// The main part of the page.
pub(in crate::cli::ui) fn main(title: &str, words: &str) -> Markup {
    html! {
        h1 { (title) }
        (problem(words))
        p { a href="/" { "All actions" } }
    }
}
