//! What all pages have: head, navigation, main part.

use maud::{DOCTYPE, Markup, html};

use crate::cli::terminal::line;

/// Where a page is in the navigation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli::ui) enum Place {
    Actions,
    Locks,
    Templates,
    /// None of these.
    Other,
}

const PLACES: [(Place, &str, &str); 3] = [
    (Place::Actions, "/", "Actions"),
    (Place::Locks, "/locks", "Locks"),
    (Place::Templates, "/templates", "Templates"),
];

/// A whole page.
pub(in crate::cli::ui) fn page(title: &str, place: Place, main: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (line(title)) " – Longshore" }
                link rel="icon" type="image/svg+xml" href="/assets/icon.svg";
                link rel="stylesheet" href="/assets/page.css";
                script type="module" src="/assets/page.js" {}
            }
            body {
                a.skip href="#main" { "Skip to the content" }
                header.top {
                    span.brand { "Longshore" }
                    nav aria-label="Pages" {
                        @for (of, address, name) in PLACES {
                            a href=(address) aria-current=[(of == place).then_some("page")] { (name) }
                        }
                    }
                }
                main #main tabindex="-1" { (main) }
            }
        }
    }
}
